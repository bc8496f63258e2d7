"""Intervals of a pooled effect that are not estimate and margin: profile likelihood (Hardy and Thompson), and Henmi and Copas."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammainc, ndtri

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.meta_kernels import evaluate, gather, log_likelihood, why_not
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import pool
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import CONVERGED, LAST_STEP, NARROW, NOT_CONVERGED, highest_tau2, last_tau2, tau2_of

LAST_STRIDE = 400
"""Strides to look for a limit of the profile likelihood on either side; the first is a standard error, each is longer than the one before."""
LONGER = 1.1

PANELS = (1.0, 3.0, 9.0)
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
"""Henmi and Copas's integral runs over a standard normal from x to x + 9, by Gauss and Legendre's rule on three panels; the rest is below 1e-18."""

ROWS_AT_ONCE = 20_000

SAME_PLACE = 1e-10
"""Of two successive points of the search, in standard errors; its error is then far smaller."""


class Limits(NamedTuple):
    """Estimate and interval of one mean, (replicate,) each."""

    estimate: FloatArray
    std_error: FloatArray
    p_value: FloatArray
    """two-sided test of 0"""
    lower: FloatArray
    upper: FloatArray
    tau2: FloatArray
    """the between-study variance that belongs to the method"""
    status: IntArray
    """`MetaStatus`"""


def profile_likelihood_limits(studies: Studies, level: float) -> Limits:
    """The means whose likelihood, with tau2 >= 0 maximised at each of them, is at most chi-squared / 2 below the maximum.

    The standard error is the inverse information at the ML estimate; the p-value is that of the likelihood ratio of a mean of 0.

    Source: Hardy and Thompson (1996), Statistics in Medicine 15, 619-629.
    """
    fit = tau2_of(studies, "ML")
    pooled = pool(studies, fit.estimate)
    estimate, std_error = pooled.coefficients[:, 0], np.sqrt(pooled.covariance[:, 0, 0])
    found = np.full((3, len(estimate)), np.nan)
    status = fit.status.copy()
    drop = float(ndtri(0.5 + level / 2)) ** 2 / 2
    _profile_means(studies.y, studies.v, studies.x, estimate, std_error, drop, found, status)
    return Limits(estimate, std_error, chi2_p_value(found[2], np.ones_like(estimate)), found[0], found[1], fit.estimate, status)


@kernel
def _profile(
    data: FloatArray, k: int, mean: float, shifted: FloatArray, work: FloatArray, triangle: FloatArray, sums: FloatArray
) -> tuple[float, float, bool]:
    """Profile log-likelihood of a mean, its derivative, and whether tau2 was found. A design without columns leaves the effects as residuals."""
    squares = 0.0
    for s in range(k):
        shifted[0, s] = data[0, s] - mean
        shifted[1, s] = data[1, s]
        squares += shifted[0, s] * shifted[0, s]
    tau2, converged = highest_tau2(shifted, k, False, last_tau2(shifted, k, squares, k), work, triangle, sums)
    evaluate(shifted, k, tau2, work, triangle, sums)
    derivative = 0.0
    for s in range(k):
        derivative += work[0, s] * shifted[0, s]
    return log_likelihood(k, work, triangle, False), derivative, converged


@kernel
def _profile_means(
    y: FloatArray, v: FloatArray, x: FloatArray, estimate: FloatArray, std_error: FloatArray, drop: float, found: FloatArray, status: IntArray
) -> None:
    data = np.empty((3, y.shape[1]))
    shifted, work, triangle, sums = np.empty((2, y.shape[1])), np.empty((2, y.shape[1])), np.empty((0, 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        if why_not(k, 1) != 0:
            continue
        centre, stride = estimate[replicate], std_error[replicate]
        highest, _, converged = _profile(data, k, centre, shifted, work, triangle, sums)
        at_0, _, also = _profile(data, k, 0.0, shifted, work, triangle, sums)
        found[2, replicate] = max(0.0, 2.0 * (highest - at_0))
        converged = converged and also
        for side in range(2):
            inside, outside, below = centre, centre, False
            reach = stride
            for _ in range(LAST_STRIDE):
                inside, outside = outside, outside + (2 * side - 1) * reach
                reach *= LONGER
                height, _, also = _profile(data, k, outside, shifted, work, triangle, sums)
                below = height < highest - drop
                if below:
                    break
            point, ended = 0.5 * (inside + outside), False
            for _ in range(LAST_STEP if below else 0):
                height, rise, also = _profile(data, k, point, shifted, work, triangle, sums)
                above = height - (highest - drop)
                if above >= 0.0:
                    inside = point
                else:
                    outside = point
                step = -above / rise if rise != 0.0 else np.inf
                low, high = min(inside, outside), max(inside, outside)
                ended = abs(step) <= CONVERGED * stride or high - low <= NARROW * (abs(high) + stride)
                if ended:
                    point = min(max(point + step, low), high)
                    break
                point += step
                if not low < point < high:
                    point = 0.5 * (low + high)
            found[side, replicate] = point if below else np.nan
            converged = converged and also and ended
        if not converged:
            status[replicate] = NOT_CONVERGED


class _Moments(NamedTuple):
    """What Henmi and Copas need of one meta-analysis, (replicate,) each; the letters are those of the paper."""

    w1: FloatArray
    w2: FloatArray
    w3: FloatArray
    w4: FloatArray
    tau2: FloatArray
    df: FloatArray


def henmi_copas_limits(studies: Studies, level: float) -> Limits:
    """The common-effect estimate with an interval that allows for DerSimonian and Laird's tau2 and its uncertainty.

    Weights of large studies stay large, which small-study effects bias less; Q given the estimate is taken as gamma.

    Source: Henmi and Copas (2010), Statistics in Medicine 29, 2969-2983.
    """
    fit = tau2_of(studies, "DL")
    pooled = pool(studies, np.where(np.isnan(fit.estimate), np.nan, 0.0))
    w1 = 1 / pooled.covariance[:, 0, 0]
    v = np.where(np.isnan(studies.y) | np.isnan(fit.estimate)[:, np.newaxis], np.inf, studies.v)
    w2, w3, w4 = ((v ** float(-power)).sum(axis=1) / w1 for power in (2, 3, 4))
    moments = _Moments(w1, w2, w3, w4, fit.estimate, pooled.df)
    estimate = pooled.coefficients[:, 0]
    inflation = np.sqrt(1 + moments.tau2 * moments.w2)
    std_error = inflation / np.sqrt(w1)
    critical, p_value = np.full((2, len(estimate)), np.nan)
    for start in range(0, len(estimate), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        part = _Moments(*(column[rows] for column in moments))
        critical[rows] = _critical(part, (1 - level) / 2)
        p_value[rows] = 2 * _tail(part, np.abs(estimate[rows]) / std_error[rows] / inflation[rows])
    margin = critical * inflation * std_error
    status = np.where((fit.status == MetaStatus.OK) & np.isnan(critical), NOT_CONVERGED, fit.status)
    return Limits(estimate, std_error, p_value, estimate - margin, estimate + margin, fit.estimate, status)


def _tail(m: _Moments, x: FloatArray) -> FloatArray:
    """Probability that the standardised estimate exceeds x times the estimated inflation of its standard error, (replicate,)."""
    variance = 1 + m.tau2 * m.w2
    total = np.zeros_like(x)
    start = x.copy()
    for end in PANELS:
        half = (x + end - start) / 2
        for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
            r = start + half * (node + 1)
            total += weight * half * _shape_probability(m, variance, r, x) * np.exp(-r * r / 2)
        start = x + end
    return np.asarray(total / np.sqrt(2 * np.pi))


def _shape_probability(m: _Moments, variance: FloatArray, r: FloatArray, x: FloatArray) -> FloatArray:
    """P(Q below the value that makes r significant at x), given r."""
    excess = r * r / variance - 1 / variance  # (r sqrt(variance))^2 / variance^2 - 1 / variance
    skew = m.w3 - m.w2**2
    mean = m.df + m.tau2 * (m.w1 - m.w2) + m.tau2**2 * excess * skew
    spread = 2 * m.df + 4 * m.tau2 * (m.w1 - m.w2) + 2 * m.tau2**2 * (m.w1 * m.w2 - 2 * m.w3 + m.w2**2)
    spread += 4 * m.tau2**2 * excess * skew + 4 * m.tau2**3 * excess * (m.w4 - 2 * m.w2 * m.w3 + m.w2**3)
    spread += 2 * m.tau2**4 * (1 / variance**2 - 2 * r * r / variance**2) * skew**2
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = (m.w1 / m.w2 - 1) * ((r / x) ** 2 - 1) + m.df
        return np.asarray(gammainc(mean**2 / spread, limit * mean / spread))


def _critical(m: _Moments, tail: float) -> FloatArray:
    """The x at which `_tail` is `tail`: between 0 and the normal quantile, because P(Q ...) <= 1. False position with Illinois's halving."""
    low, high = np.zeros_like(m.w1), np.full_like(m.w1, -ndtri(tail))
    f_low, f_high = np.full_like(m.w1, 0.5 - tail), _tail(m, high) - tail
    searching = ~np.isnan(f_high)
    for _ in range(LAST_STEP):
        x = np.where(searching, high - f_high * (high - low) / (f_high - f_low), high)
        f = _tail(m, x) - tail
        same_side = (f < 0) == (f_high < 0)
        low, f_low = np.where(same_side, low, high), np.where(same_side, f_low / 2, f_high)
        searching &= (np.abs(x - high) > SAME_PLACE) & (f != 0)
        high, f_high = x, f
        if not searching.any():
            break
    return np.where(searching | np.isnan(f_high), np.nan, high)
