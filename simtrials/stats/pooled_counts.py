"""Events of two arms pooled over studies, without a model of heterogeneity: the methods of Mantel and Haenszel and of Peto, and tests.

The estimates of Mantel and Haenszel themselves are those of `stratified`. As in R's metafor (rma.mh, rma.peto), rules for zero cells come in
pairs: the first of each pair is for the effects of single studies, which only the heterogeneity uses, the second for the pooled effect, by
default nothing.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.status import Status
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS, Tables, To
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.proportions import Estimate
from simtrials.stats.shown import readable
from simtrials.stats.stratified import (
    StratifiedCounts,
    cochran_mantel_haenszel_test,
    mantel_haenszel_log_odds_ratio,
    mantel_haenszel_log_risk_ratio,
    mantel_haenszel_risk_difference,
)

PooledMeasure = Literal["OR", "RR", "RD"]
POOLED: dict[str, Callable[[StratifiedCounts], Estimate]] = {
    "OR": mantel_haenszel_log_odds_ratio,
    "RR": mantel_haenszel_log_risk_ratio,
    "RD": mantel_haenszel_risk_difference,
}


class ZeroCells(NamedTuple):
    """What is done about zero cells: in the effects of single studies, and in the pooled effect."""

    add: tuple[float, float] = (0.5, 0.0)
    """to each of the four cells"""
    to: tuple[To, To] = ("only0", "none")
    """which studies: "only0" those with a zero cell, "all", "if0all" all of a meta-analysis if one has a zero cell, "none" """
    drop00: tuple[bool, bool] = (True, False)
    """whether studies without events, or with events only, are left out"""


class PooledCounts(NamedTuple):
    """Pooled effect and heterogeneity, (replicate,) each."""

    estimate: FloatArray
    std_error: FloatArray
    q: FloatArray
    q_df: FloatArray
    n_studies: IntArray
    """those with patients in both arms that are not dropped from the pooled effect"""
    status: IntArray
    """`MetaStatus`"""


def _present(tables: Tables) -> StratifiedCounts:
    """Counts of studies, 0 for an absent one."""
    known = ~np.isnan(sum(tables))
    a, n1, c, n0 = (np.where(known, count, 0.0) for count in (tables.a, tables.n_active, tables.c, tables.n_control))
    return StratifiedCounts(a, n1, c, n0)


def _sum_of_known(terms: FloatArray) -> FloatArray:
    """Over studies, one after the other, so that absent ones, with NaN, change no digit."""
    return np.asarray(np.add.accumulate(np.where(np.isnan(terms), 0.0, terms), axis=-1)[..., -1])


def _heterogeneity(measure: str, tables: Tables, zeros: ZeroCells, pooled: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q of the effects of single studies around the pooled effect, and its degrees of freedom."""
    yi, vi = COUNT_EFFECTS[measure](tables.corrected(zeros.add[0], zeros.to[0], zeros.drop00[0]))
    usable = np.isfinite(yi) & np.isfinite(vi) & (vi > 0)
    weight = 1 / np.where(usable, vi, np.nan)
    df = np.maximum(usable.sum(axis=-1) - 1.0, 0.0)
    q = _sum_of_known(weight * (yi - pooled[:, np.newaxis]) ** 2)
    return np.where(np.isnan(pooled), np.nan, np.where(df == 0, 0.0, q)), df


def _counted(tables: Tables) -> IntArray:
    return np.asarray((~np.isnan(sum(tables))).sum(axis=-1), dtype=np.int64)


def _meta_status(n_studies: IntArray, *reasons: tuple[BoolArray, MetaStatus]) -> IntArray:
    conditions = [n_studies == 0, *(condition for condition, _ in reasons), n_studies == 1]
    codes = [MetaStatus.TOO_FEW_STUDIES, *(code for _, code in reasons), MetaStatus.SINGLE_STUDY]
    return np.asarray(np.select(conditions, [int(code) for code in codes], 0), dtype=np.int64)


def mantel_haenszel(tables: Tables, measure: PooledMeasure, zeros: ZeroCells) -> PooledCounts:
    """Pooled log odds ratio, log risk ratio or risk difference by the weights of Mantel and Haenszel.

    Parameters
    ----------
    tables : (replicate, study), NaN for an absent study
    measure : "OR" (variance of Robins, Breslow and Greenland), "RR" (Greenland and Robins), "RD" (Sato, Greenland and Robins)

    Returns
    -------
    PooledCounts; NaN with EMPTY_CELL where the ratio is 0, infinite or 0 / 0; NO_VARIATION with a standard error of 0 where nobody (or everybody)
    has the event

    Source: as in `stratified`; heterogeneity as in R's metafor::rma.mh.
    """
    corrected = tables.corrected(zeros.add[1], zeros.to[1], zeros.drop00[1])
    n_studies = _counted(corrected)
    found = POOLED[measure](_present(corrected))
    estimate = np.where(n_studies > 0, found.estimate, np.nan)
    q, df = _heterogeneity(measure, tables, zeros, estimate)
    empty, constant = found.status == Status.EMPTY_CELL, found.status == Status.NO_VARIATION
    status = _meta_status(n_studies, (empty, MetaStatus.EMPTY_CELL), (constant, MetaStatus.NO_VARIATION))
    return PooledCounts(estimate, np.where(n_studies > 0, found.std_error, np.nan), q, df, n_studies, status)


def peto(tables: Tables, zeros: ZeroCells) -> PooledCounts:
    """Peto's log odds ratio: the excess of events under active over its hypergeometric variance.

    Studies in which nobody, or everybody, has the event say nothing. Biased where arms differ in size or effects are large.

    Returns
    -------
    PooledCounts; NaN with EMPTY_CELL where no study has events and non-events

    Source: Yusuf, Peto, Lewis, Collins and Sleight (1985), Progress in Cardiovascular Diseases 27, 335-371, appendix; Q as in R's
    metafor::rma.peto.
    """
    corrected = tables.corrected(zeros.add[1], zeros.to[1], zeros.drop00[1])
    n_studies = _counted(corrected)
    excess, variance = _excess_and_variance(corrected)
    total, information = _sum_of_known(excess), _sum_of_known(variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate, std_error = total / information, 1 / np.sqrt(information)
        squares = _sum_of_known(excess**2 / np.where(variance > 0, variance, np.nan))
        q = np.maximum(0.0, squares - total * estimate)
    yi, vi = COUNT_EFFECTS["PETO"](tables.corrected(zeros.add[0], zeros.to[0], zeros.drop00[0]))
    df = np.maximum((np.isfinite(yi) & np.isfinite(vi)).sum(axis=-1) - 1.0, 0.0)
    empty = ~(information > 0)
    estimate, std_error, q = (np.where(empty, np.nan, number) for number in (estimate, std_error, q))
    return PooledCounts(estimate, std_error, q, df, n_studies, _meta_status(n_studies, (empty, MetaStatus.EMPTY_CELL)))


def _excess_and_variance(t: Tables) -> tuple[FloatArray, FloatArray]:
    """Events under active beyond expectation, and the hypergeometric variance, of each study given its margins."""
    events, others = t.a + t.c, t.b + t.d
    excess = (t.a * t.n_control - t.c * t.n_active) / t.n
    return excess, np.asarray(events * others * t.n_active * t.n_control / (t.n**2 * np.maximum(t.n - 1, 1)))


@readable
class AssociationTests(NamedTuple):
    """Chi-squared tests that go with the pooled odds ratio, (replicate,) each; NaN where all patients have the same outcome."""

    mantel_haenszel: FloatArray
    """no effect in any study, one degree of freedom, hypergeometric variances (Cochran, Mantel and Haenszel)"""
    mantel_haenszel_p_value: FloatArray
    cochran: FloatArray
    """the same with binomial variances"""
    cochran_p_value: FloatArray
    breslow_day: FloatArray
    """one odds ratio in all studies"""
    breslow_day_p_value: FloatArray
    tarone: FloatArray
    """the same with Tarone's correction"""
    tarone_p_value: FloatArray


def association_tests(tables: Tables, zeros: ZeroCells | None = None, *, continuity_correction: bool = True) -> AssociationTests:
    """Tests of no effect (Mantel and Haenszel, Cochran) and of a common odds ratio (Breslow and Day, Tarone).

    The continuity correction takes one half off the size of the excess where that is at least one half, as R's mantelhaen.test does; R's
    metafor takes it off also where the excess is smaller, which makes the statistic grow as the excess shrinks.

    Source: Mantel and Haenszel (1959), Journal of the National Cancer Institute 22, 719-748; Cochran (1954), Biometrics 10, 417-451; Breslow
    and Day (1980), Statistical Methods in Cancer Research I, 142; Tarone (1985), Biometrika 72, 91-95.
    """
    rules = zeros or ZeroCells()
    t = tables.corrected(rules.add[1], rules.to[1], rules.drop00[1])
    test = cochran_mantel_haenszel_test(_present(t), continuity_correction)
    variance = _excess_and_variance(t)[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        binomial = _sum_of_known(variance * np.maximum(t.n - 1, 1) / t.n)
        hypergeometric = _sum_of_known(variance)
        mh = np.where(test.status == Status.OK, test.statistic**2, np.nan)
        cochran = mh * hypergeometric / binomial
    ones = np.ones(len(mh))
    common = mantel_haenszel_log_odds_ratio(_present(t)).estimate
    residual, information = _residuals_of_common_odds_ratio(t, common)
    df = np.maximum((~np.isnan(information)).sum(axis=-1) - 1.0, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        day = np.where(np.isnan(common), np.nan, _sum_of_known(residual**2 / information))
        tarone = np.maximum(0.0, day - _sum_of_known(residual) ** 2 / _sum_of_known(information))
    homogeneity = (day, chi2_p_value(day, df), tarone, chi2_p_value(tarone, df))
    return AssociationTests(mh, chi2_p_value(mh, ones), cochran, chi2_p_value(cochran, ones), *homogeneity)


def _residuals_of_common_odds_ratio(t: Tables, log_odds_ratio: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Events under active beyond those expected under one odds ratio and the margins, and their variance; NaN for studies that say nothing.

    The expected count solves a quadratic equation; of its two roots the one between the margins, in the form that does not cancel.
    """
    ratio = np.exp(log_odds_ratio)[:, np.newaxis]
    events, others = t.a + t.c, t.b + t.d
    linear = ratio * (t.n_active + events) + t.n_control - events
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(linear**2 - 4 * t.n_active * events * ratio * (ratio - 1), 0.0))
        expected = 2 * t.n_active * events * ratio / (linear + root)
        without, control = t.n_active - expected, events - expected
        information = 1 / (1 / expected + 1 / without + 1 / control + 1 / (t.n_control - control))
    says = (events > 0) & (others > 0) & (expected > 0)
    return np.where(says, t.a - expected, np.nan), np.where(says, information, np.nan)
