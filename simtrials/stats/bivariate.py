"""Bivariate meta-analysis: two outcomes per study, correlated within studies by their sampling and between studies by their true effects."""

from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray, for_kernel
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel
from simtrials.stats.bivariate_kernels import STARTS, UNCORRELATED_STARTS, highest
from simtrials.stats.meta_kernels import TOO_FEW_STUDIES, ZERO_VARIANCE, project
from simtrials.stats.quantiles import normal_critical, normal_p_value
from simtrials.stats.shown import readable
from simtrials.stats.three_level import NOT_CONVERGED, Likelihood, to_columns
from simtrials.stats.variance_components import LOG_2PI


@readable
class BivariateMetaAnalysis(NamedTuple):
    """Results, (..., 2) for the two outcomes or (...,); NaN unless `status` is OK."""

    estimate: FloatArray
    """(..., 2) mean effects"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """(..., 2) two-sided tests of 0, normal"""
    covariance: FloatArray
    """(..., 2, 2) of the estimates"""
    tau2: FloatArray
    """(..., 2) variances of true effects between studies"""
    correlation: FloatArray
    """(...,) of true effects between studies, -1 and 1 included; NaN where a variance is 0 or no study reports both outcomes"""
    log_likelihood: FloatArray
    """restricted with REML, as R's metafor gives it"""
    n_studies: IntArray
    """(..., 2) that report each outcome"""
    n_both: IntArray
    status: IntArray
    """`MetaStatus`"""


def bivariate_meta_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    correlation: ArrayLike | None = None,
    *,
    method: Likelihood = "REML",
    level: float = 0.95,
) -> BivariateMetaAnalysis:
    """Pool two outcomes together, so that each borrows from the other, with an unstructured covariance between studies.

    Parameters
    ----------
    yi : (k, 2) or (..., k, 2) effects, NaN for an outcome that a study does not report
    vi : (k, 2, 2) or (..., k, 2, 2) within-study covariance matrices; with `correlation`, variances in the shape of yi
    correlation : within-study correlation of the two effects, a number, (k,) or (..., k)
    method : "REML" or "ML"; the highest maximum over all covariance matrices, singular ones included, reached from several starts

    Returns
    -------
    BivariateMetaAnalysis; TOO_FEW_STUDIES where an outcome is reported by fewer than two studies, ZERO_VARIANCE, NOT_CONVERGED: with
    within-study correlations of exactly -1 or 1 there may be no highest likelihood. A study whose covariance is NaN where it reports both outcomes
    is absent.

    Source: van Houwelingen, Arends and Stijnen (2002), Statistics in Medicine 21, 589-624; Riley et al. (2007), ibid. 26, 78-97; as in R's
    metafor::rma.mv with struct = "UN".
    """
    if method not in get_args(Likelihood):
        raise ValueError(f"bivariate_meta_analysis: method = {method!r} is not known{did_you_mean(str(method), get_args(Likelihood))}")
    y, s, shape = _covariances(yi, vi, correlation)
    n = len(y)
    found, covariance, counts, status = np.full((n, 6), np.nan), np.full((n, 2, 2), np.nan), np.zeros((n, 3), np.int64), np.zeros(n, np.int64)
    _fit_all(y, s, STARTS, UNCORRELATED_STARTS, method == "REML", found, covariance, counts, status)
    estimate, tau2 = found[:, :2], found[:, [2, 4]]
    std_error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    margin = normal_critical(1 - level) * std_error
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = normal_p_value(estimate / std_error)
        between = np.clip(found[:, 3] / np.sqrt(tau2[:, 0] * tau2[:, 1]), -1.0, 1.0)
    between = np.where(counts[:, 2] > 0, between, np.nan)
    columns = (estimate, std_error, estimate - margin, estimate + margin, p_value, covariance, tau2, between, found[:, 5], counts[:, :2])
    return BivariateMetaAnalysis._make(column.reshape((*shape, *column.shape[1:]))[()] for column in (*columns, counts[:, 2], status))


def _covariances(yi: ArrayLike, vi: ArrayLike, correlation: ArrayLike | None) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    """Effects (replicate, study, 2), covariances (replicate, study, 2, 2), NaN where absent; the shape of the results."""
    name = "bivariate_meta_analysis"
    y, v = np.asarray(yi, dtype=np.float64), np.asarray(vi, dtype=np.float64)
    if y.ndim < 2 or y.shape[-1] != 2 or y.shape[-2] == 0:
        raise ValueError(f"{name}: yi must have shape (..., study, 2), got {y.shape}")
    if np.isinf(y).any():
        raise ValueError(f"{name}: yi must be finite or NaN for an outcome that is absent, got an infinite effect")
    if correlation is None:
        if v.ndim < 3 or v.shape[-2:] != (2, 2):
            raise ValueError(f"{name}: vi must have shape (..., study, 2, 2) where no correlation is given, got {v.shape}")
        shape = np.broadcast_shapes(y.shape, v.shape[:-1])
        s = np.broadcast_to(v, (*shape, 2)).reshape(-1, shape[-2], 2, 2)
    else:
        r = np.asarray(correlation, dtype=np.float64)
        if (np.abs(r) > 1).any():
            raise ValueError(f"{name}: correlation must lie in [-1, 1], got {r[np.abs(r) > 1].flat[0]:g}")
        shape = np.broadcast_shapes(y.shape, v.shape, (*r.shape, 1))
        v = np.broadcast_to(v, shape)
        s = np.empty((*shape, 2))
        with np.errstate(invalid="ignore"):
            s[..., 0, 0], s[..., 1, 1] = v[..., 0], v[..., 1]
            s[..., 0, 1] = s[..., 1, 0] = r * np.sqrt(v[..., 0] * v[..., 1])
        s = s.reshape(-1, shape[-2], 2, 2)
    y = np.broadcast_to(y, shape).reshape(-1, shape[-2], 2)
    y = np.where(np.isnan(y) | ~(np.diagonal(s, axis1=-2, axis2=-1) < np.inf), np.nan, y)
    both = ~np.isnan(y).any(axis=-1)
    y = np.where((both & np.isnan(s[..., 0, 1]))[..., np.newaxis], np.nan, y)
    with np.errstate(invalid="ignore"):
        impossible = s[..., 0, 1] ** 2 > s[..., 0, 0] * s[..., 1, 1] * (1 + 1e-12)
    if (impossible & ~np.isnan(y).any(axis=-1)).any():
        raise ValueError(f"{name}: vi must hold covariance matrices, got one whose covariance is larger than its variances allow")
    return for_kernel(y), for_kernel(s), shape[:-2]


@kernel
def spreads(rows: FloatArray, present: BoolArray, s: FloatArray, spread: FloatArray, smallest: FloatArray) -> None:
    """Variance of the residuals of each outcome beyond sampling error, at least a tenth of that, and the smallest sampling variance."""
    for o in range(2):
        squares, error, count = 0.0, 0.0, 0
        smallest[o] = np.inf
        for i in range(rows.shape[0]):
            if present[i, o]:
                squares += rows[i, o, -1] ** 2
                error += s[i, o, o]
                smallest[o] = min(smallest[o], s[i, o, o])
                count += 1
        spread[o] = max(squares / max(count - 1, 1) - error / max(count, 1), 0.1 * error / max(count, 1))


@kernel
def lay_out(work: FloatArray, present: BoolArray, rows: FloatArray) -> None:
    """Orthonormal design and residuals, as `project` leaves them, by study and outcome."""
    p, n = rows.shape[2] - 1, 0
    for i in range(rows.shape[0]):
        for o in range(2):
            for c in range(p + 1):
                rows[i, o, c] = work[2 + c if c < p else 1, n] if present[i, o] else 0.0
            n += 1 if present[i, o] else 0


@kernel
def _fit_all(
    y: FloatArray,
    s: FloatArray,
    starts: FloatArray,
    uncorrelated: FloatArray,
    restricted: bool,
    found: FloatArray,
    covariance: FloatArray,
    counts: IntArray,
    status: IntArray,
) -> None:
    """Fill `found` (replicate, 6): means, t11, t12, t22, log-likelihood."""
    longest = y.shape[1]
    data, work, triangle = np.empty((4, 2 * longest)), np.empty((4, 2 * longest)), np.empty((2, 3))
    rows, present = np.empty((longest, 2, 3)), np.empty((longest, 2), dtype=np.bool_)
    own, own_det, spread, smallest = np.empty((longest, 2, 2)), np.empty((longest, 2, 2)), np.empty(2), np.empty(2)
    x, active, nothing = np.empty(3), np.ones(3, dtype=np.bool_), np.empty(0)
    rotated, moved, back = np.empty((2, 2)), np.empty(2), np.empty((2, 2))
    for replicate in range(y.shape[0]):
        n, k = 0, 0
        for i in range(longest):
            for o in range(2):
                present[k, o] = y[replicate, i, o] == y[replicate, i, o]
                if present[k, o]:
                    if not s[replicate, i, o, o] > 0.0:
                        status[replicate] = ZERO_VARIANCE
                    data[0, n], data[1, n], data[2, n], data[3, n] = y[replicate, i, o], 1.0, 1.0 - o, float(o)
                    counts[replicate, o] += 1
                    n += 1
            for o in range(2):
                for q in range(2):
                    own[k, o, q] = s[replicate, i, o, q] if present[k, o] and present[k, q] else 0.0
                    own_det[k, o, q] = own[k, o, q]
            counts[replicate, 2] += 1 if present[k, 0] and present[k, 1] else 0
            k += 1 if present[k, 0] or present[k, 1] else 0
        if min(counts[replicate, 0], counts[replicate, 1]) < 2:
            status[replicate] = TOO_FEW_STUDIES
        if status[replicate] != 0:
            continue
        work[0, :n] = 1.0
        project(data, n, work, triangle)
        lay_out(work, present[:k], rows[:k])
        spreads(rows[:k], present[:k], own, spread, smallest)
        active[1] = counts[replicate, 2] > 0
        begun = starts if active[1] else uncorrelated
        height, converged = highest(
            rows[:k], present[:k], own[:k], own_det[:k],
            begun, spread, smallest, x, active, nothing, nothing, restricted, rotated, moved,
        )  # fmt: skip
        if not converged:
            status[replicate] = NOT_CONVERGED
            continue
        to_columns(triangle, rotated, moved, back, found[replicate, :2], covariance[replicate])
        found[replicate, 2], found[replicate, 3], found[replicate, 4] = x[0] * x[0], x[0] * x[1], x[1] * x[1] + x[2] * x[2]
        found[replicate, 5] = height - 0.5 * LOG_2PI * (n - 2 if restricted else n)
