"""Power and sample size of the interaction of treatment and a marker in a randomized trial.

The benefit is positive. Arguments are numbers or arrays that broadcast.
"""

from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.distributions import averaged, scaled_chi, t_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, positive
from simtrials.stats.closed_form.sizes import TwoArmSize, two_arm_size

Marker = Literal["normal", "fixed"]
MODEL_TERMS = 4
"""Intercept, arm, marker and their product."""


def interaction_power(
    slope_difference: ArrayLike,
    *,
    marker_sd: ArrayLike = 1.0,
    residual_sd: ArrayLike = 1.0,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    marker: Marker = "normal",
) -> FloatArray:
    """Power to show that the effect of treatment depends on a marker: the t test of the product in a linear model with arm and marker.

    Parameters
    ----------
    slope_difference : change of the treatment effect per unit of the marker, benefit positive, points of outcome per unit of marker; for a marker
        that is present or absent, the difference of the effects between the two groups
    marker_sd : standard deviation of the marker; sqrt(q (1 - q)) for one that is present in a share q of patients
    residual_sd : standard deviation of the outcome given arm and marker, points of outcome
    n_active, n_control : patients in each arm
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with the estimate above 0
    marker : "normal" draws the marker with the patients and is exact for a normal one; "fixed" takes its spread in each arm as given, n times the
        variance, as G*Power does for any marker, and is a little too high

    Returns
    -------
    Probability of rejection; NaN where there are 4 patients or fewer, or for "normal" an arm of 1

    Source: Cohen (1988), chapter 9 (fixed; the noncentrality f2 N as in `regression_power` with 1 of 3 predictors); averaged over the chi-square
    distributions of the marker's sum of squares in each arm (normal), after Gatsonis and Sampson (1989), Psychological Bulletin 106:516-524.
    """
    known("marker", marker, ("normal", "fixed"))
    active, control = positive("n_active", n_active), positive("n_control", n_control)
    standardized = finite("slope_difference", slope_difference) * positive("marker_sd", marker_sd) / positive("residual_sd", residual_sd)
    df, level = active + control - MODEL_TERMS, inside_unit("alpha", alpha)
    if marker == "fixed":
        return t_rejection(standardized / np.sqrt(1 / active + 1 / control), df, level, tails)
    of_active, weight_active = (part[..., :, np.newaxis] for part in scaled_chi(active - 1, 24))
    of_control, weight_control = (part[..., np.newaxis, :] for part in scaled_chi(control - 1, 24))
    node = (..., np.newaxis, np.newaxis)
    spread = np.sqrt(1 / ((active - 1)[node] * of_active**2) + 1 / ((control - 1)[node] * of_control**2))
    rejected = t_rejection(standardized[node] / spread, np.asarray(df)[node], level[node], tails)
    return averaged(rejected, weight_active * weight_control, axis=(-2, -1))


def interaction_sample_size(
    slope_difference: ArrayLike,
    *,
    marker_sd: ArrayLike = 1.0,
    residual_sd: ArrayLike = 1.0,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    marker: Marker = "normal",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of `interaction_power`; `allocation_ratio` is active / control, at least 3 in each arm.

    Source: as `interaction_power`, solved for the sizes.
    """
    shared = {"marker_sd": marker_sd, "residual_sd": residual_sd, "alpha": alpha}
    return two_arm_size(partial(interaction_power, slope_difference, tails=tails, marker=marker, **shared), power, allocation_ratio)
