"""What papers report, turned into what `effect_sizes` takes: means, SDs and numbers of patients of the arms, or effects with their variances.

All functions are elementwise over arrays of any (broadcastable) shape; NaN in any input gives NaN, and so does what no sample can have, such as
an interval of negative width, a correlation beyond 1 or one patient where a variance is needed. Intervals and p-values are two-sided. The
formulas of means and SDs from quantiles are in `effect_sizes_quantiles`.

| reported | function |
|---|---|
| SE of the mean of one arm | sd_from_standard_error |
| confidence interval of the mean of one arm | sd_from_confidence_interval |
| difference of means with SE, t, p or confidence interval | pooled_sd_from_difference (after std_error_from_...) |
| SDs at baseline and at the end, and their correlation | sd_of_change, correlation_of_change |
| subgroups of an arm, or two arms taken as one | combine_groups |
| a control arm that serves several comparisons | split_shared_control |
| effect with interval, SE, p or z, as difference or as ratio | effect_from_confidence_interval, effect_from_p_value |

Source: Higgins, Li and Deeks, chapter 6 of the Cochrane Handbook for Systematic Reviews of Interventions, sections 6.3 and 6.5.2.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.shown import readable

Scale = Literal["difference", "ratio"]


def _floats(*values: ArrayLike) -> list[FloatArray]:
    return [np.asarray(array) for array in np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values))]


def _where(sensible: BoolArray, values: FloatArray) -> FloatArray:
    return np.where(sensible, values, np.nan)[()]


def _critical(alpha: FloatArray, df: FloatArray) -> FloatArray:
    """What the absolute value of Student's t exceeds with probability alpha; infinite df is the normal."""
    with np.errstate(invalid="ignore"):
        return np.asarray(-np.where(np.isinf(df), ndtri(alpha / 2), stdtrit(np.where(df > 0, df, np.nan), alpha / 2)))


def _level_of(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"effect size inputs: level lies between 0 and 1, got {level!r}")
    return level


# ---- one arm


def sd_from_standard_error(std_error: ArrayLike, n: ArrayLike) -> FloatArray:
    """SD of an arm from the standard error of its mean, se sqrt(n).

    Source: Cochrane Handbook, section 6.5.2.2.
    """
    se, size = _floats(std_error, n)
    with np.errstate(invalid="ignore"):
        return _where((se >= 0) & (size > 0), se * np.sqrt(size))


def sd_from_confidence_interval(lower: ArrayLike, upper: ArrayLike, n: ArrayLike, *, level: float = 0.95, normal: bool = False) -> FloatArray:
    """SD of an arm from the confidence interval of its mean.

    Parameters
    ----------
    lower, upper, n : limits and patients
    normal : whether the interval takes a normal quantile; default Student's t with n - 1 degrees of freedom

    Source: Cochrane Handbook, section 6.5.2.2.
    """
    low, high, size = _floats(lower, upper, n)
    se = std_error_from_confidence_interval(low, high, np.inf if normal else size - 1, level=level)
    return sd_from_standard_error(se, size)


# ---- differences and other estimates


def std_error_from_confidence_interval(lower: ArrayLike, upper: ArrayLike, df: ArrayLike = np.inf, *, level: float = 0.95) -> FloatArray:
    """Standard error from a symmetric interval: its width over twice the quantile of t with `df` degrees of freedom, infinite for the normal.

    Source: Cochrane Handbook, sections 6.3.1 and 6.5.2.3.
    """
    low, high, freedom = _floats(lower, upper, df)
    with np.errstate(invalid="ignore"):
        se = (high - low) / (2 * _critical(np.full(freedom.shape, 1 - _level_of(level)), freedom))
        return _where((high >= low) & (freedom > 0), se)


def std_error_from_t_value(difference: ArrayLike, t_value: ArrayLike) -> FloatArray:
    """Standard error from an estimate and its t (or z) statistic; the signs do not matter. NaN where the statistic is 0.

    Source: Cochrane Handbook, section 6.5.2.3.
    """
    estimate, t = _floats(difference, t_value)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _where(t != 0, np.abs(estimate / t))


def std_error_from_p_value(difference: ArrayLike, p_value: ArrayLike, df: ArrayLike = np.inf) -> FloatArray:
    """Standard error from an estimate and the two-sided p-value of its t test, or of its z test with infinite `df`.

    NaN where p is 1, which says nothing, or 0. Where only a bound is reported, such as p < 0.05, the bound gives the largest standard error.

    Source: Cochrane Handbook, sections 6.3.2 and 6.5.2.3.
    """
    estimate, p, freedom = _floats(difference, p_value, df)
    sensible = (p > 0) & (p < 1) & (freedom > 0)
    t = _critical(np.where(sensible, p, np.nan), freedom)
    return std_error_from_t_value(estimate, t)


def pooled_sd_from_difference(std_error: ArrayLike, n_active: ArrayLike, n_control: ArrayLike) -> FloatArray:
    """SD that two arms share, from the standard error of the difference of their means: se / sqrt(1 / n_active + 1 / n_control).

    It stands for the SD of each arm. Degrees of freedom of the t test behind a reported p-value are n_active + n_control - 2.

    Source: Cochrane Handbook, section 6.5.2.3.
    """
    se, active, control = _floats(std_error, n_active, n_control)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _where((se >= 0) & (active > 0) & (control > 0), se / np.sqrt(1 / active + 1 / control))


@readable
class Effect(NamedTuple):
    """An effect as meta-analysis takes it; a ratio is on the scale of its logarithm."""

    yi: FloatArray
    vi: FloatArray


def _on_scale(values: FloatArray, scale: Scale) -> FloatArray:
    if scale not in ("difference", "ratio"):
        raise ValueError(f"effect size inputs: no scale called {scale!r}{did_you_mean(str(scale), ('difference', 'ratio'))}")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log(np.where(values > 0, values, np.nan)) if scale == "ratio" else values)


def effect_from_confidence_interval(
    estimate: ArrayLike, lower: ArrayLike, upper: ArrayLike, *, scale: Scale = "difference", level: float = 0.95, df: ArrayLike = np.inf
) -> Effect:
    """Effect and variance from an estimate with its interval.

    Parameters
    ----------
    estimate, lower, upper : as reported; where the estimate is NaN the middle of the interval (of its logarithms for a ratio) stands for it
    scale : "difference" as it is, "ratio" by logarithms, as for odds, risk and hazard ratios
    df : degrees of freedom behind the interval, infinite for a normal one

    Source: Cochrane Handbook, sections 6.3.1 and 6.3.2.
    """
    point, low, high = (_on_scale(values, scale) for values in _floats(estimate, lower, upper))
    given = np.broadcast_to(np.isnan(np.asarray(estimate, dtype=np.float64)), point.shape)
    se = std_error_from_confidence_interval(low, high, df, level=level)
    return _effect(np.where(given, (low + high) / 2, point), np.asarray(se))


def effect_from_standard_error(estimate: ArrayLike, std_error: ArrayLike, *, scale: Scale = "difference") -> Effect:
    """Effect and variance from an estimate and its standard error, which for a ratio is that of the logarithm."""
    point, se = _floats(estimate, std_error)
    return _effect(_on_scale(point, scale), np.where(se >= 0, se, np.nan))


def effect_from_p_value(estimate: ArrayLike, p_value: ArrayLike, *, scale: Scale = "difference", df: ArrayLike = np.inf) -> Effect:
    """Effect and variance from an estimate and the two-sided p-value of its Wald or t test against no effect (0, or a ratio of 1).

    Source: Cochrane Handbook, section 6.3.2; Altman and Bland (2011), BMJ 343, d2090.
    """
    point, p = _floats(estimate, p_value)
    effect = _on_scale(point, scale)
    se = np.asarray(std_error_from_p_value(effect, p, df))
    return _effect(effect, np.where(effect == 0, np.nan, se))


def _effect(yi: FloatArray, std_error: FloatArray) -> Effect:
    known = ~np.isnan(yi) & ~np.isnan(std_error)
    return Effect(_where(known, yi), _where(known, std_error**2))


# ---- change from baseline


def sd_of_change(sd_baseline: ArrayLike, sd_final: ArrayLike, correlation: ArrayLike) -> FloatArray:
    """SD of changes from the SDs at baseline and at the end and the correlation of the two; of any difference of two correlated values.

    Source: Cochrane Handbook, section 6.5.2.8.
    """
    first, last, r = _floats(sd_baseline, sd_final, correlation)
    sensible = (first >= 0) & (last >= 0) & (np.abs(r) <= 1)
    # (last - first)^2 + 2 (1 - r) first last: no cancellation where the correlation is near 1
    return _where(sensible, np.sqrt(np.where(sensible, (last - first) ** 2 + 2 * (1 - r) * first * last, np.nan)))


def correlation_of_change(sd_baseline: ArrayLike, sd_final: ArrayLike, sd_change: ArrayLike) -> FloatArray:
    """Correlation of baseline and final values from the SDs of both and of their change; NaN where rounded SDs would have it beyond 1.

    Source: Cochrane Handbook, section 6.5.2.8.
    """
    first, last, change = _floats(sd_baseline, sd_final, sd_change)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (first**2 + last**2 - change**2) / (2 * first * last)
    rounding = 4 * np.finfo(np.float64).eps
    return _where((first > 0) & (last > 0) & (change >= 0) & (np.abs(r) <= 1 + rounding), np.clip(r, -1, 1))


# ---- groups


@readable
class Group(NamedTuple):
    """Patients of a group with their mean and SD."""

    n: FloatArray
    mean: FloatArray
    sd: FloatArray


def combine_groups(n: ArrayLike, mean: ArrayLike, sd: ArrayLike, axis: int = -1) -> Group:
    """One group out of several: the sizes, mean and SD that all their patients together have.

    Parameters
    ----------
    n, mean, sd : arrays with the groups along `axis`; a group with any of them NaN, or with n = 0, is absent. A group of one patient has SD 0
    axis : along which groups are combined

    Returns
    -------
    Group without that axis; NaN where no group is present, and an SD of NaN for a single patient

    Source: Cochrane Handbook, section 6.5.2.10, for any number of groups: sums of squares within and between add up.
    """
    size, middle, spread = _floats(n, mean, sd)
    present = (size > 0) & ~np.isnan(middle) & (spread >= 0)
    total = size.sum(axis=axis, where=present)
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = np.where(present, size * middle, 0.0).sum(axis=axis) / total
        between = size * (middle - np.expand_dims(whole, axis)) ** 2
        squares = np.where(present, (size - 1) * spread**2 + between, 0.0).sum(axis=axis)
        variance = squares / (total - 1)
    return Group(_where(total > 0, total), _where(total > 0, whole), np.sqrt(_where(total > 1, variance)))


def split_shared_control(n_control: ArrayLike, n_comparisons: ArrayLike, events_control: ArrayLike | None = None) -> tuple[FloatArray, FloatArray]:
    """Patients, and events, of a control arm divided evenly among the comparisons that share it; its mean, SD and risk stay.

    The parts need not be whole numbers, which `effect_sizes` takes as they are. Comparisons still share whatever luck the whole control arm had:
    methods for dependent effects are better where they can be used.

    Returns
    -------
    n_control, events_control : the part of one comparison; events are NaN where none are given

    Source: Cochrane Handbook, section 23.3.4.
    """
    size, parts, events = _floats(n_control, n_comparisons, np.nan if events_control is None else events_control)
    sensible = (size >= 0) & (parts >= 1)
    divisor = np.where(sensible, parts, np.nan)
    return _where(sensible, size / divisor), _where(sensible & (events >= 0) & (events <= size), events / divisor)
