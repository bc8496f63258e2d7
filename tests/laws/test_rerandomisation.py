"""Randomization tests: exact p-values where every allocation is drawn, levels that hold whatever the draws, and what must not matter."""

import numpy as np
import pytest
from double import rerandomisation as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata

from simtrials.core.status import Status
from simtrials.stats import rerandomisation
from simtrials.stats.rerandomisation import (
    AT_ONCE,
    RandomizationTest,
    adjusted_scores,
    linear_randomization_test,
    permuted,
    randomization_test,
    ranked_scores,
)

ROUNDING = 1e-12  # of a difference of two means of at most a hundred scores
few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
KINDS = ("mean_difference", "total")
each_kind = pytest.mark.parametrize("kind", KINDS)
BLOCK = 4


def in_blocks(shape):
    """Draws arms of trials (replicate, patient) in blocks of 4, two of each arm."""

    def assign(rng, n):
        luck = rng.random((n, shape[0], shape[1] // BLOCK, BLOCK))
        return (luck.argsort(axis=-1).argsort(axis=-1) % 2).astype(np.int8).reshape(n, *shape)

    return assign


def complete(shape):
    """Draws the arm of every patient by itself."""
    return lambda rng, n: (rng.random((n, *shape)) < 0.5).astype(np.int8)


def statistic_of(score, active=1, kind="mean_difference"):
    """The statistic of `linear_randomization_test` as a function of arms, for trials in which everybody is in an arm."""
    known, score = ~np.isnan(score), np.nan_to_num(score)
    centred = np.where(known, score - score.sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True), 0.0)

    def statistic(arm):
        of_active, of_control = known & (arm == active), known & (arm == 0)
        n_active, n_control = of_active.sum(axis=1), of_control.sum(axis=1)
        n_active, n_control = (np.where(np.minimum(n_active, n_control) > 0, n, np.nan) for n in (n_active, n_control))
        total = (centred * of_active).sum(axis=1)
        return total / n_active - (centred * of_control).sum(axis=1) / n_control if kind == "mean_difference" else total + 0 * n_active

    return statistic


def block(seed, tied=False, missing=0.1, n_draws=30):
    """Scores, some missing, arms 0, 1, 2 or none, and draws that permute the arms of each trial."""
    rng = np.random.default_rng(seed)
    shape = (rng.integers(1, 6), rng.integers(16, 40))
    arm = rng.integers(-1, 3, size=shape).astype(np.int8)
    arm[:, :4] = [0, 1, 0, 1]
    score = rng.normal(size=shape) * 2 + arm
    score = np.where(rng.random(shape) < missing, np.nan, np.round(score) if tied else score)
    score[:, :4] = np.round(rng.normal(size=(shape[0], 4)), 1)
    return score, arm, rng.permuted(np.broadcast_to(arm, (n_draws, *shape)), axis=2)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def assert_same_but_for_the_order_of_sums(found, expected):
    assert_array_equal(found.p_value, expected.p_value)
    assert_array_equal(found.status, expected.status)
    assert_allclose(found.statistic, expected.statistic, rtol=0, atol=100 * ROUNDING)


# Exact p-values


def all_others(arms):
    """Of trials that have one allocation each, (draw, trial, patient): all but the one that the trial has."""
    return np.stack([np.roll(arms, k, axis=0) for k in range(1, len(arms))])


ALLOCATIONS = {"eight choose four": twin.with_n_active(8, 4), "seven choose three": twin.with_n_active(7, 3), "two blocks": twin.in_blocks(2, 4)}


@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("tied", [False, True])
@each_kind
def test_with_all_other_allocations_as_draws_the_p_value_is_exact(name, tied, kind):
    """One trial for every allocation, all with the same patients."""
    arms = ALLOCATIONS[name]
    score = np.random.default_rng(1).normal(size=arms.shape[1]) * 3
    score = np.round(score) if tied else score
    by_hand = np.array([score[arm == 1].mean() - score[arm == 0].mean() for arm in arms])
    if kind == "total":
        by_hand = np.array([(score[arm == 1] - score.mean()).sum() for arm in arms])
    scores = np.tile(score, (len(arms), 1))
    found = linear_randomization_test(scores, arms, 1, all_others(arms), kind=kind)
    assert_allclose(found.statistic, by_hand, rtol=0, atol=ROUNDING * 10)
    assert_allclose(found.p_value, twin.exact_p_values(by_hand), rtol=ROUNDING)
    general = randomization_test(statistic_of(scores, kind=kind), arms, all_others(arms))
    assert_allclose(general.p_value[by_hand != 0], found.p_value[by_hand != 0], rtol=ROUNDING)


@pytest.mark.parametrize("name", ALLOCATIONS)
@pytest.mark.parametrize("tied", [False, True])
def test_over_all_allocations_the_level_holds_at_every_p_value_and_not_without_ties_or_the_trial_itself(name, tied):
    """Wrong versions: draws that are as extreme do not count, and the allocation of the trial is not one of those that were possible."""
    arms = ALLOCATIONS[name]
    score = np.random.default_rng(2).normal(size=arms.shape[1]) * 3
    scores = np.tile(np.round(score) if tied else score, (len(arms), 1))
    p = linear_randomization_test(scores, arms, 1, all_others(arms)).p_value
    size = np.abs(statistic_of(scores)(arms))
    as_extreme, more_extreme = ((size > (size + margin)[:, np.newaxis]).sum(axis=1) for margin in (-1e-9, 1e-9))
    for u in np.unique(p):
        assert (p <= u).mean() <= u + ROUNDING
    for wrong in ((as_extreme - 1) / (len(arms) - 1), more_extreme / len(arms)):
        assert (wrong <= wrong.min()).mean() > wrong.min() + 0.5 / len(arms)


def test_a_strong_effect_has_the_smallest_p_value_there_is_and_a_sign():
    arms = twin.with_n_active(8, 4)
    score = np.where(arms == 1, 10.0, 0.0) + np.random.default_rng(3).normal(size=8)
    found = linear_randomization_test(score, arms, 1, all_others(arms))
    assert np.all(found.statistic > 5)
    assert_allclose(found.p_value, 2 / 70, rtol=ROUNDING)  # the trial, and the one with arms exchanged
    assert np.all(linear_randomization_test(-score, arms, 1, all_others(arms)).statistic < -5)


@few
@given(seeds, st.booleans(), st.integers(0, 25))
def test_p_values_are_whole_numbers_of_one_over_the_draws_and_the_trial_and_never_less(seed, tied, n_draws):
    """Also for numbers of draws that are no multiple of those whose sums are kept at once."""
    score, arm, drawn = block(seed, tied, n_draws=25)
    assert 3 * AT_ONCE < 25
    statistic = statistic_of(np.where(arm >= 0, score, np.nan))
    own, others = np.abs(statistic(arm)), np.abs([statistic(one) for one in drawn])
    found = linear_randomization_test(score, arm, 1, drawn[:n_draws])
    expected = 1 + (~(others[:n_draws] < own - 1e-9)).sum(axis=0)
    assert_allclose(found.p_value * (n_draws + 1), expected, rtol=ROUNDING)
    assert np.all(found.p_value >= 1 / (n_draws + 1))
    assert np.all(found.p_value <= 1)


# Levels, of trials with a strong trend over time; patients of a block are alike

N_TRIALS, N_PATIENTS, N_DRAWS = 4000, 24, 99
LEVELS = np.array([0.01, 0.02, 0.05, 0.1, 0.25, 0.5])  # multiples of 1 / (N_DRAWS + 1)
SHAPE = (N_TRIALS, N_PATIENTS)


def mcse(share):
    return np.sqrt(share * (1 - share) / N_TRIALS)


def with_trend(seed):
    """Outcomes that do not depend on the arm and rise by 12 standard deviations from the first patient to the last."""
    return np.random.default_rng(seed).normal(size=SHAPE) + np.linspace(0, 12, N_PATIENTS)


def rejected(outcome, trial, redrawn, seed, n_draws=N_DRAWS):
    """Share of trials with p at most each level; the trials have arms drawn by `trial`, the test draws by `redrawn`."""
    rng = np.random.default_rng(seed)
    arm = trial(SHAPE)(rng, 1)[0]
    p = linear_randomization_test(outcome, arm, 1, redrawn(SHAPE), n_draws, rng).p_value
    return (p[:, np.newaxis] <= LEVELS).mean(axis=0)


@pytest.mark.parametrize("scheme", [in_blocks, complete])
def test_redrawing_as_the_trial_drew_gives_every_level_exactly_when_outcomes_are_continuous(scheme):
    shares = rejected(with_trend(11), scheme, scheme, seed=12)
    assert np.all(np.abs(shares - LEVELS) < 4 * mcse(LEVELS))


def test_with_few_draws_and_tied_outcomes_no_level_is_exceeded():
    """A wrong version, in which draws that are as extreme as the trial do not count, exceeds them."""
    outcome = np.round(with_trend(13) / 6)
    shares = rejected(outcome, in_blocks, in_blocks, seed=14, n_draws=19)
    assert np.all(shares < LEVELS + 4 * mcse(LEVELS))
    rng = np.random.default_rng(14)
    arm = in_blocks(SHAPE)(rng, 1)[0]
    statistic = statistic_of(outcome)
    own, others = np.abs(statistic(arm)), np.abs([statistic(one) for one in in_blocks(SHAPE)(rng, 19)])
    wrong = (1 + (others > own + 1e-9).sum(axis=0)) / 20
    assert np.any((wrong[:, np.newaxis] <= LEVELS).mean(axis=0) > LEVELS + 8 * mcse(LEVELS))


def test_leaving_out_the_trial_itself_rejects_too_often():
    """The wrong version: the share of draws alone, which is 0 for one trial in twenty when there are 19."""
    rng = np.random.default_rng(15)
    arm = in_blocks(SHAPE)(rng, 1)[0]
    p = linear_randomization_test(with_trend(16), arm, 1, in_blocks(SHAPE), 19, rng).p_value
    assert (p <= 0.01).mean() == 0
    wrong = (20 * p - 1) / 19
    assert (wrong <= 0.01).mean() > 0.01 + 8 * mcse(0.01)


def test_complete_randomisation_in_the_place_of_blocks_hardly_ever_rejects():
    """The trend makes totals of redrawn arms vary far more than those of arms in blocks."""
    shares = rejected(with_trend(17), in_blocks, complete, seed=18)
    assert np.all(shares < LEVELS - 4 * mcse(LEVELS))


def test_blocks_in_the_place_of_complete_randomisation_reject_too_often():
    shares = rejected(with_trend(19), complete, in_blocks, seed=20)
    assert np.all(shares > LEVELS + 8 * mcse(LEVELS))


# Two ways to the same test


@few
@given(seeds, st.booleans(), st.sampled_from(KINDS), st.sampled_from([1, 2]))
def test_sums_by_arm_give_the_test_of_any_statistic(seed, tied, kind, active):
    score, arm, drawn = block(seed, tied)
    arm[:, 4:6], drawn[..., 4:6] = 2, 2
    score[:, 4:6] = 1.5
    found = linear_randomization_test(score, arm, active, drawn, kind=kind)
    expected = randomization_test(statistic_of(np.where(arm >= 0, score, np.nan), active, kind), arm, drawn)
    assert_allclose(found.statistic, expected.statistic, rtol=0, atol=ROUNDING * 100)
    settled = np.abs(found.statistic) > 1e-9
    assert_array_equal(found.p_value[settled], expected.p_value[settled])
    assert_array_equal(found.status, expected.status)


@each_kind
def test_the_same_generator_gives_the_same_draws_to_both(kind):
    rng = np.random.default_rng(21)
    shape = (50, 24)
    score, arm = rng.normal(size=shape), in_blocks(shape)(rng, 1)[0]
    found = linear_randomization_test(score, arm, 1, in_blocks(shape), 40, np.random.default_rng(22), kind)
    expected = randomization_test(statistic_of(score, kind=kind), arm, in_blocks(shape), 40, np.random.default_rng(22))
    drawn = linear_randomization_test(score, arm, 1, in_blocks(shape)(np.random.default_rng(22), 40), kind=kind)
    other = linear_randomization_test(score, arm, 1, in_blocks(shape), 40, np.random.default_rng(23), kind)
    assert_array_equal(found.p_value, expected.p_value)
    assert_same(drawn, found)
    assert np.any(other.p_value != found.p_value)


@pytest.mark.parametrize("largest_chunk", [1, 5000, 7 * 50 * 24])
def test_how_many_draws_are_held_in_memory_changes_no_bit(largest_chunk, monkeypatch):
    rng = np.random.default_rng(24)
    shape = (50, 24)
    score, arm = rng.normal(size=shape), in_blocks(shape)(rng, 1)[0]
    drawn = in_blocks(shape)(np.random.default_rng(25), 40)
    held = []

    def assign(rng, n):
        held.append(n)
        return in_blocks(shape)(rng, n)

    def tests():
        yield linear_randomization_test(score, arm, 1, drawn)
        yield linear_randomization_test(score, arm, 1, assign, 40, np.random.default_rng(25))
        yield randomization_test(statistic_of(score), arm, drawn)
        yield randomization_test(statistic_of(score), arm, assign, 40, np.random.default_rng(25))

    expected = list(tests())
    assert held == [40, 40]
    monkeypatch.setattr(rerandomisation, "LARGEST_CHUNK", largest_chunk)
    held.clear()
    for found, other in zip(tests(), expected, strict=True):
        assert_same(found, other)
    assert max(held) == max(1, largest_chunk // arm.size)
    assert sum(held) == 80


def test_a_function_that_draws_needs_to_be_told_how_often_and_by_which_generator():
    arm = np.array([[0, 0, 1, 1]], dtype=np.int8)
    score = np.arange(4.0)[np.newaxis]
    for missing in ({"n_draws": 9}, {"rng": np.random.default_rng(0)}, {}):
        with pytest.raises(ValueError, match="n_draws and rng"):
            linear_randomization_test(score, arm, 1, in_blocks(arm.shape), **missing)
        with pytest.raises(ValueError, match="n_draws and rng"):
            randomization_test(statistic_of(score), arm, in_blocks(arm.shape), **missing)


# What must not matter


@each_kind
@few
@given(seeds, st.booleans())
def test_location_unit_and_sign_of_scores_do_not_matter(kind, seed, tied):
    score, arm, drawn = block(seed, tied)
    found = linear_randomization_test(score, arm, 1, drawn, kind=kind)
    for changed, factor in ((score + 1000, 1), (-3 * score, -3), (1e6 * score - 5, 1e6)):
        other = linear_randomization_test(changed, arm, 1, drawn, kind=kind)
        assert_array_equal(other.p_value, found.p_value)
        assert_allclose(other.statistic, factor * found.statistic, rtol=0, atol=1e5 * ROUNDING * abs(factor))


@each_kind
@few
@given(seeds, st.booleans())
def test_exchanging_the_names_of_two_arms_flips_the_statistic_and_not_the_p_value(kind, seed, tied):
    """Of two arms with everybody in one, for only then are their totals the same but for the sign."""
    score, arm, drawn = block(seed, tied)
    arm, drawn = np.minimum(np.abs(arm), 1), np.minimum(np.abs(drawn), 1)
    found = linear_randomization_test(score, arm, 1, drawn, kind=kind)
    mirrored = linear_randomization_test(score, 1 - arm, 1, 1 - drawn, kind=kind)
    assert_allclose(mirrored.statistic, -found.statistic, rtol=0, atol=100 * ROUNDING)
    assert_array_equal(mirrored.p_value, found.p_value)


@each_kind
@few
@given(seeds, st.booleans())
def test_patients_without_score_or_arm_are_as_good_as_absent(kind, seed, tied):
    score, arm, drawn = block(seed, tied, missing=0.0)
    arm[:, -3], drawn[..., -3] = -1, -1
    found = linear_randomization_test(score, arm, 1, drawn, kind=kind)
    other = score.copy()
    other[:, -3] = 1e9
    assert_same(linear_randomization_test(other, arm, 1, drawn, kind=kind), found)
    score[:, -3] = np.nan
    assert_same(linear_randomization_test(score, arm, 1, drawn, kind=kind), found)
    score[:, -1] = np.nan
    without = linear_randomization_test(score[:, :-1], arm[:, :-1], 1, drawn[..., :-1], kind=kind)
    assert_same_but_for_the_order_of_sums(linear_randomization_test(score, arm, 1, drawn, kind=kind), without)


def test_missing_scores_taken_as_zero_are_told_apart():
    score, arm, drawn = block(26, missing=0.3, n_draws=200)
    found, wrong = (linear_randomization_test(values, arm, 1, drawn) for values in (score + 5, np.nan_to_num(score + 5)))
    assert np.all(np.abs(found.statistic - wrong.statistic) > 0.01)
    assert np.all(found.p_value != wrong.p_value)


@few
@given(seeds, st.booleans())
def test_the_order_of_patients_and_of_draws_does_not_matter(seed, tied):
    score, arm, drawn = block(seed, tied)
    found = linear_randomization_test(score, arm, 1, drawn)
    order = np.random.default_rng(seed).permutation(arm.shape[1])
    assert_same_but_for_the_order_of_sums(linear_randomization_test(score[:, order], arm[:, order], 1, drawn[::-1][..., order]), found)


@each_kind
@few
@given(seeds, st.booleans())
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(kind, seed, tied):
    score, arm, drawn = block(seed, tied)
    found = linear_randomization_test(score, arm, 1, drawn, kind=kind)
    transposed = np.asfortranarray(score), np.asfortranarray(arm), 1, np.asfortranarray(drawn)
    assert_same_but_for_the_order_of_sums(linear_randomization_test(*transposed, kind=kind), found)
    for r in range(len(arm)):
        alone = linear_randomization_test(score[[r]], arm[[r]], 1, drawn[:, [r]], kind=kind)
        assert_same_but_for_the_order_of_sums(alone, RandomizationTest(*(x[[r]] for x in found)))


# Scores, and draws where nothing is known of the allocation


@few
@given(seeds, st.booleans())
def test_ranks_of_scores_are_midranks_and_missing_ones_stay_missing(seed, tied):
    score, _, _ = block(seed, tied)
    assert_array_equal(ranked_scores(score), rankdata(score, axis=1, nan_policy="omit"))


def test_a_test_of_ranks_is_the_wilcoxon_test_and_does_not_change_with_the_scale():
    """Over all allocations of values without ties: the share of rank sums as far from their mean."""
    arms = twin.with_n_active(8, 4)
    scores = np.tile(np.random.default_rng(28).normal(size=8), (len(arms), 1))
    found = linear_randomization_test(ranked_scores(scores), arms, 1, all_others(arms), kind="total")
    sums = np.array([rankdata(scores[0])[arm == 1].sum() for arm in arms])
    assert_allclose(found.p_value, twin.exact_p_values(sums - 18), rtol=ROUNDING)
    assert_array_equal(ranked_scores(np.exp(scores)), ranked_scores(scores))
    of_means = linear_randomization_test(scores, arms, 1, all_others(arms))
    assert np.any(of_means.p_value != found.p_value)


@few
@given(seeds)
def test_adjusted_scores_are_residuals_of_least_squares_and_collinear_covariates_change_nothing(seed):
    score, _, _ = block(seed)
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, *score.shape)) + 5
    first[rng.random(score.shape) < 0.1] = np.nan
    found = adjusted_scores(score, [first, second])
    for r in range(len(score)):
        kept = ~np.isnan(score[r] + first[r])
        matrix = np.column_stack([np.ones(kept.sum()), first[r, kept], second[r, kept]])
        residuals = score[r, kept] - matrix @ np.linalg.lstsq(matrix, score[r, kept])[0]
        assert_array_equal(np.isnan(found[r]), ~kept)
        assert_allclose(found[r, kept], residuals, rtol=0, atol=1000 * ROUNDING)
    constant = np.full(score.shape, 0.1)
    again = adjusted_scores(score, [constant, first, second, 2 * first - second + 3])
    assert_allclose(again, found, rtol=0, atol=1000 * ROUNDING)
    assert_allclose(adjusted_scores(score, []), score - np.nanmean(score, axis=1, keepdims=True), rtol=0, atol=ROUNDING)


def test_adjusting_for_a_trend_makes_redrawing_find_an_effect_that_it_hides():
    rng = np.random.default_rng(29)
    shape = (200, N_PATIENTS)
    arm, trend = complete(shape)(rng, 1)[0], np.tile(np.linspace(0, 12, N_PATIENTS), (200, 1))
    score = rng.normal(size=shape) + trend + 2 * arm
    plain, adjusted = (
        linear_randomization_test(values, arm, 1, complete(shape), N_DRAWS, rng).p_value for values in (score, adjusted_scores(score, [trend]))
    )
    assert (plain <= 0.05).mean() < 0.5 < 0.8 < (adjusted <= 0.05).mean()


def test_permuted_arms_keep_their_sizes_and_all_their_orders_are_equally_likely():
    arm = np.array([[0, 0, 1, 1, -1], [2, 0, 0, 1, 0]], dtype=np.int8)
    n_draws = 3000
    drawn = permuted(arm)(np.random.default_rng(30), n_draws, np.zeros_like(arm))
    assert drawn.shape == (n_draws, *arm.shape)
    assert drawn.dtype == np.int8
    assert_array_equal(np.sort(drawn, axis=2), np.broadcast_to(np.sort(arm, axis=1), drawn.shape))
    assert np.any(drawn[:, 0].argsort(axis=1) != drawn[:, 1].argsort(axis=1))
    for r, n_orders in ((0, 30), (1, 20)):
        counts = np.unique(drawn[:, r], axis=0, return_counts=True)[1]
        assert counts.size == n_orders
        expected = n_draws / n_orders
        assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected * (1 - 1 / n_orders)))


# What cannot be estimated


@each_kind
def test_a_trial_with_an_empty_arm_has_no_p_value_and_one_without_variation_has_one(kind):
    arm = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [-1, -1, 1, 1], [0, 0, 1, 1]], dtype=np.int8)
    score = np.array([[1.0, 2.0, 3.0, 5.0], [1, 2, 3, 5], [1, 2, np.nan, np.nan], [np.nan] * 4, [1, 2, 3, 5], [0.7, 0.7, 0.7, 0.7]])
    drawn = np.random.default_rng(27).permuted(np.broadcast_to(arm, (20, *arm.shape)), axis=2)
    found = linear_randomization_test(score, arm, 1, drawn, kind=kind)
    empty = Status.TOO_FEW_PATIENTS
    assert_array_equal(found.status, [Status.OK, empty, empty, empty, empty, Status.OK])
    assert_array_equal(np.isnan(found.statistic), found.status != Status.OK)
    assert_array_equal(np.isnan(found.p_value), found.status != Status.OK)
    assert found.p_value[-1] == 1.0


@each_kind
def test_a_draw_without_statistic_counts_against_significance(kind):
    arm = np.array([[0, 0, 0, 1, 1, 1]], dtype=np.int8)
    score = np.array([[1.0, 2.0, 3.0, 14.0, 15.0, 16.0]])
    usual, empty = [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]
    drawn = np.array([[usual], [empty], [usual], [empty], [[-1] * 6]], dtype=np.int8)
    for found in (linear_randomization_test(score, arm, 1, drawn, kind=kind), randomization_test(statistic_of(score, kind=kind), arm, drawn)):
        assert_allclose(found.p_value, [4 / 6], rtol=ROUNDING)


def test_any_statistic_that_is_nan_has_its_reason_and_leaves_the_other_trials_alone():
    arm = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], dtype=np.int8)
    drawn = np.stack([1 - arm, arm[:, ::-1]])
    found = randomization_test(lambda arms: np.where(arms[:, 0] == arms[:, 1], np.nan, arms[:, 0] - 0.5), arm, drawn)
    assert_array_equal(found.status, [Status.TOO_FEW_PATIENTS, Status.OK])
    assert_array_equal(found.statistic, [np.nan, -0.5])
    assert_array_equal(found.p_value, [np.nan, 1.0])
