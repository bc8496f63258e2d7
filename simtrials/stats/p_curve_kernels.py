"""Conditional p-values of significant studies as a function of the effect, and where they look uniform: kernels behind `p_uniform` and `p_curve`.

Of a study with effect y above its cutoff c, q(mu) = Q((y - mu) / s) / Q((c - mu) / s) is the chance of an effect as large or larger given
significance; it rises from 0 to 1 with mu, and is uniform at the true effect.
"""

import math

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.normal_tails import tail_ratio
from simtrials.stats.p_uniform_star_kernels import best_mean, limit_of_mean, log_likelihood

LAST_STEP = 200
NARROW = 1e-13


@kernel
def conditional_p_values(y: FloatArray, v: FloatArray, c: FloatArray, mean: float, q: FloatArray) -> float:
    """Fill `q`; their sum."""
    total = 0.0
    for i in range(y.size):
        root = 1.0 / math.sqrt(v[i])
        q[i] = tail_ratio((y[i] - mean) * root, (c[i] - mean) * root, (y[i] - c[i]) * root)
        total += q[i]
    return total


@kernel
def kolmogorov_smirnov(q: FloatArray) -> tuple[float, float]:
    """How far the empirical distribution of q lies above the uniform one, and below it, at most."""
    ordered, above, below = np.sort(q), 0.0, 0.0
    for i in range(q.size):
        above = max(above, (i + 1) / q.size - ordered[i])
        below = max(below, ordered[i] - i / q.size)
    return above, below


@kernel
def excess(y: FloatArray, v: FloatArray, c: FloatArray, mean: float, target: float, q: FloatArray) -> float:
    """Sum of the conditional p-values less a target, or, with a target of NaN, what the empirical distribution lies below less what above."""
    total = conditional_p_values(y, v, c, mean, q)
    if math.isnan(target):
        above, below = kolmogorov_smirnov(q)
        return below - above
    return total - target


@kernel
def root(y: FloatArray, v: FloatArray, c: FloatArray, target: float, q: FloatArray) -> float:
    """The mean at which `excess`, which rises with it, is 0; -inf or inf beyond 1e15 standard errors."""
    middle, reach = 0.0, 0.0
    for i in range(y.size):
        middle += y[i] / y.size
        reach = max(reach, math.sqrt(v[i]))
    sign = 1.0 if excess(y, v, c, middle, target, q) < 0.0 else -1.0
    near, far, limit = middle, middle + sign * reach, 1e15 * reach
    while sign * excess(y, v, c, far, target, q) < 0.0:
        near, reach = far, 2.0 * reach
        far = middle + sign * reach
        if reach > limit:
            return sign * np.inf
    low, high = min(near, far), max(near, far)
    at_low, at_high = excess(y, v, c, low, target, q), excess(y, v, c, high, target, q)
    for turn in range(LAST_STEP):
        x = (low * at_high - high * at_low) / (at_high - at_low) if turn % 3 < 2 and at_high > at_low else 0.5 * (low + high)
        at = excess(y, v, c, x, target, q)
        if at < 0.0:
            low, at_low = x, at
        else:
            high, at_high = x, at
        if high - low <= NARROW * max(abs(low), abs(high)) or abs(at) < 1e-14:
            return x
    return 0.5 * (low + high)


@kernel
def fit_p_uniform(
    effect: FloatArray, variance: FloatArray, cutoff: FloatArray, fixed: FloatArray, targets: FloatArray, fall: float, found: FloatArray
) -> None:
    """Fill `found` (replicate, 5): estimate, limits, statistics of mean 0 and of the mean `fixed`, where a study is significant.

    `targets` (number of significant studies, 2) are the sums of conditional p-values at the limits; `fall` is NaN for the method P, and else the
    fall of the log-likelihood at the limits.
    """
    n = effect.shape[1]
    y, v, c, q, side = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.ones(n)
    for r in range(effect.shape[0]):
        k = 0
        for i in range(n):
            if effect[r, i] > cutoff[r, i]:
                y[k], v[k], c[k] = effect[r, i], variance[r, i], cutoff[r, i]
                k += 1
        if k == 0:
            continue
        if math.isnan(fall):
            found[r, 0] = root(y[:k], v[:k], c[:k], 0.5 * k, q[:k])
            found[r, 1] = root(y[:k], v[:k], c[:k], targets[k, 0], q[:k])
            found[r, 2] = root(y[:k], v[:k], c[:k], targets[k, 1], q[:k])
            found[r, 3] = conditional_p_values(y[:k], v[:k], c[:k], 0.0, q[:k])
            found[r, 4] = conditional_p_values(y[:k], v[:k], c[:k], fixed[r], q[:k])
        else:
            x, height, _, _ = best_mean(y[:k], v[:k], c[:k], side[:k], 0.0, fixed[r], False)
            found[r, 0] = x
            found[r, 1], _, _ = limit_of_mean(y[:k], v[:k], c[:k], side[:k], 0.0, x, height - fall, -1.0)
            found[r, 2], _, _ = limit_of_mean(y[:k], v[:k], c[:k], side[:k], 0.0, x, height - fall, 1.0)
            found[r, 3] = 2.0 * (height - log_likelihood(y[:k], v[:k], c[:k], side[:k], 0.0, 0.0)[0])
            found[r, 4] = 2.0 * (height - log_likelihood(y[:k], v[:k], c[:k], side[:k], fixed[r], 0.0)[0])


@kernel
def fit_p_curve(effect: FloatArray, variance: FloatArray, cutoff: FloatArray, status: IntArray, found: FloatArray) -> None:
    """Fill `found` (replicate, 2), where the status is 0: the mean with the smallest Kolmogorov-Smirnov distance, and that distance."""
    n = effect.shape[1]
    y, v, c, q = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for r in range(effect.shape[0]):
        k = 0
        for i in range(n):
            if effect[r, i] > cutoff[r, i]:
                y[k], v[k], c[k] = effect[r, i], variance[r, i], cutoff[r, i]
                k += 1
        if status[r] == 0:
            found[r, 0] = root(y[:k], v[:k], c[:k], np.nan, q[:k])
            if math.isfinite(found[r, 0]):
                conditional_p_values(y[:k], v[:k], c[:k], found[r, 0], q[:k])
                above, below = kolmogorov_smirnov(q[:k])
                found[r, 1] = max(above, below)
