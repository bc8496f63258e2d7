"""Who does the work of a run: cells are extended block by block, stored as they come, until enough is known."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.measures import share_mcse
from simtrials.core.rng import BLOCK_SIZE
from simtrials.core.status import SENTENCES, Status
from simtrials.engine.blocks import Backend, Meaning, Simulated, estimates_of, n_blocks, run_blocks
from simtrials.engine.declared import SCENARIO, Declared
from simtrials.engine.store import CellStore, write_json
from simtrials.inference.judge import Levels, judge

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

    def extend(self, label: str, simulation: Simulated, store: CellStore, n_replicates: int, warning: bool = False) -> None:
        """Simulate what is missing of the first `n_replicates` of a cell and store it as it comes; with `warning`, tell of many failures."""
        missing = range(store.n_blocks, n_blocks(n_replicates))
        written = time.perf_counter()
        try:
            for block, columns in run_blocks(simulation, missing, self.n_jobs, self.backend, self.scheduler):
                store.add(columns)
                if block == 0 and warning and self.warn:
                    for sentence in _many_failures(simulation, columns):
                        self.warn(sentence)
                if time.perf_counter() - written > FLUSH_SECONDS:
                    store.flush()
                    written = time.perf_counter()
                if self.progress:
                    self.progress(label, min((block + 1) * BLOCK_SIZE, n_replicates), n_replicates)
        finally:
            store.flush()

    def until_precise(
        self, label: str, simulation: Simulated, primary: tuple[str, ...], store: CellStore, mcse: float, largest: int
    ) -> tuple[int, str]:
        """Double the blocks until the power of every primary analysis is precise enough; looks depend only on the number of blocks."""
        blocks = FIRST_LOOK
        primary = primary or tuple(simulation.analyses)
        while True:
            n_replicates = min(blocks * BLOCK_SIZE, largest)
            self.extend(label, simulation, store, n_replicates, warning=True)
            widest = max(_power_mcse(simulation.analyses[name], name, store, simulation.meanings(), n_replicates) for name in primary)
            if widest <= mcse:
                return n_replicates, f"{n_replicates:,} replicates; every primary power has a Monte Carlo standard error of at most {mcse:g}"
            if n_replicates >= largest:
                return (
                    n_replicates,
                    f"{n_replicates:,} replicates, the most allowed; the widest Monte Carlo standard error is {widest:.2g}, not {mcse:g}",
                )
            blocks *= 2


def _many_failures(simulation: Simulated, columns: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each analysis that cannot be estimated in more than 5% of the trials of a block."""
    for name in simulation.analyses:
        status = columns[f"{name}/status"]
        failed = int((status != Status.OK).sum())
        if failed > MANY_FAILED * status.size:
            codes, counts = np.unique(status[status != Status.OK], return_counts=True)
            why = SENTENCES[Status(int(codes[counts.argmax()]))]
            yield f"{name} could not be estimated in {failed} of the first {status.size} trials: {why}"


def _power_mcse(analysis: Levels, name: str, store: CellStore, meanings: Mapping[str, Meaning], n_replicates: int) -> float:
    shown = sum(int(judge(analysis, estimates_of(name, columns, meanings[name])).benefit.sum()) for columns in store.shards(n_replicates))
    return share_mcse(shown, n_replicates)


@dataclass(frozen=True, slots=True)
class Call:
    """How a run was asked for."""

    workers: Workers
    n_replicates: int | None
    mcse: float | None
    out: Path
    null: bool
    command: str

    def extend_all(
        self, folder: Path, known: Mapping[str, str], scenario: Declared, simulations: Mapping[str, tuple[str, Simulated]]
    ) -> tuple[int, str, list[str]]:
        """Simulate what is missing of every cell (name -> label, simulation), the scenario first; `known` is the fingerprint of each.

        Returns the replicates of the run, why it stopped there, and what had to be repaired.
        """
        wanted, stopped, repaired = self.n_replicates or scenario.n_replicates, "", []
        stored = _stored_before(folder, known)
        for name, (label, simulation) in simulations.items():
            store = CellStore(folder / "cells" / name, known[name])
            repaired += [str(damage) for damage in store.damage]
            if not store.damage and store.n_blocks < n_blocks(stored):
                repaired.append(f"{name}: replicates after the first {store.n_blocks * BLOCK_SIZE:,} are gone; they are simulated again")
            if self.mcse is not None and name == SCENARIO:
                largest = self.n_replicates or LARGEST_RUN
                wanted, stopped = self.workers.until_precise(label, simulation, scenario.primary, store, self.mcse, largest)
            else:
                self.workers.extend(label, simulation, store, wanted, warning=name == SCENARIO)
        return wanted, stopped or f"{wanted:,} replicates, as asked", repaired


def remembered(path: Path, known: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
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


def _stored_before(folder: Path, known: Mapping[str, str]) -> int:
    """Replicates of a run that was finished here before, by the same versions; 0 where there is none."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        same = record.get("fingerprints", dict.fromkeys(known, record["fingerprint"])) == dict(known)
        return int(record["n_replicates"]) if same else 0
    except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0
