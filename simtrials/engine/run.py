"""Run a scenario: its cells in blocks, stored as they come, extended or resumed where a run stopped, with truth and portrait beside them."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import Truth
from simtrials.engine.blocks import Backend, Simulated, Simulation, n_blocks
from simtrials.engine.cells import Cell, cells_of, ready
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.declared import SCENARIO
from simtrials.engine.evidence.run import load_evidence, run_evidence
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable, is_evidence, read, tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.provenance import fingerprint, versions
from simtrials.engine.result import Run, assembled, load_trial
from simtrials.engine.results import Results, plain_truths, read_record, truth_path, truths_from
from simtrials.engine.scenario import Scenario
from simtrials.engine.store import write_json
from simtrials.engine.truth import estimand_truths, references, truths
from simtrials.engine.workers import Call, Progress, Workers, remembered
from simtrials.trial import PreparedTrial

__all__ = ["Run", "load", "processors", "ready", "run"]


def run(
    scenario: Readable | str | Path,
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
) -> Results:
    """Simulate a scenario and store the results; what is stored already is not simulated again.

    Parameters
    ----------
    scenario : a scenario of a trial or of bodies of evidence, or the path of its file
    n_replicates : simulated trials or bodies of evidence; default: as the scenario says. With `mcse`, the most that may be simulated (default
        1,000,000)
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
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    _check_call(n_replicates, mcse, n_jobs, backend, scheduler)
    call = Call(Workers(n_jobs or processors(), backend, scheduler, progress, warn), n_replicates, mcse, Path(out), null, command)
    return run_evidence(declared, call) if isinstance(declared, EvidenceScenario) else run_trial(declared, call)


def run_trial(scenario: Scenario, call: Call) -> Run:
    """Simulate the scenario of a trial."""
    started, clock = datetime.now(UTC), time.perf_counter()
    tables = tables_of(scenario)
    checksums = {name: table.checksum for name, table in tables.items()}
    cells = cells_of(scenario, checksums, call.null)
    digest = scenario.digest(checksums)
    known = f"{fingerprint()}; {digest}"
    folder = call.out / f"{scenario.name}-{digest[:6]}"
    simulations = {cell.name: ready(cell.scenario, tables) for cell in cells}
    simulations = {cell.name: _with_references(folder, cell, simulations[cell.name], known) for cell in cells}
    notes = list(simulations[SCENARIO].trial.notes)
    wanted, stopped, repaired = call.extend_all(
        folder, {cell.name: known for cell in cells}, scenario, {cell.name: (cell.label, simulations[cell.name]) for cell in cells}
    )
    meanings = simulations[SCENARIO].meanings()
    truth_of = {cell.name: _remembered_truths(folder, cell, simulations[cell.name].trial, known) for cell in cells}
    values = remembered(folder / "estimands.json", known, lambda: plain_truths(estimand_truths(scenario, simulations[SCENARIO].trial)))
    picture = remembered(folder / "portrait.json", known, lambda: portrait(scenario, simulations[SCENARIO].trial))
    notes += [note for note in picture["notes"] if note not in notes]
    record = {
        "name": scenario.name,
        "digest": digest,
        "fingerprint": known,
        "seed": scenario.seed,
        "n_replicates": wanted,
        "stopped": stopped,
        "command": call.command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "workers": call.workers.n_jobs,
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


def load(folder: str | Path) -> Results:
    """A run that was stored, as it was when it finished.

    Raises
    ------
    SimtrialsError
        When the folder holds no finished run.
    """
    record = read_record(folder)
    return load_evidence(folder, record) if is_evidence(record["scenario"]) else load_trial(folder, record)


def expected_seconds(simulation: Simulated, n_replicates: int, n_cells: int) -> float:
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


def _remembered_truths(folder: Path, cell: Cell, trial: PreparedTrial, known: str) -> dict[str, Truth]:
    def make() -> dict[str, Any]:
        return plain_truths(truths(cell.scenario, trial))

    return truths_from(remembered(truth_path(folder, cell.name), known, make))


def _with_references(folder: Path, cell: Cell, simulation: Simulation, known: str) -> Simulation:
    """The simulation with what truths that differ from trial to trial are worked out from."""
    content = remembered(
        folder / "cells" / cell.name / "references.json",
        known,
        lambda: {name: values.tolist() for name, values in references(cell.scenario, simulation.trial).items()},
    )
    return replace(simulation, references={name: np.array(values) for name, values in content.items()})
