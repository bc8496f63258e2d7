"""Rank comparisons: agreement with all pairs of patients, and what depends on order alone must do."""

import numpy as np
import pytest
from double import ranks as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.quantiles import normal_p_value, t_p_value
from simtrials.stats.ranks import mann_whitney

ROUNDING = 1e-12  # sums are exact; a standard error comes from a handful of operations, and the twin's from means of at most 60 numbers
few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def block(seed, tied=True):
    """Outcomes on a scale (or without ties), some missing, and arms 0, 1, 2 or none; the arms overlap."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(12, 60), rng.integers(1, 10))
    arm = rng.integers(-1, 3, size=shape).astype(np.int8)
    outcome = rng.normal(size=shape) * 3 + arm
    outcome = np.where(rng.random(shape) < 1 / 10, np.nan, np.round(outcome) if tied else outcome)
    arm[:8], outcome[:8] = np.tile([0, 1, 1, 0], 2)[:, np.newaxis], np.arange(8)[:, np.newaxis]
    return outcome.T, arm.T


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("continuity", [False, True])
@few
@given(seeds, st.booleans())
def test_it_agrees_with_all_pairs_and_with_scipy(continuity, seed, tied):
    outcome, arm = block(seed, tied)
    found = mann_whitney(outcome, arm, 1, continuity)
    for r in range(len(outcome)):
        index, std_error = twin.probability_index(outcome[r], arm[r], 1)
        u, p_value, placements, p_value_of_placements = twin.results(outcome[r], arm[r], 1, continuity)
        assert found.u[r] == u
        assert_allclose(found.probability_index[r], index, rtol=ROUNDING)
        assert_allclose(found.placement_std_error[r], std_error, rtol=ROUNDING)
        assert_allclose(normal_p_value(found.wilcoxon_z[r]), p_value, rtol=ROUNDING)
        statistic = (found.probability_index[r] - 0.5) / found.placement_std_error[r]
        assert_allclose(statistic, placements, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(t_p_value(statistic, found.placement_df[r]), p_value_of_placements, rtol=10 * ROUNDING)


@few
@given(seeds)
def test_swapping_the_arms_turns_the_index_round(seed):
    outcome, arm = block(seed)
    found = mann_whitney(outcome, arm, 1)
    mirrored = mann_whitney(outcome, np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8), 1)
    assert_array_equal(mirrored.wilcoxon_z, -found.wilcoxon_z)
    assert_array_equal(mirrored.placement_std_error, found.placement_std_error)
    assert_allclose(mirrored.probability_index, 1 - found.probability_index, rtol=ROUNDING)


@few
@given(seeds)
def test_only_order_matters(seed):
    outcome, arm = block(seed)
    assert_same(mann_whitney(np.exp(outcome) - 3, arm, 1), mann_whitney(outcome, arm, 1))
    top = np.where(outcome == np.nanmax(outcome, axis=1, keepdims=True), np.inf, outcome)
    assert_same(mann_whitney(top, arm, 1), mann_whitney(outcome, arm, 1))


@few
@given(seeds)
def test_the_order_of_patients_and_patients_without_outcome_change_no_bit(seed):
    outcome, arm = block(seed)
    found = mann_whitney(outcome, arm, 1)
    order = np.random.default_rng(seed).permutation(outcome.shape[1])
    assert_same(mann_whitney(outcome[:, order], arm[:, order], 1), found)
    added = np.column_stack([np.full(len(outcome), np.nan), outcome, np.zeros(len(outcome))])
    assert_same(mann_whitney(added, np.column_stack([arm[:, 0], arm, np.full(len(arm), -1)]).astype(np.int8), 1), found)


@few
@given(seeds)
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed):
    outcome, arm = block(seed)
    found = mann_whitney(outcome, arm, 1)
    assert_same(mann_whitney(outcome.copy(), arm.copy(), 1), found)
    for r in range(len(outcome)):
        assert_same(mann_whitney(outcome[[r]], arm[[r]], 1), [x[[r]] for x in found])


def test_events_give_the_pooled_z_test_and_the_unpooled_standard_error():
    """With two values the test is that of two proportions, but for (n - 1) / n, which fails without the correction for ties."""
    rng = np.random.default_rng(1)
    arm = np.tile(np.repeat([0, 1], [30, 50]), (20, 1)).astype(np.int8)
    outcome = (rng.random(arm.shape) < 0.2 + 0.3 * arm).astype(float)
    risk = np.array([outcome[:, :30].mean(axis=1), outcome[:, 30:].mean(axis=1)])
    pooled = outcome.mean(axis=1)
    z = (risk[1] - risk[0]) / np.sqrt(pooled * (1 - pooled) * (1 / 30 + 1 / 50))
    found = mann_whitney(outcome, arm, 1)
    assert_allclose(found.wilcoxon_z, z * np.sqrt(79 / 80), rtol=ROUNDING)
    assert_allclose(found.placement_std_error, np.sqrt(risk[0] * (1 - risk[0]) / 29 + risk[1] * (1 - risk[1]) / 49) / 2, rtol=ROUNDING)
    untied = (found.u - 750) / np.sqrt(30 * 50 * 81 / 12)
    assert np.all(np.abs(untied) < 0.9 * np.abs(found.wilcoxon_z))


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.array([[0, 0, 0, 1, 1, 1]] * 4, dtype=np.int8)
    outcome = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, np.nan, np.nan], [5, 5, 5, 5, 5, 5], [1, 4, 2, 5, 3, 3]], dtype=float)
    found = mann_whitney(outcome, arm, 1)
    assert_array_equal(found.status, [Status.OK, Status.TOO_FEW_PATIENTS, Status.NO_VARIATION, Status.OK])
    for values in (found.u, found.probability_index, found.wilcoxon_z):
        assert_array_equal(np.isnan(values), found.status != Status.OK)
    assert_array_equal(found.u[[0, 3]], [9, 7])
    assert_array_equal(np.isnan(found.placement_std_error), [True, True, True, False])  # the first has no overlap
