"""Limit meta-analysis: the effect that studies of infinite precision would show, under a random-effects model with a small-study effect."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.meta_analysis import TAU2_METHODS, Tau2Choice
from simtrials.stats.meta_shapes import checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import pool
from simtrials.stats.quantiles import normal_critical, normal_p_value
from simtrials.stats.shown import readable
from simtrials.stats.small_study import with_predictor
from simtrials.stats.tau2 import tau2_of


@readable
class LimitMetaAnalysis(NamedTuple):
    """Results in the shape of the input without its last axis, numbers for one body of evidence; NaN where something cannot be estimated."""

    estimate: FloatArray
    """beta0 = slope + tau intercept: the mean of true effects when sampling errors vanish"""
    std_error: FloatArray
    """of that sum, with a residual variance of 1 and tau known"""
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided, normal, of a limit effect of 0"""
    intercept: FloatArray
    """alpha of the radial regression: the small-study effect in standard errors"""
    slope: FloatArray
    """beta of the radial regression"""
    tau2: FloatArray
    """of the random-effects model without small-study effect"""
    q_small: FloatArray
    """Cochran's Q less `q_residual`: heterogeneity that the small-study effect explains"""
    q_small_p_value: FloatArray
    """chi-squared with one degree of freedom"""
    q_residual: FloatArray
    """heterogeneity beyond the small-study effect, at tau2 = 0"""
    q_residual_p_value: FloatArray
    """chi-squared with k - 2 degrees of freedom"""
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES below three studies, COLLINEAR where all variances are equal"""


def limit_meta_analysis(yi: ArrayLike, vi: ArrayLike, *, tau2: Tau2Choice = "REML", level: float = 0.95) -> LimitMetaAnalysis:
    """Effect in the limit of infinite precision under y = beta + sqrt(v + tau^2) (alpha + error), (k,) for one body of evidence or (..., k).

    y / s is regressed on 1 / s, s = sqrt(v + tau^2), which is the regression of y on s with weights 1 / s^2: its intercept is beta and its
    slope alpha. As v goes to 0 the expected effect goes to beta + tau alpha. With tau2 = "common" it is the estimate of PET.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the variance between studies, as for `meta_analysis`
    level : of the interval, which is normal

    The standard error is that of beta + tau alpha in the weighted regression. R's metasens::limitmeta (method.adjust = "beta0") reports
    1 / (sd(1 / sqrt(v)) sqrt(k - 1)) instead, which leaves tau^2 out and is the same only where tau^2 is 0.

    Source: Ruecker, Schwarzer, Carpenter, Binder and Schumacher (2011), Biostatistics 12, 122-142 (heterogeneity:
    pages 133-134).
    """
    evidence = evidence_of(yi, vi, "limit_meta_analysis")
    checked_word("limit_meta_analysis", "tau2", tau2, tuple(word for word in TAU2_METHODS if word != "GENQ"))
    checked_share("limit_meta_analysis", "level", level)
    n = len(evidence.y)
    between, fit_status = np.zeros(n), np.zeros(n, dtype=np.int64)
    plain = evidence.studies()
    if tau2 != "common":
        found = tau2_of(plain, tau2)
        between, fit_status = found.estimate, found.status
    with np.errstate(invalid="ignore"):
        radial = pool(with_predictor(evidence, np.sqrt(np.maximum(evidence.v, 0.0) + between[:, np.newaxis])), between)
        residual = pool(with_predictor(evidence, evidence.std_error), np.zeros(n))
        tau, covariance = np.sqrt(between), radial.covariance
        std_error = np.sqrt(covariance[:, 0, 0] + 2 * tau * covariance[:, 0, 1] + between * covariance[:, 1, 1])
    # a design of NaN, where tau2 is not known, leaves no studies: what is wrong is seen without tau2
    status = np.where(residual.status != MetaStatus.OK, residual.status, fit_status)
    status = np.where((status == MetaStatus.OK) & (residual.n_studies < 3), int(MetaStatus.TOO_FEW_STUDIES), status)
    status = np.where(status == MetaStatus.OK, radial.status, status)
    estimate = radial.coefficients[:, 0] + tau * radial.coefficients[:, 1]
    margin = normal_critical(1 - level) * std_error
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = normal_p_value(estimate / std_error)
    q = pool(plain, np.zeros(n)).q
    small = np.maximum(q - residual.q, 0.0)
    tests = small, chi2_p_value(small, np.ones(n)), residual.q, chi2_p_value(residual.q, np.maximum(residual.df, 1.0))
    first = estimate, std_error, estimate - margin, estimate + margin, p_value, radial.coefficients[:, 1], radial.coefficients[:, 0], between
    known = np.isin(status, (int(MetaStatus.OK), int(MetaStatus.NOT_CONVERGED)))
    columns = [np.where(known, column, np.nan) for column in (*first, *tests)]
    return LimitMetaAnalysis(*(shaped(column, evidence.shape) for column in (*columns, residual.n_studies, status)))
