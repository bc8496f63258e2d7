"""Step selection models: against a slow maximization from many starts, and laws of symmetry, order, scale and absence."""

import numpy as np
import pytest
from double import selection_models as twin
from numpy.testing import assert_allclose
from scipy.stats import chi2, norm

from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.selection_likelihood import published, step_log_likelihood
from simtrials.stats.selection_models import step_selection

HEIGHT_ERROR = 1e-7
"""of the twin's log-likelihood; its parameters then lie within sqrt(2 * 1e-7) = 4.5e-4 standard errors"""


def selected(n_replicates, k, mean=0.2, tau=0.2, weight=0.3, seed=1):
    """Effects and variances, (replicate, study), of studies drawn until k are published."""
    rng = np.random.default_rng(seed)
    v = 2 / rng.integers(15, 80, size=(n_replicates, 60 * k))
    y = rng.normal(mean, np.sqrt(v + tau**2))
    kept = (y > norm.isf(0.025) * np.sqrt(v)) | (rng.random(y.shape) < weight)
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(y, order, axis=1), np.take_along_axis(v, order, axis=1)


@pytest.mark.parametrize("steps", [(0.025,), (0.025, 0.5)])
@pytest.mark.parametrize(("k", "mean", "tau", "weight"), [(10, 0.2, 0.2, 0.3), (20, 0.0, 0.0, 0.2), (30, 0.3, 0.4, 0.6)])
def test_the_fit_is_the_highest_of_many_starts(k, mean, tau, weight, steps):
    y, v = selected(4, k, mean, tau, weight)
    fit = step_selection(y, v, steps)
    n_compared = 0
    for r in np.flatnonzero(fit.status == MetaStatus.OK):
        height, at, tau2, weights = twin.fit(y[r], v[r], steps)
        assert fit.log_likelihood[r] > height - HEIGHT_ERROR
        if height > fit.log_likelihood[r] - HEIGHT_ERROR:
            n_compared += 1
            assert abs(fit.estimate[r] - at) < 1e-3 * fit.std_error[r]
            assert abs(fit.tau2[r] - tau2) < 1e-3 * (tau2 + v[r].min())
            assert_allclose(fit.weight[r], weights, rtol=5e-3)
    assert n_compared >= 2


def test_the_log_likelihood_is_that_of_single_studies_and_bins():
    y, v = selected(3, 12)
    fit = step_selection(y, v)
    for r in range(3):
        slow = twin.log_likelihood(y[r], v[r], fit.estimate[r], fit.tau2[r], fit.weight[r], (0.025,))
        assert_allclose(fit.log_likelihood[r], slow, rtol=1e-12)
        assert_allclose(step_log_likelihood(y[r], v[r], fit.estimate[r], fit.tau2[r], fit.weight[r]), slow, rtol=1e-12)


def test_bins_cut_by_the_total_variance_are_seen():
    y, v = selected(1, 30, mean=0.3, tau=0.4, weight=0.6)
    fit = step_selection(y[0], v[0])
    _, at, _, _ = twin.fit(y[0], v[0], (0.025,), cut_by_total_variance=True)
    assert abs(fit.estimate - at) > 0.1 * fit.std_error


def test_a_heterogeneity_of_zero_is_on_the_boundary_and_said_to_be():
    y, v = selected(200, 10, mean=0.3, tau=0.0, weight=0.5)
    fit = step_selection(y, v)
    zero = fit.tau2_is_zero & (fit.status == MetaStatus.OK)
    assert 20 < zero.sum() < 200
    assert (fit.tau2[zero] == 0).all()
    assert np.isnan(fit.tau2_std_error[zero]).all()
    nudged = step_log_likelihood(y[zero], v[zero], fit.estimate[zero], 1e-4, fit.weight[zero])
    assert (nudged < fit.log_likelihood[zero]).all()


def test_the_interval_and_tests_follow_from_the_fit():
    y, v = selected(5, 25)
    fit = step_selection(y, v, level=0.9)
    assert_allclose(fit.upper - fit.estimate, norm.isf(0.05) * fit.std_error)
    assert_allclose(fit.estimate - fit.lower, norm.isf(0.05) * fit.std_error)
    assert_allclose(fit.p_value, 2 * norm.sf(abs(fit.estimate / fit.std_error)))
    plain = [twin.fit(y[r], v[r], (0.025,))[0] for r in range(5)]
    assert_allclose(fit.log_likelihood, plain, atol=HEIGHT_ERROR)
    assert_allclose(fit.selection_p_value, chi2.sf(fit.selection_statistic, 1))


def test_without_selection_the_test_of_selection_rejects_at_its_level():
    y, v = selected(3000, 30, mean=0.3, tau=0.1, weight=1.0)
    fit = step_selection(y, v)
    p = fit.selection_p_value[fit.status == MetaStatus.OK]
    assert len(p) > 2900
    assert abs((p < 0.05).mean() - 0.05) < 0.025  # chi-squared is its large-sample distribution; 4 standard errors are 0.016


def test_the_effect_in_a_hundred_studies_is_found():
    y, v = selected(400, 100, mean=0.2, tau=0.2, weight=0.2)
    fit = step_selection(y, v)
    error = (fit.estimate - 0.2) / fit.std_error
    assert abs(np.nanmean(fit.estimate) - 0.2) < 0.02
    assert y.mean() > 0.3
    assert 0.9 < (abs(error) < 1.96).mean() < 0.98


def test_changing_the_sign_and_the_alternative_changes_the_sign():
    y, v = selected(4, 15)
    one, other = step_selection(y, v), step_selection(-y, v, alternative="less")
    assert_allclose(other.estimate, -one.estimate)
    assert_allclose(other.lower, -one.upper)
    assert_allclose(other.weight, one.weight)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_the_unit_of_effects_does_not_matter(factor):
    y, v = selected(8, 15)
    one, other = step_selection(y, v), step_selection(factor * y, factor**2 * v)
    assert_allclose(other.estimate, factor * one.estimate, rtol=1e-6)
    assert_allclose(other.tau2, factor**2 * one.tau2, rtol=1e-5, atol=1e-12 * factor**2)
    assert_allclose(other.weight, one.weight, rtol=1e-6)


def test_many_at_once_with_absent_studies_in_any_order_are_each_alone():
    y, v = selected(6, 16)
    y[1, [0, 5]], v[2, 3] = np.nan, np.inf
    y, v = y.reshape(2, 3, 16), v.reshape(2, 3, 16)
    together = step_selection(y, v)
    assert together.estimate.shape == (2, 3)
    assert together.weight.shape == (2, 3, 2)
    for place in np.ndindex(2, 3):
        present = np.isfinite(y[place]) & np.isfinite(v[place])
        alone = step_selection(y[place][present][::-1], v[place][present][::-1])
        for name in alone._fields:
            assert_allclose(getattr(together, name)[place], getattr(alone, name), rtol=1e-6, atol=1e-10, err_msg=name)


def test_what_cannot_be_estimated_has_a_status_and_nan():
    y = np.array([[1.0, 1.2, 0.9], [1.0, 0.1, np.nan], [1.0, 0.1, 0.2], [np.nan, np.nan, 0.3]])
    v = np.full(y.shape, 0.1)
    v[2, 1] = 0.0
    fit = step_selection(y, v)
    assert fit.status.tolist() == [MetaStatus.EMPTY_CELL, fit.status[1], MetaStatus.ZERO_VARIANCE, MetaStatus.TOO_FEW_STUDIES]
    assert np.isnan(fit.estimate[[0, 2, 3]]).all()
    assert np.isnan(fit.weight[[0, 2, 3]]).all()


def test_what_is_published_is_the_truncated_normal_without_others():
    share, mean = published(0.2, 0.01, 0.05, (1.0, 0.0))
    sd, cut = np.sqrt(0.06), norm.isf(0.025) * np.sqrt(0.05)
    z = (cut - 0.2) / sd
    assert_allclose([share, mean], [norm.sf(z), 0.2 + sd * norm.pdf(z) / norm.sf(z)], rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "name"), [({"steps": (0.5, 0.025)}, "steps"), ({"alternative": "grater"}, "alternative"), ({"level": 0.0}, "level")]
)
def test_a_wrong_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        step_selection([0.1, 0.5], [0.1, 0.1], **arguments)
