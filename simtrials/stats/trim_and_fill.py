"""Trim and fill: how many studies are missing on one side of the funnel, and the pooled effect with their mirror images filled in."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_analysis import CI_RULES, TAU2_METHODS, CiRule, Tau2Choice, meta_analysis
from simtrials.stats.meta_shapes import checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import pool
from simtrials.stats.shown import readable
from simtrials.stats.small_study import with_predictor
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import tau2_of

Estimator = Literal["L0", "R0", "Q0"]
Side = Literal["left", "right", "auto"]
ESTIMATORS: tuple[Estimator, ...] = ("L0", "R0", "Q0")
L0, R0 = 0, 1
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Share of the largest effect within which an effect lies on the center."""


@readable
class TrimAndFill(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where something cannot be estimated."""

    estimate: FloatArray
    """pooled over studies and filled studies"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of an effect of 0"""
    df: FloatArray
    tau2: FloatArray
    i2: FloatArray
    n_filled: FloatArray
    """estimated number of missing studies"""
    n_filled_std_error: FloatArray
    n_filled_p_value: FloatArray
    """one-sided test of no missing studies, with "R0" only"""
    fills_right: BoolArray
    """whether studies are missing, and are filled in, on the right side, where effects are large"""
    n_studies: IntArray
    """observed"""
    status: IntArray
    """`MetaStatus`: NOT_CONVERGED where the number of missing studies goes round in a circle or cannot be computed (Q0 with a very asymmetrical
    funnel), COLLINEAR where the side is to be found and all variances are equal, else as in `meta_analysis`"""


def trim_and_fill(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    estimator: Estimator = "L0",
    side: Side = "auto",
    tau2: Tau2Choice = "REML",
    ci: CiRule = "wald",
    level: float = 0.95,
) -> TrimAndFill:
    """Trim and fill of Duval and Tweedie, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    estimator : of the number of missing studies
    side : where studies are missing; "auto" is the side opposite to the small studies, by the sign of the slope of a meta-regression on the
        standard errors with the same `tau2`, so that the side can depend on it
    tau2, ci, level : of the center and of the filled meta-analysis, as for `meta_analysis`

    Returns
    -------
    TrimAndFill; equal effects are trimmed in the order of the studies

    Source: Duval and Tweedie (2000a), JASA 95, 89-98 (estimators, standard errors); (2000b), Biometrics 56, 455-463 (algorithm); test of R0:
    Duval (2005) in Rothstein, Sutton and Borenstein, chapter 8; with the choices of R's metafor::trimfill.
    """
    evidence = evidence_of(yi, vi, "trim_and_fill")
    checked_word("trim_and_fill", "estimator", estimator, Estimator)
    checked_word("trim_and_fill", "side", side, Side)
    checked_word("trim_and_fill", "tau2", tau2, tuple(word for word in TAU2_METHODS if word != "GENQ"))
    checked_word("trim_and_fill", "ci", ci, CI_RULES)
    checked_share("trim_and_fill", "level", level)
    y, v = evidence.y, evidence.v
    found = np.zeros(len(y), dtype=np.int64)
    to_right = np.full(len(y), side == "right")
    if side == "auto":
        slope, found = _slope(with_predictor(evidence, evidence.std_error), tau2)
        to_right = slope < 0
    signed = np.where(to_right[:, np.newaxis], -y, y)
    order = np.argsort(signed, axis=-1, kind="stable")
    signed, sorted_v = np.take_along_axis(signed, order, axis=-1), np.take_along_axis(v, order, axis=-1)
    missing = _missing(signed, sorted_v, ESTIMATORS.index(estimator), tau2)
    filled = 2 * missing.center[:, np.newaxis] - signed
    filled = np.where(to_right[:, np.newaxis], -filled, filled)
    k = (~np.isnan(y)).sum(axis=-1)
    place = np.arange(y.shape[1])
    within = (place >= (k - missing.number)[:, np.newaxis]) & (place < k[:, np.newaxis])
    all_y = np.concatenate([y, np.where(within, filled, np.nan)], axis=-1)
    all_v = np.concatenate([v, np.where(within, sorted_v, np.nan)], axis=-1)
    known = missing.settled & (found == MetaStatus.OK)
    result = meta_analysis(all_y, np.where(all_v < 0, 0.0, all_v), tau2=tau2, ci=ci, level=level, tau2_ci="none")
    impossible = ~np.isin(result.status, (int(MetaStatus.OK), int(MetaStatus.NOT_CONVERGED), int(MetaStatus.SINGLE_STUDY)))
    failed = np.where(found != MetaStatus.OK, found, int(MetaStatus.NOT_CONVERGED))
    status = np.where(known | impossible, result.status, failed)
    pooled = result.estimate, result.std_error, result.lower, result.upper, result.p_value, result.df, result.tau2, result.i2
    number = missing.number.astype(np.float64)
    p_value = 0.5 ** (number + 1) if estimator == "R0" else np.full(len(y), np.nan)
    shown = known & ~impossible
    columns = [np.where(shown, column, np.nan) for column in (*pooled, number, missing.std_error, p_value)]
    return TrimAndFill(*(shaped(column, evidence.shape) for column in (*columns, to_right, k, status)))


def _slope(studies: Studies, tau2: Tau2Choice) -> tuple[FloatArray, IntArray]:
    """Of effects on standard errors, and why there is none, (replicate,) each; two studies have a slope without a variance between them."""
    between = np.zeros(len(studies.y))
    if tau2 != "common":
        estimate = tau2_of(studies, tau2).estimate
        between = np.where(np.isnan(estimate), 0.0, estimate)
    pooled = pool(studies, between)
    alone = pooled.n_studies < 2  # the side does not matter, nothing is trimmed
    status = np.where(alone, int(MetaStatus.OK), pooled.status)
    return np.where(alone, 0.0, pooled.coefficients[:, 1]), status


class _Missing(NamedTuple):
    number: IntArray
    """(replicate,) of missing studies"""
    std_error: FloatArray
    center: FloatArray
    """(replicate,) mean of the studies that are left after trimming"""
    settled: BoolArray


def _missing(y: FloatArray, v: FloatArray, estimator: int, tau2: Tau2Choice) -> _Missing:
    """Trim and estimate in turn until the number of missing studies stays.

    The next number depends on the last one alone, so that more rounds than studies can only mean a circle. Studies are sorted, (replicate, study).
    """
    n_replicates, n_studies = y.shape
    k = (~np.isnan(y)).sum(axis=-1)
    number = np.zeros(n_replicates, dtype=np.int64)
    std_error, center = np.full(n_replicates, np.nan), np.full(n_replicates, np.nan)
    settled = np.zeros(n_replicates, dtype=bool)
    moving = np.flatnonzero(k > 0)
    for _ in range(n_studies + 1):
        if len(moving) == 0:
            break
        kept = np.arange(n_studies) < (k - number)[moving][:, np.newaxis]
        center[moving] = _center(Studies.of(np.where(kept, y[moving], np.nan), v[moving]), tau2)
        raw, error = np.full((2, len(moving)), np.nan)
        _estimated(y[moving], center[moving], k[moving], estimator, raw, error)
        with np.errstate(invalid="ignore"):
            following = np.where(np.isnan(raw), -1, np.maximum(np.round(raw), 0)).astype(np.int64)
        std_error[moving] = error
        same = following == number[moving]
        settled[moving[same]] = True
        moving, following = moving[~same & (following >= 0)], following[~same & (following >= 0)]
        number[moving] = following
    return _Missing(number, std_error, center, settled)


def _center(studies: Studies, tau2: Tau2Choice) -> FloatArray:
    between = np.zeros(len(studies.y))
    if tau2 != "common":
        estimate = tau2_of(studies, tau2).estimate
        between = np.where(np.isnan(estimate), 0.0, estimate)
    return pool(studies, between).coefficients[:, 0]


@kernel
def _estimated(y: FloatArray, center: FloatArray, k: IntArray, estimator: int, raw: FloatArray, std_error: FloatArray) -> None:
    """Number of missing studies, not yet rounded, and its standard error."""
    for replicate in range(y.shape[0]):
        n = k[replicate]
        if np.isnan(center[replicate]):
            continue
        largest = 0.0
        for s in range(n):
            largest = max(largest, abs(y[replicate, s]))
        distance = y[replicate, :n] - center[replicate]
        for s in range(n):
            if abs(distance[s]) <= ROUNDING * largest:
                distance[s] = 0.0
        order = np.argsort(np.abs(distance), kind="mergesort")
        ranks, last = 0, 0
        for place in range(n):
            if distance[order[place]] > 0.0:
                ranks += place + 1
            else:
                last = place + 1
        if estimator == R0:
            missing = n - last - 1.0
            raw[replicate], std_error[replicate] = missing, np.sqrt(2.0 * max(0.0, missing) + 2.0)
            continue
        linear, root_of_quadratic = (4.0 * ranks - n * (n + 1.0)) / (2.0 * n - 1.0), n - 0.5 - np.sqrt(2.0 * n * n - 4.0 * ranks + 0.25)
        m = linear if estimator == L0 else root_of_quadratic
        cubic = 10.0 * m**3 + 27.0 * m**2 + 17.0 * m - 18.0 * n * m**2 - 18.0 * n * m + 6.0 * n * n * m
        root = np.sqrt((n * (n + 1.0) * (2.0 * n + 1.0) + cubic) / 24.0)
        raw[replicate] = m
        if estimator == L0:
            std_error[replicate] = 4.0 * root / (2.0 * n - 1.0)
        else:
            std_error[replicate] = 2.0 * root / np.sqrt((n - 0.5) ** 2 - m * (2.0 * n - m - 1.0))
