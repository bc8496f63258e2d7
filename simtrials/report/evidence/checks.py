"""What a scenario of bodies of evidence amounts to before it is run, for `simtrials check`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simtrials.core.data import Table
from simtrials.engine.evidence.run import evidence_cells, ready_evidence
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.run import expected_seconds
from simtrials.report import numbers
from simtrials.report.evidence.rows import RATIOS, UNITS
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.names import spoken
from simtrials.report.text import INDENT, aligned, head, paragraph


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: places, patients, true effects by outcome, seconds that a run takes."""

    scenario: EvidenceScenario
    outcomes: Mapping[str, Mapping[str, Any]]
    n_places: int
    n_patients: float
    seconds: float
    n_cells: int

    def plain(self) -> dict[str, Any]:
        """Plain values."""
        content: dict[str, Any] = {"scenario": self.scenario.name, "studies": self.n_places, "patients": self.n_patients}
        return content | {"outcomes": {name: dict(about) for name, about in self.outcomes.items()}, "cells": self.n_cells, "seconds": self.seconds}

    def text(self) -> str:
        """The block that the terminal shows."""
        table = [["outcome", "effect size", "true mean", "true tau", "studies", "patients"]]
        for name, about in self.outcomes.items():
            ratio = about["scale"] in RATIOS
            mean = float(np.exp(about["mean"])) if ratio else about["mean"]
            unit = RATIOS.get(about["scale"], UNITS[about["scale"]])
            tau = numbers.fixed(about["tau"], RATIO_DIGITS) + (" (log)" if ratio else "")
            counts = numbers.fixed(about["studies"], 0 if about["studies"] == round(about["studies"]) else 1), numbers.whole(about["patients"])
            table.append([spoken(name), unit, numbers.fixed(mean, RATIO_DIGITS), tau, *counts])
        sizes = f"Bodies of evidence of {self.n_places} trials at most, {numbers.whole(self.n_patients)} patients on average."
        time = f"{INDENT}{numbers.whole(self.n_cells)} cells of {numbers.whole(self.scenario.n_replicates)}: about {numbers.duration(self.seconds)}"
        return "\n".join([head(self.scenario), paragraph(sizes), aligned(table, right=(2, 3, 4, 5)), time])


def check_evidence(scenario: EvidenceScenario, tables: Mapping[str, Table]) -> Checked:
    """Prepare every cell and simulate one block."""
    cells = evidence_cells(scenario, {name: table.checksum for name, table in tables.items()}, null=True)
    simulations = [ready_evidence(cell.scenario, tables) for cell in cells]
    first = simulations[0]
    table = first.body(0).table
    outcomes = {}
    for name, measured in first.prepared.measured.items():
        law, effects = first.prepared.law(name), table.effects(name)
        known = np.isfinite(effects.yi)
        patients = np.where(known, table.numbers[name].n.sum(axis=-1), 0.0).sum(axis=1).mean()
        about = {"measure": measured.measure, "scale": measured.scale, "mean": law.mean, "tau": float(np.sqrt(law.variance))}
        outcomes[name] = about | {"studies": float(known.sum(axis=1).mean()), "patients": float(patients)}
    seconds = expected_seconds(first, scenario.n_replicates, len(cells))
    n_patients = float(np.where(table.included, table.n_patients, 0.0).sum(axis=1).mean())
    return Checked(scenario, outcomes, scenario.studies.n_places, n_patients, seconds, len(cells))
