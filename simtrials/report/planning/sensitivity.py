"""What the terminal shows of a sensitivity analysis, and which assumption matters most in words. Plain text, 80 columns."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable
from simtrials.planning.points import Share
from simtrials.planning.sensitivity import Apportioned, Difference, GlobalSensitivity, Sensitivity, Swing, Tornado
from simtrials.report import numbers
from simtrials.report.planning.labels import field_in_words, field_with_unit
from simtrials.report.planning.rescaled import rescaled_note
from simtrials.report.planning.text import in_percent, name_in_words
from simtrials.report.sentences import listed
from simtrials.report.text import INDENT, aligned, paragraph
from simtrials.stats.sobol import SETS, t_quantile

LEFT_OUT = ("endpoints", "departures", "assays", "analyses", "design", "effects", "priors")
"""Names in paths that say nothing to a reader."""
DECLARED = "as declared"
MOST_TABLES = 2
"""Analyses with tables of their own; more are told in sentences."""


def fields_in_words(paths: Sequence[str], scenario: Readable | None = None) -> dict[str, str]:
    """`effect of active on MADRS (SMD)`, `stopped rate`, `patients`: what a field is, where the scenario tells, else its path without the names
    of tables; whole where two would read alike.
    """
    short = {}
    for path in paths:
        parts = [part for part in path.split(".") if not part.isdigit() and part not in LEFT_OUT]
        plain, known = field_in_words(path), field_with_unit(scenario, path) if scenario is not None else field_in_words(path)
        told = known != plain or known in ("patients", "further trials")
        short[path] = known if told else " ".join(parts).replace("_", " ")
    words = list(short.values())
    return {path: text if words.count(text) == 1 else path for path, text in short.items()}


def value_in_words(value: object) -> str:
    """A declared number with up to four significant digits, a table by its kind and what else it has, anything else as it is."""
    if isinstance(value, dict):
        rest = [f"{name.replace('_', ' ')} {value_in_words(one)}" for name, one in value.items() if name != "kind"]
        return " ".join([*([str(value["kind"]).replace("_", " ")] if "kind" in value else []), *rest])
    if isinstance(value, list | tuple):
        return " ".join(value_in_words(one) for one in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return numbers.plain(float(f"{value:.4g}") if isinstance(value, float) else value)
    return str(value)


def sensitivity_summary(found: Sensitivity) -> str:
    """For each analysis which field matters most, and power at every value; then the shares of variance."""
    fields = fields_in_words([one.path for one in found.assumptions], found.scenario)
    tables = len(found.analyses) <= MOST_TABLES
    blocks = [paragraph(f"{found.scenario.name}: which assumption matters most for power?")]
    for name, tornado in found.analyses.items():
        blocks += [paragraph(tornado_sentence(found, name)), _table(found, name, tornado, fields) if tables else ""]
    if found.overall is not None:
        for name in found.analyses:
            blocks += [paragraph(overall_sentence(found, found.overall, name)), _shares(found, found.overall, name, fields) if tables else ""]
    blocks.append(paragraph(_notes(found), INDENT))
    held = rescaled_note(found.scenario, [one.path for one in found.assumptions], found.analyses)
    blocks += [paragraph(held, INDENT)] if held else []
    return "\n".join(block for block in blocks if block)


def noun(scenario: Readable) -> str:
    """What is simulated."""
    return "reviews" if isinstance(scenario, EvidenceScenario) else "trials"


# ---- one at a time


def tornado_sentence(found: Sensitivity, name: str) -> str:
    """`Power in severity moves most with the stopped rate, from 54% at 0.26 to 68% at 0.04.`"""
    tornado, fields = found.analyses[name], fields_in_words([one.path for one in found.assumptions], found.scenario)
    base = tornado.base
    if base.failed == base.of:
        return f"No result: none of the simulated {noun(found.scenario)} could be analyzed for {name_in_words(found.scenario, name)}."
    power = f"Power in {name_in_words(found.scenario, name)}"
    clear = [swing for swing in tornado.swings if swing.clear]
    still = [fields[swing.assumption.path] for swing in tornado.swings if not swing.clear]
    if tornado.n_leading == 0 or not clear:
        return f"{power} is {_power(base)} {DECLARED}; no field is seen to move it: {listed(still)}."
    leading, rest = tornado.swings[: tornado.n_leading], [swing for swing in tornado.swings[tornado.n_leading :] if swing.clear]
    told = [f"{fields[swing.assumption.path]}, {_reach(swing, base)}" for swing in leading if swing.clear]
    if len(tornado.swings) == 1:
        parts = [f"{power} is {_power(base)} {DECLARED}; it moves with {told[0]}."]
    elif len(told) == 1:
        parts = [f"{power} moves most with {told[0]}."]
    else:
        parts = [f"{power} moves most with one of these, and it cannot be told with which: {'; '.join(told)}."]
    if rest:
        parts.append(f"Less with {'; '.join(f'{fields[swing.assumption.path]}, {_reach(swing, base)}' for swing in rest)}.")
    if still:
        parts.append(f"Not seen to move it: {listed(still)}.")
    return " ".join(parts)


def _reach(swing: Swing, base: Share) -> str:
    """`from 54.1% at 0.26 to 68.3% at 0.04`: the lowest and the highest power, and where."""
    every = [(base, DECLARED), *((one.share, f"at {value_in_words(one.value)}") for one in swing.at)]
    (low, at_low), (high, at_high) = min(every, key=_share), max(every, key=_share)
    return f"from {numbers.in_percent(low.shown, low.of)} {at_low} to {numbers.in_percent(high.shown, high.of)} {at_high}"


def _power(share: Share) -> str:
    """`63 ± 3%`, or the count where all or none of the trials show a benefit."""
    words = in_percent(share)
    return f"{words}%" if "±" in words else words


def _share(pair: tuple[Share, str]) -> float:
    return pair[0].value


def _table(found: Sensitivity, name: str, tornado: Tornado, fields: dict[str, str]) -> str:
    lines = [[name_in_words(found.scenario, name), "value", "power, %", "against declared"], [DECLARED, "", in_percent(tornado.base), ""]]
    for swing in tornado.swings:
        for i, one in enumerate(swing.at):
            words = fields[swing.assumption.path] if i == 0 else ""
            lines.append([words, value_in_words(one.value), in_percent(one.share), signed(one.difference)])
    return aligned(lines, right=(1, 2, 3), flexible=(0, 1))


def signed(difference: Difference) -> str:
    """`+6.2 ± 0.9` percentage points; `same` where nothing was changed."""
    if difference.mcse == 0:
        return "same"
    text = plus_minus(difference)
    return f"+{text}" if difference.value > 0 and any(digit in "123456789" for digit in text.partition(" ")[0]) else text


def plus_minus(difference: Difference) -> str:
    """`6.2 ± 0.9` percentage points, never with an error of 0."""
    value, mcse = 100 * difference.value, 100 * difference.mcse
    half = numbers.rounded(numbers.Z95 * mcse, mcse, 1)
    return f"{numbers.rounded(value, mcse, 1)} ± {half if any(digit in '123456789' for digit in half) else '0.1'}"


# ---- all at once


def overall_sentence(found: Sensitivity, overall: GlobalSensitivity, name: str) -> str:
    """`All at once, power in severity lies between 31 and 90% in 90 of 100 cases; the stopped rate accounts for 5 to 12% of its variance.`"""
    one, fields = overall.analyses[name], fields_in_words([assumption.path for assumption in found.assumptions], found.scenario)
    low, high = (numbers.fixed(100 * float(value), 0) for value in np.quantile(one.powers, (0.05, 0.95)))
    start = f"All at once, power in {name_in_words(found.scenario, name)} lies between {low} and {high}% in 90 of 100 cases"
    total = one.indices.total_order
    if np.isnan(total).any():
        return f"{start}, hardly more than simulated trials vary by themselves: its variance is not apportioned."
    order = np.argsort(-total)
    spans = [f"{fields[overall.paths[i]]} {span(total[i], one.indices.total_order_se[i])}%" for i in order]
    largest = all(one.indices.clearly_larger(int(order[0]), int(k)) for k in order[1:])
    ranked = f"Most of it comes from {fields[overall.paths[order[0]]]}." if largest and _limits(one, int(order[0]))[0] > 0.5 else ""
    if largest and not ranked:
        ranked = f"The largest part comes from {fields[overall.paths[order[0]]]}."
    if not largest:
        near = [fields[overall.paths[k]] for k in order if k == order[0] or not one.indices.clearly_larger(int(order[0]), int(k))]
        which = "of them" if len(near) == len(order) else f"of {listed(near)}"
        ranked = f"Which {which} accounts for most cannot be told from so few points."
    return f"{start}. Of its variance, alone or with others, these account for: {', '.join(spans)}. {ranked}".strip()


def span(value: float, se: float) -> str:
    """An interval of a share of variance in whole percent, within 0 and 100: `5 to 12`, `below 1`."""
    low, high = interval(value, se)
    last = min(100, math.ceil(100 * high - 1e-9))
    first = math.floor(100 * low + 1e-9)
    if first == 0 and last <= 1:
        return "below 1"
    return f"{first} to {last}"


def interval(value: float, se: float) -> tuple[float, float]:
    """95% interval of an index, within 0 and 1."""
    half = t_quantile() * se
    return float(np.clip(value - half, 0, 1)), float(np.clip(value + half, 0, 1))


def _limits(one: Apportioned, i: int) -> tuple[float, float]:
    return interval(one.indices.total_order[i], one.indices.total_order_se[i])


def _shares(found: Sensitivity, overall: GlobalSensitivity, name: str, fields: dict[str, str]) -> str:
    one = overall.analyses[name].indices
    if np.isnan(one.total_order).any():
        return ""
    lines: list[list[Any]] = [[f"{name_in_words(found.scenario, name)}, % of variance", "alone", "alone or with others"]]
    for i in np.argsort(-one.total_order):
        cells = [
            f"{percent_of_variance(value)} ({span(value, se)})"
            for value, se in ((one.first_order[i], one.first_order_se[i]), (one.total_order[i], one.total_order_se[i]))
        ]
        lines.append([fields[overall.paths[i]], *cells])
    return aligned(lines, right=(1, 2), flexible=(0,))


def percent_of_variance(value: float) -> str:
    """An index in whole percent, within 0 and 100."""
    return numbers.fixed(100 * float(np.clip(value, 0, 1)), 0)


def _notes(found: Sensitivity) -> str:
    """How to read it, how many trials, what failed, and what was left out."""
    failed = sum(swing_at.share.failed for tornado in found.analyses.values() for swing in tornado.swings for swing_at in swing.at)
    failed += sum(tornado.base.failed for tornado in found.analyses.values())
    what = noun(found.scenario)
    parts = [f"±: 95% Monte Carlo interval, {numbers.whole(found.n_replicates)} simulated {what} at each value, all with the same luck."]
    parts.append(f"Differences are paired, in percentage points. {numbers.whole(failed)} failed.")
    if len(found.analyses) > MOST_TABLES:
        parts.append("Every number: --json, or ask for one analysis.")
    fields = fields_in_words([one.path for one in found.assumptions], found.scenario)
    if quantiles := [fields[one.path] for one in found.assumptions if one.from_prior]:
        parts.append(f"At 5% and 95% of the prior: {listed(quantiles)}.")
    if rounded := [f"{fields[one.path]} (multiples of {one.step})" for one in found.assumptions if one.step is not None and one.step > 1]:
        parts.append(f"Whole numbers: {listed(rounded)}.")
    if found.overall is not None:
        parts += _notes_overall(found, found.overall, fields)
    return " ".join(parts)


def _notes_overall(found: Sensitivity, overall: GlobalSensitivity, fields: dict[str, str]) -> list[str]:
    trials = f"{numbers.whole(overall.n_simulated)} points, {numbers.whole(overall.n_replicates)} {noun(found.scenario)} at each"
    parts = [
        f"All at once: Sobol' indices of independent fields, {trials}; in brackets the 95% interval, from {SETS} sets of points and trials."
        " What the trials add to the variance is deducted."
    ]
    if missing := [words for path, words in fields.items() if path not in overall.paths]:
        parts.append(f"Without {listed(missing)}, which {'has' if len(missing) == 1 else 'have'} alternatives and no distribution.")
    return parts
