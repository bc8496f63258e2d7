"""Effects pooled over studies, or regressed on moderators, with weights 1 / (v + tau2): coefficients, covariances and residual sums of squares.

Interval and test follow in `intervals`, the measures of heterogeneity in `heterogeneity`.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_kernels import (
    COLLINEAR,
    COLLINEAR_BELOW,
    RSS,
    TOO_FEW_STUDIES,
    TRACE_P,
    TRACE_PP,
    ZERO_VARIANCE,
    gather,
    project,
    score_sums,
    weigh,
)
from simtrials.stats.studies import Studies

NO_RESIDUAL = np.finfo(np.float64).eps
"""Weighted residual sum of squares, which has no unit, at or below which all studies agree exactly."""


class Pooled(NamedTuple):
    """Weighted least squares of many meta-analyses; NaN where it cannot be fitted."""

    n_studies: IntArray
    """(replicate,) studies present, 0 where a variance is not positive"""
    coefficients: FloatArray
    """(replicate, coefficient)"""
    covariance: FloatArray
    """(replicate, coefficient, coefficient) (X'WX)^-1, or its sandwich with weights of the user's own"""
    rss: FloatArray
    """(replicate,) sum of (y - Xb)^2 / (v + tau2), 0 where it is rounding"""
    information: FloatArray
    """(replicate,) tr PP at tau2, twice the expected information on tau2 under REML"""
    q: FloatArray
    """(replicate,) Cochran's Q: the same sum with tau2 = 0 and the coefficients that belong to it"""
    typical_variance: FloatArray
    """(replicate,) (k - p) / tr P at tau2 = 0, the sampling variance of a typical study (Higgins and Thompson 2002, equation 9)"""
    status: IntArray
    """(replicate,) `MetaStatus`"""

    @property
    def df(self) -> FloatArray:
        """(replicate,) studies less coefficients."""
        return np.asarray(self.n_studies - self.coefficients.shape[1], dtype=np.float64)


def pool(studies: Studies, tau2: FloatArray) -> Pooled:
    """Weighted least squares at given between-study variances.

    Parameters
    ----------
    studies : arrays as `Studies.of` makes them; weights of the user's own replace the inverse variances in the coefficients
    tau2 : (replicate,) between-study variance, 0 for the common-effect model; NaN where nothing is to be fitted

    Returns
    -------
    Pooled; TOO_FEW_STUDIES with fewer studies than coefficients, ZERO_VARIANCE, COLLINEAR

    Source: Hedges and Olkin (1985), Statistical Methods for Meta-Analysis; Raudenbush (2009) in Cooper, Hedges and Valentine, chapter 16.
    """
    n_replicates = len(studies.y)
    n_coefficients = studies.x.shape[1]
    coefficients = np.full((n_replicates, n_coefficients), np.nan)
    covariance = np.full((n_replicates, n_coefficients, n_coefficients), np.nan)
    numbers = np.full((4, n_replicates), np.nan)
    counts, status = np.zeros((2, n_replicates), dtype=np.int64)
    arrays = studies.y, studies.v, studies.x, studies.own_weights, np.ascontiguousarray(tau2, dtype=np.float64)
    _pool(*arrays, coefficients, covariance, numbers, counts, status)
    rss, information, q, typical = numbers
    return Pooled(counts, coefficients, covariance, rss, information, q, typical, status)


@kernel
def _solve(triangle: FloatArray, inverse: FloatArray, coefficients: FloatArray) -> None:
    """Inverse of the upper triangle and the coefficients, by substitution from below."""
    n = triangle.shape[0]
    for column in range(n):
        for row in range(n):
            inverse[row, column] = 0.0
        inverse[column, column] = 1.0 / triangle[column, column]
        for row in range(column - 1, -1, -1):
            total = 0.0
            for between in range(row + 1, column + 1):
                total += triangle[row, between] * inverse[between, column]
            inverse[row, column] = -total / triangle[row, row]
    for row in range(n):
        coefficients[row] = 0.0
        for column in range(row, n):
            coefficients[row] += inverse[row, column] * triangle[column, n]


@kernel
def _outer(inverse: FloatArray, middle: FloatArray, covariance: FloatArray) -> None:
    """inverse middle inverse'."""
    n = inverse.shape[0]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for a in range(n):
                for b in range(n):
                    total += inverse[i, a] * middle[a, b] * inverse[j, b]
            covariance[i, j] = total


@kernel
def _middle(data: FloatArray, k: int, tau2: float, work: FloatArray, middle: FloatArray) -> None:
    """Z'A (V + tau2) A Z for the weights A of the last `project`: the identity where they are 1 / (v + tau2)."""
    n = middle.shape[0]
    for a in range(n):
        for b in range(n):
            total = 0.0
            for s in range(k):
                total += work[2 + a, s] * work[2 + b, s] * work[0, s] * work[0, s] * (data[1, s] + tau2)
            middle[a, b] = total


@kernel
def _pool(
    y: FloatArray,
    v: FloatArray,
    x: FloatArray,
    own: FloatArray,
    tau2: FloatArray,
    coefficients: FloatArray,
    covariance: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    status: IntArray,
) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    inverse, middle = np.empty((n_coefficients, n_coefficients)), np.eye(n_coefficients)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        counts[replicate] = max(k, 0)
        if k < n_coefficients:
            status[replicate] = ZERO_VARIANCE if k < 0 else TOO_FEW_STUDIES
            continue
        if np.isnan(tau2[replicate]):
            continue
        if not weigh(data, k, 0.0, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        score_sums(k, work, triangle, sums)
        spread = sums[RSS] > NO_RESIDUAL and k > n_coefficients
        numbers[2, replicate] = sums[RSS] if spread else 0.0
        numbers[3, replicate] = (k - n_coefficients) / sums[TRACE_P] if k > n_coefficients else 0.0
        if tau2[replicate] > 0.0:
            weigh(data, k, tau2[replicate], work, triangle)
            score_sums(k, work, triangle, sums)
        numbers[0, replicate] = sums[RSS] if sums[RSS] > NO_RESIDUAL and k > n_coefficients else 0.0
        numbers[1, replicate] = sums[TRACE_PP]
        if own.shape[1] > 0:
            place = 0
            for s in range(y.shape[1]):
                if y[replicate, s] == y[replicate, s]:
                    work[0, place] = own[replicate if own.shape[0] > 1 else 0, s]
                    place += 1
            project(data, k, work, triangle)
            _middle(data, k, tau2[replicate], work, middle)
        _solve(triangle, inverse, coefficients[replicate])
        _outer(inverse, middle, covariance[replicate])
