"""Bayesian random-effects meta-analysis: against splines on a fine grid, and laws of symmetry, scale and limits."""

import numpy as np
import pytest
from double import bayes_meta as twin
from numpy.testing import assert_allclose

from simtrials.stats.bayes_meta import TAU_PRIORS, bayesian_meta_analysis
from simtrials.stats.meta_status import MetaStatus

TWIN_ERROR = 1e-7
"""of the twin: splines on steps of 0.004 in log tau, and the share 1e-13 of tau that lies below its grid"""
SCALES = {"half_normal": 0.5, "half_cauchy": 0.5, "uniform": 10.0}
ON_TAU = ("tau_mean", "tau_median", "tau_lower", "tau_upper")


def studies(k, tau=0.3, variance=0.05, seed=1):
    rng = np.random.default_rng(seed)
    v = variance * rng.chisquare(5, k) / 5
    return 0.3 + tau * rng.normal(size=k) + np.sqrt(v) * rng.normal(size=k), v


def gap(fit, expected):
    """Largest error, of mu and prediction in widths of the interval of mu, of tau relative."""
    unit = dict.fromkeys(ON_TAU) | {"probability_positive": 1.0, "log_evidence": 1.0}
    errors = [0.0]
    for name, value in expected.items():
        found = float(getattr(fit, name))
        if np.isfinite(found):
            size = value if name in ON_TAU else unit.get(name, expected["upper"] - expected["lower"])
            errors.append(abs(found - value) / abs(size))
    return max(errors)


@pytest.mark.parametrize("mu_prior", [None, (0.1, 0.8)])
@pytest.mark.parametrize("prior", TAU_PRIORS)
@pytest.mark.parametrize(
    ("k", "tau", "variance"), [(1, 0.1, 0.1), (2, 0.0, 0.1), (2, 50.0, 0.1), (3, 1.0, 0.01), (11, 1000.0, 0.01), (200, 0.3, 0.05)]
)
def test_the_posterior_is_that_of_a_fine_grid(k, tau, variance, prior, mu_prior):
    y, v = studies(k, tau, variance)
    fit = bayesian_meta_analysis(y, v, tau_prior=prior, scale=SCALES[prior], mu_prior=mu_prior, level=0.9)
    assert fit.status == MetaStatus.OK
    assert gap(fit, twin.posterior(y, v, prior, SCALES[prior], mu_prior, level=0.9)) < TWIN_ERROR


def test_a_profile_over_mu_in_place_of_the_integral_is_seen():
    y, v = studies(5)
    fit = bayesian_meta_analysis(y, v)
    assert gap(fit, twin.posterior(y, v, "half_normal", 0.5, profile=True)) > 1e-2


@pytest.mark.parametrize("prior", TAU_PRIORS)
def test_changing_the_sign_of_effects_changes_the_sign_of_the_posterior(prior):
    y, v = studies(7)
    one = bayesian_meta_analysis(y, v, tau_prior=prior, mu_prior=(0.2, 1.0))
    other = bayesian_meta_analysis(-y, v, tau_prior=prior, mu_prior=(-0.2, 1.0))
    assert_allclose(
        [other.estimate, other.median, other.lower, other.prediction_upper], [-one.estimate, -one.median, -one.upper, -one.prediction_lower]
    )
    assert_allclose([other.probability_positive, other.tau_upper], [1 - one.probability_positive, one.tau_upper], rtol=1e-9)


@pytest.mark.parametrize("prior", TAU_PRIORS)
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_of_effects_does_not_matter(prior, factor):
    y, v = studies(6)
    one = bayesian_meta_analysis(y, v, tau_prior=prior, scale=0.7, mu_prior=(0.2, 1.0))
    other = bayesian_meta_analysis(factor * y, factor**2 * v, tau_prior=prior, scale=factor * 0.7, mu_prior=(factor * 0.2, factor))
    for name in one._fields:
        unit = 1.0 if name in ("probability_positive", "n_studies", "status", "log_evidence") else factor
        moved = -6 * np.log(factor) if name == "log_evidence" else 0.0
        assert_allclose(getattr(other, name) / unit - moved, getattr(one, name), rtol=1e-8, err_msg=name)


def test_a_narrow_prior_of_tau_is_the_common_effect_model():
    y, v = studies(9)
    fit = bayesian_meta_analysis(y, v, scale=1e-7)
    weighted, total = (y / v).sum(), (1 / v).sum()
    assert_allclose([fit.estimate, fit.std_error], [weighted / total, total**-0.5], rtol=1e-10)
    assert_allclose([fit.lower, fit.upper], weighted / total + np.array([-1, 1]) * 1.959963984540054 * total**-0.5, rtol=1e-9)


def test_one_study_leaves_the_prior_of_tau_as_it_was():
    fit = bayesian_meta_analysis([0.4], [0.1], scale=0.5)
    assert_allclose(
        [fit.tau_mean, fit.tau_median, fit.tau_upper], 0.5 * np.array([np.sqrt(2 / np.pi), 0.6744897501960817, 2.241402727604947]), rtol=1e-9
    )
    fit = bayesian_meta_analysis([0.4], [0.1], tau_prior="half_cauchy", scale=0.5)
    assert_allclose([fit.tau_median, fit.tau_upper], [0.5, 0.5 * np.tan(np.pi / 2 * 0.975)], rtol=1e-9)
    assert np.isnan(fit.estimate)
    assert np.isinf([fit.std_error, fit.tau_mean]).all()


def test_many_at_once_with_absent_studies_in_any_order_are_each_alone():
    rng = np.random.default_rng(5)
    y, v = rng.normal(size=(2, 3, 8)), rng.uniform(0.05, 0.4, size=(2, 3, 8))
    y[0, 1, [2, 5]] = np.nan
    v[1, 2, 0] = np.inf
    together = bayesian_meta_analysis(y, v)
    for place in np.ndindex(2, 3):
        present = np.isfinite(y[place]) & np.isfinite(v[place])
        alone = bayesian_meta_analysis(y[place][present][::-1], v[place][present][::-1])
        for name in alone._fields:
            assert_allclose(getattr(together, name)[place], getattr(alone, name), rtol=1e-9, err_msg=name)


def test_equal_effects_have_a_posterior():
    fit = bayesian_meta_analysis([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    assert fit.status == MetaStatus.OK
    assert_allclose([fit.estimate, fit.median], 0.5)


def test_what_cannot_be_estimated_has_a_status_and_nan():
    y = np.array([[np.nan, np.nan], [0.1, 0.2]])
    fit = bayesian_meta_analysis(y, [[0.1, 0.1], [0.1, 0.0]])
    assert fit.status.tolist() == [MetaStatus.TOO_FEW_STUDIES, MetaStatus.ZERO_VARIANCE]
    assert np.isnan(fit.estimate).all()
    assert np.isnan(fit.tau_upper).all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"tau_prior": "halfnormal"}, "tau_prior"), ({"scale": 0.0}, "scale"), ({"mu_prior": (0.0, -1.0)}, "mu_prior"), ({"level": 95}, "level")],
)
def test_a_wrong_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        bayesian_meta_analysis([0.1, 0.2], [0.1, 0.1], **arguments)
