"""Test of excess significance: are there more significant studies than their power lets expect?"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_analysis import TAU2_METHODS, Tau2Choice
from simtrials.stats.meta_shapes import checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import pool
from simtrials.stats.shown import readable
from simtrials.stats.tau2 import tau2_of

Alternative = Literal["two_sided", "greater", "less"]
CountTest = Literal["exact", "chi_squared"]
DIRECTIONS: tuple[Alternative, ...] = ("greater", "less", "two_sided")
EQUAL_WITHIN = float(np.sqrt(np.finfo(np.float64).eps))
"""Probabilities that differ by less are equal, as in R's metafor."""


@readable
class ExcessSignificance(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where something cannot be estimated."""

    observed: FloatArray
    """significant studies"""
    expected: FloatArray
    """sum of the power of all studies at the pooled effect, over the distribution of true effects"""
    ratio: FloatArray
    """observed by expected"""
    chi_squared: FloatArray
    """(O - E)^2 / E + (O - E)^2 / (k - E)"""
    p_value: FloatArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus` of the pooled effect"""


def excess_significance_test(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    tau2: Tau2Choice = "REML",
    effect: ArrayLike | None = None,
    alternative: Alternative = "two_sided",
    alpha: float = 0.05,
    test: CountTest = "exact",
    excess: Alternative = "greater",
) -> ExcessSignificance:
    """Compare the number of significant studies with its expectation, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the variance between studies as for `meta_analysis`; the power of a study is its mean over true effects
    effect : mean of the true effects, one number or (...,); default: the pooled one
    alternative, alpha : the test that studies are supposed to have made of an effect of 0
    test : "exact", the distribution of a sum of unequal coins, or "chi_squared", which takes the average power for all studies
    excess : direction of the test of numbers: "greater", more significant studies than expected

    Source: Ioannidis and Trikalinos (2007), Clinical Trials 4, 245-253; exact distribution and power under heterogeneity as in R's metafor::tes,
    which integrates numerically what is a normal probability.
    """
    evidence = evidence_of(yi, vi, "excess_significance_test")
    checked_word("excess_significance_test", "tau2", tau2, tuple(word for word in TAU2_METHODS if word != "GENQ"))
    checked_word("excess_significance_test", "alternative", alternative, Alternative)
    checked_word("excess_significance_test", "test", test, CountTest)
    checked_word("excess_significance_test", "excess", excess, Alternative)
    checked_share("excess_significance_test", "alpha", alpha)
    studies, n = evidence.studies(), len(evidence.y)
    between, fit_status = np.zeros(n), np.zeros(n, dtype=np.int64)
    if tau2 != "common":
        fit = tau2_of(studies, tau2)
        between, fit_status = fit.estimate, fit.status
    pooled = pool(studies, between)
    mean = pooled.coefficients[:, 0]
    if effect is not None:
        try:
            mean = np.broadcast_to(np.asarray(effect, dtype=np.float64), evidence.shape[:-1]).reshape(n)
        except ValueError:
            raise ValueError(
                f"excess_significance_test: effect must be one number or of shape {evidence.shape[:-1]}, got {np.shape(effect)}"
            ) from None
    power, significant = _power(evidence.y, evidence.v, mean, between, alternative, alpha)
    k = pooled.n_studies
    observed, expected = significant.sum(axis=-1).astype(np.float64), np.nansum(power, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        chi_squared = (observed - expected) ** 2 * (1 / expected + 1 / (k - expected))
    if test == "exact":
        p_value = np.full(n, np.nan)
        _count_p_values(power, observed.astype(np.int64), DIRECTIONS.index(excess), p_value)
    else:
        z = np.sign(observed - expected) * np.sqrt(chi_squared)
        p_value = {"greater": ndtr(-z), "less": ndtr(z), "two_sided": 2 * ndtr(-np.abs(z))}[excess]
    status = np.where(pooled.status != MetaStatus.OK, pooled.status, fit_status)
    known = np.isin(status, (int(MetaStatus.OK), int(MetaStatus.NOT_CONVERGED)))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [np.where(known, column, np.nan) for column in (observed, expected, observed / expected, chi_squared, p_value)]
    return ExcessSignificance(*(shaped(column, evidence.shape) for column in (*columns, k, status)))


def _power(y: FloatArray, v: FloatArray, mean: FloatArray, tau2: FloatArray, alternative: Alternative, alpha: float) -> tuple[FloatArray, BoolArray]:
    """Power of each study over true effects of this mean and variance, and whether it is significant, (replicate, study) each."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error, spread = np.sqrt(v), np.sqrt(v + tau2[:, np.newaxis])
        critical = -float(ndtri(alpha / 2 if alternative == "two_sided" else alpha)) * error
        above, below = ndtr((mean[:, np.newaxis] - critical) / spread), ndtr((-critical - mean[:, np.newaxis]) / spread)
        if alternative == "two_sided":
            return above + below, np.abs(y) >= critical
        return (above, y >= critical) if alternative == "greater" else (below, y <= -critical)


@kernel
def _count_p_values(power: FloatArray, observed: IntArray, direction: int, p_value: FloatArray) -> None:
    """Tails of the sum of independent events with these probabilities: 0 at least as many as observed, 1 at most, 2 no more probable."""
    n_studies = power.shape[1]
    mass = np.empty(n_studies + 1)
    for replicate in range(power.shape[0]):
        mass[:] = 0.0
        mass[0] = 1.0
        k = 0
        for s in range(n_studies):
            chance = power[replicate, s]
            if np.isnan(chance):
                continue
            k += 1
            for count in range(k, 0, -1):
                mass[count] = mass[count] * (1.0 - chance) + mass[count - 1] * chance
            mass[0] *= 1.0 - chance
        at = observed[replicate]
        total = 0.0
        for count in range(k + 1):
            if direction == 0:
                counts = count >= at
            elif direction == 1:
                counts = count <= at
            else:
                counts = mass[count] <= mass[at] + EQUAL_WITHIN
            if counts:
                total += mass[count]
        p_value[replicate] = min(1.0, total)
