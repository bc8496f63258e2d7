"""Bayesian random-effects meta-analysis: studies normal around their true effects, these normal around mu with standard deviation tau.

Given tau, mu is normal with precision p = sum w (+ 1 / s0^2), w = 1 / (v + tau^2), and mean sum w y (+ m0 / s0^2) over p. What is left is one
integral over tau, taken by Gauss-Legendre quadrature: the posterior of mu is a mixture of normals over the nodes. The variable of integration is
u = log(1 + tau / c), where c is the smaller of the smallest standard error and the scale of the prior: in u the integrand has no detail narrower
than the panels, however small or large tau is. No random numbers are used.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.bayes_meta_kernels import fit_all
from simtrials.stats.shown import readable
from simtrials.stats.study_arrays import checked_level, flat_studies, in_shape

TauPrior = Literal["half_normal", "half_cauchy", "uniform"]
TAU_PRIORS: tuple[str, ...] = get_args(TauPrior)


@readable
class BayesianMetaAnalysis(NamedTuple):
    """Posterior of a random-effects meta-analysis, in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    """posterior mean of mu, the mean of the true effects"""
    std_error: FloatArray
    """posterior standard deviation of mu"""
    median: FloatArray
    lower: FloatArray
    """equal-tailed limits of mu"""
    upper: FloatArray
    probability_positive: FloatArray
    """posterior probability of mu > 0"""
    tau_mean: FloatArray
    """posterior mean of tau, the standard deviation of the true effects"""
    tau_median: FloatArray
    tau_lower: FloatArray
    """equal-tailed limits of tau"""
    tau_upper: FloatArray
    prediction_lower: FloatArray
    """equal-tailed limits of the true effect in a new study"""
    prediction_upper: FloatArray
    log_evidence: FloatArray
    """logarithm of the density of the effects under model and priors; NaN with the flat prior of mu, which has no density"""
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def bayesian_meta_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    tau_prior: TauPrior = "half_normal",
    scale: float = 0.5,
    mu_prior: tuple[float, float] | None = None,
    level: float = 0.95,
) -> BayesianMetaAnalysis:
    """Posterior of the mean effect, of the heterogeneity and of the effect in a new study, under given priors.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent
    tau_prior, scale : prior of tau: "half_normal" or "half_cauchy" with this scale, or "uniform" between 0 and the scale
    mu_prior : mean and standard deviation of a normal prior of mu; None is the flat prior
    level : of the equal-tailed intervals

    Returns
    -------
    BayesianMetaAnalysis; TOO_FEW_STUDIES without studies, ZERO_VARIANCE. One study is enough, for the prior of tau is proper. A moment that does
    not exist is infinite (half_cauchy: the standard deviation of mu with two studies or fewer under the flat prior; tau_mean with one); the mean
    of mu is then NaN where it does not exist either (one study). The error of the quadrature is below 1e-6 of the width of the interval.

    Source: Spiegelhalter, Abrams and Myles (2004), Bayesian Approaches to Clinical Trials and Health-Care Evaluation, chapter 8; Roever (2020),
    Journal of Statistical Software 93(6), equations 4 to 12.
    """
    if tau_prior not in TAU_PRIORS:
        raise ValueError(f"tau_prior: {tau_prior!r} is not known{did_you_mean(str(tau_prior), TAU_PRIORS)}")
    if not 0.0 < scale < np.inf:
        raise ValueError(f"scale: must be positive and finite, got {scale}")
    m0, s0 = (0.0, np.inf) if mu_prior is None else mu_prior
    if mu_prior is not None and not (np.isfinite(m0) and 0.0 < s0 < np.inf):
        raise ValueError(f"mu_prior: must be a finite mean and a positive standard deviation, got {mu_prior}")
    tail = (1 - checked_level(level)) / 2
    shape, (y, v) = flat_studies(yi, vi)
    found, status = np.full((len(y), 13), np.nan), np.zeros(len(y), dtype=np.int64)
    fit_all(y, v, TAU_PRIORS.index(tau_prior), float(scale), float(m0), float(s0) ** -2, tail, found, status)
    columns = [*found.T, (~np.isnan(y)).sum(axis=1), status]
    return BayesianMetaAnalysis._make(in_shape(column, shape) for column in columns)
