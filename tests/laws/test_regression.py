"""Least squares: agreement with the singular value decomposition, and the algebra of linear models."""

import numpy as np
import pytest
from double import regression as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.means import t_test
from simtrials.stats.regression import least_squares, least_squares_coefficients

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def block(seed, n_covariates=3):
    """Outcomes, arms (a third one and none among them) and covariates that go with each other and with the arm; some values missing."""
    rng = np.random.default_rng(seed)
    n_patients, n_replicates = rng.integers(24, 50), rng.integers(1, 10)
    shape = (n_patients, n_replicates)
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    common = rng.normal(size=shape)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape) + common + 0.3 * arm) for _ in range(n_covariates)]
    outcome = np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape) + common + 0.5 * arm)
    return outcome.T, arm.T, [column.T for column in covariates]


def rounding(arm, covariates):
    """What may be lost to rounding: 50 terms, and cross-products that square the condition number of the centred, scaled columns."""
    worst = 1.0
    for r in range(len(arm)):
        columns = np.array([arm[r] == 1, *(column[r] for column in covariates)], dtype=float)
        columns = columns[:, np.isin(arm[r], (0, 1)) & np.isfinite(columns.sum(axis=0))]
        worst = max(worst, np.linalg.cond(np.corrcoef(columns)) if len(columns) > 1 else 1.0)
    return 50 * np.finfo(float).eps * worst


def assert_close(found, expected, tolerance):
    """Estimates in units of their standard error."""
    assert_array_equal(found.status, expected.status)
    assert_allclose(found.estimate / found.std_error, expected.estimate / found.std_error, rtol=0, atol=10 * tolerance)
    assert_allclose(found.std_error, expected.std_error, rtol=tolerance)
    assert_array_equal(found.df, expected.df)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@few
@given(seeds, st.integers(0, 5))
def test_all_coefficients_are_those_of_the_singular_value_decomposition(seed, n_covariates):
    outcome, arm, covariates = block(seed, n_covariates)
    found = least_squares_coefficients(outcome, arm, 1, covariates)
    tolerance = rounding(arm, covariates)
    for r in range(len(outcome)):
        estimates, std_errors, df = twin.fit(outcome[r], arm[r], 1, [column[r] for column in covariates])
        assert_allclose([f.estimate[r] for f in found] / std_errors, estimates / std_errors, rtol=0, atol=10 * tolerance)
        assert_allclose([f.std_error[r] for f in found], std_errors, rtol=tolerance)
        assert {f.df[r] for f in found} == {df}


@few
@given(seeds)
def test_one_coefficient_is_the_same_as_among_all(seed):
    outcome, arm, covariates = block(seed)
    for tested, contrast in enumerate(least_squares_coefficients(outcome, arm, 1, covariates)):
        assert_same(least_squares(outcome, arm, 1, covariates, tested), contrast)


@few
@given(seeds)
def test_without_covariates_it_is_the_pooled_t_test(seed):
    outcome, arm, _ = block(seed)
    assert_close(least_squares(outcome, arm, 1), t_test(outcome, arm, 1), rounding(arm, []))


@few
@given(seeds)
def test_swapping_the_arms_flips_the_sign(seed):
    outcome, arm, covariates = block(seed)
    found = least_squares(outcome, arm, 1, covariates)
    mirrored = least_squares(outcome, np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8), 1, covariates)
    assert_close(mirrored, found._replace(estimate=-found.estimate), rounding(arm, covariates))


@few
@given(seeds, st.floats(-20, 20), st.floats(0.1, 10))
def test_shifting_and_scaling_act_as_algebra_says(seed, shift, scale):
    outcome, arm, covariates = block(seed)
    tolerance = rounding(arm, covariates) * (10 + abs(shift) / scale)
    found = least_squares(outcome, arm, 1, covariates)
    moved = [covariates[0], shift + scale * covariates[1], covariates[2]]
    assert_close(least_squares(outcome, arm, 1, moved), found, tolerance)
    larger = found._replace(estimate=scale * found.estimate, std_error=scale * found.std_error)
    assert_close(least_squares(shift + scale * outcome, arm, 1, covariates), larger, tolerance)
    slope = least_squares(outcome, arm, 1, covariates, tested=2)
    flatter = slope._replace(estimate=slope.estimate / scale, std_error=slope.std_error / scale)
    assert_close(least_squares(outcome, arm, 1, moved, tested=2), flatter, tolerance)


@few
@given(seeds)
def test_what_covariates_explain_can_be_taken_off_the_outcome_beforehand(seed):
    outcome, arm, covariates = block(seed)
    moved = outcome + 3 * covariates[0] - 2 * covariates[2]
    assert_close(least_squares(moved, arm, 1, covariates), least_squares(outcome, arm, 1, covariates), 20 * rounding(arm, covariates))


@few
@given(seeds)
def test_a_patient_with_a_missing_value_changes_no_bit(seed):
    outcome, arm, covariates = block(seed)
    missing = np.full(len(outcome), np.nan)
    added = [np.column_stack([column, missing]) for column in covariates]
    found = least_squares(np.column_stack([outcome, missing + 1]), np.column_stack([arm, np.ones_like(arm[:, 0])]), 1, added)
    assert_same(found, least_squares(outcome, arm, 1, covariates))


@few
@given(seeds)
def test_the_order_of_patients_matters_in_the_last_bits_only(seed):
    outcome, arm, covariates = block(seed)
    order = np.random.default_rng(seed).permutation(outcome.shape[1])
    shuffled = least_squares(outcome[:, order], arm[:, order], 1, [column[:, order] for column in covariates])
    assert_close(shuffled, least_squares(outcome, arm, 1, covariates), rounding(arm, covariates))


@few
@given(seeds)
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed):
    outcome, arm, covariates = block(seed)
    found = least_squares(outcome, arm, 1, covariates)
    assert_same(least_squares(*map(np.ascontiguousarray, (outcome, arm)), 1, [column.copy() for column in covariates]), found)
    for r in range(len(outcome)):
        assert_same(least_squares(outcome[[r]], arm[[r]], 1, [column[[r]] for column in covariates]), [x[r : r + 1] for x in found])


def test_the_interaction_with_a_condition_is_the_difference_of_two_differences():
    rng = np.random.default_rng(2)
    arm, high = rng.integers(0, 2, size=(2, 6, 60)).astype(np.int8)
    outcome = rng.normal(size=arm.shape) + arm * (1 + high)
    found = least_squares(outcome, arm, 1, [high, high * arm], tested=2)
    mean = [[[outcome[r, (arm[r] == a) & (high[r] == h)].mean() for h in (0, 1)] for a in (0, 1)] for r in range(len(arm))]
    assert_allclose(found.estimate, np.diff(np.diff(mean, axis=1), axis=2)[:, 0, 0], rtol=1e-12)


def test_twenty_covariates_are_no_trouble():
    rng = np.random.default_rng(3)
    outcome, arm, covariates = rng.normal(size=(3, 100)), rng.integers(0, 2, size=(3, 100)).astype(np.int8), list(rng.normal(size=(20, 3, 100)))
    found = least_squares(outcome, arm, 1, covariates)
    for r in range(3):
        estimates, std_errors, _ = twin.fit(outcome[r], arm[r], 1, [column[r] for column in covariates])
        assert_allclose([found.estimate[r], found.std_error[r]], [estimates[0], std_errors[0]], rtol=1e-11)


def dependent_columns():
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, 1, 30))
    arm = np.tile([0, 1], 15)[np.newaxis]
    return {
        "constant": [np.full_like(x, 0.1)],
        "repeated": [x, 5 - 3 * x],
        "a sum": [x, z, x + z],
        "the arm": [arm + 0.0],
        "an interaction with a constant": [x, 0.1 * arm],
        "a condition nobody meets": [x > 9],
        "far from zero": [x, 1e9 + 0 * x],
    }


@pytest.mark.parametrize("columns", dependent_columns().values(), ids=dependent_columns())
@pytest.mark.parametrize("tested", [0, 1])
def test_collinear_columns_are_reported_and_give_no_number(columns, tested):
    outcome, arm = np.random.default_rng(5).normal(size=(1, 30)), np.tile([0, 1], 15)[np.newaxis].astype(np.int8)
    found = least_squares(outcome, arm, 1, columns, tested)
    assert found.status[0] == Status.COLLINEAR
    assert np.isnan([found.estimate, found.std_error, found.df]).all()


@pytest.mark.parametrize("tested", [0, 1, 2])
def test_columns_that_are_nearly_collinear_keep_four_digits_up_to_the_limit(tested):
    rng = np.random.default_rng(6)
    x, noise, outcome = rng.normal(size=(3, 20, 40))
    arm = rng.integers(0, 2, size=(20, 40)).astype(np.int8)
    columns = [x, x + np.sqrt(1e-9) * noise]
    found = least_squares(outcome, arm, 1, columns, tested)
    assert_array_equal(found.status, Status.OK)
    std_errors = [twin.fit(outcome[r], arm[r], 1, [column[r] for column in columns])[1][tested] for r in range(20)]
    assert_allclose(found.std_error, std_errors, rtol=1e-4)
    nearer = [x, x + np.sqrt(1e-12) * noise]
    assert_array_equal(least_squares(outcome, arm, 1, nearer, tested).status, Status.COLLINEAR)


def test_too_few_patients_and_outcomes_without_residual_are_reported():
    rng = np.random.default_rng(7)
    arm = np.tile([0, 1], 3)[np.newaxis].astype(np.int8)
    x, z, v, outcome = rng.normal(size=(4, 1, 6))
    alone = np.where(arm == 1, outcome, [[1, np.nan, np.nan, np.nan, np.nan, np.nan]])
    cases = {
        Status.OK: (outcome, [x, z]),
        Status.TOO_FEW_PATIENTS: (outcome, [x, z, v, x * z]),
        Status.NO_VARIATION: (np.full_like(outcome, 0.1), [x]),
    }
    for status, (y, columns) in cases.items():
        assert least_squares(y, arm, 1, columns).status[0] == status
    assert least_squares(alone, arm, 1).status[0] == Status.TOO_FEW_PATIENTS
    assert least_squares(2 + arm - 3 * x, arm, 1, [x]).status[0] == Status.NO_VARIATION
