"""Van Elteren's test: one stratum is the Wilcoxon test, agreement with scores and pairs, and what depends on order within strata must do."""

import numpy as np
import pytest
from double import stratified_ranks as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.ranks import mann_whitney
from simtrials.stats.stratified_ranks import FEW, ordered_by, van_elteren

ROUNDING = 1e-11  # sums by stratum are exact; weights, variances and the twin's means add at most a hundred rounding errors
few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
both_weights = pytest.mark.parametrize("weights", ["van_elteren", "equal"])


def block(seed, tied=True, n_strata=4):
    """Outcomes, some missing, arms 0, 1, 2 or none, strata of unequal size, some patients without; in each stratum the arms overlap."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(50, 120), rng.integers(1, 8))
    arm = rng.integers(-1, 3, size=shape).astype(np.int8)
    stratum = np.minimum(rng.integers(-1, n_strata, size=shape), rng.integers(0, n_strata, size=shape))
    outcome = rng.normal(size=shape) * 3 + arm + stratum
    outcome = np.where(rng.random(shape) < 1 / 10, np.nan, np.round(outcome) if tied else outcome)
    start = 4 * n_strata
    arm[:start], stratum[:start] = np.tile([0, 1, 1, 0], n_strata)[:, np.newaxis], np.repeat(np.arange(n_strata), 4)[:, np.newaxis]
    outcome[:start] = np.tile([1, 2, 3, 4], n_strata)[:, np.newaxis]
    return outcome.T, arm.T, stratum.T


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@both_weights
@few
@given(seeds, st.booleans())
def test_it_agrees_with_scores_and_pairs_stratum_by_stratum(weights, seed, tied):
    outcome, arm, stratum = block(seed, tied)
    found = van_elteren(outcome, arm, 1, stratum, weights)
    for r in range(len(outcome)):
        z = twin.z(outcome[r], arm[r], 1, stratum[r], weights == "equal")
        index, std_error = twin.index(outcome[r], arm[r], 1, stratum[r], weights == "equal")
        assert_allclose(found.z[r], z, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(found.probability_index[r], index, rtol=ROUNDING)
        assert_allclose(found.placement_std_error[r], std_error, rtol=ROUNDING)


@both_weights
@few
@given(seeds, st.booleans())
def test_one_stratum_is_the_wilcoxon_test(weights, seed, tied):
    outcome, arm, _ = block(seed, tied)
    found, expected = van_elteren(outcome, arm, 1, np.zeros_like(arm), weights), mann_whitney(outcome, arm, 1)
    assert_allclose(found.z, expected.wilcoxon_z, rtol=ROUNDING, atol=ROUNDING)
    assert_allclose(found.probability_index, expected.probability_index, rtol=ROUNDING)
    assert_allclose(found.placement_std_error, expected.placement_std_error, rtol=ROUNDING)


def test_with_events_it_is_a_weighted_sum_of_two_by_two_tables_which_fails_without_the_correction_for_ties():
    """The sum of ranks exceeds its expectation by n / 2 times the excess of events, with the hypergeometric variance of Mantel and Haenszel."""
    outcome, arm, stratum = block(1)
    events = np.where(np.isnan(outcome), np.nan, outcome > 4)
    found = van_elteren(events, arm, 1, stratum)
    excess, variance, untied = np.zeros((3, len(arm)))
    for s in range(4):
        kept = (stratum == s) & ~np.isnan(events) & (arm >= 0) & (arm < 2)
        n, n_active, happened = kept.sum(axis=1), (kept & (arm == 1)).sum(axis=1), (kept & (events == 1)).sum(axis=1)
        excess += n / (n + 1) / 2 * ((kept & (arm == 1) & (events == 1)).sum(axis=1) - n_active * happened / n)
        variance += (n / (n + 1) / 2) ** 2 * n_active * (n - n_active) * happened * (n - happened) / n**2 / (n - 1)
        untied += n_active * (n - n_active) / 12 / (n + 1)
    assert_allclose(found.z, excess / np.sqrt(variance), rtol=ROUNDING)
    assert np.all(np.abs(excess / np.sqrt(untied)) < 0.99 * np.abs(found.z))


def test_leaving_out_weights_or_strata_is_told_apart():
    outcome, arm, stratum = block(1)
    found = van_elteren(outcome, arm, 1, stratum)
    for wrong in (van_elteren(outcome, arm, 1, stratum, "equal").z, mann_whitney(outcome, arm, 1).wilcoxon_z):
        assert np.all(np.abs(found.z - wrong) > 1e8 * ROUNDING)


@both_weights
@few
@given(seeds)
def test_swapping_the_arms_turns_the_index_round(weights, seed):
    outcome, arm, stratum = block(seed)
    found = van_elteren(outcome, arm, 1, stratum, weights)
    mirrored = van_elteren(outcome, np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8), 1, stratum, weights)
    assert_allclose(mirrored.z, -found.z, rtol=ROUNDING, atol=ROUNDING)
    assert_allclose(mirrored.placement_std_error, found.placement_std_error, rtol=ROUNDING)
    assert_allclose(mirrored.probability_index, 1 - found.probability_index, rtol=ROUNDING)


@few
@given(seeds)
def test_only_order_within_strata_matters(seed):
    outcome, arm, stratum = block(seed)
    found = van_elteren(outcome, arm, 1, stratum)
    assert_same(van_elteren(np.exp(outcome) + 100 * stratum, arm, 1, stratum), found)


@few
@given(seeds)
def test_the_order_of_patients_and_patients_who_are_not_analysed_change_no_bit(seed):
    outcome, arm, stratum = block(seed)
    found = van_elteren(outcome, arm, 1, stratum)
    order = np.random.default_rng(seed).permutation(outcome.shape[1])
    assert_same(van_elteren(outcome[:, order], arm[:, order], 1, stratum[:, order]), found)
    one = np.ones(len(outcome))
    added = [np.column_stack([outcome, np.nan * one, one, one]), np.column_stack([arm, one, -one, one]).astype(np.int8)]
    assert_same(van_elteren(*added, 1, np.column_stack([stratum, 0 * one, 0 * one, -one]).astype(int)), found)


@few
@given(seeds, st.booleans())
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed, tied):
    outcome, arm, stratum = block(seed, tied)
    outcome[::2] = np.where(np.isnan(outcome[::2]), np.nan, np.clip(np.round(outcome[::2]), 0, 3))  # neighbours with few and many values
    found = van_elteren(outcome, arm, 1, stratum)
    assert_same(van_elteren(outcome.copy(), arm.copy(), 1, stratum.copy()), found)
    for r in range(len(outcome)):
        assert_same(van_elteren(outcome[[r]], arm[[r]], 1, stratum[[r]]), [x[[r]] for x in found])


def test_a_stratum_with_one_arm_says_nothing_and_one_with_a_single_patient_in_an_arm_has_no_standard_error():
    outcome, arm, stratum = block(2)
    found = van_elteren(outcome, arm, 1, stratum)
    added = np.column_stack([outcome, outcome[:, :2]]), np.column_stack([arm, np.zeros_like(arm[:, :2])])
    assert_same(van_elteren(*added, 1, np.column_stack([stratum, np.full((len(arm), 2), 7)])), found)
    added[1][:, -1] = 1
    single = van_elteren(*added, 1, np.column_stack([stratum, np.full((len(arm), 2), 7)]))
    assert np.isnan(single.placement_std_error).all()
    assert not np.isnan([single.z, single.probability_index]).any()


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.array([[0, 0, 0, 1, 1, 1]] * 5, dtype=np.int8)
    stratum = np.array([[0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1], [0] * 6])
    outcome = np.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, np.nan, np.nan], [5, 4, 5, 4, 5, 4], [1, 4, 2, 5, 3, 3], [1, 4, 2, 5, 3, 3]], dtype=float)
    found = van_elteren(outcome, arm, 1, stratum)
    assert_array_equal(found.status, [Status.OK, Status.TOO_FEW_PATIENTS, Status.NO_VARIATION, Status.TOO_FEW_PATIENTS, Status.OK])
    for values in (found.z, found.probability_index):
        assert_array_equal(np.isnan(values), found.status != Status.OK)
    assert_array_equal(np.isnan(found.placement_std_error), [True, True, True, True, False])


@few
@given(seeds, st.integers(1, 2 * FEW))
def test_patients_are_sorted_whether_values_are_few_or_many(seed, n_values):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((5, 40)) < 0.1, np.nan, rng.integers(0, n_values, size=(5, 40)) - 3.5)
    values[0] = np.nan
    order, start, n = ordered_by(values)
    for r in range(5):
        known = values[r][~np.isnan(values[r])]
        distinct, first = np.unique(np.sort(known), return_index=True)
        assert n[r] == distinct.size
        assert_array_equal(start[r, : n[r] + 1], [*first, known.size])
        assert_array_equal(values[r][order[r, : known.size]], np.sort(known))
        assert np.unique(order[r, : known.size]).size == known.size
