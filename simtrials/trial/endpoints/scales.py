"""Known symptom scales: range in points, cut-off of remission, direction, and what they measure."""

from simtrials.core.data import Scale

# name, minimum, maximum, remission at or below, direction of improvement, domain
SCALES = {
    scale.name: scale
    for scale in (
        # range and cut-off: trial registrations and doi 10.1192/bjo.2020.3 (cut-off 7)
        Scale("HAM-D17", 0, 52, 7, "down", "severity"),
        # Montgomery & Asberg 1979; cut-off 10 is usual, trials also use 12 and below 11
        Scale("MADRS", 0, 60, 10, "down", "severity"),
        # Snaith et al. 1995, scored 1 to 4 on 14 items; no agreed cut-off of remission
        Scale("SHAPS", 14, 56, None, "down", "anhedonia"),
        # Kroenke et al. 2001; remission below 5
        Scale("PHQ-9", 0, 27, 4, "down", "severity"),
        # Beck et al. 1996; minimal symptoms 0 to 13, remission in trials usually 9 or less
        Scale("BDI-II", 0, 63, 9, "down", "severity"),
        # Rush et al. 2003; remission 5 or less
        Scale("QIDS-SR16", 0, 27, 5, "down", "severity"),
    )
}
