"""p-uniform: the effect at which the p-values of significant studies, given that they are significant, are uniform."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.irwin_hall import irwin_hall_cdf, irwin_hall_quantile
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_curve_kernels import fit_p_uniform
from simtrials.stats.p_uniform_star import cutoffs
from simtrials.stats.quantiles import normal_critical
from simtrials.stats.shown import readable
from simtrials.stats.study_arrays import Alternative, checked_level, in_shape, sign_of

PUniformMethod = Literal["P", "ML"]
METHODS: tuple[str, ...] = get_args(PUniformMethod)


@readable
class PUniform(NamedTuple):
    """Results in the shape of the input without its last axis; NaN unless `status` is OK."""

    estimate: FloatArray
    """common effect of the significant studies"""
    lower: FloatArray
    upper: FloatArray
    statistic: FloatArray
    """test of an effect of 0. P: standardized sum of the conditional p-values; ML: likelihood ratio"""
    p_value: FloatArray
    """of that test. P: one-sided, small for an effect in the direction of `alternative`; ML: two-sided"""
    bias_statistic: FloatArray
    """the same at the common effect estimated from all studies, which selection puts too far out"""
    bias_p_value: FloatArray
    """of the test of publication bias. P: one-sided; ML: two-sided"""
    n_significant: IntArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""


def significant(y: FloatArray, v: FloatArray, c: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
    """Numbers of significant studies and of studies, and status, (replicate,) each."""
    with np.errstate(invalid="ignore"):
        n_significant, n_studies = (y > c).sum(axis=1), (~np.isnan(y)).sum(axis=1)
        no_variance = ((v <= 0) & ~np.isnan(y)).any(axis=1)
    conditions = [no_variance, n_studies == 0, n_significant == 0]
    codes = [int(code) for code in (MetaStatus.ZERO_VARIANCE, MetaStatus.TOO_FEW_STUDIES, MetaStatus.NO_SIGNIFICANT_STUDY)]
    return n_significant, n_studies, np.select(conditions, codes, 0)


def p_uniform(
    yi: ArrayLike,
    vi: ArrayLike,
    alternative: Alternative = "greater",
    *,
    method: PUniformMethod = "P",
    alpha: float = 0.05,
    cutoff: ArrayLike | None = None,
    level: float = 0.95,
    zero_if_barely_significant: bool = False,
) -> PUniform:
    """Common effect from the significant studies alone, corrected for their selection.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN where a study is absent
    alternative : "greater" where positive significant effects are used, "less" where negative ones are
    method : "P" equates the sum of the conditional p-values with its expectation; "ML" takes the highest likelihood of the truncated normals
    alpha, cutoff : as for `p_uniform_star`
    level : of the interval
    zero_if_barely_significant : estimate 0, without limits and tests, where the mean two-sided p-value of significant studies is above alpha / 2

    Returns
    -------
    PUniform; NO_SIGNIFICANT_STUDY, TOO_FEW_STUDIES without studies, ZERO_VARIANCE. Heterogeneity biases the estimate upwards. p-values of "P"
    come from the sum of uniforms itself; R's puniform takes the normal approximation.

    Source: van Assen, van Aert and Wicherts (2015), Psychological Methods 20, 293-309; van Aert, Wicherts and van Assen (2016), Perspectives on
    Psychological Science 11, 713-729 (method P; the rule of 0, table 1); as in R's puniform::puniform.
    """
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not known{did_you_mean(str(method), METHODS)}")
    shape, (y, v, c) = cutoffs(yi, vi, alternative, alpha, cutoff)
    tail = (1 - checked_level(level)) / 2
    n_significant, n_studies, status = significant(y, v, c)
    ok = status == MetaStatus.OK
    with np.errstate(invalid="ignore", divide="ignore"):
        w = np.where(np.isnan(y), 0.0, 1 / v)
        fixed = np.where(ok, (w * np.where(w > 0, y, 0.0)).sum(axis=1) / w.sum(axis=1), np.nan)
        two_sided = 2 * ndtr(-y / np.sqrt(v))
        barely = ok & (np.where(y > c, two_sided, 0.0).sum(axis=1) > n_significant * alpha / 2)
    lowest = [irwin_hall_quantile(tail, n) if n > 0 else 0.0 for n in range(n_significant.max(initial=0) + 1)]
    targets = np.array([[low, n - low] for n, low in enumerate(lowest)])
    found = np.full((len(y), 5), np.nan)
    fit_p_uniform(
        np.where(ok[:, np.newaxis], y, np.nan), v, c, fixed, targets, normal_critical(2 * tail) ** 2 / 2 if method == "ML" else np.nan, found
    )
    estimate, lower, upper, at_0, at_fixed = found.T
    if method == "ML":
        one = np.ones(len(y))
        tests = at_0, chi2_p_value(at_0, one), at_fixed, chi2_p_value(at_fixed, one)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            statistics = [(total - n_significant / 2) / np.sqrt(n_significant / 12) for total in (at_0, at_fixed)]
        p = [
            np.array([irwin_hall_cdf(x, n) for x, n in zip(total, n_significant.tolist(), strict=True)]) for total in (at_0, n_significant - at_fixed)
        ]
        tests = statistics[0], p[0], statistics[1], p[1]
    if zero_if_barely_significant:
        estimate = np.where(barely, 0.0, estimate)
        lower, upper, *rest = (np.where(barely, np.nan, column) for column in (lower, upper, *tests))
        tests = tuple(rest)  # type: ignore[assignment]
    if sign_of(alternative) < 0:
        estimate, lower, upper = -estimate, -upper, -lower
    columns = estimate, lower, upper, *tests, n_significant, n_studies, status
    return PUniform._make(in_shape(column, shape) for column in columns)
