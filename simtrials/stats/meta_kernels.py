"""Weighted least squares over the studies of one meta-analysis: the sums from which everything else follows.

With weights w = 1 / (v + t), W = diag(w) and P = W - W X (X'WX)^-1 X'W, estimators of tau2 need y'Py, y'PPy, tr P, tr PP and the like. The
design is made orthonormal in the metric of W (Z'WZ = I, modified Gram-Schmidt), so that with residuals r and leverages h = w z'z

    Py = W r    y'Py = sum w r^2    y'PPy = sum w^2 r^2    y'PPPy = sum w^3 r^2 - |Z'W^2 r|^2
    tr PD = sum w d (1 - h)    tr PDPE = sum w^2 d e (1 - 2h) + sum (Z'W^2 D Z) * (Z'W^2 E Z)    for diagonal D, E

without any k x k matrix. Letters in comments: S studies, C coefficients. Kernels take one meta-analysis, gathered into work arrays.
"""

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_status import MetaStatus

TOO_FEW_STUDIES, ZERO_VARIANCE, COLLINEAR = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE), int(MetaStatus.COLLINEAR)
COLLINEAR_BELOW = 1e-10
"""A column is collinear when this share of its weighted sum of squares, or less, is left by the columns before it."""

RSS, YPPY, YPPPY, TRACE_P, TRACE_PP, SUM_W, SUM_W2, LOG_DET = range(8)
"""Places in the array of sums."""


@kernel
def gather(y: FloatArray, v: FloatArray, x: FloatArray, replicate: int, data: FloatArray) -> int:
    """Copy the studies that are present to the front of `data`, (2 + C, S): effects, variances, columns of the design.

    Returns their number, or -1 where a variance is not positive. `x` is (1 or replicate, C, S).
    """
    design = replicate if x.shape[0] > 1 else 0
    k = 0
    for s in range(y.shape[1]):
        if y[replicate, s] == y[replicate, s]:
            if not v[replicate, s] > 0.0:
                return -1
            data[0, k], data[1, k] = y[replicate, s], v[replicate, s]
            for c in range(x.shape[1]):
                data[2 + c, k] = x[design, c, s]
            k += 1
    return k


@kernel
def why_not(k: int, n_coefficients: int) -> int:
    """Status of a meta-analysis of k studies, as `gather` counts them, before its fit."""
    if k < 0:
        return ZERO_VARIANCE
    return TOO_FEW_STUDIES if k <= n_coefficients else 0


@kernel
def project(data: FloatArray, k: int, work: FloatArray, triangle: FloatArray) -> float:
    """Residuals of the weighted regression of effects on the design, weights in `work[0]`, by modified Gram-Schmidt.

    `work` (2 + C, S) becomes weights, residuals, orthonormal columns; `triangle` (C, C + 1) the R of X = Z R with Z'W y in its last column.
    Returns the smallest share of a column that is left by those before it.
    """
    n_coefficients = triangle.shape[0]
    w, residual = work[0], work[1]
    smallest = 1.0
    for s in range(k):
        residual[s] = data[0, s]
    for c in range(n_coefficients):
        z = work[2 + c]
        before = 0.0
        for s in range(k):
            z[s] = data[2 + c, s]
            before += w[s] * z[s] * z[s]
        after = before
        for b in range(c):
            other = work[2 + b]
            along = 0.0
            for s in range(k):
                along += w[s] * z[s] * other[s]
            triangle[b, c] = along
            after = 0.0
            for s in range(k):
                z[s] -= along * other[s]
                after += w[s] * z[s] * z[s]
        smallest = min(smallest, after / before if before > 0.0 else 0.0)
        norm = np.sqrt(after)
        triangle[c, c] = norm
        along = 0.0
        for s in range(k):
            z[s] /= norm
            along += w[s] * z[s] * residual[s]
        triangle[c, n_coefficients] = along
        for s in range(k):
            residual[s] -= along * z[s]
    return smallest


@kernel
def weigh(data: FloatArray, k: int, tau2: float, work: FloatArray, triangle: FloatArray) -> float:
    """`project` with the weights 1 / (v + tau2)."""
    for s in range(k):
        work[0, s] = 1.0 / (data[1, s] + tau2)
    return project(data, k, work, triangle)


@kernel
def score_sums(k: int, work: FloatArray, triangle: FloatArray, sums: FloatArray) -> None:
    """y'Py, y'PPy, y'PPPy, tr P, tr PP, sum w and sum w^2 at the weights of the last `project`."""
    n_coefficients = triangle.shape[0]
    w, r = work[0], work[1]
    rss, yppy, ypppy, trace, trace2, total, total2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(k):
        wr = w[s] * r[s]
        leverage = 0.0
        for c in range(n_coefficients):
            leverage += w[s] * work[2 + c, s] * work[2 + c, s]
        rss += wr * r[s]
        yppy += wr * wr
        ypppy += w[s] * wr * wr
        trace += w[s] * (1.0 - leverage)
        trace2 += w[s] * w[s] * (1.0 - 2.0 * leverage)
        total += w[s]
        total2 += w[s] * w[s]
    for c in range(n_coefficients):
        z = work[2 + c]
        along = 0.0
        for s in range(k):
            along += w[s] * w[s] * r[s] * z[s]
        ypppy -= along * along
        for b in range(c + 1):
            cross = 0.0
            for s in range(k):
                cross += w[s] * w[s] * z[s] * work[2 + b, s]
            trace2 += cross * cross if b == c else 2.0 * cross * cross
    sums[RSS], sums[YPPY], sums[YPPPY], sums[TRACE_P], sums[TRACE_PP], sums[SUM_W], sums[SUM_W2] = (
        rss, yppy, ypppy, trace, trace2, total, total2,
    )  # fmt: skip


@kernel
def _sums_of_one_column(data: FloatArray, k: int, tau2: float, work: FloatArray, triangle: FloatArray, sums: FloatArray) -> None:
    """`weigh` and `score_sums` for a design of one column, in two passes; the orthonormal column itself is not written."""
    w, r, x = work[0], work[1], data[2]
    total, total2, xx, xy = 0.0, 0.0, 0.0, 0.0
    for s in range(k):
        w[s] = 1.0 / (data[1, s] + tau2)
        wx = w[s] * x[s]
        total += w[s]
        total2 += w[s] * w[s]
        xx += wx * x[s]
        xy += wx * data[0, s]
    mean = xy / xx
    rss, yppy, ypppy, x2, x3, xr = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(k):
        r[s] = data[0, s] - mean * x[s]
        wr, wx = w[s] * r[s], w[s] * x[s]
        rss += wr * r[s]
        yppy += wr * wr
        ypppy += w[s] * wr * wr
        x2 += wx * wx
        x3 += w[s] * wx * wx
        xr += wx * wr
    triangle[0, 0], triangle[0, 1] = np.sqrt(xx), xy / np.sqrt(xx)
    sums[RSS], sums[YPPY], sums[YPPPY], sums[SUM_W], sums[SUM_W2] = rss, yppy, ypppy - xr * xr / xx, total, total2
    sums[TRACE_P], sums[TRACE_PP] = total - x2 / xx, total2 - 2.0 * x3 / xx + (x2 / xx) ** 2


@kernel
def evaluate(data: FloatArray, k: int, tau2: float, work: FloatArray, triangle: FloatArray, sums: FloatArray) -> None:
    """Weights, residuals, triangle and sums at tau2."""
    if triangle.shape[0] == 1:
        _sums_of_one_column(data, k, tau2, work, triangle, sums)
    else:
        weigh(data, k, tau2, work, triangle)
        score_sums(k, work, triangle, sums)


@kernel
def log_likelihood(k: int, work: FloatArray, triangle: FloatArray, restricted: bool) -> float:
    """Of tau2 at the weights of the last `project`, without the constants in 2 pi and |X'X|."""
    value = 0.0
    for s in range(k):
        value += np.log(work[0, s]) - work[0, s] * work[1, s] * work[1, s]
    if restricted:
        for c in range(triangle.shape[0]):
            value -= 2.0 * np.log(triangle[c, c])
    return 0.5 * value
