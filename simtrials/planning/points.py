"""One scenario at many values of its fields: each point is simulated as far as it is asked for and stored, so that asking twice costs nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import BoolArray
from simtrials.core.data import Estimates, Table, TrialData
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.core.measures import Truth, share_mcse
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.blocks import Columns, Meaning, Simulated, Simulation, estimates_of
from simtrials.engine.cells import ready
from simtrials.engine.declared import NAMES_ONLY
from simtrials.engine.evidence.run import ready_evidence
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable, declared_from, located, set_at, tables_of
from simtrials.engine.provenance import fingerprint
from simtrials.engine.results import without_none
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import CellStore
from simtrials.engine.truth import coarse_truth
from simtrials.engine.workers import Workers, remembered
from simtrials.inference.analyses import Analysis
from simtrials.inference.judge import judge

FOLDER = "points"
"""Folder of results in which points are kept, one folder each, shared by all planning questions."""
KEPT = ("name", "recruitment", "costs")
"""Fields that change no draw and that points need all the same."""
APART = 1_000_000
"""Blocks between points that are to be independent of each other."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many simulated trials show a benefit; those that could not be analyzed show none."""

    shown: int
    of: int
    failed: int = 0

    @property
    def value(self) -> float:
        """The share."""
        return self.shown / self.of if self.of else float("nan")

    @property
    def mcse(self) -> float:
        """Its Monte Carlo standard error, never 0."""
        return share_mcse(self.shown, self.of)


@dataclass(frozen=True, slots=True)
class Shifted:
    """A simulation that begins at a later block, so that its luck is its own."""

    simulation: Simulated
    first: int

    @property
    def analyses(self) -> Mapping[str, Any]:
        """The analyses, or syntheses, by name."""
        return self.simulation.analyses

    def columns(self, block: int) -> Columns:
        """Columns of one block."""
        return self.simulation.columns(self.first + block)

    def many(self, blocks: Sequence[int]) -> list[Columns]:
        """Several blocks, one after another."""
        return self.simulation.many([self.first + block for block in blocks])

    def meanings(self) -> dict[str, Meaning]:
        """What the columns of each are."""
        return self.simulation.meanings()


def _short(value: Any) -> str:
    """A value in a label: a number with at most six digits, a table by its kind."""
    if isinstance(value, Mapping):
        return str(value.get("kind", "changed")).replace("_", " ")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(slots=True)
class Point:
    """The scenario at one set of values; simulated only when something is missing in its store."""

    scenario: Readable
    changes: Mapping[str, Any]
    tables: Mapping[str, Table]
    folder: Path
    known: str
    workers: Workers
    first: int = 0
    _simulation: Simulated | None = None
    _store: CellStore | None = None

    @property
    def label(self) -> str:
        """`n_patients 200`."""
        return ", ".join(f"{path.rpartition('.')[2].replace('_', ' ')} {_short(value)}" for path, value in self.changes.items()) or "as declared"

    @property
    def simulation(self) -> Simulated:
        """Ready to be simulated.

        Raises
        ------
        DeclarationError
            When the scenario cannot be simulated at these values.
        """
        if self._simulation is None:
            made: Simulated
            made = ready_evidence(self.scenario, self.tables) if isinstance(self.scenario, EvidenceScenario) else ready(self.scenario, self.tables)
            self._simulation = Shifted(made, self.first) if self.first else made
        return self._simulation

    @property
    def store(self) -> CellStore:
        """What was simulated of it."""
        if self._store is None:
            self._store = CellStore(self.folder / "blocks", self.known)
        return self._store

    def simulate(self, n_replicates: int) -> None:
        """Simulate and store what is missing of the first trials."""
        if self.store.n_blocks * BLOCK_SIZE < n_replicates:
            self.workers.extend(self.label, self.simulation, self.store, n_replicates)

    def benefits(self, names: Sequence[str], n_replicates: int) -> Iterator[tuple[dict[str, BoolArray], int]]:
        """Shard by shard, which trials show a benefit by each analysis, and how many could not be analyzed by any of them."""
        self.simulate(n_replicates)
        meanings = self._meanings()
        analyses = self.scenario.analyses
        for columns in self.store.shards(n_replicates):
            shown = {name: judge(analyses[name], estimates_of(name, columns, meanings[name])).benefit for name in names}
            failed = np.logical_or.reduce([columns[f"{name}/status"] != 0 for name in names])
            yield shown, int(failed.sum())

    def forget(self) -> None:
        """Let go of what was prepared and read; it is made, or read, again when it is asked for."""
        self._simulation = self._store = None

    def estimates(self, name: str, n_replicates: int) -> Iterator[tuple[Estimates, Columns]]:
        """Shard by shard, what one analysis found in each trial, and all columns of these trials."""
        self.simulate(n_replicates)
        meaning = self._meanings()[name]
        for columns in self.store.shards(n_replicates):
            yield estimates_of(name, columns, meaning), columns

    def truth(self, name: str) -> Truth:
        """The value of the estimand of one analysis at these values, benefit positive; remembered. Of a trial only."""
        if not isinstance(self.scenario, Scenario):
            raise SimtrialsError("only trials have one true effect")
        scenario = self.scenario

        def plain() -> dict[str, Any]:
            made = self.simulation.simulation if isinstance(self.simulation, Shifted) else self.simulation
            assert isinstance(made, Simulation)
            truth = coarse_truth(scenario, made.trial, name)
            return {"value": truth.value if np.isfinite(truth.value) else None, "std_error": truth.std_error, "kind": truth.kind}

        found = remembered(self._truth_file(name), self.known, plain)
        if found["value"] is None:
            raise SimtrialsError(f"the true value of {name} cannot be told at {self.label}: {found['kind']}")
        return Truth(self._meanings()[name].benefit * found["value"], found["std_error"], found["kind"])

    def knows_truth(self, name: str) -> bool:
        """Whether the truth was worked out before."""
        return self._truth_file(name).is_file()

    def _truth_file(self, name: str) -> Path:
        return self.folder / f"truth-{name}.json"

    def share(self, names: Sequence[str], n_replicates: int) -> Share:
        """How many of the first trials show a benefit by all of these analyses."""
        shown = failed = of = 0
        for benefits, lost in self.benefits(names, n_replicates):
            every = np.logical_and.reduce(list(benefits.values()))
            shown, failed, of = shown + int(every.sum()), failed + lost, of + every.size
        return Share(shown, of, failed)

    def data(self, analysis: Analysis, n_blocks: int) -> Iterator[TrialData]:
        """The patients of the first blocks of trials, as an analysis uses them."""
        shifted = self.simulation
        simulation, first = (shifted.simulation, shifted.first) if isinstance(shifted, Shifted) else (shifted, 0)
        assert isinstance(simulation, Simulation)
        return (simulation.used_by(analysis, simulation.trials(first + block).data) for block in range(n_blocks))

    def _meanings(self) -> dict[str, Meaning]:
        def plain() -> dict[str, Any]:
            return {name: [meaning.scale, meaning.benefit] for name, meaning in self.simulation.meanings().items()}

        return {name: Meaning(scale, benefit) for name, (scale, benefit) in remembered(self.folder / "meanings.json", self.known, plain).items()}


@dataclass(slots=True)
class Points:
    """The points of one scenario."""

    scenario: Readable
    out: Path
    workers: Workers
    tables: Mapping[str, Table] = field(default_factory=dict)
    _made: dict[str, Point] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Readable, out: str | Path, workers: Workers) -> "Points":
        """The points of a scenario, its data read."""
        return cls(scenario, Path(out), workers, tables_of(scenario))

    def at(self, changes: Mapping[str, Any], independent: int | None = None) -> Point:
        """The point at these values of fields, by their path; with a number, its trials have luck of their own, else the luck of the scenario.

        Raises
        ------
        DeclarationError
            When the scenario cannot have these values.
        """
        changed = self._changed(changes)
        checksums = {name: table.checksum for name, table in self.tables.items()}
        digest = changed.digest(checksums)
        first = 0 if independent is None else APART * (independent + 1)
        name = f"{digest}-{first // APART}" if first else digest
        if name not in self._made:
            known = f"{fingerprint()}; {digest}; {first}"
            self._made[name] = Point(changed, dict(changes), self.tables, self.out / FOLDER / name, known, self.workers, first)
        return self._made[name]

    def _changed(self, changes: Mapping[str, Any]) -> Readable:
        raw = self.scenario.model_dump(mode="json", exclude_defaults=True)
        raw = {key: value for key, value in raw.items() if key not in NAMES_ONLY or key in KEPT}
        idle = [path for path in changes if path.partition(".")[0] in NAMES_ONLY]
        if idle:
            raise located([Problem(idle[0], "changes nothing that is simulated; choose another field")], None, self.scenario.name)
        try:
            for path, value in changes.items():
                set_at(raw, path, value)
            return declared_from(without_none(raw), self.scenario.folder)
        except DeclarationError as error:
            raise located([_at(changes, found) for found in error.problems], None, self.scenario.name) from None


def _at(changes: Mapping[str, Any], found: Problem) -> Problem:
    """A fault at some values: `at PATH = VALUE`, and the place of the fault where that is another one."""
    values = {path: f"{value:.6g}" if isinstance(value, float) else str(value) for path, value in changes.items()}
    own = re.sub(r"\[(\d+)\]", r".\1", found.place)
    if own in values:
        rest = {path: value for path, value in values.items() if path != own}
        beside = f" with {', '.join(f'{path} = {value}' for path, value in rest.items())}" if rest else ""
        return Problem(f"at {own} = {values[own]}{beside}", found.sentence)
    return Problem(f"at {', '.join(f'{path} = {value}' for path, value in values.items())}: {found.place}", found.sentence)
