"""Standard errors, tests and confidence intervals of pooled effects, and prediction intervals; one name for each rule.

| name | standard error | quantile |
|---|---|---|
| wald | inverse information | normal |
| t | inverse information | t with k - p degrees of freedom |
| hartung_knapp | scaled by the weighted residual mean square s2 | t, k - p |
| hartung_knapp_adhoc | scaled by max(1, s2) | t, k - p |
| hartung_knapp_ci | the wider of wald and hartung_knapp | of the wider one |
| hartung_knapp_iqwig6 | as hartung_knapp, by max(1, s2) where that interval is narrower than DerSimonian and Laird's wald | t, k - p |
| kenward_roger | adjusted for the uncertainty of tau2 under REML | t, Satterthwaite's degrees of freedom |

Intervals that are not of the form estimate and margin, profile likelihood and Henmi-Copas, are in `intervals_likelihood`.
"""

from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import Pooled, pool
from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import tau2_of

MarginRule = Literal["wald", "t", "hartung_knapp", "hartung_knapp_adhoc", "hartung_knapp_ci", "hartung_knapp_iqwig6", "kenward_roger"]
PredictionRule = Literal["normal", "t_k_minus_1", "t_k_minus_2", "as_interval"]


class Interval(NamedTuple):
    """Estimate, test of 0 and confidence interval of every coefficient, (replicate, coefficient) each."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    """(replicate,) of the t distribution that is used, infinite for the normal"""
    p_value: FloatArray
    """two-sided"""
    lower: FloatArray
    upper: FloatArray
    scale: FloatArray
    """(replicate,) what the covariance is multiplied by: 1, or a residual mean square"""
    plain_error: FloatArray
    """standard error without scaling and adjustment"""
    status: IntArray
    """(replicate,) `MetaStatus`"""


def interval_with_margin(studies: Studies, pooled: Pooled, tau2: FloatArray, rule: MarginRule, level: float) -> Interval:
    """Confidence interval of the form estimate plus and minus a quantile times a standard error.

    Parameters
    ----------
    studies, pooled, tau2 : the arrays of the fit, its result, and its between-study variance (replicate,)
    rule : a name of the table above; only wald and t where studies have weights of the user's own, kenward_roger for one mean and REML only
    level : confidence level, between 0 and 1

    Returns
    -------
    Interval; NaN limits without degrees of freedom. Studies that agree exactly give hartung_knapp a standard error of 0 and a p-value of 0.
    meta::metagen's IQWiG6 also narrows an interval whose s2 is above 1 where it takes the place of one narrower than DerSimonian and Laird's.

    Source: Hartung and Knapp (2001), Statistics in Medicine 20, 3875-3889; Sidik and Jonkman (2002), ibid. 21, 3153-3159; Knapp and Hartung
    (2003), ibid. 22, 2693-2710 (max(1, s2), regression); Wiksten, Ruecker and Schwarzer (2016), ibid. 35, 2503-2515 (hybrid); IQWiG (2022),
    General Methods 6.1; Partlett and Riley (2017), ibid. 36, 301-317 (Kenward-Roger); all as in R's meta::metagen.
    """
    wald_error = np.sqrt(np.diagonal(pooled.covariance, axis1=1, axis2=2))
    if rule == "kenward_roger":
        std_error, df = _kenward_roger(studies, pooled, tau2)
        found = _interval(pooled, std_error[:, np.newaxis], df, level)
        lost = (pooled.df > 0) & ~np.isfinite(std_error) & ~np.isnan(tau2)
        return found._replace(plain_error=wald_error, status=np.where(lost, int(MetaStatus.NOT_CONVERGED), 0))
    wald = _interval(pooled, wald_error, np.full(len(tau2), np.inf), level)
    if rule == "wald":
        return wald
    df = np.where(pooled.df > 0, pooled.df, np.nan)
    if rule == "t":
        return _interval(pooled, wald_error, df, level)
    plain = _scaled(pooled, wald_error, df, level, pooled.rss / df)
    if rule == "hartung_knapp":
        return plain
    width = (plain.upper - plain.lower)[:, 0]
    if rule == "hartung_knapp_ci":
        return chosen(width < (wald.upper - wald.lower)[:, 0], wald, plain)
    adhoc = _scaled(pooled, wald_error, df, level, np.maximum(pooled.rss / df, 1.0))
    if rule == "hartung_knapp_adhoc":
        return adhoc
    dersimonian_laird = pool(studies, tau2_of(studies, "DL").estimate)
    return chosen(width < 2 * normal_critical(1 - level) * np.sqrt(dersimonian_laird.covariance[:, 0, 0]), adhoc, plain)


def _interval(pooled: Pooled, std_error: FloatArray, df: FloatArray, level: float) -> Interval:
    """`std_error` (replicate, coefficient), `df` (replicate,)."""
    margin = t_critical(df, 1 - level)[:, np.newaxis] * std_error
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = pooled.coefficients / std_error
    p_value = normal_p_value(statistic) if np.isposinf(df).all() else t_p_value(statistic, df[:, np.newaxis])
    b = pooled.coefficients
    return Interval(b, std_error, df, p_value, b - margin, b + margin, np.ones_like(df), std_error, np.zeros(len(df), dtype=np.int64))


def _scaled(pooled: Pooled, wald_error: FloatArray, df: FloatArray, level: float, scale: FloatArray) -> Interval:
    return _interval(pooled, wald_error * np.sqrt(scale)[:, np.newaxis], df, level)._replace(scale=scale, plain_error=wald_error)


def chosen(first_is: BoolArray, first: Interval, second: Interval) -> Interval:
    """For each meta-analysis one of two intervals."""
    return Interval(*(np.where(first_is if a.ndim == 1 else first_is[:, np.newaxis], a, b) for a, b in zip(first, second, strict=True)))


@kernel
def _weight_sums(y: FloatArray, v: FloatArray, tau2: FloatArray, sums: FloatArray) -> None:
    for replicate in range(y.shape[0]):
        for s in range(y.shape[1]):
            if y[replicate, s] == y[replicate, s]:
                w = 1.0 / (v[replicate, s] + tau2[replicate])
                sums[0, replicate] += w
                sums[1, replicate] += w * w
                sums[2, replicate] += w * w * w


def _kenward_roger(studies: Studies, pooled: Pooled, tau2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom, (replicate,) each, with the expected information on tau2.

    Not finite where rounding takes all of the information, which happens when variances differ by a factor of millions. Satterthwaite's formula
    has the adjusted variance in its gradient, as in R's meta; the degrees of freedom can fall below 1 where tau2 is near 0.
    """
    sums = np.zeros((3, len(tau2)))
    _weight_sums(studies.y, studies.v, tau2, sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        total, total2, total3 = np.where(pooled.df > 0, sums, np.nan)
        information = pooled.information / 2
        variance = (1 + 2 * (total3 / total - (total2 / total) ** 2) / information) / total
        return np.sqrt(variance), 2 * information / (variance * total2) ** 2


def prediction_interval(pooled: Pooled, tau2: FloatArray, interval: Interval, rule: PredictionRule, level: float) -> tuple[FloatArray, FloatArray]:
    """Limits between which the true effect of a new study falls with probability `level`, (replicate,) each; for one mean.

    Estimate plus and minus q sqrt(tau2 + se^2). "as_interval" takes q and se of the confidence interval (R's metafor). With "normal" q is the
    normal quantile, with "t_k_minus_1" that of t with k - 1 degrees of freedom (R's meta from version 8), with "t_k_minus_2" with k - 2 (meta
    before; Higgins et al. 2009; nothing for two studies), and se is the inverse information in all three.

    Source: Higgins, Thompson and Spiegelhalter (2009), JRSS A 172, 137-159; Riley, Higgins and Deeks (2011), BMJ 342, d549; IntHout et al.
    (2016), BMJ Open 6, e010247; Veroniki et al. (2019), Research Synthesis Methods 10, 23-43.
    """
    std_error = (interval.std_error if rule == "as_interval" else interval.plain_error)[:, 0]
    fewer = {"normal": -np.inf, "t_k_minus_1": 0, "t_k_minus_2": 1}
    df = interval.df if rule == "as_interval" else pooled.df - fewer[rule]
    critical = t_critical(np.where((pooled.df > 0) & (df > 0), df, np.nan), 1 - level)
    margin = critical * np.sqrt(tau2 + std_error**2)
    estimate = interval.estimate[:, 0]
    return estimate - margin, estimate + margin
