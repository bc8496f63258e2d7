"""Heterogeneity between studies: Cochran's Q with its test, I2 and H2."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc

from simtrials.core.arrays import FloatArray
from simtrials.stats.pooling import Pooled


class Heterogeneity(NamedTuple):
    """How much studies differ beyond chance, (replicate,) each."""

    q: FloatArray
    """Cochran's Q, residual where there are moderators"""
    df: FloatArray
    """studies less coefficients"""
    p_value: FloatArray
    """of Q as chi-squared; 1 without degrees of freedom"""
    i2: FloatArray
    """share of the variance of effects that is not sampling error, 0 to 1"""
    h2: FloatArray
    """total variance of effects over sampling variance"""


def heterogeneity(pooled: Pooled, tau2: FloatArray | None) -> Heterogeneity:
    """Q, and I2 and H2 from tau2 and the typical sampling variance, or from Q alone where `tau2` is None (common effect).

    Source: Cochran (1954), Biometrics 10, 101-129; Higgins and Thompson (2002), Statistics in Medicine 21, 1539-1558.
    """
    q, df = pooled.q, pooled.df
    p_value = chi2_p_value(q, df)
    with np.errstate(invalid="ignore", divide="ignore"):
        if tau2 is None:
            i2 = np.where((df > 0) & ~np.isnan(q), np.maximum(0.0, 1 - df / np.maximum(q, df)), np.nan)
            h2 = q / np.where(df > 0, df, np.nan)
        else:
            i2 = i2_of(tau2, pooled)
            h2 = 1 / (1 - i2)
    return Heterogeneity(q, df, p_value, i2, h2)


def i2_of(tau2: FloatArray, pooled: Pooled) -> FloatArray:
    """The share that tau2 has in the variance of the effect of a typical study."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(tau2 == 0, np.where(np.isnan(pooled.q), np.nan, 0.0), tau2 / (pooled.typical_variance + tau2))


def chi2_p_value(statistic: FloatArray, df: FloatArray) -> FloatArray:
    """Upper tail of chi-squared; 1 without degrees of freedom, NaN stays NaN."""
    tail = gammaincc(np.maximum(df, 1) / 2, statistic / 2)
    return np.asarray(np.where((df > 0) | np.isnan(statistic), tail, 1.0))
