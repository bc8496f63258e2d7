"""Power and sample size of tests of means: t, z, paired, non-inferiority, and t tests when the variances differ.

`effect` is the difference of means, active minus control, with the benefit positive; `sd` is in the same unit, so that with `sd` 1 the effect is
a standardized mean difference. A one-sided test at level a is the two-sided test at alpha = 2 a with tails = "benefit".
All arguments are numbers or arrays that broadcast. Sizes may be fractional; the result is NaN where no degrees of freedom are left.
"""

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.distributions import averaged, counted, normal_rejection, scaled_chi_pair, t_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, positive
from simtrials.stats.closed_form.sizes import OneSampleSize, TwoArmSize, one_sample_size, two_arm_size

DifferenceTest = Literal["pooled", "welch"]


def t_test_power(
    effect: ArrayLike, *, sd: ArrayLike = 1.0, n_active: ArrayLike, n_control: ArrayLike, alpha: ArrayLike = 0.05, tails: Tails = "both"
) -> FloatArray:
    """Power of the two-sample t test with pooled variance, when the outcome is normal with the same SD in both arms.

    Parameters
    ----------
    effect : difference of means, active minus control, benefit positive, any unit
    sd : standard deviation in each arm, same unit
    n_active, n_control : patients in each arm
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with the estimate above 0

    Returns
    -------
    Probability of rejection; NaN where n_active + n_control is 2 or less

    Source: O'Brien and Muller (1993), in Applied Analysis of Variance in Behavioral Science, section 8.2.1 (as in SAS PROC POWER and G*Power).
    """
    n_active, n_control = positive("n_active", n_active), positive("n_control", n_control)
    noncentrality = finite("effect", effect) / (positive("sd", sd) * np.sqrt(1 / n_active + 1 / n_control))
    return t_rejection(noncentrality, n_active + n_control - 2, inside_unit("alpha", alpha), tails)


def t_test_sample_size(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of the two-sample t test with pooled variance; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `t_test_power`, solved for the sizes.
    """
    return two_arm_size(partial(t_test_power, effect, sd=sd, alpha=alpha, tails=tails), power, allocation_ratio)


def t_test_power_unequal_sd(
    effect: ArrayLike,
    *,
    sd_active: ArrayLike,
    sd_control: ArrayLike,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    test: DifferenceTest = "pooled",
) -> FloatArray:
    """Exact rejection rate of the pooled or Welch t test of normal outcomes whose SDs may differ; at effect 0 the type I error rate.

    The mean difference is independent of the two sample variances, which are scaled chi-squares: the normal probability is integrated over both.

    Parameters
    ----------
    effect : difference of means, active minus control, benefit positive, any unit
    sd_active, sd_control : standard deviation in each arm, same unit
    n_active, n_control : patients in each arm, more than 1
    test : "pooled" (one variance, n_active + n_control - 2 degrees of freedom) or "welch" (Welch-Satterthwaite degrees of freedom)

    Returns
    -------
    Probability of rejection; NaN where an arm has one patient or fewer

    Source: Welch (1938), Biometrika 29:350-362 (pooled); Satterthwaite (1946), Biometrics Bulletin 2:110-114 (degrees of freedom of Welch's test);
    the double integral as in Moser, Stevens and Watts (1989), Communications in Statistics 18:3963-3975.
    """
    known("test", test, tuple(_STD_ERRORS))
    n_active, n_control = positive("n_active", n_active), positive("n_control", n_control)
    variance_active = positive("sd_active", sd_active) ** 2 / n_active  # of the mean
    variance_control = positive("sd_control", sd_control) ** 2 / n_control
    scale_active, scale_control, weight = scaled_chi_pair(n_active - 1, n_control - 1)  # (..., node of active, node of control)
    found = _on_grid(variance_active) * scale_active**2, _on_grid(variance_control) * scale_control**2
    std_error, df = _STD_ERRORS[test](*found, _on_grid(n_active), _on_grid(n_control))
    critical = -stdtrit(df, _on_grid(inside_unit("alpha", alpha)) / 2) * std_error
    shift, true_std_error = _on_grid(finite("effect", effect)), _on_grid(np.sqrt(variance_active + variance_control))
    rejected = counted(ndtr((shift - critical) / true_std_error), ndtr((-shift - critical) / true_std_error), tails)
    return averaged(rejected, weight, axis=(-2, -1))


def _on_grid(value: FloatArray) -> FloatArray:
    return value[..., np.newaxis, np.newaxis]


def _pooled(of_active: FloatArray, of_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom, from the estimated variances of the two means."""
    df = n_active + n_control - 2
    variance = ((n_active - 1) * n_active * of_active + (n_control - 1) * n_control * of_control) / df
    return np.sqrt(variance * (1 / n_active + 1 / n_control)), df


def _welch(of_active: FloatArray, of_control: FloatArray, n_active: FloatArray, n_control: FloatArray) -> tuple[FloatArray, FloatArray]:
    variance = of_active + of_control
    return np.sqrt(variance), variance**2 / (of_active**2 / (n_active - 1) + of_control**2 / (n_control - 1))


_STD_ERRORS = {"pooled": _pooled, "welch": _welch}


def z_test_power(
    effect: ArrayLike,
    *,
    sd_active: ArrayLike = 1.0,
    sd_control: ArrayLike = 1.0,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
) -> FloatArray:
    """Power of the two-sample z test, in which the SDs of the arms are known and may differ: the large-sample power of Welch's test.

    Source: Chow, Shao and Wang (2008), Sample Size Calculations in Clinical Research, p. 58; Rosner (2010), p. 303.
    """
    variance_active = positive("sd_active", sd_active) ** 2 / positive("n_active", n_active)
    std_error = np.sqrt(variance_active + positive("sd_control", sd_control) ** 2 / positive("n_control", n_control))
    return normal_rejection(finite("effect", effect), std_error, std_error, inside_unit("alpha", alpha), tails)


def z_test_sample_size(
    effect: ArrayLike,
    *,
    sd_active: ArrayLike = 1.0,
    sd_control: ArrayLike = 1.0,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of the two-sample z test; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `z_test_power`, solved for the sizes.
    """
    power_at = partial(z_test_power, effect, sd_active=sd_active, sd_control=sd_control, alpha=alpha, tails=tails)
    return two_arm_size(power_at, power, allocation_ratio)


def paired_t_power(effect: ArrayLike, *, sd: ArrayLike = 1.0, n_pairs: ArrayLike, alpha: ArrayLike = 0.05, tails: Tails = "both") -> FloatArray:
    """Power of the paired (or one-sample) t test; `sd` is that of the differences within pairs. NaN where n_pairs is 1 or less.

    Source: O'Brien and Muller (1993), section 8.2.1, with one mean and n_pairs - 1 degrees of freedom (as in G*Power).
    """
    n_pairs = positive("n_pairs", n_pairs)
    noncentrality = finite("effect", effect) / positive("sd", sd) * np.sqrt(n_pairs)
    return t_rejection(noncentrality, n_pairs - 1, inside_unit("alpha", alpha), tails)


def paired_t_sample_size(
    effect: ArrayLike, *, sd: ArrayLike = 1.0, power: ArrayLike = 0.8, alpha: ArrayLike = 0.05, tails: Tails = "both"
) -> OneSampleSize:
    """Pairs for a power of the paired t test, at least 2.

    Source: as `paired_t_power`, solved for the number of pairs.
    """
    return one_sample_size(lambda n: paired_t_power(effect, sd=sd, n_pairs=n, alpha=alpha, tails=tails), power, 2.0)


def noninferiority_t_power(
    effect: ArrayLike,
    *,
    margin: ArrayLike,
    sd: ArrayLike = 1.0,
    n_active: ArrayLike,
    n_control: ArrayLike,
    one_sided_alpha: ArrayLike = 0.025,
) -> FloatArray:
    """Power to show that active is worse than control by less than `margin` (positive); `effect` is the true difference, benefit positive.

    Source: Chow, Shao and Wang (2008), Sample Size Calculations in Clinical Research, section 3.2, with the noncentral t for the normal.
    """
    shifted = finite("effect", effect) + positive("margin", margin)
    alpha = 2 * inside_unit("one_sided_alpha", one_sided_alpha)
    return t_test_power(shifted, sd=sd, n_active=n_active, n_control=n_control, alpha=alpha, tails="benefit")


def noninferiority_t_sample_size(
    effect: ArrayLike,
    *,
    margin: ArrayLike,
    sd: ArrayLike = 1.0,
    power: ArrayLike = 0.8,
    one_sided_alpha: ArrayLike = 0.025,
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power to show non-inferiority; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `noninferiority_t_power`, solved for the sizes.
    """
    power_at = partial(noninferiority_t_power, effect, margin=margin, sd=sd, one_sided_alpha=one_sided_alpha)
    return two_arm_size(power_at, power, allocation_ratio)
