"""Meta-analyses of counts: symmetries, exact special cases, naive twins, and what happens where nothing can be estimated."""

from math import log, sqrt

import numpy as np
import pytest
from double import counts as twin
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.beta_binomial import beta_binomial
from simtrials.stats.count_glmm import count_glmm
from simtrials.stats.effect_sizes_counts import Tables
from simtrials.stats.meta_analysis_counts import METHODS, count_association_tests, meta_analysis_counts
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.pooled_counts import ZeroCells, mantel_haenszel, peto

EXACT = 1e-10  # a few thousand roundings
MAXIMUM = 1e-6  # Newton stops where a step gains 1e-13, a millionth or less of a standard error
ALL = [(method, "OR") for method in METHODS] + [(method, measure) for method in ("mantel_haenszel", "beta_binomial") for measure in ("RR", "RD")]
all_methods = pytest.mark.parametrize(("method", "measure"), ALL)
MODELS = ("unconditional", "conditional", "random_study")


def random_tables(seed, n_replicates=40, n_studies=5, smallest=8, largest=60, risk=-1.0, spread=0.6):
    """(replicate, study) events and patients of active, of control, the true effects varying; some studies absent."""
    rng = np.random.default_rng(seed)
    shape = n_replicates, n_studies
    n = rng.integers(smallest, largest + 1, size=(2, *shape))
    control, effect = rng.normal(risk, spread, shape), rng.normal(0.4, spread, shape)
    y = rng.binomial(n, 1 / (1 + np.exp(-np.stack([control + effect, control]))))
    tables = np.stack([y[0], n[0], y[1], n[1]]).astype(float)
    tables[:, rng.random(shape) < 0.1] = np.nan
    return tables


def tight(method):
    return EXACT if method in ("mantel_haenszel", "peto") else MAXIMUM


def assert_same(found, expected, tolerance):
    for name in found._fields:
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=tolerance, atol=tolerance, err_msg=name)


@all_methods
def test_swapping_arms_flips_the_sign_of_the_effect_and_leaves_the_rest(method, measure):
    a, n1, c, n0 = random_tables(1)
    found = meta_analysis_counts(a, n1, c, n0, method=method, measure=measure)
    swapped = meta_analysis_counts(c, n0, a, n1, method=method, measure=measure)
    if method == "glmm_random_study":
        # the treatment effect is coded by halves, but the normal intercepts are those of control: the model itself is not symmetric
        assert_array_equal(found.status, swapped.status)
        return
    flipped = swapped._replace(estimate=-swapped.estimate, lower=-swapped.upper, upper=-swapped.lower)
    assert_same(found, flipped, tight(method))


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("glmm_conditional", "glmm_random_study")])
def test_counting_non_events_flips_the_log_odds_ratio(method):
    a, n1, c, n0 = random_tables(2)
    found = meta_analysis_counts(a, n1, c, n0, method=method)
    other = meta_analysis_counts(n1 - a, n1, n0 - c, n0, method=method)
    assert_same(found, other._replace(estimate=-other.estimate, lower=-other.upper, upper=-other.lower), tight(method))


def test_the_random_study_model_too_has_no_preferred_outcome():
    a, n1, c, n0 = random_tables(2)
    found, other = count_glmm(a, n1, c, n0, "random_study"), count_glmm(n1 - a, n1, n0 - c, n0, "random_study")
    assert_allclose(found.estimate, -other.estimate, atol=MAXIMUM)
    assert_allclose(found.tau2, other.tau2, atol=MAXIMUM)


@all_methods
def test_the_order_of_studies_and_absent_ones_do_not_matter_and_a_batch_is_its_members(method, measure):
    tables = random_tables(3, n_replicates=6)
    found = meta_analysis_counts(*tables, method=method, measure=measure)
    shuffled = meta_analysis_counts(*tables[:, :, [3, 1, 4, 0, 2]], method=method, measure=measure)
    assert_same(found, shuffled, tight(method))
    for replicate in range(tables.shape[1]):
        present = ~np.isnan(tables[0, replicate])
        alone = meta_analysis_counts(*tables[:, replicate, present], method=method, measure=measure)
        assert np.ndim(alone.estimate) == 0
        for name in found._fields:
            assert_array_equal(getattr(alone, name), getattr(found, name)[replicate])


@all_methods
def test_more_axes_give_results_without_the_last(method, measure):
    tables = random_tables(4, n_replicates=6)
    flat = meta_analysis_counts(*tables, method=method, measure=measure)
    deep = meta_analysis_counts(*tables.reshape(4, 2, 3, 5), method=method, measure=measure)
    assert deep.estimate.shape == (2, 3)
    assert_array_equal(deep.estimate.ravel(), flat.estimate)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
@pytest.mark.parametrize("method", ["mantel_haenszel", "beta_binomial"])
def test_one_study_gives_its_own_effect_and_standard_error(method, measure):
    a, n1, c, n0 = 7.0, 40.0, 12.0, 35.0
    found = meta_analysis_counts([a], [n1], [c], [n0], method=method, measure=measure)
    p, q = a / n1, c / n0
    effect, variance = {
        "OR": (log(p / (1 - p)) - log(q / (1 - q)), 1 / a + 1 / (n1 - a) + 1 / c + 1 / (n0 - c)),
        "RR": (log(p / q), 1 / a - 1 / n1 + 1 / c - 1 / n0),
        "RD": (p - q, p * (1 - p) / n1 + q * (1 - q) / n0),
    }[measure]
    assert found.status == MetaStatus.SINGLE_STUDY
    assert_allclose([found.estimate, found.std_error], [effect, sqrt(variance)], rtol=EXACT)
    assert np.isnan([found.q, found.i2, found.rho]).all()


@pytest.mark.parametrize("method", ["glmm_unconditional", "glmm_random_study"])
def test_one_study_in_a_binomial_normal_model_is_its_own_odds_ratio(method):
    found = meta_analysis_counts([7], [40], [12], [35], method=method)
    assert found.status == MetaStatus.SINGLE_STUDY
    assert_allclose(found.estimate, log(7 / 33 * 23 / 12), rtol=MAXIMUM)
    assert_allclose(found.std_error, sqrt(1 / 7 + 1 / 33 + 1 / 12 + 1 / 23), rtol=MAXIMUM)
    assert np.isnan([found.tau2, found.q, found.q_wald, found.i2]).all()


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_every_study_twice_is_the_same_pooled_effect_with_half_the_variance(measure):
    tables = random_tables(5)
    once = meta_analysis_counts(*tables, measure=measure)
    twice = meta_analysis_counts(*np.concatenate([tables, tables], axis=2), measure=measure)
    assert_allclose(twice.estimate, once.estimate, rtol=EXACT)
    assert_allclose(twice.std_error, once.std_error / sqrt(2), rtol=EXACT)
    several = ~np.isnan(once.q)
    assert_allclose(twice.q[several], 2 * once.q[several], rtol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_every_study_twice_is_the_same_maximum_with_half_the_variance(model):
    tables = random_tables(6)
    once = count_glmm(*tables, model)
    twice = count_glmm(*np.concatenate([tables, tables], axis=2), model)
    usable = (once.status == 0) & (twice.status == 0)
    assert usable.mean() > 0.9
    assert_allclose(twice.estimate[usable], once.estimate[usable], atol=1e-5)
    assert_allclose(twice.std_error[usable], once.std_error[usable] / sqrt(2), atol=1e-5)
    assert_allclose(twice.log_likelihood[usable], 2 * once.log_likelihood[usable], rtol=1e-9)


def test_pooled_methods_are_their_naive_twins_also_with_zero_cells():
    tables = random_tables(7, n_replicates=60, smallest=3, largest=15, risk=-2.5)
    cells = Tables(tables[0], tables[1] - tables[0], tables[2], tables[3] - tables[2])
    of_peto = peto(cells, ZeroCells())
    compared = 0
    for replicate in range(60):
        present = [table for table in tables[:, replicate].T if not np.isnan(table[0])]
        if np.isnan(of_peto.estimate[replicate]):
            continue
        expected = twin.peto(present)
        assert_allclose([of_peto.estimate[replicate], of_peto.std_error[replicate], of_peto.q[replicate]], expected, atol=1e-9)
        for measure in ("OR", "RR", "RD"):
            found = mantel_haenszel(Tables(*(cell[[replicate]] for cell in cells)), measure, ZeroCells())
            if found.status[0] == MetaStatus.OK and found.q_df[0] > 0:
                assert_allclose(found.q[0], twin.heterogeneity(measure, present, found.estimate[0]), rtol=1e-9, atol=1e-12)
                compared += 1
    assert compared > 100


def test_the_tests_of_homogeneity_are_their_naive_twins():
    tables = random_tables(8)
    found = count_association_tests(*tables)
    pooled = meta_analysis_counts(*tables)
    for replicate in range(tables.shape[1]):
        present = [table for table in tables[:, replicate].T if not np.isnan(table[0])]
        day, tarone = twin.breslow_day(present, np.exp(pooled.estimate[replicate]))
        assert_allclose([found.breslow_day[replicate], found.tarone[replicate]], [day, max(tarone, 0)], atol=1e-8)


def test_cochran_s_test_is_that_of_mantel_and_haenszel_with_the_whole_number_of_patients():
    a, n1, c, n0 = np.array([[8.0], [30.0], [3.0], [25.0]])
    found = count_association_tests(a, n1, c, n0, continuity_correction=False)
    pooled = (a + c) / (n1 + n0)
    z2 = (a / n1 - c / n0) ** 2 / (pooled * (1 - pooled) * (1 / n1 + 1 / n0))
    assert_allclose(found.cochran, z2[0], rtol=EXACT)
    assert_allclose(found.mantel_haenszel, z2[0] * 54 / 55, rtol=EXACT)


def test_the_beta_binomial_model_is_its_naive_twin():
    tables = random_tables(9, n_replicates=8)
    a, n1, c, n0 = tables
    found = beta_binomial(np.stack([a, n1 - a, c, n0 - c]))
    boundary = 0
    for replicate in range(8):
        present = [table for table in tables[:, replicate].T if not np.isnan(table[0])]
        estimate, std_error, rho, value = twin.beta_binomial(present)
        got = found.estimate[replicate], found.rho[replicate], found.log_likelihood[replicate]
        assert_allclose(got, (estimate, rho, value), atol=2e-6)
        assert_allclose(found.std_error[replicate], std_error, rtol=1e-5)
        boundary += rho == 0
    assert boundary < 8


def test_a_beta_binomial_without_its_coupling_of_risk_and_correlation_would_be_seen():
    """The named wrong version: the standard error of a known correlation differs by more than the tolerance of the comparison."""
    tables = random_tables(9, n_replicates=8)
    a, n1, c, n0 = tables
    found = beta_binomial(np.stack([a, n1 - a, c, n0 - c]))
    crude = np.sqrt(sum(1 / np.nansum(x, axis=1) for x in (a, n1 - a, c, n0 - c)))
    assert (np.abs(crude[found.rho > 0] / found.std_error[found.rho > 0] - 1) > 1e-3).all()


def test_equal_proportions_give_a_binomial_and_overdispersed_ones_a_correlation():
    binomial = meta_analysis_counts([5, 10, 20], [20, 40, 80], [2, 4, 8], [20, 40, 80], method="beta_binomial")
    assert binomial.rho == 0
    assert binomial.status == MetaStatus.OK
    assert_allclose(binomial.estimate, log(1 / 3) - log(1 / 9), rtol=MAXIMUM)
    assert_allclose(binomial.std_error, sqrt(1 / 35 + 1 / 105 + 1 / 14 + 1 / 126), rtol=MAXIMUM)
    varied = meta_analysis_counts([1, 20, 60], [20, 40, 80], [0, 10, 60], [20, 40, 80], method="beta_binomial")
    assert varied.rho > 0.1


@pytest.mark.parametrize("model", MODELS)
def test_binomial_normal_models_are_at_the_maximum_of_the_twin_s_likelihood_with_its_curvature(model):
    tables = random_tables(10, n_replicates=3, n_studies=4, spread=1.0)
    found = count_glmm(*tables, model)
    assert (found.tau2 > 0).any()
    for replicate in np.flatnonzero(found.tau2 > 0):
        present = [table for table in tables[:, replicate].T if not np.isnan(table[0])]
        log_likelihood = lambda x, present=present: twin.glmm_log_likelihood(model, present, x)  # noqa: E731
        x = np.array([found.estimate[replicate], sqrt(found.tau2[replicate])])
        place = 0
        if model == "random_study":
            place, omega = 1, sqrt(found.study_variance[replicate])
            mean = twin.optimize.minimize_scalar(lambda m: -log_likelihood([m, *x, omega]), bracket=(-2, 0)).x  # noqa: B023
            x = np.array([mean, *x, omega])
        here = log_likelihood(x)
        assert_allclose(found.log_likelihood[replicate], here, rtol=1e-8)
        hessian = twin.second_differences(log_likelihood, x, 2e-3)
        assert_allclose(found.std_error[replicate], sqrt(np.linalg.inv(-hessian)[place, place]), rtol=1e-4)
        for move in np.vstack([np.eye(len(x)), -np.eye(len(x))]) * 0.01:
            assert log_likelihood(x + move) < here
        for sigma in (0.0, 0.3, 1.0, 2.0):
            other = x.copy()
            other[place + 1] = sigma
            assert log_likelihood(other) <= here + 1e-7


def test_a_random_effect_in_one_arm_only_would_be_seen():
    """The named wrong version: with the other coding the likelihood at the maximum differs by far more than the tolerance."""
    a, n1, c, n0 = table = 12.0, 30.0, 5.0, 40.0
    halves = twin.study("unconditional", table, (-1.0, 0.5, 0.8), 7)
    one_arm = twin.integrated([(a, n1, -0.75, [0.8]), (c, n0, -1.25, [0.0])], 1, 7)
    assert abs(halves - one_arm) > 1e-3 * abs(halves)


def test_the_heterogeneity_of_the_random_study_model_is_a_quadratic_form_in_the_twin_s_information():
    tables = random_tables(11, n_replicates=1, n_studies=3, smallest=40, largest=80)
    tables = np.nan_to_num(tables, nan=20.0)
    found = count_glmm(*tables, "random_study")

    def log_likelihood(x):
        """mu, omega, log odds ratios"""
        return sum(twin.study("random_study", table, (x[0], effect, 0.0, x[1]), 1) for table, effect in zip(tables[:, 0].T, x[2:], strict=True))

    crude = [log(a / (n1 - a) * (n0 - c) / c) for a, n1, c, n0 in tables[:, 0].T]
    x, value, hessian = twin.climb(log_likelihood, np.array([-1.0, 0.5, *crude]), 1e-3)
    weight = np.linalg.inv(np.linalg.inv(-hessian)[2:, 2:])
    effect, one = x[2:], np.ones(3)
    assert_allclose(found.q_wald[0], effect @ weight @ effect - (one @ weight @ effect) ** 2 / weight.sum(), rtol=2e-4)
    common = twin.climb(lambda v: log_likelihood(np.array([v[0], v[1], v[2], v[2], v[2]])), np.array([-1.0, 0.5, 0.4]), 1e-3)
    assert_allclose(found.q[0], 2 * (value - common[1]), rtol=1e-6)


@pytest.mark.parametrize("model", ["unconditional", "conditional"])
def test_likelihood_ratio_and_wald_heterogeneity_agree_in_large_studies(model):
    rng = np.random.default_rng(12)
    n = np.full((200, 6), 20_000)
    y = rng.binomial(n, 0.02 * np.exp(rng.normal(0, 0.05, (200, 6)))), rng.binomial(n, 0.02)
    found = count_glmm(y[0], n, y[1], n, model)
    assert_allclose(found.q, found.q_wald, rtol=0.05, atol=0.05)


def test_studies_without_events_say_nothing_of_odds_ratios_but_pull_risk_differences():
    without = np.array([[5.0, 9.0], [50.0, 60.0], [3.0, 4.0], [50.0, 55.0]])
    with_zeros = np.concatenate([without, [[0.0], [40.0], [0.0], [45.0]]], axis=1)
    for method in ("mantel_haenszel", "peto", "glmm_unconditional", "glmm_conditional"):
        one, other = (meta_analysis_counts(*tables, method=method) for tables in (without, with_zeros))
        assert_allclose([one.estimate, one.std_error, one.q], [other.estimate, other.std_error, other.q], rtol=MAXIMUM)
    one, other = (meta_analysis_counts(*tables, measure="RD") for tables in (without, with_zeros))
    assert 0 < other.estimate < one.estimate
    assert other.n_studies == 3
    dropped = meta_analysis_counts(*with_zeros, measure="RD", drop00=True)
    assert_allclose(dropped.estimate, one.estimate, rtol=EXACT)


@all_methods
def test_no_events_at_all_are_a_status_and_no_number(method, measure):
    found = meta_analysis_counts([[0, 0]], [[10, 20]], [[0, 0]], [[12, 18]], method=method, measure=measure)
    if (method, measure) == ("mantel_haenszel", "RD"):
        assert found.status == MetaStatus.NO_VARIATION
        assert_array_equal([found.estimate, found.std_error], [[0.0], [0.0]])
    else:
        assert found.status in (MetaStatus.EMPTY_CELL, MetaStatus.TOO_FEW_STUDIES)
        assert np.isnan(found.estimate)
    assert np.isnan([found.lower, found.upper, found.p_value]).all()


@all_methods
def test_no_study_at_all_is_a_status(method, measure):
    nothing = np.full((1, 3), np.nan)
    found = meta_analysis_counts(nothing, nothing, nothing, nothing, method=method, measure=measure)
    assert found.status == MetaStatus.TOO_FEW_STUDIES
    assert np.isnan(found.estimate)


@all_methods
def test_no_events_under_active_make_ratios_infinite_and_are_a_status(method, measure):
    found = meta_analysis_counts([0, 0], [10, 20], [3, 4], [12, 18], method=method, measure=measure)
    if (method, measure) == ("mantel_haenszel", "RD"):
        assert_allclose(found.estimate, -(3 * 10 / 22 + 4 * 20 / 38) / (120 / 22 + 360 / 38), rtol=EXACT)
    elif method == "peto":
        assert found.estimate < 0
    else:
        assert found.status == MetaStatus.EMPTY_CELL
        assert np.isnan([found.estimate, found.std_error, found.q]).all()


def test_a_zero_cell_in_some_studies_leaves_all_methods_finite():
    for method in METHODS:
        found = meta_analysis_counts([0, 5, 7], [20, 40, 50], [3, 4, 9], [20, 40, 50], method=method)
        assert found.status == MetaStatus.OK
        assert np.isfinite([found.estimate, found.std_error]).all()


def test_all_or_nothing_in_every_arm_is_no_beta_binomial():
    found = meta_analysis_counts([0, 20, 20], [20, 20, 20], [0, 0, 20], [20, 20, 20], method="beta_binomial")
    assert found.status == MetaStatus.NOT_CONVERGED
    assert np.isnan(found.estimate)


def test_a_correction_of_the_pooled_tables_is_that_of_corrected_counts():
    tables = np.array([[0.0, 5.0], [20.0, 30.0], [2.0, 6.0], [20.0, 30.0]])
    found = meta_analysis_counts(*tables, add=(0.5, 0.5), to=("only0", "only0"))
    a, b, c, d = np.array([0.5, 5]), np.array([20.5, 25]), np.array([2.5, 6]), np.array([18.5, 24])
    n = a + b + c + d
    assert_allclose(found.estimate, log((a * d / n).sum() / (b * c / n).sum()), rtol=EXACT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "mantel"}, "method"),
        ({"measure": "HR"}, "measure"),
        ({"method": "peto", "measure": "RR"}, "measure"),
        ({"to": ("only0", "never")}, "to"),
        ({"to": "only0"}, "two entries"),
        ({"method": "glmm_conditional", "to": ("only0", "all"), "add": (0.5, 0.5)}, "no correction"),
    ],
)
def test_wrong_words_are_told(arguments, words):
    with pytest.raises(ValueError, match=words):
        meta_analysis_counts([3, 4], [10, 20], [2, 1], [10, 20], **arguments)


def test_wrong_counts_are_told():
    with pytest.raises(ValueError, match="between 0"):
        meta_analysis_counts([30], [10], [2], [10])
    with pytest.raises(ValueError, match="whole numbers"):
        meta_analysis_counts([3.5], [10], [2], [10])
    with pytest.raises(ValueError, match="at least one study"):
        meta_analysis_counts([], [], [], [])
