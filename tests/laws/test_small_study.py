"""Small-study effects and their corrections: agreement with naive twins, and what must hold whatever the studies."""

import numpy as np
import pytest
from double import small_study as twin
from double.small_study import batch, bodies
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.excess_significance import excess_significance_test
from simtrials.stats.fail_safe import fail_safe_n
from simtrials.stats.influence import cumulative_meta_analysis, influence, leave_one_out
from simtrials.stats.limit_meta_analysis import limit_meta_analysis
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.permutation import permutation_test
from simtrials.stats.pet_peese import peese, pet, pet_peese, unrestricted_wls, waap_wls
from simtrials.stats.small_study import begg_test, egger_test
from simtrials.stats.trim_and_fill import trim_and_fill

ROUNDING = 1e-10  # sums of at most 12 terms, then a 2 x 2 system whose condition is below 1e4
ITERATED = 1e-7  # REML: tau2 to a relative 1e-10, then differences of means that it shifts
QUADRATURE = 1e-8


BY_BODY = {
    "egger": egger_test,
    "egger_mixed": lambda y, v: egger_test(y, v, form="mixed"),
    "begg": begg_test,
    "trim_L0": trim_and_fill,
    "trim_R0": lambda y, v: trim_and_fill(y, v, estimator="R0", side="left", tau2="DL"),
    "trim_Q0": lambda y, v: trim_and_fill(y, v, estimator="Q0", tau2="common"),
    "pet": pet,
    "peese": peese,
    "pet_peese": pet_peese,
    "uwls": unrestricted_wls,
    "waap": waap_wls,
    "limit": limit_meta_analysis,
    "fail_safe": fail_safe_n,
    "excess": excess_significance_test,
    "permutation": lambda y, v: permutation_test(y, v, tau2="DL"),
}
BY_STUDY = {
    "leave_one_out": leave_one_out,
    "cumulative": cumulative_meta_analysis,
    "influence": influence,
}
methods = pytest.mark.parametrize("method", BY_BODY.values(), ids=BY_BODY)


# ---- the same numbers as the twins


@pytest.mark.parametrize(("function", "power"), [(pet, 0.5), (peese, 1.0)])
def test_pet_and_peese_are_weighted_linear_models(function, power):
    y, v = batch(1)
    found = function(y, v)
    for r, (one, variances) in enumerate(bodies(y, v)):
        b, se, p, df = twin.linear_model(one, np.column_stack([np.ones_like(one), variances**power]), 1 / variances)
        assert_allclose([found.estimate[r], found.slope[r], found.std_error[r], found.slope_std_error[r]], [*b, *se], rtol=ROUNDING)
        assert_allclose([found.p_value[r], found.slope_p_value[r], found.df[r]], [*p, df], rtol=ROUNDING)


def test_the_classical_test_of_egger_is_not_the_mixed_one():
    y, v = batch(2, absent=0)
    found, other = egger_test(y, v), egger_test(y, v, form="mixed", tau2="DL")
    for r, (one, variances) in enumerate(bodies(y, v)):
        slope, se, tau2 = twin.mixed_slope(one, variances)
        assert_allclose([other.slope[r], other.slope_std_error[r], other.tau2[r]], [slope, se, tau2], rtol=ROUNDING, atol=ROUNDING)
        b, se, p, _ = twin.linear_model(one, np.column_stack([np.ones_like(one), np.sqrt(variances)]), 1 / variances)
        assert_allclose([found.slope[r], found.slope_std_error[r], found.p_value[r]], [b[1], se[1], p[1]], rtol=ROUNDING)
    assert (np.abs(found.p_value - other.p_value) > 1e-3).mean() > 0.9


def test_predictors_of_sample_size_are_powers_of_it():
    y, v = batch(3, n=3, absent=0)
    size = np.round(4 / v)
    for predictor, power in (("sample_size", 1), ("inverse_sample_size", -1), ("sqrt_sample_size", 0.5), ("sqrt_inverse_sample_size", -0.5)):
        found = egger_test(y, v, predictor=predictor, sample_size=size)
        for r in range(3):
            b, _, p, _ = twin.linear_model(y[r], np.column_stack([np.ones(9), size[r] ** power]), 1 / v[r])
            assert_allclose([found.slope[r], found.p_value[r]], [b[1], p[1]], rtol=1e-9)
            assert np.isnan(found.estimate[r]) if power > 0 else abs(found.estimate[r] - b[0]) < 1e-9
    with pytest.raises(ValueError, match="sample_size"):
        egger_test(y, v, predictor="sample_size")


def test_the_exact_p_value_of_begg_counts_permutations():
    y, v = batch(4, n=4, k=6, absent=0.3)
    found = begg_test(y, v)
    for r, (one, variances) in enumerate(bodies(y, v)):
        assert_allclose([found.correlation[r], found.p_value[r]], twin.kendall(one, variances), rtol=ROUNDING)


def test_the_rank_correlation_with_and_without_ties_is_that_of_scipy():
    from scipy.stats import kendalltau

    rng = np.random.default_rng(5)
    y, v = rng.normal(size=(30, 12)), rng.uniform(0.1, 1, (30, 12))
    v[::2, 6:] = v[::2, :6]  # pairs of variances, and in every fourth whole studies twice
    y[::4, 6:] = y[::4, :6]
    found = begg_test(y, v)
    for r in range(30):
        w = 1 / v[r]
        z = (y[r] - (w * y[r]).sum() / w.sum()) / np.sqrt(v[r] - 1 / w.sum())
        z = np.round(z, 12)  # equal studies may differ by rounding here
        tied = r % 2 == 0
        expected = kendalltau(z, v[r], method="asymptotic" if tied else "exact")
        assert_allclose([found.correlation[r], found.p_value[r]], expected, rtol=1e-9)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("estimator", ["L0", "R0", "Q0"])
def test_trim_and_fill_agrees_with_the_twin(estimator, right):
    y, v = batch(6, n=150)
    found = trim_and_fill(y, v, estimator=estimator, side="right" if right else "left", tau2="DL")
    filled = 0
    for r, (one, variances) in enumerate(bodies(y, v)):
        expected = twin.trim_and_fill(one, variances, estimator, right)
        if expected is None:
            assert found.status[r] == MetaStatus.NOT_CONVERGED
            assert np.isnan(found.estimate[r])
            continue
        assert_allclose([found.n_filled[r], found.estimate[r], found.std_error[r], found.tau2[r]], expected, rtol=ROUNDING, atol=ROUNDING)
        filled += expected[0] > 0
    assert filled > 10


def test_trim_and_fill_without_the_second_round_fails():
    """Named wrong version: the number of missing studies from the untrimmed center alone."""
    y, v = batch(6, n=150, absent=0)
    found = trim_and_fill(y, v, side="left", tau2="DL")
    once = []
    for one, variances in zip(y, v, strict=True):
        center = twin.random_effects(one, variances)[0]
        distance = one - center
        rank = np.argsort(np.argsort(np.abs(distance))) + 1
        once.append(max(0, round((4 * rank[distance > 0].sum() - 90) / 17)))
    assert (found.n_filled != once).mean() > 0.05


def test_the_side_is_opposite_to_the_small_studies():
    y, v = batch(7)
    found = trim_and_fill(y, v, tau2="DL")
    slope = egger_test(y, v, form="mixed", tau2="DL").slope
    assert_array_equal(found.fills_right, slope < 0)


def test_weighted_least_squares_and_waap_by_hand():
    y, v = batch(8)
    v = v / 40
    found, adequate = unrestricted_wls(y, v), waap_wls(y, v)
    used_some = 0
    for r, (one, variances) in enumerate(bodies(y, v)):
        b, se, p, df = twin.linear_model(one, np.ones((len(one), 1)), 1 / variances)
        assert_allclose([found.estimate[r], found.std_error[r], found.p_value[r], found.df[r]], [b[0], se[0], p[0], df], rtol=ROUNDING)
        powered = np.sqrt(variances) <= abs(b[0]) / 2.8
        assert adequate.n_adequate[r] == powered.sum()
        if powered.sum() >= 2:
            one, variances = one[powered], variances[powered]
            used_some += not powered.all()
        b, se, *_ = twin.linear_model(one, np.ones((len(one), 1)), 1 / variances)
        assert_allclose([adequate.estimate[r], adequate.std_error[r]], [b[0], se[0]], rtol=1e-9)
    assert used_some > 3


def test_the_limit_is_the_radial_regression_moved_by_tau():
    y, v = batch(9)
    found = limit_meta_analysis(y, v, tau2="DL")
    for r, (one, variances) in enumerate(bodies(y, v)):
        tau2 = twin.dersimonian_laird(one, variances)
        s = np.sqrt(variances + tau2)
        x = np.column_stack([np.ones_like(s), 1 / s])  # intercept alpha, slope beta, residual variance 1
        alpha, beta = np.linalg.lstsq(x, one / s, rcond=None)[0]
        direction = np.array([np.sqrt(tau2), 1.0])
        error = np.sqrt(direction @ np.linalg.inv(x.T @ x) @ direction)
        expected = beta + np.sqrt(tau2) * alpha, error, alpha, beta
        assert_allclose([found.estimate[r], found.std_error[r], found.intercept[r], found.slope[r]], expected, rtol=1e-9, atol=1e-9)
        plain = twin.linear_model(one, np.column_stack([np.ones_like(s), np.sqrt(variances)]), 1 / variances)[0]
        residual = ((one - plain[0] - plain[1] * np.sqrt(variances)) ** 2 / variances).sum()
        assert_allclose(found.q_residual[r], residual, rtol=1e-9)


def test_fail_safe_numbers_are_found_by_adding_studies():
    y, v = batch(10, n=20, absent=0)
    for alpha in (0.05, 0.1):
        assert_array_equal(fail_safe_n(y, v, alpha=alpha).n_studies_needed, [twin.rosenthal(*pair, alpha) for pair in zip(y, v, strict=True)])
        expected = [twin.rosenberg(*pair, alpha) for pair in zip(y, v, strict=True)]
        assert_array_equal(fail_safe_n(y, v, kind="rosenberg", alpha=alpha).n_studies_needed, expected)
    assert_array_equal(fail_safe_n(y, v, kind="orwin", target=0.1).n_studies_needed, [twin.orwin(one, 0.1) for one in y])
    assert (fail_safe_n(y, v, kind="orwin").n_studies_needed == 9).all()
    assert np.isinf(fail_safe_n(y[0], v[0], kind="orwin", target=0.0).n_studies_needed)


def test_excess_significance_counts_sets_of_studies():
    y, v = batch(11, n=6, k=7)
    found = excess_significance_test(y, v, tau2="DL")
    for r, (one, variances) in enumerate(bodies(y, v)):
        expected = twin.excess_significance(one, variances, 0.05)
        assert_allclose([found.observed[r], found.expected[r], found.p_value[r]], expected, rtol=QUADRATURE)


def test_power_that_forgets_heterogeneity_is_seen():
    y, v = batch(12)
    found = excess_significance_test(y, v, tau2="DL")
    wrong = excess_significance_test(y, v, tau2="common", effect=meta_analysis(y, v, tau2="DL").estimate)
    assert (np.abs(found.expected - wrong.expected) > 1e-3).mean() > 0.5


# ---- laws


@methods
def test_a_batch_equals_one_by_one_and_absent_studies_are_shorter_arrays(method):
    y, v = batch(20, n=12)
    together = method(y, v)
    for r, (one, variances) in enumerate(bodies(y, v)):
        for column, alone in zip(together, method(one, variances), strict=True):
            assert_allclose(column[r], alone, rtol=ITERATED, atol=ITERATED, equal_nan=True)


@pytest.mark.parametrize("method", [*BY_BODY.values(), *BY_STUDY.values()], ids=[*BY_BODY, *BY_STUDY])
def test_leading_axes_are_kept(method):
    y, v = batch(21, n=6, k=5)
    flat, deep = method(y, v), method(y.reshape(2, 3, 5), v.reshape(2, 3, 5))
    for column, other in zip(flat, deep, strict=True):
        assert other.shape[:2] == (2, 3)
        assert_array_equal(other.reshape(column.shape), column)


@methods
def test_the_order_of_studies_does_not_matter(method):
    y, v = batch(22, n=15)
    order = np.random.default_rng(22).permutation(9)
    for column, other in zip(method(y, v), method(y[:, order], v[:, order]), strict=True):
        assert_allclose(column, other, rtol=ITERATED, atol=ITERATED, equal_nan=True)


SCALED = {"estimate": 1, "std_error": 1, "tau2": 2}
UNCHANGED = ("p_value", "status", "n_filled", "correlation", "q_residual", "i2", "observed")


@methods
def test_units_of_effects_do_not_matter(method):
    y, v = batch(23, n=15)
    plain, scaled = method(y, v)._asdict(), method(8 * y, 64 * v)._asdict()
    for name in plain:
        factor = 8.0 ** SCALED[name] if name in SCALED else 1.0
        if name in SCALED or name in UNCHANGED:
            assert_allclose(scaled[name], factor * plain[name], rtol=ITERATED, atol=ITERATED, equal_nan=True)


SYMMETRIC = {
    "trim_L0": (trim_and_fill, trim_and_fill),
    "trim_side": (lambda y, v: trim_and_fill(y, v, side="left"), lambda y, v: trim_and_fill(y, v, side="right")),
    "pet_peese": (pet_peese, lambda y, v: pet_peese(y, v, alternative="less")),
    "pet_peese_positive": (
        lambda y, v: pet_peese(y, v, rule="two_sided_positive"),
        lambda y, v: pet_peese(y, v, rule="two_sided_positive", alternative="less"),
    ),
    "pet_peese_two_sided": (lambda y, v: pet_peese(y, v, rule="two_sided"), lambda y, v: pet_peese(y, v, rule="two_sided")),
    "waap": (waap_wls, waap_wls),
    "limit": (limit_meta_analysis, limit_meta_analysis),
    "egger": (egger_test, egger_test),
}


@pytest.mark.parametrize(("method", "mirrored"), SYMMETRIC.values(), ids=SYMMETRIC)
def test_turning_the_sign_of_effects_turns_the_estimate(method, mirrored):
    y, v = batch(24)
    plain, turned = method(y, v), mirrored(-y, v)
    assert_allclose(turned.estimate, -plain.estimate, rtol=ROUNDING, atol=ROUNDING)
    assert_allclose(turned.upper, -plain.lower, rtol=ROUNDING, atol=ROUNDING)
    assert_array_equal(turned.status, plain.status)


def test_rules_of_pet_peese_nest():
    y, v = batch(25, n=400)
    v = v / 10
    two, positive, one = (pet_peese(y, v, rule=rule).took_peese for rule in ("two_sided", "two_sided_positive", "one_sided"))
    assert (positive <= two).all()
    assert (positive <= one).all()
    assert positive.sum() < two.sum()
    assert positive.sum() < one.sum()
    chosen = pet_peese(y, v)
    assert_array_equal(chosen.estimate, np.where(one, peese(y, v).estimate, pet(y, v).estimate))


def test_without_heterogeneity_the_limit_is_pet():
    y, v = batch(26)
    found, straight = limit_meta_analysis(y, v, tau2="common"), pet(y, v)
    assert_allclose(found.estimate, straight.estimate, rtol=ROUNDING)
    assert_allclose(found.slope, straight.estimate, rtol=ROUNDING)


def test_a_symmetrical_funnel_has_no_missing_studies():
    y = np.array([-0.5, -0.2, 0.1, 0.4, 0.7])
    for estimator in ("L0", "R0", "Q0"):
        for side in ("left", "right"):
            assert trim_and_fill(y, np.full(5, 0.1), estimator=estimator, side=side).n_filled == 0


# ---- the edges


@methods
def test_no_studies_and_bad_variances_have_a_status(method):
    nothing, broken = np.full(4, np.nan), np.array([0.1, 0.0, 0.2, 0.3])
    y = np.array([0.1, 0.4, 0.2, 0.7])
    assert method(nothing, nothing).status == MetaStatus.TOO_FEW_STUDIES
    for v in (broken, -broken):
        found = method(y, v)
        assert found.status == MetaStatus.ZERO_VARIANCE
        assert np.isnan(found[0])


def test_equal_effects_have_a_status_or_plain_results():
    y, v = np.full(4, 0.3), np.array([0.1, 0.2, 0.3, 0.4])
    for function in (egger_test, pet, peese, pet_peese, unrestricted_wls, waap_wls):
        found = function(y, v)
        assert found.status == MetaStatus.NO_VARIATION
        assert np.isnan(found.p_value)
        assert_allclose([found.estimate, found.std_error], [0.3, 0.0], atol=1e-15)
    assert begg_test(y, v).status == MetaStatus.NO_VARIATION
    for estimator in ("L0", "R0", "Q0"):
        assert trim_and_fill(y, v, estimator=estimator).n_filled == 0


def test_equal_variances_leave_no_regression():
    y, v = np.array([0.1, 0.4, 0.2, 0.7]), np.full(4, 0.1)
    for function in (egger_test, pet, peese, limit_meta_analysis, trim_and_fill):
        assert function(y, v).status == MetaStatus.COLLINEAR
    assert trim_and_fill(y, v, side="left").status == MetaStatus.OK


def test_two_studies():
    y, v = np.array([0.1, 0.7]), np.array([0.1, 0.3])
    for function in (egger_test, pet, peese, limit_meta_analysis):
        assert function(y, v).status == MetaStatus.TOO_FEW_STUDIES
        assert np.isnan(function(y, v).estimate)
    assert begg_test(y, v).p_value == 1.0
    assert unrestricted_wls(y, v).df == 1
    assert trim_and_fill(y, v, side="left").status == MetaStatus.OK
    assert permutation_test(y, v).n_flips == 4
    assert_array_equal(leave_one_out(y, v).status, [MetaStatus.SINGLE_STUDY] * 2)
    assert_allclose(leave_one_out(y, v).estimate, y[::-1])


def test_one_study():
    assert unrestricted_wls(0.3 * np.ones(1), np.ones(1)).status == MetaStatus.SINGLE_STUDY
    assert unrestricted_wls(0.3 * np.ones(1), np.ones(1)).estimate == 0.3
    assert trim_and_fill(0.3 * np.ones(1), np.ones(1)).estimate == 0.3
    assert permutation_test(0.3 * np.ones(1), np.ones(1)).status == MetaStatus.TOO_FEW_STUDIES
    assert leave_one_out(0.3 * np.ones(1), np.ones(1)).status[0] == MetaStatus.TOO_FEW_STUDIES


def test_q0_of_a_very_lopsided_funnel_has_a_status():
    y, v = np.array([-3.0, 1.0, 2.0, 3.0, 4.0, 5.0]), np.array([0.0001, 1, 1, 1, 1, 1])
    found = trim_and_fill(y, v, estimator="Q0", side="left", tau2="common")
    assert found.status == MetaStatus.NOT_CONVERGED
    assert np.isnan(found.estimate)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda y, v: egger_test(y, v, form="ml"), "form"),
        (lambda y, v: egger_test(y, v, predictor="se"), "predictor"),
        (lambda y, v: trim_and_fill(y, v, estimator="L1"), "estimator"),
        (lambda y, v: trim_and_fill(y, v, side="rigth"), "right"),
        (lambda y, v: pet_peese(y, v, rule="onesided"), "one_sided"),
        (lambda y, v: fail_safe_n(y, v, kind="Rosenthal"), "rosenthal"),
        (lambda y, v: fail_safe_n(y, v, target=0.1), "target"),
        (lambda y, v: permutation_test(y, v, alternative="two.sided"), "alternative"),
        (lambda y, v: excess_significance_test(y, v, effect=[1.0, 2.0]), "effect"),
        (lambda y, v: leave_one_out(y, v, tau2="GENQ"), "tau2"),
        (lambda y, v: begg_test(y, v[:3]), "shape"),
        (lambda y, v: begg_test(0.1, 0.2), "at least one study"),
        (lambda y, v: pet(y, v, level=95), "level"),
    ],
)
def test_wrong_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call(np.array([0.1, 0.4, 0.2, 0.7]), np.array([0.1, 0.2, 0.1, 0.3]))
