"""What happens when a marker chooses the patients: mixtures of marker-positive and -negative, and a second look at a log-normal marker.

A patient's usual value is log-normal: ln usual ~ N(mean, between_sd). A measured value adds within-person variation: ln measured = ln usual +
N(0, within_sd). Cuts are on the scale of the marker (mg/L for CRP), `mean` and the SDs on the natural-log scale. Patients are enrolled when
at_least <= measured <= at_most. Arguments are numbers or arrays that broadcast.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, owens_t

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.inputs import finite, no_less_than, positive, probability

FAR = 40.0
"""Standard deviations from the mean that stand for infinity."""


def mixture_effect(effect_positive: ArrayLike, effect_negative: ArrayLike, positive_share: ArrayLike) -> FloatArray:
    """Mean effect among patients of whom a share is marker-positive.

    With the positive predictive value of the assay as the share it is the effect in an enriched trial, diluted by misclassification.

    Source: mean of a two-component mixture; Simon and Maitournam (2004), Clinical Cancer Research 10:6759-6763.
    """
    share = probability("positive_share", positive_share)
    return share * finite("effect_positive", effect_positive) + (1 - share) * finite("effect_negative", effect_negative)


def mixture_sd(effect_positive: ArrayLike, effect_negative: ArrayLike, positive_share: ArrayLike, *, sd: ArrayLike = 1.0) -> FloatArray:
    """SD of the outcome in the active arm when the effect differs between marker-positive and -negative patients; `sd` is that within each.

    Source: variance of a two-component mixture.
    """
    share = probability("positive_share", positive_share)
    apart = finite("effect_positive", effect_positive) - finite("effect_negative", effect_negative)
    return np.sqrt(positive("sd", sd) ** 2 + share * (1 - share) * apart**2)


def measured_share(
    *, mean: ArrayLike, between_sd: ArrayLike, within_sd: ArrayLike, at_least: ArrayLike = 0.0, at_most: ArrayLike = np.inf
) -> FloatArray:
    """Share of all patients whose measured value lies in [at_least, at_most].

    Source: normal distribution of the logarithm, with variance between_sd^2 + within_sd^2.
    """
    low, high = _limits(mean, _measured_sd(between_sd, within_sd), at_least, at_most)
    return _normal_share(low, high)


def usual_above_share(
    cut: ArrayLike, *, mean: ArrayLike, between_sd: ArrayLike, within_sd: ArrayLike, at_least: ArrayLike = 0.0, at_most: ArrayLike = np.inf
) -> FloatArray:
    """Share of the enrolled whose usual value is `cut` or more: the positive predictive value when `cut` is `at_least`.

    Returns NaN where (to rounding) nobody is enrolled.

    Source: bivariate normal distribution; Owen (1956), Annals of Mathematical Statistics 27:1075-1090.
    """
    usual_sd, sd = positive("between_sd", between_sd), _measured_sd(between_sd, within_sd)
    low, high = _limits(mean, sd, at_least, at_most)
    return _share_above((_log(cut) - finite("mean", mean)) / usual_sd, low, high, usual_sd / sd)


def repeat_above_share(
    cut: ArrayLike,
    *,
    mean: ArrayLike,
    between_sd: ArrayLike,
    within_sd: ArrayLike,
    within_correlation: ArrayLike = 0.0,
    at_least: ArrayLike = 0.0,
    at_most: ArrayLike = np.inf,
) -> FloatArray:
    """Share of the enrolled whose second sample is `cut` or more.

    `within_correlation` is that of the within-person deviations of the two samples: 0 for samples far apart, towards 1 for samples close in time.
    Returns NaN where (to rounding) nobody is enrolled.

    Source: bivariate normal distribution; Owen (1956), Annals of Mathematical Statistics 27:1075-1090.
    """
    sd = _measured_sd(between_sd, within_sd)
    low, high = _limits(mean, sd, at_least, at_most)
    shared = positive("between_sd", between_sd) ** 2 + probability("within_correlation", within_correlation) * positive("within_sd", within_sd) ** 2
    return _share_above((_log(cut) - finite("mean", mean)) / sd, low, high, shared / sd**2)


class UsualValue(NamedTuple):
    """Mean and SD of ln usual value among the enrolled."""

    mean: FloatArray
    sd: FloatArray


def usual_value_of_enrolled(
    *, mean: ArrayLike, between_sd: ArrayLike, within_sd: ArrayLike, at_least: ArrayLike = 0.0, at_most: ArrayLike = np.inf
) -> UsualValue:
    """Mean and SD of ln usual value among the enrolled; usual values regress from the measured ones towards the mean of all patients.

    Returns NaN where (to rounding) nobody is enrolled.

    Source: Tallis (1961), Journal of the Royal Statistical Society B 23:223-229 (moments of the truncated normal).
    """
    of_measured = _measured_sd(between_sd, within_sd)
    low, high = _limits(mean, of_measured, at_least, at_most)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (_density(low) - _density(high)) / _normal_share(low, high)
        shrunk = 1 + (low * _density(low) - high * _density(high)) / _normal_share(low, high) - shift**2
    usual_variance = positive("between_sd", between_sd) ** 2
    slope = usual_variance / of_measured  # of ln usual on the standardized measurement
    return UsualValue(finite("mean", mean) + slope * shift, np.sqrt(usual_variance + slope**2 * (shrunk - 1)))


def _measured_sd(between_sd: ArrayLike, within_sd: ArrayLike) -> FloatArray:
    return np.sqrt(positive("between_sd", between_sd) ** 2 + positive("within_sd", within_sd) ** 2)


def _log(cut: ArrayLike) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.log(no_less_than("cut", cut, 0))


def _limits(mean: ArrayLike, sd: FloatArray, at_least: ArrayLike, at_most: ArrayLike) -> tuple[FloatArray, FloatArray]:
    low = (_log(at_least) - finite("mean", mean)) / sd
    high = (_log(at_most) - finite("mean", mean)) / sd
    return np.clip(low, -FAR, FAR), np.clip(high, -FAR, FAR)


def _density(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def _normal_share(low: FloatArray, high: FloatArray) -> FloatArray:
    share: FloatArray = np.maximum(np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low)), 0)
    return share


def _share_above(above: FloatArray, low: FloatArray, high: FloatArray, rho: FloatArray) -> FloatArray:
    """P(second >= above, given low <= first <= high) for standard normals with correlation `rho`."""
    above = np.clip(above, -FAR, FAR)
    both = _upper_quadrant(low, above, rho) - _upper_quadrant(high, above, rho)
    with np.errstate(divide="ignore", invalid="ignore"):
        share: FloatArray = np.clip(both / _normal_share(low, high), 0, 1)
    return share


def _upper_quadrant(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    """P(first >= h and second >= k), by Owen's T; a cut at 0 is moved by a hair so that its sign is known and no quotient overflows."""
    h, k = (np.where(np.abs(cut) < 1e-100, 1e-100, cut) for cut in (h, k))
    root = np.sqrt(np.maximum(1 - rho**2, 1e-300))
    half = (ndtr(-h) + ndtr(-k)) / 2 - np.where(h * k < 0, 0.5, 0.0)
    return np.asarray(half - owens_t(h, (k - rho * h) / (h * root)) - owens_t(k, (h - rho * k) / (k * root)))
