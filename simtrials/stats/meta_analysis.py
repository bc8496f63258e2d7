"""Meta-analysis of one body of evidence or of many at once: pooled effect, its interval, heterogeneity, prediction; and meta-regression.

What is computed where: `tau2`, `pooling`, `intervals`, `intervals_likelihood`, `tau2_intervals`, `heterogeneity`.
"""

from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.stats.heterogeneity import chi2_p_value, heterogeneity, i2_of
from simtrials.stats.intervals import Interval, MarginRule, PredictionRule, chosen, interval_with_margin, prediction_interval
from simtrials.stats.intervals_likelihood import henmi_copas_limits, profile_likelihood_limits
from simtrials.stats.meta_status import MetaStatus, called_here
from simtrials.stats.pooling import Pooled, pool
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import Tau2, Tau2Method, tau2_of
from simtrials.stats.tau2_intervals import profile_likelihood_interval, q_profile_of

CiRule = MarginRule | Literal["profile_likelihood", "henmi_copas"]
Tau2Choice = Tau2Method | Literal["common"]
Tau2Ci = Literal["q_profile", "profile_likelihood", "none"]
CI_RULES: tuple[str, ...] = (*get_args(MarginRule), "profile_likelihood", "henmi_copas")
TAU2_METHODS: tuple[str, ...] = (*get_args(Tau2Method), "common")
TAU2_OF_CI = {"profile_likelihood": "ML", "henmi_copas": "DL", "kenward_roger": "REML"}
"""intervals that are made for one estimator of tau2"""
UNKNOWN = (int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE), int(MetaStatus.COLLINEAR))


@readable
class MetaAnalysis(NamedTuple):
    """Results in the shape of the input without its last axis, numbers for one body of evidence; NaN where something cannot be estimated."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of an effect of 0"""
    df: FloatArray
    """of the t distribution behind the interval, infinite for a normal one"""
    tau2: FloatArray
    """variance of true effects between studies; 0 in the common-effect model"""
    tau2_std_error: FloatArray
    """large-sample standard error, NaN in the common-effect model"""
    tau2_lower: FloatArray
    tau2_upper: FloatArray
    i2: FloatArray
    """share of the variance of effects that is not sampling error, 0 to 1"""
    i2_lower: FloatArray
    """the limits of tau2 as shares"""
    i2_upper: FloatArray
    h2: FloatArray
    """total variance of effects over sampling variance"""
    q: FloatArray
    q_p_value: FloatArray
    prediction_lower: FloatArray
    """limits of the true effect in a new study"""
    prediction_upper: FloatArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def meta_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    tau2: Tau2Choice = "REML",
    ci: CiRule = "wald",
    level: float = 0.95,
    weights: ArrayLike | None = None,
    prediction: PredictionRule = "as_interval",
    tau2_ci: Tau2Ci = "q_profile",
) -> MetaAnalysis:
    """Pool the effects of studies, (k,) for one meta-analysis or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the between-study variance as in `between_study_variance`, or "common" for the common-effect model
    ci : rule of standard error, test and interval: a name of the table in `intervals`, "profile_likelihood" (with ML) or "henmi_copas" (with DL)
    level : of all intervals, between 0 and 1
    weights : (k,) or (..., k), weights of one's own in the mean (with "wald" and "t"); with "GENQ" those of the estimator of tau2 too
    prediction : rule of the prediction interval, a name of `intervals.prediction_interval`; the default is that of R's metafor
    tau2_ci : interval of tau2: "q_profile", "profile_likelihood" (of ML or REML), or "none", which saves a third of the time

    Returns
    -------
    MetaAnalysis; one study gives its own estimate, without heterogeneity (SINGLE_STUDY); studies that agree exactly give the rules of Hartung
    and Knapp a standard error of 0, which is returned and flagged (NO_VARIATION)

    Source: the modules named above.
    """
    _refuse_unknown_words(tau2, ci, level, prediction, tau2_ci, weights is not None)
    shape = _shape_of("meta_analysis", yi, vi)
    studies = Studies.of(_rows(yi, shape), _rows(vi, shape), weights=None if weights is None else _rows_of_weights(weights, shape))
    fit = _tau2(studies, tau2)
    pooled = pool(studies, fit.estimate)
    alone = (pooled.n_studies == 1) & (pooled.status == MetaStatus.OK)
    interval = _interval(studies, pooled, fit.estimate, ci, level)
    between = np.where(alone, np.nan, fit.estimate)
    low, high = _tau2_limits(studies, between, tau2, tau2_ci, level)
    varied = heterogeneity(pooled, None if tau2 == "common" else between)
    predicted = prediction_interval(pooled, between, interval, prediction, level)
    exact = (interval.scale == 0) & (pooled.df > 0)
    single, unvaried = np.where(alone, int(MetaStatus.SINGLE_STUDY), 0), np.where(exact, int(MetaStatus.NO_VARIATION), 0)
    status = _first_reason(single, pooled.status, fit.status, interval.status, unvaried)
    one = (interval.estimate, interval.std_error, interval.lower, interval.upper, interval.p_value)
    spread = between, fit.std_error, low, high, varied.i2, i2_of(low, pooled), i2_of(high, pooled), varied.h2, varied.q, varied.p_value
    columns = [*(column[:, 0] for column in one), interval.df, *spread, *predicted]
    known = ~np.isin(status, UNKNOWN)
    shown = [column if known.all() else np.where(known, column, np.nan) for column in columns]
    return MetaAnalysis(*(_shaped(column, shape) for column in (*shown, pooled.n_studies, status)))


def _refuse_unknown_words(tau2: str, ci: str, level: float, prediction: str, tau2_ci: str, weighted: bool) -> None:
    _checked("meta_analysis", "tau2", tau2, TAU2_METHODS)
    _checked("meta_analysis", "ci", ci, CI_RULES)
    _checked("meta_analysis", "tau2_ci", tau2_ci, get_args(Tau2Ci))
    _checked("meta_analysis", "prediction", prediction, get_args(PredictionRule))
    _checked_level("meta_analysis", level)
    if TAU2_OF_CI.get(ci, tau2) != tau2:
        raise ValueError(f'meta_analysis: ci = "{ci}" goes with tau2 = "{TAU2_OF_CI[ci]}", got {tau2!r}')
    if weighted and ci not in ("wald", "t"):
        raise ValueError(f'meta_analysis: weights of one\'s own go with ci = "wald" or "t", got {ci!r}')
    if tau2_ci == "profile_likelihood" and tau2 not in ("ML", "REML"):
        raise ValueError(f'meta_analysis: tau2_ci = "profile_likelihood" goes with tau2 = "ML" or "REML", got {tau2!r}')


def _checked(function: str, name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"{function}: {name} = {given!r} is not known{called_here(str(given), known)}")


def _checked_level(function: str, level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"{function}: level lies between 0 and 1, got {level}")


def _shape_of(function: str, yi: ArrayLike, vi: ArrayLike) -> tuple[int, ...]:
    try:
        shape = np.broadcast_shapes(np.shape(yi), np.shape(vi))
    except ValueError:
        raise ValueError(f"{function}: yi and vi have one shape, got {np.shape(yi)} and {np.shape(vi)}") from None
    if not shape or shape[-1] == 0:
        raise ValueError(f"{function}: yi holds the effects of at least one study, got shape {shape}")
    with np.errstate(invalid="ignore"):
        if np.any(np.asarray(vi) < 0):
            raise ValueError(f"{function}: vi holds variances, which are not negative, got {np.nanmin(np.asarray(vi, dtype=np.float64)):g}")
    return shape


def _rows(array: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """(replicate, study)"""
    return np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1, shape[-1])


def _rows_of_weights(weights: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    return np.asarray(weights, dtype=np.float64) if np.ndim(weights) == 1 else _rows(weights, shape)


def _first_reason(*statuses: IntArray) -> IntArray:
    found = statuses[0]
    for status in statuses[1:]:
        found = np.where(found == MetaStatus.OK, status, found)
    return found


def _tau2(studies: Studies, method: Tau2Choice) -> Tau2:
    """As `tau2_of`, but 0 in the common-effect model and for one study alone, NaN without convergence."""
    n_replicates = len(studies.y)
    if method == "common":
        return Tau2(np.zeros(n_replicates), np.full(n_replicates, np.nan), np.zeros(n_replicates, dtype=np.int64))
    fit = tau2_of(studies if method == "GENQ" else studies._replace(weights=None), method)
    estimate = np.where(fit.status == MetaStatus.TOO_FEW_STUDIES, 0.0, fit.estimate)
    return fit._replace(estimate=np.where(fit.status == MetaStatus.NOT_CONVERGED, np.nan, estimate))


def _interval(studies: Studies, pooled: Pooled, tau2: FloatArray, ci: CiRule, level: float) -> Interval:
    if ci not in ("profile_likelihood", "henmi_copas"):
        return interval_with_margin(studies, pooled, tau2, cast(MarginRule, ci), level)
    found = profile_likelihood_limits(studies, level) if ci == "profile_likelihood" else henmi_copas_limits(studies, level)
    flat = found.estimate, found.std_error, found.p_value, found.lower, found.upper
    estimate, std_error, p_value, lower, upper = (column[:, np.newaxis] for column in flat)
    nothing = np.ones_like(tau2)
    several = Interval(estimate, std_error, nothing * np.inf, p_value, lower, upper, nothing, std_error, found.status)
    return chosen(pooled.n_studies == 1, interval_with_margin(studies, pooled, tau2, "wald", level), several)


def _tau2_limits(studies: Studies, tau2: FloatArray, method: Tau2Choice, rule: Tau2Ci, level: float) -> tuple[FloatArray, FloatArray]:
    if rule == "none" or method == "common":
        return np.full(len(tau2), np.nan), np.full(len(tau2), np.nan)
    plain = studies._replace(weights=None)
    found = q_profile_of(plain, level) if rule == "q_profile" else profile_likelihood_interval(plain, tau2, method == "REML", level)
    lost = found.status != MetaStatus.OK
    return np.where(lost, np.nan, found.lower), np.where(lost, np.nan, found.upper)


def _shaped(column: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """In the shape of the input without its last axis; a number where that is no shape."""
    return column.reshape(shape[:-1]) if len(shape) > 1 else column[0]


@readable
class MetaRegression(NamedTuple):
    """Results of a meta-regression, (..., coefficient) or (...,); NaN where something cannot be estimated."""

    estimate: FloatArray
    """(..., coefficient) in the order of the columns of the design"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    df: FloatArray
    """(...,)"""
    tau2: FloatArray
    """residual variance between studies"""
    tau2_std_error: FloatArray
    i2: FloatArray
    qe: FloatArray
    """residual heterogeneity"""
    qe_p_value: FloatArray
    qm: FloatArray
    """test of all coefficients but the first: chi-squared with wald, else F"""
    qm_p_value: FloatArray
    r2: FloatArray
    """share of the variance between studies that the moderators explain, 0 to 1"""
    n_studies: IntArray
    status: IntArray


def meta_regression(
    yi: ArrayLike,
    vi: ArrayLike,
    design: ArrayLike,
    *,
    tau2: Tau2Choice = "REML",
    ci: MarginRule = "wald",
    level: float = 0.95,
) -> MetaRegression:
    """Regress effects on moderators of studies; subgroups are a design of indicator columns.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and variances, NaN for a study that is absent
    design : (k, coefficient) or (..., k, coefficient), the first column being ones for an intercept
    tau2, ci, level : as for `meta_analysis`; rules for one mean only (kenward_roger, the hybrids of Hartung and Knapp) are refused

    Source: van Houwelingen, Arends and Stijnen (2002), Statistics in Medicine 21, 589-624; Knapp and Hartung (2003), ibid. 22, 2693-2710;
    Raudenbush (2009) in Cooper, Hedges and Valentine, chapter 16 (R2); as in R's metafor.
    """
    _checked("meta_regression", "tau2", tau2, tuple(method for method in TAU2_METHODS if method != "GENQ"))
    _checked("meta_regression", "ci", ci, ("wald", "t", "hartung_knapp", "hartung_knapp_adhoc"))
    _checked_level("meta_regression", level)
    shape = _shape_of("meta_regression", yi, vi)
    y, v, columns = _rows(yi, shape), _rows(vi, shape), np.asarray(design, dtype=np.float64)
    columns = columns.reshape(-1, *columns.shape[-2:]) if columns.ndim > 2 else columns
    studies, intercept = Studies.of(y, v, columns), Studies.of(np.where(np.isnan(columns).any(axis=-1), np.nan, y), v)
    fit = _tau2(studies, tau2)
    between = np.where(fit.status == MetaStatus.TOO_FEW_STUDIES, np.nan, fit.estimate)
    pooled = pool(studies, between)
    interval = interval_with_margin(studies, pooled, between, ci, level)
    varied = heterogeneity(pooled, None if tau2 == "common" else between)
    qm, qm_p = _moderator_test(pooled, interval, ci)
    r2 = _explained(intercept, pooled, between, tau2)
    status = _first_reason(pooled.status, fit.status)
    by_coefficient = interval.estimate, interval.std_error, interval.lower, interval.upper, interval.p_value
    flat = interval.df, between, fit.std_error, varied.i2, varied.q, varied.p_value, qm, qm_p, r2, pooled.n_studies, status
    wide = [column.reshape(*shape[:-1], column.shape[1]) for column in by_coefficient]
    return MetaRegression._make([*wide, *(_shaped(column, shape) for column in flat)])


def _explained(intercept: Studies, pooled: Pooled, between: FloatArray, method: Tau2Choice) -> FloatArray:
    """Share of tau2 that moderators explain; in the common-effect model of the weighted variance of effects, adjusted for degrees of freedom."""
    if method == "common":
        alone = pool(intercept, np.zeros(len(between)))
        with_moderators, without = pooled.q / np.where(pooled.df > 0, pooled.df, np.nan), alone.q / np.where(alone.df > 0, alone.df, np.nan)
    else:
        with_moderators, without = between, tau2_of(intercept, method).estimate
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(without > 0, np.maximum(0.0, 1 - with_moderators / without), np.nan)


def _moderator_test(pooled: Pooled, interval: Interval, ci: MarginRule) -> tuple[FloatArray, FloatArray]:
    """Wald's test of all coefficients but the first: chi-squared, or F where the interval is of t."""
    n = pooled.coefficients.shape[1]
    if n == 1:
        nothing = np.full(len(pooled.q), np.nan)
        return nothing, nothing
    b, covariance = pooled.coefficients[:, 1:], pooled.covariance[:, 1:, 1:] * interval.scale[:, np.newaxis, np.newaxis]
    known = np.isfinite(covariance).all(axis=(1, 2)) & (pooled.status == MetaStatus.OK)
    statistic = np.full(len(b), np.nan)
    solved = np.linalg.solve(covariance[known], b[known][:, :, np.newaxis])[:, :, 0]
    statistic[known] = (b[known] * solved).sum(axis=1)
    if ci == "wald":
        return statistic, chi2_p_value(statistic, np.full(len(b), float(n - 1)))
    statistic = statistic / (n - 1)
    return statistic, np.asarray(fdtrc(n - 1, pooled.df, statistic))
