"""``simtrials quick``: repeated measures, margins, clusters, interactions, responders and meta-analyses by formula."""

from functools import partial
from typing import Annotated, Any

import typer

from simtrials.cli.options import Json, Quiet
from simtrials.cli.quick import Alpha, Control, Difference, N, OneSided, Power, Ratio, Sd, quick
from simtrials.cli.quick_answers import Answer, apart, asks, one_number, percent, question, two_arms
from simtrials.core.errors import SimtrialsError, did_you_mean

STRUCTURES = ("compound_symmetry", "ar1")


@quick.command()
@asks
def mmrm(
    difference: Annotated[float, typer.Option(help="Difference of means at the last visit, in points; the sign does not matter.", metavar="X")],
    correlation: Annotated[float, typer.Option(help="Correlation of two visits, or of neighbors with ar1; given baseline if adjusted.", metavar="R")],
    sd: Annotated[float, typer.Option(help="Standard deviation at the last visit, in points.", metavar="X")] = 1.0,
    structure: Annotated[str, typer.Option(help="compound_symmetry (any two visits alike) or ar1.", metavar="NAME")] = "compound_symmetry",
    visits: Annotated[int, typer.Option(help="Visits after baseline.", metavar="N")] = 4,
    dropout: Annotated[
        float, typer.Option(help="Share of each arm lost by the last visit, steadily after the first visit, 0 to below 1.", metavar="P")
    ] = 0.0,
    retention: Annotated[
        str | None, typer.Option(help="Share still seen at each visit, such as 1,0.9,0.8,0.7; in place of --visits and --dropout.", metavar="P,P,...")
    ] = None,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Means at the last visit, by a mixed model for repeated measures with patients lost on the way.

    Example:  simtrials quick mmrm --difference 3.4 --sd 7.5 --correlation 0.6 --dropout 0.15

    See also: quick ancova, quick means
    """
    from simtrials.stats.closed_form import mmrm_power, mmrm_sample_size

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    kept = _kept(visits, dropout, retention)
    given = {"sd": sd, "correlations": _correlations(correlation, len(kept), structure), "retention_active": kept, **asked.level}
    seen = ", ".join(f"{100 * share:.4g}%" for share in kept)
    return two_arms(asked, partial(mmrm_power, effect, **given), partial(mmrm_sample_size, effect, **given)).by(
        "mixed model for repeated measures, normal approximation (Lu, Luo and Chen 2008)",
        f"difference {difference:g} and SD {sd:g} at the last visit, correlation {correlation:g} ({structure.replace('_', ' ')}), "
        f"seen at the visits {seen}, lost completely at random, {asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
        correlation=correlation,
        structure=structure,
        retention=kept,
    )


def _kept(visits: int, dropout: float, retention: str | None) -> list[float]:
    if retention is not None:
        try:
            return [float(share) for share in retention.split(",")]
        except ValueError:
            raise SimtrialsError(f"--retention must be shares with commas between them, such as 1,0.9,0.8,0.7, got {retention!r}") from None
    if not 1 <= visits <= 100:
        raise SimtrialsError(f"--visits must be 1 to 100, got {visits}")
    if not 0 <= dropout < 1:
        raise SimtrialsError(f"--dropout must be at least 0 and below 1, such as 0.15, got {dropout:g}")
    return [1 - dropout * visit / (visits - 1) for visit in range(visits)] if visits > 1 else [1 - dropout]


def _correlations(correlation: float, n_visits: int, structure: str) -> Any:
    import numpy as np

    from simtrials.stats.closed_form import inputs

    if structure not in STRUCTURES:
        raise SimtrialsError(f"--structure: nothing is called {structure!r}{did_you_mean(structure, STRUCTURES)}")
    between = inputs.correlation("correlation", correlation)
    lowest = -1 / (n_visits - 1) if n_visits > 1 else -1.0
    if structure == "compound_symmetry" and correlation <= lowest:
        raise SimtrialsError(f"--correlation of any two of {n_visits} visits must be above {lowest:.3g}, got {correlation:g}")
    lag = np.abs(np.subtract.outer(np.arange(n_visits), np.arange(n_visits)))
    return between**lag if structure == "ar1" else np.where(lag == 0, 1.0, between)


@quick.command()
@asks
def noninferiority(
    margin: Annotated[float, typer.Option(help="Largest loss still acceptable, positive: points, or a difference of shares.", metavar="X")],
    difference: Annotated[float, typer.Option(help="True difference of means, active minus control, benefit positive.", metavar="X")] = 0.0,
    sd: Sd = 1.0,
    active: Annotated[float | None, typer.Option(help="Share with the (good) event under active; for proportions.", metavar="P")] = None,
    control: Annotated[float | None, typer.Option(help="Share with the (good) event under control; for proportions.", metavar="P")] = None,
    n: N = None,
    power: Power = None,
    alpha: Annotated[float, typer.Option(help="One-sided level.", metavar="P")] = 0.025,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Not worse by more than a margin: means, or with --active and --control proportions.

    Example:  simtrials quick noninferiority --margin 2 --sd 7.5

    See also: quick means, quick proportions
    """
    from simtrials.stats import closed_form

    asked = question(n, power, alpha, True, ratio)
    shared = {"margin": margin, "one_sided_alpha": alpha}
    if (active is None) != (control is None):
        raise SimtrialsError("--active and --control belong together: give both for proportions, none for means")
    if active is None or control is None:
        given = {"sd": sd, **shared}
        found = two_arms(
            asked,
            partial(closed_form.noninferiority_t_power, difference, **given),
            partial(closed_form.noninferiority_t_sample_size, difference, **given),
        )
        return found.by(
            "one-sided t test against the margin, noncentral t (Chow, Shao and Wang 2008, section 3.2)",
            f"true difference {difference:g}, margin {margin:g}, SD {sd:g} in both arms, normal outcome, {asked.level_in_words}, "
            f"{asked.arms_in_words}",
            difference=difference,
            margin=margin,
            sd=sd,
        )
    found = two_arms(
        asked,
        partial(closed_form.noninferiority_proportions_power, active, control, **shared),
        partial(closed_form.noninferiority_proportions_sample_size, active, control, **shared),
    )
    return found.by(
        "one-sided unpooled z test against the margin (Chow, Shao and Wang 2008, section 4.2)",
        f"{active:g} against {control:g}, event good, margin {margin:g}, {asked.level_in_words}, {asked.arms_in_words}",
        active=active,
        control=control,
        margin=margin,
    )


@quick.command()
@asks
def cluster(
    difference: Difference,
    icc: Annotated[float, typer.Option(help="Intraclass correlation: share of the variance between clusters, 0 to 1.", metavar="R")],
    cluster_size: Annotated[float, typer.Option(help="Patients per cluster.", metavar="N")],
    sd: Annotated[float, typer.Option(help="Standard deviation of patients, in points.", metavar="X")] = 1.0,
    n: Annotated[int | None, typer.Option("--n", help="Clusters (not patients) in all, both arms: gives the power.", metavar="N")] = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Means when clusters such as sites are randomized, by the t test of the clusters' means.

    Example:  simtrials quick cluster --difference 0.4 --icc 0.05 --cluster-size 20

    See also: quick means
    """
    from simtrials.stats.closed_form import cluster_power, cluster_sample_size, design_effect

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    given = {"sd": sd, "icc": icc, "patients_per_cluster": cluster_size, **asked.level}

    def power_at(n_active: int, n_control: int) -> Any:
        return cluster_power(effect, clusters_active=n_active, clusters_control=n_control, **given)

    found = two_arms(asked, power_at, partial(cluster_sample_size, effect, **given), "clusters").by(
        "t test of the clusters' means (Donner and Klar 2000)",
        f"difference {difference:g}, SD {sd:g} of patients, ICC {icc:g} (design effect {float(design_effect(cluster_size, icc)):.3g}), "
        f"{cluster_size:g} patients per cluster, {asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
        icc=icc,
        cluster_size=cluster_size,
    )
    patients = found.values["n"] * cluster_size
    return found.adding(f"{patients:,.0f} patients in all", n_patients=patients)


@quick.command()
@asks
def interaction(
    difference: Annotated[
        float, typer.Option(help="Change of the treatment effect per unit of the marker, or with --share between absent and present.", metavar="X")
    ],
    sd: Annotated[float, typer.Option(help="Standard deviation of the outcome given arm and marker.", metavar="X")] = 1.0,
    marker_sd: Annotated[float | None, typer.Option(help="Standard deviation of a continuous marker; default 1.", metavar="X")] = None,
    share: Annotated[float | None, typer.Option(help="Share of patients with a marker that is present or absent.", metavar="P")] = None,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """A treatment effect that depends on a marker, by the interaction in a linear model.

    Example:  simtrials quick interaction --difference 0.3 --sd 1 --marker-sd 1

    See also: quick means
    """
    from simtrials.stats.closed_form import interaction_power, interaction_sample_size

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    if marker_sd is not None and share is not None:
        raise SimtrialsError("--marker-sd and --share exclude each other: the one is for a continuous marker, the other for one present or absent")
    if share is not None and not 0 < share < 1:
        raise SimtrialsError(f"--share must lie strictly between 0 and 1, got {share:g}")
    spread = (1.0 if marker_sd is None else marker_sd) if share is None else (share * (1 - share)) ** 0.5
    marker = f"normal marker with SD {spread:g}" if share is None else f"marker present in {100 * share:g}%"
    given = {"marker_sd": spread, "residual_sd": sd, "marker": "normal" if share is None else "fixed", **asked.level}
    return two_arms(asked, partial(interaction_power, effect, **given), partial(interaction_sample_size, effect, **given)).by(
        "t test of the product of arm and marker (Cohen 1988, chapter 9"
        + (")" if share is not None else "; averaged over the marker, Gatsonis and Sampson 1989)"),
        f"interaction {difference:g}, {marker}, SD {sd:g} given arm and marker, {asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
        marker_sd=spread,
        share=share,
    )


@quick.command()
@asks
def responder(
    difference: Difference,
    control: Control,
    sd: Sd = 1.0,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Responders cut from a score, against the t test of the score itself.

    Example:  simtrials quick responder --difference 3.4 --sd 7.5 --control 0.3

    See also: quick proportions, quick means
    """
    from simtrials.stats import closed_form

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    standardized = effect / float(closed_form.inputs.positive("sd", sd))
    active = float(closed_form.responder_proportion(standardized, control))
    scores = {"sd": sd, **asked.level}
    found = two_arms(
        asked,
        partial(closed_form.proportions_power, active, control, **asked.level),
        partial(closed_form.proportions_sample_size, active, control, **asked.level),
    ).by(
        "pooled test of two proportions (Fleiss, Tytun and Ury 1980) of a normal score that is cut (Peacock and others 2012)",
        f"difference {difference:g}, SD {sd:g} in both arms, responders {control:.4g} under control and so {active:.3f} under active, "
        f"{asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
        control=control,
        active=active,
    )
    size = {"n_active": found.values["n_active"], "n_control": found.values["n_control"]}
    of_scores = float(closed_form.t_test_power(effect, **size, **scores))
    whole = closed_form.t_test_sample_size(effect, power=asked.power, allocation_ratio=float(asked.ratio), **scores)
    line = f"the t test of the scores: power {percent(of_scores)} with these patients"
    line += f", or {int(whole.n_total):,} in all for {percent(float(whole.power))}" if asked.n is None else ""
    return found.adding(line, power_of_scores=of_scores, n_of_scores=int(whole.n_total) if asked.n is None else None)


@quick.command()
@asks
def meta(
    difference: Annotated[float, typer.Option(help="Mean effect, a standardized mean difference; the sign does not matter.", metavar="X")],
    per_arm: Annotated[int, typer.Option(help="Patients in each arm of each study.", metavar="N")],
    tau: Annotated[float, typer.Option(help="SD of the true effects between studies; 0 for a common effect.", metavar="X")] = 0.0,
    test: Annotated[str, typer.Option(help="hartung_knapp, which is the default of `simtrials meta`, or normal.", metavar="NAME")] = "hartung_knapp",
    n: Annotated[int | None, typer.Option("--n", help="Studies: gives the power.", metavar="N")] = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """A meta-analysis of studies of one size: studies needed, or the power of so many.

    Example:  simtrials quick meta --difference 0.35 --per-arm 15 --tau 0.26 --n 11

    See also: meta
    """
    from simtrials.stats.closed_form import meta_analysis_power, meta_analysis_studies

    asked, effect = question(n, power, alpha, one_sided), apart("--difference", difference)
    if not tau >= 0:
        raise SimtrialsError(f"--tau must be at least 0, got {tau:g}")
    given: dict[str, Any] = {"n_active": per_arm, "n_control": per_arm, "tau2": tau**2, "test": test, **asked.level}
    found = one_number(asked, lambda k: meta_analysis_power(effect, k=k, **given), partial(meta_analysis_studies, effect, **given), "studies")
    test_in_words = "normal test" if test == "normal" else "Hartung-Knapp t test"
    return found.by(
        f"{test_in_words} of the mean (Hedges and Pigott 2001{'' if test == 'normal' else '; Hartung and Knapp 2001'})",
        f"mean effect {difference:g} (SMD), tau {tau:g}, {per_arm:,} patients in each arm of each study, {asked.level_in_words}",
        difference=difference,
        tau=tau,
        per_arm=per_arm,
    ).adding(f"{found.values['n'] * 2 * per_arm:,} patients in all the studies", n_patients=found.values["n"] * 2 * per_arm)
