"""Two correlated estimates per study with a covariance between studies: the likelihood of one meta-analysis, and its highest maximum.

Study i has the estimates b_i, two or one of them, with the covariance s_i S_i + T. T is the covariance between studies, held as its Cholesky factor
(l11, l21, l22), so that any values make a covariance, and a correlation of -1 or 1 or a variance of 0 is an ordinary maximum. s_i is 1, or an
unknown residual variance of trial i, held as its logarithm, about which nu_i degrees of freedom and the residual sum of squares R_i say

    -(nu_i log s_i + R_i / s_i) / 2.

The determinant may be that of another matrix, s_i S0_i + T: so it is in the likelihood (not restricted) of the patients of trials.
"""

import math

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.kernels import kernel
from simtrials.stats.variance_components import CONVERGED, GO_ON, HEIGHT, N_STEPS, begin, likelihood_of_sums, next_point

STARTS = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.9], [1.0, 1.0, -0.9], [0.03, 0.03, 0.0]])
"""Shares of the variances of the estimates beyond sampling error, and correlations, from which the likelihood is climbed."""

UNCORRELATED_STARTS = np.array([[1.0, 1.0, 0.0], [1.0, 0.03, 0.0], [0.03, 1.0, 0.0], [0.03, 0.03, 0.0]])
NEGLIGIBLE = 1e-12
"""Share of the smallest sampling variance below which a variance between studies is 0; share of it below which no more than one direction varies."""

PATIENCE, MAX_SWAPS = 8, 4
UNEVEN = 0.1
"""Ratio of the variances of the first and the second outcome, in units of their spread, below which the two change places."""


@kernel
def _inverse(matrix: FloatArray, scale: float, between: FloatArray, present: BoolArray, inverse: FloatArray) -> float:
    """Inverse of scale matrix + between, with zeros where an estimate is absent; its determinant, not positive where there is none."""
    v00, v01, v11 = scale * matrix[0, 0] + between[0, 0], scale * matrix[0, 1] + between[0, 1], scale * matrix[1, 1] + between[1, 1]
    inverse[0, 0] = inverse[0, 1] = inverse[1, 0] = inverse[1, 1] = 0.0
    if present[0] and present[1]:
        determinant = v00 * v11 - v01 * v01
        inverse[0, 0], inverse[1, 1], inverse[0, 1] = v11 / determinant, v00 / determinant, -v01 / determinant
        inverse[1, 0] = inverse[0, 1]
        return float(determinant)
    one = 0 if present[0] else 1
    inverse[one, one] = 1.0 / (v00 if one == 0 else v11)
    return float(v00 if one == 0 else v11)


@kernel
def _traces(i: FloatArray, trace: FloatArray, traces: FloatArray) -> None:
    """Add tr V^-1 G and tr V^-1 G V^-1 G of the three elements of T, for the inverse i."""
    trace[0] += i[0, 0]
    trace[1] += 2.0 * i[0, 1]
    trace[2] += i[1, 1]
    traces[0, 0] += i[0, 0] * i[0, 0]
    traces[0, 1] += 2.0 * i[0, 0] * i[0, 1]
    traces[0, 2] += i[0, 1] * i[0, 1]
    traces[1, 1] += 2.0 * (i[0, 0] * i[1, 1] + i[0, 1] * i[0, 1])
    traces[1, 2] += 2.0 * i[0, 1] * i[1, 1]
    traces[2, 2] += i[1, 1] * i[1, 1]


@kernel
def height_at(
    rows: FloatArray,
    present: BoolArray,
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

    `rows` (study, 2, C + 1) holds the orthonormal design and the residuals of ordinary least squares, zeros where an estimate is not `present`;
    `s` and `s_det` (study, 2, 2) the matrices S and S0, zeros there too. Elements of x that are not `active` stay as they are.
    """
    p, n_par = covariance.shape[0], x.size
    c = p + 1
    base, first, second = np.zeros((c, c)), np.zeros((n_par, c, c)), np.zeros((n_par, n_par, c, c))
    trace, traces, log_determinant, product = np.zeros(n_par), np.zeros((n_par, n_par)), 0.0, 1.0
    i, i_det, between, solved = np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 2)), np.empty((2, c))
    sloped, again, share = np.empty((2, c)), np.empty((2, c)), np.empty((2, 2))
    between[0, 0], between[1, 1] = x[0] * x[0], x[1] * x[1] + x[2] * x[2]
    between[0, 1] = between[1, 0] = x[0] * x[1]
    for study in range(rows.shape[0]):
        scale = math.exp(x[3 + study]) if n_par > 3 else 1.0
        determinant = _inverse(s[study], scale, between, present[study], i)
        also = _inverse(s_det[study], scale, between, present[study], i_det)
        if not (determinant > 0.0 and also > 0.0):
            return -np.inf
        product *= also
        if not 1e-100 < product < 1e100:  # logarithms are dear, and so are taken of products
            log_determinant += math.log(product)
            product = 1.0
        _traces(i_det, trace, traces)
        a = rows[study]
        for k in range(c):
            solved[0, k] = i[0, 0] * a[0, k] + i[0, 1] * a[1, k]
            solved[1, k] = i[0, 1] * a[0, k] + i[1, 1] * a[1, k]
        for k in range(c):
            one, two = solved[0, k], solved[1, k]
            for j in range(c):
                p00, p01, p10, p11 = one * solved[0, j], one * solved[1, j], two * solved[0, j], two * solved[1, j]
                base[k, j] += a[0, k] * solved[0, j] + a[1, k] * solved[1, j]
                first[0, k, j] += p00
                first[1, k, j] += p01 + p10
                first[2, k, j] += p11
                second[0, 0, k, j] += i[0, 0] * p00
                second[0, 1, k, j] += i[0, 0] * p01 + i[0, 1] * p00
                second[0, 2, k, j] += i[0, 1] * p01
                second[1, 1, k, j] += i[0, 0] * p11 + i[0, 1] * (p01 + p10) + i[1, 1] * p00
                second[1, 2, k, j] += i[0, 1] * p11 + i[1, 1] * p01
                second[2, 2, k, j] += i[1, 1] * p11
        if n_par == 3:
            continue
        m, own, own_det = 3 + study, s[study], s_det[study]
        for k in range(c):
            for b in range(2):
                sloped[b, k] = own[b, 0] * solved[0, k] + own[b, 1] * solved[1, k]
            for b in range(2):
                again[b, k] = i[b, 0] * sloped[0, k] + i[b, 1] * sloped[1, k]
        for k in range(c):
            for j in range(c):
                first[m, k, j] = solved[0, k] * sloped[0, j] + solved[1, k] * sloped[1, j]
                second[0, m, k, j] = solved[0, k] * again[0, j]
                second[1, m, k, j] = solved[1, k] * again[0, j] + solved[0, k] * again[1, j]
                second[2, m, k, j] = solved[1, k] * again[1, j]
                second[m, m, k, j] = sloped[0, k] * again[0, j] + sloped[1, k] * again[1, j]
        for b in range(2):
            for d in range(2):
                share[b, d] = i_det[b, 0] * own_det[0, d] + i_det[b, 1] * own_det[1, d]
        trace[m] = share[0, 0] + share[1, 1]
        traces[m, m] = share[0, 0] * share[0, 0] + 2.0 * share[0, 1] * share[1, 0] + share[1, 1] * share[1, 1]
        traces[0, m] = share[0, 0] * i_det[0, 0] + share[0, 1] * i_det[1, 0]
        traces[1, m] = 2.0 * (share[0, 0] * i_det[0, 1] + share[0, 1] * i_det[1, 1])
        traces[2, m] = share[1, 0] * i_det[0, 1] + share[1, 1] * i_det[1, 1]
    log_determinant += math.log(product)
    height = likelihood_of_sums(base, first, second, trace, traces, log_determinant, restricted, g, h, covariance, coefficients)
    _to_factor(x, g, h)
    for trial in range(n_par - 3):
        m = 3 + trial
        scale = math.exp(x[m])
        height -= 0.5 * (df[trial] * x[m] + rss[trial] / scale)
        for o in range(n_par):
            h[m, o] *= scale
            h[o, m] *= scale
        h[m, m] += g[m] * scale - 0.5 * rss[trial] / scale
        g[m] = g[m] * scale - 0.5 * (df[trial] - rss[trial] / scale)
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
def _swap(rows: FloatArray, present: BoolArray, s: FloatArray, s_det: FloatArray) -> None:
    """Exchange the two outcomes."""
    for study in range(rows.shape[0]):
        for k in range(rows.shape[2]):
            rows[study, 0, k], rows[study, 1, k] = rows[study, 1, k], rows[study, 0, k]
        present[study, 0], present[study, 1] = present[study, 1], present[study, 0]
        s[study, 0, 0], s[study, 1, 1] = s[study, 1, 1], s[study, 0, 0]
        s_det[study, 0, 0], s_det[study, 1, 1] = s_det[study, 1, 1], s_det[study, 0, 0]


@kernel
def highest(
    rows: FloatArray,
    present: BoolArray,
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

    `spread` (2,) are the variances of which starts are shares, `smallest` (2,) the smallest sampling variance of each outcome. The factor is ill
    conditioned where the first outcome varies much less than the second one: a climb that is slow there goes on with the outcomes exchanged.
    `s` and `s_det` are different arrays.
    """
    n = best.size
    there, here, g, g_here, h, h_here, memory = (
        np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n)), np.empty(4),
    )  # fmt: skip
    logs, top, converged, between = best[3:].copy(), -np.inf, False, np.zeros(3)
    for begun in range(starts.shape[0]):
        correlation, swapped, n_swaps = starts[begun, 2], False, 0
        there[3:] = logs
        there[0] = math.sqrt(spread[0] * starts[begun, 0]) if active[0] else 0.0
        there[1] = correlation * math.sqrt(spread[1] * starts[begun, 1]) if active[1] else 0.0
        there[2] = math.sqrt(spread[1] * starts[begun, 1] * (1.0 - correlation * correlation)) if active[2] else 0.0
        begin(memory)
        state = GO_ON
        while state == GO_ON:
            height = height_at(rows, present, s, s_det, there, active, df, rss, restricted, g, h, covariance, coefficients)
            state = next_point(height, g, h, there, memory, here, g_here, h_here)
            if state == GO_ON and active[1] and memory[N_STEPS] > PATIENCE and n_swaps < MAX_SWAPS:
                own, other = (1, 0) if swapped else (0, 1)
                t22 = here[1] * here[1] + here[2] * here[2]
                if here[0] * here[0] * spread[other] < UNEVEN * t22 * spread[own]:
                    _swap(rows, present, s, s_det)
                    swapped, n_swaps = not swapped, n_swaps + 1
                    there[:] = here
                    there[0], there[1] = math.sqrt(t22), here[0] * here[1] / math.sqrt(t22)
                    there[2] = max(abs(here[0] * here[2]) / there[0], 0.01 * math.sqrt(spread[own]))
                    begin(memory)
        if memory[HEIGHT] > top:
            top, converged = memory[HEIGHT], state == CONVERGED
            best[:] = here
            between[0], between[1], between[2] = here[0] * here[0], here[0] * here[1], here[1] * here[1] + here[2] * here[2]
            if here[2] * here[2] <= NEGLIGIBLE * between[2]:
                best[2] = 0.0
            if swapped:
                between[0], between[2] = between[2], between[0]
                best[0] = math.sqrt(between[0])
                best[1] = between[1] / best[0] if best[0] > 0.0 else 0.0
                best[2] = abs(here[0] * best[2]) / best[0] if best[0] > 0.0 else math.sqrt(between[2])
        if swapped:
            _swap(rows, present, s, s_det)
    if between[0] <= NEGLIGIBLE * smallest[0]:
        best[0], best[1], best[2] = 0.0, 0.0, math.sqrt(between[2])
    if between[2] <= NEGLIGIBLE * smallest[1]:
        best[1], best[2] = 0.0, 0.0
    height = height_at(rows, present, s, s_det, best, active, df, rss, restricted, g, h, covariance, coefficients)
    return height, converged
