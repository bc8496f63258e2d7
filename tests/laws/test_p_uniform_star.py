"""p-uniform*: against many starts and profiles written from the likelihood, and laws of symmetry, order, scale and absence."""

import numpy as np
import pytest
from double import p_uniform_star as twin
from laws.test_selection_models import selected
from numpy.testing import assert_allclose
from scipy.stats import norm

from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_uniform_star import p_uniform_star

Z = norm.isf(0.025)


@pytest.mark.parametrize(("k", "mean", "tau", "weight"), [(5, 0.2, 0.2, 0.3), (8, 0.0, 0.3, 0.2)])
def test_the_fit_is_the_highest_of_many_starts(k, mean, tau, weight):
    y, v = selected(2, k, mean, tau, weight, seed=3)
    fit = p_uniform_star(y, v, limits=False)
    assert (fit.status == MetaStatus.OK).all()
    for r in range(2):
        at, tau2, height = twin.fit(y[r], v[r], Z * np.sqrt(v[r]))
        assert_allclose(fit.log_likelihood[r], height, atol=1e-10)
        assert_allclose([fit.estimate[r], fit.tau2[r]], [at, tau2], atol=1e-6)


def test_limits_and_tests_are_those_of_the_profile_likelihood():
    y, v = (rows[0] for rows in selected(1, 6, 0.2, 0.2, 0.3, seed=4))
    fit, c = p_uniform_star(y, v, level=0.9), Z * np.sqrt(v)
    level = fit.log_likelihood - norm.isf(0.05) ** 2 / 2
    assert_allclose(twin.fit_at_mean(y, v, c, fit.lower), level, atol=1e-8)
    assert_allclose(twin.fit_at_mean(y, v, c, fit.upper), level, atol=1e-8)
    assert fit.lower < fit.estimate < fit.upper
    assert_allclose(twin.fit_at_tau2(y, v, c, fit.tau2_upper), level, atol=1e-8)
    assert fit.tau2_lower == 0 or np.isclose(twin.fit_at_tau2(y, v, c, fit.tau2_lower), level, atol=1e-8)
    assert_allclose(fit.statistic, 2 * (fit.log_likelihood - twin.fit_at_mean(y, v, c, 0.0)), atol=1e-8)
    assert_allclose(fit.tau2_statistic, 2 * (fit.log_likelihood - twin.fit_at_tau2(y, v, c, 0.0)), atol=1e-8)


def test_cutoffs_that_move_with_the_heterogeneity_are_seen():
    y, v = (rows[0] for rows in selected(1, 20, 0.2, 0.4, 0.5))
    fit, c = p_uniform_star(y, v, limits=False), Z * np.sqrt(v)
    assert_allclose(twin.log_likelihood(y, v, c, fit.estimate, fit.tau2), fit.log_likelihood, rtol=1e-12)
    assert abs(twin.log_likelihood(y, v, c, fit.estimate, fit.tau2, cut_by_total_variance=True) - fit.log_likelihood) > 0.1


def test_the_interval_covers_the_effect_behind_selected_studies():
    y, v = selected(600, 30, mean=0.2, tau=0.2, weight=0.2, seed=9)
    fit = p_uniform_star(y, v)
    covered = (fit.lower < 0.2) & (fit.upper > 0.2)
    assert abs(covered.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 600)
    assert abs(np.median(fit.estimate) - 0.2) < 0.03


def test_a_likelihood_that_rises_without_end_has_no_estimate():
    fit = p_uniform_star([0.63, 0.64, 3.0], [0.1, 0.1, 0.1])
    assert fit.status == MetaStatus.NOT_CONVERGED
    assert np.isnan(fit.estimate)


def test_changing_the_sign_and_the_alternative_changes_the_sign():
    y, v = selected(4, 9)
    one, other = p_uniform_star(y, v), p_uniform_star(-y, v, "less", cutoff=-Z * np.sqrt(v))
    assert_allclose([other.estimate, other.lower, other.upper], [-one.estimate, -one.upper, -one.lower])
    assert_allclose(other.tau2_upper, one.tau2_upper)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_effects_does_not_matter(factor):
    y, v = selected(4, 9)
    one, other = p_uniform_star(y, v), p_uniform_star(factor * y, factor**2 * v)
    assert_allclose([other.estimate, other.lower, other.upper], factor * np.array([one.estimate, one.lower, one.upper]), rtol=1e-6)
    assert_allclose([other.tau2, other.tau2_upper], factor**2 * np.array([one.tau2, one.tau2_upper]), rtol=1e-6)


def test_many_at_once_with_absent_studies_in_any_order_are_each_alone():
    y, v = selected(4, 9)
    y[1, 2], v[2, 3] = np.nan, np.inf
    y, v = y.reshape(2, 2, 9), v.reshape(2, 2, 9)
    together = p_uniform_star(y, v)
    for place in np.ndindex(2, 2):
        present = np.isfinite(y[place]) & np.isfinite(v[place])
        alone = p_uniform_star(y[place][present][::-1], v[place][present][::-1])
        for name in alone._fields:
            assert_allclose(getattr(together, name)[place], getattr(alone, name), rtol=1e-6, atol=1e-9, err_msg=name)


def test_what_cannot_be_estimated_has_a_status_and_nan():
    fit = p_uniform_star([[0.3, np.nan], [0.3, 0.4]], [[0.1, 0.1], [0.1, 0.0]])
    assert fit.status.tolist() == [MetaStatus.TOO_FEW_STUDIES, MetaStatus.ZERO_VARIANCE]
    assert np.isnan(fit.estimate).all()
    with pytest.raises(ValueError, match="alpha"):
        p_uniform_star([0.1], [0.1], alpha=5)
