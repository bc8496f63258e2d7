"""Meta-analysis within subgroups of studies, and whether the subgroups differ."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.heterogeneity import chi2_p_value
from simtrials.stats.intervals import MarginRule
from simtrials.stats.meta_analysis import Tau2Choice, meta_analysis, meta_regression
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.shown import readable

Spread = Literal["separate", "shared"]
OF_REGRESSION = ("estimate", "std_error", "lower", "upper", "p_value")
OF_BOTH = ("df", "tau2", "i2")
OF_GROUPS = (*OF_REGRESSION, *OF_BOTH, "q", "q_p_value", "n_studies", "status")


@readable
class SubgroupAnalysis(NamedTuple):
    """Results for every subgroup, (..., subgroup), and for their difference, (...,); NaN where something cannot be estimated."""

    groups: AnyArray
    """(subgroup,) labels, sorted"""
    estimate: FloatArray
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided test of an effect of 0 in the subgroup"""
    df: FloatArray
    """of the t distribution behind the interval, infinite for a normal one"""
    tau2: FloatArray
    """variance of true effects between studies of a subgroup, the same for all where it is shared"""
    i2: FloatArray
    """share of the variance of effects within the subgroup that is not sampling error; within all subgroups together where tau2 is shared"""
    q: FloatArray
    """Cochran's Q within the subgroup"""
    q_p_value: FloatArray
    n_studies: IntArray
    status: IntArray
    """`MetaStatus`"""
    q_between: FloatArray
    """chi-squared, or F where tau2 is shared and the interval is of t"""
    q_between_df: FloatArray
    """subgroups with an estimate and a standard error, less one"""
    q_between_p_value: FloatArray


def subgroup_analysis(
    yi: ArrayLike,
    vi: ArrayLike,
    groups: ArrayLike,
    *,
    tau2: Tau2Choice = "REML",
    spread: Spread = "separate",
    ci: MarginRule = "wald",
    level: float = 0.95,
) -> SubgroupAnalysis:
    """Pool the effects of studies within subgroups, and test whether the pooled effects differ.

    Parameters
    ----------
    yi, vi : (k,) or (..., k) effects and sampling variances, NaN for a study that is absent
    groups : (k,) or (..., k) labels, numbers or words; a study whose label is NaN is left out
    tau2, ci, level : as for `meta_analysis`; where tau2 is shared only the rules of `meta_regression`
    spread : "separate", each subgroup with a between-study variance of its own (one study: none), or "shared", the residual variance of a
        regression on subgroups, which is steadier when subgroups are small

    Returns
    -------
    SubgroupAnalysis. The test between compares estimates weighted by their inverse squared standard errors, against chi-squared; with a shared
    tau2 and an interval of t it is the F test of the regression. Subgroups without a standard error stay out of it

    Source: Borenstein, Hedges, Higgins and Rothstein (2009), Introduction to Meta-Analysis, chapter 19; Rubio-Aparicio et al. (2020), Journal of
    Experimental Education 88, 288-310.
    """
    if spread not in get_args(Spread):
        raise ValueError(f"subgroup_analysis: spread = {spread!r} is not known{did_you_mean(str(spread), get_args(Spread))}")
    try:
        y, v, names = np.broadcast_arrays(np.asarray(yi, dtype=np.float64), np.asarray(vi, dtype=np.float64), np.asarray(groups))
    except ValueError:
        raise ValueError(f"subgroup_analysis: yi, vi and groups have one shape, got {np.shape(yi)}, {np.shape(vi)} and {np.shape(groups)}") from None
    shape = y.shape
    if not shape or shape[-1] == 0:
        raise ValueError(f"subgroup_analysis: yi holds the effects of at least one study, got shape {shape}")
    labels = np.unique(names[names == names])
    y, v, names = (array.reshape(-1, 1, shape[-1]) for array in (y, v, names))
    of_group = np.where(names == labels[:, np.newaxis], y, np.nan)  # (R, G, S)
    apart = meta_analysis(of_group, v, tau2=tau2, ci=ci, level=level, tau2_ci="none")
    found = {name: getattr(apart, name) for name in OF_GROUPS}
    if spread == "shared":
        found |= _together(of_group, v, tau2, ci, level)
    by_f = spread == "shared" and ci != "wald"
    between = _between(found["estimate"], found["std_error"], found["df"], by_f)
    numbers = [column.reshape(shape[:-1]) if len(shape) > 1 else column[0] for column in between]
    return SubgroupAnalysis(labels, *(column.reshape(*shape[:-1], len(labels)) for column in found.values()), *numbers)


def _together(of_group: FloatArray, v: FloatArray, tau2: Tau2Choice, ci: MarginRule, level: float) -> dict[str, AnyArray]:
    """Of one regression on indicators of subgroups, (replicate, subgroup) each; subgroups without studies are left out of it."""
    member = ~np.isnan(of_group) & (v < np.inf)  # (R, G, S)
    y, present = np.where(member, of_group, 0.0).sum(axis=1), member.any(axis=2)
    y = np.where(member.any(axis=1), y, np.nan)
    found: dict[str, AnyArray] = {name: np.full(present.shape, np.nan) for name in (*OF_REGRESSION, *OF_BOTH)}
    found["status"] = np.full(present.shape, int(MetaStatus.TOO_FEW_STUDIES))
    for pattern in np.unique(present, axis=0):
        rows = np.ix_((present == pattern).all(axis=1), pattern)
        some = rows[0][:, 0]
        if pattern.any():
            design = member[rows].swapaxes(1, 2).astype(np.float64)
            fit = meta_regression(y[some], v[some, 0], design, tau2=tau2, ci=ci, level=level)
            for name in OF_REGRESSION:
                found[name][rows] = getattr(fit, name)
            for name in (*OF_BOTH, "status"):
                found[name][rows] = getattr(fit, name)[:, np.newaxis]
    return found


def _between(estimate: FloatArray, std_error: FloatArray, df: FloatArray, by_f: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Statistic, degrees of freedom and p-value of the difference between subgroups, (replicate,) each."""
    known = np.isfinite(estimate) & (std_error > 0)
    weight = np.where(known, 1 / np.where(known, std_error, 1.0) ** 2, 0.0)
    between = known.sum(axis=1) - 1.0
    between = np.where(between >= 1, between, np.nan)
    value = np.where(known, estimate, 0.0)
    mean = (weight * value).sum(axis=1) / np.where(between >= 1, weight.sum(axis=1), np.nan)
    statistic = (weight * (value - mean[:, np.newaxis]) ** 2).sum(axis=1)
    if not by_f:
        return statistic, between, chi2_p_value(statistic, between)
    statistic = statistic / between
    return statistic, between, np.asarray(fdtrc(between, np.where(known, df, -np.inf).max(axis=1), statistic))
