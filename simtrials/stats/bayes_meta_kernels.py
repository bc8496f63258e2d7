"""Quadrature over tau for `bayes_meta`: kernels for one body of evidence each.

Letters in comments: N nodes. Priors of tau are numbered as in `bayes_meta.TAU_PRIORS`; the prior of mu is its mean m0 and precision p0, 0 if flat.
"""

import math
from functools import cache

import numpy as np
from scipy.special import ndtri, roots_legendre

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_status import MetaStatus

TOO_FEW_STUDIES, ZERO_VARIANCE = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE)
HALF_NORMAL, HALF_CAUCHY, UNIFORM = range(3)
N_NODES = 12
"""Nodes of one panel."""
PANELS = 28
"""Panels between the ends of the integral: at most 1.7 wide (Cauchy priors, two or three studies), with singularities at least 0.78 away."""
LOOKS = 64
"""Points at which the integrand is looked at to find its ends, again where they turn out to lie close together."""
NEGLIGIBLE = 40.0
"""Logarithm of the height above the ends; also how far the tail of a Cauchy prior is followed, in powers of e."""
LAST_STEP = 100
LOG_2PI, SQRT_HALF, INV_SQRT_2PI = math.log(2 * math.pi), math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


@kernel
def integrand(y: FloatArray, v: FloatArray, tau: float, prior: int, scale: float, m0: float, p0: float) -> tuple[float, float, float]:
    """Logarithm of prior times likelihood with mu integrated out; mean and precision of mu given tau."""
    squared = tau * tau
    precision, weighted, product, log_product = p0, p0 * m0, 1.0, 0.0
    for i in range(y.size):
        total = v[i] + squared
        precision += 1.0 / total
        weighted += y[i] / total
        product *= total
        if not 1e-100 < product < 1e100:
            log_product += math.log(total) if product == 0.0 or product == np.inf else math.log(product)
            product = 1.0
    mean = weighted / precision
    squares = p0 * (mean - m0) ** 2
    for i in range(y.size):
        squares += (y[i] - mean) ** 2 / (v[i] + squared)
    height = -0.5 * (log_product + math.log(product) + math.log(precision) + squares + y.size * LOG_2PI)
    if prior == HALF_NORMAL:
        height += math.log(2.0 * INV_SQRT_2PI / scale) - 0.5 * (tau / scale) ** 2
    elif prior == HALF_CAUCHY:
        height += math.log(2.0 / (math.pi * scale)) - math.log1p((tau / scale) ** 2)
    else:
        height -= math.log(scale)
    return height, mean, precision


@kernel
def ends(y: FloatArray, v: FloatArray, prior: int, scale: float, m0: float, p0: float, c: float) -> tuple[float, float]:
    """Between which u = log(1 + tau / c) the integrand, and that of the variance of mu, are not negligible."""
    size, low, high = scale, y[0], y[0]
    for i in range(y.size):
        size = max(size, math.sqrt(v[i]))
        low, high = min(low, y[i]), max(high, y[i])
    if p0 > 0.0:
        low, high = min(low, m0), max(high, m0)
    size = max(size, high - low)
    if prior == UNIFORM:
        furthest = math.log1p(scale / c)
    elif prior == HALF_NORMAL:
        furthest = math.log1p(20.0 * size / c)
    else:
        furthest = math.log1p(size / c) + NEGLIGIBLE / max(1, y.size - 2 if p0 == 0.0 else y.size)
    heights, variances = np.empty(LOOKS + 1), np.empty(LOOKS + 1)
    start, end = 0.0, furthest
    for _ in range(LAST_STEP):
        step, highest, most = (end - start) / LOOKS, -np.inf, -np.inf
        for j in range(LOOKS + 1):
            u = start + step * j
            tau = c * math.expm1(u)
            height, _, precision = integrand(y, v, tau, prior, scale, m0, p0)
            heights[j] = height + u
            variances[j] = heights[j] + max(math.log1p(tau / size), -math.log(precision) - 2.0 * math.log(size))
            highest, most = max(highest, heights[j]), max(most, variances[j])
        first, last = LOOKS, 0
        for j in range(LOOKS + 1):
            if heights[j] > highest - NEGLIGIBLE or variances[j] > most - NEGLIGIBLE:
                first, last = min(first, j), max(last, j)
        first, last = max(first - 1, 0), min(last + 1, LOOKS)
        start, end = start + step * first, start + step * last
        if 4 * (last - first) > LOOKS:
            break
    return start, end


@kernel
def mixture_quantile(share: FloatArray, mean: FloatArray, sd: FloatArray, p: float, z: float) -> float:
    """Quantile of a mixture of normals (N,) by Newton's steps within a bracket; `z` is the normal quantile of p."""
    low, high, x, cumulated = np.inf, -np.inf, 0.0, 0.0
    for j in range(share.size):
        own = mean[j] + z * sd[j]
        low, high = min(low, own), max(high, own)
        x = own if cumulated < 0.5 else x
        cumulated += share[j]
    for _ in range(LAST_STEP):
        below, density = -p, 0.0
        for j in range(share.size):
            d = (x - mean[j]) / sd[j]
            below += share[j] * 0.5 * math.erfc(-d * SQRT_HALF)
            density += share[j] * math.exp(-0.5 * d * d) / sd[j]
        if below > 0.0:
            high = x
        else:
            low = x
        step = -below / (INV_SQRT_2PI * density) if density > 0.0 else np.inf
        if abs(step) <= 1e-9 * (abs(x) + (high - low)) and abs(step) * INV_SQRT_2PI * density < 1e-10:
            return x + step
        x = x + step if low < x + step < high else 0.5 * (low + high)
        if high - low <= 1e-15 * abs(x):
            return x
    return x


@kernel
def tau_quantile(
    y: FloatArray,
    v: FloatArray,
    prior: int,
    scale: float,
    m0: float,
    p0: float,
    c: float,
    start: float,
    width: float,
    panels: FloatArray,
    top: float,
    p: float,
    nodes: FloatArray,
) -> float:
    """Quantile of tau: the panel in which it lies from the integrals over `panels`, whose sum is 1, then Newton's steps within."""
    panel, before = 0, 0.0
    while panel < panels.size - 1 and before + panels[panel] < p:
        before += panels[panel]
        panel += 1
    left = start + panel * width
    wanted = p - before
    low, high = 0.0, width
    x = min(max(width * wanted / panels[panel], 0.0), width) if panels[panel] > 0.0 else 0.0
    for _ in range(LAST_STEP):
        reached = 0.0
        for n in range(nodes.shape[1]):
            u = left + 0.5 * x * (1.0 + nodes[0, n])
            height, _, _ = integrand(y, v, c * math.expm1(u), prior, scale, m0, p0)
            reached += nodes[1, n] * math.exp(height + u - top)
        reached *= 0.5 * x
        height, _, _ = integrand(y, v, c * math.expm1(left + x), prior, scale, m0, p0)
        density = math.exp(height + left + x - top)
        if reached > wanted:
            high = x
        else:
            low = x
        step = (wanted - reached) / density if density > 0.0 else np.inf
        if abs(step) <= 1e-9 * width:
            x = min(max(x + step, 0.0), width)
            break
        x = x + step if low < x + step < high else 0.5 * (low + high)
    return c * math.expm1(left + x)


@kernel
def fit_one(
    y: FloatArray,
    v: FloatArray,
    prior: int,
    scale: float,
    m0: float,
    p0: float,
    probabilities: FloatArray,
    nodes: FloatArray,
    n_panels: int,
    work: FloatArray,
    found: FloatArray,
) -> None:
    """Fill `found` (13,); `probabilities` (2, 3) are those of the median and the limits, and their normal quantiles; `work` (5, N)."""
    c = scale
    for i in range(v.size):
        c = min(c, math.sqrt(v[i]))
    start, end = ends(y, v, prior, scale, m0, p0, c)
    width = (end - start) / n_panels
    tau, mean, precision, height = work[0], work[1], work[2], work[3]
    panels, top, n_nodes = np.zeros(n_panels), -np.inf, nodes.shape[1]
    for j in range(n_panels * n_nodes):
        u = start + width * (j // n_nodes + 0.5 * (1.0 + nodes[0, j % n_nodes]))
        tau[j] = c * math.expm1(u)
        height[j], mean[j], precision[j] = integrand(y, v, tau[j], prior, scale, m0, p0)
        height[j] += u
        top = max(top, height[j])
    total = 0.0
    for j in range(n_panels * n_nodes):
        height[j] = 0.5 * width * nodes[1, j % n_nodes] * math.exp(height[j] - top)
        panels[j // n_nodes] += height[j]
        total += height[j]
    estimate, tau_mean, above, kept = 0.0, 0.0, 0.0, 0
    for j in range(n_panels):
        panels[j] /= total
    for j in range(n_panels * n_nodes):
        share = height[j] / total
        estimate += share * mean[j]
        tau_mean += share * tau[j]
    variance = 0.0
    for j in range(n_panels * n_nodes):
        share = height[j] / total
        variance += share * (1.0 / precision[j] + (mean[j] - estimate) ** 2)
        if share > 1e-17:  # nodes that can be seen in a probability move to the front
            height[kept], mean[kept], tau[kept], work[4, kept] = share, mean[j], tau[j], 1.0 / math.sqrt(precision[j])
            above += share * 0.5 * math.erfc(-mean[kept] / work[4, kept] * SQRT_HALF)
            kept += 1
    follows_power = prior == HALF_CAUCHY and p0 == 0.0
    found[0] = np.nan if follows_power and y.size < 2 else estimate
    found[1] = np.inf if follows_power and y.size < 3 else math.sqrt(variance)
    found[5] = above
    found[6] = np.inf if follows_power and y.size < 2 else tau_mean
    for q in range(3):
        p = probabilities[0, q]
        found[2 + q] = mixture_quantile(height[:kept], mean[:kept], work[4, :kept], p, probabilities[1, q])
        found[7 + q] = tau_quantile(y, v, prior, scale, m0, p0, c, start, width, panels, top + math.log(total), p, nodes)
    for j in range(kept):
        work[4, j] = math.sqrt(work[4, j] ** 2 + tau[j] ** 2)
    for q in range(1, 3):
        found[9 + q] = mixture_quantile(height[:kept], mean[:kept], work[4, :kept], probabilities[0, q], probabilities[1, q])
    found[12] = math.log(total * c) + top + 0.5 * math.log(p0) if p0 > 0.0 else np.nan


@kernel
def fit_many(
    effect: FloatArray,
    variance: FloatArray,
    prior: int,
    scale: float,
    m0: float,
    p0: float,
    probabilities: FloatArray,
    nodes: FloatArray,
    n_panels: int,
    found: FloatArray,
    status: IntArray,
) -> None:
    """`fit_one` for every replicate; its status."""
    y, v, work = np.empty(effect.shape[1]), np.empty(effect.shape[1]), np.empty((5, n_panels * nodes.shape[1]))
    for r in range(effect.shape[0]):
        k = 0
        for i in range(effect.shape[1]):
            if effect[r, i] == effect[r, i]:
                y[k], v[k] = effect[r, i], variance[r, i]
                status[r] = status[r] if v[k] > 0.0 else ZERO_VARIANCE
                k += 1
        status[r] = TOO_FEW_STUDIES if k == 0 else status[r]
        if status[r] == 0:
            fit_one(y[:k], v[:k], prior, scale, m0, p0, probabilities, nodes, n_panels, work, found[r])


@cache
def nodes_of_a_panel() -> FloatArray:
    """(2, 12) nodes and weights of one panel, between -1 and 1."""
    return np.array(roots_legendre(N_NODES))


def fit_all(y: FloatArray, v: FloatArray, prior: int, scale: float, m0: float, p0: float, tail: float, found: FloatArray, status: IntArray) -> None:
    """Fill `found` (replicate, 13) in the order of `BayesianMetaAnalysis`, and `status`; intervals leave out `tail` on each side."""
    p = np.array([0.5, tail, 1 - tail])
    fit_many(y, v, prior, scale, m0, p0, np.array([p, ndtri(p)]), nodes_of_a_panel(), PANELS, found, status)
