"""Confidence intervals of tau2, the variance between studies: Q-profile and profile likelihood, for many meta-analyses at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_kernels import COLLINEAR, COLLINEAR_BELOW, evaluate, gather, log_likelihood, project, weigh, why_not
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import CONVERGED, LAST_STEP, NARROW, NOT_CONVERGED, root_of_q, slope, targets_of_q

STRIDE = 0.25
"""Step in ln(smallest variance + tau2) with which a limit of the profile likelihood is looked for; the likelihood bends over 1 or more."""

LAST_STRIDE = 4_000


@readable
class Tau2Interval(NamedTuple):
    """Limits of the between-study variance, (replicate,) each."""

    lower: FloatArray
    upper: FloatArray
    status: IntArray
    """`MetaStatus`"""


def q_profile_interval(
    yi: ArrayLike, vi: ArrayLike, level: float = 0.95, design: ArrayLike | None = None, present: ArrayLike | None = None
) -> Tau2Interval:
    """The between-study variances at which the generalised Q lies between two quantiles of chi-squared; exact when variances are known.

    Arguments as for `between_study_variance`. Both limits are 0 where Q is below the lower quantile already at 0: no variance fits so small a
    spread. The interval need not contain a likelihood estimate.

    Source: Viechtbauer (2007), Statistics in Medicine 26, 37-52.
    """
    return q_profile_of(Studies.of(yi, vi, design, None, present), level)


def q_profile_of(studies: Studies, level: float) -> Tau2Interval:
    """`q_profile_interval` of arrays that are already prepared."""
    n_studies, n_coefficients = studies.y.shape[1], studies.x.shape[1]
    targets = np.stack([targets_of_q(n_studies, n_coefficients, (1 + side * level) / 2) for side in (1, -1)])
    found = np.full((2, len(studies.y)), np.nan)
    status = np.zeros(len(studies.y), dtype=np.int64)
    _q_profile(studies.y, studies.v, studies.x, targets, found, status)
    return Tau2Interval(found[0], found[1], status)


@kernel
def _q_profile(y: FloatArray, v: FloatArray, x: FloatArray, targets: FloatArray, found: FloatArray, status: IntArray) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        status[replicate] = why_not(k, n_coefficients)
        if status[replicate] == 0 and not weigh(data, k, 0.0, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
        if status[replicate] != 0:
            continue
        for side in range(2):
            found[side, replicate], converged = root_of_q(data, k, targets[side, k], work, triangle, sums)
            if not converged:
                status[replicate] = NOT_CONVERGED


class ProfileLikelihood(NamedTuple):
    """Profile likelihood interval of the between-study variance, (replicate,) each."""

    lower: FloatArray
    upper: FloatArray
    log_likelihood: FloatArray
    """at the estimate, with all constants"""
    status: IntArray
    """`MetaStatus`"""


def profile_likelihood_interval(studies: Studies, tau2: FloatArray, restricted: bool, level: float = 0.95) -> ProfileLikelihood:
    """The between-study variances around the estimate whose (restricted) log-likelihood is at most chi-squared / 2 below the maximum.

    Parameters
    ----------
    studies : arrays as `Studies.of` makes them
    tau2 : (replicate,) the ML or the REML estimate
    restricted : True for REML; its likelihood has the term in |X'X| of Harville (1974), which metafor calls REMLf

    Returns
    -------
    ProfileLikelihood; the lower limit is 0 where the likelihood is high enough there

    Source: Hardy and Thompson (1996), Statistics in Medicine 15, 619-629; Viechtbauer (2007), Statistics in Medicine 26, 37-52.
    """
    found = np.full((3, len(tau2)), np.nan)
    status = np.zeros(len(tau2), dtype=np.int64)
    drop = float(ndtri(0.5 + level / 2)) ** 2 / 2
    _profile(studies.y, studies.v, studies.x, np.ascontiguousarray(tau2), restricted, drop, found, status)
    return ProfileLikelihood(found[0], found[1], found[2], status)


@kernel
def _constant(data: FloatArray, k: int, restricted: bool, work: FloatArray, triangle: FloatArray) -> float:
    """What `log_likelihood` leaves out."""
    if not restricted:
        return float(-0.5 * k * np.log(2.0 * np.pi))
    work[0, :k] = 1.0
    project(data, k, work, triangle)
    value = -0.5 * (k - triangle.shape[0]) * np.log(2.0 * np.pi)
    for c in range(triangle.shape[0]):
        value += np.log(triangle[c, c])
    return float(value)


@kernel
def _crossing(
    data: FloatArray,
    k: int,
    inside: float,
    outside: float,
    least: float,
    restricted: bool,
    work: FloatArray,
    triangle: FloatArray,
    sums: FloatArray,
) -> tuple[float, bool]:
    """Where the log-likelihood falls to `least` between a point above it and one below, by guarded Newton steps."""
    smallest = np.inf
    for s in range(k):
        smallest = min(smallest, data[1, s])
    point = 0.5 * (inside + outside)
    for _ in range(LAST_STEP):
        rise = 0.5 * slope(data, k, point, restricted, work, triangle, sums)
        above = log_likelihood(k, work, triangle, restricted) - least
        if above >= 0.0:
            inside = point
        else:
            outside = point
        step = -above / rise if rise != 0.0 else np.inf
        low, high = min(inside, outside), max(inside, outside)
        if abs(step) <= CONVERGED * (smallest + point):
            return min(max(point + step, low), high), True
        point += step
        if not low < point < high:
            point = 0.5 * (low + high)
            if high - low <= NARROW * (smallest + high):
                return point, True
    return point, False


@kernel
def _profile(
    y: FloatArray, v: FloatArray, x: FloatArray, tau2: FloatArray, restricted: bool, drop: float, found: FloatArray, status: IntArray
) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        status[replicate] = why_not(k, n_coefficients)
        if status[replicate] != 0 or np.isnan(tau2[replicate]):
            continue
        smallest = np.inf
        for s in range(k):
            smallest = min(smallest, data[1, s])
        evaluate(data, k, tau2[replicate], work, triangle, sums)
        highest = log_likelihood(k, work, triangle, restricted)
        found[2, replicate] = highest + _constant(data, k, restricted, work, triangle)
        for side in range(2):
            stride = (2 * side - 1) * STRIDE
            inside, outside = tau2[replicate], tau2[replicate]
            for _ in range(LAST_STRIDE):
                if side == 0 and outside == 0.0:
                    break
                inside, outside = outside, max(0.0, (smallest + outside) * np.exp(stride) - smallest)
                evaluate(data, k, outside, work, triangle, sums)
                if log_likelihood(k, work, triangle, restricted) < highest - drop:
                    break
            evaluate(data, k, outside, work, triangle, sums)
            if log_likelihood(k, work, triangle, restricted) >= highest - drop:
                found[side, replicate] = outside
                status[replicate] = 0 if outside == 0.0 else NOT_CONVERGED
                continue
            found[side, replicate], converged = _crossing(data, k, inside, outside, highest - drop, restricted, work, triangle, sums)
            if not converged:
                status[replicate] = NOT_CONVERGED
