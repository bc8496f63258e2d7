"""Two means: exact agreement with rational arithmetic, and what t tests must do when data are moved, scaled, swapped or incomplete."""

import numpy as np
import pytest
from double import means as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.means import t_test, two_arm_moments

ROUNDING = 1e-13  # a sum of at most 40 terms errs by 40 eps, 1e-14, and a difference of two means in units of the largest value likewise
few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
both_variances = pytest.mark.parametrize("variance", ["pooled", "welch"])


def block(seed):
    """Outcomes, a sixth of them missing, and arms 0, 1, 2 or none, with at least three outcomes in each of the first two arms."""
    rng = np.random.default_rng(seed)
    n_patients, n_replicates = rng.integers(9, 41), rng.integers(1, 10)
    arm = rng.integers(-1, 3, size=(n_patients, n_replicates)).astype(np.int8)
    outcome = np.where(rng.random(arm.shape) < 1 / 6, np.nan, rng.normal(rng.normal(), 2, size=arm.shape) + arm)
    arm[:6], outcome[:6] = np.tile([0, 1], 3)[:, np.newaxis], rng.normal(size=(6, n_replicates))
    return outcome.T, arm.T


def swapped(arm):
    return np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@few
@given(seeds)
def test_moments_are_those_of_rational_arithmetic(seed):
    outcome, arm = block(seed)
    n, mean, squares = two_arm_moments(outcome, arm, 1)
    for r in range(len(outcome)):
        exact = [twin.moments(values) for values in twin.by_arm(outcome[r], arm[r], 1)]
        assert_array_equal(n[r], [m[0] for m in exact])
        assert_allclose(mean[r], [float(m[1]) for m in exact], rtol=0, atol=ROUNDING * np.nanmax(np.abs(outcome[r])))
        assert_allclose(squares[r], [float(m[2]) for m in exact], rtol=ROUNDING)


@both_variances
@few
@given(seeds)
def test_t_tests_are_those_of_rational_arithmetic(variance, seed):
    outcome, arm = block(seed)
    found = t_test(outcome, arm, 1, variance)
    exact = np.array([twin.t_test(y, a, 1, variance) for y, a in zip(outcome, arm, strict=True)]).T
    assert_allclose(found.estimate, exact[0], rtol=0, atol=ROUNDING * np.nanmax(np.abs(outcome)))
    assert_allclose(found.std_error, exact[1], rtol=ROUNDING)
    assert_allclose(found.df, exact[2], rtol=ROUNDING)
    assert_array_equal(found.status, Status.OK)


def test_a_large_mean_costs_no_digits_of_the_standard_error():
    outcome, arm = block(1)
    outcome = outcome + 1e8
    exact = [twin.t_test(y, a, 1)[1] for y, a in zip(outcome, arm, strict=True)]
    assert_allclose(t_test(outcome, arm, 1).std_error, exact, rtol=ROUNDING)
    one_pass = [one_pass_std_error(y, a) for y, a in zip(outcome, arm, strict=True)]
    assert not np.allclose(one_pass, exact, rtol=1e-3)


def one_pass_std_error(outcome, arm):
    """The wrong version: sum of squares less n times the squared mean."""
    groups = [outcome[(arm == code) & ~np.isnan(outcome)] for code in (0, 1)]
    squares = sum((y**2).sum() - y.size * y.mean() ** 2 for y in groups)
    return np.sqrt(np.abs(squares) / (sum(y.size for y in groups) - 2) * sum(1 / y.size for y in groups))


@both_variances
@few
@given(seeds)
def test_swapping_the_arms_flips_the_sign(variance, seed):
    outcome, arm = block(seed)
    found, mirrored = t_test(outcome, arm, 1, variance), t_test(outcome, swapped(arm), 1, variance)
    assert_same(mirrored, found._replace(estimate=-found.estimate))


@both_variances
@few
@given(seeds, st.floats(-50, 50), st.floats(0.01, 100))
def test_shifting_changes_nothing_and_scaling_scales(variance, seed, shift, scale):
    outcome, arm = block(seed)
    found, moved = t_test(outcome, arm, 1, variance), t_test(shift + scale * outcome, arm, 1, variance)
    largest = np.abs(shift) + scale * np.nanmax(np.abs(outcome))
    assert_allclose(moved.estimate, scale * found.estimate, rtol=0, atol=ROUNDING * largest)
    assert_allclose(moved.std_error, scale * found.std_error, rtol=ROUNDING * (1 + largest / (scale * found.std_error.min())))
    assert_allclose(moved.df, found.df, rtol=ROUNDING * (1 + largest / (scale * found.std_error.min())))


@few
@given(seeds)
def test_patients_without_outcome_or_arm_change_no_bit(seed):
    outcome, arm = block(seed)
    added_outcome = np.column_stack([np.full(len(outcome), np.nan), outcome, np.full(len(outcome), 7.0)])
    added_arm = np.column_stack([np.ones(len(arm)), arm, np.full(len(arm), -1)]).astype(np.int8)
    assert_same(t_test(added_outcome, added_arm, 1), t_test(outcome, arm, 1))


@few
@given(seeds)
def test_the_order_of_patients_matters_in_the_last_bits_only(seed):
    outcome, arm = block(seed)
    order = np.random.default_rng(seed).permutation(outcome.shape[1])
    found, shuffled = t_test(outcome, arm, 1), t_test(outcome[:, order], arm[:, order], 1)
    assert_allclose(shuffled.estimate, found.estimate, rtol=0, atol=ROUNDING * np.nanmax(np.abs(outcome)))
    assert_allclose(shuffled.std_error, found.std_error, rtol=ROUNDING)


@few
@given(seeds)
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed):
    outcome, arm = block(seed)
    found = t_test(outcome, arm, 1, "welch")
    assert_same(t_test(np.ascontiguousarray(outcome), np.ascontiguousarray(arm), 1, "welch"), found)
    for r in range(len(outcome)):
        assert_same(t_test(outcome[r : r + 1], arm[r : r + 1], 1, "welch"), [x[r : r + 1] for x in found])


@both_variances
def test_what_cannot_be_estimated_is_nan_with_its_reason(variance):
    arm = np.array([[0, 0, 0, 1, 1, 1]] * 5, dtype=np.int8)
    outcome = np.array(
        [
            [1, 2, 3, 4, 5, 6],
            [1, 2, 3, 4, np.nan, np.nan],
            [np.nan, np.nan, np.nan, 4, 5, 6],
            [0.1, 0.1, 0.1, 0.3, 0.3, 0.3],
            [0.1, 0.1, 0.1, 0.3, 0.3, 0.4],
        ]
    )
    found = t_test(outcome, arm, 1, variance)
    assert_array_equal(found.status, [Status.OK, Status.TOO_FEW_PATIENTS, Status.TOO_FEW_PATIENTS, Status.NO_VARIATION, Status.OK])
    for values in found[:3]:
        assert_array_equal(np.isnan(values), found.status != Status.OK)
