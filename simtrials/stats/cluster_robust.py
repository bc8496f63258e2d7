"""Cluster-robust standard errors of pooled effects and meta-regressions, with small-sample corrections and Satterthwaite's degrees of freedom.

With working covariances F_j of the clusters, W_j = F_j^-1, K = (sum X_j'W_j X_j)^-1 and residuals r_j, the covariance of the coefficients is

    c K [sum_j X_j'W_j A_j r_j r_j'A_j'W_j X_j] K.

m clusters, n effects, p coefficients:

| name | c | A_j |
|---|---|---|
| CR0 | 1 | 1 |
| CR1 | m / (m - 1) | 1 |
| CR1p | m / (m - p) | 1 |
| CR1S | m (n - 1) / ((m - 1) (n - p)) | 1 |
| CR2 | 1 | D'(D (F_j - X_j K X_j') D')^(-1/2) D with D'D = F_j: unbiased where the working covariance is true |
| CR3 | 1 | (1 - X_j K X_j'W_j)^-1: the jackknife that leaves out one cluster at a time |
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
from simtrials.stats.pooling import NO_RESIDUAL
from simtrials.stats.quantiles import t_critical, t_p_value
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import Tau2Method, tau2_of
from simtrials.stats.three_level import cluster_inverse, components_of, to_columns
from simtrials.stats.variance_components import factorise, invert_factored

Working = Literal["random_effects", "three_level", "correlated_effects", "common"]
Correction = Literal["CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3"]
DegreesOfFreedom = Literal["satterthwaite", "clusters"]
CORRECTIONS: tuple[str, ...] = get_args(Correction)
CR1, CR1P, CR1S, CR2, CR3 = range(1, 6)
LARGEST_RHO = float(np.nextafter(1.0, 0.0))
NO_SPREAD = 1e-11
"""Share of the largest eigenvalue below which a direction of a cluster is fitted exactly and tells nothing."""


@readable
class ClusterRobust(NamedTuple):
    """Robust inference, in the shape of the input without its last axis; coefficients last where a design was given. NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided t test of 0"""
    df: FloatArray
    """degrees of freedom, of each coefficient"""
    covariance: FloatArray
    """(..., coefficient, coefficient)"""
    tau2: FloatArray
    """variance of true effects in the working model, between and within clusters together"""
    n_clusters: IntArray
    n_effects: IntArray
    status: IntArray
    """`MetaStatus`"""


def cluster_robust(
    yi: ArrayLike,
    vi: ArrayLike,
    cluster: ArrayLike,
    *,
    design: ArrayLike | None = None,
    working: Working = "random_effects",
    tau2: Tau2Method = "REML",
    rho: float | None = None,
    correction: Correction = "CR2",
    df: DegreesOfFreedom = "satterthwaite",
    level: float = 0.95,
) -> ClusterRobust:
    """Pool effects with standard errors that hold whatever the dependence of effects within a cluster.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for an effect that is absent
    cluster : (k,) or (..., k) labels of the clusters; each effect its own cluster makes inference robust to wrong variances
    design : (k, coefficient) or (..., k, coefficient) moderators with their column of ones; default: that column alone
    working : model that gives the weights: "random_effects" independent effects with `tau2`, "three_level" as that function fits it by REML,
        "correlated_effects" weights 1 / (k_j (mean variance of the cluster + tau2)) with the moment estimator of Hedges, Tipton and Johnson,
        "common" weights 1 / vi
    tau2 : estimator for "random_effects"
    rho : correlation of sampling errors within a cluster, for "three_level" (default 0) and in tau2 of "correlated_effects" (default 0.8)
    correction : a name of the table above
    df : "satterthwaite", or "clusters" for clusters less coefficients

    Returns
    -------
    ClusterRobust; TOO_FEW_STUDIES with one cluster, no more effects than coefficients, or as many coefficients as clusters with CR1p or
    df = "clusters"; COLLINEAR moderators, or with CR3 a coefficient that rests on one cluster; ZERO_VARIANCE; NOT_CONVERGED.
    Effects that agree exactly have a standard error and a p-value of 0.

    Source: Hedges, Tipton and Johnson (2010), Research Synthesis Methods 1, 39-65; Tipton (2015), Psychological Methods 20, 375-393; Pustejovsky
    and Tipton (2018), Journal of Business and Economic Statistics 36, 672-683; names as in R's clubSandwich.
    """
    for name, given, known in (
        ("working", working, get_args(Working)), ("correction", correction, CORRECTIONS), ("df", df, get_args(DegreesOfFreedom)),
    ):  # fmt: skip
        if given not in known:
            raise ValueError(f"cluster_robust: {name} = {given!r} is not known{did_you_mean(str(given), known)}")
    if working == "random_effects" and tau2 == "GENQ":
        raise ValueError("cluster_robust: GENQ needs weights of one's own; choose another estimator")
    if rho is not None and not 0 <= rho <= (1.0 if working == "correlated_effects" else LARGEST_RHO):
        raise ValueError(f"cluster_robust: rho must be at least 0 and less than 1, got {rho}")
    data = clustered("cluster_robust", yi, vi, cluster, design)
    n, p = len(data.y), data.x.shape[1]
    between, within, status, v = _working(data, working, tau2, rho)
    inner = (rho or 0.0) if working == "three_level" else 0.0
    found, covariance, counts = np.full((2, n, p), np.nan), np.full((n, p, p), np.nan), np.zeros((n, 2), dtype=np.int64)
    spread = np.zeros_like(within) if working == "correlated_effects" else within
    _robust_all(data.y, v, data.x, data.cluster, between, spread, inner, CORRECTIONS.index(correction), found, covariance, counts, status)
    few = (counts[:, 1] <= p) & (status == MetaStatus.OK) & ((df == "clusters") | (correction == "CR1p"))
    status = np.where(few, TOO_FEW_STUDIES, status)
    estimate, freedom = np.where((status == MetaStatus.OK)[:, np.newaxis], found, np.nan)
    if df == "clusters":
        freedom = np.where(np.isnan(estimate), np.nan, (counts[:, 1:] - p).astype(np.float64))
    covariance = np.where((status == MetaStatus.OK)[:, np.newaxis, np.newaxis], covariance, np.nan)
    std_error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = t_p_value(estimate / std_error, freedom)
    margin = t_critical(freedom, 1 - level) * std_error
    by_coefficient = estimate, std_error, estimate - margin, estimate + margin, p_value, freedom
    numbers: list[AnyArray] = [data.by_coefficient(column) for column in by_coefficient]
    flat = covariance, np.where(status == MetaStatus.OK, between + within, np.nan), counts[:, 1], counts[:, 0], status
    return ClusterRobust._make([*numbers, *(data.shaped(column) for column in flat)])


def _working(data: Clustered, working: Working, tau2: Tau2Method, rho: float | None) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
    """Variances between and within clusters, status, and the sampling variances of the working model."""
    nothing, status = np.zeros(len(data.y)), np.zeros(len(data.y), dtype=np.int64)
    if working == "common":
        return nothing, nothing, status, data.v
    if working == "random_effects":
        fit = tau2_of(Studies(data.y, data.v, data.x, None), tau2)
        return nothing, fit.estimate, fit.status.copy(), data.v
    if working == "three_level":
        levels = components_of(data, "REML", rho or 0.0)
        return levels.sigma2[:, 0].copy(), levels.sigma2[:, 1].copy(), levels.status.copy(), data.v
    between, v = np.full(len(data.y), np.nan), np.full_like(data.v, np.nan)
    _correlated_effects(data.y, data.v, data.x, data.cluster, 0.8 if rho is None else rho, between, v, status)
    return nothing, between, status, v


@kernel
def _correlated_effects(
    y: FloatArray, v: FloatArray, x: FloatArray, cluster: IntArray, rho: float, tau2: FloatArray, spread: FloatArray, status: IntArray
) -> None:
    """tau2 by moments with weights 1 / (k_j mean variance), and the working variances k_j (mean variance + tau2).

    Hedges, Tipton and Johnson (2010), equation 15: the expectation of the weighted residual sum of squares is solved for tau2.
    """
    p = x.shape[1]
    data, start = np.empty((2 + p, y.shape[1])), np.empty(y.shape[1] + 1, dtype=np.int64)
    work, triangle = np.empty_like(data), np.empty((p, p + 1))
    for replicate in range(y.shape[0]):
        k, m = gather_clusters(y, v, x, cluster, replicate, data, start)
        if k < 0:
            status[replicate] = ZERO_VARIANCE
        elif k <= p or m < 2:
            status[replicate] = TOO_FEW_STUDIES
        if status[replicate] != 0:
            continue
        for j in range(m):
            mean, size = 0.0, start[j + 1] - start[j]
            for s in range(start[j], start[j + 1]):
                mean += data[1, s] / size
            for s in range(start[j], start[j + 1]):
                spread[replicate, s] = size * mean
                work[0, s] = 1.0 / (size * mean)
        if not project(data, k, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        excess, factor = -float(m), 0.0
        for j in range(m):
            w, size = work[0, start[j]], start[j + 1] - start[j]
            factor += size * w
            squares, total = 0.0, 0.0
            for c in range(p):
                column = 0.0
                for s in range(start[j], start[j + 1]):
                    column += work[2 + c, s]
                    squares += work[2 + c, s] ** 2
                total += column * column
            for s in range(start[j], start[j + 1]):
                excess += w * work[1, s] ** 2
            excess += w / size * ((1.0 - rho) * squares + rho * total)
            factor -= w * w * total
        tau2[replicate] = max(0.0, excess / factor) if factor > 0.0 else 0.0
        for j in range(m):
            for s in range(start[j], start[j + 1]):
                spread[replicate, s] += (start[j + 1] - start[j]) * tau2[replicate]


@kernel
def _unbiased(covariance: FloatArray, leverage: FloatArray, adjusted: FloatArray) -> None:
    """CR2's A for one cluster: D'(D (F - leverage) D')^(-1/2) D with F = D'D the covariance; directions without spread are left out."""
    n = covariance.shape[0]
    if n == 1:
        left = covariance[0, 0] - leverage[0, 0]
        adjusted[0, 0] = np.sqrt(covariance[0, 0] / left) if left > NO_SPREAD * covariance[0, 0] else 0.0
        return
    lower = np.linalg.cholesky(covariance)  # D is its transpose
    middle = lower.T @ (covariance - leverage) @ lower
    values, vectors = np.linalg.eigh(middle)
    root = np.zeros((n, n))
    for e in range(n):
        if values[e] > NO_SPREAD * values[n - 1]:
            for a in range(n):
                for b in range(n):
                    root[a, b] += vectors[a, e] * vectors[b, e] / np.sqrt(values[e])
    adjusted[:, :] = lower @ root @ lower.T.copy()


@kernel
def _robust_all(
    y: FloatArray,
    v: FloatArray,
    x: FloatArray,
    cluster: IntArray,
    between: FloatArray,
    within: FloatArray,
    rho: float,
    correction: int,
    found: FloatArray,
    covariance: FloatArray,
    counts: IntArray,
    status: IntArray,
) -> None:
    """Fill `found` (2, replicate, coefficient): coefficients, degrees of freedom; covariances; effects and clusters."""
    p, longest = x.shape[1], y.shape[1]
    data, start = np.empty((2 + p, longest)), np.empty(longest + 1, dtype=np.int64)
    work, triangle, one = np.empty_like(data), np.empty((p, p + 1)), np.empty(longest)
    k_inverse, factor, k, moved = np.empty((p, p)), np.empty((p, p)), np.empty((p, p)), np.empty(p)
    left, left_inverse, back, robust = np.empty((p, p)), np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    weighted, estimating, score = np.empty((longest, p)), np.empty((longest, p)), np.empty(p)
    for replicate in range(y.shape[0]):
        n, m = gather_clusters(y, v, x, cluster, replicate, data, start)
        counts[replicate, 0], counts[replicate, 1] = max(n, 0), m
        if status[replicate] != 0:
            continue
        if n < 0:
            status[replicate] = ZERO_VARIANCE
        elif n <= p or m < 2:
            status[replicate] = TOO_FEW_STUDIES
        if status[replicate] != 0:
            continue
        work[0, :n] = 1.0
        if not project(data, n, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        k_inverse[:, :], score[:] = 0.0, 0.0
        for j in range(m):
            low, size = start[j], start[j + 1] - start[j]
            inverse = np.empty((size, size))
            cluster_inverse(data[1, low : low + size], rho, between[replicate], within[replicate], one, inverse)
            for a in range(size):
                for c in range(p):
                    weighted[low + a, c] = 0.0
                    for b in range(size):
                        weighted[low + a, c] += inverse[a, b] * work[2 + c, low + b]
        for s in range(n):
            for c in range(p):
                score[c] += weighted[s, c] * work[1, s]
                for d in range(p):
                    k_inverse[c, d] += work[2 + c, s] * weighted[s, d]
        if not factorise(k_inverse, p, factor):
            status[replicate] = COLLINEAR
            continue
        invert_factored(factor, p, k)
        moved[:] = k @ score
        for j in range(m):
            low, size = start[j], start[j + 1] - start[j]
            columns = work[2:, low : low + size]
            if correction == CR2:
                variances, leverage, adjusted = np.empty((size, size)), np.zeros((size, size)), np.empty((size, size))
                for a in range(size):
                    for b in range(size):
                        error = rho * np.sqrt(data[1, low + a] * data[1, low + b])
                        variances[a, b] = data[1, low + a] + between[replicate] + within[replicate] if a == b else error + between[replicate]
                        for c in range(p):
                            for d in range(p):
                                leverage[a, b] += columns[c, a] * k[c, d] * columns[d, b]
                _unbiased(variances, leverage, adjusted)
                estimating[low : low + size] = adjusted @ np.ascontiguousarray(weighted[low : low + size])
            elif correction == CR3:
                for c in range(p):
                    for d in range(p):
                        left[c, d] = k_inverse[c, d]
                        for a in range(size):
                            left[c, d] -= columns[c, a] * weighted[low + a, d]
                for c in range(p):
                    if not left[c, c] > NO_SPREAD * k_inverse[c, c]:
                        status[replicate] = COLLINEAR
                if status[replicate] != 0 or not factorise(left, p, factor):
                    status[replicate] = COLLINEAR
                    break
                invert_factored(factor, p, left_inverse)
                estimating[low : low + size] = np.ascontiguousarray(weighted[low : low + size]) @ left_inverse @ k_inverse
            else:
                estimating[low : low + size] = weighted[low : low + size]
        if status[replicate] != 0:
            continue
        scale = 1.0
        if correction in (CR1, CR1S):
            scale = m / (m - 1.0)
        if correction == CR1S:
            scale *= (n - 1.0) / (n - p)
        if correction == CR1P:
            scale = m / (m - float(p)) if m > p else np.nan
        meat, rss = np.zeros((p, p)), 0.0
        for j in range(m):
            score[:] = 0.0
            for s in range(start[j], start[j + 1]):
                residual = work[1, s]
                for c in range(p):
                    residual -= work[2 + c, s] * moved[c]
                rss += residual * residual / (data[1, s] + within[replicate])
                for c in range(p):
                    score[c] += estimating[s, c] * residual
            for c in range(p):
                for d in range(p):
                    meat[c, d] += scale * score[c] * score[d]
        if rss <= NO_RESIDUAL:
            meat[:, :] = 0.0
        robust[:, :] = k @ meat @ k
        to_columns(triangle, robust, moved, back, found[0, replicate], covariance[replicate])
        _satterthwaite(data, work, start, m, rho, between[replicate], within[replicate], k, back, estimating, found[1, replicate])


@kernel
def _satterthwaite(
    data: FloatArray,
    work: FloatArray,
    start: IntArray,
    m: int,
    rho: float,
    between: float,
    within: float,
    k: FloatArray,
    back: FloatArray,
    estimating: FloatArray,
    df: FloatArray,
) -> None:
    """Degrees of freedom of every coefficient's variance if the working covariance is true: that of a sum of m dependent squares.

    The squares have the covariances P_ij = [i = j] q_j'F_j q_j - q_i'X_i K X_j'q_j with q_j = A_j'W_j X_j K c, and df = (tr P)^2 / tr PP.
    """
    p = k.shape[0]
    q, z, solved, outer = np.empty(work.shape[1]), np.empty(p), np.empty(p), np.empty((p, p))
    for coefficient in range(p):
        contrast = k @ np.ascontiguousarray(back[coefficient])
        trace, squares = 0.0, 0.0
        outer[:, :] = 0.0
        for j in range(m):
            total, root, own = 0.0, 0.0, 0.0
            z[:] = 0.0
            for s in range(start[j], start[j + 1]):
                q[s] = 0.0
                for c in range(p):
                    q[s] += estimating[s, c] * contrast[c]
                for c in range(p):
                    z[c] += work[2 + c, s] * q[s]
                own += (data[1, s] * (1.0 - rho) + within) * q[s] * q[s]
                root += np.sqrt(data[1, s]) * q[s]
                total += q[s]
            own += between * total * total + rho * root * root
            solved[:] = k @ z
            fitted = 0.0
            for c in range(p):
                fitted += z[c] * solved[c]
                for d in range(p):
                    outer[c, d] += solved[c] * z[d]
            trace += own - fitted
            squares += (own - fitted) ** 2 - fitted * fitted
        for c in range(p):
            for d in range(p):
                squares += outer[c, d] * outer[d, c]
        df[coefficient] = trace * trace / squares
