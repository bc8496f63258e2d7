"""Two correlated estimates per study with a covariance between studies: the likelihood of one meta-analysis, and its highest maximum.

Study i has the estimates b_i, two or one of them, with the covariance s_i S_i + T. T is the covariance between studies, held as its Cholesky factor
(l11, l21, l22), so that any values make a covariance, and a correlation of -1 or 1 or a variance of 0 is an ordinary maximum. s_i is 1, or an
unknown residual variance of trial i, held as its logarithm, about which nu_i degrees of freedom and the residual sum of squares R_i say

    -(nu_i log s_i + R_i / s_i) / 2.

The determinant may be that of another matrix, s_i S0_i + T: so it is in the likelihood (not restricted) of the patients of trials.
"""

import math

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.variance_components import CONVERGED, GO_ON, HEIGHT, begin, likelihood_of_sums, next_point

STARTS = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.9], [1.0, 1.0, -0.9], [0.03, 0.03, 0.0]])
"""Shares of the variances of the estimates beyond sampling error, and correlations, from which the likelihood is climbed."""

UNCORRELATED_STARTS = np.array([[1.0, 1.0, 0.0], [1.0, 0.03, 0.0], [0.03, 1.0, 0.0], [0.03, 0.03, 0.0]])
NEGLIGIBLE = 1e-12
"""Share of the smallest sampling variance below which a variance between studies is 0; share of it below which no more than one direction varies."""


@kernel
def _inverse(matrix: FloatArray, n: int, inverse: FloatArray) -> float:
    """Inverse of a symmetric matrix of one or two rows; its determinant."""
    if n == 1:
        inverse[0, 0] = 1.0 / matrix[0, 0]
        return float(matrix[0, 0])
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[0, 1]
    inverse[0, 0], inverse[1, 1] = matrix[1, 1] / determinant, matrix[0, 0] / determinant
    inverse[0, 1] = inverse[1, 0] = -matrix[0, 1] / determinant
    return float(determinant)


@kernel
def height_at(
    work: FloatArray,
    start: IntArray,
    outcome: IntArray,
    s: FloatArray,
    s_det: FloatArray,
    x: FloatArray,
    active: BoolArray,
    df: FloatArray,
    rss: FloatArray,
    restricted: bool,
    g: FloatArray,
    h: FloatArray,
    covariance: FloatArray,
    coefficients: FloatArray,
) -> float:
    """Log-likelihood without its constant at x = (l11, l21, l22, log s_1, ...), slopes and curvatures.

    `work` (2 + C, estimate) holds residuals of ordinary least squares in row 1 and the orthonormal design below, study after study; `start` where
    each begins, `outcome` which of the two an estimate is, `s` and `s_det` (study, 2, 2) the matrices S and S0. Elements of x that are not
    `active` stay as they are.
    """
    p, n_par = covariance.shape[0], x.size
    c, n_studies = p + 1, start.size - 1
    base, first, second = np.zeros((c, c)), np.zeros((n_par, c, c)), np.zeros((n_par, n_par, c, c))
    trace, traces, log_determinant = np.zeros(n_par), np.zeros((n_par, n_par)), 0.0
    v, v_det, inverse, inverse_det, between = np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2))
    slopes, slopes_det, shares = np.empty((4, 2, 2)), np.empty((4, 2, 2)), np.empty((4, 2, 2))
    solved, sloped, again, place = np.empty((2, c)), np.empty((4, 2, c)), np.empty((4, 2, c)), np.empty(4, dtype=np.int64)
    between[0, 0], between[1, 1] = x[0] * x[0], x[1] * x[1] + x[2] * x[2]
    between[0, 1] = between[1, 0] = x[0] * x[1]
    n_slopes = 4 if n_par > 3 else 3
    for i in range(n_studies):
        low, n = start[i], start[i + 1] - start[i]
        scale = math.exp(x[3 + i]) if n_par > 3 else 1.0
        for a in range(n):
            for b in range(n):
                one, other = outcome[low + a], outcome[low + b]
                v[a, b] = scale * s[i, one, other] + between[one, other]
                v_det[a, b] = scale * s_det[i, one, other] + between[one, other]
                slopes[0, a, b] = 1.0 if one + other == 0 else 0.0
                slopes[1, a, b] = 1.0 if one + other == 1 else 0.0
                slopes[2, a, b] = 1.0 if one + other == 2 else 0.0
                slopes[3, a, b] = s[i, one, other]
                for m in range(3):
                    slopes_det[m, a, b] = slopes[m, a, b]
                slopes_det[3, a, b] = s_det[i, one, other]
        determinant, also = _inverse(v, n, inverse), _inverse(v_det, n, inverse_det)
        if not (determinant > 0.0 and also > 0.0):
            return -np.inf
        log_determinant += math.log(also)
        for a in range(n):
            for k in range(c):
                solved[a, k] = 0.0
                for b in range(n):
                    solved[a, k] += inverse[a, b] * work[2 + k if k < p else 1, low + b]
        for m in range(n_slopes):
            place[m] = m if m < 3 else 3 + i
            for a in range(n):
                for k in range(c):
                    sloped[m, a, k] = 0.0
                    for b in range(n):
                        sloped[m, a, k] += slopes[m, a, b] * solved[b, k]
                for b in range(n):
                    shares[m, a, b] = 0.0
                    for d in range(n):
                        shares[m, a, b] += inverse_det[a, d] * slopes_det[m, d, b]
                trace[place[m]] += shares[m, a, a]
            for a in range(n):
                for k in range(c):
                    again[m, a, k] = 0.0
                    for b in range(n):
                        again[m, a, k] += inverse[a, b] * sloped[m, b, k]
        for k in range(c):
            for j in range(c):
                for a in range(n):
                    base[k, j] += work[2 + k if k < p else 1, low + a] * solved[a, j]
                    for m in range(n_slopes):
                        first[place[m], k, j] += solved[a, k] * sloped[m, a, j]
                        for o in range(m, n_slopes):
                            second[place[m], place[o], k, j] += sloped[m, a, k] * again[o, a, j]
        for m in range(n_slopes):
            for o in range(m, n_slopes):
                for a in range(n):
                    for b in range(n):
                        traces[place[m], place[o]] += shares[m, a, b] * shares[o, b, a]
    height = likelihood_of_sums(base, first, second, trace, traces, log_determinant, restricted, g, h, covariance, coefficients)
    _to_factor(x, g, h)
    for i in range(n_par - 3):
        m = 3 + i
        scale = math.exp(x[m])
        height -= 0.5 * (df[i] * x[m] + rss[i] / scale)
        for o in range(n_par):
            h[m, o] *= scale
            h[o, m] *= scale
        h[m, m] += g[m] * scale - 0.5 * rss[i] / scale
        g[m] = g[m] * scale - 0.5 * (df[i] - rss[i] / scale)
    for m in range(n_par):
        if not active[m]:
            g[m] = 0.0
            for o in range(n_par):
                h[m, o] = h[o, m] = 0.0
            h[m, m] = -1.0
    return height


@kernel
def _to_factor(x: FloatArray, g: FloatArray, h: FloatArray) -> None:
    """Slopes and curvatures by (l11, l21, l22), from those by (t11, t12, t22); other parameters keep theirs."""
    n = g.size
    jacobian, moved = np.zeros((3, 3)), np.empty(3)
    jacobian[0, 0], jacobian[1, 0] = 2.0 * x[0], x[1]
    jacobian[1, 1], jacobian[2, 1] = x[0], 2.0 * x[1]
    jacobian[2, 2] = 2.0 * x[2]
    for side in range(2):
        for o in range(n):
            for a in range(3):
                moved[a] = 0.0
                for b in range(3):
                    moved[a] += jacobian[b, a] * (h[b, o] if side == 0 else h[o, b])
            for a in range(3):
                if side == 0:
                    h[a, o] = moved[a]
                else:
                    h[o, a] = moved[a]
    h[0, 0] += 2.0 * g[0]
    h[0, 1] += g[1]
    h[1, 0] += g[1]
    h[1, 1] += 2.0 * g[2]
    h[2, 2] += 2.0 * g[2]
    for a in range(3):
        moved[a] = 0.0
        for b in range(3):
            moved[a] += jacobian[b, a] * g[b]
    for a in range(3):
        g[a] = moved[a]


@kernel
def highest(
    work: FloatArray,
    start: IntArray,
    outcome: IntArray,
    s: FloatArray,
    s_det: FloatArray,
    starts: FloatArray,
    spread: FloatArray,
    smallest: FloatArray,
    best: FloatArray,
    active: BoolArray,
    df: FloatArray,
    rss: FloatArray,
    restricted: bool,
    covariance: FloatArray,
    coefficients: FloatArray,
) -> tuple[float, bool]:
    """The highest maximum reached from several starts: log-likelihood without constant, whether it is one; x in `best`, which gives the first logs.

    `spread` (2,) are the variances of which starts are shares, `smallest` (2,) the smallest sampling variance of each outcome.
    """
    n = best.size
    there, here, g, g_here, h, h_here, memory = (
        np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n)), np.empty(4),
    )  # fmt: skip
    origin, top, converged = best.copy(), -np.inf, False
    for begun in range(starts.shape[0]):
        correlation = starts[begun, 2]
        there[:] = origin
        there[0] = math.sqrt(spread[0] * starts[begun, 0]) if active[0] else 0.0
        there[1] = correlation * math.sqrt(spread[1] * starts[begun, 1]) if active[1] else 0.0
        there[2] = math.sqrt(spread[1] * starts[begun, 1] * (1.0 - correlation * correlation)) if active[2] else 0.0
        begin(memory)
        state = GO_ON
        while state == GO_ON:
            height = height_at(work, start, outcome, s, s_det, there, active, df, rss, restricted, g, h, covariance, coefficients)
            state = next_point(height, g, h, there, memory, here, g_here, h_here)
        if memory[HEIGHT] > top:
            top, converged = memory[HEIGHT], state == CONVERGED
            best[:] = here
    t22 = best[1] * best[1] + best[2] * best[2]
    if best[0] * best[0] <= NEGLIGIBLE * smallest[0]:
        best[0], best[1], best[2] = 0.0, 0.0, math.sqrt(t22)
    if t22 <= NEGLIGIBLE * smallest[1]:
        best[1], best[2] = 0.0, 0.0
    elif best[2] * best[2] <= NEGLIGIBLE * t22:
        best[2] = 0.0
    height = height_at(work, start, outcome, s, s_det, best, active, df, rss, restricted, g, h, covariance, coefficients)
    return height, converged
