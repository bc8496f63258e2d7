"""Assurance: the probability that a trial succeeds, averaged over what is believed of the effect.

The benefit is positive. Arguments are numbers or arrays that broadcast.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.distributions import averaged, counted, normal_rejection, scaled_chi
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, no_less_than, positive


def assurance_normal_prior(
    prior_mean: ArrayLike,
    prior_sd: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "benefit",
    test: Literal["z", "t"] = "z",
) -> FloatArray:
    """Probability that the comparison of two means is statistically significant, averaged over a normal prior of the true effect.

    Parameters
    ----------
    prior_mean, prior_sd : normal prior of the difference of means, active minus control, benefit positive; prior_sd 0 gives the power
    sd : standard deviation in each arm, same unit
    n_active, n_control : patients in each arm
    alpha : two-sided level
    tails : "benefit" counts significant results with the estimate above 0, "both" every significant result
    test : "z" with the SD known, "t" with the SD estimated (pooled)

    Returns
    -------
    Assurance; NaN where the t test has no degrees of freedom. With more and more patients it approaches `assurance_limit`, not 1

    Source: O'Hagan, Stevens and Campbell (2005), Pharmaceutical Statistics 4:187-201, section 2. The t test: given the estimated SD, the
    estimate is normal with the prior's variance added, and the SD is integrated out.
    """
    known("test", test, ("z", "t"))
    active, control, level = positive("n_active", n_active), positive("n_control", n_control), inside_unit("alpha", alpha)
    std_error = positive("sd", sd) * np.sqrt(1 / active + 1 / control)
    mean = finite("prior_mean", prior_mean)
    predictive_sd = np.sqrt(std_error**2 + no_less_than("prior_sd", finite("prior_sd", prior_sd), 0) ** 2)
    if test == "z":
        return normal_rejection(mean, std_error, predictive_sd, level, tails)
    df = active + control - 2
    estimated, weight = scaled_chi(df)  # (..., node)
    boundary = (-stdtrit(df, level / 2) * std_error)[..., np.newaxis] * estimated
    center, spread = mean[..., np.newaxis], predictive_sd[..., np.newaxis]
    return averaged(counted(ndtr((center - boundary) / spread), ndtr((-center - boundary) / spread), tails), weight)


def assurance_limit(prior_mean: ArrayLike, prior_sd: ArrayLike) -> FloatArray:
    """The most that assurance can reach with any number of patients, counting benefit only: the prior probability that the effect is above 0.

    Source: O'Hagan, Stevens and Campbell (2005), Pharmaceutical Statistics 4:187-201, section 2.
    """
    return ndtr(finite("prior_mean", prior_mean) / positive("prior_sd", prior_sd))
