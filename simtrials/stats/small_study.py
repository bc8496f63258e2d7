"""Small-study effects: do effects depend on their precision? Egger's regression and Begg's rank correlation."""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.intervals import Interval, MarginRule, interval_with_margin
from simtrials.stats.meta_analysis import TAU2_METHODS, Tau2Choice
from simtrials.stats.meta_shapes import Evidence, checked_share, checked_word, evidence_of, shaped
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooling import Pooled, pool
from simtrials.stats.shown import readable
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import tau2_of

Predictor = Literal["std_error", "variance", "sample_size", "inverse_sample_size", "sqrt_sample_size", "sqrt_inverse_sample_size"]
Form = Literal["lm", "mixed"]
REGRESSION_RULES: tuple[str, ...] = ("wald", "t", "hartung_knapp", "hartung_knapp_adhoc")
OK, NO_VARIATION, TOO_FEW = int(MetaStatus.OK), int(MetaStatus.NO_VARIATION), int(MetaStatus.TOO_FEW_STUDIES)
ZERO_VARIANCE = int(MetaStatus.ZERO_VARIANCE)


class Regressed(NamedTuple):
    """A weighted regression of effects, as the arrays of `pooling` and `intervals`; NaN where it cannot be fitted."""

    pooled: Pooled
    interval: Interval
    statistic: FloatArray
    """(replicate, coefficient) estimate by standard error"""
    tau2: FloatArray
    status: IntArray


def regressed(studies: Studies, tau2: Tau2Choice, rule: MarginRule, level: float) -> Regressed:
    """Weighted least squares with inference that holds no residual variance, or a scaled one, as `rule` says.

    With tau2 = "common" and the rule hartung_knapp this is a weighted linear model: weights 1 / v, a free residual variance, t with k - p
    degrees of freedom. Where all studies lie on the line (NO_VARIATION) the standard errors are 0 and there is no test.
    """
    n = len(studies.y)
    between, fit_status = np.zeros(n), np.zeros(n, dtype=np.int64)
    if tau2 != "common":
        fit = tau2_of(studies, tau2)
        between, fit_status = fit.estimate, fit.status
    pooled = pool(studies, between)
    interval = interval_with_margin(studies, pooled, between, rule, level)
    status = np.where(pooled.status != OK, pooled.status, fit_status)
    if rule != "wald":
        status = np.where((status == OK) & (pooled.df <= 0), TOO_FEW, status)
    if rule == "hartung_knapp":
        status = np.where((status == OK) & (pooled.rss == 0), NO_VARIATION, status)
    untested = (status == NO_VARIATION)[:, np.newaxis]
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(untested, np.nan, pooled.coefficients / interval.std_error)
    interval = interval._replace(p_value=np.where(untested, np.nan, interval.p_value))
    several = pooled.coefficients.shape[1] > 1  # one study has a mean, but as many studies as coefficients have no regression
    coefficients = np.where((status == TOO_FEW)[:, np.newaxis] & several, np.nan, pooled.coefficients)
    return Regressed(pooled._replace(coefficients=coefficients), interval, statistic, between, status)


def with_predictor(evidence: Evidence, predictor: FloatArray) -> Studies:
    """Studies with the design (1, predictor), predictor (replicate, study)."""
    return evidence.studies(np.stack([np.ones_like(predictor), predictor], axis=-1))


@readable
class EggerTest(NamedTuple):
    """Results in the shape of the input without its last axis; NaN where the regression cannot be fitted."""

    statistic: FloatArray
    """slope by its standard error: t with the form "lm", z with "mixed" and wald"""
    p_value: FloatArray
    """two-sided, of no small-study effect"""
    df: FloatArray
    """of the t distribution, infinite for z"""
    slope: FloatArray
    """change of the effect for one unit of the predictor; with the standard error as predictor it is Egger's intercept"""
    slope_std_error: FloatArray
    estimate: FloatArray
    """the effect in the limit of an infinitely precise study; NaN with predictors that grow with size"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    tau2: FloatArray
    """residual variance between studies, 0 with the form "lm" """
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES below three studies, COLLINEAR where the predictor is the same in all, NO_VARIATION on an exact line"""


def egger_test(
    yi: ArrayLike,
    vi: ArrayLike,
    *,
    form: Form = "lm",
    predictor: Predictor = "std_error",
    sample_size: ArrayLike | None = None,
    tau2: Tau2Choice = "REML",
    ci: MarginRule = "wald",
    level: float = 0.95,
) -> EggerTest:
    """Egger's regression test for small-study effects, (k,) for one body of evidence or (..., k) for many.

    Parameters
    ----------
    yi, vi : effects and sampling variances, NaN for a study that is absent
    form : "lm" is the classical test: weights 1 / vi, a free (multiplicative) residual variance, t with k - 2 degrees of freedom. "mixed" is the
        meta-regression with an additive variance between studies. The two are different tests
    predictor : what the effect is regressed on; those of sample size need `sample_size`, of the shape of the effects
    tau2, ci : estimator and rule of the interval with the form "mixed", as for `meta_regression`; wald gives z
    level : of the interval of the limit estimate

    Returns
    -------
    EggerTest

    Source: Egger et al. (1997), BMJ 315, 629-634; Sterne and Egger (2005) in Rothstein, Sutton and Borenstein, chapter 6 (both forms); Moreno
    et al. (2009), BMC Medical Research Methodology 9, 2 (predictors, limit).
    """
    evidence = evidence_of(yi, vi, "egger_test")
    checked_word("egger_test", "form", form, Form)
    checked_word("egger_test", "predictor", predictor, Predictor)
    checked_word("egger_test", "tau2", tau2, TAU2_METHODS)
    checked_word("egger_test", "ci", ci, REGRESSION_RULES)
    checked_share("egger_test", "level", level)
    if tau2 == "GENQ":
        raise ValueError("egger_test: GENQ needs weights of one's own; choose another estimator")
    studies = with_predictor(evidence, _predictor(evidence, predictor, sample_size))
    chosen: tuple[Tau2Choice, MarginRule] = ("common", "hartung_knapp") if form == "lm" else (tau2, ci)
    fit = regressed(studies, *chosen, level)
    intervals = fit.pooled.coefficients, fit.interval.std_error, fit.interval.lower, fit.interval.upper
    limit = [column[:, 0] if predictor not in ("sample_size", "sqrt_sample_size") else np.full(len(column), np.nan) for column in intervals]
    slope = fit.statistic[:, 1], fit.interval.p_value[:, 1], fit.interval.df, fit.pooled.coefficients[:, 1], fit.interval.std_error[:, 1]
    known = ~np.isnan(fit.pooled.coefficients[:, 1])
    columns = [np.where(known, column, np.nan) for column in (*slope, *limit, fit.tau2)]
    return EggerTest(*(shaped(column, evidence.shape) for column in (*columns, fit.pooled.n_studies, fit.status)))


def _predictor(evidence: Evidence, predictor: Predictor, sample_size: ArrayLike | None) -> FloatArray:
    """(replicate, study)."""
    if predictor in ("std_error", "variance"):
        return evidence.std_error if predictor == "std_error" else evidence.v
    if sample_size is None:
        raise ValueError(f"egger_test: the predictor {predictor} needs sample_size")
    size = np.broadcast_to(np.asarray(sample_size, dtype=np.float64), evidence.shape).reshape(evidence.y.shape)
    if (size <= 0).any():
        raise ValueError("egger_test: sample_size must be positive, NaN for a study that is absent")
    power = {"sample_size": 1.0, "inverse_sample_size": -1.0, "sqrt_sample_size": 0.5, "sqrt_inverse_sample_size": -0.5}[predictor]
    return np.asarray(size**power)


@readable
class BeggTest(NamedTuple):
    """Results in the shape of the input without its last axis."""

    correlation: FloatArray
    """Kendall's tau-b of standardized effects and variances; NaN where one of them is the same in all studies"""
    p_value: FloatArray
    """two-sided: exact without ties, normal with the variance corrected for ties otherwise"""
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`: TOO_FEW_STUDIES below two studies, NO_VARIATION, ZERO_VARIANCE"""


def begg_test(yi: ArrayLike, vi: ArrayLike) -> BeggTest:
    """Begg and Mazumdar's rank correlation of effects with their variances, (k,) for one body of evidence or (..., k) for many.

    Effects are standardized by their distance from the common-effect mean: (y - mean) / sqrt(v - 1 / sum of weights). Without ties the p-value
    is exact, by counting permutations; with ties it is normal without correction for continuity.

    Source: Begg and Mazumdar (1994), Biometrics 50, 1088-1101; Kendall (1970), Rank Correlation Methods (exact distribution, variance with
    ties); with the choices of R's metafor::ranktest and cor.test.
    """
    evidence = evidence_of(yi, vi, "begg_test")
    n = len(evidence.y)
    counts, status = np.zeros((4, n), dtype=np.int64), np.zeros(n, dtype=np.int64)
    spread = np.full(n, np.nan)
    _rank_correlation(evidence.y, evidence.v, counts, spread, status)
    score, untied_effects, untied_variances, k = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = score / np.sqrt(untied_effects.astype(np.float64) * untied_variances)
        p_value = 2 * ndtr(-np.abs(score) / np.sqrt(spread))
    pairs = k * (k - 1) // 2
    untied = (status == OK) & (untied_effects == pairs) & (untied_variances == pairs)
    for size in np.unique(k[untied]):
        those = untied & (k == size)
        p_value[those] = _exact_p_values(int(size))[(np.abs(score[those]) + pairs[those]) // 2]
    known = status == OK
    columns = np.where(known, correlation, np.nan), np.where(known, p_value, np.nan), k, status
    return BeggTest(*(shaped(column, evidence.shape) for column in columns))


@lru_cache(maxsize=256)
def _exact_p_values(k: int) -> FloatArray:
    """Two-sided p-values by the number of concordant pairs among k studies, for at least half of the pairs."""
    pairs = k * (k - 1) // 2
    probability = np.zeros(pairs + 1)
    _inversions(k, probability)
    upper = np.cumsum(probability[::-1])[::-1]
    return np.minimum(1.0, 2 * upper)


@kernel
def _inversions(k: int, probability: FloatArray) -> None:
    """Distribution of the number of inversions of a random permutation: a sum of independent uniforms on 0 .. m - 1, m = 1 .. k."""
    before = np.empty_like(probability)
    probability[0] = 1.0
    last = 0
    for m in range(2, k + 1):
        before[: last + 1] = probability[: last + 1]
        window = 0.0
        for place in range(last + m):
            if place <= last:
                window += before[place]
            if place >= m:
                window -= before[place - m]
            probability[place] = max(window, 0.0) / m
        last += m - 1


@kernel
def _standardized(y: FloatArray, v: FloatArray, k: int, deviate: FloatArray) -> None:
    """Effects less their mean, in standard errors of that difference; sums of differences, so that equal effects give exactly 0."""
    total = 0.0
    for i in range(k):
        total += 1.0 / v[i]
    for i in range(k):
        difference = 0.0
        for j in range(k):
            difference += (y[i] - y[j]) / v[j]
        others = total - 1.0 / v[i]
        if others < 0.5 * total:
            others = 0.0
            for j in range(k):
                if j != i:
                    others += 1.0 / v[j]
        deviate[i] = difference / np.sqrt(v[i] * others * total)


@kernel
def _tie_sums(values: FloatArray, k: int) -> tuple[float, float, float]:
    """Over groups of t ties: t (t - 1) (2 t + 5), t (t - 1), t (t - 1) (t - 2)."""
    ordered = np.sort(values[:k])
    first, second, third = 0.0, 0.0, 0.0
    run = 1
    for s in range(1, k + 1):
        if s < k and ordered[s] == ordered[s - 1]:
            run += 1
            continue
        pairs = float(run) * (run - 1)
        first += pairs * (2 * run + 5)
        second += pairs
        third += pairs * (run - 2)
        run = 1
    return first, second, third


@kernel
def _rank_correlation(y: FloatArray, v: FloatArray, counts: IntArray, spread: FloatArray, status: IntArray) -> None:
    effects, variances, deviate = np.empty(y.shape[1]), np.empty(y.shape[1]), np.empty(y.shape[1])
    for replicate in range(y.shape[0]):
        k, usable = 0, True
        for s in range(y.shape[1]):
            if y[replicate, s] == y[replicate, s]:
                effects[k], variances[k] = y[replicate, s], v[replicate, s]
                usable = usable and variances[k] > 0.0
                k += 1
        counts[3, replicate] = k if usable else 0
        if k < 2 or not usable:
            status[replicate] = TOO_FEW if usable else ZERO_VARIANCE
            continue
        _standardized(effects, variances, k, deviate)
        score = 0
        for i in range(1, k):
            for j in range(i):
                score += int(np.sign(deviate[i] - deviate[j])) * int(np.sign(variances[i] - variances[j]))
        ties_x, ties_y = _tie_sums(deviate, k), _tie_sums(variances, k)
        pairs = float(k) * (k - 1)
        counts[0, replicate] = score
        counts[1, replicate], counts[2, replicate] = int(pairs - ties_x[1]) // 2, int(pairs - ties_y[1]) // 2
        if counts[1, replicate] == 0 or counts[2, replicate] == 0:
            status[replicate] = NO_VARIATION
            continue
        variance = (pairs * (2 * k + 5) - ties_x[0] - ties_y[0]) / 18 + ties_x[1] * ties_y[1] / (2 * pairs)
        if k > 2:
            variance += ties_x[2] * ties_y[2] / (9 * pairs * (k - 2))
        spread[replicate] = variance
