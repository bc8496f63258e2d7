"""Corrections of small-study effects by regression: PET, PEESE, the conditional PET-PEESE; unrestricted weighted least squares and WAAP.

All are weighted linear models with weights 1 / v and a free residual variance, without a variance between studies.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.stats.meta_shapes import Evidence, checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable
from simtrials.stats.small_study import Regressed, regressed, with_predictor

Alternative = Literal["greater", "less"]
Rule = Literal["two_sided", "one_sided", "two_sided_positive"]
ADEQUATE_POWER = 2.8
"""1.96 + 0.84: how many standard errors an effect must measure to be found with a power of 80% by a two-sided test at 5%."""


@readable
class CorrectedEffect(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where something cannot be estimated."""

    estimate: FloatArray
    """the effect in the limit of an infinitely precise study"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of a limit effect of 0"""
    df: FloatArray
    """of the t distribution"""
    slope: FloatArray
    """of effects on standard errors (PET) or variances (PEESE)"""
    slope_std_error: FloatArray
    slope_p_value: FloatArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES below three studies, COLLINEAR where all variances are equal, NO_VARIATION on an exact line"""


def pet(yi: ArrayLike, vi: ArrayLike, *, level: float = 0.95) -> CorrectedEffect:
    """Precision-effect test: the intercept of Egger's regression of effects on their standard errors.

    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent.

    Source: Stanley and Doucouliagos (2014), Research Synthesis Methods 5, 60-78.
    """
    evidence = _evidence(yi, vi, level, "pet")
    return _shaped(_pet(evidence, level), evidence)


def peese(yi: ArrayLike, vi: ArrayLike, *, level: float = 0.95) -> CorrectedEffect:
    """Precision-effect estimate with standard error: the intercept of the regression of effects on their sampling variances.

    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent.

    Source: Stanley and Doucouliagos (2014), Research Synthesis Methods 5, 60-78.
    """
    evidence = _evidence(yi, vi, level, "peese")
    return _shaped(_peese(evidence, level), evidence)


@readable
class PetPeese(NamedTuple):
    """The estimate that the rule chooses, in the shape of the input without its last axis."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    df: FloatArray
    took_peese: BoolArray
    """True where PET rejected and PEESE is reported"""
    pet_p_value: FloatArray
    """two-sided, of PET's intercept"""
    n_studies: IntArray
    status: IntArray


def pet_peese(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    rule: Rule = "one_sided",
    alternative: Alternative = "greater",
    alpha: float = 0.05,
    level: float = 0.95,
) -> PetPeese:
    """PEESE where PET finds an effect, PET otherwise; interval and p-value are those of the estimate that was taken, as if it had not been chosen.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent
    rule : when PET's intercept is said to differ from 0. Publications differ:
        "two_sided"           two-sided p < alpha, in either direction;
        "one_sided"           one-sided p < alpha in the direction of `alternative`, which is two-sided p < 2 alpha (Stanley 2017);
        "two_sided_positive"  two-sided p < alpha and an estimate in the direction of `alternative`
    alternative : direction of benefit, for the last two rules
    alpha, level : of the test in the rule, and of the interval

    Source: Stanley (2017), Social Psychological and Personality Science 8, 581-591; Carter et al. (2019), Advances in Methods and Practices in
    Psychological Science 2, 115-144, whose program has the first rule and, in a comment, the second.
    """
    evidence = _evidence(yi, vi, level, "pet_peese")
    checked_word("pet_peese", "rule", rule, Rule)
    checked_word("pet_peese", "alternative", alternative, Alternative)
    checked_share("pet_peese", "alpha", alpha)
    by_error, by_variance = _pet(evidence, level), _peese(evidence, level)
    right_side = by_error.estimate > 0 if alternative == "greater" else by_error.estimate < 0
    found = by_error.p_value < (2 * alpha if rule == "one_sided" else alpha)
    took_peese = found if rule == "two_sided" else found & right_side
    chosen = [np.where(took_peese, second, first) for first, second in zip(by_error[:6], by_variance[:6], strict=True)]
    status = np.where(took_peese, by_variance.status, by_error.status)
    columns = [*chosen, took_peese, by_error.p_value, by_error.n_studies, status]
    return PetPeese(*(shaped(column, evidence.shape) for column in columns))


@readable
class WeightedLeastSquares(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where something cannot be estimated."""

    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of an effect of 0"""
    df: FloatArray
    dispersion: FloatArray
    """residual variance in units of the sampling variances, 1 where these explain all variation"""
    n_studies: IntArray
    n_adequate: IntArray
    """studies with adequate power; all studies in `unrestricted_wls`"""
    status: IntArray
    """`MetaStatus`: SINGLE_STUDY (its own estimate), NO_VARIATION where all studies agree exactly, TOO_FEW_STUDIES, ZERO_VARIANCE"""


def unrestricted_wls(yi: ArrayLike, vi: ArrayLike, *, level: float = 0.95) -> WeightedLeastSquares:
    """Unrestricted weighted least squares: the common-effect mean, with a standard error scaled by the dispersion of the studies.

    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent. The scale may be below 1.

    Source: Stanley and Doucouliagos (2015), Statistics in Medicine 34, 2116-2127.
    """
    evidence = _evidence(yi, vi, level, "unrestricted_wls")
    fit = regressed(evidence.studies(), "common", "hartung_knapp", level)
    return _wls(fit, fit.pooled.n_studies, fit.pooled.n_studies, evidence.shape)


def waap_wls(yi: ArrayLike, vi: ArrayLike, *, level: float = 0.95, standard_errors: float = ADEQUATE_POWER) -> WeightedLeastSquares:
    """Weighted average of the adequately powered: `unrestricted_wls` of the studies that could find the effect that all studies show.

    A study is adequate when its standard error is at most |estimate from all studies| / `standard_errors`; with fewer than two such studies the
    estimate from all studies stands.

    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent.

    Source: Stanley, Doucouliagos and Ioannidis (2017), Statistics in Medicine 36, 1580-1598.
    """
    evidence = _evidence(yi, vi, level, "waap_wls")
    if not standard_errors > 0:
        raise ValueError(f"waap_wls: standard_errors must be positive, got {standard_errors!r}")
    everybody = regressed(evidence.studies(), "common", "hartung_knapp", level)
    with np.errstate(invalid="ignore"):
        adequate = evidence.std_error <= np.abs(everybody.pooled.coefficients) / standard_errors
    n_adequate = adequate.sum(axis=-1)
    used = adequate | (n_adequate < 2)[:, np.newaxis]
    fit = regressed(evidence._replace(y=np.where(used, evidence.y, np.nan)).studies(), "common", "hartung_knapp", level)
    return _wls(fit, everybody.pooled.n_studies, n_adequate, evidence.shape)


def _evidence(yi: ArrayLike, vi: ArrayLike, level: float, function: str) -> Evidence:
    checked_share(function, "level", level)
    return evidence_of(yi, vi, function)


def _pet(evidence: Evidence, level: float) -> CorrectedEffect:
    return _corrected(evidence, evidence.std_error, level)


def _peese(evidence: Evidence, level: float) -> CorrectedEffect:
    return _corrected(evidence, evidence.v, level)


def _corrected(evidence: Evidence, predictor: FloatArray, level: float) -> CorrectedEffect:
    """(replicate,) each."""
    fit = regressed(with_predictor(evidence, predictor), "common", "hartung_knapp", level)
    inside = fit.interval
    first = [column[:, 0] for column in (fit.pooled.coefficients, inside.std_error, inside.lower, inside.upper, inside.p_value)]
    second = [column[:, 1] for column in (fit.pooled.coefficients, inside.std_error, inside.p_value)]
    df = np.where(np.isnan(second[0]), np.nan, inside.df)
    return CorrectedEffect._make([*first, df, *second, fit.pooled.n_studies, fit.status])


def _shaped(found: CorrectedEffect, evidence: Evidence) -> CorrectedEffect:
    return CorrectedEffect(*(shaped(column, evidence.shape) for column in found))


def _wls(fit: Regressed, n_studies: IntArray, n_adequate: IntArray, shape: tuple[int, ...]) -> WeightedLeastSquares:
    inside = fit.interval
    first = [column[:, 0] for column in (fit.pooled.coefficients, inside.std_error, inside.lower, inside.upper, inside.p_value)]
    alone = (fit.status == MetaStatus.TOO_FEW_STUDIES) & (fit.pooled.n_studies == 1)
    status = np.where(alone, int(MetaStatus.SINGLE_STUDY), fit.status)
    return WeightedLeastSquares(*(shaped(column, shape) for column in (*first, inside.df, inside.scale, n_studies, n_adequate, status)))
