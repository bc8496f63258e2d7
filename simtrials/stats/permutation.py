"""Permutation test of a pooled effect: under no effect, every sign of every study's effect is equally likely."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.intervals import MarginRule, interval_with_margin
from simtrials.stats.meta_analysis import TAU2_METHODS, Tau2Choice
from simtrials.stats.meta_shapes import BLOCK, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import pool
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import tau2_of

Alternative = Literal["two_sided", "greater", "less"]
EQUAL_WITHIN = float(np.sqrt(np.finfo(np.float64).eps))
"""Statistics that differ by less are equal, as in R's metafor."""
RULES: tuple[str, ...] = ("wald", "hartung_knapp", "hartung_knapp_adhoc")


@readable
class PermutationTest(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where the meta-analysis cannot be fitted."""

    statistic: FloatArray
    """observed: estimate by standard error"""
    p_value: FloatArray
    """share of the sign flips whose statistic is at least as extreme as the observed one, which counts itself"""
    n_flips: IntArray
    exact: BoolArray
    """whether these are all sign flips"""
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES below two studies, ZERO_VARIANCE, NOT_CONVERGED where the observed tau2 did not converge"""


def permutation_test(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    tau2: Tau2Choice = "REML",
    ci: MarginRule = "wald",
    alternative: Alternative = "two_sided",
    max_exact: int = 4096,
    n_random: int = 1000,
    rng: np.random.Generator | int | None = None,
) -> PermutationTest:
    """Sign-flip permutation test of a mean effect of 0, (k,) for one body of evidence or (..., k) for many; tau2 is estimated for every flip.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    tau2 : estimator of the variance between studies as for `meta_analysis`
    ci : rule of the standard error in the statistic: wald, hartung_knapp or hartung_knapp_adhoc
    alternative : "greater" and "less" count statistics on one side
    max_exact : all 2^k flips are taken where they are no more than this
    n_random : flips to take otherwise, the observed signs being one of them
    rng : generator or seed of random flips; needed where there are any. Each body of evidence has flips of its own

    Returns
    -------
    PermutationTest; flips whose tau2 does not converge count with its last value

    Source: Follmann and Proschan (1999), Biometrics 55, 732-737; as in R's metafor::permutest.
    """
    evidence = evidence_of(yi, vi, "permutation_test")
    checked_word("permutation_test", "tau2", tau2, tuple(word for word in TAU2_METHODS if word != "GENQ"))
    checked_word("permutation_test", "ci", ci, RULES)
    checked_word("permutation_test", "alternative", alternative, Alternative)
    if not (max_exact >= 0 and n_random >= 2):
        raise ValueError(f"permutation_test: max_exact must be at least 0 and n_random at least 2, got {max_exact} and {n_random}")
    studies = evidence.studies()
    n_replicates, n_studies = studies.y.shape
    observed, k, status = _statistics(studies, tau2, ci)
    present = (~np.isnan(studies.y)).sum(axis=-1)
    exact = present <= (np.log2(max_exact) if max_exact > 0 else -1)
    testable = ~np.isnan(observed)
    if rng is None and (testable & ~exact).any():
        raise ValueError(f"permutation_test: {present[testable & ~exact].max()} studies have more than max_exact sign flips; random ones need rng")
    generator = np.random.default_rng(rng)
    extreme, counted = np.zeros(n_replicates), np.zeros(n_replicates, dtype=np.int64)
    half = alternative == "two_sided"  # turning all signs round turns the statistic round
    for those, signs in _flips(studies.y, exact, testable, half, n_random, generator):
        n_flips = signs.shape[-2]
        flipped = studies.y[those][:, np.newaxis] * signs
        repeated = np.broadcast_to(studies.v[those][:, np.newaxis], flipped.shape).reshape(-1, n_studies)
        values = _statistics(Studies.of(flipped.reshape(-1, n_studies), repeated), tau2, ci)[0].reshape(-1, n_flips)
        known = ~np.isnan(values)
        extreme[those] += (known & _as_extreme(values, observed[those, np.newaxis], alternative)).sum(axis=-1)
        counted[those] += known.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = np.where(testable, extreme / counted, np.nan)
    counted[exact & half] *= 2
    columns = observed, p_value, counted, exact, k, status
    return PermutationTest(*(shaped(column, evidence.shape) for column in columns))


def _statistics(studies: Studies, tau2: Tau2Choice, rule: MarginRule) -> tuple[FloatArray, IntArray, IntArray]:
    """Estimate by standard error, number of studies and status, (replicate,) each."""
    between, fit_status = np.zeros(len(studies.y)), np.zeros(len(studies.y), dtype=np.int64)
    if tau2 != "common":
        fit = tau2_of(studies, tau2)
        between, fit_status = fit.estimate, fit.status
    pooled = pool(studies, between)
    std_error = interval_with_margin(studies, pooled, between, rule, 0.95).std_error[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = pooled.coefficients[:, 0] / std_error
    status = np.where(pooled.status != MetaStatus.OK, pooled.status, fit_status)
    few = (status == MetaStatus.OK) & (pooled.n_studies < 2)
    return np.where(few, np.nan, statistic), pooled.n_studies, np.where(few, int(MetaStatus.TOO_FEW_STUDIES), status)


def _as_extreme(values: FloatArray, observed: FloatArray, alternative: Alternative) -> BoolArray:
    if alternative == "two_sided":
        return np.asarray(np.abs(values) >= np.abs(observed) - EQUAL_WITHIN)
    return np.asarray(values >= observed - EQUAL_WITHIN if alternative == "greater" else values <= observed + EQUAL_WITHIN)


def _flips(
    y: FloatArray, exact: BoolArray, testable: BoolArray, half: bool, n_random: int, rng: np.random.Generator
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Replicates and their signs, (replicate or 1, flip, study), in blocks that keep memory flat; absent studies have signs that do not matter.

    With `half` exact flips leave the last study as it is.
    """
    n_studies = y.shape[1]
    present = ~np.isnan(y)
    patterns, member = np.unique(present[exact & testable], axis=0, return_inverse=True)
    replicates = np.flatnonzero(exact & testable)
    for pattern, which in zip(patterns, range(len(patterns)), strict=True):
        those = replicates[member.reshape(-1) == which]
        k = int(pattern.sum())
        rows = max(1, BLOCK // n_studies)
        n_flips = 2 ** (k - 1 if half else k)
        for start in range(0, n_flips, rows):
            codes = np.arange(start, min(start + rows, n_flips))
            signs = np.ones((len(codes), n_studies))
            signs[:, pattern] = 1.0 - 2.0 * ((codes[:, np.newaxis] >> np.arange(k)) & 1)
            size = max(1, BLOCK // signs.size)
            for first in range(0, len(those), size):
                yield those[first : first + size], signs[np.newaxis]
    others = np.flatnonzero(~exact & testable)
    size = max(1, BLOCK // (n_random * n_studies))
    for first in range(0, len(others), size):
        those = others[first : first + size]
        signs = np.where(rng.random((len(those), n_random, n_studies)) < 0.5, -1.0, 1.0)
        signs[:, 0] = 1.0
        yield those, signs
