"""Whom to enroll, in words and in tables: for the terminal and for the page."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses.tables import OfTables
from simtrials.planning.enrollment_result import NEAR_BEST, NEAR_POWER, Best, Choice, UnderShape, WhomToEnroll
from simtrials.planning.table_power import LARGEST_ARM
from simtrials.report import numbers
from simtrials.report.names import spoken_assay
from simtrials.report.planning.text import field_in_words, in_percent, name_in_words
from simtrials.report.sentences import listed, sentence_case
from simtrials.report.tables import Table
from simtrials.report.text import INDENT, aligned, paragraph
from simtrials.trial.eligibility import Limits
from simtrials.trial.endpoints import Binary, Endpoint

PHRASES = {
    "cost": ("least cost", "costs", "of the least cost"),
    "months": ("shortest time", "takes", "of the shortest time"),
    "screened": ("fewest screened", "screens", "of the fewest screened"),
}
"""The best in words, the verb of an excess, and what a value is near of."""


def asked_in_words(scenario: Scenario, path: str) -> tuple[str, str]:
    """A field of eligibility or of screening, and its unit: `lowest CRP`, `mg/L`."""
    first, *rest = path.split(".")
    if first == "eligibility" and len(rest) == 2 and rest[0].isdigit() and int(rest[0]) < len(scenario.eligibility):
        rule = scenario.eligibility[int(rest[0])]
        ends = {"at_least": "lowest", "at_most": "highest"}
        if isinstance(rule, Limits) and rest[1] in ends:
            assay = scenario.assays.get(rule.variable)
            name = spoken_assay(rule.variable) if assay is not None else rule.variable.replace("_", " ").replace(".", " ")
            return f"{ends[rest[1]]} {name} admitted", assay.unit if assay is not None else ""
    if first == "assays" and rest[1:] == ["samples"]:
        return f"screening samples of {spoken_assay(rest[0])}", ""
    return field_in_words(path), ""


def noun_of(found: WhomToEnroll) -> str:
    """What one value is called: a cut-off, or a value."""
    return "cut-off" if found.path.endswith(("at_least", "at_most")) else "value"


def valued(found: WhomToEnroll, value: object) -> str:
    """`3 mg/L`, `2 samples`."""
    unit = asked_in_words(found.scenario, found.path)[1] or (("sample" if value == 1 else "samples") if _is_samples(found) else "")
    return f"{numbers.plain(value) if isinstance(value, int | float) else value}{f' {unit}' if unit else ''}"


def with_value(found: WhomToEnroll, value: object) -> str:
    """`a lowest CRP of 3 mg/L`, `2 screening samples of CRP`, `sites number 4`."""
    what = asked_in_words(found.scenario, found.path)[0]
    if noun_of(found) == "cut-off":
        return f"a {what.removesuffix(' admitted')} of {valued(found, value)}"
    if _is_samples(found):
        return f"{value} {what if value != 1 else what.replace('samples', 'sample')}"
    return f"{what} {valued(found, value)}"


def _is_samples(found: WhomToEnroll) -> bool:
    return found.path.startswith("assays.") and found.path.endswith(".samples")


def answer_sentences(found: WhomToEnroll) -> list[str]:
    """The answer over all shapes, first."""
    noun = noun_of(found)
    goal = f"{numbers.percent(found.asked.power)}% power in {name_in_words(found.scenario, found.asked.analysis, alone=True)}"
    best, verb, _ = PHRASES[found.objective]
    robust = found.robust()
    if robust is None:
        return [f"No {noun} reaches {goal} under every shape of the effect that was looked at."]
    value, excess, error = robust
    if len(found.shapes) == 1:
        return [f"The {best} for {goal} is with {with_value(found, value)}."]
    more = "is the best" if excess == 0 else f"{verb} at most {in_excess(excess, error)} more than the best {noun}"
    first = f"For {goal}, a trial with {with_value(found, value)} {more}"
    sentences = [f"{first}, whichever of the {_counted(len(found.shapes))} shapes of the effect is true."]
    own = own_place(found)
    if own is None or found.values[own] == value:
        return sentences
    here = f"The scenario's own {noun}, {valued(found, found.values[own])},"
    every = [(float(one.excess[own]), float(one.mcse[own])) for shape in found.shapes if (one := shape.best(found.objective)) is not None]
    if not all(np.isfinite(excess) for excess, _ in every):
        return [*sentences, f"{here} does not reach it under every shape."]
    least, most = in_excess(*min(every)), in_excess(*max(every))
    return [*sentences, f"{here} {verb} {least if least == most else f'{least} to {most}'} more than the best."]


def in_excess(excess: float, mcse: float) -> str:
    """`7 ± 3%`: how much more than the best, with its 95% Monte Carlo interval."""
    if mcse == 0:
        return f"{numbers.fixed(100 * excess, 0)}%"
    return f"{numbers.fixed(100 * excess, 0)} ± {numbers.fixed(max(100 * numbers.Z95 * mcse, 1.0), 0)}%"


def own_place(found: WhomToEnroll) -> int | None:
    """Which of the values the scenario itself declares; None where it declares another."""
    place: Any = found.scenario.model_dump(mode="json")
    for part in found.path.split("."):
        place = place[int(part)] if isinstance(place, list) else place.get(part) if isinstance(place, dict) else None
    return list(found.values).index(place) if place in found.values else None


def shape_sentences(found: WhomToEnroll, shape: UnderShape) -> list[str]:
    """The best for each objective under a shape, with what is near it."""
    sentences = []
    best = shape.best(found.objective)
    if best is None or best.choice.takes is None:
        reason = shape.choices[0].found.reason
        sentences.append(f"No {noun_of(found)} reaches {numbers.percent(found.asked.power)}% power: {reason}." if reason else "")
    else:
        sentences.append(f"{sentence_case(PHRASES[found.objective][0])} at {valued(found, best.choice.value)}: {_taken(found, best.choice)}.")
        sentences.append(flatness(found, best))
    if found.objective != "months" and (quick := shape.best("months")) is not None and quick.choice.takes is not None:
        months = numbers.fixed(quick.choice.takes.months.value, 0)
        near = f"; {_range(found, quick.near)} within {numbers.percent(NEAR_BEST)}%" if len(quick.near) > 1 else ""
        sentences.append(f"Shortest time at {valued(found, quick.choice.value)}: {months} months{near}.")
    bought = shape.best("power")
    if bought is not None and bought.choice.bought is not None and found.asked.budget is not None and found.scenario.costs is not None:
        money = f"{numbers.money(found.asked.budget)} {found.scenario.costs.currency}"
        power = f"{in_percent(bought.choice.bought)}% with {numbers.whole(bought.choice.affordable or 0)} patients"
        power += ", the most that were looked at" if bought.choice.capped else ""
        near = f"; {_range(found, bought.near)} within {numbers.percent(NEAR_POWER)} points" if len(bought.near) > 1 else ""
        sentences.append(f"Most power for {money} at {valued(found, bought.choice.value)}: {power}{near}.")
    return [sentence for sentence in sentences if sentence]


def flatness(found: WhomToEnroll, best: Best) -> str:
    """`Any cut-off from 4 to 6 mg/L is within 5% of the least cost.`"""
    near = PHRASES[best.objective][2]
    if len(best.near) > 1:
        excess, mcse, _ = max(zip(best.excess, best.mcse, best.choices, strict=True), key=lambda one: float(one[0]) if one[2] in best.near else -1.0)
        within = f"Any {noun_of(found)} {_range(found, best.near)} is within {numbers.percent(NEAR_BEST)}% {near}"
        return f"{within} (at most {in_excess(float(excess), float(mcse))} above it)."
    others = [each for each in zip(best.excess, best.mcse, best.choices, strict=True) if each[0] > 0]
    if not others:
        return f"No other {noun_of(found)} that was looked at reaches the power."
    excess, mcse, choice = min(others, key=lambda one: float(one[0]))
    verb = PHRASES[best.objective][1]
    more = f"{valued(found, choice.value)}, {verb} {in_excess(float(excess), float(mcse))} more"
    return f"No other {noun_of(found)} is within {numbers.percent(NEAR_BEST)}%; the next, {more}."


def _range(found: WhomToEnroll, near: Sequence[Choice]) -> str:
    first, last = near[0].value, near[-1].value
    numeric = all(isinstance(value, int | float) for value in (first, last))
    return f"from {numbers.plain(first)} to {valued(found, last)}" if numeric else f"from {first} to {last}"


def _taken(found: WhomToEnroll, choice: Choice) -> str:
    """`336 patients of 1,160 screened, 11.3 M USD, 36 months`."""
    assert choice.takes is not None
    parts = [f"{numbers.whole(choice.found.n or 0)} patients of {numbers.whole(_third(choice.takes.screened.value))} screened"]
    if found.scenario.costs is not None:
        parts.append(f"{money(choice.takes.cost.value)} {found.scenario.costs.currency}")
    if found.scenario.recruitment is not None:
        parts.append(f"{numbers.fixed(choice.takes.months.value, 0)} months")
    return ", ".join(parts)


def money(value: float) -> str:
    """Three significant digits, for costs that are compared: `11.3 M`."""
    return f"{numbers.significant(value / 1e6, 3)} M" if value >= 1e6 else numbers.whole(_third(value))


def money_scale(found: WhomToEnroll) -> tuple[float, str]:
    """The unit in which costs are compared: millions, or thousands where most are below a million."""
    costs = [choice.takes.cost.value for shape in found.shapes for choice in shape.choices if choice.takes is not None]
    return (1e6, "million") if costs and float(np.median(costs)) >= 1e6 else (1e3, "thousand")


def _third(value: float) -> float:
    """Rounded to three significant digits."""
    return float(f"{value:.3g}")


def _counted(n: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(n, str(n))


def values_table(found: WhomToEnroll, shape: UnderShape) -> Table:
    """What each value takes and shows under a shape."""
    what, unit = asked_in_words(found.scenario, found.path)
    heads = [
        f"{what}{f', {unit}' if unit else ''}",
        *_heads(found),
        f"{name_in_words(found.scenario, found.asked.analysis, alone=True)} with {numbers.whole(found.scenario.design.n_patients)} patients, %",
    ]
    rows = [
        [numbers.plain(c.value) if isinstance(c.value, int | float) else str(c.value), *_cells(found, c), in_percent(c.shares[found.asked.analysis])]
        for c in shape.choices
    ]
    return Table(f"If the effect is: {shape.label}", heads, rows, right=tuple(range(1, len(heads))))


def designs_table(found: WhomToEnroll) -> Table | None:
    """Every design under every shape; under each heading one shape."""
    if not found.asked.designs:
        return None
    also = list(dict.fromkeys(name for rival in found.asked.designs.values() for name in rival.also))
    goal = f"{numbers.percent(found.asked.power)}% power in {name_in_words(found.scenario, found.asked.analysis, alone=True)}"
    heads = ["design", *_heads(found), *(f"{name.replace('_', ' ')}, %" for name in also)]
    rows: list[list[str]] = []
    for shape in found.shapes:
        rows.append([sentence_case(shape.label)])
        rows += [
            [choice.name, *_cells(found, choice), *(in_percent(choice.shares[name]) if name in choice.shares else "" for name in also)]
            for choice in shape.designs
        ]
    return Table(f"Designs that reach {goal}", heads, rows, right=tuple(range(1, len(heads))))


def effect_unit(endpoint: Endpoint) -> str:
    """The unit in which effects on an endpoint are declared: its own, or the log odds ratio of yes-or-no endpoints."""
    return "log odds ratio" if isinstance(endpoint, Binary) else endpoint.unit


def dilution_table(found: WhomToEnroll) -> Table:
    """Who is enrolled at each value, and what a noisy marker does to the effect."""
    what, unit = asked_in_words(found.scenario, found.path)
    endpoint = found.scenario.endpoints[found.scenario.analyses[found.asked.analysis].endpoint]
    heads = [
        f"{what}{f', {unit}' if unit else ''}",
        "enrolled of 100 screened (95% of surveys)",
        "usually below the lowest admitted, of 100 enrolled",
    ]
    heads += [f"{shape.label}: effect, {effect_unit(endpoint)} (if usual value were seen)" for shape in found.shapes]
    rows = []
    for i, value in enumerate(found.values):
        made = found.shapes[0].choices[i].funnel
        low, high = np.quantile(made.pass_rates, (0.025, 0.975)) if made.pass_rates.size else (np.nan, np.nan)
        rate = numbers.fixed(100 * made.pass_rate, 0)
        rate += f" ({numbers.fixed(100 * float(low), 0)} to {numbers.fixed(100 * float(high), 0)})" if made.pass_rates.size else ""
        row = [
            numbers.plain(value) if isinstance(value, int | float) else str(value),
            rate,
            numbers.DASH if made.below is None else numbers.fixed(100 * made.below, 0),
        ]
        for shape in found.shapes:
            here = shape.choices[i].funnel
            row.append(f"{numbers.fixed(here.effect, 2)} ({numbers.fixed(here.effect_if_known, 2)})")
        rows.append(row)
    return Table("What the rule lets in", heads, rows, right=tuple(range(1, len(heads))))


def _heads(found: WhomToEnroll) -> list[str]:
    heads = ["randomized", "screened"]
    heads += ["months"] if found.scenario.recruitment is not None else []
    return heads + ([f"cost, {money_scale(found)[1]} {found.scenario.costs.currency}"] if found.scenario.costs is not None else [])


def _cells(found: WhomToEnroll, choice: Choice) -> list[str]:
    took = choice.takes
    if took is None:
        return [numbers.DASH] * len(_heads(found))
    cells = [f"{numbers.whole(choice.found.n or 0)} ± {numbers.whole(((choice.found.upper or 0) - (choice.found.lower or 0)) / 2)}"]
    screened, low, high = (numbers.whole(_third(one)) for one in (took.screened.value, took.screened.lower, took.screened.upper))
    cells.append(screened if found.scenario.costs is not None else f"{screened} ({low} to {high})")
    cells += [numbers.fixed(took.months.value, 0)] if found.scenario.recruitment is not None else []
    if found.scenario.costs is not None:
        spread = (value / money_scale(found)[0] for value in (took.cost.value, took.cost.lower, took.cost.upper))
        value, low, high = (numbers.significant(one, 3) if one < 999.5 else numbers.whole(_third(one)) for one in spread)
        cells.append(f"{value} ({low} to {high})")
    return cells


def notes(found: WhomToEnroll) -> Iterator[str]:
    """How to read intervals and ranges."""
    survey = found.asked.survey is not None and any(choice.funnel.pass_rates.size for shape in found.shapes for choice in shape.choices)
    held = ["the sampling of the survey (bootstrap by cluster)"] if survey else []
    held += ["the Monte Carlo error of the number", "the luck of screening"] + (["of recruiting"] if found.scenario.recruitment is not None else [])
    ranges = "costs" if found.scenario.costs is not None else "numbers screened"
    yield f"±: 95% Monte Carlo interval. Ranges of {ranges} hold 95% of futures: {listed(held)}."
    if not survey:
        yield "The prevalence of the marker is taken as known."
    analysis = found.scenario.analyses[found.asked.analysis]
    if isinstance(analysis, OfTables):
        yield (
            "Power is saw-toothed in the number; given is the number from which on the target holds, or, with more than "
            f"{LARGEST_ARM} patients in an arm, where the smooth course of power reaches it."
        )
    elif analysis.needs_binary:
        yield "Of a yes-or-no outcome power may be saw-toothed in the number; given is where its smooth course reaches the target."
    if found.left_out:
        asked = name_in_words(found.scenario, found.asked.analysis, alone=True)
        yield f"Left out: {listed(list(found.left_out))}, which changes another analysis than {asked}."
    impossible: dict[str, list[str]] = {}
    for shape in found.shapes:
        for choice in (*shape.choices, *shape.designs):
            if choice.found.n is None:
                impossible.setdefault(f"{shape.label}: {choice.found.reason}", []).append(
                    choice.name if choice.value is None else valued(found, choice.value)
                )
    yield from (f"{numbers.DASH} {listed(names)}, {why}." for why, names in impossible.items())
    lost = sum(share.failed for shape in found.shapes for choice in (*shape.choices, *shape.designs) for share in choice.shares.values())
    yield f"{numbers.whole(found.replicates)} trials simulated; {numbers.whole(lost)} analyses failed at the numbers shown."


def enrollment_summary(found: WhomToEnroll) -> str:
    """The block for the terminal: the answer, then a table and the best under each shape, then designs."""
    lines = [paragraph(f"{found.scenario.name}: {found.scenario.question}".rstrip(": "))]
    lines += [paragraph(sentence, INDENT) for sentence in answer_sentences(found)]
    for shape in found.shapes:
        made = values_table(found, shape)
        lines += ["", paragraph(made.title), aligned([made.head, *made.rows], right=tuple(made.right), flexible=_narrowed(made))]
        lines += [paragraph(sentence, INDENT) for sentence in shape_sentences(found, shape)]
    designs = designs_table(found)
    if designs is not None:
        lines += ["", paragraph(designs.title)]
        for title, rows in _groups(designs.rows):
            lines += [paragraph(title, INDENT), aligned([designs.head, *rows], right=tuple(designs.right), flexible=_narrowed(designs))]
    lines += ["", *(paragraph(note, INDENT) for note in notes(found))]
    return "\n".join(lines)


def _narrowed(made: Table) -> tuple[int, ...]:
    """Columns that may be narrowed in the terminal: the first, then from the last on."""
    return (0, *range(len(made.head) - 1, 0, -1))


def _groups(rows: Sequence[Sequence[str]]) -> list[tuple[str, list[Sequence[str]]]]:
    """Rows below each heading of one cell."""
    groups: list[tuple[str, list[Sequence[str]]]] = []
    for row in rows:
        if len(row) == 1:
            groups.append((row[0], []))
        else:
            groups[-1][1].append(row)
    return groups
