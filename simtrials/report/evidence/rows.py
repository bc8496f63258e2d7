"""Names and rows of syntheses, the same for terminal, figures and report."""

from collections.abc import Iterator

import numpy as np

from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.report import numbers
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.names import Unit, spoken
from simtrials.report.rows import PowerRow, count_of

UNITS = {
    "difference": "points",
    "standardized_mean_difference": "SMD",
    "risk_difference": "percentage points",
    "arcsine_difference": "arcsine difference",
    "log_risk_ratio": "log risk ratio",
    "log_odds_ratio": "log odds ratio",
}
RATIOS = {"log_risk_ratio": "risk ratio", "log_odds_ratio": "odds ratio"}


def question_of(scenario: EvidenceScenario, name: str) -> str:
    """The outcome that a synthesis is about."""
    outcome = scenario.syntheses[name].outcome
    return scenario.outcomes[outcome].label or spoken(outcome)


def labels_of(scenario: EvidenceScenario) -> dict[str, str]:
    """The label of each synthesis: its own, or its method with what tells it from the others of its outcome."""
    labels = {}
    for name, synthesis in scenario.syntheses.items():
        where = f", {synthesis.where}" if synthesis.where else ""
        labels[name] = synthesis.label or f"{synthesis.method}{where}"
    places = {name: (question_of(scenario, name), label) for name, label in labels.items()}
    twice = {place for place in places.values() if list(places.values()).count(place) > 1}
    return {name: f"{label} ({name})" if places[name] in twice else label for name, label in labels.items()}


def unit_of(run: EvidenceRun, name: str) -> Unit:
    """The unit of the effect of a synthesis."""
    scale = run.meanings[name].scale
    if scale == "risk_difference":
        return Unit(100.0, 1, UNITS[scale])
    if scale == "difference":
        endpoint = run.scenario.endpoints[run.scenario.outcomes[run.scenario.syntheses[name].outcome].endpoint]
        return Unit(1.0, RATIO_DIGITS, endpoint.unit)
    return Unit(1.0, RATIO_DIGITS, UNITS[scale])


def effect_in_words(run: EvidenceRun, name: str, value: float, mcse: float) -> str:
    """`SMD 0.35`, `risk ratio 1.36`."""
    scale, unit = run.meanings[name].scale, unit_of(run, name)
    if scale in RATIOS:
        ratio = float(np.exp(value))
        return f"{RATIOS[scale]} {numbers.rounded(ratio, ratio * mcse, RATIO_DIGITS)}"
    text = numbers.rounded(unit.factor * value, unit.factor * mcse, unit.digits)
    return f"{unit.name} {text}" if scale == "standardized_mean_difference" else f"{text} {unit.name}"


def power_rows(run: EvidenceRun, cell: str = SCENARIO) -> list[PowerRow]:
    """One row per synthesis; rows of one outcome stand together, in the order of the file."""
    labels = labels_of(run.scenario)
    nulls = run.tallies(NULL) if NULL in run.cells and cell == SCENARIO else {}
    rows = []
    for name, tally in run.tallies(cell).items():
        question, null = question_of(run.scenario, name), count_of(nulls[name]) if nulls else None
        rows.append(PowerRow(name, question, labels[name], count_of(tally), null, run.scenario.syntheses[name].nominal, None, ""))
    order = list(dict.fromkeys(row.question for row in rows))
    return sorted(rows, key=lambda row: order.index(row.question))


def leading(run: EvidenceRun, rows: list[PowerRow]) -> list[PowerRow]:
    """One row per outcome: the primary synthesis, or the first of the file."""
    chosen: dict[str, PowerRow] = {}
    primary = run.scenario.primary
    for row in rows:
        if row.question not in chosen or (row.name in primary and chosen[row.question].name not in primary):
            chosen[row.question] = row
    return list(chosen.values())


def cells_in_words(run: EvidenceRun) -> Iterator[tuple[str, str]]:
    """Cells other than the scenario, with their labels."""
    for cell, label in run.cells.items():
        if cell != SCENARIO:
            yield cell, label
