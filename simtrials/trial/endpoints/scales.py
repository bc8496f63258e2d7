"""Known symptom scales: range in points, cut-off of remission, direction, what they measure, and where the cut-off comes from."""

from simtrials.core.data import Scale

# name, minimum, maximum, remission at or below, direction of improvement, domain, source
SCALES = {
    scale.name: scale
    for scale in (
        Scale("HAM-D17", 0, 52, 7, "down", "severity", "Hamilton 1960; remission 7 or less, as in doi 10.1192/bjo.2020.3"),
        Scale("MADRS", 0, 60, 10, "down", "severity", "Montgomery and Asberg 1979; remission 10 or less is usual, trials also use 12 or less"),
        Scale("SHAPS", 14, 56, None, "down", "anhedonia", "Snaith et al. 1995, scored 1 to 4 on 14 items; no agreed cut-off"),
        Scale("PHQ-9", 0, 27, 4, "down", "severity", "Kroenke et al. 2001; remission below 5"),
        Scale("BDI-II", 0, 63, 9, "down", "severity", "Beck et al. 1996; remission in trials usually 9 or less"),
        Scale("QIDS-SR16", 0, 27, 5, "down", "severity", "Rush et al. 2003; remission 5 or less"),
    )
}
