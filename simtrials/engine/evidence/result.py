"""A finished run of bodies of evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.measures import Judged, Measure, Truth
from simtrials.engine.declared import SCENARIO, Pattern
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.evidence.simulation import COUNTS
from simtrials.engine.results import Results
from simtrials.inference.judge import Levels

if TYPE_CHECKING:
    import pandas as pd

    from simtrials.report.words import Words

PAIRED = ("power", "rejection", "coverage", "bias", "mean_squared_error", "interval_width", "not_estimable")
"""Measures of which two syntheses of the same outcome are compared on the same bodies of evidence."""


@dataclass(frozen=True, slots=True, repr=False)
class EvidenceRun(Results):
    """A finished run of a scenario of bodies of evidence."""

    scenario: EvidenceScenario

    @property
    def asked(self) -> Mapping[str, Levels]:
        return self.scenario.syntheses

    @property
    def declared_patterns(self) -> Mapping[str, Pattern]:
        return self.scenario.patterns

    @property
    def name(self) -> str:
        return self.scenario.name

    def about(self, name: str) -> tuple[str, str]:
        synthesis = self.scenario.syntheses[name]
        outcome = self.scenario.outcomes[synthesis.outcome]
        studies = f", studies with {synthesis.where}" if synthesis.where else ""
        return f"mean over studies of the {self.meanings[name].scale.replace('_', ' ')} of {synthesis.outcome}{studies}", outcome.endpoint

    def whole_cell(self, cell: str) -> Sequence[Measure]:
        return self.counts(cell)

    def counts(self, cell: str = SCENARIO) -> list[Measure]:
        """Mean number of studies that were run, published and included, and of patients, per body of evidence."""
        sums = {name: np.zeros(2) for name in COUNTS}
        for columns in self.shards(cell):
            for name in COUNTS:
                values = columns[name].astype(np.float64)
                sums[name] += values.sum(), np.square(values).sum()
        n = self.n_replicates
        made = []
        for name, (total, squares) in sums.items():
            spread = max(squares / n - (total / n) ** 2, 0.0)
            made.append(Measure(name.replace(" ", "_"), float(total / n), float(np.sqrt(spread / n)), n))
        return made

    def variant_cells(self) -> dict[str, str]:
        """The cell of each variant, by the name of the variant."""
        found = {cell.removeprefix("variant-").rpartition("-")[0]: cell for cell in self.cells if cell.startswith("variant-")}
        return {name: found[name] for name in self.scenario.variants if name in found}

    def sweep_cells(self) -> list[str]:
        """The cells of the sweep, in its order."""
        return [cell for cell in self.cells if cell.startswith("sweep-")]

    def differences(self, cell: str = SCENARIO) -> "pd.DataFrame":
        """Differences between the syntheses of the same outcome and studies, on the same bodies of evidence, each with its paired MCSE."""
        import pandas as pd

        pairs = [pair for pair in combinations(self.scenario.syntheses, 2) if self._comparable(*pair)]
        sums = {pair: np.zeros((len(PAIRED), 3)) for pair in pairs}
        for columns in self.shards(cell):
            judged = {name: self.judged(name, columns) for name in {name for pair in pairs for name in pair}}
            values = {name: _per_replicate(one, self.truths[cell][name]) for name, one in judged.items()}
            for first, second in pairs:
                difference = values[second] - values[first]
                known = np.isfinite(difference)
                filled = np.where(known, difference, 0.0)
                sums[first, second] += np.stack([known.sum(axis=1), filled.sum(axis=1), np.square(filled).sum(axis=1)], axis=1)
        rows = []
        for (first, second), found in sums.items():
            for measure, (n, total, squares) in zip(PAIRED, found, strict=True):
                mean = total / n if n else np.nan
                mcse = float(np.sqrt(max(squares / n - mean**2, 0.0) / n)) if n else np.nan
                row = {"synthesis": second, "against": first, "measure": measure, "difference": mean, "mcse": mcse, "n_replicates": int(n)}
                rows.append({"scenario": self.name, "cell": self.cells[cell], "outcome": self.scenario.syntheses[first].outcome} | row)
        return pd.DataFrame(rows)

    def _comparable(self, first: str, second: str) -> bool:
        one, other = self.scenario.syntheses[first], self.scenario.syntheses[second]
        return (one.outcome, one.where) == (other.outcome, other.where)

    def summary(self, headed: bool = True) -> str:
        from simtrials.report.evidence.text import summary

        return summary(self, headed)

    def plot(self, figure: str = "power", path: str | Path | None = None) -> Any:
        """One of the report's figures by name; saved when a path is given."""
        from simtrials.report.evidence.figures import draw

        return draw(self, figure, path)

    def words(self, *analyses: str) -> "Words":
        """Words for a protocol: the ADEMP table of the simulation study; bodies of evidence have no sample-size paragraph."""
        from simtrials.report.words import words_of_evidence

        return words_of_evidence(self, analyses)

    def report(self) -> Path:
        from simtrials.report.evidence.html import write_report

        return write_report(self)


def _per_replicate(judged: Judged, truth: Truth) -> FloatArray:
    """(measure, R) what each replicate adds to each of the paired measures; NaN where it adds nothing."""
    known = (judged.status == 0) & np.isfinite(judged.estimate)
    error = np.where(known, judged.estimate - truth.value, np.nan)
    with np.errstate(invalid="ignore"):
        covered = np.where(known, (judged.lower <= truth.value) & (truth.value <= judged.upper), np.nan)
        width = np.where(known, judged.upper - judged.lower, np.nan)
    conclusions = judged.benefit.astype(float), judged.rejected.astype(float)
    return np.stack([*conclusions, covered, error, error**2, width, (judged.status != 0).astype(float)])
