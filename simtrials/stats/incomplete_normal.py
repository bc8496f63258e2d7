"""Means and covariance of repeated measures with missing values, for one data set, by maximum likelihood.

n patients, V occasions, G groups. All groups have one covariance and one mean at the first occasion, which lies before randomisation.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray

MAX_ITERATIONS, SHORT_STEP = 2000, 1e-10


class Moments(NamedTuple):
    """means (G, V) and covariance (V, V)."""

    means: FloatArray
    covariance: FloatArray


def normal_moments(values: FloatArray, group: AnyArray, start: Moments | None = None) -> Moments:
    """The moments of incomplete normal data, missing at random, by the EM algorithm.

    Parameters
    ----------
    values : (n, V) float, NaN where missing; every patient has one value at least
    group : (n,) whole numbers from 0
    start : moments to start from, of nearly the same data

    Returns
    -------
    Moments; the covariance has n less the number of groups as its divisor, which is unbiased with nothing missing and no shared mean.

    Source: Dempster, Laird and Rubin (1977), Journal of the Royal Statistical Society B 39, 1-38; Liang and Zeger (2000), Sankhya B 62, 134-148
    (one mean before randomisation).
    """
    n, n_visits = values.shape
    n_groups = int(group.max()) + 1
    observed = ~np.isnan(values)
    patterns, pattern_of = np.unique(observed, axis=0, return_inverse=True)
    members = [np.flatnonzero(pattern_of == k) for k in range(len(patterns))]
    means, covariance = _start(values, group, n_groups) if start is None else (start.means, start.covariance * (n - n_groups) / n)
    scale = np.nanstd(values, axis=0)
    for _ in range(MAX_ITERATIONS):
        filled, spread = np.where(observed, values, 0.0), np.zeros((n_visits, n_visits))
        for seen, which in zip(patterns, members, strict=True):
            if seen.all():
                continue
            gone = ~seen
            slopes = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, gone)])
            rest = filled[np.ix_(which, seen)] - means[group[which]][:, seen]
            filled[np.ix_(which, gone)] = means[group[which]][:, gone] + rest @ slopes
            spread[np.ix_(gone, gone)] += which.size * (covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, seen)] @ slopes)
        new_means = _means(filled, group, n_groups, covariance)
        rest = filled - new_means[group]
        new_covariance = (rest.T @ rest + spread) / n
        moved = max(np.abs((new_means - means) / scale).max(), np.abs((new_covariance - covariance) / np.outer(scale, scale)).max())
        means, covariance = new_means, new_covariance
        if moved < SHORT_STEP:
            break
    return Moments(means, covariance * n / (n - n_groups))


def _start(values: FloatArray, group: AnyArray, n_groups: int) -> tuple[FloatArray, FloatArray]:
    means = np.array([np.nanmean(values[group == g], axis=0) for g in range(n_groups)])
    return means, np.diag(np.nanvar(values - means[group], axis=0))


def _means(filled: FloatArray, group: AnyArray, n_groups: int, covariance: FloatArray) -> FloatArray:
    """Means by group, the first one shared: group means, each less what its patients' first value, by chance, foretells."""
    shared = filled[:, 0].mean()
    means = np.array([filled[group == g].mean(axis=0) for g in range(n_groups)])
    means -= np.outer(means[:, 0] - shared, covariance[:, 0] / covariance[0, 0])
    return means
