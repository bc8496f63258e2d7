"""Power and sample size of tests of two proportions: normal approximations, and the exact power of any test by enumeration.

An event is taken as good (response, remission): the benefit is a higher proportion under active. For a harmful event give 1 - p.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, ndtr, ndtri, xlog1py, xlogy

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.stats.closed_form.distributions import averaged, normal_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, positive, probability
from simtrials.stats.closed_form.sizes import TwoArmSize, two_arm_size

ProportionTest = Literal["pooled", "unpooled", "arcsine", "continuity_corrected"]
TIE = 1e-7
"""Relative difference below which two tables are taken as equally probable, as in R's fisher.test."""


class _Normal(NamedTuple):
    """A test statistic taken as normal: mean difference, SD that sets the critical value, SD under the alternative, continuity correction."""

    difference: FloatArray
    null_sd: FloatArray
    alternative_sd: FloatArray
    correction: FloatArray


def _pooled(p_active: FloatArray, p_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> _Normal:
    pooled = (n_active * p_active + n_control * p_control) / (n_active + n_control)
    null_sd = np.sqrt(pooled * (1 - pooled) * (1 / n_active + 1 / n_control))
    return _unpooled(p_active, p_control, n_active, n_control)._replace(null_sd=null_sd)


def _unpooled(p_active: FloatArray, p_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> _Normal:
    sd = np.sqrt(p_active * (1 - p_active) / n_active + p_control * (1 - p_control) / n_control)
    return _Normal(p_active - p_control, sd, sd, np.zeros_like(sd))


def _arcsine(p_active: FloatArray, p_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> _Normal:
    difference = 2 * np.arcsin(np.sqrt(p_active)) - 2 * np.arcsin(np.sqrt(p_control))
    sd = np.sqrt(1 / n_active + 1 / n_control)
    return _Normal(difference, sd, sd, np.zeros_like(sd))


def _continuity_corrected(p_active: FloatArray, p_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> _Normal:
    return _pooled(p_active, p_control, n_active, n_control)._replace(correction=(1 / n_active + 1 / n_control) / 2)


_TESTS = {"pooled": _pooled, "unpooled": _unpooled, "arcsine": _arcsine, "continuity_corrected": _continuity_corrected}


def proportions_power(
    p_active: ArrayLike,
    p_control: ArrayLike,
    *,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    test: ProportionTest = "pooled",
) -> FloatArray:
    """Power of a test of two proportions by the normal approximation.

    Parameters
    ----------
    p_active, p_control : probability of the (good) event in each arm, strictly between 0 and 1
    n_active, n_control : patients in each arm
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with the higher proportion under active
    test : "pooled" is the score (chi-square) test, whose critical value uses the variance under the null; "unpooled" is Wald's test of the risk
        difference; "arcsine" compares angles; "continuity_corrected" is the pooled test with Yates's correction

    Source: Fleiss, Tytun and Ury (1980), Biometrics 36:343-346 (pooled and continuity corrected; also Zar 1999, example 24.26);
    Chow, Shao and Wang (2008), section 4.2 (unpooled); Cohen (1988), chapter 6 (arcsine).
    """
    known("test", test, tuple(_TESTS))
    sizes = positive("n_active", n_active), positive("n_control", n_control)
    normal = _TESTS[test](inside_unit("p_active", p_active), inside_unit("p_control", p_control), *sizes)
    return normal_rejection(normal.difference, normal.null_sd, normal.alternative_sd, inside_unit("alpha", alpha), tails, normal.correction)


def proportions_sample_size(
    p_active: ArrayLike,
    p_control: ArrayLike,
    *,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    test: ProportionTest = "pooled",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of a test of two proportions; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `proportions_power`, solved for the sizes.
    """
    return two_arm_size(partial(proportions_power, p_active, p_control, alpha=alpha, tails=tails, test=test), power, allocation_ratio)


def noninferiority_proportions_power(
    p_active: ArrayLike,
    p_control: ArrayLike,
    *,
    margin: ArrayLike,
    n_active: ArrayLike,
    n_control: ArrayLike,
    one_sided_alpha: ArrayLike = 0.025,
) -> FloatArray:
    """Power to show that the (good) event is less frequent under active by less than `margin`, by the unpooled z test.

    Parameters
    ----------
    p_active, p_control : true probability of the event in each arm, strictly between 0 and 1
    margin : largest difference of proportions that is still acceptable, positive
    n_active, n_control : patients in each arm
    one_sided_alpha : one-sided level

    Source: Chow, Shao and Wang (2008), Sample Size Calculations in Clinical Research, section 4.2.2, p. 90.
    """
    sizes = positive("n_active", n_active), positive("n_control", n_control)
    normal = _unpooled(inside_unit("p_active", p_active), inside_unit("p_control", p_control), *sizes)
    alpha = 2 * inside_unit("one_sided_alpha", one_sided_alpha)
    return normal_rejection(normal.difference + positive("margin", margin), normal.null_sd, normal.alternative_sd, alpha, "benefit")


def noninferiority_proportions_sample_size(
    p_active: ArrayLike,
    p_control: ArrayLike,
    *,
    margin: ArrayLike,
    power: ArrayLike = 0.8,
    one_sided_alpha: ArrayLike = 0.025,
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power to show non-inferiority of a proportion; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `noninferiority_proportions_power`, solved for the sizes.
    """
    power_at = partial(noninferiority_proportions_power, p_active, p_control, margin=margin, one_sided_alpha=one_sided_alpha)
    return two_arm_size(power_at, power, allocation_ratio)


def responder_proportion(effect: ArrayLike, p_control: ArrayLike) -> FloatArray:
    """Share of responders under active when a normal outcome is cut so that a share `p_control` of controls respond.

    `effect` is the standardized mean difference of the outcome before it is cut, benefit positive; the SDs of the arms are the same.

    Source: Peacock, Sauzet, Ewings and Kerry (2012), Statistics in Medicine 31:3089-3103.
    """
    cut = -ndtri(inside_unit("p_control", p_control))
    return ndtr(finite("effect", effect) - cut)


def enumerated_power(rejected: BoolArray, p_active: ArrayLike, p_control: ArrayLike) -> FloatArray:
    """Exact rejection probability of any test of two proportions, by summing the binomial probabilities of the tables that it rejects.

    Parameters
    ----------
    rejected : (n_active + 1, n_control + 1) bool, whether the test rejects with these numbers of events
    p_active, p_control : probability of the event in each arm, in [0, 1]; at equal values the result is the type I error rate

    Source: Suissa and Shuster (1985), Journal of the Royal Statistical Society A 148:317-327.
    """
    if rejected.ndim != 2 or rejected.dtype != np.bool_:
        raise SimtrialsError("rejected must be a table of true and false, one row per number of events under active")
    active, control = np.broadcast_arrays(probability("p_active", p_active), probability("p_control", p_control))
    of_active = _binomial(rejected.shape[0] - 1, active.ravel())  # (events, case)
    of_control = _binomial(rejected.shape[1] - 1, control.ravel())
    rows = range(0, rejected.shape[0], 256)  # a product with bool makes a float copy: a few rows at a time keep it small
    given_active = np.concatenate([rejected[row : row + 256] @ of_control for row in rows])
    power: FloatArray = averaged(given_active, of_active, axis=0).reshape(active.shape)[()]
    return power


def _binomial(n: int, p: FloatArray) -> FloatArray:
    events = np.arange(n + 1.0)[:, np.newaxis]
    return np.exp(_log_ways(n, events) + xlogy(events, p) + xlog1py(n - events, -p))


def _log_ways(n: int, events: AnyArray) -> FloatArray:
    return np.asarray(gammaln(n + 1) - gammaln(events + 1) - gammaln(n - events + 1))


def pooled_z_rejection(n_active: int, n_control: int, *, alpha: float = 0.05, tails: Tails = "both") -> BoolArray:
    """Tables that the pooled z test (the score or chi-square test without correction) rejects; never without an event, or with events only.

    Returns (n_active + 1, n_control + 1) bool, by events under active and under control.

    Source: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, chapter 3.
    """

    def variance(active: float, control: FloatArray) -> FloatArray:
        pooled = (active + control) / (n_active + n_control)
        return pooled * (1 - pooled) * (1 / n_active + 1 / n_control)

    return _z_rejection(n_active, n_control, alpha, tails, variance)


def unpooled_z_rejection(n_active: int, n_control: int, *, alpha: float = 0.05, tails: Tails = "both") -> BoolArray:
    """Tables that the unpooled z test (Wald's test of the risk difference) rejects; complete separation, with standard error 0, is rejected.

    Returns (n_active + 1, n_control + 1) bool, by events under active and under control.

    Source: Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, chapter 3.
    """

    def variance(active: float, control: FloatArray) -> FloatArray:
        p_active, p_control = active / n_active, control / n_control
        return p_active * (1 - p_active) / n_active + p_control * (1 - p_control) / n_control

    return _z_rejection(n_active, n_control, alpha, tails, variance)


def fisher_rejection(
    n_active: int, n_control: int, *, alpha: float = 0.05, tails: Tails = "both", mid_p: bool = False, one_sided: bool = False
) -> BoolArray:
    """Tables that Fisher's exact test rejects: the two-sided p-value sums the tables that are no more probable than the one observed.

    The mid-p value counts half of those that are exactly as probable; the one-sided one sums the tables with as many events under active or
    more, the observed one by half for mid-p. A p-value equal to `alpha` does not reject.
    Returns (n_active + 1, n_control + 1) bool, by events under active and under control.

    Source: Fagerland, Lydersen and Laake (2017), Statistical Analysis of Contingency Tables, chapter 4.
    """
    _check_counts(n_active, n_control, alpha, tails)
    rejected = np.zeros((n_active + 1, n_control + 1), dtype=np.bool_)
    ways_active, ways_control = (_log_ways(n, np.arange(n + 1)) for n in (n_active, n_control))
    for total in range(n_active + n_control + 1):
        active = np.arange(max(0, total - n_control), min(n_active, total) + 1)
        ways = ways_active[active] + ways_control[total - active]
        weight = np.exp(ways - ways.max())
        p_value = _upper_tails(weight, mid_p) if one_sided else _fisher_p_values(weight, mid_p)
        rejected[active, total - active] = (p_value < alpha * (1 - 1e-12)) & _counts(active / n_active - (total - active) / n_control, tails)
    return rejected


def _upper_tails(weight: FloatArray, mid_p: bool) -> FloatArray:
    tail: FloatArray = weight[::-1].cumsum()[::-1] - (weight / 2 if mid_p else 0.0)
    return np.asarray(tail / weight.sum())


def _fisher_p_values(weight: FloatArray, mid_p: bool) -> FloatArray:
    ordered = np.sort(weight)
    cumulated = np.concatenate([[0.0], np.cumsum(ordered)])
    no_more_probable: FloatArray = cumulated[np.searchsorted(ordered, weight * (1 + TIE), side="right")] / cumulated[-1]
    if not mid_p:
        return no_more_probable
    less_probable: FloatArray = cumulated[np.searchsorted(ordered, weight * (1 - TIE), side="left")] / cumulated[-1]
    return (no_more_probable + less_probable) / 2


def _z_rejection(n_active: int, n_control: int, alpha: float, tails: Tails, variance: Callable[[float, FloatArray], FloatArray]) -> BoolArray:
    _check_counts(n_active, n_control, alpha, tails)
    critical = ndtri(alpha / 2) ** 2
    control = np.arange(n_control + 1.0)
    rejected = np.empty((n_active + 1, n_control + 1), dtype=np.bool_)
    for active in range(n_active + 1):
        difference = active / n_active - control / n_control
        rejected[active] = (difference**2 > critical * variance(active, control)) & _counts(difference, tails)
    return rejected


def _counts(difference: FloatArray, tails: Tails) -> BoolArray:
    return difference > 0 if tails == "benefit" else difference != 0


def _check_counts(n_active: int, n_control: int, alpha: float, tails: Tails) -> None:
    known("tails", tails, ("both", "benefit"))
    inside_unit("alpha", alpha)
    if min(n_active, n_control) < 1:
        raise SimtrialsError(f"n_active and n_control must be at least 1, got {n_active} and {n_control}")
