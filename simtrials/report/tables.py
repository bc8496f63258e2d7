"""The tables of the report: heads, rows of printed cells, and notes below."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simtrials.core.measures import Measure, Tally
from simtrials.engine.declared import SCENARIO
from simtrials.engine.result import Run
from simtrials.report import numbers
from simtrials.report.checks import outcome_rows, people_rows, tenths
from simtrials.report.departures import departure_rows, other_departures
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.names import Unit, interval_name, labels_of, question_of, spoken, spoken_endpoint, unit_of
from simtrials.report.rows import PowerRow, count_of, power_rows, reason_in_words

FAR = 3.0
"""Monte Carlo standard errors from the nominal level beyond which a level is said to be above or below it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed; `right` are the columns aligned at the right. A row of one cell is the heading of those below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    notes: Sequence[str] = ()


def measures_table(run: Run, name: str, closed: PowerRow) -> Table:
    """All measures of one analysis in the scenario."""
    tally, unit = run.tallies(SCENARIO)[name], unit_of(run.scenario, name)
    rows = [*_shares(run, name, tally, closed), *_errors(run, name, tally, unit)]
    return Table(f"Measures: {closed.question}, {closed.label}", ("measure", "value (MCSE)", "note"), rows, right=(1,))


def _shares(run: Run, name: str, tally: Tally, closed: PowerRow) -> Iterator[tuple[str, str, str]]:
    n, n_significant, analysis = tally.n, int(tally.significant[0]), run.scenario.analyses[name]
    count = closed.count
    none = count.none_estimable
    yield "power, %", numbers.DASH if none else numbers.share_detail(tally.n_benefit, n), "no replicate could be estimated" if none else ""
    if closed.closed_form is not None:
        yield "power from a closed form, %", numbers.fixed(100 * closed.closed_form, 2), closed.closed_form_what
    if 0 < count.failed < n:
        tested = n - count.failed
        yield "power among the estimable, %", numbers.share_detail(tally.n_benefit, tested), f"of {numbers.whole(tested)}"
    yield "significant in either direction, %", numbers.DASH if none else numbers.share_detail(tally.n_rejected, n), ""
    yield "not estimable, %", numbers.share_detail(tally.n_failed, n), ""
    level = numbers.percent(1 - analysis.two_sided_alpha)
    other = interval_name(analysis)
    note = f"interval of another procedure than the test: {other}" if other else ""
    missing = "" if tally.n_intervals else "no interval"
    covered = numbers.share_detail(tally.n_covered, tally.n_intervals) if tally.truth else numbers.DASH
    yield f"coverage of the {level}% interval, %", covered, missing or note
    for label, counted in tally.flags.items():
        yield f"{label}, %", numbers.share_detail(counted, n), ""
    if n_significant and tally.truth and tally.truth.value:
        yield "wrong sign among the significant (type S), %", numbers.share_detail(tally.n_wrong_sign, n_significant), ""


def _errors(run: Run, name: str, tally: Tally, unit: Unit) -> Iterator[tuple[str, str, str]]:
    measures, truth = {measure.name: measure for measure in tally.measures()}, run.truths[SCENARIO][name]
    if np.isfinite(truth.value):
        shown = numbers.with_mcse(unit.factor * truth.value, unit.factor * truth.std_error, unit.digits + 1)
        yield f"truth, {unit.name}", shown, truth.kind + _as_ratio(unit, truth.value)
    else:
        yield f"truth, {unit.name}", numbers.DASH, truth.kind
    names = {
        "mean_estimate": "mean estimate",
        "bias": "bias",
        "empirical_se": "empirical SE",
        "model_se": "model SE (root of mean square)",
        "interval_width": "mean width of the interval",
    }
    for key, words in names.items():
        if key in measures:
            yield f"{words}, {unit.name}", _in_unit(measures[key], unit), measures[key].note
    if "relative_error_of_model_se" in measures:
        relative = measures["relative_error_of_model_se"]
        yield "model SE against empirical SE, %", numbers.with_mcse(100 * relative.value, 100 * relative.mcse, 1), relative.note
    exaggeration = measures["exaggeration"]
    shown = numbers.with_mcse(exaggeration.value, exaggeration.mcse, RATIO_DIGITS)
    yield "exaggeration among the significant (type M), ratio", shown, exaggeration.note


def _in_unit(measure: Measure, unit: Unit) -> str:
    return numbers.with_mcse(unit.factor * measure.value, unit.factor * measure.mcse, unit.digits + 1)


def _as_ratio(unit: Unit, value: float) -> str:
    """The ratio behind a truth on the log scale."""
    return f"; {unit.name.removeprefix('log ')} {numbers.fixed(float(np.exp(value)), RATIO_DIGITS)}" if unit.name.startswith("log ") else ""


def level_table(run: Run) -> Table:
    """Type I error: every analysis in every cell without effect, against its nominal level."""
    labels = labels_of(run.scenario)
    rows: list[tuple[str, ...]] = []
    for cell, label in run.cells.items():
        if cell == SCENARIO:
            continue
        rows.append((cell_in_words(label),))
        for name, tally in run.tallies(cell).items():
            analysis = run.scenario.analyses[name]
            both = analysis.nominal_either_way
            none = count_of(tally).none_estimable
            benefit = numbers.DASH if none else numbers.share_detail(tally.n_benefit, tally.n)
            either = numbers.DASH if none else numbers.share_detail(tally.n_rejected, tally.n)
            nominal = (numbers.percent(analysis.nominal), numbers.percent(both))
            verdict = numbers.DASH if none else against_nominal(tally.n_rejected, tally.n, both)
            names = (question_of(run.scenario, name), labels[name])
            rows.append((*names, benefit, nominal[0], either, nominal[1], verdict, numbers.whole(tally.n_failed)))
    head = ("question", "analysis", "benefit, % (MCSE)", "nominal", "either way, % (MCSE)", "nominal", "against nominal", "failed")
    either_way = "Either way: significant in either direction, the level of a two-sided test."
    note = f"Against nominal: above or below when more than {numbers.plain(FAR)} Monte Carlo standard errors from the nominal level."
    return Table("Type I error", head, rows, right=(2, 3, 4, 5, 7), notes=(either_way, note))


def against_nominal(count: int, of: int, nominal: float) -> str:
    """Whether a level agrees with its nominal value; the error is that of the nominal value."""
    error = float(np.sqrt(nominal * (1 - nominal) / of))
    distance = (count / of - nominal) / error
    return "agrees" if abs(distance) <= FAR else "above" if distance > 0 else "below"


def cell_in_words(label: str) -> str:
    """`no effect, madrs control course change −8`: a cell without the punctuation of paths."""
    words = []
    for part in label.split(", "):
        path, _, value = part.partition(" = ")
        names = path.removeprefix("endpoints.").replace(".", " ").replace("_", " ")
        words.append(f"{names} {_number_in_words(value)}".strip())
    return ", ".join(words)


def _number_in_words(value: str) -> str:
    try:
        return numbers.plain(float(value))
    except ValueError:
        return value


def failures_table(run: Run) -> Table:
    """Replicates that could not be estimated, by cell, analysis and reason."""
    labels, rows = labels_of(run.scenario), []
    for cell, label in run.cells.items():
        for name, tally in run.tallies(cell).items():
            for status, count in sorted(tally.failures.items()):
                names = (cell_in_words(label), question_of(run.scenario, name), labels[name], reason_in_words(status))
                rows.append((*names, numbers.whole(count), numbers.share_detail(count, tally.n)))
    return Table("Trials without an estimate", ("cell", "question", "analysis", "reason", "trials", "% (MCSE)"), rows, right=(4, 5))


def power_table(rows: Sequence[PowerRow], target: float) -> Table:
    """The power table of the terminal, with the shares without effect."""
    closed = any(row.closed_form is not None for row in rows)
    extra = ["closed form, %"] if closed else []
    head = ["question", "analysis", "power, % (MCSE)", *extra, f"target {numbers.percent(target)}", "without effect, % (MCSE)", "failed"]
    cells = []
    for row in rows:
        null = numbers.DASH if row.null is None or row.null.none_estimable else numbers.share_detail(row.null.shown, row.null.of)
        power = numbers.DASH if row.count.none_estimable else numbers.share_detail(row.count.shown, row.count.of)
        exact = [numbers.DASH if row.closed_form is None else numbers.fixed(100 * row.closed_form, 1)] if closed else []
        cells.append((row.question, row.label, power, *exact, row.verdict(target), null, numbers.whole(row.count.failed)))
    right = [i for i, words in enumerate(head) if i > 1 and not words.startswith("target")]
    return Table("Power", head, cells, right=right)


def patterns_table(run: Run) -> Table:
    """How often patterns of results occur, in every cell."""
    found = {cell: run.patterns(cell) for cell in run.cells}
    rows: list[tuple[str, ...]] = []
    for i, (name, pattern) in enumerate(run.scenario.patterns.items()):
        rows.append((pattern.label or spoken(name),))
        for cell, measures in found.items():
            measure = measures[i]
            shown = numbers.share_detail(round(measure.value * measure.n_replicates), measure.n_replicates)
            rows.append((cell_in_words(run.cells[cell]), shown))
    return Table("Patterns of results", ("cell", "trials, % (MCSE)"), rows, right=(1,))


def people_table(run: Run) -> Table | None:
    """Who is enrolled against who is screened."""
    rows = people_rows(run.portrait)
    return Table("Screened and enrolled", ("who", "screened", "enrolled"), rows, right=(1, 2)) if rows else None


def departures_table(run: Run) -> Table | None:
    """Events and who is still seen, by arm."""
    table, others = departure_rows(run.scenario, run.portrait), other_departures(run.scenario, run.portrait)
    notes = (f"Also: {', '.join(others)}.",) if others else ()
    return Table("Departures from the plan", table[0], table[1:], right=tuple(range(1, len(table[0]))), notes=notes) if table else None


def screening_table(run: Run) -> Table:
    """Numbers screened, and the share of candidates that each rule keeps out."""
    words = {
        "screened_per_enrolled": "screened per enrolled, mean",
        "screened_per_enrolled_q05": "screened per enrolled, 5% of trials below",
        "screened_per_enrolled_q50": "screened per enrolled, half of trials below",
        "screened_per_enrolled_q95": "screened per enrolled, 95% of trials below",
    }
    from simtrials.report.names import rules_in_words

    rules, rows = rules_in_words(run.scenario), []
    for measure in run.screening():
        if measure.name in words:
            rows.append((words[measure.name], numbers.with_mcse(measure.value, measure.mcse, 2)))
        else:
            rule = measure.name.removeprefix("failed: ")
            rows.append((f"of the screened: {rules.get(rule, rule)}, %", numbers.with_mcse(100 * measure.value, 100 * measure.mcse, 1)))
    return Table("Screening", ("measure", "value (MCSE)"), rows, right=(1,))


def outcome_tables(run: Run) -> Iterator[Table]:
    """Response and remission by arm, one table for each scale."""
    for name, about in run.portrait["endpoints"].items():
        table = outcome_rows(run.scenario, about)
        if len(table) > 1:
            title = f"{spoken_endpoint(run.scenario, name)}: outcomes at week {numbers.plain(about['weeks'][-1])}"
            yield Table(title, table[0], table[1:], right=(1, 2, 3, 4), notes=("Among the enrolled, if all were in that arm.",))


def tenths_tables(run: Run) -> Iterator[Table]:
    """Assumed benefit by tenths of the biomarker."""
    for table in tenths(run.scenario, run.portrait):
        yield Table("Assumed benefit by tenths of the enrolled", table[0], table[1:], right=tuple(range(1, len(table[0]))))


def rows_by_name(run: Run) -> Mapping[str, PowerRow]:
    """The rows of the power table by analysis."""
    return {row.name: row for row in power_rows(run)}
