"""What was found in a run of any kind: its tallies, measures and estimates, read from the store whenever they are asked for."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import AnyArray
from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import Judged, Measure, Tally, Truth, share_mcse
from simtrials.engine.blocks import Meaning, estimates_of
from simtrials.engine.declared import SCENARIO, Pattern
from simtrials.engine.store import CellStore
from simtrials.inference.judge import Levels, judge

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Results(ABC):
    """A finished run: where it is stored, and what was found. `cells` gives the label of each cell by its name, `truths` the truth of each
    analysis (or synthesis) in each cell."""

    folder: Path
    digest: str
    n_replicates: int
    stopped: str
    cells: Mapping[str, str]
    meanings: Mapping[str, Meaning]
    truths: Mapping[str, Mapping[str, Truth]]
    record: Mapping[str, Any]
    notes: tuple[str, ...]
    _tallies: dict[str, dict[str, Tally]] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    @abstractmethod
    def asked(self) -> Mapping[str, Levels]:
        """The analyses or syntheses, by name."""

    @property
    @abstractmethod
    def declared_patterns(self) -> Mapping[str, Pattern]:
        """Results over several of them whose frequency is reported."""

    @property
    def seed(self) -> int:
        """Seed of all random streams."""
        return int(self.record["seed"])

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the scenario."""

    @abstractmethod
    def about(self, name: str) -> tuple[str, str]:
        """The estimand in words, and the endpoint, of an analysis or synthesis."""

    @abstractmethod
    def whole_cell(self, cell: str) -> Sequence[Measure]:
        """Measures that belong to no analysis."""

    @abstractmethod
    def summary(self, headed: bool = True) -> str:
        """The answer and the table of powers, as the terminal shows them; `headed` with the question above."""

    @abstractmethod
    def report(self) -> Path:
        """Write the report and return its path."""

    def store(self, cell: str = SCENARIO) -> CellStore:
        """The shards of a cell."""
        known = self.record.get("fingerprints", {}).get(cell, self.record["fingerprint"])
        return CellStore(self.folder / "cells" / cell, known)

    def shards(self, cell: str = SCENARIO) -> Iterator[dict[str, AnyArray]]:
        """Columns of a cell, shard by shard."""
        yield from self.store(cell).shards(self.n_replicates)

    def judged(self, analysis: str, columns: Mapping[str, AnyArray]) -> Judged:
        """Estimates of one analysis with their conclusions, from a shard."""
        return judge(self.asked[analysis], estimates_of(analysis, columns, self.meanings[analysis]))

    def tallies(self, cell: str = SCENARIO) -> dict[str, Tally]:
        """Sums over all replicates of a cell, one tally per analysis."""
        if cell not in self._tallies:
            tallies = {name: Tally(truth if np.isfinite(truth.value) else None) for name, truth in self.truths[cell].items()}
            for columns in self.shards(cell):
                for name, tally in tallies.items():
                    tally.add(self.judged(name, columns))
            self._tallies[cell] = tallies
        return self._tallies[cell]

    def measure(self, analysis: str, name: str, cell: str = SCENARIO) -> Measure:
        """One measure of one analysis."""
        measures = {measure.name: measure for measure in self.tallies(cell)[analysis].measures()}
        if name not in measures:
            raise SimtrialsError(f"no measure called {name!r}{did_you_mean(name, measures)}")
        return measures[name]

    def patterns(self, cell: str = SCENARIO) -> list[Measure]:
        """How often each declared pattern of results occurs."""
        if not self.declared_patterns:
            return []
        counts = dict.fromkeys(self.declared_patterns, 0)
        for columns in self.shards(cell):
            judged = {name: self.judged(name, columns) for name in self.asked}
            for name, pattern in self.declared_patterns.items():
                holds = [judged[analysis].benefit for analysis in pattern.shows]
                holds += [~judged[analysis].benefit for analysis in pattern.does_not_show]
                holds += [~judged[analysis].rejected for analysis in pattern.not_significant]
                counts[name] += int(np.logical_and.reduce(holds).sum())
        n = self.n_replicates
        return [Measure(f"pattern: {name}", count / n, share_mcse(count, n), n) for name, count in counts.items()]

    def measures(self) -> "pd.DataFrame":
        """Every measure of every analysis in every cell, tidy: one row per number, with its Monte Carlo standard error."""
        import pandas as pd

        rows = []
        for cell, label in self.cells.items():
            for name, tally in self.tallies(cell).items():
                estimand, endpoint = self.about(name)
                about = {"scenario": self.name, "cell": label, "estimand": estimand, "endpoint": endpoint, "analysis": name}
                rows += [about | {"look": 1} | _row(measure) for measure in tally.measures()]
            about = {"scenario": self.name, "cell": label, "estimand": "", "endpoint": "", "analysis": ""}
            rows += [about | {"look": 1} | _row(measure) for measure in (*self.whole_cell(cell), *self.patterns(cell))]
        return pd.DataFrame(rows)

    def estimates(self, cell: str = SCENARIO) -> "pd.DataFrame":
        """One row per replicate and analysis: estimate, standard error, interval, conclusion, status. Large runs take much memory."""
        import pandas as pd

        frames, start = [], 0
        for columns in self.shards(cell):
            size = next(iter(columns.values())).size
            for name in self.asked:
                judged = self.judged(name, columns)
                values = {f: getattr(judged, f) for f in ("estimate", "std_error", "lower", "upper", "rejected", "benefit", "status")}
                frames.append(pd.DataFrame({"replicate": np.arange(start, start + size), "analysis": name, **values}))
            start += size
        return pd.concat(frames, ignore_index=True)

    def to_frame(self) -> "pd.DataFrame":
        """The same as `measures`."""
        return self.measures()

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the run and all its measures; a number that does not exist is None."""
        rows = self.measures().to_dict(orient="records")
        return {
            "scenario": self.name,
            "digest": self.digest,
            "n_replicates": self.n_replicates,
            "stopped": self.stopped,
            "measures": [{str(key): None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()} for row in rows],
        }

    def __repr__(self) -> str:
        return self.summary()


def _row(measure: Measure) -> dict[str, Any]:
    return {
        "measure": measure.name,
        "value": measure.value,
        "mcse": measure.mcse,
        "n_replicates": measure.n_replicates,
        "n_failed": measure.n_failed,
        "note": measure.note,
    }


def read_record(folder: str | Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises
    ------
    SimtrialsError
        When the folder holds no finished run.
    """
    try:
        return dict(json.loads((Path(folder) / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SimtrialsError(f"{folder} holds no finished run; simtrials run FILE makes one under results/") from None
    except (json.JSONDecodeError, OSError) as error:
        raise SimtrialsError(f"the record of {folder} cannot be read ({error}); run the scenario again to restore it") from None


def read_content(path: Path) -> dict[str, Any]:
    """What was remembered under a path of a finished run."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["content"])
    except FileNotFoundError:
        raise SimtrialsError(f"{path.parent} holds no finished run; simtrials run FILE makes one under results/") from None
    except (json.JSONDecodeError, KeyError, OSError) as error:
        raise SimtrialsError(f"the record of {path.parent} cannot be read ({error}); run the scenario again to restore it") from None


def read_truths(folder: Path, cell: str) -> dict[str, Truth]:
    """The truths of a cell."""
    try:
        return truths_from(json.loads(truth_path(folder, cell).read_text(encoding="utf-8"))["content"])
    except (OSError, json.JSONDecodeError, KeyError):
        raise SimtrialsError(f"the truths of {folder} cannot be read; run the scenario again to restore them") from None


def truths_from(content: Mapping[str, Any]) -> dict[str, Truth]:
    """Truths from plain values."""
    return {
        name: Truth(np.nan if value is None else value, np.nan if error is None else error, kind) for name, (value, error, kind) in content.items()
    }


def plain_truths(found: Mapping[str, Truth]) -> dict[str, Any]:
    """Truths as plain values."""
    return {name: [_plain(truth.value), _plain(truth.std_error), truth.kind] for name, truth in found.items()}


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def truth_path(folder: Path, cell: str) -> Path:
    """Where the truths of a cell are stored."""
    return folder / "cells" / cell / "truth.json"


def without_none(value: Any) -> Any:
    """Plain values without entries that are None, as a file would hold them."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value
