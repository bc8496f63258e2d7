"""``simtrials quick``: power and sample size by formula."""

from functools import partial
from typing import Annotated

import typer

from simtrials.cli.app import Commands, app
from simtrials.cli.options import Json, Quiet
from simtrials.cli.quick_answers import Answer, apart, asks, inside, of_number, one_number, question, two_arms
from simtrials.core.errors import SimtrialsError

quick = typer.Typer(name="quick", cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.add_typer(quick, rich_help_panel="Plan")


@quick.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """Give power or sample size of textbook designs by formula, with its source, at once and without simulation.

    With --n the answer is the power, with --power the sample size, with neither the sample size for a power of 0.8.

    Example:  simtrials quick means --difference 0.5 --sd 1

    See also: size, power, check
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


N = Annotated[int | None, typer.Option("--n", help="Patients in all, both arms: gives the power.", metavar="N")]
Power = Annotated[float | None, typer.Option(help="Gives the sample size; 0.8 if --n is not given either.", metavar="P")]
Alpha = Annotated[float, typer.Option(help="Level of the test: two-sided, or one-sided with --one-sided.", metavar="P")]
OneSided = Annotated[bool, typer.Option("--one-sided", help="A one-sided test, in the direction of what is assumed.")]
Ratio = Annotated[str, typer.Option(help="Patients on active to patients on control, such as 2, 2:1 or 2/3.", metavar="A:C")]
Difference = Annotated[float, typer.Option(help="Difference of means, active to control, in points; the sign does not matter.", metavar="X")]
Sd = Annotated[float, typer.Option(help="Standard deviation in each arm, in points; with 1 the difference is standardized.", metavar="X")]
Active = Annotated[float, typer.Option(help="Share of patients with the event under active, 0 to 1.", metavar="P")]
Control = Annotated[float, typer.Option(help="Share of patients with the event under control, 0 to 1.", metavar="P")]


@quick.command()
@asks
def means(
    difference: Difference,
    sd: Sd = 1.0,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Two means, by the t test.

    Example:  simtrials quick means --difference 3.4 --sd 7.5 --power 0.9

    See also: quick ancova, quick mmrm, quick noninferiority
    """
    from simtrials.stats.closed_form import t_test_power, t_test_sample_size

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    given = {"sd": sd, **asked.level}
    return two_arms(asked, partial(t_test_power, effect, **given), partial(t_test_sample_size, effect, **given)).by(
        "two-sample t test with pooled variance, noncentral t (O'Brien and Muller 1993)",
        f"difference {difference:g}, SD {sd:g} in both arms, normal outcome, {asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
    )


@quick.command()
@asks
def paired(
    difference: Annotated[float, typer.Option(help="Mean difference within pairs, in points; the sign does not matter.", metavar="X")],
    sd: Annotated[float, typer.Option(help="SD of the differences within pairs; with --correlation that of single values.", metavar="X")] = 1.0,
    correlation: Annotated[float | None, typer.Option(help="Correlation of the two values of a pair.", metavar="R")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Pairs (or patients of a crossover): gives the power.", metavar="N")] = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Pairs of values, or patients who cross over, by the paired t test.

    Example:  simtrials quick paired --difference 2 --sd 6 --correlation 0.5

    See also: quick means
    """
    from simtrials.stats.closed_form import inputs, paired_t_power, paired_t_sample_size

    asked, effect = question(n, power, alpha, one_sided), apart("--difference", difference)
    of_pairs = float(inputs.positive("sd", sd))
    spread = f"SD of differences {sd:g}"
    if correlation is not None:
        of_pairs *= float((2 * (1 - inputs.correlation("correlation", correlation))) ** 0.5)
        spread = f"SD {sd:g}, correlation {correlation:g} (SD of differences {of_pairs:.3g})"
    given = {"sd": of_pairs, **asked.level}
    found = one_number(asked, lambda pairs: paired_t_power(effect, n_pairs=pairs, **given), partial(paired_t_sample_size, effect, **given), "pairs")
    return found.by(
        "paired t test, noncentral t (O'Brien and Muller 1993)",
        f"mean difference {difference:g}, {spread}, normal differences, {asked.level_in_words}",
        difference=difference,
        sd_of_differences=of_pairs,
    )


@quick.command()
@asks
def proportions(
    active: Active,
    control: Control,
    test: Annotated[
        str, typer.Option(help="pooled, unpooled, arcsine, continuity_corrected, or fisher (which is exact).", metavar="NAME")
    ] = "pooled",
    exact: Annotated[bool, typer.Option("--exact", help="Exact power of the pooled or unpooled test, every table counted.")] = False,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Two proportions, such as responders, by the z (chi-square) or Fisher's test.

    Exact power is saw-toothed: the exact size is that from which on the power stays above its target.

    Example:  simtrials quick proportions --active 0.5 --control 0.3 --test fisher

    See also: quick logistic, quick responder, quick noninferiority
    """
    from simtrials.cli.quick_exact import exact_proportions
    from simtrials.stats.closed_form import proportions_power, proportions_sample_size

    asked = question(n, power, alpha, one_sided, ratio)
    apart("--active", inside("--active", active), inside("--control", control))
    facing = (active, control) if active > control else (1 - active, 1 - control)
    assumed = f"{active:.4g} against {control:.4g}, {asked.level_in_words}, {asked.arms_in_words}"
    if exact or test == "fisher":
        return exact_proportions(asked, *facing, test).by(
            f"{'Fisher exact' if test == 'fisher' else f'{test} z'} test, all tables enumerated (Suissa and Shuster 1985; Chernick and Liu 2002)",
            assumed,
            active=active,
            control=control,
        )
    given = {"test": test, **asked.level}
    return two_arms(asked, partial(proportions_power, *facing, **given), partial(proportions_sample_size, *facing, **given)).by(
        f"{test.replace('_', ' ')} test of two proportions, normal approximation ({SOURCES[test]})", assumed, active=active, control=control
    )


SOURCES = {
    "pooled": "Fleiss, Tytun and Ury 1980",
    "continuity_corrected": "Fleiss, Tytun and Ury 1980",
    "unpooled": "Chow, Shao and Wang 2008, section 4.2",
    "arcsine": "Cohen 1988, chapter 6",
}


@quick.command()
@asks
def ancova(
    difference: Difference,
    correlation: Annotated[float, typer.Option(help="(Multiple) correlation of the covariates, such as baseline, with the outcome.", metavar="R")],
    sd: Sd = 1.0,
    covariates: Annotated[int, typer.Option(help="Covariates in the model.", metavar="N")] = 1,
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Two means, adjusted for baseline or other covariates.

    Example:  simtrials quick ancova --difference 3.4 --sd 7.5 --correlation 0.5

    See also: quick means, quick mmrm
    """
    from simtrials.stats.closed_form import ancova_power, ancova_sample_size

    asked, effect = question(n, power, alpha, one_sided, ratio), apart("--difference", difference)
    given = {"sd": sd, "correlation": correlation, "n_covariates": covariates, **asked.level}
    return two_arms(asked, partial(ancova_power, effect, **given), partial(ancova_sample_size, effect, **given)).by(
        "analysis of covariance, averaged over chance imbalance of the covariates (Shieh 2020)",
        f"difference {difference:g}, SD {sd:g} before adjustment, {covariates} covariate{'s' * (covariates != 1)} with correlation {correlation:g}, "
        f"all normal, {asked.level_in_words}, {asked.arms_in_words}",
        difference=difference,
        sd=sd,
        correlation=correlation,
        covariates=covariates,
    )


@quick.command()
@asks
def logistic(
    control: Control,
    odds_ratio: Annotated[float, typer.Option(help="Odds ratio, active to control, above 0.", metavar="X")],
    n: N = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """An odds ratio, by Wald's test in logistic regression on the arm alone.

    Example:  simtrials quick logistic --control 0.3 --odds-ratio 2

    See also: quick proportions
    """
    from simtrials.stats.closed_form import logistic_power, logistic_sample_size

    asked = question(n, power, alpha, one_sided, ratio)
    apart("--odds-ratio", odds_ratio, 1.0)
    inside("--control", control)
    facing = (control, odds_ratio) if odds_ratio > 1 or odds_ratio <= 0 else (1 - control, 1 / odds_ratio)
    return two_arms(asked, partial(logistic_power, *facing, **asked.level), partial(logistic_sample_size, *facing, **asked.level)).by(
        "Wald test of the log odds ratio, normal approximation (Demidenko 2007)",
        f"event under control {control:.4g}, odds ratio {odds_ratio:g}, {asked.level_in_words}, {asked.arms_in_words}",
        control=control,
        odds_ratio=odds_ratio,
    )


@quick.command()
@asks
def survival(
    hazard_ratio: Annotated[float, typer.Option(help="Hazard ratio, active to control, above 0.", metavar="X")],
    event_share: Annotated[float | None, typer.Option(help="Share of all patients with the event by the end: gives patients.", metavar="P")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Events (not patients) in both arms together: gives the power.", metavar="N")] = None,
    power: Power = None,
    alpha: Alpha = 0.05,
    one_sided: OneSided = False,
    ratio: Ratio = "1",
    as_json: Json = False,
    quiet: Quiet = False,
) -> Answer:
    """Times to an event, such as relapse, by the log-rank test.

    Example:  simtrials quick survival --hazard-ratio 0.6 --event-share 0.4

    See also: quick proportions
    """
    import math

    from simtrials.stats.closed_form import inputs, log_rank_events, log_rank_power

    asked = question(n, power, alpha, one_sided, ratio)
    apart("--hazard-ratio", hazard_ratio, 1.0)
    facing = hazard_ratio if hazard_ratio < 1 else 1 / hazard_ratio
    level, allocation = asked.level, float(asked.ratio)
    events = asked.n or math.ceil(float(log_rank_events(facing, power=asked.power, alpha=level["alpha"], allocation_ratio=allocation)) - 1e-9)
    reached = float(log_rank_power(facing, n_events=events, allocation_ratio=allocation, **level))
    found = of_number(asked, events, reached, "events in both arms together").by(
        "log-rank test under proportional hazards (Schoenfeld 1981)",
        f"hazard ratio {hazard_ratio:g}, {asked.level_in_words}, {asked.arms_in_words}",
        hazard_ratio=hazard_ratio,
    )
    if event_share is None:
        return found
    if not 0 < event_share <= 1:
        raise SimtrialsError(f"--event-share must be above 0 and at most 1, got {event_share:g}")
    parts = asked.ratio.numerator + asked.ratio.denominator
    patients = math.ceil(events / float(inputs.positive("event_share", event_share)) / parts - 1e-9) * parts
    each = f"{patients // 2:,} per arm" if parts == 2 else f"{asked.arms_in_words}"
    return found.adding(
        f"{patients:,} patients, {each}, if {100 * event_share:g}% of them have the event", n_patients=patients, event_share=event_share
    )
