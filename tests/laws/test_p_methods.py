"""p-uniform and p-curve: against the papers study by study, and laws of level, symmetry, order, scale and absence."""

import numpy as np
import pytest
from double import p_methods as twin
from laws.test_selection_models import selected
from numpy.testing import assert_allclose
from scipy.stats import norm

from simtrials.stats.irwin_hall import irwin_hall_cdf, irwin_hall_quantile
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.p_curve import p_curve
from simtrials.stats.p_uniform import p_uniform


def significant(n_replicates=6, k=9, mean=0.2, tau=0.1, seed=2):
    return selected(n_replicates, k, mean, tau, weight=0.3, seed=seed)


def test_p_uniform_makes_the_conditional_p_values_average_one_half():
    y, v = significant()
    fit = p_uniform(y, v)
    for r in range(len(y)):
        assert_allclose(fit.estimate[r], twin.p_uniform(y[r], v[r]), atol=1e-9)
        n = fit.n_significant[r]
        low = irwin_hall_quantile(0.025, int(n)) / n
        assert_allclose([fit.lower[r], fit.upper[r]], [twin.p_uniform(y[r], v[r], low), twin.p_uniform(y[r], v[r], 1 - low)], atol=1e-9)


def test_p_values_that_are_not_conditional_on_significance_are_seen():
    y, v = significant()
    fit = p_uniform(y, v)
    assert fit.estimate[0] < twin.p_uniform(y[0], v[0], unconditional=True) - 0.1


def test_p_uniform_by_maximum_likelihood_is_the_highest_point():
    y, v = significant()
    fit = p_uniform(y, v, method="ML")
    for r in range(len(y)):
        at, height = twin.p_uniform_ml(y[r], v[r])
        assert_allclose(fit.estimate[r], at, atol=1e-6)
        kept = y[r] > norm.isf(0.025) * np.sqrt(v[r])
        sd = np.sqrt(v[r][kept])
        at_0 = (norm.logpdf(y[r][kept], 0, sd) - np.log(0.025)).sum()
        assert_allclose(fit.statistic[r], 2 * (height - at_0), atol=1e-8)


@pytest.mark.parametrize("method", ["P", "ML"])
def test_p_uniform_covers_a_common_effect_of_significant_studies_and_the_null_at_their_levels(method):
    y, v = selected(2000, 8, mean=0.3, tau=0.0, weight=0.0, seed=6)
    fit = p_uniform(y, v, method=method)
    error = 4 * np.sqrt(0.95 * 0.05 / 2000) + (0.01 if method == "ML" else 0.0)  # the method P is exact; chi-squared is for many studies
    assert abs(((fit.lower < 0.3) & (fit.upper > 0.3)).mean() - 0.95) < error
    rng = np.random.default_rng(1)
    v = rng.uniform(0.02, 0.2, size=(2000, 8))
    y = norm.isf(rng.uniform(0, 0.025, size=v.shape)) * np.sqrt(v)
    assert abs((p_uniform(y, v, method=method).p_value < 0.05).mean() - 0.05) < error


def test_the_p_curve_estimate_has_the_smallest_distance():
    y, v = significant(4)
    fit = p_curve(y, v)
    for r in range(len(y)):
        at, loss = twin.p_curve(y[r], v[r])
        assert_allclose(fit.loss[r], loss, atol=1e-5)
        assert fit.loss[r] <= loss + 1e-12
        assert abs(fit.estimate[r] - at) < 1e-4


def test_the_p_curve_tests_are_those_of_stouffer():
    y, v = significant()
    fit = p_curve(y, v)
    for r in range(len(y)):
        assert_allclose([fit.evidence_statistic[r], fit.half_statistic[r], fit.flat_statistic[r]], twin.stouffer(y[r], v[r]), rtol=1e-8)


def test_the_p_curve_tests_reject_at_their_levels():
    rng = np.random.default_rng(4)
    v = rng.uniform(0.02, 0.2, size=(4000, 8))
    error = 4 * np.sqrt(0.95 * 0.05 / 4000)
    fit = p_curve(norm.isf(rng.uniform(0, 0.025, size=v.shape)) * np.sqrt(v), v)
    assert abs((fit.evidence_p_value < 0.05).mean() - 0.05) < error
    assert abs((fit.half_p_value < 0.05).mean() - 0.05 * (1 - 0.5**8)) < error
    shift = norm.isf(0.025) - norm.isf(1 / 3)
    fit = p_curve((shift + norm.isf(rng.uniform(0, 1 / 3, size=v.shape))) * np.sqrt(v), v)
    assert abs((fit.flat_p_value < 0.05).mean() - 0.05) < error


@pytest.mark.parametrize("method", [p_uniform, lambda *a, **k: p_uniform(*a, method="ML", **k), p_curve], ids=["P", "ML", "p_curve"])
def test_sign_unit_order_and_absence(method):
    y, v = significant()
    fit = method(y, v)
    for name in ("estimate", "lower", "upper"):
        if name in fit._fields:
            mirrored = {"lower": "upper", "upper": "lower"}.get(name, name)
            assert_allclose(getattr(method(-y, v, "less"), mirrored), -getattr(fit, name), rtol=1e-8)
            assert_allclose(getattr(method(1e4 * y, 1e8 * v), name), 1e4 * getattr(fit, name), rtol=1e-7, atol=1e-7)
    y[0, 1], v[1, 0] = np.nan, np.inf
    together = method(y.reshape(2, 3, -1), v.reshape(2, 3, -1))
    for r in range(6):
        present = np.isfinite(y[r]) & np.isfinite(v[r])
        alone = method(y[r][present][::-1], v[r][present][::-1])
        for name in alone._fields:
            assert_allclose(getattr(together, name)[divmod(r, 3)], getattr(alone, name), rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("method", [p_uniform, p_curve])
def test_without_a_significant_study_there_is_no_estimate(method):
    fit = method([[0.1, 0.2], [-3.0, 0.1], [np.nan, np.nan], [2.0, 1.0]], [[0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 0.0]])
    none = MetaStatus.NO_SIGNIFICANT_STUDY
    assert fit.status.tolist() == [none, none, MetaStatus.TOO_FEW_STUDIES, MetaStatus.ZERO_VARIANCE]
    assert np.isnan(fit.estimate).all()


def test_one_significant_study_is_its_conditional_median():
    y, v = 0.9, 0.1
    for fit in (p_uniform([y], [v]), p_curve([y], [v])):
        assert_allclose(norm.sf(y, fit.estimate, v**0.5) / norm.sf(norm.isf(0.025) * v**0.5, fit.estimate, v**0.5), 0.5, rtol=1e-9)


def test_barely_significant_studies_may_be_said_to_show_nothing():
    y, v = [[0.63, 0.64, 0.65], [2.0, 1.5, 0.7]], np.full((2, 3), 0.1)
    fit = p_uniform(y, v, zero_if_barely_significant=True)
    assert fit.estimate[0] == 0
    assert np.isnan(fit.lower[0])
    assert_allclose(fit.estimate[1], p_uniform(y, v).estimate[1])
    assert p_uniform(y, v).estimate[0] < -1


@pytest.mark.parametrize(("n", "value"), [(1, 0.025), (2, 0.2236068), (3, 0.5313293), (10, 3.2185166), (40, 16.4254007), (60, 25.6204742)])
def test_quantiles_of_the_sum_of_uniforms_are_those_published_with_p_uniform(n, value):
    assert abs(irwin_hall_cdf(value, n) - 0.025) < (1e-7 if n <= 40 else 1e-5)
    assert abs(irwin_hall_cdf(n - value, n) - 0.975) < (1e-7 if n <= 40 else 1e-5)


@pytest.mark.parametrize(("arguments", "name"), [({"method": "KS"}, "method"), ({"alternative": "up"}, "alternative"), ({"level": 2}, "level")])
def test_a_wrong_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        p_uniform([1.0], [0.1], **arguments)
