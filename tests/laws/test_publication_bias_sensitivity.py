"""Worst case and S-values: against matrices written out and R's robumeta and clubSandwich, and laws of limits, symmetry, order and absence."""

import numpy as np
import pytest
from double import publication_bias_sensitivity as twin
from laws.test_selection_models import selected
from meta_methods.cases import studies
from numpy.testing import assert_allclose
from scipy.stats import norm

from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.publication_bias_sensitivity import publication_bias_sensitivity, worst_case

BCG = {1: (-0.714532342158, 0.16464088326, 8.660055), 3: (-0.468775693643, 0.153046757538, 4.417359)}
"""selection ratio -> estimate and standard error of robumeta 2.0 (user weights, tau2 of REML), df of clubSandwich 0.5.8 (CR2, target = vi)"""


def biased(n_replicates=5, k=12):
    return selected(n_replicates, k, mean=0.25, tau=0.2, weight=0.4, seed=8)


@pytest.mark.parametrize("ratio", BCG)
def test_bcg_is_that_of_robumeta_and_clubsandwich(ratio):
    y, v = studies("bcg_logRR")
    fit = publication_bias_sensitivity(y[0], v[0], ratio, "less")
    assert_allclose([fit.estimate, fit.std_error], BCG[ratio][:2], rtol=1e-9)
    assert_allclose(fit.df, BCG[ratio][2], rtol=1e-6)


def test_the_worst_case_of_bcg_is_that_of_robumeta():
    y, v = studies("bcg_logRR")
    fit = worst_case(y[0], v[0], "less")
    assert_allclose([fit.estimate, fit.std_error], [-0.130657808677, 0.142779827557], rtol=1e-9)
    assert (fit.n_affirmative, fit.n_nonaffirmative) == (8, 5)


@pytest.mark.parametrize("ratio", [1.0, 4.0])
def test_corrected_estimates_are_those_of_matrices(ratio):
    y, v = biased()
    fit, worst = publication_bias_sensitivity(y, v, ratio), worst_case(y, v)
    for r in range(len(y)):
        found = fit.estimate[r], fit.std_error[r], fit.df[r], fit.lower[r], fit.upper[r]
        assert_allclose(found, twin.corrected(y[r], v[r], ratio), rtol=1e-7)
        assert_allclose([worst.estimate[r], worst.std_error[r], worst.df[r]], twin.worst_case(y[r], v[r]), rtol=1e-7)


def test_weights_the_wrong_way_round_are_seen():
    y, v = biased()
    fit = publication_bias_sensitivity(y, v, 4.0)
    assert abs(fit.estimate[0] - twin.corrected(y[0], v[0], 4.0, upweight_affirmative=True)[0]) > 0.05


def test_without_selection_the_estimate_is_the_ordinary_one_and_with_all_of_it_the_worst_case():
    y, v = biased()
    assert_allclose(publication_bias_sensitivity(y, v, 1.0).estimate, meta_analysis(y, v).estimate, rtol=1e-9)
    fit, worst = publication_bias_sensitivity(y, v, 1e12), worst_case(y, v)
    for name in ("estimate", "std_error", "lower", "upper", "df", "p_value"):
        assert_allclose(getattr(fit, name), getattr(worst, name), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_the_s_values_move_estimate_and_limit_to_the_threshold(alternative):
    y, v = biased(40)
    sign = 1 if alternative == "greater" else -1
    at = 0.2
    fit = publication_bias_sensitivity(sign * y, v, 1.0, alternative, threshold=sign * at)
    n_found = 0
    for r in range(40):
        low = sign * fit.lower[r] if sign > 0 else -fit.upper[r]
        assert (fit.s_value[r] == 1) == (sign * fit.estimate[r] <= at)
        assert (fit.s_value_limit[r] == 1) == (low <= at)
        if 1 < fit.s_value[r] < np.inf:
            n_found += 1
            assert_allclose(publication_bias_sensitivity(sign * y[r], v[r], fit.s_value[r], alternative).estimate, sign * at, rtol=1e-9)
        if 1 < fit.s_value_limit[r] < np.inf:
            moved = publication_bias_sensitivity(sign * y[r], v[r], fit.s_value_limit[r], alternative)
            assert_allclose(moved.lower if sign > 0 else moved.upper, sign * at, rtol=1e-7)
    assert n_found > 5
    assert (np.isinf(fit.s_value) == (sign * worst_case(sign * y, v, alternative).estimate >= at)).all()


def test_the_known_ratio_takes_the_bias_away():
    y, v = selected(400, 60, mean=0.2, tau=0.2, weight=0.25, seed=3)
    assert y.mean() > 0.3
    error = publication_bias_sensitivity(y, v, 4.0).estimate - 0.2
    assert abs(error.mean()) < 0.015  # 4 Monte Carlo errors are 0.008; a ratio of weighted sums is biased by about 1 / k of its spread
    assert (worst_case(y, v).estimate < 0.2).mean() > 0.95


def test_sign_unit_order_and_absence():
    y, v = biased(6)
    one, other = publication_bias_sensitivity(y, v, 3.0), publication_bias_sensitivity(-1e3 * y, 1e6 * v, 3.0, "less")
    assert_allclose([other.estimate, other.lower], [-1e3 * one.estimate, -1e3 * one.upper], rtol=1e-8)
    assert_allclose([other.s_value, other.s_value_limit, other.df], [one.s_value, one.s_value_limit, one.df], rtol=1e-7)
    y[0, 1], v[1, 0] = np.nan, np.inf
    for method in (lambda *a: publication_bias_sensitivity(*a, 3.0), worst_case):
        together = method(y.reshape(2, 3, -1), v.reshape(2, 3, -1))
        for r in range(6):
            present = np.isfinite(y[r]) & np.isfinite(v[r])
            alone = method(y[r][present][::-1], v[r][present][::-1])
            for name in alone._fields:
                assert_allclose(getattr(together, name)[divmod(r, 3)], getattr(alone, name), rtol=1e-7, err_msg=name)


def test_studies_of_one_kind_only():
    v = np.full(3, 0.1)
    assert worst_case([2.0, 1.5, 1.8], v).status == MetaStatus.NO_NONAFFIRMATIVE_STUDY
    assert np.isnan(worst_case([2.0, 1.5, 1.8], v).estimate)
    assert_allclose(worst_case([0.1, 0.2, 0.0], v).estimate, 0.1)
    fit = publication_bias_sensitivity([2.0, 1.5, 1.8], v, 5.0)
    assert_allclose(fit.estimate, 5.3 / 3)
    assert np.isinf(fit.s_value)


def test_a_single_nonaffirmative_study_is_its_own_worst_case():
    fit = worst_case([2.0, 1.5, 0.3], [0.1, 0.1, 0.2])
    assert_allclose([fit.estimate, fit.std_error, fit.upper], [0.3, np.sqrt(0.2), 0.3 + norm.isf(0.025) * np.sqrt(0.2)])
    assert np.isinf(fit.df)


def test_what_cannot_be_estimated_has_a_status_and_nan():
    for fit in (
        worst_case([[0.3, np.nan], [0.3, 0.4]], [[0.1, 0.1], [0.1, 0.0]]),
        publication_bias_sensitivity([[0.3, np.nan], [0.3, 0.4]], [[0.1, 0.1], [0.1, 0.0]], 2),
    ):
        assert fit.status.tolist() == [MetaStatus.TOO_FEW_STUDIES, MetaStatus.ZERO_VARIANCE]
        assert np.isnan(fit.estimate).all()
    with pytest.raises(ValueError, match="selection_ratio"):
        publication_bias_sensitivity([0.1, 0.2], [0.1, 0.1], 0.5)
