"""Run a scenario: its cells (the scenario itself, the null beside it, the null grid), in blocks, stored as they come, and measured."""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import AnyArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError, did_you_mean
from simtrials.core.measures import Judged, Measure, Tally, Truth, share_mcse
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.blocks import Backend, Meaning, Simulation, estimates_of, n_blocks, run_blocks
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.files import read, scenario_from, set_at, tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.provenance import fingerprint, versions
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import CellStore, write_json
from simtrials.engine.truth import truths
from simtrials.inference.analyses import SETS, Analysis
from simtrials.inference.judge import judge
from simtrials.trial import PreparedTrial, prepare

if TYPE_CHECKING:
    import pandas as pd

FLUSH_SECONDS = 5.0
FIRST_LOOK = 4
LARGEST_RUN = 1_000_000
SCENARIO, NULL = "scenario", "null"

Progress = Callable[[str, int, int], None]
"""Called with the cell, the replicates done and the replicates wanted."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One set of parameters that is simulated: the scenario, its null, or a point of the null grid."""

    name: str
    label: str
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: where it is stored, and what was found. `cells` gives the label of each cell by its name."""

    folder: Path
    scenario: Scenario
    digest: str
    n_replicates: int
    stopped: str
    cells: Mapping[str, str]
    meanings: Mapping[str, Meaning]
    truths: Mapping[str, Mapping[str, Truth]]
    portrait: Mapping[str, Any]
    record: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    _tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)

    def store(self, cell: str = SCENARIO) -> CellStore:
        """The shards of a cell."""
        return CellStore(self.folder / "cells" / cell, fingerprint())

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
            benefit = {name: self.judged(name, columns).benefit for name in self.scenario.analyses}
            for name, pattern in self.scenario.patterns.items():
                holds = [benefit[analysis] for analysis in pattern.shows] + [~benefit[analysis] for analysis in pattern.does_not_show]
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
                if name.startswith("failed/"):
                    failures[name[7:]] = failures.get(name[7:], 0.0) + float(values.sum())
        return _screening_measures(counts, squares, failures, self.scenario.design.n_patients)

    def measures(self) -> "pd.DataFrame":
        """Every measure of every analysis in every cell, tidy: one row per number, with its Monte Carlo standard error."""
        import pandas as pd

        rows = []
        for cell, label in self.cells.items():
            for name, tally in self.tallies(cell).items():
                analysis = self.scenario.analyses[name]
                about = {"scenario": self.scenario.name, "cell": label, "estimand": self.estimand(name), "endpoint": analysis.endpoint, "analysis": name}
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
        "slope": "change of benefit in",
        "probability_index": "probability of a better",
    }
    outcome = (analysis.outcome or endpoint.outcomes[0]).replace("_", " ")
    week = analysis.week if analysis.week is not None else endpoint.visits[-1]
    arm = analysis.arm or scenario.design.arms[1]
    group = f", {analysis.where}" if analysis.where else ""
    what = f"{contrasts[analysis.scale_of_effect]} {outcome} ({analysis.endpoint}, week {week:g}), {arm} against {scenario.design.arms[0]}"
    return f"{what}; {SETS[analysis.analysis_set]}{group}"


def cells_of(scenario: Scenario, checksums: Mapping[str, str], null: bool) -> tuple[Cell, ...]:
    """The scenario, and unless told not to its null and the null grid."""
    cells = [Cell(SCENARIO, "as declared", scenario)]
    if null:
        cells.append(Cell(NULL, "no effect", scenario.null()))
        cells += _grid(scenario, checksums)
    return tuple(cells)


def _grid(scenario: Scenario, checksums: Mapping[str, str]) -> list[Cell]:
    """Every combination of the values of the null grid, without any effect."""
    problems: list[Problem] = []
    cells = []
    for values in itertools.product(*scenario.null_grid.values()) if scenario.null_grid else ():
        point = dict(zip(scenario.null_grid, values, strict=True))
        raw = scenario.model_dump(mode="json", exclude_defaults=True)
        try:
            for path, value in point.items():
                set_at(raw, path, value)
            null = scenario_from(raw, scenario.folder).null()
        except DeclarationError as error:
            where = ", ".join(f"{path} = {value}" for path, value in point.items())
            problems += [Problem(f"null_grid ({where}): {found.place}", found.sentence) for found in error.problems]
            continue
        label = ", ".join(f"{path} = {value}" for path, value in point.items())
        cells.append(Cell(f"null-{null.digest(checksums)[:6]}", f"no effect, {label}", null))
    if problems:
        raise DeclarationError(problems, scenario.name)
    return cells


def ready(scenario: Scenario, tables: Mapping[str, Table], everything: bool = False) -> Simulation:
    """A scenario ready to be simulated, its analyses tried on two small trials.

    Raises
    ------
    DeclarationError
        When the parts cannot be prepared, or an analysis names something that is not measured.
    """
    trial = prepare(scenario, tables, scenario.seed, scenario.expressions, everything)
    simulation = Simulation(trial, scenario.analyses, scenario.seed)
    problems = simulation.trial_problems()
    if problems:
        raise DeclarationError(problems, scenario.name)
    return simulation


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the work, and who is told how far it is."""

    n_jobs: int
    backend: Backend
    scheduler: str | None
    progress: Progress | None

    def extend(self, cell: Cell, simulation: Simulation, store: CellStore, n_replicates: int) -> None:
        """Simulate what is missing of the first `n_replicates` of a cell and store it as it comes."""
        missing = range(store.n_blocks, n_blocks(n_replicates))
        written = time.perf_counter()
        try:
            for block, columns in run_blocks(simulation, missing, self.n_jobs, self.backend, self.scheduler):
                store.add(columns)
                if time.perf_counter() - written > FLUSH_SECONDS:
                    store.flush()
                    written = time.perf_counter()
                if self.progress:
                    self.progress(cell.label, min((block + 1) * BLOCK_SIZE, n_replicates), n_replicates)
        finally:
            store.flush()

    def until_precise(self, cell: Cell, simulation: Simulation, store: CellStore, mcse: float, largest: int) -> tuple[int, str]:
        """Double the blocks until the power of every primary analysis is precise enough; looks depend only on the number of blocks."""
        blocks = FIRST_LOOK
        primary = cell.scenario.primary or tuple(cell.scenario.analyses)
        while True:
            n_replicates = min(blocks * BLOCK_SIZE, largest)
            self.extend(cell, simulation, store, n_replicates)
            widest = max(_power_mcse(cell.scenario.analyses[name], name, store, simulation.meanings(), n_replicates) for name in primary)
            if widest <= mcse:
                return n_replicates, f"{n_replicates:,} replicates; every primary power has a Monte Carlo standard error of at most {mcse:g}"
            if n_replicates >= largest:
                return n_replicates, f"{n_replicates:,} replicates, the most allowed; the widest Monte Carlo standard error is {widest:.2g}, not {mcse:g}"
            blocks *= 2


def _power_mcse(analysis: Analysis, name: str, store: CellStore, meanings: Mapping[str, Meaning], n_replicates: int) -> float:
    shown = sum(int(judge(analysis, estimates_of(name, columns, meanings[name])).benefit.sum()) for columns in store.shards(n_replicates))
    return share_mcse(shown, n_replicates)


def run(
    scenario: Scenario | str | Path,
    *,
    n_replicates: int | None = None,
    mcse: float | None = None,
    n_jobs: int | None = None,
    backend: Backend = "auto",
    scheduler: str | None = None,
    out: str | Path = "results",
    null: bool = True,
    progress: Progress | None = None,
    command: str = "",
) -> Run:
    """Simulate a scenario and store the results; what is stored already is not simulated again.

    Parameters
    ----------
    scenario : a scenario, or the path of its file
    n_replicates : simulated trials; default: as the scenario says. With `mcse`, the most that may be simulated (default 1,000,000)
    mcse : go on until the power of every primary analysis has a Monte Carlo standard error of at most this
    n_jobs : workers; default: one per processor that this process may use
    backend : auto (serial for little work, else threads), serial, threads, loky or dask
    scheduler : address of a Dask scheduler, for backend dask
    out : folder in which the folder of results is made
    null : also run the scenario without any effect, and its null grid
    progress : called with the cell, the replicates done and the replicates wanted
    command : how the run was asked for, kept with the results

    Raises
    ------
    DeclarationError
        When the scenario cannot be simulated as declared; nothing has been simulated then.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    scenario = scenario if isinstance(scenario, Scenario) else read(scenario)
    _check_numbers(n_replicates, mcse, n_jobs)
    tables = tables_of(scenario)
    checksums = {name: table.checksum for name, table in tables.items()}
    cells = cells_of(scenario, checksums, null)
    simulations = {cell.name: ready(cell.scenario, tables) for cell in cells}
    digest = scenario.digest(checksums)
    folder = Path(out) / f"{scenario.name}-{digest[:6]}"
    workers = Workers(n_jobs or processors(), backend, scheduler, progress)
    notes = list(simulations[SCENARIO].trial.notes)
    wanted, stopped = n_replicates or scenario.n_replicates, ""
    for cell in cells:
        store = CellStore(folder / "cells" / cell.name, fingerprint())
        notes += [str(damage) for damage in store.damage]
        if mcse is not None and cell.name == SCENARIO:
            wanted, stopped = workers.until_precise(cell, simulations[cell.name], store, mcse, n_replicates or LARGEST_RUN)
        else:
            workers.extend(cell, simulations[cell.name], store, wanted)
    meanings = simulations[SCENARIO].meanings()
    truth_of = {cell.name: _remembered_truths(folder, cell, simulations[cell.name].trial) for cell in cells}
    picture = _remembered(folder / "portrait.json", lambda: portrait(scenario, simulations[SCENARIO].trial))
    record = {
        "name": scenario.name,
        "digest": digest,
        "seed": scenario.seed,
        "n_replicates": wanted,
        "stopped": stopped or f"{wanted:,} replicates, as asked",
        "command": command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "workers": workers.n_jobs,
        "versions": versions(),
        "data": checksums,
        "folder_of_data": str(scenario.folder) if scenario.folder else None,
        "cells": {cell.name: cell.label for cell in cells},
        "meanings": {name: [meaning.scale, meaning.benefit] for name, meaning in meanings.items()},
        "closed_form": {name: found for name in scenario.analyses if (found := closed_form_power(scenario, name)) is not None},
        "notes": notes,
        "scenario": scenario.model_dump(mode="json"),
    }
    write_json(folder / "run.json", record)
    return _assembled(folder, scenario, record, truth_of, picture)


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
    except FileNotFoundError:
        raise SimtrialsError(f"{folder} holds no finished run; simtrials run FILE makes one under results/") from None
    except (json.JSONDecodeError, KeyError, OSError) as error:
        raise SimtrialsError(f"the record of {folder} cannot be read ({error}); run the scenario again to restore it") from None
    scenario = scenario_from(without_none(record["scenario"]))
    found = {name: _read_truths(place, name) for name in record["cells"]}
    return _assembled(place, scenario, record, found, picture)


def _assembled(folder: Path, scenario: Scenario, record: dict[str, Any], found: dict[str, dict[str, Truth]], picture: dict[str, Any]) -> Run:
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
        portrait=picture,
        record=record,
        notes=tuple(record["notes"]),
    )


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_numbers(n_replicates: int | None, mcse: float | None, n_jobs: int | None) -> None:
    if n_replicates is not None and n_replicates < 2:
        raise SimtrialsError(f"the number of replicates must be at least 2, got {n_replicates}")
    if mcse is not None and not 0 < mcse < 0.5:
        raise SimtrialsError(f"mcse must be between 0 and 0.5, such as 0.002, got {mcse:g}")
    if n_jobs is not None and n_jobs < 1:
        raise SimtrialsError(f"the number of jobs must be at least 1, got {n_jobs}")


def _remembered(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was stored under this path by the same versions, or else made now and stored."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["fingerprint"] == fingerprint():
            return dict(stored["content"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        pass
    content = make()
    write_json(path, {"fingerprint": fingerprint(), "content": content})
    return content


def _truth_path(folder: Path, cell: str) -> Path:
    return folder / "cells" / cell / "truth.json"


def _remembered_truths(folder: Path, cell: Cell, trial: PreparedTrial) -> dict[str, Truth]:
    def make() -> dict[str, Any]:
        return {name: [_plain(truth.value), _plain(truth.std_error), truth.kind] for name, truth in truths(cell.scenario, trial).items()}

    return _truths_from(_remembered(_truth_path(folder, cell.name), make))


def _read_truths(folder: Path, cell: str) -> dict[str, Truth]:
    try:
        return _truths_from(json.loads(_truth_path(folder, cell).read_text(encoding="utf-8"))["content"])
    except (OSError, json.JSONDecodeError, KeyError):
        raise SimtrialsError(f"the truths of {folder} cannot be read; run the scenario again to restore them") from None


def _truths_from(content: Mapping[str, Any]) -> dict[str, Truth]:
    return {name: Truth(np.nan if value is None else value, np.nan if error is None else error, kind) for name, (value, error, kind) in content.items()}


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def without_none(value: Any) -> Any:
    """Plain values without entries that are None, as a file would hold them."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value
