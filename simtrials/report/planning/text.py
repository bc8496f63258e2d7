"""What the terminal shows of power curves and sample sizes. Plain text, 80 columns."""

from collections.abc import Mapping

import numpy as np

from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable
from simtrials.engine.scenario import Scenario
from simtrials.planning.assurance import Assurance
from simtrials.planning.hypercube import Mean
from simtrials.planning.points import Share
from simtrials.planning.power_curve import PowerCurve
from simtrials.planning.sample_size import SampleSize
from simtrials.report import numbers
from simtrials.report.evidence.rows import labels_of as synthesis_labels
from simtrials.report.evidence.rows import question_of as question_of_synthesis
from simtrials.report.names import labels_of, question_of
from simtrials.report.planning.labels import field_in_words as field_in_words
from simtrials.report.planning.labels import field_with_unit
from simtrials.report.planning.rescaled import rescaled_note
from simtrials.report.sentences import listed
from simtrials.report.text import INDENT, aligned, paragraph


def name_in_words(scenario: Readable, name: str, alone: bool = False) -> str:
    """`severity`, or `severity, ANCOVA` where the question has several analyses."""
    if isinstance(scenario, EvidenceScenario):
        question, label = question_of_synthesis(scenario, name), synthesis_labels(scenario)[name]
        questions = [question_of_synthesis(scenario, one) for one in scenario.syntheses]
    else:
        question, label = question_of(scenario, name), labels_of(scenario)[name]
        questions = [question_of(scenario, one) for one in scenario.analyses]
    return question if questions.count(question) == 1 or alone else f"{question}, {label}"


def in_percent(share: Share) -> str:
    """`80.1 ± 0.5`; a dash where nothing could be analyzed."""
    return numbers.DASH if share.failed == share.of else numbers.share(share.shown, share.of)


MOST_COLUMNS = 4
"""Analyses that stand beside each other in a table; more stand below each other."""


def curve_summary(curve: PowerCurve) -> str:
    """The table of a power curve: a row for each point, or for each point and analysis."""
    heads = [field_with_unit(curve.scenario, path) for path in curve.over]
    exact = [name for name in curve.analyses if any(name in point.closed_form for point in curve.points)]
    table = _wide(curve, heads, exact) if len(curve.analyses) + len(exact) <= MOST_COLUMNS else _long(curve, heads, exact)
    counts = {share.of for point in curve.points for share in point.shares.values()}
    failed = sum(share.failed for point in curve.points for share in point.shares.values())
    most = numbers.whole(max(counts))
    each = most if len(counts) == 1 else f"{numbers.whole(min(counts))} to {most}"
    note = f"±: 95% Monte Carlo interval, {each} simulated {_noun(curve.scenario)} at each point, all with the same luck."
    note += f" {numbers.whole(failed)} failed."
    held = rescaled_note(curve.scenario, curve.over, curve.analyses)
    notes = [paragraph(note, INDENT), *([paragraph(held, INDENT)] if held else [])]
    return "\n".join([paragraph(f"{curve.scenario.name}: power over {listed(heads)}"), table, *notes])


def _wide(curve: PowerCurve, heads: list[str], exact: list[str]) -> str:
    names = [f"{name_in_words(curve.scenario, name)}, %" for name in curve.analyses]
    lines = [[*heads, *names, *(f"closed form, {name_in_words(curve.scenario, one)}" for one in exact)]]
    for point in curve.points:
        shown = [in_percent(point.shares[name]) for name in curve.analyses]
        lines.append([*(_value(value) for value in point.values), *shown, *(_known(point.closed_form, one) for one in exact)])
    return aligned(lines, right=tuple(range(len(lines[0]))), flexible=(*range(len(heads)), *range(len(heads), len(lines[0]))))


def _long(curve: PowerCurve, heads: list[str], exact: list[str]) -> str:
    lines = [[*heads, "analysis", "power, %", *(["closed form"] if exact else [])]]
    for point in curve.points:
        for i, name in enumerate(curve.analyses):
            values = [_value(value) if i == 0 else "" for value in point.values]
            known = [_known(point.closed_form, name)] if exact else []
            lines.append([*values, name_in_words(curve.scenario, name), in_percent(point.shares[name]), *known])
    last = len(lines[0])
    right = (*range(len(heads)), *range(len(heads) + 1, last))
    return aligned(lines, right=right, flexible=(len(heads), *range(len(heads))))


def _known(closed_form: Mapping[str, float], name: str) -> str:
    return numbers.fixed(100 * closed_form[name], 1) if name in closed_form else numbers.DASH


def _value(value: object) -> str:
    return numbers.plain(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _noun(scenario: Readable) -> str:
    return "reviews" if isinstance(scenario, EvidenceScenario) else "trials"


def size_summary(size: SampleSize) -> str:
    """`352 patients (95% interval 346 to 360); power there 80.1 ± 0.5`, what it took, and the other analyses there."""
    found, what = size.found, field_in_words(size.feasible.path)
    asked = listed([name_in_words(size.scenario, name) for name in size.analyses])
    every = "all of " if len(size.analyses) > 1 else ""
    cost = f"{numbers.whole(found.replicates)} {_noun(size.scenario)} simulated, {numbers.duration(size.seconds)}"
    if found.n is None or found.lower is None or found.upper is None:
        return "\n".join([paragraph(f"{size.scenario.name}: {every}{asked}: {found.reason}.", INDENT), f"{INDENT}{cost}"])
    power = numbers.rounded(100 * found.power, 100 * found.mcse, 1)
    half = numbers.rounded(100 * numbers.Z95 * found.mcse, 100 * found.mcse, 1)
    answer = f"{numbers.whole(found.n)} {what} (95% interval {numbers.whole(found.lower)} to {numbers.whole(found.upper)})"
    lines = [paragraph(f"{answer} for {numbers.percent(size.target)}% power in {every}{asked}; power there {power} ± {half}", INDENT)]
    lines.append(paragraph("; ".join(part for part in (size.feasible.why, size.teeth, cost) if part), INDENT))
    rest = [f"{name_in_words(size.scenario, name)} {in_percent(share)}" for name, share in size.others.items() if [name] != list(size.analyses)]
    if rest:
        lines.append(paragraph(f"at {numbers.whole(found.n)} {what}: {'; '.join(rest)}", INDENT))
    return "\n".join(lines)


def mean_in_percent(mean: Mean, n_replicates: int) -> str:
    """`58.3 ± 0.4`: a probability averaged over draws; a dash where there is no draw, and a count where no trial has it or every one."""
    if not mean.n_draws:
        return numbers.DASH
    of = mean.n_draws * n_replicates
    if mean.value in (0.0, 1.0):
        return numbers.counted(round(mean.value * of), of)
    return with_interval(100 * mean.value, 100 * mean.mcse, 1)


def with_interval(value: float, mcse: float, most: int) -> str:
    """`143.2 ± 0.4`: a mean with its 95% Monte Carlo interval; without one where it is known exactly."""
    if not np.isfinite(value):
        return numbers.DASH
    if mcse == 0:
        return numbers.plain(round(value, most))
    places = numbers.decimals(mcse, most)
    return f"{numbers.fixed(value, places)} ± {numbers.fixed(max(numbers.Z95 * mcse, 10.0**-places), places)}"


def mean_per_hundred(value: float, mcse: float) -> str:
    """How many of 100: one number where half the 95% interval is at most 1, else a range."""
    half = 100 * numbers.Z95 * mcse
    low, high = max(100 * value - half, 0.0), min(100 * value + half, 100.0)
    return numbers.fixed(100 * value, 0) if half <= 1 else f"{numbers.fixed(low, 0)} to {numbers.fixed(high, 0)}"


def left_open(scenario: Readable) -> str:
    """What the average is over, in words."""
    return "the review leaves open" if "meta-analysis" in scenario.sources.get("priors", "") else "the priors leave open"


def assurance_sentence(found: Assurance, name: str) -> str:
    """What to expect of an analysis, beside what the declared values suggest."""
    one, declared = found.analyses[name], found.analyses[name].declared
    shown = f"show a benefit in {name_in_words(found.scenario, name)}"
    average = f"{mean_per_hundred(one.value, one.mcse)} of 100 such {_noun(found.scenario)} {shown}"
    certain = numbers.per_hundred(declared.shown, declared.of)
    return f"Averaged over what {left_open(found.scenario)}, {average}; taking the declared values as certain suggests {certain}."


def ceiling_sentence(found: Assurance) -> str:
    """Why no number of patients reaches the target; empty where that cannot be said."""
    lost = found.nothing_or_harm
    target = found.scenario.target_power
    if lost is None or lost < 0.005 or 1 - lost >= target:
        return ""
    limit, share = numbers.fixed(100 * (1 - lost), 0), numbers.fixed(100 * lost, 0)
    prior = "this prior has" if len(found.priors) == 1 else "these priors have"
    what = "patients" if isinstance(found.scenario, Scenario) else "trials"
    cannot = f"No number of {what} reaches {numbers.percent(target)}%"
    return f"{cannot}: in {share} of 100 cases {prior} the drug doing nothing or harm; the limit is {limit}."


def assurance_summary(found: Assurance) -> str:
    """What to expect of the first analysis in words, a table of all, and the most that any number of patients can reach."""
    lines = [
        paragraph(
            f"{found.scenario.name}: averaged over what is left open of {listed([field_with_unit(found.scenario, path) for path in found.priors])}"
        )
    ]
    lines.append(paragraph(assurance_sentence(found, next(iter(found.analyses)))))
    table = [["analysis", "averaged, %", "at declared values, %", "5 to 95% of draws, %"]]
    for name, one in found.analyses.items():
        averaged = mean_in_percent(Mean(one.value, one.mcse, found.n_draws), found.n_replicates)
        low, high = (numbers.fixed(100 * float(value), 0) for value in np.quantile(one.powers, (0.05, 0.95)))
        table.append([name_in_words(found.scenario, name), averaged, in_percent(one.declared), f"{low} to {high}"])
    lines.append(aligned(table, right=(1, 2, 3), flexible=(0,)))
    ceiling = ceiling_sentence(found)
    if ceiling:
        lines.append(paragraph(ceiling, INDENT))
    elif found.nothing_or_harm is not None and found.nothing_or_harm >= 0.02:
        share, limit = (numbers.fixed(100 * value, 0) for value in (found.nothing_or_harm, 1 - found.nothing_or_harm))
        lines.append(
            paragraph(f"In {share} of 100 draws the drug does nothing or harms; with very many patients the average would be {limit}.", INDENT)
        )
    declared = dict(found.priors) == dict(found.scenario.priors)
    source = found.scenario.sources.get("priors") if declared else None
    lines += [paragraph(f"Priors: {source}.", INDENT)] if source else []
    lines.append(paragraph(f"±: 95% Monte Carlo interval. {draws_in_words(found.scenario, found.n_draws, found.n_replicates)}", INDENT))
    return "\n".join(lines)


def draws_in_words(scenario: Readable, n_draws: int, n_replicates: int) -> str:
    """`200 draws of the priors, 256 simulated trials at each.`"""
    return f"{numbers.whole(n_draws)} draws of the priors, {numbers.whole(n_replicates)} simulated {_noun(scenario)} at each."
