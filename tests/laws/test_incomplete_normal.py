"""Moments of incomplete normal data: closed forms, the likelihood itself, and what does not matter."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from simtrials.stats.incomplete_normal import normal_moments


def data(seed, n=120, missing=0.15):
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 2
    covariance = 9 * 0.7 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    values = rng.multivariate_normal(np.zeros(4), covariance, n) + np.outer(group, [0, 1, 2, 3]) + 20
    values[:, 1:][rng.random((n, 3)) < missing] = np.nan
    return values, group


def log_likelihood(values, group, means, covariance):
    total = 0.0
    for row, g in zip(values, group, strict=True):
        seen = ~np.isnan(row)
        total += multivariate_normal(means[g][seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
    return total


def test_nothing_missing_gives_means_adjusted_for_the_first():
    """With one group they are plain moments; with two, group means less what the first value foretells."""
    values, group = data(1, missing=0.0)
    one = normal_moments(values, np.zeros_like(group))
    assert_allclose(one.means[0], values.mean(axis=0))
    assert_allclose(one.covariance, np.cov(values.T), rtol=1e-8)
    two = normal_moments(values, group)
    slope = two.covariance[1:, 0] / two.covariance[0, 0]
    for g in (0, 1):
        own = values[group == g].mean(axis=0)
        assert_allclose(two.means[g, 1:], own[1:] - slope * (own[0] - values[:, 0].mean()), rtol=1e-9)


@pytest.mark.parametrize("seed", [2, 3])
def test_the_likelihood_is_highest_there(seed):
    values, group = data(seed)
    found = normal_moments(values, group)
    covariance = found.covariance * (len(values) - 2) / len(values)
    best = log_likelihood(values, group, found.means, covariance)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        means = found.means.copy()
        means[:, 1:] += 0.02 * rng.standard_normal((2, 3))
        means[:, 0] += 0.02 * rng.standard_normal()
        turn = np.eye(4) + 0.005 * rng.standard_normal((4, 4))
        assert log_likelihood(values, group, means, turn @ covariance @ turn.T) < best


def test_complete_cases_are_something_else():
    """The named wrong version: with loss that depends on what was seen, complete cases are biased and the likelihood is not."""
    values, group = data(4, n=20_000, missing=0.0)
    values[values[:, 1] > 21] *= np.array([1, 1, np.nan, np.nan])
    complete = values[~np.isnan(values).any(axis=1)]
    means = normal_moments(values, group).means
    error = 3 / np.sqrt(10_000)
    assert abs(means[0, 3] - 20) < 4 * 1.5 * error
    assert abs(complete[:, 3].mean() - 21.5) > 20 * error


def test_order_of_patients_and_start_do_not_matter():
    values, group = data(5)
    found, order = normal_moments(values, group), np.random.default_rng(1).permutation(len(values))
    again = normal_moments(values[order], group[order], normal_moments(values[10:], group[10:]))
    assert_allclose(again.means, found.means, rtol=1e-7)
    assert_allclose(again.covariance, found.covariance, rtol=1e-6)
