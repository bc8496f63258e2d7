"""Power of meta-analyses, and how many studies they need: the test that the mean effect is zero.

The benefit is positive. Arguments are numbers or arrays that broadcast.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.stats.closed_form.distributions import normal_rejection, t_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, no_less_than, positive
from simtrials.stats.closed_form.sizes import OneSampleSize, one_sample_size

MeanTest = Literal["normal", "hartung_knapp"]


def smd_variance(mean_effect: ArrayLike, *, n_active: ArrayLike, n_control: ArrayLike) -> FloatArray:
    """Large-sample variance of the standardized mean difference of a study with these patients per arm.

    Source: Hedges and Olkin (1985), Statistical Methods for Meta-Analysis, p. 86.
    """
    active, control = positive("n_active", n_active), positive("n_control", n_control)
    return 1 / active + 1 / control + finite("mean_effect", mean_effect) ** 2 / (2 * (active + control))


def meta_analysis_power(
    mean_effect: ArrayLike,
    *,
    k: ArrayLike,
    variance: ArrayLike | None = None,
    n_active: ArrayLike | None = None,
    n_control: ArrayLike | None = None,
    tau2: ArrayLike = 0.0,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    test: MeanTest = "normal",
) -> FloatArray:
    """Power of the test of the mean effect in a meta-analysis of `k` studies of the same precision.

    Give either `variance`, or patients per arm of each study; the effect is then a standardized mean difference and `smd_variance` its variance.

    Parameters
    ----------
    mean_effect : mean of the true effects, benefit positive, any unit (standardized mean difference if patients are given)
    k : number of studies, 1 or more, 2 or more for "hartung_knapp"
    variance : sampling variance of a study's estimate, unit of the effect squared
    n_active, n_control : patients in each arm of each study
    tau2 : variance of the true effects between studies, unit of the effect squared; 0 for the common-effect model
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with the mean above 0
    test : "normal" takes the variances as known; "hartung_knapp" allows for their estimation, and is exact for studies of the same precision,
        where the statistic is the one-sample t of the study effects whatever the estimate of tau2

    Returns
    -------
    Probability of rejection; NaN where "hartung_knapp" has fewer than 2 studies

    Source: Hedges and Pigott (2001), Psychological Methods 6:203-217 (normal); Hedges and Pigott (2004), Psychological Methods 9:426-445, for
    tests of moderators on the same grounds; Hartung and Knapp (2001), Statistics in Medicine 20:1771-1782.
    """
    known("test", test, ("normal", "hartung_knapp"))
    effect, studies = finite("mean_effect", mean_effect), no_less_than("k", k, 1)
    of_study = _study_variance(effect, variance, n_active, n_control) + no_less_than("tau2", finite("tau2", tau2), 0)
    std_error, level = np.sqrt(of_study / studies), inside_unit("alpha", alpha)
    if test == "normal":
        return normal_rejection(effect, std_error, std_error, level, tails)
    return t_rejection(effect / std_error, studies - 1, level, tails)


def meta_analysis_studies(
    mean_effect: ArrayLike,
    *,
    power: ArrayLike = 0.8,
    variance: ArrayLike | None = None,
    n_active: ArrayLike | None = None,
    n_control: ArrayLike | None = None,
    tau2: ArrayLike = 0.0,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    test: MeanTest = "normal",
) -> OneSampleSize:
    """Studies for a power of `meta_analysis_power`, at least 1 (normal) or 2 (Hartung-Knapp).

    Source: as `meta_analysis_power`, solved for the number of studies.
    """
    shared = {"variance": variance, "n_active": n_active, "n_control": n_control, "tau2": tau2, "alpha": alpha}
    fewest = 1.0 if test == "normal" else 2.0
    return one_sample_size(lambda k: meta_analysis_power(mean_effect, k=k, tails=tails, test=test, **shared), power, fewest)  # type: ignore[arg-type]


def _study_variance(effect: FloatArray, variance: ArrayLike | None, n_active: ArrayLike | None, n_control: ArrayLike | None) -> FloatArray:
    if variance is not None and n_active is None and n_control is None:
        return positive("variance", variance)
    if variance is None and n_active is not None and n_control is not None:
        return smd_variance(effect, n_active=n_active, n_control=n_control)
    raise SimtrialsError("variance must be given, or else both n_active and n_control, the patients per arm of each study")
