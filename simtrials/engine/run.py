"""Run a scenario: its cells in blocks, stored as they come, extended or resumed where a run stopped, with truth and portrait beside them."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import Truth, share_mcse
from simtrials.core.rng import BLOCK_SIZE
from simtrials.core.status import SENTENCES, Status
from simtrials.engine.blocks import Backend, Meaning, Simulation, estimates_of, n_blocks, run_blocks
from simtrials.engine.cells import SCENARIO, Cell, cells_of, ready
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.files import read, tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.provenance import fingerprint, versions
from simtrials.engine.result import Run, assembled, load, truth_path, truths_from
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import CellStore, write_json
from simtrials.engine.truth import estimand_truths, references, truths
from simtrials.inference.analyses import Analysis
from simtrials.inference.judge import judge
from simtrials.trial import PreparedTrial

__all__ = ["Run", "load", "processors", "ready", "run"]
FLUSH_SECONDS = 5.0
FIRST_LOOK = 4
MANY_FAILED = 0.05
LARGEST_RUN = 1_000_000

Progress = Callable[[str, int, int], None]
"""Called with the cell, the replicates done and the replicates wanted."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the work, and who is told how far it is."""

    n_jobs: int
    backend: Backend
    scheduler: str | None
    progress: Progress | None
    warn: Callable[[str], None] | None = None

    def extend(self, cell: Cell, simulation: Simulation, store: CellStore, n_replicates: int) -> None:
        """Simulate what is missing of the first `n_replicates` of a cell and store it as it comes."""
        missing = range(store.n_blocks, n_blocks(n_replicates))
        written = time.perf_counter()
        try:
            for block, columns in run_blocks(simulation, missing, self.n_jobs, self.backend, self.scheduler):
                store.add(columns)
                if block == 0 and cell.name == SCENARIO and self.warn:
                    for sentence in _many_failures(simulation, columns):
                        self.warn(sentence)
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
                return (
                    n_replicates,
                    f"{n_replicates:,} replicates, the most allowed; the widest Monte Carlo standard error is {widest:.2g}, not {mcse:g}",
                )
            blocks *= 2


def _many_failures(simulation: Simulation, columns: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each analysis that cannot be estimated in more than 5% of the trials of a block."""
    for name in simulation.analyses:
        status = columns[f"{name}/status"]
        failed = int((status != Status.OK).sum())
        if failed > MANY_FAILED * status.size:
            codes, counts = np.unique(status[status != Status.OK], return_counts=True)
            why = SENTENCES[Status(int(codes[counts.argmax()]))]
            yield f"{name} could not be estimated in {failed} of the first {status.size} trials: {why}"


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
    warn: Callable[[str], None] | None = None,
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
    warn : called with a sentence when an analysis fails in many of the first 256 trials
    command : how the run was asked for, kept with the results

    Raises
    ------
    DeclarationError
        When the scenario cannot be simulated as declared; nothing has been simulated then.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    scenario = scenario if isinstance(scenario, Scenario) else read(scenario)
    _check_call(n_replicates, mcse, n_jobs, backend, scheduler)
    tables = tables_of(scenario)
    checksums = {name: table.checksum for name, table in tables.items()}
    cells = cells_of(scenario, checksums, null)
    digest = scenario.digest(checksums)
    known = f"{fingerprint()}; {digest}"
    folder = Path(out) / f"{scenario.name}-{digest[:6]}"
    simulations = {cell.name: ready(cell.scenario, tables) for cell in cells}
    simulations = {cell.name: _with_references(folder, cell, simulations[cell.name], known) for cell in cells}
    workers = Workers(n_jobs or processors(), backend, scheduler, progress, warn)
    notes, repaired = list(simulations[SCENARIO].trial.notes), []
    wanted, stopped = n_replicates or scenario.n_replicates, ""
    stored = _stored_before(folder, known)
    for cell in cells:
        store = CellStore(folder / "cells" / cell.name, known)
        repaired += [str(damage) for damage in store.damage]
        if not store.damage and store.n_blocks < n_blocks(stored):
            repaired.append(f"{cell.name}: replicates after the first {store.n_blocks * BLOCK_SIZE:,} are gone; they are simulated again")
        if mcse is not None and cell.name == SCENARIO:
            wanted, stopped = workers.until_precise(cell, simulations[cell.name], store, mcse, n_replicates or LARGEST_RUN)
        else:
            workers.extend(cell, simulations[cell.name], store, wanted)
    meanings = simulations[SCENARIO].meanings()
    truth_of = {cell.name: _remembered_truths(folder, cell, simulations[cell.name].trial, known) for cell in cells}
    values = _remembered(folder / "estimands.json", known, lambda: _plain_truths(estimand_truths(scenario, simulations[SCENARIO].trial)))
    picture = _remembered(folder / "portrait.json", known, lambda: portrait(scenario, simulations[SCENARIO].trial))
    notes += [note for note in picture["notes"] if note not in notes]
    record = {
        "name": scenario.name,
        "digest": digest,
        "fingerprint": known,
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
        "notes": [*notes, *repaired],
        "repaired": repaired,
        "scenario": scenario.model_dump(mode="json"),
    }
    write_json(folder / "run.json", record)
    return assembled(folder, scenario, record, truth_of, truths_from(values), picture)


def expected_seconds(simulation: Simulation, n_replicates: int, n_cells: int) -> float:
    """Seconds that a run in one process is expected to take, from one block; kernels are compiled before."""
    simulation.columns(0)
    started = time.perf_counter()
    simulation.columns(0)
    return (time.perf_counter() - started) * n_blocks(n_replicates) * n_cells


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_call(n_replicates: int | None, mcse: float | None, n_jobs: int | None, backend: str, scheduler: str | None) -> None:
    if backend not in get_args(Backend):
        raise SimtrialsError(f"no backend called {backend!r}{did_you_mean(backend, get_args(Backend))}")
    if scheduler is not None and backend != "dask":
        raise SimtrialsError(f"scheduler {scheduler} goes with backend dask, got backend {backend}; add --backend dask")
    if n_replicates is not None and n_replicates < 2:
        raise SimtrialsError(f"the number of replicates must be at least 2, got {n_replicates}")
    if mcse is not None and not 0 < mcse < 0.5:
        raise SimtrialsError(f"mcse must be between 0 and 0.5, such as 0.002, got {mcse:g}")
    if n_jobs is not None and n_jobs < 1:
        raise SimtrialsError(f"the number of jobs must be at least 1, got {n_jobs}")


def _remembered(path: Path, known: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was stored under this path for the same scenario by the same versions, or else made now and stored."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["fingerprint"] == known:
            return dict(stored["content"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        pass
    content = make()
    write_json(path, {"fingerprint": known, "content": content})
    return content


def _remembered_truths(folder: Path, cell: Cell, trial: PreparedTrial, known: str) -> dict[str, Truth]:
    def make() -> dict[str, Any]:
        return _plain_truths(truths(cell.scenario, trial))

    return truths_from(_remembered(truth_path(folder, cell.name), known, make))


def _stored_before(folder: Path, known: str) -> int:
    """Replicates of a run that was finished here before, by the same versions; 0 where there is none."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return int(record["n_replicates"]) if record["fingerprint"] == known else 0
    except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0


def _with_references(folder: Path, cell: Cell, simulation: Simulation, known: str) -> Simulation:
    """The simulation with what truths that differ from trial to trial are worked out from."""
    content = _remembered(
        folder / "cells" / cell.name / "references.json",
        known,
        lambda: {name: values.tolist() for name, values in references(cell.scenario, simulation.trial).items()},
    )
    return replace(simulation, references={name: np.array(values) for name, values in content.items()})


def _plain_truths(found: Mapping[str, Truth]) -> dict[str, Any]:
    return {name: [_plain(truth.value), _plain(truth.std_error), truth.kind] for name, truth in found.items()}


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
