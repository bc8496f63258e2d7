"""Proportional odds regression: two categories are logistic regression, agreement with textbook probabilities, existence as by linear programming."""

import numpy as np
import pytest
from double import ordinal as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.logistic import logistic_regression
from simtrials.stats.ordinal import CONVERGED_BELOW, proportional_odds

LENGTH = np.sqrt(CONVERGED_BELOW)  # of the last step, in standard errors; the error of an estimate is its square, or rounding
ROUNDING = 1e-9  # of sums over patients, magnified by the solution of equations, and by differences of log-likelihoods
few = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
both_tests = pytest.mark.parametrize("test", ["wald", "likelihood_ratio"])


def block(seed, n_covariates=2, n_replicates=None, n_patients=None, n_categories=6):
    """Ordered outcomes, arms (a third one and none among them) and covariates that matter; some values missing."""
    rng = np.random.default_rng(seed)
    shape = (n_patients or rng.integers(35, 60), n_replicates or rng.integers(1, 5))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape)) for _ in range(n_covariates)]
    latent = rng.logistic(size=shape) + 0.7 * (arm == 1) + sum(np.nan_to_num(column) for column in covariates)
    outcome = np.clip(np.round((latent + 3) / 6 * n_categories), 0, n_categories - 1)
    outcome = np.where(rng.random(shape) < 0.03, np.nan, outcome)
    return outcome.T, arm.T, [column.T for column in covariates]


def assert_close(found, expected, tolerance=10 * LENGTH):
    """Estimates in units of their standard error."""
    assert_array_equal(found.status, expected.status)
    ok = found.status == Status.OK
    assert_allclose((found.estimate / found.std_error)[ok], (expected.estimate / found.std_error)[ok], rtol=0, atol=tolerance)
    assert_allclose(found.std_error[ok], expected.std_error[ok], rtol=tolerance)
    assert_allclose(found.statistic[ok], expected.statistic[ok], rtol=tolerance, atol=tolerance)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@few
@given(seeds, st.integers(0, 2), st.booleans())
def test_it_agrees_with_textbook_probabilities_and_complex_steps(seed, n_covariates, last):
    outcome, arm, covariates = block(seed, n_covariates)
    tested = n_covariates if last else 0
    found = proportional_odds(outcome, arm, 1, covariates, tested, "likelihood_ratio")
    for r in np.flatnonzero(found.status == Status.OK):
        expected = twin.fit(outcome[r], arm[r], 1, [column[r] for column in covariates], tested)
        assert_allclose(found.estimate[r] / expected[1], expected[0] / expected[1], rtol=0, atol=ROUNDING)
        assert_allclose(found.std_error[r], expected[1], rtol=10 * LENGTH)
        assert_allclose(found.statistic[r] ** 2, expected[2] ** 2, rtol=ROUNDING, atol=ROUNDING)
        assert found.statistic[r] * expected[2] >= 0


def test_as_many_categories_as_a_symptom_score_has_are_no_special_case():
    outcome, arm, covariates = block(1, n_replicates=2, n_patients=220, n_categories=60)
    found = proportional_odds(outcome, arm, 1, covariates[:1], test="likelihood_ratio")
    for r in range(2):
        assert np.unique(outcome[r][~np.isnan(outcome[r])]).size > 40
        expected = twin.fit(outcome[r], arm[r], 1, [covariates[0][r]])
        assert_allclose(found.estimate[r] / expected[1], expected[0] / expected[1], rtol=0, atol=ROUNDING)
        assert_allclose(found.std_error[r], expected[1], rtol=10 * LENGTH)
        assert_allclose(found.statistic[r] ** 2, expected[2] ** 2, rtol=ROUNDING)


@both_tests
@few
@given(seeds, st.integers(0, 2))
def test_two_categories_are_logistic_regression(test, seed, n_covariates):
    outcome, arm, covariates = block(seed, n_covariates, n_replicates=20)
    outcome = np.where(np.isnan(outcome), np.nan, outcome >= 3)
    expected = logistic_regression(outcome, arm, 1, covariates, n_covariates, test)
    assert_close(proportional_odds(7 * outcome - 2, arm, 1, covariates, n_covariates, test), expected)


def test_forgetting_that_the_cuts_are_estimated_would_be_told_apart():
    """The wrong version: the standard error from the information of the coefficient alone."""
    outcome, arm, _ = block(2, 0, n_replicates=1)
    category, matrix = twin.analysed(outcome[0], arm[0], 1, [])
    parameters, _ = twin.maximum(category, matrix)
    wrong = 1 / np.sqrt(-twin.second_derivative(parameters, category, matrix)[-1, -1])
    assert wrong < (1 - 1e5 * LENGTH) * proportional_odds(outcome, arm, 1).std_error[0]


@few
@given(seeds)
def test_only_order_matters_so_that_categories_without_patients_change_no_bit(seed):
    outcome, arm, covariates = block(seed)
    found = proportional_odds(outcome, arm, 1, covariates, test="likelihood_ratio")
    assert_same(proportional_odds(np.exp(outcome) - 3, arm, 1, covariates, test="likelihood_ratio"), found)
    top = np.where(outcome == np.nanmax(outcome, axis=1, keepdims=True), np.inf, outcome)
    assert_same(proportional_odds(top, arm, 1, covariates, test="likelihood_ratio"), found)


@both_tests
def test_swapping_the_arms_or_turning_the_scale_round_flips_the_sign(test):
    outcome, arm, covariates = block(3, n_replicates=60)
    found = proportional_odds(outcome, arm, 1, covariates, 0, test)
    negative = found._replace(estimate=-found.estimate, statistic=-found.statistic)
    other = np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)
    assert_close(proportional_odds(outcome, other, 1, covariates, 0, test), negative)
    assert_close(proportional_odds(-outcome, arm, 1, covariates, 0, test), negative)


def test_the_estimate_is_positive_when_the_active_arm_is_higher():
    arm = np.repeat([0, 1], 30)[np.newaxis].astype(np.int8)
    outcome = np.concatenate([np.tile([0, 1, 2], 10), np.tile([1, 2, 2], 10)])[np.newaxis].astype(float)
    assert proportional_odds(outcome, arm, 1).estimate[0] > 0


@both_tests
def test_shifting_and_scaling_a_covariate_changes_its_own_coefficient_only(test):
    outcome, arm, covariates = block(4, n_replicates=60)
    moved = [covariates[0], 40 - 5 * covariates[1]]
    for tested, factor in [(0, 1), (1, 1), (2, -5)]:
        found = proportional_odds(outcome, arm, 1, covariates, tested, test)
        scaled = found._replace(
            estimate=found.estimate / factor, std_error=found.std_error / abs(factor), statistic=found.statistic * np.sign(factor)
        )
        assert_close(proportional_odds(outcome, arm, 1, moved, tested, test), scaled)


def small_data_sets(n_sets, seed):
    """Small samples, whole-numbered or continuous covariates, effects strong enough that many are separated."""
    rng = np.random.default_rng(seed)
    for k in range(n_sets):
        n_patients, n_covariates = rng.integers(8, 20), k % 3
        arm = rng.integers(0, 2, size=n_patients)
        covariates = [rng.integers(0, 3, n_patients) if k % 2 else rng.normal(size=n_patients) for _ in range(n_covariates)]
        linear = arm + 2 * sum((column - column.mean() for column in covariates), np.zeros(n_patients)) + rng.logistic(size=n_patients) / 2
        yield np.clip(np.round(linear), -1, 2), arm, covariates


def test_separation_is_found_exactly_where_linear_programming_finds_it():
    counts = {Status.OK: 0, Status.SEPARATED: 0}
    for outcome, arm, covariates in small_data_sets(300, seed=20):
        columns = [column[np.newaxis] for column in covariates]
        status = proportional_odds(outcome[np.newaxis], arm[np.newaxis].astype(np.int8), 1, columns).status[0]
        if status in (Status.TOO_FEW_PATIENTS, Status.NO_VARIATION, Status.COLLINEAR):
            continue
        category, matrix = twin.analysed(outcome, arm, 1, covariates)
        assert status == (Status.SEPARATED if twin.is_separated(category, matrix) else Status.OK)
        counts[status] += 1
    assert min(counts.values()) > 40


@pytest.mark.parametrize("overlap", [1e-1, 1e-3, 1e-5])
def test_data_that_barely_overlap_are_estimated(overlap):
    x = np.concatenate([np.linspace(-3, -2, 10), [overlap], np.linspace(1, 2, 10), [-overlap], np.linspace(3, 4, 10)])[np.newaxis]
    outcome = np.concatenate([np.zeros(11), np.ones(11), np.full(10, 2.0)])[np.newaxis]
    arm = np.concatenate([np.arange(n) % 2 for n in (11, 11, 10)])[np.newaxis].astype(np.int8)
    assert proportional_odds(outcome, arm, 1, [x], tested=1).status[0] == Status.OK
    assert proportional_odds(outcome, arm, 1, [np.where(np.abs(x) < 0.5, 0.0, x)], tested=1).status[0] == Status.SEPARATED


def test_a_patient_with_a_missing_value_changes_no_bit():
    outcome, arm, covariates = block(5, n_replicates=40)
    missing = np.full(len(outcome), np.nan)
    added = [np.column_stack([column, missing]) for column in covariates]
    alone = proportional_odds(outcome, arm, 1, covariates)
    assert_same(proportional_odds(np.column_stack([outcome, missing]), np.column_stack([arm, arm[:, 0]]), 1, added), alone)
    assert_same(proportional_odds(np.column_stack([outcome, np.ones_like(missing)]), np.column_stack([arm, arm[:, 0]]), 1, added), alone)


@both_tests
def test_the_order_of_patients_hardly_matters(test):
    outcome, arm, covariates = block(6, n_replicates=60)
    order = np.random.default_rng(6).permutation(outcome.shape[1])
    shuffled = proportional_odds(outcome[:, order], arm[:, order], 1, [column[:, order] for column in covariates], 0, test)
    assert_close(shuffled, proportional_odds(outcome, arm, 1, covariates, 0, test))


def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory():
    """Among neighbours with more or fewer categories, and some that are separated."""
    outcome, arm, covariates = block(7, n_replicates=41, n_patients=26, n_categories=20)
    covariates[0] = np.where(np.arange(41)[:, np.newaxis] % 9 == 0, outcome, covariates[0])
    outcome[::5] = np.where(np.isnan(outcome[::5]), np.nan, outcome[::5] > 9)
    outcome[::7] = 1.0
    found = proportional_odds(outcome, arm, 1, covariates, 0, "likelihood_ratio")
    assert {Status.OK, Status.SEPARATED, Status.NO_VARIATION} <= set(found.status)
    assert_same(proportional_odds(outcome.copy(), arm.copy(), 1, [column.copy() for column in covariates], 0, "likelihood_ratio"), found)
    for r in range(len(outcome)):
        alone = proportional_odds(outcome[[r]], arm[[r]], 1, [column[[r]] for column in covariates], 0, "likelihood_ratio")
        assert_same(alone, [x[[r]] for x in found])


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 1], 9)[np.newaxis].astype(np.int8)
    rng = np.random.default_rng(8)
    x, outcome = rng.normal(size=(1, 18)), np.array([[0, 0, 1, 1, 2, 2] * 3], dtype=float)
    cases = [
        (Status.OK, outcome, [x]),
        (Status.NO_VARIATION, np.ones((1, 18)), [x]),
        (Status.SEPARATED, arm.astype(float), []),
        (Status.SEPARATED, arm * 2.0 + (np.arange(18) > 9), []),
        (Status.SEPARATED, np.round(3 * x), [x]),
        (Status.COLLINEAR, outcome, [x, 1 - x]),
        (Status.COLLINEAR, outcome, [arm * 2.0]),
        (Status.TOO_FEW_PATIENTS, np.where(arm == 1, outcome, np.nan), [x]),
        (Status.TOO_FEW_PATIENTS, outcome, list(rng.normal(size=(17, 1, 18)))),
    ]
    for status, y, columns in cases:
        found = proportional_odds(y, arm, 1, columns, test="likelihood_ratio")
        assert found.status[0] == status
        assert np.isnan([found.estimate, found.std_error, found.statistic]).all() == (status != Status.OK)
