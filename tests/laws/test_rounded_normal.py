"""Scores read off a normal: moments against simulation and against sums over scores, and the way back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm

from simtrials.stats.rounded_normal import latent_correlation, latent_mean, latent_moments, rounded_correlation, rounded_moments


def by_scores(mean, sd, minimum, maximum):
    """Probability of each score."""
    scores = np.arange(minimum, maximum + 1)
    low, high = np.where(scores == minimum, -np.inf, scores - 0.5), np.where(scores == maximum, np.inf, scores + 0.5)
    return scores, norm.cdf(high, mean, sd) - norm.cdf(low, mean, sd)


@pytest.mark.parametrize(("mean", "sd"), [(17.9, 5.5), (2.0, 6.0), (51.0, 9.0), (30.0, 0.2), (-3.0, 4.0)])
def test_moments_are_sums_over_scores(mean, sd):
    scores, chance = by_scores(mean, sd, 0, 52)
    first = (scores * chance).sum()
    assert_allclose(rounded_moments(mean, sd, 0, 52), (first, np.sqrt((chance * (scores - first) ** 2).sum())), rtol=1e-9, atol=1e-9)


def test_moments_are_not_those_of_the_normal_near_a_bound():
    """The named wrong version: a normal that is neither rounded nor bounded."""
    assert abs(rounded_moments(3.0, 6.0, 0, 52)[0] - 3.0) > 1.0


@settings(deadline=None)
@given(st.floats(2, 50), st.floats(0.5, 20))
def test_the_latent_moments_come_back(mean, sd):
    shown = rounded_moments(mean, sd, 0, 52)
    if 0.5 < shown[0] < 51.5 and shown[1] > 0.5:
        assert_allclose(latent_moments(*shown, 0, 52), (mean, sd), rtol=1e-6, atol=1e-6)
        assert latent_mean(shown[0], sd, 0, 52) == pytest.approx(mean, abs=1e-8)


def test_scores_that_no_normal_has_are_refused():
    with pytest.raises(ValueError, match="no rounded normal"):
        latent_moments(10.0, 30.0, 0, 52)


def joint_correlation(rho, one, other, minimum, maximum):
    """Exact, by the probability of every pair of scores."""
    scores = np.arange(minimum, maximum + 1)
    edges = np.concatenate([[-60.0], scores[:-1] + 0.5, [120.0]])
    below = np.array([multivariate_normal([one[0], other[0]], _covariance(rho, one, other)).cdf([[x, y] for y in edges]) for x in edges])
    chance = np.diff(np.diff(below, axis=0), axis=1)
    product = (chance * np.outer(scores, scores)).sum()
    first, second = rounded_moments(*one, minimum, maximum), rounded_moments(*other, minimum, maximum)
    return (product - first[0] * second[0]) / (first[1] * second[1])


def _covariance(rho, one, other):
    return [[one[1] ** 2, rho * one[1] * other[1]], [rho * one[1] * other[1], other[1] ** 2]]


@pytest.mark.parametrize("rho", [-0.6, 0.3, 0.8])
def test_the_correlation_of_scores_is_that_of_all_pairs(rho):
    one, other = (4.0, 5.0), (15.0, 6.0)
    assert rounded_correlation(rho, one, other, 0, 20) == pytest.approx(joint_correlation(rho, one, other, 0, 20), abs=2e-4)
    assert abs(rounded_correlation(rho, one, other, 0, 20) - rho) > 0.008  # the named wrong version: the latent correlation itself


@settings(deadline=None)
@given(st.floats(-0.95, 0.95))
def test_the_latent_correlation_comes_back(rho):
    one, other = (4.0, 5.0), (15.0, 6.0)
    assert latent_correlation(rounded_correlation(rho, one, other, 0, 20), one, other, 0, 20) == pytest.approx(rho, abs=1e-9)
