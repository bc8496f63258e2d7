"""Pairwise comparisons: agreement with every pair by itself, relations with ranks, tables and each other, and tests that keep their level."""

import numpy as np
import pytest
from double import rerandomisation as allocations
from double import win_ratio as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

from simtrials.core.status import Status
from simtrials.stats.ranks import mann_whitney
from simtrials.stats.stratified import mantel_haenszel_log_odds_ratio, stratified_counts
from simtrials.stats.stratified_ranks import van_elteren
from simtrials.stats.win_ratio import Level, compare_pairs, net_benefit, win_odds, win_ratio

ROUNDING = 1e-11  # sums by stratum are exact; weights, and the means and products of the twin, add at most a hundred rounding errors
few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
both_weights = pytest.mark.parametrize("weights", ["mantel_haenszel", "equal"])
MEASURES = (win_ratio, net_benefit, win_odds)
each_measure = pytest.mark.parametrize("measure", MEASURES)
N_STRATA = 3


def block(seed, tied=True, n_levels=2, missing=0.1):
    """Outcomes, some missing; arms 0, 1, 2 or none, strata of unequal size, some patients without. In each stratum either arm wins some pairs."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(60, 100), rng.integers(1, 5))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    stratum = np.minimum(rng.integers(-1, N_STRATA, size=shape), rng.integers(0, N_STRATA, size=shape))
    outcomes = rng.normal(size=(n_levels, *shape)) * 2 + arm / 2 + stratum
    outcomes = np.where(rng.random(outcomes.shape) < missing, np.nan, np.round(outcomes) if tied else outcomes)
    start = 4 * N_STRATA
    arm[:start], stratum[:start] = np.tile([0, 1, 1, 0], N_STRATA)[:, np.newaxis], np.repeat(np.arange(N_STRATA), 4)[:, np.newaxis]
    outcomes[:, :start] = np.tile([-9.0, -6.0, 6.0, 9.0], N_STRATA)[:, np.newaxis]
    return [outcome.T for outcome in outcomes], arm.T, stratum.T


def as_levels(outcomes, directions=None, margins=None):
    n = len(outcomes)
    return [Level(*each) for each in zip(outcomes, directions or [True] * n, margins or [0.0] * n, strict=True)]


def swapped(arm):
    return np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def assert_told_apart(found, wrong):
    """In every replicate by some share or variance; of few pairs, one or the other may be the same by chance."""
    assert np.all(np.abs(np.subtract(found[:6], wrong[:6])).max(axis=0) > 1e6 * ROUNDING)


# Pairs


@both_weights
@few
@given(seeds, st.integers(1, 3), st.booleans(), st.sampled_from([0.0, 1.0, 2.5]), st.booleans())
def test_it_agrees_with_every_pair_by_itself(weights, seed, n_levels, tied, margin, in_strata):
    outcomes, arm, stratum = block(seed, tied, n_levels)
    directions, margins = [True, False, True][:n_levels], [margin, 0.5, 0.0][:n_levels]
    found = compare_pairs(as_levels(outcomes, directions, margins), arm, 1, stratum if in_strata else None, weights)
    assert np.all(found.status == Status.OK)
    for r in range(len(arm)):
        one = [outcome[r] for outcome in outcomes]
        expected = twin.pairs(one, arm[r], 1, directions, margins, stratum[r] if in_strata else None, weights == "equal")
        assert_allclose([values[r] for values in found[:6]], expected, rtol=ROUNDING, atol=ROUNDING)


def test_leaving_out_margins_levels_strata_or_weights_is_told_apart():
    outcomes, arm, stratum = block(1, tied=False)
    given_levels = as_levels(outcomes, margins=[1.0, 0.0])
    found = compare_pairs(given_levels, arm, 1, stratum)
    wrong = [
        compare_pairs(as_levels(outcomes), arm, 1, stratum),
        compare_pairs(given_levels[:1], arm, 1, stratum),
        compare_pairs(given_levels[::-1], arm, 1, stratum),
        compare_pairs(given_levels, arm, 1),
        compare_pairs(given_levels, arm, 1, stratum, "equal"),
    ]
    for other in wrong:
        assert_told_apart(found, other)


def test_a_difference_of_exactly_the_margin_is_a_tie_and_the_next_outcome_decides():
    arm = np.array([[0, 0, 1, 1]], dtype=np.int8)
    first, second = np.array([[1.0, 4.0, 3.0, 6.0]]), np.array([[0.0, 1.0, 1.0, 0.0]])
    alone = compare_pairs([Level(first, margin=2.0)], arm, 1)  # of 3 and 6 against 1 and 4, only 6 is more than 2 ahead of anyone, of 1
    assert (alone.wins[0], alone.losses[0]) == (0.25, 0.0)
    both = compare_pairs([Level(first, margin=2.0), Level(second)], arm, 1)  # 3 is ahead of 1 by the second outcome, and 6 behind 4
    assert (both.wins[0], both.losses[0]) == (0.5, 0.25)
    less = compare_pairs([Level(first, margin=1.9)], arm, 1)
    assert (less.wins[0], less.losses[0]) == (0.75, 0.0)


def test_an_outcome_that_is_missing_in_either_decides_nothing_and_a_patient_without_any_is_left_out():
    arm = np.array([[0, 0, 1, 1, 1]], dtype=np.int8)
    first, second = np.array([[1.0, np.nan, 2.0, np.nan, np.nan]]), np.array([[5.0, 6.0, 4.0, 7.0, np.nan]])
    found = compare_pairs([Level(first), Level(second)], arm, 1)  # 2 > 1, then 4 < 6, and 7 > 5, 6
    assert (found.wins[0], found.losses[0]) == (0.75, 0.25)
    assert_same(compare_pairs([Level(first[:, :4]), Level(second[:, :4])], arm[:, :4], 1), found)


def test_two_outcomes_without_margins_are_one_outcome_in_the_order_of_words():
    outcomes, arm, stratum = block(2, missing=0.0)
    together = 1000 * outcomes[0] + outcomes[1]
    assert_same(compare_pairs([Level(together)], arm, 1, stratum), compare_pairs(as_levels(outcomes), arm, 1, stratum))


@few
@given(seeds)
def test_without_margins_only_order_matters(seed):
    outcomes, arm, stratum = block(seed)
    found = compare_pairs(as_levels(outcomes), arm, 1, stratum)
    assert_same(compare_pairs(as_levels([np.exp(outcomes[0]), np.arctan(outcomes[1])]), arm, 1, stratum), found)
    assert_same(compare_pairs(as_levels([-outcomes[0], outcomes[1]], [False, True]), arm, 1, stratum), found)


@few
@given(seeds)
def test_with_a_margin_only_shifts_and_a_change_of_unit_do_not_matter(seed):
    outcomes, arm, stratum = block(seed)
    found = compare_pairs(as_levels(outcomes, margins=[2.0, 0.0]), arm, 1, stratum)
    assert_same(compare_pairs(as_levels([4 * outcomes[0] + 1, outcomes[1]], margins=[8.0, 0.0]), arm, 1, stratum), found)


def test_with_a_margin_another_scale_is_another_question():
    outcomes, arm, stratum = block(1, tied=False)
    found = compare_pairs(as_levels(outcomes, margins=[2.0, 0.0]), arm, 1, stratum)
    assert_told_apart(found, compare_pairs(as_levels([np.exp(outcomes[0]), outcomes[1]], margins=[2.0, 0.0]), arm, 1, stratum))


@few
@given(seeds)
def test_the_order_of_patients_patients_who_are_not_analysed_and_outcomes_nobody_has_change_no_bit(seed):
    outcomes, arm, stratum = block(seed)
    found = compare_pairs(as_levels(outcomes), arm, 1, stratum)
    order = np.random.default_rng(seed).permutation(arm.shape[1])
    assert_same(compare_pairs(as_levels([outcome[:, order] for outcome in outcomes]), arm[:, order], 1, stratum[:, order]), found)
    one = np.ones(len(arm))
    added = [np.column_stack([outcome, one, one, one, np.nan * one]) for outcome in outcomes]
    arms, strata = np.column_stack([arm, -one, 2 * one, one, one]).astype(np.int8), np.column_stack([stratum, 0 * one, 0 * one, -one, 0 * one])
    assert_same(compare_pairs(as_levels(added), arms, 1, strata.astype(int)), found)
    nobody = np.full(arm.shape, np.nan)
    assert_same(compare_pairs(as_levels([nobody, outcomes[0], nobody, outcomes[1]]), arm, 1, stratum), found)


@few
@given(seeds)
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed):
    outcomes, arm, stratum = block(seed)
    found = compare_pairs(as_levels(outcomes), arm, 1, stratum)
    assert_same(compare_pairs(as_levels([outcome.copy() for outcome in outcomes]), arm.copy(), 1, stratum.copy()), found)
    for r in range(len(arm)):
        assert_same(compare_pairs(as_levels([outcome[[r]] for outcome in outcomes]), arm[[r]], 1, stratum[[r]]), [x[[r]] for x in found])


def test_another_active_arm_is_compared_with_the_same_control():
    outcomes, arm, stratum = block(3)
    renamed = np.choose(arm + 1, [-1, 0, 2, 1]).astype(np.int8)
    assert_same(compare_pairs(as_levels(outcomes), renamed, 2, stratum), compare_pairs(as_levels(outcomes), arm, 1, stratum))


def test_a_stratum_with_one_arm_says_nothing():
    outcomes, arm, stratum = block(4)
    found = compare_pairs(as_levels(outcomes), arm, 1, stratum)
    added = [np.column_stack([outcome, outcome[:, :2]]) for outcome in outcomes], np.column_stack([arm, np.zeros_like(arm[:, :2])])
    assert_same(compare_pairs(as_levels(added[0]), added[1], 1, np.column_stack([stratum, np.full((len(arm), 2), 7)])), found)


# What is concluded from pairs


@both_weights
@few
@given(seeds)
def test_swapping_the_arms_exchanges_wins_and_losses_and_flips_the_sign_of_every_measure(weights, seed):
    outcomes, arm, stratum = block(seed)
    found, mirrored = (compare_pairs(as_levels(outcomes, margins=[1.0, 0.0]), a, 1, stratum, weights) for a in (arm, swapped(arm)))
    assert_allclose([mirrored.wins, mirrored.losses], [found.losses, found.wins], rtol=ROUNDING)
    assert_allclose([mirrored.variance_of_wins, mirrored.variance_of_losses], [found.variance_of_losses, found.variance_of_wins], rtol=ROUNDING)
    for measure in MEASURES:
        one, other = measure(found), measure(mirrored)
        assert_allclose(other.estimate, -one.estimate, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose([other.std_error, other.null_std_error], [one.std_error, one.null_std_error], rtol=ROUNDING)


def test_a_better_active_arm_is_above_the_null_of_every_measure():
    arm = np.repeat([0, 1], 10)[np.newaxis].astype(np.int8)
    outcome = np.concatenate([np.arange(10.0), np.arange(10.0) + 3])[np.newaxis]
    for measure in MEASURES:
        assert measure(compare_pairs([Level(outcome)], arm, 1)).estimate[0] > 0.3
        assert measure(compare_pairs([Level(outcome, higher_wins=False)], arm, 1)).estimate[0] < -0.3


@few
@given(seeds, st.booleans())
def test_of_one_outcome_they_are_measures_of_the_probability_index_with_its_placement_error(seed, tied):
    """Net benefit is 2 AUC - 1 and win odds are AUC / (1 - AUC); the pairs won and half of the ties are Mann and Whitney's U."""
    (outcome,), arm, _ = block(seed, tied, n_levels=1)
    found, ranks = compare_pairs([Level(outcome)], arm, 1), mann_whitney(outcome, arm, 1)
    n_pairs = np.prod([((arm == code) & ~np.isnan(outcome)).sum(axis=1) for code in (0, 1)], axis=0)
    assert_allclose(n_pairs * (found.wins + (1 - found.wins - found.losses) / 2), ranks.u, rtol=ROUNDING)
    auc, benefit, odds = ranks.probability_index, net_benefit(found), win_odds(found)
    assert_allclose(benefit.estimate, 2 * auc - 1, rtol=0, atol=ROUNDING)
    assert_allclose(benefit.std_error, 2 * ranks.placement_std_error, rtol=ROUNDING)
    assert_allclose(odds.estimate, np.log(auc / (1 - auc)), rtol=0, atol=ROUNDING)
    assert_allclose(odds.std_error, ranks.placement_std_error / (auc * (1 - auc)), rtol=ROUNDING)


@few
@given(seeds)
def test_of_one_outcome_in_strata_with_equal_weights_net_benefit_is_the_index_of_rank_sums_within_strata(seed):
    (outcome,), arm, stratum = block(seed, n_levels=1)
    benefit, ranks = net_benefit(compare_pairs([Level(outcome)], arm, 1, stratum, "equal")), van_elteren(outcome, arm, 1, stratum, "equal")
    assert_allclose(benefit.estimate, 2 * ranks.probability_index - 1, rtol=0, atol=ROUNDING)
    assert_allclose(benefit.std_error, 2 * ranks.placement_std_error, rtol=ROUNDING)


def test_over_all_allocations_variances_average_to_what_is_known_of_ranks():
    """Of N distinct values the index has the variance (N + 1) / (12 m n) of Wilcoxon; placements estimate it with N + 2 in the place of N + 1.

    They count the part of a single pair, 1/4 - 1/12 - 1/12, in both arms. Two results that share a patient have an expected product of 1/3, so
    that the null variance of their difference is N / (3 m n). The wrong version does not make up for products of a pair with itself, left out.
    """
    arm = allocations.with_n_active(9, 4)
    outcome = np.tile(np.random.default_rng(5).normal(size=9), (len(arm), 1))
    found = compare_pairs([Level(outcome)], arm, 1)
    assert_allclose(found.wins.var(), 10 / (12 * 20), rtol=ROUNDING)
    assert_allclose(found.variance_of_wins.mean(), 11 / (12 * 20), rtol=ROUNDING)
    assert_allclose(found.null_variance.mean(), 9 / (3 * 20), rtol=ROUNDING)
    wrong = (9 - 2) / (3 * 20)
    assert wrong < 0.8 * found.null_variance.mean()


def of_events(seed, weights):
    """Logarithms of the stratified win ratio and of the odds ratio of Mantel and Haenszel."""
    (outcome,), arm, stratum = block(seed, n_levels=1)
    event = np.where(np.isnan(outcome), np.nan, outcome > 0)
    pooled = mantel_haenszel_log_odds_ratio(stratified_counts(event, arm, 1, stratum))
    return win_ratio(compare_pairs([Level(event)], arm, 1, stratum, weights)).estimate, pooled.estimate


@few
@given(seeds)
def test_of_events_within_strata_the_win_ratio_is_the_odds_ratio_of_mantel_and_haenszel(seed):
    assert_allclose(*of_events(seed, "mantel_haenszel"), rtol=0, atol=ROUNDING)


def test_with_equal_weights_the_win_ratio_of_events_is_another_odds_ratio():
    found, pooled = of_events(1, "equal")
    assert np.all(np.abs(found - pooled) > 1e6 * ROUNDING)


SCALES = {
    win_ratio: lambda wins, losses: np.log(wins / losses),
    net_benefit: lambda wins, losses: wins - losses,
    win_odds: lambda wins, losses: np.log((1 + wins - losses) / (1 - wins + losses)),
}


def delta_method(scale, wins, losses, covariance):
    """Standard error of a function of two shares, whose derivatives come from complex steps."""
    gradient = np.array([scale(wins + 1e-30j, losses).imag, scale(wins, losses + 1e-30j).imag]) / 1e-30
    return np.sqrt(gradient @ covariance @ gradient)


@each_measure
@few
@given(seeds)
def test_every_measure_is_its_function_of_wins_and_losses_with_the_error_of_the_delta_method(measure, seed):
    """The null error is that at as many wins as losses, where all have wins and losses in the place of their mean."""
    outcomes, arm, stratum = block(seed)
    pairs = compare_pairs(as_levels(outcomes, margins=[2.0, 0.0]), arm, 1, stratum)
    found = measure(pairs)
    assert np.all(found.status == Status.OK)
    for r in range(len(arm)):
        wins, losses, of_wins, of_losses, covariance, null = (values[r] for values in pairs[:6])
        assert_allclose(found.estimate[r], SCALES[measure](wins, losses), rtol=0, atol=ROUNDING)
        error = delta_method(SCALES[measure], wins, losses, np.array([[of_wins, covariance], [covariance, of_losses]]))
        assert_allclose(found.std_error[r], error, rtol=ROUNDING)
        share = (wins + losses) / 2
        error = delta_method(SCALES[measure], share, share, np.array([[null, -null], [-null, null]]) / 4)
        assert_allclose(found.null_std_error[r], error, rtol=ROUNDING)
        without = delta_method(SCALES[measure], wins, losses, np.diag([of_wins, of_losses]))
        assert abs(without / found.std_error[r] - 1) > 0.01  # the wrong version: wins and losses taken as independent


@few
@given(seeds)
def test_without_ties_the_win_ratio_is_the_win_odds_and_with_ties_it_is_further_from_one(seed):
    outcomes, arm, stratum = block(seed, tied=False, n_levels=1)
    found = compare_pairs(as_levels(outcomes), arm, 1, stratum)
    for one, other in zip(win_ratio(found), win_odds(found), strict=True):
        assert_allclose(one, other, rtol=ROUNDING, atol=ROUNDING)
    found = compare_pairs(as_levels(outcomes, margins=[1.0]), arm, 1, stratum)
    ratio, odds = win_ratio(found), win_odds(found)
    differs = (found.wins + found.losses < 1 - ROUNDING) & (np.abs(found.wins - found.losses) > ROUNDING)
    assert np.all((np.abs(ratio.estimate) > np.abs(odds.estimate))[differs])
    assert_array_equal(np.sign(ratio.estimate[differs]), np.sign(odds.estimate[differs]))
    assert_allclose(ratio.null_std_error / odds.null_std_error, 1 / (found.wins + found.losses), rtol=ROUNDING)


# What cannot be estimated


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 0, 0, 1, 1, 1], (9, 1)).astype(np.int8)
    arm[8] = [0, 0, 0, 2, 2, 2]
    stratum = np.tile([0, 0, 0, 0, 0, 0], (9, 1))
    stratum[2], stratum[3], stratum[4], stratum[5] = [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, -1], -1
    outcome = np.tile([1.0, 4.0, 2.0, 5.0, 3.0, 3.0], (9, 1))
    outcome[1, :2], outcome[6], outcome[7, 3:] = np.nan, 1.0, np.nan
    found = compare_pairs([Level(outcome)], arm, 1, stratum)
    few_patients = Status.TOO_FEW_PATIENTS
    expected = [Status.OK, few_patients, few_patients, few_patients, Status.OK, few_patients, Status.NO_VARIATION, few_patients, few_patients]
    assert_array_equal(found.status, expected)
    for values in (*found[:6], *(value for measure in MEASURES for value in measure(found)[:2])):
        assert_array_equal(np.isnan(values), found.status != Status.OK)
    for measure in MEASURES:
        assert_array_equal(measure(found).status, found.status)


def test_an_arm_without_wins_has_no_win_ratio_and_one_that_wins_every_pair_has_net_benefit_without_error():
    arm = np.tile([0, 0, 1, 1], (4, 1)).astype(np.int8)
    outcome = np.array([[1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 1.0, 2.0]])
    found = compare_pairs([Level(outcome)], arm, 1)
    assert np.all(found.status == Status.OK)
    reasons = {
        win_ratio: [Status.EMPTY_CELL] * 4,
        net_benefit: [Status.OK, Status.OK, Status.NO_VARIATION, Status.NO_VARIATION],
        win_odds: [Status.OK, Status.OK, Status.EMPTY_CELL, Status.EMPTY_CELL],
    }
    for measure, statuses in reasons.items():
        estimate = measure(found)
        assert_array_equal(estimate.status, statuses)
        assert_array_equal(np.isnan(estimate.estimate), estimate.status != Status.OK)
        assert_array_equal(np.isnan(estimate.std_error), estimate.status != Status.OK)
    assert_array_equal(net_benefit(found).estimate[:2], [0.75, -0.75])


def test_a_negative_null_variance_of_tiny_arms_is_no_standard_error():
    """Each patient beats one of the others and is beaten by one, in a circle that missing values close: products of results are negative."""
    arm = np.array([[0, 0, 1, 1]], dtype=np.int8)
    first, second = np.array([[1.0, np.nan, 2.0, np.nan]]), np.array([[5.0, 2.0, 1.0, 3.0]])
    found = compare_pairs([Level(first), Level(second)], arm, 1)
    assert (found.wins[0], found.losses[0], found.null_variance[0]) == (0.5, 0.5, -1.0)
    for measure in MEASURES:
        assert measure(found).status[0] == Status.OK
        assert measure(found).estimate[0] == 0.0
        assert np.isnan(measure(found).null_std_error[0])


# Level and coverage: of a normal outcome with a margin, and a second one that decides where the first does not

N_REPLICATES, N_ACTIVE, N_CONTROL, MARGIN, CRITICAL = 2000, 80, 40, 1.0, 1.959963984540054


def two_outcomes(seed, effect):
    """Outcomes and arms; the effect is in standard deviations of either outcome."""
    arm = np.tile(np.repeat([0, 1], [N_CONTROL, N_ACTIVE]), (N_REPLICATES, 1)).astype(np.int8)
    return np.random.default_rng(seed).normal(size=(2, *arm.shape)) + effect * arm, arm


def true_shares(effect):
    """Of pairs won and lost: the difference of two patients is normal with mean `effect` and variance 2."""
    first = ndtr((effect - MARGIN) / np.sqrt(2)), ndtr((-effect - MARGIN) / np.sqrt(2))
    undecided = 1 - sum(first)
    return first[0] + undecided * ndtr(effect / np.sqrt(2)), first[1] + undecided * ndtr(-effect / np.sqrt(2))


def error_without_control_arm(measure, outcomes, pairs):
    """The named wrong version: variances of wins and losses between active patients only, as if control were a fixed standard."""
    ahead, then = (outcome[:, N_CONTROL:, np.newaxis] - outcome[:, np.newaxis, :N_CONTROL] for outcome in outcomes)
    result = np.where(np.abs(ahead) > MARGIN, np.sign(ahead), np.sign(then))
    by_active = np.stack([(result == 1).mean(axis=2), (result == -1).mean(axis=2)])
    centred = by_active - by_active.mean(axis=2, keepdims=True)
    (of_wins, covariance), (_, of_losses) = np.einsum("irp,jrp->ijr", centred, centred) / (N_ACTIVE - 1) / N_ACTIVE
    return measure(pairs._replace(variance_of_wins=of_wins, variance_of_losses=of_losses, covariance=covariance)).std_error


def mcse(share):
    return np.sqrt(share * (1 - share) / N_REPLICATES)


@each_measure
def test_intervals_cover_the_truth_and_do_not_without_the_part_of_the_control_arm(measure):
    outcomes, arm = two_outcomes(11, effect=0.4)
    pairs = compare_pairs(as_levels(outcomes, margins=[MARGIN, 0.0]), arm, 1)
    found, truth = measure(pairs), SCALES[measure](*true_shares(0.4))
    covered = np.abs(found.estimate - truth) <= CRITICAL * found.std_error
    assert abs(covered.mean() - 0.95) < 4 * mcse(0.95)
    wrong = np.abs(found.estimate - truth) <= CRITICAL * error_without_control_arm(measure, outcomes, pairs)
    assert abs(wrong.mean() - 0.95) > 8 * mcse(0.95)


@each_measure
def test_the_test_with_the_null_error_keeps_its_level_and_does_not_without_the_part_of_the_control_arm(measure):
    outcomes, arm = two_outcomes(12, effect=0.0)
    pairs = compare_pairs(as_levels(outcomes, margins=[MARGIN, 0.0]), arm, 1)
    found = measure(pairs)
    rejected = np.abs(found.estimate) > CRITICAL * found.null_std_error
    assert abs(rejected.mean() - 0.05) < 4 * mcse(0.05)
    wrong = np.abs(found.estimate) > CRITICAL * error_without_control_arm(measure, outcomes, pairs)
    assert abs(wrong.mean() - 0.05) > 8 * mcse(0.05)


@each_measure
def test_within_strata_that_differ_intervals_cover_the_truth_and_do_not_where_strata_are_left_out(measure):
    """In every stratum the arms have the same sizes and the same effect, so that the truth is that of one stratum."""
    outcomes, arm = two_outcomes(13, effect=0.6)
    stratum = np.tile(np.arange(N_ACTIVE + N_CONTROL) % 2, (N_REPLICATES, 1))
    higher = outcomes[0] + 3 * stratum
    truth = SCALES[measure](*true_shares(0.6))
    found, wrong = (measure(compare_pairs(as_levels([higher, outcomes[1]], margins=[MARGIN, 0.0]), arm, 1, codes)) for codes in (stratum, None))
    covered, missed = (np.abs(each.estimate - truth) <= CRITICAL * each.std_error for each in (found, wrong))
    assert abs(covered.mean() - 0.95) < 4 * mcse(0.95)
    assert abs(missed.mean() - 0.95) > 8 * mcse(0.95)
