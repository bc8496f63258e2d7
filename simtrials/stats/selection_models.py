"""Step selection models: a random-effects model of studies whose chance to be published depends on the bin their p-value falls in.

Of one study with effect y and variance v, where s^2 = v + tau^2 and d_j is the weight of bin j (the first is 1),

    log-likelihood = log d_bin + log phi((y - mu) / s) - log s - log A,    A = sum over bins of d_j times the normal mass of bin j.

Bins are cut by the study's own standard error, at c sqrt(v); masses are those of the mean mu and the variance v + tau^2. Parameters are
mu, tau^2 >= 0 and the logarithms of the weights. The likelihood can have several maxima; it is climbed from several starts.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc, ndtr, ndtri

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status

Alternative = Literal["greater", "less"]

TOO_FEW, EMPTY_BIN, NOT_CONVERGED = int(Status.TOO_FEW_PATIENTS), int(Status.EMPTY_CELL), int(Status.NOT_CONVERGED)
MAX_ITERATIONS = 100
CONVERGED_BELOW = 1e-14  # squared length of a step in standard errors
ROUNDING_OF_SUM = 1e-13  # of a log-likelihood
SINGULAR_BELOW = 1e-10  # share of the information without selection that must be left
SMALLEST_MASS = 1e-280  # of a bin, below which its logarithm means nothing
LARGEST_LOG_WEIGHT = 30.0
SQRT_HALF, INV_SQRT_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


class SelectionFit(NamedTuple):
    """A step selection model, (replicate,) each unless said otherwise; NaN unless `status` is OK."""

    estimate: FloatArray
    """mean effect of all studies, published or not"""
    std_error: FloatArray
    """from the observed information; with tau^2 held at 0 where it is estimated as 0"""
    tau2: FloatArray
    tau2_std_error: FloatArray
    """NaN where tau^2 is estimated as 0: the maximum lies on the boundary"""
    weight: FloatArray
    """(replicate, bin) chance of publication relative to the first bin, the smallest p-values"""
    weight_std_error: FloatArray
    """(replicate, bin), 0 for the first"""
    log_likelihood: FloatArray
    statistic: FloatArray
    """likelihood ratio against equal weights: chi-squared, one degree of freedom for each step"""
    p_value: FloatArray
    """of the likelihood-ratio test of selection"""
    tau2_is_zero: BoolArray
    status: IntArray


@kernel
def log_likelihood_of(
    y: FloatArray, v: FloatArray, bins: IntArray, critical: FloatArray, x: FloatArray, own_bin: bool, g: FloatArray, h: FloatArray
) -> float:
    """Log-likelihood at x = (mu, tau^2, logarithms of the weights but the first); its gradient, and the lower triangle of its curvature.

    With `own_bin`, A is the mass of the study's own bin and there are no weights. -inf where A is too small for a logarithm.
    """
    m = critical.size
    n_free = 2 if own_bin else 2 + m
    g[:n_free] = 0.0
    h[:n_free, :n_free] = 0.0
    weight, mass, by_mu, by_t, first = np.ones(m + 1), np.empty(m + 1), np.empty(m + 1), np.empty(m + 1), np.empty(n_free)
    for j in range(m):
        weight[j + 1] = 0.0 if own_bin else math.exp(x[2 + j])
    total = 0.0
    for i in range(y.size):
        w = 1.0 / (v[i] + x[1])
        root, root_v, r = math.sqrt(w), math.sqrt(v[i]), y[i] - x[0]
        if own_bin:
            for j in range(m + 1):
                weight[j] = 1.0 if j == bins[i] else 0.0
        tail, slope_mu, slope_t = 0.0, 0.0, 0.0  # mass above the last edge and its derivatives
        a, a_mu, a_t, a_mu_mu, a_mu_t, a_t_t = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(m + 1):
            above, above_mu, above_t = tail, slope_mu, slope_t
            if j < m:
                z = (critical[j] * root_v - x[0]) * root
                tail = 0.5 * math.erfc(z * SQRT_HALF)
                density = INV_SQRT_2PI * math.exp(-0.5 * z * z)
                slope_mu, slope_t = density * root, 0.5 * density * z * w
                fall = (weight[j] - weight[j + 1]) * density
                a_mu_mu += fall * z * w
                a_mu_t += fall * (z * z - 1) * 0.5 * w * root
                a_t_t += fall * z * (z * z - 3) * 0.25 * w * w
                mass[j] = tail - above
            else:
                mass[j] = 0.5 * math.erfc(-z * SQRT_HALF) if own_bin else 1.0 - tail
                slope_mu, slope_t = 0.0, 0.0
            by_mu[j], by_t[j] = slope_mu - above_mu, slope_t - above_t
            a += weight[j] * mass[j]
            a_mu += weight[j] * by_mu[j]
            a_t += weight[j] * by_t[j]
        if not a > SMALLEST_MASS:
            return -np.inf
        inverse = 1.0 / a
        first[0], first[1] = a_mu * inverse, a_t * inverse
        total += math.log(INV_SQRT_2PI * root * inverse) - 0.5 * r * r * w
        g[0] += r * w - first[0]
        g[1] += 0.5 * w * (r * r * w - 1) - first[1]
        h[0, 0] += first[0] * first[0] - w - a_mu_mu * inverse
        h[1, 0] += first[1] * first[0] - r * w * w - a_mu_t * inverse
        h[1, 1] += first[1] * first[1] + w * w * (0.5 - r * r * w) - a_t_t * inverse
        for j in range(2, n_free):
            share = weight[j - 1] * inverse
            first[j] = share * mass[j - 1]
            seen = 1.0 if bins[i] == j - 1 else 0.0
            total += seen * x[j]
            g[j] += seen - first[j]
            h[j, 0] += first[j] * first[0] - share * by_mu[j - 1]
            h[j, 1] += first[j] * first[1] - share * by_t[j - 1]
            h[j, j] -= first[j]
            for k in range(2, j + 1):
                h[j, k] += first[j] * first[k]
    return total


@kernel
def solve_damped(
    h: FloatArray, scale: FloatArray, damping: float, pinned: bool, rise: float, g: FloatArray, factor: FloatArray, step: FloatArray
) -> float:
    """Solve (-h + damping * scale) step = g, with step[1] = `rise` if `pinned`; the squared length of the step, -1 where there is no maximum."""
    squared = 0.0
    for a in range(g.size):
        out = pinned and a == 1
        for b in range(a + 1):
            value = 0.0 if out or (pinned and b == 1) else -h[a, b]
            if a == b:
                value = 1.0 if out else value + damping * scale[a]
            for c in range(b):
                value -= factor[a, c] * factor[b, c]
            if b < a:
                factor[a, b] = value / factor[b, b]
            elif value > SINGULAR_BELOW * scale[a]:
                factor[a, a] = math.sqrt(value)
            else:
                return -1.0
        step[a] = 0.0 if out else g[a] + h[max(a, 1), min(a, 1)] * rise
        for c in range(a):
            step[a] -= factor[a, c] * step[c]
        step[a] /= factor[a, a]
        squared += step[a] * step[a]
    for a in range(g.size - 1, -1, -1):
        for c in range(a + 1, g.size):
            step[a] -= factor[c, a] * step[c]
        step[a] /= factor[a, a]
    if pinned:
        step[1] = rise
    return squared


@kernel
def climb(
    y: FloatArray, v: FloatArray, bins: IntArray, critical: FloatArray, own_bin: bool, x: FloatArray, g: FloatArray, h: FloatArray
) -> tuple[float, bool]:
    """Move x uphill by damped Newton steps to a maximum with tau^2 >= 0; the log-likelihood there, and whether it is one."""
    n = x.size
    scale, step, there, g_there, h_there, factor = np.ones(n), np.empty(n), np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n))
    height, damping = log_likelihood_of(y, v, bins, critical, x, own_bin, g, h), 0.0
    for _ in range(MAX_ITERATIONS):
        scale[0], scale[1] = 0.0, 0.0
        for i in range(y.size):
            w = 1.0 / (v[i] + x[1])
            scale[0] += w
            scale[1] += 0.5 * w * w
        on_boundary = x[1] == 0.0 and g[1] <= 0.0
        length = solve_damped(h, scale, damping, on_boundary, 0.0, g, factor, step)
        if damping == 0.0 and 0.0 <= length < CONVERGED_BELOW:
            return height, True
        if length >= 0.0 and x[1] + step[1] < 0.0:
            length = solve_damped(h, scale, damping, True, -x[1], g, factor, step)
        reached = -np.inf
        if length >= 0.0:
            far = False
            for a in range(n):
                there[a] = x[a] + step[a]
                far = far or (a > 1 and abs(there[a]) > LARGEST_LOG_WEIGHT)
            there[1] = max(there[1], 0.0)
            if not far:
                reached = log_likelihood_of(y, v, bins, critical, there, own_bin, g_there, h_there)
        if reached >= height - ROUNDING_OF_SUM * (1.0 + abs(height)):
            height = reached
            x[:], g[:], h[:, :] = there, g_there, h_there
            damping = 0.0 if damping < 0.01 else damping / 8
        else:
            damping = max(0.03, 6 * damping)
    return height, False
