"""Step selection models: a random-effects model of studies whose chance to be published depends on the bin their p-value falls in.

Of one study with effect y and variance v, where s^2 = v + tau^2 and d_j is the weight of bin j (the first is 1),

    log-likelihood = log d_bin + log phi((y - mu) / s) - log s - log A,    A = sum over bins of d_j times the normal mass of bin j.

Bins are cut by the study's own standard error, at c sqrt(v); masses are those of the mean mu and the variance v + tau^2. Parameters are
mu, tau^2 >= 0 and the logarithms of the weights. The likelihood can have several maxima; it is climbed from several starts. What such a model
publishes is in `selection_likelihood`, the climb in `selection_kernels`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.quantiles import normal_critical, normal_p_value
from simtrials.stats.selection_kernels import STARTS, STARTS_OF_ONE_STEP, fit_all, typical_variance
from simtrials.stats.selection_likelihood import critical_values
from simtrials.stats.shown import readable
from simtrials.stats.study_arrays import Alternative, checked_level, flat_studies, in_shape, sign_of


@readable
class SelectionFit(NamedTuple):
    """A step selection model, in the shape of the input without its last axis unless said otherwise; NaN unless `status` is OK."""

    estimate: FloatArray
    """mean effect of all studies, published or not"""
    std_error: FloatArray
    """from the observed information; with tau^2 held at 0 where it is estimated as 0"""
    lower: FloatArray
    """of Wald's interval"""
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of an effect of 0 (Wald)"""
    tau2: FloatArray
    tau2_std_error: FloatArray
    """NaN where tau^2 is estimated as 0: the maximum lies on the boundary"""
    weight: FloatArray
    """(..., bin) chance of publication relative to the first bin, the smallest p-values"""
    weight_std_error: FloatArray
    """(..., bin), 0 for the first"""
    log_likelihood: FloatArray
    selection_statistic: FloatArray
    """likelihood ratio against equal weights: chi-squared, one degree of freedom for each step"""
    selection_p_value: FloatArray
    """of the likelihood-ratio test of selection"""
    tau2_is_zero: BoolArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def step_selection(
    yi: ArrayLike, vi: ArrayLike, steps: Sequence[float] = (0.025,), alternative: Alternative = "greater", level: float = 0.95
) -> SelectionFit:
    """Mean effect corrected for selection by one-sided p-values: one step is the three-parameter model, two are the four-parameter model.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent
    steps : one-sided p-values at which the chance of publication changes; a p-value equal to a step belongs to the bin below it
    alternative : "greater" when positive effects have small p-values, "less" when negative ones have
    level : of the interval

    Returns
    -------
    SelectionFit; EMPTY_CELL where a bin has no study, so that its weight is 0 or infinite; NOT_CONVERGED where the highest point reached from
    five starts (one step) or eight is no maximum; TOO_FEW_STUDIES below 2, ZERO_VARIANCE. A maximum at tau^2 = 0 is one (`tau2_is_zero`).

    Source: Vevea and Hedges (1995), Psychometrika 60:419-435, equations 5 to 8; Hedges and Vevea (1996), Journal of Educational and Behavioral
    Statistics 21:299-332 (three parameters).
    """
    sign, critical, margin = sign_of(alternative), critical_values(steps), normal_critical(1 - checked_level(level))
    shape, (y, v) = flat_studies(yi, vi)
    n = 2 + critical.size
    found, status = np.full((len(y), 2 + 2 * n), np.nan), np.zeros(len(y), dtype=np.int64)
    fit_all(y, v, sign, critical, STARTS_OF_ONE_STEP if critical.size == 1 else STARTS, typical_variance(y, v), found, status)
    height, without, x, squares = found[:, 0], found[:, 1], found[:, 2 : 2 + n], found[:, 2 + n :]
    zero, errors = x[:, 1] == 0.0, np.sqrt(squares)
    reference = np.where(status == MetaStatus.OK, 1.0, np.nan)[:, np.newaxis]
    weight = np.hstack([reference, np.exp(x[:, 2:])])
    estimate, std_error, statistic = sign * x[:, 0], errors[:, 0], np.maximum(2 * (height - without), 0.0)
    fit = SelectionFit(
        estimate=estimate,
        std_error=std_error,
        lower=estimate - margin * std_error,
        upper=estimate + margin * std_error,
        p_value=normal_p_value(estimate / std_error),
        tau2=x[:, 1],
        tau2_std_error=np.where(zero, np.nan, errors[:, 1]),
        weight=weight,
        weight_std_error=weight * np.hstack([0 * reference, errors[:, 2:]]),
        log_likelihood=height,
        selection_statistic=statistic,
        selection_p_value=np.asarray(gammaincc(critical.size / 2, statistic / 2)),
        tau2_is_zero=zero,
        n_studies=(~np.isnan(y)).sum(axis=1),
        status=status,
    )
    return SelectionFit._make(in_shape(column, shape) for column in fit)
