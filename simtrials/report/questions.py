"""Which question each analysis answers: the estimands with their true values, and the analyses side by side."""

from collections.abc import Iterator

import numpy as np

from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.inference.estimands import STRATEGIES, Target
from simtrials.report import numbers
from simtrials.report.departures import loss_sentences
from simtrials.report.names import labels_of, question_of, spoken, spoken_endpoint, spoken_in, unit_of, unit_of_scale
from simtrials.report.rows import count_of, power_rows
from simtrials.report.tables import Table

SUMMARIES = {
    "difference": "difference in means",
    "risk_difference": "risk difference",
    "log_risk_ratio": "risk ratio",
    "log_odds_ratio": "odds ratio",
}


def estimands_table(run: Run) -> Table | None:
    """The five attributes of every declared estimand, its true value, and the analyses that serve it; none where no estimand is declared."""
    scenario = run.scenario
    if not scenario.estimands:
        return None
    rows: list[tuple[str, ...]] = []
    for name in scenario.estimands:
        rows += _attributes(run, name)
    return Table("Estimands", ("attribute", "value"), rows, notes=(_note(scenario),))


def _attributes(run: Run, name: str) -> Iterator[tuple[str, ...]]:
    scenario, estimand = run.scenario, run.scenario.estimands[name]
    served = [key for key, analysis in scenario.analyses.items() if analysis.estimand == name]
    targets = [scenario.targets()[name]] if estimand.endpoint else [scenario.target_of(key) for key in served]
    yield (estimand.label or spoken(name),)
    yield "population", "; ".join(dict.fromkeys(spoken_in(target.population, scenario) if target.population else "enrolled" for target in targets))
    yield "treatments", "; ".join(dict.fromkeys(f"{spoken(target.arm)} against {spoken(scenario.design.arms[0])}" for target in targets))
    yield "variable", "; ".join(dict.fromkeys(variable_in_words(scenario, target) for target in targets))
    for event in scenario.intercurrent:
        yield f"{spoken(event)}", f"{spoken(estimand.strategy_for(event))}: {STRATEGIES[estimand.strategy_for(event)]}"
    if not scenario.intercurrent:
        yield "intercurrent events", "none declared"
    yield "summary measure", "; ".join(dict.fromkeys(SUMMARIES.get(target.scale, spoken(target.scale)) for target in targets))
    if name in run.estimand_values:
        yield "true value", _value(run, name)
    labels = labels_of(scenario)
    yield "analyses", "; ".join(f"{question_of(scenario, key)}, {labels[key]}" for key in served) or "none serves it"


def _value(run: Run, name: str) -> str:
    """The true value with the standard error of its computation; ratios as ratios."""
    truth, target = run.estimand_values[name], run.scenario.targets()[name]
    unit = unit_of_scale(run.scenario, target.endpoint, target.outcome, target.scale)
    if unit.name.startswith("log "):
        ratio = float(np.exp(truth.value))
        return f"{numbers.with_mcse(ratio, ratio * truth.std_error, 3)}, {unit.name.removeprefix('log ')}"
    return f"{numbers.with_mcse(unit.factor * truth.value, unit.factor * truth.std_error, unit.digits + 1)} {unit.name}"


def variable_in_words(scenario: Scenario, target: Target) -> str:
    """`change of MADRS at week 8`."""
    return f"{spoken(target.outcome)} of {spoken_endpoint(scenario, target.endpoint)} at week {numbers.plain(target.week)}"


def _note(scenario: Scenario) -> str:
    unnamed = sum(analysis.estimand is None for analysis in scenario.analyses.values())
    of_others = "" if not unnamed else " Analyses that name none serve the treatment policy for every event, in everybody enrolled."
    return f"True values from potential outcomes: the same patients in either arm, completely observed, without faults of measurement.{of_others}"


def side_by_side_table(run: Run) -> Table:
    """Every analysis in one row: power, level without effect, bias and coverage against its estimand."""
    rows: list[tuple[str, ...]] = []
    question = ""
    for row in power_rows(run):
        if row.question != question:
            question = row.question
            rows.append((question,))
        tally, unit = run.tallies(SCENARIO)[row.name], unit_of(run.scenario, row.name)
        measures = {measure.name: measure for measure in tally.measures()}
        estimand = run.scenario.analyses[row.name].estimand
        asked = run.scenario.estimands[estimand].label or spoken(estimand) if estimand else "treatment policy"
        power = numbers.DASH if row.count.none_estimable else numbers.share_detail(row.count.shown, row.count.of)
        bias = measures.get("bias")
        shown_bias = numbers.with_mcse(unit.factor * bias.value, unit.factor * bias.mcse, unit.digits + 1) if bias else numbers.DASH
        covered = numbers.share_detail(tally.n_covered, tally.n_intervals) if tally.n_intervals and tally.truth else numbers.DASH
        rows.append((row.label, asked, power, _level(run, row.name), f"{shown_bias} {unit.name}" if bias else shown_bias, covered))
    head = ("analysis", "estimand", "power, % (MCSE)", "significant without effect, % (MCSE)", "bias (MCSE)", "coverage, % (MCSE)")
    first = "Significant without effect: in either direction, every effect 0. Bias and coverage: against the true value of the estimand."
    notes = (first, *loss_sentences(run.scenario))
    return Table("Analyses side by side", head, rows, right=(2, 3, 5), notes=notes)


def _level(run: Run, name: str) -> str:
    if NULL not in run.cells:
        return numbers.DASH
    tally = run.tallies(NULL)[name]
    return numbers.DASH if count_of(tally).none_estimable else numbers.share_detail(tally.n_rejected, tally.n)
