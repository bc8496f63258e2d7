"""Repeated measures by iteration: any missing visits, any covariance, means that need not be saturated in visits.

A trial is reduced to sums over the patients with the same visits observed (K patterns); the restricted likelihood is then climbed by average
information. V visits, m columns (one, the covariates, the arm), N = V m means (column j at visit s is mean s m + j), q coefficients, S
distinct entries of the covariance.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.covariances import (
    CODES,
    UNSTRUCTURED,
    Covariance,
    add_bend,
    covariance_matrix,
    covariance_slopes,
    n_parameters,
    starting_values,
)
from simtrials.stats.means import NEGLIGIBLE_SPREAD
from simtrials.stats.regression import COLLINEAR_BELOW

DegreesOfFreedom = Literal["satterthwaite", "kenward_roger"]
Information = Literal["observed", "expected"]

OK, TOO_FEW_PATIENTS, NO_VARIATION = int(Status.OK), int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION)
COLLINEAR, NOT_CONVERGED = int(Status.COLLINEAR), int(Status.NOT_CONVERGED)
MAX_ITERATIONS = 60
DECREMENT = 1e-16
"""The climb ends when a step is shorter than the root of this, in standard errors of the parameters."""


class RepeatedContrast(NamedTuple):
    """A difference between arms, active minus control; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    status: IntArray
    covariance: IntArray
    """place of the covariance used in the order tried: 0 for the one asked for, -1 where none could be fitted"""


class Trials(NamedTuple):
    """Data as the kernels read them, one replicate after the other in memory."""

    outcome: FloatArray
    """(replicate, patient, visit)"""
    arm: ArmArray
    """(replicate, patient)"""
    active: int
    covariates: FloatArray
    """(replicate, covariate, patient)"""


class Patterns(NamedTuple):
    """Sums of one trial over the patients with the same visits observed."""

    visits: IntArray
    """(K,) bit v is set when visit v was observed"""
    n: FloatArray
    """(K,) patients"""
    moments: FloatArray
    """(K, m + V, m + V) products of the columns and the visits, all but the column of ones centred; lower triangle"""
    waiting: FloatArray
    """(K, m + V, 4) patients not yet added to the sums"""
    seen: IntArray
    """(2, V) patients observed under control and active"""
    centre: FloatArray
    """(m + V,) what was taken off"""
    member: IntArray
    """(patient,) visits observed, 0 for a patient who is not analysed"""


def trials_of(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray]) -> Trials:
    """Copy a block into the order that the kernels read."""
    n_replicates, n_patients, _ = outcome.shape
    columns = np.empty((n_replicates, len(covariates), n_patients))
    for c, column in enumerate(covariates):
        columns[:, c] = column
    return Trials(np.ascontiguousarray(outcome, dtype=np.float64), np.ascontiguousarray(arm, dtype=np.int8), int(active), columns)


def empty_patterns(trials: Trials) -> Patterns:
    """Room for the sums of any of the trials."""
    _, n_patients, n_visits = trials.outcome.shape
    size = trials.covariates.shape[1] + 2 + n_visits
    most = min(n_patients, 2**n_visits - 1)
    return Patterns(
        visits=np.zeros(most, dtype=np.int64),
        n=np.zeros(most),
        moments=np.zeros((most, size, size)),
        waiting=np.zeros((most, size, 4)),
        seen=np.zeros((2, n_visits), dtype=np.int64),
        centre=np.zeros(size),
        member=np.zeros(n_patients, dtype=np.int64),
    )


@kernel
def _observe(trials: Trials, r: int, patterns: Patterns) -> None:
    """Who is analysed, which visits were observed, and the means of columns and outcome (one for all visits)."""
    outcome, arm, covariates = trials.outcome[r], trials.arm[r], trials.covariates[r]
    centre, seen = patterns.centre, patterns.seen
    n_visits, n_covariates = outcome.shape[1], covariates.shape[0]
    centre[:] = 0.0
    seen[:] = 0
    n, total, n_values = 0, 0.0, 0
    for p in range(outcome.shape[0]):
        patterns.member[p] = 0
        analysed = arm[p] == 0 or arm[p] == trials.active
        for c in range(n_covariates):
            analysed &= covariates[c, p] == covariates[c, p]
        if not analysed:
            continue
        visits, bit, side = 0, 1, 0 if arm[p] == 0 else 1
        for v in range(n_visits):
            y = outcome[p, v]
            if y == y:
                visits |= bit
                total += y
                n_values += 1
                seen[side, v] += 1
            bit += bit
        if visits == 0:
            continue
        patterns.member[p] = visits
        n += 1
        for c in range(n_covariates):
            centre[c + 1] += covariates[c, p]
        centre[n_covariates + 1] += side
    for c in range(1, n_covariates + 2):
        centre[c] /= max(n, 1)
    centre[n_covariates + 2 :] = total / max(n_values, 1)


@kernel
def _add_waiting(waiting: FloatArray, moments: FloatArray) -> None:
    for i in range(waiting.shape[0]):
        a, b, c, d = waiting[i, 0], waiting[i, 1], waiting[i, 2], waiting[i, 3]
        for j in range(i + 1):
            moments[i, j] += (a * waiting[j, 0] + b * waiting[j, 1]) + (c * waiting[j, 2] + d * waiting[j, 3])


@kernel
def gather(trials: Trials, r: int, patterns: Patterns) -> int:
    """Fill the sums of replicate `r`; returns the number of patterns."""
    _observe(trials, r, patterns)
    outcome, arm, covariates = trials.outcome[r], trials.arm[r], trials.covariates[r]
    visits, n, centre, waiting = patterns.visits, patterns.n, patterns.centre, patterns.waiting
    n_visits, arm_column = outcome.shape[1], covariates.shape[0] + 1
    count = 0
    for p in range(outcome.shape[0]):
        observed = patterns.member[p]
        if observed == 0:
            continue
        k = 0
        while k < count and visits[k] != observed:
            k += 1
        if k == count:
            count += 1
            visits[k], n[k] = observed, 0.0
            patterns.moments[k] = 0.0
            waiting[k] = 0.0
        place = int(n[k]) & 3
        waiting[k, 0, place] = 1.0
        for c in range(1, arm_column):
            waiting[k, c, place] = covariates[c - 1, p] - centre[c]
        waiting[k, arm_column, place] = (0.0 if arm[p] == 0 else 1.0) - centre[arm_column]
        for v in range(n_visits):
            y = outcome[p, v]
            waiting[k, arm_column + 1 + v, place] = y - centre[arm_column + 1] if y == y else 0.0
        n[k] += 1.0
        if place == 3:
            _add_waiting(waiting[k], patterns.moments[k])
    for k in range(count):
        left = int(n[k]) & 3
        if left > 0:
            waiting[k, :, left:] = 0.0
            _add_waiting(waiting[k], patterns.moments[k])
    return count
