"""p-uniform*: a random-effects meta-analysis of significant and other studies alike, each within its own truncated normal.

Of a study with effect y, variance v and s^2 = v + tau^2 the likelihood is that of y given that it is significant, or given that it is not: nothing
is assumed about how much less likely a study is to be published when it is not significant, only that chances are equal on either side of the cut.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_uniform_star_kernels import fit_star
from simtrials.stats.quantiles import normal_critical
from simtrials.stats.shown import readable
from simtrials.stats.study_arrays import Alternative, checked_level, flat_studies, in_shape, sign_of

TOO_FEW_STUDIES, ZERO_VARIANCE = int(MetaStatus.TOO_FEW_STUDIES), int(MetaStatus.ZERO_VARIANCE)
NOT_CONVERGED = int(MetaStatus.NOT_CONVERGED)


@readable
class PUniformStar(NamedTuple):
    """Results in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    """mean of the true effects"""
    lower: FloatArray
    """limits by the profile likelihood, infinite where the likelihood does not fall far enough"""
    upper: FloatArray
    statistic: FloatArray
    """likelihood ratio of a mean of 0, chi-squared with one degree of freedom"""
    p_value: FloatArray
    """two-sided, of that test"""
    tau2: FloatArray
    tau2_lower: FloatArray
    tau2_upper: FloatArray
    tau2_statistic: FloatArray
    """likelihood ratio of tau^2 = 0"""
    tau2_p_value: FloatArray
    """of that test: half the chi-squared probability, 0 being the end of the possible values; 0.5 where tau^2 is estimated as 0"""
    log_likelihood: FloatArray
    n_significant: IntArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def cutoffs(
    yi: ArrayLike, vi: ArrayLike, alternative: Alternative, alpha: float, cutoff: ArrayLike | None
) -> tuple[tuple[int, ...], list[FloatArray]]:
    """Shape of the results and effects, variances, cutoffs (replicate, study); significant effects lie above their cutoffs."""
    sign = sign_of(alternative)
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha: must lie between 0 and 1, got {alpha}")
    if cutoff is None:
        with np.errstate(invalid="ignore"):
            cutoff = sign * -ndtri(alpha / 2) * np.sqrt(np.asarray(vi, dtype=np.float64))
    shape, (y, v, c) = flat_studies(yi, vi, cutoff)
    y = np.where(np.isfinite(c) | ~(v > 0), y, np.nan)
    return shape, [sign * y, v, sign * c]


def p_uniform_star(
    yi: ArrayLike,
    vi: ArrayLike,
    alternative: Alternative = "greater",
    *,
    alpha: float = 0.05,
    cutoff: ArrayLike | None = None,
    level: float = 0.95,
    limits: bool = True,
) -> PUniformStar:
    """Mean effect and heterogeneity, corrected for a preference for significant studies, by maximum likelihood.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent
    alternative : "greater" where positive significant effects were preferred, "less" where negative ones were
    alpha : two-sided level of the tests of the studies
    cutoff : (k,) or (..., k) effects beyond which studies are significant; default: the normal quantile times the standard error
    level : of the intervals
    limits : whether to compute the intervals, which take most of the time

    Returns
    -------
    PUniformStar; NOT_CONVERGED where the likelihood rises without end (mean and tau^2 drift off together, as with few, barely significant
    studies), TOO_FEW_STUDIES below 2, ZERO_VARIANCE

    Source: van Aert and van Assen (2023), Correcting for publication bias in a meta-analysis with the p-uniform* method, preprint
    osf.io/preprints/bitss/zqjr9 (likelihood, profile likelihood limits, likelihood-ratio tests); as in R's puniform::puni_star, method ML.
    """
    shape, (y, v, c) = cutoffs(yi, vi, alternative, alpha, cutoff)
    fall = normal_critical(1 - checked_level(level)) ** 2 / 2 if limits else np.nan
    found, counts, status = np.full((len(y), 9), np.nan), np.zeros((2, len(y)), dtype=np.int64), np.zeros(len(y), dtype=np.int64)
    _fit_all(y, v, c, fall, found, counts, status)
    estimate, tau2, height, lower, upper, tau2_lower, tau2_upper, at_0, common = found.T
    if sign_of(alternative) < 0:
        estimate, lower, upper = -estimate, -upper, -lower
    one, statistic, tau2_statistic = np.ones(len(y)), np.maximum(2 * (height - at_0), 0.0), np.maximum(2 * (height - common), 0.0)
    of_mean, of_tau2 = (statistic, chi2_p_value(statistic, one)), (tau2_statistic, chi2_p_value(tau2_statistic, one) / 2)
    columns = estimate, lower, upper, *of_mean, tau2, tau2_lower, tau2_upper, *of_tau2, height, *counts, status
    return PUniformStar._make(in_shape(column, shape) for column in columns)


@kernel
def _fit_all(
    effect: FloatArray, variance: FloatArray, cutoff: FloatArray, fall: float, found: FloatArray, counts: IntArray, status: IntArray
) -> None:
    n = effect.shape[1]
    y, v, c, side = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for r in range(effect.shape[0]):
        k = 0
        for i in range(n):
            if effect[r, i] == effect[r, i]:
                y[k], v[k], c[k] = effect[r, i], variance[r, i], cutoff[r, i]
                status[r] = status[r] if v[k] > 0.0 else ZERO_VARIANCE
                side[k] = 1.0 if y[k] > c[k] else -1.0
                counts[0, r] += y[k] > c[k]
                k += 1
        counts[1, r] = k
        status[r] = TOO_FEW_STUDIES if k < 2 and status[r] == 0 else status[r]
        if status[r] == 0 and not fit_star(y[:k], v[:k], c[:k], side[:k], fall, found[r]):
            status[r] = NOT_CONVERGED
