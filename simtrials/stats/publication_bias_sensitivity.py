"""How much publication bias it takes: estimates under a given preference for affirmative studies, and the preference that explains a result away.

A study is affirmative when it is significant in the direction of benefit. If affirmative studies are eta times as likely to be published as others,
weighting the others eta times more undoes the selection, whatever the distribution of true effects; in the worst case only the others are left.
Weights are eta / (v + tau^2), with tau^2 estimated from all studies without correction; errors are robust (CR2), with Satterthwaite's degrees
of freedom.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.study_arrays import Alternative, checked_level, flat_studies, in_shape, sign_of
from simtrials.stats.tau2 import Tau2Method, tau2_of

LARGEST_RATIO = 1e6
RATIOS_LOOKED_AT = np.geomspace(1.0, LARGEST_RATIO, 29)
HALVINGS = 45


@readable
class WorstCase(NamedTuple):
    """Meta-analysis of the nonaffirmative studies alone, in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of 0"""
    df: FloatArray
    """Satterthwaite's; infinite (normal quantiles) with a single nonaffirmative study"""
    tau2: FloatArray
    """of all studies, without correction"""
    n_affirmative: IntArray
    n_nonaffirmative: IntArray
    status: IntArray
    """`MetaStatus`"""


@readable
class PublicationBiasSensitivity(NamedTuple):
    """Corrected meta-analysis, in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of 0"""
    df: FloatArray
    s_value: FloatArray
    """selection ratio that moves the estimate to the threshold: 1 where it is there without any, infinite where no ratio is enough"""
    s_value_limit: FloatArray
    """the same for the limit of the interval on the side of 0; infinite beyond a million"""
    tau2: FloatArray
    """of all studies, without correction"""
    n_affirmative: IntArray
    n_nonaffirmative: IntArray
    status: IntArray
    """`MetaStatus`"""


class _Split(NamedTuple):
    """Studies (replicate, study) with signs such that benefit is positive; weights are 0 where a study is absent or cannot be used."""

    y: FloatArray
    v: FloatArray
    w: FloatArray
    affirmative: BoolArray
    tau2: FloatArray
    n_affirmative: IntArray
    n_nonaffirmative: IntArray
    status: IntArray


def worst_case(
    yi: ArrayLike, vi: ArrayLike, alternative: Alternative = "greater", *, alpha: float = 0.05, level: float = 0.95, tau2: Tau2Method = "REML"
) -> WorstCase:
    """Mean effect under the worst publication bias, in which affirmative studies say nothing: the mean of the others.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent
    alternative : "greater" where benefit is positive, "less" where it is negative
    alpha : two-sided level at which a study is significant
    level : of the interval
    tau2 : estimator of the between-study variance of all studies, used for the weights

    Returns
    -------
    WorstCase; NO_NONAFFIRMATIVE_STUDY, ZERO_VARIANCE, TOO_FEW_STUDIES below 2 studies in all

    Source: Mathur and VanderWeele (2020), JRSS C 69, 1091-1119, section 3; as in R's PublicationBias. CR2: Tipton (2015), Psychological Methods
    20, 375-393, with the sampling variances as working model.
    """
    shape, split = _split(yi, vi, alternative, alpha, tau2)
    nobody = (split.status == MetaStatus.OK) & (split.n_nonaffirmative == 0)
    status = np.where(nobody, int(MetaStatus.NO_NONAFFIRMATIVE_STUDY), split.status)
    estimate, std_error, df = _robust(split.y, split.v, np.where(split.affirmative, 0.0, split.w))
    single = split.n_nonaffirmative == 1
    own = np.where(split.affirmative, 0.0, split.v).sum(axis=1)
    std_error, df = np.where(single, np.sqrt(own), std_error), np.where(single, np.inf, df)
    numbers = _interval(sign_of(alternative), estimate, std_error, df, checked_level(level))
    known = status == MetaStatus.OK
    columns = [np.where(known, number, np.nan) for number in (*numbers, df, split.tau2)]
    return WorstCase._make(in_shape(column, shape) for column in (*columns, split.n_affirmative, split.n_nonaffirmative, status))


def publication_bias_sensitivity(
    yi: ArrayLike,
    vi: ArrayLike,
    selection_ratio: float,
    alternative: Alternative = "greater",
    *,
    threshold: float = 0.0,
    alpha: float = 0.05,
    level: float = 0.95,
    tau2: Tau2Method = "REML",
) -> PublicationBiasSensitivity:
    """Mean effect if affirmative studies are `selection_ratio` times as likely to be published, and the ratios that would explain it away.

    Parameters
    ----------
    yi, vi, alternative, alpha, level, tau2 : as for `worst_case`
    selection_ratio : chance of publication of an affirmative study over that of another, at least 1; 1 is no bias
    threshold : value to which the estimate and its limit are to be moved by the S-values, on the scale of the effects

    Returns
    -------
    PublicationBiasSensitivity; ZERO_VARIANCE, TOO_FEW_STUDIES below 2 studies. Where all studies are of one kind no ratio changes anything.

    Source: Mathur and VanderWeele (2020), JRSS C 69, 1091-1119, sections 3 and 4; as in R's PublicationBias (model robust, no clusters).
    """
    if not 1.0 <= selection_ratio < np.inf:
        raise ValueError(f"selection_ratio: must be at least 1 and finite, got {selection_ratio}")
    sign, level = sign_of(alternative), checked_level(level)
    shape, split = _split(yi, vi, alternative, alpha, tau2)
    estimate, std_error, df = _corrected(split, np.full(len(split.y), float(selection_ratio)))
    numbers = _interval(sign, estimate, std_error, df, level)
    known = split.status == MetaStatus.OK
    s_values = _s_value(split, sign * threshold), _s_value_of_limit(split, sign * threshold, level)
    columns = [np.where(known, number, np.nan) for number in (*numbers, df, *s_values, split.tau2)]
    return PublicationBiasSensitivity._make(
        in_shape(column, shape) for column in (*columns, split.n_affirmative, split.n_nonaffirmative, split.status)
    )


def _split(yi: ArrayLike, vi: ArrayLike, alternative: Alternative, alpha: float, method: Tau2Method) -> tuple[tuple[int, ...], _Split]:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must lie between 0 and 1, got {alpha}")
    shape, (y, v) = flat_studies(yi, vi)
    y = sign_of(alternative) * y
    fit = tau2_of(Studies.of(y, v), method)
    present = ~np.isnan(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        affirmative = present & (y > -ndtri(alpha / 2) * np.sqrt(v))
        w = np.where(present, 1 / (v + fit.estimate[:, np.newaxis]), 0.0)
    counts = affirmative.sum(axis=1), (present & ~affirmative).sum(axis=1)
    return shape, _Split(np.where(present, y, 0.0), np.where(present, v, 0.0), w, affirmative, fit.estimate, *counts, fit.status)


def _corrected(split: _Split, ratio: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`_robust` with nonaffirmative studies weighted up by `ratio` (replicate,)."""
    return _robust(split.y, split.v, np.where(split.affirmative, 1.0, ratio[:, np.newaxis]) * split.w)


def _robust(y: FloatArray, v: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted mean, its CR2 standard error with every study its own cluster, and Satterthwaite's degrees of freedom, (replicate,) each.

    With h = w / sum w and S = sum h^2 v, residuals have covariances (v_i if i = j) + S - h_i v_i - h_j v_j; CR2 multiplies residual i by
    sqrt(v_i / its variance). The degrees of freedom are 2 E^2 / Var of the sum of the squares of the terms a_i e_i.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        h = w / w.sum(axis=1, keepdims=True)
        estimate = (h * y).sum(axis=1)
        p = h * v
        common = (h * p).sum(axis=1)
        variances = np.where(h > 0, v - 2 * p + common[:, np.newaxis], 1.0)
        a2 = h * h * v / variances
        squares = (a2 * (y - estimate[:, np.newaxis]) ** 2).sum(axis=1)
        all_a2, a2_p, a2_p2 = a2.sum(axis=1), (a2 * p).sum(axis=1), (a2 * p * p).sum(axis=1)
        off = common**2 * all_a2**2 + 2 * a2_p2 * all_a2 + 2 * a2_p**2 - 4 * common * a2_p * all_a2
        own = (a2**2 * (variances**2 - np.where(h > 0, common[:, np.newaxis] - 2 * p, 0.0) ** 2)).sum(axis=1)
        return estimate, np.sqrt(squares), (a2 * variances).sum(axis=1) ** 2 / (off + own)


def _interval(sign: float, estimate: FloatArray, std_error: FloatArray, df: FloatArray, level: float) -> tuple[FloatArray, ...]:
    """Estimate, standard error, limits and p-value on the scale of the effects."""
    margin = np.where(np.isinf(df), normal_critical(1 - level), t_critical(df, 1 - level)) * std_error
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = estimate / std_error
    p_value = np.where(np.isinf(df), normal_p_value(statistic), t_p_value(statistic, df))
    return sign * estimate, std_error, sign * estimate - margin, sign * estimate + margin, p_value


def _s_value(split: _Split, threshold: float) -> FloatArray:
    """Ratio at which (ratio * sum of nonaffirmative + sum of affirmative) of w (y - threshold) is 0."""
    terms = split.w * (split.y - threshold)
    for_it, against = np.where(split.affirmative, terms, 0.0).sum(axis=1), np.where(split.affirmative, 0.0, terms).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(for_it + against <= 0, 1.0, np.where(against >= 0, np.inf, -for_it / against))


def _s_value_of_limit(split: _Split, threshold: float, level: float) -> FloatArray:
    """Smallest ratio at which the lower limit comes down to the threshold: looked for in steps, then by halving on the scale of logarithms."""
    found, open_ = np.full(len(split.y), np.inf), np.flatnonzero(split.status == MetaStatus.OK)
    low, high = np.ones(len(split.y)), np.full(len(split.y), np.nan)
    for ratio in RATIOS_LOOKED_AT:
        below = _limit(split, open_, np.full(open_.size, ratio), level) <= threshold
        high[open_[below]] = ratio
        found[open_[below]] = ratio
        open_ = open_[~below]
        low[open_] = ratio
    at = np.flatnonzero(np.isfinite(found) & (found > 1.0))
    for _ in range(HALVINGS):
        middle = np.sqrt(low[at] * high[at])
        below = _limit(split, at, middle, level) <= threshold
        high[at], low[at] = np.where(below, middle, high[at]), np.where(below, low[at], middle)
    found[at] = high[at]
    return found


def _limit(split: _Split, rows: IntArray, ratio: FloatArray, level: float) -> FloatArray:
    """Lower limit in some replicates."""
    of_studies = split.y[rows], split.v[rows], split.w[rows], split.affirmative[rows]
    part = split._replace(y=of_studies[0], v=of_studies[1], w=of_studies[2], affirmative=of_studies[3])
    estimate, std_error, df = _corrected(part, ratio)
    return np.asarray(estimate - t_critical(df, 1 - level) * std_error)
