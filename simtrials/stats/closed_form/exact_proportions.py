"""Sample sizes of two proportions from the exact power, which is saw-toothed in the number of patients.

One patient more can lower the exact power, because the levels that a discrete test attains jump. The size given here is the one from which on the
power stays at or above its target. To know that it does, the search starts where a lower bound of the power, which rises with the number of
patients, has reached the target, and comes down from there.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.stats.closed_form.inputs import Tails, inside_unit, known
from simtrials.stats.closed_form.proportions import enumerated_power, fisher_rejection, pooled_z_rejection, unpooled_z_rejection
from simtrials.stats.closed_form.sizes import least_n

ExactTest = Literal["pooled", "unpooled", "fisher"]
_REJECTIONS: dict[str, Callable[..., BoolArray]] = {"pooled": pooled_z_rejection, "unpooled": unpooled_z_rejection, "fisher": fisher_rejection}
MOST_PER_ARM = {"pooled": 3000, "unpooled": 3000, "fisher": 1000}
"""Larger trials are not enumerated, for the time it takes; the normal approximation is good there."""
FAR_POOLED = 1e-4
"""Probability given away in the bound: that of a pooled proportion so far from its mean that its variance is larger than assumed."""
BERRY_ESSEEN = 0.56


class ExactSize(NamedTuple):
    """Patients in each arm from which on the exact power stays at or above its target, and the power there."""

    n_per_arm: FloatArray
    power: FloatArray


def exact_proportions_sample_size(
    p_active: ArrayLike,
    p_control: ArrayLike,
    *,
    power: ArrayLike = 0.8,
    alpha: float = 0.05,
    tails: Tails = "both",
    test: ExactTest = "pooled",
) -> ExactSize:
    """Patients in each of two equal arms from which on the exact power of a test of two proportions stays at or above a target.

    Parameters
    ----------
    p_active, p_control : probability of the (good) event in each arm, strictly between 0 and 1, different from each other
    power : target
    alpha : two-sided level, below 1
    tails : "both" counts every rejection, "benefit" those with the higher proportion under active, which p_active must then be
    test : "pooled" or "unpooled" z test, or "fisher", the exact test

    Raises SimtrialsError where no number of patients reaches the target, or more than 3,000 per arm (1,000 for Fisher's test) would have to be
    enumerated.

    Source: Chernick and Liu (2002), The American Statistician 56:149-155 (the saw-toothed power, and the size from which on it stays); the horizon
    from Hoeffding (1963), Journal of the American Statistical Association 58:13-30, Serfling (1974), Annals of Statistics 2:39-48 (sampling without
    replacement, for Fisher's test) and Shevtsova (2010), Doklady Mathematics 82:862-864 (constant of the Berry-Esseen bound).
    """
    known("test", test, tuple(_REJECTIONS))
    inside_unit("alpha", alpha)
    known("tails", tails, ("both", "benefit"))
    cases = np.broadcast_arrays(inside_unit("p_active", p_active), inside_unit("p_control", p_control), inside_unit("power", power))
    found = [_size(float(a), float(c), float(target), alpha, tails, test) for a, c, target in zip(*(part.flat for part in cases), strict=True)]
    columns = np.array(found, dtype=np.float64).reshape(*cases[0].shape, 2)
    return ExactSize(columns[..., 0][()], columns[..., 1][()])


def exact_power_horizon(p_active: float, p_control: float, *, power: float, alpha: float = 0.05, test: ExactTest = "pooled") -> float:
    """Patients per arm from which on the exact power cannot be below `power`; it is reached earlier.

    Source: as `exact_proportions_sample_size`.
    """
    bound = np.asarray(power, dtype=np.float64)
    return float(np.ceil(least_n(lambda n: _lower_bound(n, p_active, p_control, alpha, test), bound, np.asarray(2.0))))


def _size(p_active: float, p_control: float, power: float, alpha: float, tails: Tails, test: ExactTest) -> tuple[int, float]:
    if p_active == p_control or (tails == "benefit" and p_active < p_control):
        raise SimtrialsError(f"p_active must {'differ from' if tails == 'both' else 'be greater than'} p_control, got {p_active:g} and {p_control:g}")
    horizon = exact_power_horizon(p_active, p_control, power=power, alpha=alpha, test=test)
    if horizon > MOST_PER_ARM[test]:
        raise SimtrialsError(
            f"p_active {p_active:g} and p_control {p_control:g} are too close for exact enumeration, which would go up to {horizon:,.0f} patients "
            "per arm; the normal approximation is good for so many"
        )

    def power_at(n: int) -> float:
        return float(enumerated_power(_REJECTIONS[test](n, n, alpha=alpha, tails=tails), p_active, p_control))

    stays, of_stays = int(horizon), power_at(int(horizon))
    while stays > 1 and (below := power_at(stays - 1)) >= power:
        stays, of_stays = stays - 1, below
    return stays, of_stays


def _lower_bound(n: FloatArray, p_active: float, p_control: float, alpha: float, test: ExactTest) -> FloatArray:
    """A lower bound of the exact power with n patients per arm that rises with n: the larger of two.

    The test rejects whenever the difference of the observed proportions passes `critical`. By Hoeffding's inequality, and by the normal
    distribution with Shevtsova's bound of its error, this is at least so probable.
    """
    apart = abs(p_active - p_control)
    always = _sure_rejection(n, np.asarray(0.25), alpha, test)
    by_hoeffding = np.where(always < apart, 1 - np.exp(-n * np.square(np.maximum(apart - always, 0))), 0.0)
    reach = np.sqrt(np.log(1 / FAR_POOLED) / (4 * n))  # of the pooled proportion, to the side of larger variance
    center = (p_active + p_control) / 2
    nearest_half = np.clip(0.5, center - reach, center + reach)
    mostly = _sure_rejection(n, nearest_half * (1 - nearest_half), alpha, test)
    variances = np.array([p * (1 - p) for p in (p_active, p_control)])
    thirds = np.array([p * (1 - p) * (p**2 + (1 - p) ** 2) for p in (p_active, p_control)])
    error = BERRY_ESSEEN * thirds.sum() / variances.sum() ** 1.5 / np.sqrt(n)
    by_normal = ndtr((apart - mostly) / np.sqrt(variances.sum() / n)) - error - FAR_POOLED
    return np.asarray(np.maximum(by_hoeffding, by_normal))


def _sure_rejection(n: FloatArray, pooled_variance: FloatArray, alpha: float, test: ExactTest) -> FloatArray:
    """A difference of proportions beyond which the test rejects for sure, if the pooled proportion p has p (1 - p) of `pooled_variance` at most.

    In equal arms the unpooled variance is never larger than the pooled one. Fisher's two-sided p-value is then twice the one-sided one, which is
    at most exp(-n^2 d^2 / (n + 1)) for a difference d.
    """
    if test == "fisher":
        return np.asarray(np.sqrt((n + 1) * np.log(2 / alpha)) / n)
    return np.asarray(-ndtri(alpha / 2) * np.sqrt(2 * pooled_variance / n))
