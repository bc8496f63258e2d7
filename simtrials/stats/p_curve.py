"""The p-curve: effect size from, and evidential value of, the p-values of significant studies."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_curve_kernels import fit_p_curve
from simtrials.stats.p_uniform import significant
from simtrials.stats.p_uniform_star import cutoffs
from simtrials.stats.shown import readable
from simtrials.stats.study_arrays import Alternative, in_shape, sign_of


@readable
class PCurve(NamedTuple):
    """Results in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    """common effect of the significant studies"""
    loss: FloatArray
    """Kolmogorov-Smirnov distance of the conditional p-values from uniform at the estimate"""
    evidence_statistic: FloatArray
    """Stouffer's z of the full p-curve: right skew, that is evidential value, makes it negative"""
    evidence_p_value: FloatArray
    """one-sided"""
    half_statistic: FloatArray
    """the same of the half p-curve, p-values below alpha / 2; NaN where there are none"""
    half_p_value: FloatArray
    flat_statistic: FloatArray
    """Stouffer's z against a power of 33%: a curve flatter than that makes it negative"""
    flat_p_value: FloatArray
    """one-sided: small where evidential value is inadequate or absent"""
    has_evidential_value: BoolArray
    """half p-curve p < .05, or both half and full p < .10"""
    n_significant: IntArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def p_curve(yi: ArrayLike, vi: ArrayLike, alternative: Alternative = "greater", *, alpha: float = 0.05, cutoff: ArrayLike | None = None) -> PCurve:
    """Common effect from the significant studies of one direction by the p-curve, and its tests of evidential value.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent; studies are taken to be tested by effect over error
    alternative : "greater" where positive significant effects are used, "less" where negative ones are
    alpha, cutoff : as for `p_uniform_star`

    Returns
    -------
    PCurve; NO_SIGNIFICANT_STUDY, TOO_FEW_STUDIES without studies, ZERO_VARIANCE. The loss is the larger of two monotone functions of the effect, so
    that its minimum, where they meet, is found without a search interval. Heterogeneity biases the estimate upwards.

    Source: Simonsohn, Nelson and Simmons (2014), Perspectives on Psychological Science 9, 666-681 (effect size); the same (2014), Journal of
    Experimental Psychology: General 143, 534-547 (33% power); Simonsohn, Simmons and Nelson (2015), ibid. 144, 1146-1152 (Stouffer, half curve).
    """
    shape, (y, v, c) = cutoffs(yi, vi, alternative, alpha, cutoff)
    n_significant, n_studies, status = significant(y, v, c)
    found = np.full((len(y), 2), np.nan)
    fit_p_curve(y, v, c, status, found)
    with np.errstate(invalid="ignore", divide="ignore"):
        ok = (status == MetaStatus.OK)[:, np.newaxis]
        z, critical = y / np.sqrt(v), c / np.sqrt(v)
        counts = ok & (y > c)
        log_p, log_cut = log_ndtr(-z), log_ndtr(-critical)
        halves = counts & (log_p < log_cut + np.log(0.5))
        full = _stouffer(ndtri_exp(np.where(counts, log_p - log_cut, np.nan)), counts)
        half = _stouffer(ndtri_exp(np.where(halves, log_p - log_cut - np.log(0.5), np.nan)), halves)
        beyond = 3 * ndtr(critical + ndtri(1 / 3) - z)  # share of the p-values, at a power of 1/3, that are smaller
        flat = _stouffer(-ndtri(np.where(counts, beyond, np.nan)), counts)
        p_full, p_half, p_flat = ndtr(full), ndtr(half), ndtr(flat)
        evident = (p_half < 0.05) | ((p_half < 0.1) & (p_full < 0.1))
    estimate = sign_of(alternative) * found[:, 0]
    columns = estimate, found[:, 1], full, p_full, half, p_half, flat, p_flat, evident, n_significant, n_studies, status
    return PCurve._make(in_shape(np.asarray(column), shape) for column in columns)


def _stouffer(z: FloatArray, counts: BoolArray) -> FloatArray:
    """Sum over studies that count, divided by the root of their number, (replicate,); NaN without any."""
    n = counts.sum(axis=1)
    return np.asarray(np.where(counts, z, 0.0).sum(axis=1) / np.sqrt(np.where(n > 0, n, np.nan)))
