"""Randomization tests: the arms are drawn again as the trial drew them, and the statistic is compared with what it would then have been.

Under the null hypothesis that no patient's data depend on the arm, the arms of the trial and M further draws are exchangeable, so that

    p = (1 + number of draws whose |statistic| is at least that of the trial) / (M + 1)

is at most u with probability at most u, for every u and M. With all other allocations as the draws, where all are equally likely, p is the
exact p-value.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.stratified_ranks import ordered_by

Assign = Callable[[np.random.Generator, int], ArmArray]
"""``assign(rng, n)`` draws the arms of all trials n times, as the trials did: (draw, replicate, patient) int8."""

LARGEST_CHUNK = 2**22  # arms that are held in memory at once, in bytes
AT_ONCE = 8  # draws whose sums are kept
ROUNDING = 1e-10  # statistics that differ by a smaller share are tied: the same sum in another order is not the same number


class RandomizationTest(NamedTuple):
    """Each (replicate,)."""

    statistic: FloatArray
    """of the arms that the trial had; NaN unless `status` is OK"""
    p_value: FloatArray
    """two-sided; NaN unless `status` is OK"""
    status: IntArray


def randomization_test(
    statistic: Callable[[ArmArray], FloatArray],
    arm: ArmArray,
    redrawn: Assign | ArmArray,
    n_draws: int | None = None,
    rng: np.random.Generator | None = None,
) -> RandomizationTest:
    """Randomization test of any statistic.

    Parameters
    ----------
    statistic : takes arms (replicate, patient) and returns (replicate,), NaN where it cannot be computed; its absolute value counts, so that
        it must be 0 on average when nothing has an effect
    arm : (replicate, patient) int8, the arms that the trials had
    redrawn : a function as `Assign`, or arms drawn elsewhere, (draw, replicate, patient)
    n_draws, rng : of the function; the same generator gives the same draws

    Returns
    -------
    RandomizationTest; TOO_FEW_PATIENTS where the statistic of the trial is NaN. A draw whose statistic is NaN counts against significance.

    Source: Rosenberger and Lachin (2016), Randomization in Clinical Trials, second edition, chapter 6; Phipson and Smyth (2010), Statistical
    Applications in Genetics and Molecular Biology 9:39 (the 1 that is added).
    """
    own = np.asarray(statistic(arm), dtype=np.float64)
    least = np.abs(own) * (1 - ROUNDING)
    as_extreme, count = np.zeros(own.size, dtype=np.int64), 0
    for chunk in _chunks(arm, redrawn, n_draws, rng):
        for drawn in chunk:
            as_extreme += ~(np.abs(statistic(drawn)) < least)
        count += len(chunk)
    return _result(own, as_extreme, count)


def _chunks(arm: ArmArray, redrawn: Assign | ArmArray, n_draws: int | None, rng: np.random.Generator | None) -> Iterator[ArmArray]:
    """The draws, as many at a time as memory should hold; the number depends on the size of the trials alone."""
    at_once = max(1, LARGEST_CHUNK // max(arm.size, 1))
    if not callable(redrawn):
        for first in range(0, len(redrawn), at_once):
            yield redrawn[first : first + at_once]
        return
    if n_draws is None or rng is None:
        raise ValueError("randomization test: a function that draws arms needs n_draws and rng")
    for first in range(0, n_draws, at_once):
        yield redrawn(rng, min(at_once, n_draws - first))


def _result(own: FloatArray, as_extreme: IntArray, n_draws: int) -> RandomizationTest:
    known = ~np.isnan(own)
    p_value = np.where(known, (as_extreme + 1) / (n_draws + 1), np.nan)
    return RandomizationTest(own, p_value, np.where(known, Status.OK, Status.TOO_FEW_PATIENTS))


@kernel
def _statistics(score: FloatArray, arm: ArmArray, active: int, of_means: bool, out: FloatArray) -> None:
    """Difference of means, or total of the active arm, `out` (draw, replicate); NaN where an arm is empty.

    `score` (patient, replicate), `arm` (patient, draw, replicate); a few draws at a time, so that their sums stay in the cache.
    """
    n_draws, n_replicates = out.shape
    sums = np.empty((4, AT_ONCE, n_replicates))  # patients of control and active, and their scores
    for first in range(0, n_draws, AT_ONCE):
        last = min(first + AT_ONCE, n_draws)
        for k in range(4):
            for m in range(AT_ONCE):
                for r in range(n_replicates):
                    sums[k, m, r] = 0.0
        for p in range(arm.shape[0]):
            for m in range(first, last):
                codes, scores = arm[p, m], score[p]
                n_control, n_active, of_control, of_active = sums[0, m - first], sums[1, m - first], sums[2, m - first], sums[3, m - first]
                for r in range(n_replicates):
                    value = scores[r]
                    in_control, in_active = (codes[r] == 0) & (value == value), (codes[r] == active) & (value == value)
                    n_control[r] += 1.0 if in_control else 0.0
                    n_active[r] += 1.0 if in_active else 0.0
                    of_control[r] += value if in_control else 0.0
                    of_active[r] += value if in_active else 0.0
        for m in range(first, last):
            for r in range(n_replicates):
                n_control, n_active, of_control, of_active = sums[:, m - first, r]
                value = of_active / n_active - of_control / n_control if of_means else of_active
                out[m, r] = value if min(n_control, n_active) > 0.0 else np.nan


def linear_randomization_test(
    score: FloatArray,
    arm: ArmArray,
    active: int,
    redrawn: Assign | ArmArray,
    n_draws: int | None = None,
    rng: np.random.Generator | None = None,
    kind: Literal["mean_difference", "total"] = "mean_difference",
) -> RandomizationTest:
    """Randomization test of a statistic that needs no more than sums of scores by arm; a hundred times as fast as `randomization_test`.

    Parameters
    ----------
    score : (replicate, patient) float, NaN where a patient has none: an outcome, its rank, a residual, a log-rank score
    arm : (replicate, patient) int8, the arms that the trials had; -1 for a patient who is in no arm
    active : code of the arm that is compared with control
    redrawn, n_draws, rng : as for `randomization_test`
    kind : "mean_difference", of active and control; or "total", the sum over the active arm of the scores less their mean over all patients,
        which is 0 on average where all patients have the same chance of that arm

    Returns
    -------
    RandomizationTest; TOO_FEW_PATIENTS where an arm is empty. A draw in which an arm is empty counts against significance.

    Source: as for `randomization_test`; Rosenberger and Lachin (2016), section 6.3 (linear rank statistics).
    """
    score = np.where(arm >= 0, score, np.nan)
    known = np.asarray(~np.isnan(score))
    n, total = np.count_nonzero(known, axis=1), np.add.accumulate(np.where(known, score, 0.0), axis=1)[:, -1]  # one patient after the other
    score = score - (total / np.where(n > 0, n, np.nan))[:, np.newaxis]
    largest = np.fmax.reduce(np.abs(score), axis=1)
    score = patient_major(score)

    def statistics(drawn: ArmArray) -> FloatArray:
        out = np.empty(drawn.shape[:2])
        _statistics(score, np.ascontiguousarray(drawn.transpose(2, 0, 1)), active, kind == "mean_difference", out)
        return out

    own = statistics(arm[np.newaxis])[0]
    least = np.abs(own) * (1 - ROUNDING) - ROUNDING * largest
    as_extreme, count = np.zeros(own.size, dtype=np.int64), 0
    for chunk in _chunks(arm, redrawn, n_draws, rng):
        as_extreme += np.count_nonzero(~(np.abs(statistics(chunk)) < least), axis=0)
        count += len(chunk)
    return _result(own, as_extreme, count)


def permuted(arm: ArmArray) -> Callable[[np.random.Generator, int, AnyArray], ArmArray]:
    """Draws that keep the number of patients in each arm of a stratum, where nothing more is known of the allocation: all orders are equally
    likely."""

    def redraw(rng: np.random.Generator, n_draws: int, stratum: AnyArray) -> ArmArray:
        if (stratum == stratum[:, :1]).all():
            return rng.permuted(np.broadcast_to(arm, (n_draws, *arm.shape)), axis=2)
        strata = np.broadcast_to(stratum, (n_draws, *arm.shape))
        members = np.lexsort((rng.random(strata.shape), strata), axis=2)  # of one stratum after another, each in a random order
        in_order = np.take_along_axis(arm, np.argsort(stratum, axis=1, kind="stable"), axis=1)
        drawn = np.empty(strata.shape, dtype=arm.dtype)
        np.put_along_axis(drawn, members, np.broadcast_to(in_order, strata.shape), axis=2)
        return drawn

    return redraw


@kernel
def _midranks(order: IntArray, start: IntArray, n: IntArray, ranks: FloatArray) -> None:
    for r in range(order.shape[0]):
        for k in range(n[r]):
            for place in range(start[r, k], start[r, k + 1]):
                ranks[r, order[r, place]] = 0.5 * (start[r, k] + start[r, k + 1] + 1)


def ranked_scores(score: FloatArray) -> FloatArray:
    """(replicate, patient) ranks from 1, the mean rank of those who are tied; NaN stays NaN."""
    ranks = np.full(score.shape, np.nan)
    _midranks(*ordered_by(score), ranks)
    return ranks


def adjusted_scores(score: FloatArray, covariates: Sequence[AnyArray]) -> FloatArray:
    """(replicate, patient) what is left of the scores after least squares on covariates, the arms unseen; NaN where any value is missing.

    A covariate that is constant, or follows from earlier ones, changes nothing.

    Source: Rosenbaum (2002), Statistical Science 17, 286-327, section 3 (covariance adjustment in randomization inference).
    """
    columns = np.stack([score, *(np.broadcast_to(column, score.shape) for column in covariates)], axis=-1).astype(np.float64)
    known = np.asarray(~np.isnan(columns).any(axis=-1))
    n = np.maximum(known.sum(axis=1), 1)[:, np.newaxis, np.newaxis]
    columns = np.where(known[..., np.newaxis], columns, 0.0)
    left = np.where(known[..., np.newaxis], columns - columns.sum(axis=1, keepdims=True) / n, 0.0)
    whole = np.square(left).sum(axis=1)
    for k in range(1, left.shape[2]):  # each column, cleared of those before it, is cleared from those after it and from the scores
        size = np.square(left[..., k]).sum(axis=1)
        share = np.einsum("rp,rpc->rc", left[..., k], left) / np.where(size > COLLINEAR_BELOW * whole[:, k], size, np.inf)[:, np.newaxis]
        share[:, 1 : k + 1] = 0.0
        left = left - left[..., k, np.newaxis] * share[:, np.newaxis]
    return np.where(known, left[..., 0], np.nan)
