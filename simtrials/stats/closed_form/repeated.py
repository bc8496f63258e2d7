"""Repeated measures: power of slopes and of mixed models with patients lost on the way, and what reference-based imputation makes of an effect.

V visits, the last one being that of interest; `retention` is the share of an arm still seen at each visit, and visits are missing completely at
random and for good. Effects are active minus control, with the benefit positive.
"""

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.matrices import not_a_correlation
from simtrials.stats.closed_form.distributions import normal_rejection
from simtrials.stats.closed_form.inputs import Tails, correlation, finite, inside_unit, known, positive, probability
from simtrials.stats.closed_form.sizes import TwoArmSize, two_arm_size

Reference = Literal["jump_to_reference", "copy_reference", "copy_increments", "missing_at_random"]
REFERENCES: tuple[Reference, ...] = ("jump_to_reference", "copy_reference", "copy_increments", "missing_at_random")


def slope_power(
    slope_difference: ArrayLike,
    *,
    times: ArrayLike,
    sd: ArrayLike = 1.0,
    rho: ArrayLike,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
) -> FloatArray:
    """Power to show a difference of slopes over the `times` (V,) of the visits, when any two visits of a patient correlate by `rho`.

    `slope_difference` is per unit of time, `sd` that of an outcome.

    Source: Diggle, Heagerty, Liang and Zeger (2002), Analysis of Longitudinal Data, section 2.4, p. 29.
    """
    at = finite("times", times)
    if at.size < 2 or np.ptp(at) == 0:
        raise SimtrialsError("times must hold two different times at least")
    spread = np.square(at - at.mean()).sum()
    variance = positive("sd", sd) ** 2 * (1 - correlation("rho", rho)) / spread
    std_error = np.sqrt(variance * (1 / positive("n_active", n_active) + 1 / positive("n_control", n_control)))
    return normal_rejection(finite("slope_difference", slope_difference), std_error, std_error, inside_unit("alpha", alpha), tails)


def slope_sample_size(
    slope_difference: ArrayLike,
    *,
    times: ArrayLike,
    sd: ArrayLike = 1.0,
    rho: ArrayLike,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of `slope_power`; `allocation_ratio` is active / control.

    Source: as `slope_power`, solved for the sizes.
    """
    return two_arm_size(partial(slope_power, slope_difference, times=times, sd=sd, rho=rho, alpha=alpha, tails=tails), power, allocation_ratio)


def retention_inflation(correlations: ArrayLike, retention: ArrayLike) -> float:
    """Variance of the mean at the last visit by maximum likelihood from all visits, times n / variance: 1 without loss.

    Parameters
    ----------
    correlations : (V, V) of the visits
    retention : (V,) share still seen at each visit, not rising, above 0

    Source: Lu, Luo and Chen (2008), The International Journal of Biostatistics 4, article 9, equations 3 and 4.
    """
    matrix, seen = finite("correlations", correlations), probability("retention", retention)
    if matrix.shape != (seen.size, seen.size):
        raise SimtrialsError(f"correlations must be {seen.size} x {seen.size}, one row for each visit of retention, got {matrix.shape}")
    why = not_a_correlation(matrix, [f"visit {t + 1}" for t in range(seen.size)])
    if why:
        raise SimtrialsError(f"correlations {why}")
    if (np.diff(seen) > 0).any() or seen[-1] == 0:
        raise SimtrialsError("retention must not rise from visit to visit, and must stay above 0")
    information = np.zeros_like(matrix)
    for t, share in enumerate(seen - np.append(seen[1:], 0.0), start=1):
        information[:t, :t] += share * np.linalg.inv(matrix[:t, :t])
    return float(np.linalg.inv(information)[-1, -1])


def mmrm_power(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    correlations: ArrayLike,
    retention_active: ArrayLike,
    retention_control: ArrayLike | None = None,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
) -> FloatArray:
    """Power of a mixed model for repeated measures at the last visit, by the normal distribution.

    Parameters
    ----------
    effect, sd : difference of means at the last visit, and SD there, same unit
    correlations : (V, V) of the visits; after baseline adjustment those of the residuals
    retention_active, retention_control : (V,) shares still seen at each visit; control as active where it is left out
    n_active, n_control : patients randomised to each arm
    alpha, tails : two-sided level, and what counts

    Source: Lu, Luo and Chen (2008), The International Journal of Biostatistics 4, article 9.
    """
    active = retention_inflation(correlations, retention_active)
    control = active if retention_control is None else retention_inflation(correlations, retention_control)
    std_error = positive("sd", sd) * np.sqrt(active / positive("n_active", n_active) + control / positive("n_control", n_control))
    return normal_rejection(finite("effect", effect), std_error, std_error, inside_unit("alpha", alpha), tails)


def mmrm_sample_size(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    correlations: ArrayLike,
    retention_active: ArrayLike,
    retention_control: ArrayLike | None = None,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients to randomise for a power of `mmrm_power`; `allocation_ratio` is active / control.

    Source: as `mmrm_power`, solved for the sizes.
    """
    power_at = partial(
        mmrm_power,
        effect,
        sd=sd,
        correlations=correlations,
        retention_active=retention_active,
        retention_control=retention_control,
        alpha=alpha,
        tails=tails,
    )
    return two_arm_size(power_at, power, allocation_ratio)


def reference_based_effect(effects: ArrayLike, covariance: ArrayLike, left_after: ArrayLike, assumption: Reference) -> float:
    """Mean difference at the last visit when active patients who leave are imputed from the control arm.

    Parameters
    ----------
    effects : (V,) difference of means at each visit while the treatment goes on
    covariance : (V, V) of the visits in the control arm; with a baseline it comes first, with an effect of 0
    left_after : (V + 1,) share of the active arm, leaving completely at random, who are seen at no visit, at the first one only, ... at all
    assumption : 'jump_to_reference', 'copy_reference', 'copy_increments' or 'missing_at_random'

    Source: Carpenter, Roger and Kenward (2013), Journal of Biopharmaceutical Statistics 23, 1352-1371, of whose distributions these are means.
    """
    known("assumption", assumption, REFERENCES)
    delta, sigma, shares = finite("effects", effects), finite("covariance", covariance), probability("left_after", left_after)
    if sigma.shape != (delta.size, delta.size) or shares.size != delta.size + 1:
        raise SimtrialsError(f"covariance must be {delta.size} x {delta.size} and left_after have {delta.size + 1} values")
    if abs(shares.sum() - 1) > 1e-9:
        raise SimtrialsError(f"left_after must add up to 1, got {shares.sum():g}")
    kept = [0.0 if assumption != "missing_at_random" else delta[-1]]
    for t in range(1, delta.size):
        if assumption == "copy_reference":
            kept.append(float(np.linalg.solve(sigma[:t, :t], sigma[:t, -1]) @ delta[:t]))
        else:
            kept.append({"jump_to_reference": 0.0, "copy_increments": delta[t - 1], "missing_at_random": delta[-1]}[assumption])
    return float(shares @ [*kept, delta[-1]])
