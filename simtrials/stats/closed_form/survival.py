"""Times to an event: events and power of the log-rank test.

The event is harmful: the benefit is a hazard ratio, active to control, below 1. Arguments are numbers or arrays that broadcast.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.distributions import normal_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, positive


def log_rank_events(hazard_ratio: ArrayLike, *, power: ArrayLike = 0.8, alpha: ArrayLike = 0.05, allocation_ratio: ArrayLike = 1.0) -> FloatArray:
    """Events in both arms together for a power of the log-rank test; `allocation_ratio` is active / control, `alpha` two-sided.

    Source: Schoenfeld (1981), Biometrika 68, 316-319.
    """
    distance = ndtri(inside_unit("power", power)) - ndtri(inside_unit("alpha", alpha) / 2)
    with np.errstate(divide="ignore"):
        return np.asarray(distance**2 / (_information_per_event(allocation_ratio) * np.square(np.log(positive("hazard_ratio", hazard_ratio)))))


def log_rank_power(
    hazard_ratio: ArrayLike, *, n_events: ArrayLike, alpha: ArrayLike = 0.05, tails: Tails = "both", allocation_ratio: ArrayLike = 1.0
) -> FloatArray:
    """Power of the log-rank test under proportional hazards, by the normal approximation for hazard ratios that are not far from 1.

    Parameters
    ----------
    hazard_ratio : active to control, above 0; the benefit is below 1
    n_events : events in both arms together
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with fewer events than expected under active
    allocation_ratio : patients under active / patients under control

    Source: Schoenfeld (1981), Biometrika 68, 316-319.
    """
    benefit = -np.log(finite("hazard_ratio", positive("hazard_ratio", hazard_ratio)))
    std_error = 1 / np.sqrt(positive("n_events", n_events) * _information_per_event(allocation_ratio))
    return normal_rejection(benefit, std_error, std_error, inside_unit("alpha", alpha), tails)


def _information_per_event(allocation_ratio: ArrayLike) -> FloatArray:
    share = positive("allocation_ratio", allocation_ratio) / (1 + positive("allocation_ratio", allocation_ratio))
    return share * (1 - share)
