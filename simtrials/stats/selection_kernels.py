"""The likelihood of a step selection model and the climb to its highest point: kernels behind `selection_models`, for one body of evidence each."""

import math

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_status import MetaStatus

TOO_FEW, EMPTY_BIN, NOT_CONVERGED = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.EMPTY_CELL), int(MetaStatus.NOT_CONVERGED)
ZERO_VARIANCE = int(MetaStatus.ZERO_VARIANCE)
MAX_ITERATIONS = 100
CONVERGED_BELOW = 1e-14  # squared length of a step in standard errors
ROUNDING_OF_SUM = 1e-13  # of a log-likelihood
SINGULAR_BELOW = 1e-10  # share of the information without selection that must be left
SMALLEST_MASS = 1e-280  # of a bin, below which its logarithm means nothing
LARGEST_LOG_WEIGHT = 30.0
LARGEST_STARTING_LOG_WEIGHT = 8.0
STARTS = np.array([[0.25, 0.0], [0.0, 0.0], [1.0, 0.0], [0.25, 1.0], [4.0, 1.0]])  # see `highest`
SQRT_HALF, INV_SQRT_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


@kernel
def log_likelihood_of(y: FloatArray, v: FloatArray, bins: IntArray, critical: FloatArray, x: FloatArray, g: FloatArray, h: FloatArray) -> float:
    """Log-likelihood at x = (mu, tau^2, logarithms of the weights but the first); its gradient, and the lower triangle of its curvature.

    -inf where A is too small for a logarithm.
    """
    m = critical.size
    n_free = 2 + m
    weight, mass, by_mu, by_t, first = np.empty(m + 1), np.empty(m + 1), np.empty(m + 1), np.empty(m + 1), np.empty(n_free)
    for j in range(m + 1):
        weight[j] = 1.0 if j == 0 else math.exp(x[1 + j])
    for a in range(n_free):
        g[a] = 0.0
        for b in range(a + 1):
            h[a, b] = 0.0
    total = 0.0
    for i in range(y.size):
        w = 1.0 / (v[i] + x[1])
        root, root_v, r = math.sqrt(w), math.sqrt(v[i]), y[i] - x[0]
        tail, slope_mu, slope_t = 0.0, 0.0, 0.0  # mass above the last edge and its derivatives
        total_mass, a_mu, a_t, a_mu_mu, a_mu_t, a_t_t = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
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
                mass[j] = 1.0 - tail if tail < 0.9 else 0.5 * math.erfc(-z * SQRT_HALF)
                slope_mu, slope_t = 0.0, 0.0
            by_mu[j], by_t[j] = slope_mu - above_mu, slope_t - above_t
            total_mass += weight[j] * mass[j]
            a_mu += weight[j] * by_mu[j]
            a_t += weight[j] * by_t[j]
        if not total_mass > SMALLEST_MASS:
            return -np.inf
        inverse = 1.0 / total_mass
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
def move(x: FloatArray, h: FloatArray, into_x: FloatArray, into_h: FloatArray) -> None:
    """Copy a point and the lower triangle of its curvature."""
    for a in range(x.size):
        into_x[a] = x[a]
        for b in range(a + 1):
            into_h[a, b] = h[a, b]


@kernel
def climb(y: FloatArray, v: FloatArray, bins: IntArray, critical: FloatArray, x: FloatArray, g: FloatArray, h: FloatArray) -> tuple[float, bool]:
    """Move x uphill by damped Newton steps to a maximum with tau^2 >= 0; the log-likelihood there, and whether it is one."""
    n = x.size
    scale, step, there, g_there, h_there, factor = np.ones(n), np.empty(n), np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n))
    height, damping = log_likelihood_of(y, v, bins, critical, x, g, h), 0.0
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
                reached = log_likelihood_of(y, v, bins, critical, there, g_there, h_there)
        if reached >= height - ROUNDING_OF_SUM * (1.0 + abs(height)):
            height = reached
            move(there, h_there, x, h)
            for a in range(n):
                g[a] = g_there[a]
            damping = 0.0 if damping < 0.01 else damping / 8
        else:
            damping = max(0.03, 6 * damping)
    return height, False


@kernel
def starting_log_weights(v: FloatArray, bins: IntArray, critical: FloatArray, x: FloatArray) -> None:
    """Weights, at this mean and tau^2, in proportion to studies seen over the mass of the bin."""
    m = critical.size
    seen, mass = np.zeros(m + 1), np.zeros(m + 1)
    for i in range(v.size):
        seen[bins[i]] += 1.0
        above, root = 0.0, 1.0 / math.sqrt(v[i] + x[1])
        for j in range(m + 1):
            tail = 0.5 * math.erfc((critical[j] * math.sqrt(v[i]) - x[0]) * root * SQRT_HALF) if j < m else 1.0
            mass[j] += tail - above
            above = tail
    for j in range(m):
        ratio = math.log((seen[j + 1] * mass[0] + 1e-300) / (seen[0] * mass[j + 1] + 1e-300))
        x[2 + j] = min(max(ratio, -LARGEST_STARTING_LOG_WEIGHT), LARGEST_STARTING_LOG_WEIGHT)


@kernel
def highest(
    y: FloatArray,
    v: FloatArray,
    bins: IntArray,
    critical: FloatArray,
    starts: FloatArray,
    typical: float,
    x: FloatArray,
    h: FloatArray,
) -> tuple[float, bool]:
    """The highest of the maxima reached from several starts: log-likelihood, and whether it is one; x and the curvature there.

    `starts` (start, 2) holds tau^2 in units of the `typical` variance of a study, and by how many standard deviations of a typical study the mean
    starts below the weighted mean of the effects.
    """
    here, g, curvature = np.zeros(x.size), np.empty(x.size), np.empty((x.size, x.size))
    height, found = -np.inf, False
    for s in range(starts.shape[0]):
        here[1] = starts[s, 0] * typical
        total, weighted = 0.0, 0.0
        for i in range(y.size):
            total += 1.0 / (v[i] + here[1])
            weighted += y[i] / (v[i] + here[1])
        here[0] = weighted / total - starts[s, 1] * math.sqrt(typical + here[1])
        starting_log_weights(v, bins, critical, here)
        reached, converged = climb(y, v, bins, critical, here, g, curvature)
        if s == 0 or reached > height + ROUNDING_OF_SUM * (1.0 + abs(height)):
            height, found = reached, converged
            move(here, curvature, x, h)
    return height, found


@kernel
def gather(
    effect: FloatArray, variance: FloatArray, sign: float, critical: FloatArray, y: FloatArray, v: FloatArray, bins: IntArray, seen: IntArray
) -> int:
    """Studies that are present, the bin of each, and how many were seen in each bin; returns their number, -1 where a variance is not positive."""
    k = 0
    for j in range(seen.size):
        seen[j] = 0
    for i in range(effect.size):
        if effect[i] == effect[i]:
            if not variance[i] > 0.0:
                return -1
            y[k], v[k], bins[k] = sign * effect[i], variance[i], 0
            for j in range(critical.size):
                bins[k] += 1 if y[k] < critical[j] * math.sqrt(v[k]) else 0
            seen[bins[k]] += 1
            k += 1
    return k


def typical_variance(effect: FloatArray, variance: FloatArray) -> FloatArray:
    """(replicate,) median of the variances of the studies that are present, the upper one of two; infinite without studies."""
    present = np.isfinite(effect) & (variance > 0)
    ordered = np.sort(np.where(present, variance, np.inf), axis=1)
    return np.take_along_axis(ordered, present.sum(axis=1, keepdims=True) // 2, axis=1)[:, 0]


@kernel
def covariance_of(h: FloatArray, scale: FloatArray, pinned: bool, covariance: FloatArray) -> bool:
    """Inverse of the observed information, with tau^2 known if `pinned`; whether there is one."""
    n = h.shape[0]
    factor, unit, column = np.empty((n, n)), np.zeros(n), np.empty(n)
    for a in range(n):
        for b in range(n):
            unit[b] = 1.0 if a == b else 0.0
        if solve_damped(h, scale, 0.0, pinned, 0.0, unit, factor, column) < 0.0:
            return False
        for b in range(n):
            covariance[b, a] = column[b]
    return True


@kernel
def fit_all(
    effect: FloatArray,
    variance: FloatArray,
    sign: float,
    critical: FloatArray,
    starts: FloatArray,
    typical: FloatArray,
    found: FloatArray,
    status: IntArray,
) -> None:
    """Fill `found` (replicate, 2 + 2 parameters): log-likelihoods with and without selection, parameters, their variances."""
    n_studies, n = effect.shape[1], 2 + critical.size
    y, v, bins, seen = np.empty(n_studies), np.empty(n_studies), np.empty(n_studies, dtype=np.int64), np.empty(n - 1, dtype=np.int64)
    x, h, covariance, scale, no_steps = np.empty(n), np.empty((n, n)), np.empty((n, n)), np.zeros(n), np.empty(0)
    plain, plain_h = np.empty(2), np.empty((2, 2))
    for r in range(effect.shape[0]):
        k = gather(effect[r], variance[r], sign, critical, y, v, bins, seen)
        for j in range(seen.size):
            status[r] = EMPTY_BIN if seen[j] == 0 else status[r]
        status[r] = ZERO_VARIANCE if k < 0 else (TOO_FEW if k < 2 else status[r])
        if status[r] != 0:
            continue
        height, converged = highest(y[:k], v[:k], bins[:k], critical, starts, typical[r], x, h)
        without, also = highest(y[:k], v[:k], bins[:k], no_steps, starts, typical[r], plain, plain_h)
        if not (converged and also and covariance_of(h, scale, x[1] == 0.0, covariance)):
            status[r] = NOT_CONVERGED
            continue
        found[r, 0], found[r, 1] = height, without
        for a in range(n):
            found[r, 2 + a], found[r, 2 + n + a] = x[a], covariance[a, a]
