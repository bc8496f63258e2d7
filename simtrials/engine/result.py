"""A finished run: its tallies, measures and estimates, read from the store whenever they are asked for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import AnyArray
from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import Judged, Measure, Tally, Truth, share_mcse
from simtrials.engine.blocks import NOT_ENROLLED, Meaning, estimates_of
from simtrials.engine.cells import SCENARIO
from simtrials.engine.files import scenario_from
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import CellStore
from simtrials.inference.analyses import SETS
from simtrials.inference.judge import judge

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: where it is stored, and what was found. `cells` gives the label of each cell by its name, `truths` the truth of each
    analysis in each cell, `estimand_values` that of each declared estimand which names its variable."""

    folder: Path
    scenario: Scenario
    digest: str
    n_replicates: int
    stopped: str
    cells: Mapping[str, str]
    meanings: Mapping[str, Meaning]
    truths: Mapping[str, Mapping[str, Truth]]
    estimand_values: Mapping[str, Truth]
    portrait: Mapping[str, Any]
    record: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    _tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def store(self, cell: str = SCENARIO) -> CellStore:
        """The shards of a cell."""
        return CellStore(self.folder / "cells" / cell, self.record["fingerprint"])

    def shards(self, cell: str = SCENARIO) -> Iterator[dict[str, AnyArray]]:
        """Columns of a cell, shard by shard."""
        yield from self.store(cell).shards(self.n_replicates)

    def judged(self, analysis: str, columns: Mapping[str, AnyArray]) -> Judged:
        """Estimates of one analysis with their conclusions, from a shard."""
        return judge(self.scenario.analyses[analysis], estimates_of(analysis, columns, self.meanings[analysis]))

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
        if not self.scenario.patterns:
            return []
        counts = dict.fromkeys(self.scenario.patterns, 0)
        for columns in self.shards(cell):
            judged = {name: self.judged(name, columns) for name in self.scenario.analyses}
            for name, pattern in self.scenario.patterns.items():
                holds = [judged[analysis].benefit for analysis in pattern.shows]
                holds += [~judged[analysis].benefit for analysis in pattern.does_not_show]
                holds += [~judged[analysis].rejected for analysis in pattern.not_significant]
                counts[name] += int(np.logical_and.reduce(holds).sum())
        n = self.n_replicates
        return [Measure(f"pattern: {name}", count / n, share_mcse(count, n), n) for name, count in counts.items()]

    def screening(self, cell: str = SCENARIO) -> list[Measure]:
        """Numbers screened per enrolled patient (mean and quantiles over trials), and the share of candidates who fail each rule."""
        counts = np.zeros(1, dtype=np.int64)
        failures: dict[str, float] = {}
        squares = 0.0
        for columns in self.shards(cell):
            screened = columns["screened"]
            more = np.bincount(screened)
            counts = np.pad(counts, (0, max(0, more.size - counts.size)))
            counts[: more.size] += more
            squares += float(np.square(screened.astype(np.float64)).sum())
            for name, values in columns.items():
                if name.startswith(NOT_ENROLLED):
                    failures[name.removeprefix(NOT_ENROLLED)] = failures.get(name.removeprefix(NOT_ENROLLED), 0.0) + float(values.sum())
        return _screening_measures(counts, squares, failures, self.scenario.design.n_patients)

    def measures(self) -> "pd.DataFrame":
        """Every measure of every analysis in every cell, tidy: one row per number, with its Monte Carlo standard error."""
        import pandas as pd

        rows = []
        for cell, label in self.cells.items():
            for name, tally in self.tallies(cell).items():
                analysis = self.scenario.analyses[name]
                about = {
                    "scenario": self.scenario.name,
                    "cell": label,
                    "estimand": self.estimand(name),
                    "endpoint": analysis.endpoint,
                    "analysis": name,
                }
                rows += [about | {"look": 1} | _row(measure) for measure in tally.measures()]
            about = {"scenario": self.scenario.name, "cell": label, "estimand": "", "endpoint": "", "analysis": ""}
            rows += [about | {"look": 1} | _row(measure) for measure in (*self.screening(cell), *self.patterns(cell))]
        return pd.DataFrame(rows)

    def estimand(self, analysis: str) -> str:
        """The estimand in words: contrast, outcome, week, population."""
        return estimand_in_words(self.scenario, analysis)

    def estimates(self, cell: str = SCENARIO) -> "pd.DataFrame":
        """One row per replicate and analysis: estimate, standard error, interval, conclusion, status. Large runs take much memory."""
        import pandas as pd

        frames, start = [], 0
        for columns in self.shards(cell):
            size = columns["screened"].size
            for name in self.scenario.analyses:
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
            "scenario": self.scenario.name,
            "digest": self.digest,
            "n_replicates": self.n_replicates,
            "stopped": self.stopped,
            "measures": [{str(key): None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()} for row in rows],
        }

    def summary(self) -> str:
        """The answer and the table of powers, as the terminal shows them."""
        from simtrials.report.text import summary

        return summary(self)

    def plot(self, figure: str = "power", path: str | Path | None = None) -> Any:
        """One of the report's figures by name; saved when a path is given."""
        from simtrials.report.figures import draw

        return draw(self, figure, path)

    def report(self) -> Path:
        """Write the report and return its path."""
        from simtrials.report.html import write_report

        return write_report(self)

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


def _screening_measures(counts: AnyArray, squares: float, failures: Mapping[str, float], n_patients: int) -> list[Measure]:
    n = int(counts.sum())
    values = np.arange(counts.size)
    total = float((counts * values).sum())
    mean = total / n
    spread = max(squares / n - mean**2, 0.0)
    below = np.cumsum(counts)
    made = [Measure("screened_per_enrolled", mean / n_patients, float(np.sqrt(spread / n)) / n_patients, n)]
    for name, share in (("screened_per_enrolled_q05", 0.05), ("screened_per_enrolled_q50", 0.5), ("screened_per_enrolled_q95", 0.95)):
        place = int(np.searchsorted(below, share * n))
        half = np.sqrt(n * share * (1 - share))
        edges = np.searchsorted(below, np.clip([share * n - half, share * n + half], 1, n))
        made.append(Measure(name, place / n_patients, float(edges[1] - edges[0]) / 2 / n_patients, n))
    for label, count in failures.items():
        made.append(Measure(f"failed: {label}", count / total, share_mcse(int(count), int(total)), n))
    return made


def estimand_in_words(scenario: Scenario, name: str) -> str:
    """Contrast, outcome, week and population of an analysis."""
    analysis = scenario.analyses[name]
    endpoint = scenario.endpoints[analysis.endpoint]
    contrasts = {
        "difference": "difference in mean",
        "risk_difference": "risk difference of",
        "log_risk_ratio": "log risk ratio of",
        "log_odds_ratio": "log odds ratio of",
        "log_hazard_ratio": "log hazard ratio of",
        "log_win_ratio": "log win ratio, beginning with",
        "log_win_odds": "log win odds, beginning with",
        "net_benefit": "net benefit, beginning with",
        "weeks": "difference in mean weeks to",
        "difference_per_week": "difference per week in mean",
        "slope": "change of benefit in",
        "probability_index": "probability of a better",
    }
    outcome = (analysis.outcome or endpoint.outcomes[0]).replace("_", " ")
    week = analysis.week if analysis.week is not None else endpoint.visits[-1]
    arm = analysis.arm or scenario.design.arms[1]
    group = f", {analysis.where}" if analysis.where else ""
    what = f"{contrasts[analysis.scale_of_effect]} {outcome} ({analysis.endpoint}, week {week:g}), {arm} against {scenario.design.arms[0]}"
    return f"{what}; {SETS[analysis.analysis_set]}{group}"


def load(folder: str | Path) -> Run:
    """A run that was stored, as it was when it finished.

    Raises
    ------
    SimtrialsError
        When the folder holds no finished run.
    """
    place = Path(folder)
    try:
        record = json.loads((place / "run.json").read_text(encoding="utf-8"))
        picture = json.loads((place / "portrait.json").read_text(encoding="utf-8"))["content"]
        values = json.loads((place / "estimands.json").read_text(encoding="utf-8"))["content"]
    except FileNotFoundError:
        raise SimtrialsError(f"{folder} holds no finished run; simtrials run FILE makes one under results/") from None
    except (json.JSONDecodeError, KeyError, OSError) as error:
        raise SimtrialsError(f"the record of {folder} cannot be read ({error}); run the scenario again to restore it") from None
    scenario = scenario_from(without_none(record["scenario"]))
    found = {name: _read_truths(place, name) for name in record["cells"]}
    return assembled(place, scenario, record, found, truths_from(values), picture)


def assembled(
    folder: Path,
    scenario: Scenario,
    record: dict[str, Any],
    found: dict[str, dict[str, Truth]],
    values: dict[str, Truth],
    picture: dict[str, Any],
) -> Run:
    """A run from what is stored of it."""
    meanings = {name: Meaning(scale, benefit) for name, (scale, benefit) in record["meanings"].items()}
    return Run(
        folder=folder,
        scenario=scenario,
        digest=record["digest"],
        n_replicates=record["n_replicates"],
        stopped=record["stopped"],
        cells=record["cells"],
        meanings=meanings,
        truths=found,
        estimand_values=values,
        portrait=picture,
        record=record,
        notes=tuple(record["notes"]),
    )


def _read_truths(folder: Path, cell: str) -> dict[str, Truth]:
    try:
        return truths_from(json.loads(truth_path(folder, cell).read_text(encoding="utf-8"))["content"])
    except (OSError, json.JSONDecodeError, KeyError):
        raise SimtrialsError(f"the truths of {folder} cannot be read; run the scenario again to restore them") from None


def truths_from(content: Mapping[str, Any]) -> dict[str, Truth]:
    return {
        name: Truth(np.nan if value is None else value, np.nan if error is None else error, kind) for name, (value, error, kind) in content.items()
    }


def truth_path(folder: Path, cell: str) -> Path:
    """Where the truths of a cell are stored."""
    return folder / "cells" / cell / "truth.json"


def without_none(value: Any) -> Any:
    """Plain values without entries that are None, as a file would hold them."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value
