"""Meta-analysis against slow calculations with whole matrices, and what pooling must do when studies are moved, scaled, turned or absent."""

import numpy as np
import pytest
from double import pooling as twin
from double.pooling import batch, each
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import gammaincinv

from simtrials.stats.meta_analysis import CI_RULES, TAU2_OF_CI, meta_analysis, meta_regression
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.studies import Studies
from simtrials.stats.tau2 import MOMENTS, ROOTS, between_study_variance
from simtrials.stats.tau2_intervals import profile_likelihood_interval, q_profile_interval

few = settings(max_examples=12, deadline=None, derandomize=True)
slow = settings(max_examples=4, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
METHODS = (*(method for method in MOMENTS if method != "GENQ"), *ROOTS, "ML", "REML")
LIKELIHOODS = ("ML", "REML")
ROUNDING = 1e-9
"""Relative to the largest number of a calculation: matrices of 12 studies, variances 300-fold apart."""
GRID = 1e-6
"""A maximum of a likelihood is known to the root of its rounding, 1e-8 at best, by a search that sees heights only."""
every_method = pytest.mark.parametrize("method", METHODS)
every_rule = pytest.mark.parametrize("ci", CI_RULES)


def tau2_for(ci):
    return TAU2_OF_CI.get(ci, "REML")


# ---- against the slow calculations


@every_method
@few
@given(seeds)
def test_tau2_is_that_of_whole_matrices(method, seed):
    y, v = batch(seed, 3)
    found = between_study_variance(y, v, method)
    slow = [twin.tau2(method, a, b, np.ones((len(a), 1))) for a, b in each(y, v)]
    tolerance = GRID if method in LIKELIHOODS else ROUNDING
    assert_allclose(found.estimate, slow, rtol=tolerance, atol=tolerance * np.nanmax(v))


@every_method
@few
@given(seeds)
def test_tau2_around_a_regression_is_that_of_whole_matrices(method, seed):
    y, v = batch(seed, 2, smallest=5)
    design = np.column_stack([np.ones(12), np.linspace(-1, 1, 12), np.arange(12) % 2])
    found = between_study_variance(y, v, method, design)
    slow = [twin.tau2(method, a[keep := ~np.isnan(a)], b[keep], design[keep]) for a, b in zip(y, v, strict=True)]
    tolerance = GRID if method in LIKELIHOODS else ROUNDING
    assert_allclose(found.estimate, slow, rtol=tolerance, atol=tolerance * np.nanmax(v))


@slow
@given(seeds)
def test_likelihoods_are_never_below_those_that_a_grid_finds(seed):
    y, v = batch(seed, 3)
    for method in LIKELIHOODS:
        found = between_study_variance(y, v, method).estimate
        for (a, b), mine in zip(each(y, v), found, strict=True):
            x, restricted = np.ones((len(a), 1)), method == "REML"
            theirs = twin.log_likelihood(twin.tau2(method, a, b, x), a, b, x, restricted)
            assert twin.log_likelihood(mine, a, b, x, restricted) >= theirs - 1e-12 * (1 + abs(theirs))


@every_rule
@few
@given(seeds)
def test_intervals_are_those_of_the_papers(ci, seed):
    y, v = batch(seed, 3)
    if ci == "henmi_copas":
        slow = [(s, *limits) for a, b in each(y, v) for s, *limits in [twin.henmi_copas(a, b)]]
        found = meta_analysis(y, v, tau2="DL", ci=ci)
        assert_allclose(np.stack([found.std_error, found.lower, found.upper], 1), slow, rtol=1e-8, atol=1e-8)
        return
    found = meta_analysis(y, v, tau2=tau2_for(ci), ci=ci)
    if ci == "profile_likelihood":
        slow = [twin.profile_likelihood(a, b) for a, b in each(y[:1], v[:1])]
        assert_allclose([(found.lower[0], found.upper[0])], slow, rtol=GRID, atol=GRID)
        return
    slow = np.array([twin.interval(ci, a, b, t) for (a, b), t in zip(each(y, v), found.tau2, strict=True)])
    assert_allclose(np.stack([found.std_error, found.lower, found.upper, found.p_value], 1), slow, rtol=ROUNDING, atol=ROUNDING)


@few
@given(seeds)
def test_heterogeneity_is_that_of_its_definitions(seed):
    y, v = batch(seed)
    found = meta_analysis(y, v, tau2="DL")
    slow = np.array([twin.heterogeneity(a, b, t) for (a, b), t in zip(each(y, v), found.tau2, strict=True)])
    assert_allclose(np.stack([found.q, found.q_p_value, found.i2], 1), slow, rtol=ROUNDING, atol=1e-12)
    assert_allclose(found.h2, 1 / (1 - found.i2), rtol=ROUNDING)


@slow
@given(seeds)
def test_intervals_of_tau2_are_those_of_their_definitions(seed):
    y, v = batch(seed, 2, smallest=4)
    found = q_profile_interval(y, v)
    slow = np.array([twin.q_profile(a, b, np.ones((len(a), 1))) for a, b in each(y, v)])
    assert_allclose(np.stack([found.lower, found.upper], 1), slow, rtol=ROUNDING, atol=ROUNDING * np.nanmax(v))
    for method in LIKELIHOODS:
        estimate = between_study_variance(y, v, method).estimate
        profile = profile_likelihood_interval(Studies.of(y, v), estimate, method == "REML")
        slow = np.array([twin.tau2_by_likelihood(method, a, b, np.ones((len(a), 1))) for a, b in each(y, v)])
        assert_allclose(np.stack([profile.lower, profile.upper], 1), slow, rtol=GRID, atol=GRID * np.nanmax(v))


@few
@given(seeds)
def test_regressions_are_those_of_whole_matrices(seed):
    y, v = batch(seed, 3, smallest=6)
    design = np.column_stack([np.ones(12), np.linspace(-1, 1, 12), np.arange(12) % 2])
    for ci in ("wald", "hartung_knapp"):
        found = meta_regression(y, v, design, tau2="PM", ci=ci)
        for row, (a, b) in enumerate(zip(y, v, strict=True)):
            keep = ~np.isnan(a)
            coefficients, covariance, rss = twin.weighted(a[keep], b[keep], design[keep], found.tau2[row])
            df = keep.sum() - 3
            covariance = covariance * (rss / df if ci == "hartung_knapp" else 1)
            assert_allclose(found.estimate[row], coefficients, rtol=1e-8, atol=1e-8)
            assert_allclose(found.std_error[row], np.sqrt(np.diag(covariance)), rtol=1e-8)
            qm = coefficients[1:] @ np.linalg.inv(covariance[1:, 1:]) @ coefficients[1:]
            assert_allclose(found.qm[row], qm / (2 if ci == "hartung_knapp" else 1), rtol=1e-7)


# ---- named wrong versions are told apart


TWO_MAXIMA = np.array([2.82, -0.15, -0.26, -0.18, -0.17]), np.array([0.677, 0.236, 0.009, 0.01, 0.036])
"""The restricted likelihood has a maximum at 0, and a lower one at 0.663 in which a search from the variance of the effects ends."""


def test_a_search_of_the_likelihood_from_one_start_would_stop_at_a_lower_maximum():
    y, v = TWO_MAXIMA
    x = np.ones((len(y), 1))
    found = float(between_study_variance(y, v, "REML").estimate[0])
    local = uphill(y, v, max(0.0, np.var(y, ddof=1) - v.mean()))
    assert twin.log_likelihood(found, y, v, x, True) > twin.log_likelihood(local, y, v, x, True) + 0.01
    assert_allclose([found, local], [0.0, 0.6629], atol=1e-4)


def uphill(y, v, tau2):
    """Fisher scoring for REML, each step halved until tau2 >= 0."""
    x = np.ones((len(y), 1))
    for _ in range(1000):
        p = twin.projection(1 / (v + tau2), x)
        step = (y @ p @ p @ y - np.trace(p)) / np.trace(p @ p)
        while tau2 + step < 0:
            step /= 2
        tau2 += step
        if abs(step) < 1e-13:
            break
    return tau2


def test_an_estimate_without_truncation_and_a_normal_quantile_for_t_are_wrong():
    y, v = np.array([-0.3, -0.31, -0.29, -0.305]), np.array([0.1, 0.05, 0.2, 0.08])
    a = twin.projection(1 / v, np.ones((4, 1)))
    assert (y @ a @ y - 3) / np.trace(a) < 0
    assert between_study_variance(y, v, "DL").estimate[0] == 0
    normal, t = meta_analysis(y, v), meta_analysis(y, v, ci="t")
    assert t.upper - t.estimate > 1.6 * (normal.upper - normal.estimate)  # t with 3 degrees of freedom: 3.182 / 1.960


# ---- laws


@every_method
@few
@given(seeds)
def test_equal_variances_make_estimators_equal(method, seed):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 2)
    y = rng.normal(0, np.sqrt(v + rng.uniform(0, 2)), (20, 6))
    s2 = y.var(axis=1, ddof=1)
    median = 2 * gammaincinv(2.5, 0.5)
    expected = {"ML": s2 * 5 / 6 - v, "HS": s2 * 5 / 6 - v, "PMM": s2 * 5 / median - v}
    if method == "SJ":
        start = s2 * 5 / 6
        expected["SJ"] = start * s2 / (v + start)
    found = between_study_variance(y, np.full(y.shape, v), method).estimate
    assert_allclose(found, np.maximum(0, expected.get(method, s2 - v)), rtol=1e-9, atol=1e-9 * v)


@every_rule
@few
@given(seeds)
def test_scale_shift_and_sign_carry_through(ci, seed):
    y, v = batch(seed, smallest=3)
    arguments = {"tau2": tau2_for(ci), "ci": ci}
    one, scaled = meta_analysis(y, v, **arguments), meta_analysis(100 * y, 1e4 * v, **arguments)
    for name in ("estimate", "std_error", "lower", "upper", "prediction_lower", "prediction_upper"):
        assert_allclose(getattr(scaled, name), 100 * getattr(one, name), rtol=1e-6, atol=1e-6, err_msg=name)
    for name in ("tau2", "tau2_std_error", "tau2_lower", "tau2_upper"):
        assert_allclose(getattr(scaled, name), 1e4 * getattr(one, name), rtol=1e-6, atol=1e-6, err_msg=name)
    for name in ("p_value", "q", "q_p_value", "i2", "i2_lower", "i2_upper", "h2", "df", "status"):
        assert_allclose(getattr(scaled, name), getattr(one, name), rtol=1e-6, atol=1e-8, err_msg=name)
    moved, turned = meta_analysis(y + 5, v, **arguments), meta_analysis(-y, v, **arguments)
    assert_allclose(moved.lower, one.lower + 5, rtol=1e-8, atol=1e-7)
    assert_allclose(moved.tau2, one.tau2, rtol=1e-7, atol=1e-8)
    assert_allclose(turned.lower, -one.upper, rtol=1e-8, atol=1e-8)
    assert_allclose(turned.prediction_upper, -one.prediction_lower, rtol=1e-8, atol=1e-8)
    assert_allclose(turned.p_value, one.p_value, rtol=1e-6, atol=1e-9)


@every_rule
@few
@given(seeds)
def test_order_absence_and_company_do_not_matter(ci, seed):
    y, v = batch(seed, 4)
    arguments = {"tau2": tau2_for(ci), "ci": ci}
    together = meta_analysis(y, v, **arguments)
    order = np.random.default_rng(seed).permutation(y.shape[1])
    shuffled = meta_analysis(y[:, order], v[:, order], **arguments)
    for row, (a, b) in enumerate(each(y, v)):
        alone = meta_analysis(a, b, **arguments)
        for name, value in alone._asdict().items():
            assert np.ndim(value) == 0
            assert_allclose(getattr(together, name)[row], value, rtol=1e-12, atol=1e-14, err_msg=name)
            assert_allclose(getattr(shuffled, name)[row], value, rtol=1e-7, atol=1e-8, err_msg=name)


def test_leading_axes_are_kept():
    y, v = batch(1, 6)
    flat, folded = meta_analysis(y, v), meta_analysis(y.reshape(2, 3, -1), v.reshape(2, 3, -1))
    for name, value in flat._asdict().items():
        assert_array_equal(getattr(folded, name), value.reshape(2, 3), err_msg=name)
    regression = meta_regression(y.reshape(2, 3, -1), v.reshape(2, 3, -1), np.ones((12, 1)))
    assert regression.estimate.shape == (2, 3, 1)
    assert regression.tau2.shape == (2, 3)
    assert_allclose(regression.estimate[..., 0], folded.estimate, rtol=1e-13)


@every_method
@few
@given(seeds)
def test_tau2_is_zero_exactly_where_the_studies_vary_too_little(method, seed):
    y, v = batch(seed, 40, smallest=4)
    fit, q, k = between_study_variance(y, v, method), meta_analysis(y, v).q, (~np.isnan(y)).sum(axis=1)
    if method in ("DL", "PM", "EB"):
        assert_array_equal(fit.estimate == 0, q <= k - 1)
    if method == "HS":
        assert_array_equal(fit.estimate == 0, q <= k)
    assert (fit.estimate >= 0).all()
    assert (fit.status == 0).all()


def test_the_restricted_likelihood_falls_from_zero_where_tau2_is_zero():
    y, v = batch(5, 200, smallest=4)
    for method in LIKELIHOODS:
        zero = between_study_variance(y, v, method).estimate == 0
        assert zero.any()
        assert not zero.all()
        for a, b in each(y[zero], v[zero]):
            x = np.ones((len(a), 1))
            at = [twin.log_likelihood(t, a, b, x, method == "REML") for t in (0.0, *np.geomspace(1e-4, 20, 60))]
            assert max(at) <= at[0] + 1e-12 * abs(at[0])


@few
@given(seeds)
def test_a_wider_level_gives_an_interval_around_a_narrower_one(seed):
    y, v = batch(seed, smallest=3)
    for ci in CI_RULES:
        narrow, wide = (meta_analysis(y, v, tau2=tau2_for(ci), ci=ci, level=level) for level in (0.8, 0.99))
        assert ((wide.lower < narrow.lower) & (wide.upper > narrow.upper) | np.isinf(narrow.upper)).all()
        assert ((wide.tau2_lower <= narrow.tau2_lower) & (wide.tau2_upper >= narrow.tau2_upper)).all()


@pytest.mark.parametrize("ci", [ci for ci in CI_RULES if ci not in ("henmi_copas", "hartung_knapp_ci")])
@few
@given(seeds)
def test_the_p_value_is_below_alpha_exactly_where_the_interval_leaves_out_0(ci, seed):
    y, v = batch(seed, 40, smallest=3)
    found = meta_analysis(y, v, tau2=tau2_for(ci), ci=ci, level=0.9)
    assert_array_equal(found.p_value < 0.1, (found.lower > 0) | (found.upper < 0))


def test_one_study_gives_its_own_estimate_and_no_heterogeneity():
    for tau2, ci in (("REML", "wald"), ("DL", "henmi_copas"), ("ML", "profile_likelihood"), ("PM", "wald"), ("common", "wald")):
        found = meta_analysis([0.4, np.nan, 0.2], [0.04, 0.1, np.inf], tau2=tau2, ci=ci)
        assert_allclose([found.estimate, found.std_error, found.upper], [0.4, 0.2, 0.4 + 1.959963984540054 * 0.2])
        assert found.status == MetaStatus.SINGLE_STUDY
        assert found.n_studies == 1
        assert np.isnan([found.tau2, found.i2, found.tau2_upper, found.prediction_lower]).all()
    assert np.isnan(meta_analysis([0.4], [0.04], ci="hartung_knapp").lower)


def test_what_cannot_be_estimated_is_named():
    nothing = meta_analysis([[np.nan, np.nan], [0.1, 0.2], [0.1, 0.2]], [[1.0, 1.0], [1.0, 0.0], [1.0, 2.0]])
    assert_array_equal(nothing.status, [MetaStatus.TOO_FEW_STUDIES, MetaStatus.ZERO_VARIANCE, MetaStatus.OK])
    assert np.isnan(nothing.estimate[:2]).all()
    assert np.isfinite(nothing.estimate[2])
    for tau2 in (*METHODS, "common"):
        fit = meta_regression([0.1, 0.2, 0.3], [1.0, 1.0, 1.0], np.column_stack([np.ones(3), [1, 2, 3], [2, 4, 6]])[:, :2], tau2=tau2)
        assert fit.status == MetaStatus.OK
        collinear = meta_regression([0.1, 0.2, 0.3, 0.5], np.ones(4), np.column_stack([np.ones(4), [1, 2, 3, 4], [2, 4, 6, 8]]), tau2=tau2)
        assert collinear.status == MetaStatus.COLLINEAR
        assert np.isnan(collinear.estimate).all()
    saturated = meta_regression([0.1, 0.2], [1.0, 1.0], np.column_stack([np.ones(2), [0, 1]]))
    assert saturated.status == MetaStatus.TOO_FEW_STUDIES
    assert np.isnan(saturated.estimate).all()


@every_method
def test_studies_that_agree_exactly_have_no_variance_between_and_are_flagged(method):
    y, v = np.full(4, -0.4), np.array([0.1, 0.2, 0.05, 0.3])
    wald, knapp = meta_analysis(y, v, tau2=method), meta_analysis(y, v, tau2=method, ci="hartung_knapp")
    assert wald.tau2 == 0
    assert wald.status == MetaStatus.OK
    assert knapp.std_error == 0
    assert knapp.status == MetaStatus.NO_VARIATION
    assert meta_analysis(y, v, tau2=method, ci="hartung_knapp_adhoc").status == MetaStatus.OK


@every_rule
def test_two_studies_are_enough(ci):
    found = meta_analysis([-0.5, 0.1], [0.04, 0.09], tau2=tau2_for(ci), ci=ci)
    assert found.status == MetaStatus.OK
    assert found.lower < found.estimate < found.upper
    assert np.isnan(meta_analysis([-0.5, 0.1], [0.04, 0.09], prediction="t_k_minus_2").prediction_lower)


def test_weights_of_ones_own_change_the_mean_and_its_variance_only():
    y, v = batch(3, 5)
    weights = np.linspace(1, 3, 12)
    found, plain = meta_analysis(y, v, weights=weights), meta_analysis(y, v)
    assert_array_equal(found.tau2, plain.tau2)
    for row in range(5):
        keep = ~np.isnan(y[row])
        share = weights[keep] / weights[keep].sum()
        assert_allclose(found.estimate[row], share @ y[row, keep])
        assert_allclose(found.std_error[row], np.sqrt(share**2 @ (v[row, keep] + found.tau2[row])))
    slow = [twin.tau2("GENQ", y[r][k := ~np.isnan(y[r])], v[r][k], np.ones((k.sum(), 1)), weights[k]) for r in range(5)]
    assert_allclose(meta_analysis(y, v, tau2="GENQ", weights=weights).tau2, slow, rtol=ROUNDING, atol=ROUNDING)


# ---- wrong arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau2": "REMLL"}, "did you mean 'REML'"),
        ({"ci": "hartung"}, "ci = 'hartung' is not known"),
        ({"prediction": "t"}, "prediction = 't' is not known"),
        ({"tau2_ci": "qprofile"}, "did you mean 'q_profile'"),
        ({"level": 95}, "level lies between 0 and 1, got 95"),
        ({"ci": "henmi_copas"}, 'goes with tau2 = "DL"'),
        ({"ci": "kenward_roger", "tau2": "ML"}, 'goes with tau2 = "REML"'),
        ({"tau2": "DL", "tau2_ci": "profile_likelihood"}, 'goes with tau2 = "ML" or "REML"'),
        ({"weights": [1, 1, 1], "ci": "hartung_knapp"}, "weights of one's own"),
        ({"weights": [1, 1]}, "weights have shape"),
        ({"tau2": "GENQ"}, "GENQ"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        meta_analysis([0.1, 0.2, 0.3], [1.0, 1.0, 1.0], **arguments)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="yi and vi have one shape"):
        meta_analysis([0.1, 0.2, 0.3], [1.0, 1.0])
    with pytest.raises(ValueError, match="at least one study"):
        meta_analysis(0.1, 1.0)
    with pytest.raises(ValueError, match="a design has shape"):
        meta_regression([0.1, 0.2, 0.3], [1.0, 1.0, 1.0], np.ones((2, 1)))


def test_negative_variances_and_words_of_metafor_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match="vi holds variances, which are not negative"):
        meta_analysis([0.2, 0.3], [0.1, -0.1])
    with pytest.raises(ValueError, match="metafor's 'EE' is 'common' here"):
        meta_analysis([0.2, 0.3], [0.1, 0.1], tau2="EE")


def test_a_result_is_printed_by_name_and_its_status_in_words():
    one, many = meta_analysis([0.2, 0.3], [0.1, 0.1]), meta_analysis(np.full((9, 3), 0.2), np.full(3, 0.1))
    assert "estimate          0.25\n" in repr(one)
    assert "status            0 (estimated)" in repr(one)
    assert "[0.2, 0.2, 0.2, 0.2, ...], shape (9,)" in repr(many)
    estimate, *_ = one
    assert estimate == one.estimate
