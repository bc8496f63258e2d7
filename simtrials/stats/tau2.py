"""The variance of true effects between studies, tau2, by all common estimators, for many meta-analyses at once.

Estimators by moments (DL, HE, HS, HSk, SJ, GENQ) are closed forms, cut at 0. PM, its median version PMM and EB, which has the same root as PM,
solve Q(tau2) = target: 1 / Q is concave and increasing, so that Newton's steps from 0 approach the root from below without a bracket. ML and
REML look for every maximum of the likelihood between 0 and a bound above which it can only fall, and keep the highest one or 0. Nothing
depends on starting values or step sizes.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel
from simtrials.stats.meta_kernels import (
    COLLINEAR,
    COLLINEAR_BELOW,
    RSS,
    SUM_W,
    SUM_W2,
    TRACE_P,
    TRACE_PP,
    YPPPY,
    YPPY,
    evaluate,
    gather,
    log_likelihood,
    project,
    score_sums,
    weigh,
    why_not,
)
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies

Tau2Method = Literal["DL", "HE", "HS", "HSk", "SJ", "GENQ", "PM", "PMM", "EB", "ML", "REML"]
MOMENTS: tuple[Tau2Method, ...] = ("DL", "HE", "HS", "HSk", "SJ", "GENQ")
ROOTS: tuple[Tau2Method, ...] = ("PM", "PMM", "EB")
DL, HE, HS, HSK, SJ, GENQ = range(6)

NOT_CONVERGED = int(MetaStatus.NOT_CONVERGED)
CELL = 0.5
"""Width of the cells in ln(smallest variance + tau2) in which the slope of the likelihood is looked at; its bends are about 1 wide or wider."""

LAST_STEP = 100
CONVERGED = 1e-10
"""Relative step after which a Newton iteration, whose error is squared by every step, has the root to rounding."""

NARROW = 1e-15
"""Relative width at which a bracket cannot be halved any more."""


@readable
class Tau2(NamedTuple):
    """Between-study variances, (replicate,) each, in squared units of the effect."""

    estimate: FloatArray
    """NaN unless `status` is OK; never negative"""
    std_error: FloatArray
    """large-sample standard error of the estimator"""
    status: IntArray
    """`MetaStatus`; NOT_CONVERGED comes with the last value"""


def between_study_variance(
    yi: ArrayLike,
    vi: ArrayLike,
    method: Tau2Method = "REML",
    design: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    present: ArrayLike | None = None,
) -> Tau2:
    """Between-study variance tau2 around a common mean, or around a regression on the columns of `design`.

    Parameters
    ----------
    yi, vi : (replicate, study) effects and their sampling variances; a study is absent where either is NaN, or the variance is infinite
    method : "DL" DerSimonian and Laird (1986), "HE" Hedges (1983), "HS" Hunter and Schmidt (1990), "HSk" the same with Brannick et al.'s (2019)
        correction for small k, "SJ" Sidik and Jonkman (2005), "GENQ" DerSimonian and Kacker (2007) with `weights`, "PM" Paule and Mandel (1982),
        "PMM" its median-unbiased version (Viechtbauer 2021), "EB" Morris (1983), "ML" and "REML" the global maximum of the (restricted) likelihood
    design : (study, coefficient) or (replicate, study, coefficient) with its column of ones; default: that column alone
    weights : (study,) or (replicate, study), positive, for "GENQ" only
    present : (replicate, study) bool, further studies to leave out

    Returns
    -------
    Tau2; TOO_FEW_STUDIES with no more studies than coefficients, ZERO_VARIANCE where a variance is not positive, COLLINEAR

    Source: Viechtbauer (2005), Journal of Educational and Behavioral Statistics 30, 261-293; Veroniki et al. (2016), Research Synthesis
    Methods 7, 55-79; standard errors as in R's metafor::rma.uni.
    """
    return tau2_of(Studies.of(yi, vi, design, weights, present), method)


def tau2_of(studies: Studies, method: Tau2Method) -> Tau2:
    """`between_study_variance` of arrays that are already prepared."""
    if method not in get_args(Tau2Method):
        raise ValueError(f"tau2: no estimator called {method!r}{did_you_mean(method, get_args(Tau2Method))}")
    if (method == "GENQ") != (studies.weights is not None):
        raise ValueError("tau2: weights are given with the estimator GENQ and with no other")
    n_replicates = len(studies.y)
    found = np.full((2, n_replicates), np.nan)
    status = np.zeros(n_replicates, dtype=np.int64)
    y, v, x = studies.y, studies.v, studies.x
    if method in MOMENTS:
        _moment_estimates(y, v, x, studies.own_weights, MOMENTS.index(method), found, status)
    elif method in ROOTS:
        targets = targets_of_q(studies.y.shape[1], x.shape[1], 0.5 if method == "PMM" else None)
        _root_estimates(y, v, x, targets, found, status)
    else:
        _likelihood_estimates(y, v, x, method == "REML", found, status)
    return Tau2(found[0], found[1], status)


def targets_of_q(n_studies: int, n_coefficients: int, probability: float | None) -> FloatArray:
    """Quantiles of chi-squared, or its means where `probability` is None, by number of studies from 0 on."""
    df = np.maximum(np.arange(n_studies + 1) - n_coefficients, 1).astype(np.float64)
    return df if probability is None else np.asarray(2 * gammaincinv(df / 2, probability))


@kernel
def _traces_with_variances(data: FloatArray, k: int, work: FloatArray, n_coefficients: int) -> tuple[float, float, float]:
    """tr PV, tr PVP and tr PVPV."""
    w = work[0]
    first, second, third = 0.0, 0.0, 0.0
    for s in range(k):
        leverage = 0.0
        for c in range(n_coefficients):
            leverage += w[s] * work[2 + c, s] * work[2 + c, s]
        wv = w[s] * data[1, s]
        first += wv * (1.0 - leverage)
        second += w[s] * wv * (1.0 - 2.0 * leverage)
        third += wv * wv * (1.0 - 2.0 * leverage)
    for c in range(n_coefficients):
        for b in range(n_coefficients):
            plain, weighted = 0.0, 0.0
            for s in range(k):
                cross = w[s] * w[s] * work[2 + c, s] * work[2 + b, s]
                plain += cross
                weighted += cross * data[1, s]
            second += plain * weighted
            third += weighted * weighted
    return first, second, third


@kernel
def _variance_of_effects(data: FloatArray, k: int) -> float:
    """Of the effects themselves, with divisor k."""
    mean, squares = 0.0, 0.0
    for s in range(k):
        mean += data[0, s] / k
    for s in range(k):
        squares += (data[0, s] - mean) ** 2
    return squares / k


@kernel
def _moment_estimates(y: FloatArray, v: FloatArray, x: FloatArray, own: FloatArray, method: int, found: FloatArray, status: IntArray) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        status[replicate] = why_not(k, n_coefficients)
        if status[replicate] != 0:
            continue
        df = k - n_coefficients
        start = _variance_of_effects(data, k) if method == SJ else 0.0
        place = 0
        for s in range(y.shape[1]):  # `own` has the places of y, with the absent among them
            if y[replicate, s] == y[replicate, s]:
                if method == HE:
                    work[0, place] = 1.0
                elif method == GENQ:
                    work[0, place] = own[replicate if own.shape[0] > 1 else 0, s]
                else:
                    work[0, place] = 1.0 / (data[1, place] + start)
                place += 1
        if not project(data, k, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        score_sums(k, work, triangle, sums)
        rss, trace, trace2 = sums[RSS], sums[TRACE_P], sums[TRACE_PP]
        with_v, with_v2, with_vv = _traces_with_variances(data, k, work, n_coefficients)
        if method == HS:
            divisor, estimate = sums[SUM_W], (rss - k) / sums[SUM_W]
        elif method == HSK:
            divisor, estimate = sums[SUM_W] * df / k, (rss * k / df - k) / sums[SUM_W]
        elif method == SJ:
            divisor, estimate = df / start if start > 0.0 else np.inf, start * rss / df
        else:
            divisor, estimate = trace, (rss - with_v) / trace
        estimate = max(0.0, estimate)
        found[0, replicate] = estimate
        found[1, replicate] = np.sqrt(2.0 * with_vv + 4.0 * estimate * with_v2 + 2.0 * estimate * estimate * trace2) / divisor


@kernel
def root_of_q(data: FloatArray, k: int, target: float, work: FloatArray, triangle: FloatArray, sums: FloatArray) -> tuple[float, bool]:
    """The tau2 at which y'Py falls to `target`, 0 where it starts below, and whether the search came to its end; sums are those at the end.

    1 / y'Py is concave (y'Py = sum c^2 / (lambda + tau2) is a Stieltjes function), so that Newton's steps never pass the root.
    """
    smallest = np.inf
    for s in range(k):
        smallest = min(smallest, data[1, s])
    tau2 = 0.0
    for _ in range(LAST_STEP):
        evaluate(data, k, tau2, work, triangle, sums)
        if not sums[RSS] > target:
            return tau2, True
        step = sums[RSS] * (sums[RSS] / target - 1.0) / sums[YPPY]
        tau2 += step
        if step <= CONVERGED * (tau2 + smallest):
            evaluate(data, k, tau2, work, triangle, sums)
            return tau2, True
    return tau2, False


@kernel
def _root_estimates(y: FloatArray, v: FloatArray, x: FloatArray, targets: FloatArray, found: FloatArray, status: IntArray) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        status[replicate] = why_not(k, n_coefficients)
        if status[replicate] != 0:
            continue
        if not weigh(data, k, 0.0, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        estimate, converged = root_of_q(data, k, targets[k], work, triangle, sums)
        if not converged:
            status[replicate] = NOT_CONVERGED
        found[0, replicate] = estimate
        found[1, replicate] = np.sqrt(2.0 / (k - n_coefficients)) * k / sums[SUM_W]


@kernel
def slope(data: FloatArray, k: int, tau2: float, restricted: bool, work: FloatArray, triangle: FloatArray, sums: FloatArray) -> float:
    """Twice the derivative of the (restricted) log-likelihood by tau2; the sums at tau2 are left in `sums`."""
    evaluate(data, k, tau2, work, triangle, sums)
    return float(sums[YPPY] - (sums[TRACE_P] if restricted else sums[SUM_W]))


@kernel
def last_tau2(data: FloatArray, k: int, squares: float, df: int) -> float:
    """A tau2 above which the likelihood can only fall, given the residual sum of squares without weights.

    y'PPy <= squares / (smallest v + t)^2 and tr P >= df / (largest v + t); the bound is where these meet.
    """
    low, high = np.inf, 0.0
    for s in range(k):
        low, high = min(low, data[1, s]), max(high, data[1, s])
    ratio = squares / df
    return float(max(0.0, 0.5 * (ratio + np.sqrt(ratio * (ratio + 4.0 * (high - low)))) - low))


@kernel
def top_between(
    data: FloatArray, k: int, left: float, right: float, restricted: bool, work: FloatArray, triangle: FloatArray, sums: FloatArray
) -> tuple[float, bool]:
    """The maximum of the likelihood between a point where it rises and one where it falls; whether the search came to its end.

    Newton's method on (smallest v + t)^2 times the slope, which is a straight line when all variances are equal, with halving as a guard.
    """
    smallest = np.inf
    for s in range(k):
        smallest = min(smallest, data[1, s])
    point = 0.5 * (left + right)
    for _ in range(LAST_STEP):
        rise = slope(data, k, point, restricted, work, triangle, sums)
        if rise > 0.0:
            left = point
        else:
            right = point
        bend = (sums[TRACE_PP] if restricted else sums[SUM_W2]) - 2.0 * sums[YPPPY] + 2.0 * rise / (smallest + point)
        step = -rise / bend if bend < 0.0 else np.inf
        if abs(step) <= CONVERGED * (smallest + point):
            return min(max(point + step, left), right), True
        point += step
        if not left < point < right:
            point = 0.5 * (left + right)
            if right - left <= NARROW * (smallest + right):
                return point, True
    return point, False


@kernel
def highest_tau2(
    data: FloatArray, k: int, restricted: bool, bound: float, work: FloatArray, triangle: FloatArray, sums: FloatArray
) -> tuple[float, bool]:
    """The tau2 >= 0 at which the (restricted) likelihood is highest, and whether every search came to its end.

    The slope is looked at on a grid up to `bound`; each cell in which it turns from rise to fall holds a maximum. With more than one candidate,
    0 among them where the likelihood falls from there, the likelihoods decide.
    """
    smallest = np.inf
    for s in range(k):
        smallest = min(smallest, data[1, s])
    width = np.log1p(bound / smallest)
    n_cells = int(np.ceil(width / CELL))
    left = 0.0
    rising = slope(data, k, 0.0, restricted, work, triangle, sums) > 0.0
    best, highest, converged = 0.0, -np.inf, True
    n_candidates = 0
    if not rising:
        n_candidates = 1
        if n_cells > 0:
            highest = log_likelihood(k, work, triangle, restricted)
    for cell in range(1, n_cells + 1):
        right = smallest * np.expm1(width * cell / n_cells) if cell < n_cells else bound
        rises = slope(data, k, right, restricted, work, triangle, sums) > 0.0 if cell < n_cells else False
        if rising and not rises:
            candidate, ended = top_between(data, k, left, right, restricted, work, triangle, sums)
            converged = converged and ended
            n_candidates += 1
            if n_candidates == 1:
                best = candidate
            else:
                if highest == -np.inf:
                    evaluate(data, k, best, work, triangle, sums)
                    highest = log_likelihood(k, work, triangle, restricted)
                evaluate(data, k, candidate, work, triangle, sums)
                height = log_likelihood(k, work, triangle, restricted)
                if height > highest:
                    best, highest = candidate, height
        left, rising = right, rises
    return best, converged


@kernel
def _likelihood_estimates(y: FloatArray, v: FloatArray, x: FloatArray, restricted: bool, found: FloatArray, status: IntArray) -> None:
    n_coefficients = x.shape[1]
    data = np.empty((2 + n_coefficients, y.shape[1]))
    work, triangle, sums = np.empty_like(data), np.empty((n_coefficients, n_coefficients + 1)), np.empty(8)
    for replicate in range(y.shape[0]):
        k = gather(y, v, x, replicate, data)
        status[replicate] = why_not(k, n_coefficients)
        if status[replicate] != 0:
            continue
        work[0, :k] = 1.0
        if not project(data, k, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        squares = 0.0
        for s in range(k):
            squares += work[1, s] * work[1, s]
        bound = last_tau2(data, k, squares, k - n_coefficients)
        estimate, converged = highest_tau2(data, k, restricted, bound, work, triangle, sums)
        if not converged:
            status[replicate] = NOT_CONVERGED
        slope(data, k, estimate, restricted, work, triangle, sums)
        found[0, replicate] = estimate
        found[1, replicate] = np.sqrt(2.0 / (sums[TRACE_PP] if restricted else sums[SUM_W2]))
