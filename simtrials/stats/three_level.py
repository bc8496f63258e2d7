"""Three-level meta-analysis: effects within clusters, with one variance between clusters and one between the effects of a cluster.

Effect i of cluster j is y_ij = x_ij'b + u_j + w_ij + e_ij with variances sigma2_cluster, sigma2_within and the known v_ij; sampling errors of one
cluster may be correlated. Standard deviations are the parameters of the search, so that a variance of 0 is an ordinary maximum.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel
from simtrials.stats.clusters import Clustered, clustered, gather_clusters
from simtrials.stats.meta_kernels import COLLINEAR, COLLINEAR_BELOW, TOO_FEW_STUDIES, ZERO_VARIANCE, project
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value
from simtrials.stats.shown import readable
from simtrials.stats.variance_components import CONVERGED, GO_ON, HEIGHT, LOG_2PI, MEMORY, begin, likelihood_of_sums, next_point

Likelihood = Literal["REML", "ML"]
NOT_CONVERGED = int(MetaStatus.NOT_CONVERGED)
STARTS = np.array([[0.5, 0.5], [1.0, 0.01], [0.01, 1.0], [0.01, 0.01]])
"""Shares of the variance of the effects beyond sampling error, between and within clusters, from which the likelihood is climbed."""

NEGLIGIBLE = 1e-12
"""Share of the smallest sampling variance below which a component is 0."""


@readable
class ThreeLevel(NamedTuple):
    """A three-level meta-analysis, in the shape of the input without its last axis; coefficients last where a design was given."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of 0"""
    df: FloatArray
    """of the t distribution behind test and interval, infinite for the normal"""
    covariance: FloatArray
    """(..., coefficient, coefficient) of the estimates"""
    sigma2_cluster: FloatArray
    """variance of true effects between clusters"""
    sigma2_within: FloatArray
    """variance of true effects within a cluster"""
    tau2: FloatArray
    """their sum"""
    log_likelihood: FloatArray
    """restricted with REML, as R's metafor gives it"""
    n_clusters: IntArray
    n_effects: IntArray
    status: IntArray
    """`MetaStatus`"""


class Components(NamedTuple):
    """Fits of many replicates, (replicate, ...) each: what other modules take."""

    coefficients: FloatArray
    covariance: FloatArray
    sigma2: FloatArray
    """(replicate, 2) between and within clusters"""
    log_likelihood: FloatArray
    n_clusters: IntArray
    n_effects: IntArray
    status: IntArray


def three_level(
    yi: ArrayLike,
    vi: ArrayLike,
    cluster: ArrayLike,
    *,
    design: ArrayLike | None = None,
    method: Likelihood = "REML",
    rho: float = 0.0,
    ci: Literal["wald", "t"] = "wald",
    level: float = 0.95,
) -> ThreeLevel:
    """Pool effects that come in clusters, with random effects of clusters and of effects within them.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for an effect that is absent
    cluster : (k,) or (..., k) labels of the clusters
    design : (k, coefficient) or (..., k, coefficient) moderators with their column of ones; default: that column alone
    method : "REML" or "ML"; the highest maximum over variances of 0 and more, reached from several starts
    rho : correlation of sampling errors within a cluster, 0 <= rho < 1
    ci : "wald" takes the normal distribution, "t" the t distribution with effects less coefficients as degrees of freedom

    Returns
    -------
    ThreeLevel; TOO_FEW_STUDIES with one cluster or no more effects than coefficients, ZERO_VARIANCE, COLLINEAR (moderators; all NaN),
    NOT_CONVERGED. Where every cluster has one effect the two variances cannot be told apart: they are NaN, and `tau2` is their sum.

    Source: Konstantopoulos (2011), Research Synthesis Methods 2, 61-76; Van den Noortgate et al. (2013), Behavior Research Methods 45, 576-594;
    as in R's metafor::rma.mv.
    """
    if ci not in ("wald", "t"):
        raise ValueError(f"three_level: ci = {ci!r} is not known{did_you_mean(str(ci), ('wald', 't'))}")
    data = clustered("three_level", yi, vi, cluster, design)
    fit = components_of(data, method, rho)
    n_coefficients = fit.coefficients.shape[1]
    std_error = np.sqrt(np.diagonal(fit.covariance, axis1=1, axis2=2))
    df = np.where(fit.status == MetaStatus.OK, np.inf if ci == "wald" else (fit.n_effects - n_coefficients).astype(np.float64), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = fit.coefficients / std_error
    p_value = normal_p_value(statistic) if ci == "wald" else t_p_value(statistic, df[:, np.newaxis])
    critical = np.full(len(df), normal_critical(1 - level)) if ci == "wald" else t_critical(df, 1 - level)
    margin = critical[:, np.newaxis] * std_error
    single = (fit.n_clusters == fit.n_effects)[:, np.newaxis]
    apart = np.where(single, np.nan, fit.sigma2)
    by_coefficient = fit.coefficients, std_error, fit.coefficients - margin, fit.coefficients + margin, p_value
    numbers: list[AnyArray] = [data.by_coefficient(column) for column in by_coefficient]
    flat = (df, fit.covariance, apart[:, 0], apart[:, 1], fit.sigma2.sum(axis=1), fit.log_likelihood, fit.n_clusters, fit.n_effects, fit.status)
    return ThreeLevel._make([*numbers, *(data.shaped(column) for column in flat)])


def components_of(data: Clustered, method: Likelihood = "REML", rho: float = 0.0) -> Components:
    """`three_level` of arrays that are already prepared; with one effect in every cluster all variance is between clusters."""
    if method not in get_args(Likelihood):
        raise ValueError(f"three_level: method = {method!r} is not known{did_you_mean(str(method), get_args(Likelihood))}")
    if not 0 <= rho < 1:
        raise ValueError(f"three_level: rho must be at least 0 and less than 1, got {rho}")
    n_replicates, p = len(data.y), data.x.shape[1]
    coefficients, covariance = np.full((n_replicates, p), np.nan), np.full((n_replicates, p, p), np.nan)
    found, counts, status = np.full((n_replicates, 3), np.nan), np.zeros((n_replicates, 2), np.int64), np.zeros(n_replicates, np.int64)
    _fit_all(data.y, data.v, data.x, data.cluster, STARTS, method == "REML", rho, coefficients, covariance, found, counts, status)
    return Components(coefficients, covariance, found[:, :2], found[:, 2], counts[:, 1], counts[:, 0], status)


@kernel
def cluster_inverse(v: FloatArray, rho: float, between: float, within: float, one: FloatArray, inverse: FloatArray) -> float:
    """Inverse of a cluster's covariance in the first n rows of `inverse`, and log of its determinant, by two updates of rank one.

    The covariance has v + between + within on the diagonal and rho sqrt(v v) + between elsewhere; `one` becomes the inverse times ones.
    """
    n, log_determinant, total = v.size, 0.0, 0.0
    for a in range(n):
        spread = v[a] * (1.0 - rho) + within
        log_determinant += np.log(spread)
        one[a] = np.sqrt(v[a]) / spread
        total += rho * v[a] / spread
        for b in range(n):
            inverse[a, b] = 0.0
        inverse[a, a] = 1.0 / spread
    for update in range(2):
        size = rho if update == 0 else between
        if update == 1:
            total = 0.0
            for a in range(n):
                one[a] = 0.0
                for b in range(n):
                    one[a] += inverse[a, b]
                total += between * one[a]
        if size > 0.0:
            log_determinant += np.log1p(total)
            for a in range(n):
                for b in range(n):
                    inverse[a, b] -= size / (1.0 + total) * one[a] * one[b]
    for a in range(n):
        one[a] /= 1.0 + total
    return log_determinant


@kernel
def _height(
    data: FloatArray,
    work: FloatArray,
    start: IntArray,
    n_clusters: int,
    rho: float,
    x: FloatArray,
    restricted: bool,
    g: FloatArray,
    h: FloatArray,
    covariance: FloatArray,
    coefficients: FloatArray,
) -> float:
    """Log-likelihood without constant at the standard deviations x, slopes and curvatures by them; residuals and design in work[1:]."""
    p, n_free = covariance.shape[0], x.size
    c = p + 1
    base, first, second = np.zeros((c, c)), np.zeros((2, c, c)), np.zeros((2, 2, c, c))
    trace, traces, log_determinant = np.zeros(2), np.zeros((2, 2)), 0.0
    longest = 0
    for j in range(n_clusters):
        longest = max(longest, start[j + 1] - start[j])
    one, inverse, solved, again = np.empty(longest), np.empty((longest, longest)), np.empty((longest, c)), np.empty((longest, c))
    ones, twice = np.empty(c), np.empty(c)
    within = x[1] * x[1] if n_free > 1 else 0.0
    for j in range(n_clusters):
        low, n = start[j], start[j + 1] - start[j]
        log_determinant += cluster_inverse(data[1, low : low + n], rho, x[0] * x[0], within, one, inverse)
        d, d2 = 0.0, 0.0
        ones[:], twice[:] = 0.0, 0.0
        for a in range(n):
            d += one[a]
            d2 += one[a] * one[a]
            trace[1] += inverse[a, a]
            for b in range(n):
                traces[1, 1] += inverse[a, b] * inverse[a, b]
            for i in range(c):
                row = 2 + i if i < p else 1
                solved[a, i] = 0.0
                for b in range(n):
                    solved[a, i] += inverse[a, b] * work[row, low + b]
                ones[i] += one[a] * work[row, low + a]
        for a in range(n):
            for i in range(c):
                again[a, i] = 0.0
                for b in range(n):
                    again[a, i] += inverse[a, b] * solved[b, i]
                twice[i] += again[a, i]
        trace[0] += d
        traces[0, 0] += d * d
        traces[0, 1] += d2
        for i in range(c):
            for k in range(c):
                first[0, i, k] += ones[i] * ones[k]
                second[0, 0, i, k] += ones[i] * d * ones[k]
                second[0, 1, i, k] += ones[i] * twice[k]
                for a in range(n):
                    base[i, k] += work[2 + i if i < p else 1, low + a] * solved[a, k]
                    first[1, i, k] += solved[a, i] * solved[a, k]
                    second[1, 1, i, k] += solved[a, i] * again[a, k]
    height = likelihood_of_sums(
        base, first[:n_free], second[:n_free, :n_free], trace, traces, log_determinant, restricted, g, h, covariance, coefficients
    )
    for m in range(n_free):
        for o in range(n_free):
            h[m, o] *= 4.0 * x[m] * x[o]
        h[m, m] += 2.0 * g[m]
        g[m] *= 2.0 * x[m]
    return height


@kernel
def _fit_all(
    y: FloatArray,
    v: FloatArray,
    x: FloatArray,
    cluster: IntArray,
    starts: FloatArray,
    restricted: bool,
    rho: float,
    coefficients: FloatArray,
    covariance: FloatArray,
    found: FloatArray,
    counts: IntArray,
    status: IntArray,
) -> None:
    p = x.shape[1]
    data, start = np.empty((2 + p, y.shape[1])), np.empty(y.shape[1] + 1, dtype=np.int64)
    work, triangle, memory = np.empty_like(data), np.empty((p, p + 1)), np.empty(MEMORY)
    rotated, moved, back = np.empty((p, p)), np.empty(p), np.empty((p, p))
    for replicate in range(y.shape[0]):
        k, n_clusters = gather_clusters(y, v, x, cluster, replicate, data, start)
        counts[replicate, 0], counts[replicate, 1] = max(k, 0), n_clusters
        if k < 0:
            status[replicate] = ZERO_VARIANCE
        elif k <= p or n_clusters < 2:
            status[replicate] = TOO_FEW_STUDIES
        if status[replicate] != 0:
            continue
        work[0, :k] = 1.0
        if not project(data, k, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        mean_square, typical, smallest = 0.0, 0.0, np.inf
        for s in range(k):
            mean_square += work[1, s] * work[1, s] / (k - p)
            typical += data[1, s] / k
            smallest = min(smallest, data[1, s])
        scale = max(mean_square - typical, 0.1 * typical)
        n_free = 1 if n_clusters == k else 2
        g, h, there = np.empty(n_free), np.empty((n_free, n_free)), np.empty(n_free)
        here, best, g_here, h_here = np.empty(n_free), np.zeros(n_free), np.empty(n_free), np.empty((n_free, n_free))
        top, converged = -np.inf, False
        for first in range(starts.shape[0]):
            for m in range(n_free):
                there[m] = np.sqrt(scale * starts[first, m])
            begin(memory)
            state = GO_ON
            while state == GO_ON:
                height = _height(data, work, start, n_clusters, rho, there, restricted, g, h, rotated, moved)
                state = next_point(height, g, h, there, memory, here, g_here, h_here)
            if memory[HEIGHT] > top:
                top, converged = memory[HEIGHT], state == CONVERGED
                best[:] = here
        if not converged:
            status[replicate] = NOT_CONVERGED
            continue
        for m in range(2):
            found[replicate, m] = 0.0
            if m < n_free and best[m] * best[m] > NEGLIGIBLE * smallest:
                found[replicate, m] = best[m] * best[m]
        height = _height(data, work, start, n_clusters, rho, best, restricted, g, h, rotated, moved)
        found[replicate, 2] = height - 0.5 * LOG_2PI * (k - p if restricted else k)
        to_columns(triangle, rotated, moved, back, coefficients[replicate], covariance[replicate])


@kernel
def to_columns(triangle: FloatArray, rotated: FloatArray, moved: FloatArray, back: FloatArray, b: FloatArray, covariance: FloatArray) -> None:
    """Coefficients and covariance of the design's own columns, from those of its orthonormal columns beyond ordinary least squares."""
    p = triangle.shape[0]
    for column in range(p):
        for row in range(p):
            back[row, column] = 0.0
        back[column, column] = 1.0 / triangle[column, column]
        for row in range(column - 1, -1, -1):
            total = 0.0
            for c in range(row + 1, column + 1):
                total += triangle[row, c] * back[c, column]
            back[row, column] = -total / triangle[row, row]
    for i in range(p):
        b[i] = 0.0
        for c in range(p):
            b[i] += back[i, c] * (triangle[c, p] + moved[c])
        for j in range(p):
            covariance[i, j] = 0.0
            for c in range(p):
                for d in range(p):
                    covariance[i, j] += back[i, c] * rotated[c, d] * back[j, d]
