"""Critical values and p-values of the normal and t distributions, two-sided, for many degrees of freedom at once."""

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from simtrials.core.arrays import FloatArray

LAST_QUANTILE = 1e150
"""SciPy's quantile of t stops about there."""


def normal_critical(alpha: float) -> float:
    """The value that the absolute value of a standard normal exceeds with probability `alpha`."""
    return -float(ndtri(alpha / 2))


def t_critical(df: FloatArray, alpha: float) -> FloatArray:
    """The value that the absolute value of Student's t exceeds with probability `alpha`; infinite `df` is the normal, NaN stays NaN.

    Equal degrees of freedom are computed once: a quantile costs more than many a test. Of a small part of one degree of freedom the value can be
    beyond all bounds, and is then infinite.
    """
    distinct, place = np.unique(df, return_inverse=True)
    value = -stdtrit(distinct, alpha / 2)
    return np.asarray(np.where(value > LAST_QUANTILE, np.inf, value)[place].reshape(np.shape(df)))


def normal_p_value(statistic: FloatArray) -> FloatArray:
    """Two-sided p-value of a standard normal statistic."""
    return np.asarray(2 * ndtr(-np.abs(statistic)))


def t_p_value(statistic: FloatArray, df: FloatArray) -> FloatArray:
    """Two-sided p-value of a t statistic; infinite `df` is the normal, NaN in either gives NaN."""
    return np.asarray(2 * stdtr(df, -np.abs(statistic)))
