"""Bodies of evidence against exact answers: small scenarios, and what is found in many replicates of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from statistical.helpers import N_JOBS, seed_of

from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.blocks import run_blocks
from simtrials.engine.evidence.run import ready_evidence
from simtrials.engine.files import evidence_from
from simtrials.evidence.gather import gather

CLEAN: dict[str, Any] = {
    "name": "clean",
    "fidelity": {"kind": "summaries"},
    "studies": {"kind": "drawn", "number": 11, "n_per_arm": {"kind": "fixed", "n": 500}},
    "endpoints": {"outcome": {"kind": "continuous", "sd": 1.0, "effects": {"active": {"kind": "constant", "points": 0.1}}}},
    "outcomes": {"md": {"endpoint": "outcome", "measure": "MD"}},
    "syntheses": {"common": {"kind": "pooled", "outcome": "md", "tau2": "common", "ci": "wald"}},
}
"""Eleven large trials of a normal outcome, all published, read without error; the variance of a mean difference is 2 / 500."""
VARIANCE = 2 / 500


def ready(name: str, **changes: Any):
    """A scenario with the seed that belongs to the name of a check."""
    return ready_evidence(evidence_from({**CLEAN, "seed": seed_of(name), **changes}), {})


def found(name: str, n_replicates: int, **changes: Any) -> Mapping[str, np.ndarray]:
    """Columns of all replicates."""
    simulation = ready(name, **changes)
    columns = [made for _, made in run_blocks(simulation, range(-(-n_replicates // BLOCK_SIZE)), N_JOBS)]
    return {key: np.concatenate([block[key] for block in columns]) for key in columns[0]}


def tables(name: str, n_blocks: int, **changes: Any):
    """The reviewers' tables of some blocks."""
    simulation = ready(name, **changes)
    return [gather(simulation.prepared, Streams(simulation.seed, Purpose.RUN, block)).table for block in range(n_blocks)]


def covered(columns: Mapping[str, np.ndarray], synthesis: str, truth: float) -> tuple[float, float]:
    """Share of intervals that hold the truth, and its standard error."""
    hit = (columns[f"{synthesis}/lower"] <= truth) & (truth <= columns[f"{synthesis}/upper"])
    share = (hit.sum() + 2) / (hit.size + 4)
    return float(hit.mean()), float(np.sqrt(share * (1 - share) / hit.size))


def mean_of(values: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error."""
    known = values[np.isfinite(values)]
    return float(known.mean()), float(known.std(ddof=1) / np.sqrt(known.size))
