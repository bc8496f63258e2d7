"""Blocks of replicates: simulated, analysed and reduced to columns of estimates; in this process, in threads, in processes or on a cluster."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, cast

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.data import EffectScale, Estimates, SimulatedTrial, TrialData
from simtrials.core.errors import Problem
from simtrials.core.expressions import ExpressionError
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.memory import keep_freed_memory
from simtrials.inference.analyses import Analysis
from simtrials.inference.estimands import TREATMENT_POLICY, Estimand, as_analysed
from simtrials.inference.judge import Levels
from simtrials.trial import PreparedTrial, simulate
from simtrials.trial.departures import IntercurrentEvent

Columns = dict[str, AnyArray]
Backend = Literal["auto", "serial", "threads", "loky", "dask"]
REQUIRED = ("estimate", "std_error", "statistic", "df")
OPTIONAL = ("lower", "upper", "p_value", "decision", "truth")
FLAG, NUMBER = "flag: ", "number: "
NOT_ENROLLED = "not enrolled: "
"""Starts the column that counts candidates who fail a rule; no analysis can have such a name."""
SERIAL_BELOW = 3.0
"""Seconds of work below which other workers do not pay."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the columns of an analysis are: scale of the effect, and the direction that is a benefit."""

    scale: EffectScale
    benefit: Literal[1, -1]


class Simulated(Protocol):
    """What turns the number of a block into columns of estimates."""

    @property
    def analyses(self) -> Mapping[str, Levels]:
        """The analyses, or syntheses, by name."""

    def columns(self, block: int) -> Columns:
        """Columns of one block, (256,) each."""

    def many(self, blocks: Sequence[int]) -> list[Columns]:
        """Several blocks, one after another."""

    def meanings(self) -> dict[str, Meaning]:
        """What the columns of each are."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """All that a worker needs to turn the number of a block into columns of estimates."""

    trial: PreparedTrial
    analyses: Mapping[str, Analysis]
    estimands: Mapping[str, Estimand]
    seed: int
    references: Mapping[str, FloatArray] = field(default_factory=dict)
    """what the truth in each trial is worked out from, for analyses that have one"""

    def trials(self, block: int) -> SimulatedTrial:
        """The simulated trials of a block, with their patients."""
        keep_freed_memory()
        return simulate(self.trial, Streams(self.seed, Purpose.RUN, block))

    def columns(self, block: int) -> Columns:
        """Estimates and screening numbers of a block, (256,) each."""
        simulated = self.trials(block)
        columns: Columns = {"screened": simulated.screening.n_screened.astype(np.int32)}
        columns |= {f"{NOT_ENROLLED}{label}": counts.astype(np.int32) for label, counts in simulated.screening.failures.items()}
        for name, found in self.estimates(simulated.data, Streams(self.seed, Purpose.RUN, block)).items():
            columns |= columns_of(name, found)
        return columns

    def estimates(self, data: TrialData, streams: Streams) -> dict[str, Estimates]:
        """What each analysis finds in a block of trials; one that draws has a stream of its own."""
        used: dict[str, TrialData] = {}
        for analysis in self.analyses.values():
            if (analysis.estimand or "") not in used:
                used[analysis.estimand or ""] = self.used_by(analysis, data)
        return {name: self._estimate(name, analysis, used[analysis.estimand or ""], streams) for name, analysis in self.analyses.items()}

    def _estimate(self, name: str, analysis: Analysis, data: TrialData, streams: Streams) -> Estimates:
        found = analysis.estimate_by_luck(data, streams[f"analyses.{name}"])
        return replace(found, truth=analysis.own_truth(data, self.references[name])) if name in self.references else found

    def used_by(self, analysis: Analysis, data: TrialData) -> TrialData:
        """The data as the analysis uses them for its estimand."""
        events = tuple(name for name, departure in self.trial.trial.departures.items() if isinstance(departure, IntercurrentEvent))
        return as_analysed(data, self.estimands.get(analysis.estimand or "", TREATMENT_POLICY), events) if events else data

    def many(self, blocks: Sequence[int]) -> list[Columns]:
        """Several blocks, one after another."""
        return [self.columns(block) for block in blocks]

    def _few(self) -> SimulatedTrial:
        return simulate(self.trial, Streams(self.seed, Purpose.PREPARE, 1), n_replicates=2)

    def trial_problems(self) -> list[Problem]:
        """What the analyses cannot do with the data of a trial."""
        few, problems, streams = self._few(), [], Streams(self.seed, Purpose.PREPARE, 1)
        for name, analysis in self.analyses.items():
            try:
                analysis.estimate_by_luck(self.used_by(analysis, few.data), streams[f"analyses.{name}"])
            except ExpressionError as error:
                problems.append(Problem(f"analyses.{name}", str(error)))
        return problems

    def meanings(self) -> dict[str, Meaning]:
        """What the columns of each analysis are."""
        found = self.estimates(self._few().data, Streams(self.seed, Purpose.PREPARE, 1))
        return {name: Meaning(estimates.scale, estimates.benefit) for name, estimates in found.items()}


def columns_of(name: str, found: Estimates) -> Columns:
    columns: Columns = {f"{name}/{field}": getattr(found, field) for field in REQUIRED}
    columns |= {f"{name}/{field}": getattr(found, field) for field in OPTIONAL if getattr(found, field) is not None}
    columns |= {f"{name}/{FLAG}{label}": flag for label, flag in found.flags.items()}
    columns |= {f"{name}/{NUMBER}{label}": number for label, number in found.numbers.items()}
    return columns | {f"{name}/status": found.status.astype(np.int8)}


def estimates_of(name: str, columns: Mapping[str, AnyArray], meaning: Meaning) -> Estimates:
    """The estimates of one analysis, put together again from columns."""
    estimate, std_error, statistic, df, status = (columns[f"{name}/{field}"] for field in (*REQUIRED, "status"))
    lower, upper, p_value, decision, truth = (columns.get(f"{name}/{field}") for field in OPTIONAL)
    flags, numbers = (_below(f"{name}/{start}", columns) for start in (FLAG, NUMBER))
    rest = lower, upper, p_value, decision, truth, flags, numbers
    return Estimates(estimate, std_error, statistic, df, status, meaning.scale, meaning.benefit, *rest)


def _below(start: str, columns: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {column.removeprefix(start): values for column, values in columns.items() if column.startswith(start)}


def run_blocks(
    simulation: Simulated, blocks: Sequence[int], n_jobs: int, backend: Backend = "auto", scheduler: str | None = None
) -> Iterator[tuple[int, Columns]]:
    """Columns of each block, in order. The first block is done here, so that kernels are compiled once and the work can be estimated."""
    if not blocks:
        return
    started = time.perf_counter()
    yield blocks[0], simulation.columns(blocks[0])
    rest = blocks[1:]
    seconds = (time.perf_counter() - started) * len(rest)
    if backend == "auto":
        backend = "serial" if n_jobs == 1 or seconds < SERIAL_BELOW else "threads"
    if backend == "serial" or not rest:
        for block in rest:
            yield block, simulation.columns(block)
        return
    from joblib import Parallel, delayed

    size = max(1, min(16, len(rest) // (4 * max(n_jobs, 1))))
    batches = [rest[i : i + size] for i in range(0, len(rest), size)]
    with _workers(backend, n_jobs, scheduler) as settings:
        workers = Parallel(return_as="generator", **settings)
        for batch, found in zip(batches, workers(delayed(simulation.many)(batch) for batch in batches), strict=True):
            yield from zip(batch, cast(list[Columns], found), strict=True)


def _workers(backend: Backend, n_jobs: int, scheduler: str | None) -> AbstractContextManager[dict[str, Any]]:
    """Settings for joblib while the workers are there."""
    if backend in ("threads", "loky"):
        return nullcontext({"backend": "threading" if backend == "threads" else "loky", "n_jobs": n_jobs})
    from simtrials.engine.cluster import dask_client

    return dask_client(scheduler)


def n_blocks(n_replicates: int) -> int:
    """Blocks that hold so many replicates."""
    return -(-n_replicates // BLOCK_SIZE)
