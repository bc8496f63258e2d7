"""Meta-analysis of one body of evidence or of many at once: pooled effect, its interval, heterogeneity, prediction; and meta-regression.

What is computed where: `tau2`, `pooling`, `intervals`, `intervals_likelihood`, `tau2_intervals`, `heterogeneity`.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.heterogeneity import chi2_p_value, heterogeneity
from simtrials.stats.intervals import Interval, MarginRule, PredictionRule, interval_with_margin, prediction_interval
from simtrials.stats.intervals_likelihood import henmi_copas_limits, profile_likelihood_limits
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import Pooled, pool
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import Tau2Method, tau2_of
from simtrials.stats.tau2_intervals import profile_likelihood_interval, q_profile_of

CiRule = MarginRule | Literal["profile_likelihood", "henmi_copas"]
Tau2Choice = Tau2Method | Literal["common"]
Tau2Ci = Literal["q_profile", "profile_likelihood", "none"]
CI_RULES: tuple[str, ...] = (*get_args(MarginRule), "profile_likelihood", "henmi_copas")
TAU2_METHODS: tuple[str, ...] = (*get_args(Tau2Method), "common")


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
    tau2_lower: FloatArray
    tau2_upper: FloatArray
    i2: FloatArray
    """share of the variance of effects that is not sampling error, 0 to 1"""
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
    prediction: PredictionRule | None = None,
    tau2_ci: Tau2Ci = "q_profile",
) -> MetaAnalysis:
    """Pool the effects of studies, (k,) for one meta-analysis or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the between-study variance as in `between_study_variance`, or "common" for the common-effect model
    ci : rule of standard error, test and interval: a name of the table in `intervals`, "profile_likelihood" (with ML) or "henmi_copas" (with DL)
    level : of all intervals
    weights : (k,) or (..., k), weights of one's own in the mean (with "wald" and "t"); with "GENQ" those of the estimator of tau2 too
    prediction : rule of the prediction interval; default: "normal" with wald, else "as_interval", as in R's metafor
    tau2_ci : interval of tau2: "q_profile", "profile_likelihood" (of ML or REML), or "none", which saves time

    Returns
    -------
    MetaAnalysis; one study gives its own estimate, without heterogeneity (SINGLE_STUDY)

    Source: the modules named above.
    """
    _checked("tau2", tau2, TAU2_METHODS)
    _checked("ci", ci, CI_RULES)
    shape = np.broadcast_shapes(np.shape(yi), np.shape(vi))
    studies = _studies(yi, vi, weights, shape)
    n_replicates = len(studies.y)
    if ci in ("profile_likelihood", "henmi_copas"):
        needed = "ML" if ci == "profile_likelihood" else "DL"
        if tau2 != needed:
            raise ValueError(f'meta_analysis: {ci} goes with tau2 = "{needed}"')
    if weights is not None and ci not in ("wald", "t"):
        raise ValueError(f"meta_analysis: weights of one's own go with the intervals wald and t, not with {ci}")
    if ci == "kenward_roger" and tau2 != "REML":
        raise ValueError('meta_analysis: kenward_roger goes with tau2 = "REML"')
    fit_status = np.zeros(n_replicates, dtype=np.int64)
    if tau2 == "common":
        between = np.zeros(n_replicates)
    else:
        fit = tau2_of(studies, tau2) if tau2 == "GENQ" else tau2_of(studies._replace(weights=None), tau2)
        between, fit_status = fit.estimate, fit.status
    single = fit_status == MetaStatus.TOO_FEW_STUDIES
    pooled = pool(studies, np.where(single, 0.0, between))
    margin_rule: MarginRule = "wald" if ci in ("profile_likelihood", "henmi_copas") else ci  # type: ignore[assignment]
    interval = interval_with_margin(studies, pooled, np.where(single, 0.0, between), margin_rule, level)
    alone = (pooled.n_studies == 1) & (pooled.status == MetaStatus.OK)
    status = np.select(
        [alone, pooled.status != MetaStatus.OK, fit_status != MetaStatus.OK], [int(MetaStatus.SINGLE_STUDY), pooled.status, fit_status], 0
    )
    shown = _shown(ci, studies, pooled, interval, level)
    if tau2 == "common":
        low = high = np.where(pooled.status == MetaStatus.OK, 0.0, np.nan)
    else:
        low, high = _tau2_limits(studies, between, tau2, tau2_ci, level)
    varied = heterogeneity(pooled, None if tau2 == "common" else between)
    rule: PredictionRule = prediction or ("normal" if interval_is_normal(ci) else "as_interval")
    predicted = prediction_interval(pooled, np.where(alone, np.nan, between), interval, rule, level)
    known = ~np.isin(status, (int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE), int(MetaStatus.COLLINEAR)))
    columns = [*shown, np.where(alone, np.nan, between), low, high, varied.i2, varied.q, varied.p_value, *predicted]
    out = [np.where(known, column, np.nan) for column in columns]
    return MetaAnalysis(*(_shaped(column, shape) for column in (*out, pooled.n_studies, status)))


def interval_is_normal(ci: CiRule) -> bool:
    """Whether the interval takes a normal quantile."""
    return ci in ("wald", "profile_likelihood", "henmi_copas")


def _shown(ci: CiRule, studies: Studies, pooled: Pooled, interval: Interval, level: float) -> tuple[FloatArray, ...]:
    """Estimate, standard error, limits, p-value, degrees of freedom."""
    if ci not in ("profile_likelihood", "henmi_copas"):
        numbers = pooled.coefficients, interval.std_error, interval.lower, interval.upper, interval.p_value
        return (*(number[:, 0] for number in numbers), interval.df)
    found = profile_likelihood_limits(studies, level) if ci == "profile_likelihood" else henmi_copas_limits(studies, level)
    return found.estimate, found.std_error, found.lower, found.upper, found.p_value, np.full(len(found.estimate), np.inf)


def _tau2_limits(studies: Studies, between: FloatArray, method: Tau2Method, rule: Tau2Ci, level: float) -> tuple[FloatArray, FloatArray]:
    if rule == "none":
        return np.full(len(between), np.nan), np.full(len(between), np.nan)
    plain = studies._replace(weights=None)
    if rule == "q_profile":
        found = q_profile_of(plain, level)
        return found.lower, found.upper
    if method not in ("ML", "REML"):
        raise ValueError('meta_analysis: the profile likelihood interval of tau2 goes with tau2 = "ML" or "REML"')
    profile = profile_likelihood_interval(plain, between, method == "REML", level)
    return profile.lower, profile.upper


def _checked(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"meta_analysis: {name} = {given!r} is not known{did_you_mean(str(given), known)}")


def _studies(yi: ArrayLike, vi: ArrayLike, weights: ArrayLike | None, shape: tuple[int, ...]) -> Studies:
    if not shape or shape[-1] == 0:
        raise ValueError("meta_analysis: effects of at least one study are needed")
    y, v = (np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1, shape[-1]) for array in (yi, vi))
    own = None
    if weights is not None:
        own = np.asarray(weights, dtype=np.float64)
        own = own.reshape(-1, shape[-1]) if own.ndim > 1 else own
    return Studies.of(y, v, weights=own)


def _shaped(column: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """In the shape of the input without its last axis; a number where that is no shape."""
    return column.reshape(shape[:-1]) if len(shape) > 1 else column[0]


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
    _checked("tau2", tau2, TAU2_METHODS)
    _checked("ci", ci, ("wald", "t", "hartung_knapp", "hartung_knapp_adhoc"))
    if tau2 == "GENQ":
        raise ValueError("meta_regression: GENQ needs weights of one's own; choose another estimator")
    shape = np.broadcast_shapes(np.shape(yi), np.shape(vi))
    y, v = (np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1, shape[-1]) for array in (yi, vi))
    columns = np.asarray(design, dtype=np.float64)
    columns = columns.reshape(-1, *columns.shape[-2:]) if columns.ndim > 2 else columns
    studies, n_replicates = Studies.of(y, v, columns), len(y)
    intercept = Studies.of(np.where(np.isnan(columns).any(axis=-1), np.nan, y), v)
    fit_status, between, without = np.zeros(n_replicates, dtype=np.int64), np.zeros(n_replicates), np.zeros(n_replicates)
    if tau2 != "common":
        fit = tau2_of(studies, tau2)
        between, fit_status, without = fit.estimate, fit.status, tau2_of(intercept, tau2).estimate
    pooled = pool(studies, between)
    interval = interval_with_margin(studies, pooled, between, ci, level)
    varied = heterogeneity(pooled, None if tau2 == "common" else between)
    qm, qm_p = _moderator_test(pooled, interval, ci)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(without > 0, np.maximum(0.0, (without - between) / without), np.nan)
    status = np.where(pooled.status != MetaStatus.OK, pooled.status, fit_status)
    by_coefficient = pooled.coefficients, interval.std_error, interval.lower, interval.upper, interval.p_value
    n = pooled.coefficients.shape[1]
    flat = interval.df, between, varied.i2, varied.q, varied.p_value, qm, qm_p, r2, pooled.n_studies, status
    wide = [column.reshape(*shape[:-1], n) for column in by_coefficient]
    return MetaRegression._make([*wide, *(_shaped(column, shape) for column in flat)])


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
    from scipy.special import fdtrc

    statistic = statistic / (n - 1)
    return statistic, np.asarray(fdtrc(n - 1, pooled.df, statistic))
