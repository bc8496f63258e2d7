"""Trials that randomise clusters of patients, such as sites or wards, analysed by their means."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.distributions import normal_rejection, t_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, no_less_than, positive, probability
from simtrials.stats.closed_form.sizes import TwoArmSize, two_arm_size


def design_effect(patients_per_cluster: ArrayLike, icc: ArrayLike) -> FloatArray:
    """Variance of a mean of clusters relative to that of as many independent patients.

    Source: Donner, Birkett and Buck (1981), American Journal of Epidemiology 114, 906-914.
    """
    return 1 + (no_less_than("patients_per_cluster", patients_per_cluster, 1.0) - 1) * probability("icc", icc)


def cluster_power(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    icc: ArrayLike,
    patients_per_cluster: ArrayLike,
    clusters_active: ArrayLike,
    clusters_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    reference: Literal["t", "normal"] = "t",
) -> FloatArray:
    """Power of the two-sample t test of the clusters' means, or of the normal approximation that ignores how few they are.

    Parameters
    ----------
    effect, sd : difference of means, benefit positive, and SD of patients, same unit
    icc : share of the variance that lies between clusters
    patients_per_cluster, clusters_active, clusters_control : sizes
    alpha, tails : two-sided level, and what counts
    reference : distribution that gives the critical value

    Source: Donner and Klar (2000), Design and Analysis of Cluster Randomization Trials, chapters 5 and 7.
    """
    known("reference", reference, ("t", "normal"))
    of_mean = positive("sd", sd) ** 2 * design_effect(patients_per_cluster, icc) / positive("patients_per_cluster", patients_per_cluster)
    active, control = positive("clusters_active", clusters_active), positive("clusters_control", clusters_control)
    std_error = np.sqrt(of_mean * (1 / active + 1 / control))
    difference, level = finite("effect", effect), inside_unit("alpha", alpha)
    if reference == "normal":
        return normal_rejection(difference, std_error, std_error, level, tails)
    return t_rejection(difference / std_error, active + control - 2, level, tails)


def cluster_sample_size(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    icc: ArrayLike,
    patients_per_cluster: ArrayLike,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    reference: Literal["t", "normal"] = "t",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Clusters (not patients) for a power of `cluster_power`; `allocation_ratio` is active / control, at least 2 clusters per arm.

    Source: as `cluster_power`, solved for the number of clusters.
    """

    def power_at(*, n_active: ArrayLike, n_control: ArrayLike) -> FloatArray:
        shared = {"sd": sd, "icc": icc, "patients_per_cluster": patients_per_cluster, "alpha": alpha}
        return cluster_power(effect, **shared, clusters_active=n_active, clusters_control=n_control, tails=tails, reference=reference)

    return two_arm_size(power_at, power, allocation_ratio)
