"""Survival methods: agreement with definitions, closed forms without censoring or ties, and what must not matter."""

import numpy as np
import pytest
from double import survival as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from simtrials.core.status import Status
from simtrials.stats.ordinal import CONVERGED_BELOW
from simtrials.stats.proportional_hazards import cox_regression
from simtrials.stats.survival import kaplan_meier_difference, log_rank, restricted_mean_difference, time_to_first

LENGTH = np.sqrt(CONVERGED_BELOW)  # of the last step, in standard errors; the error of an estimate is its square, or rounding
ROUNDING = 1e-9  # of sums over patients, magnified by the solution of equations, and by differences of log-likelihoods
EXACT = 1e-11  # sums over times of at most a hundred terms without cancellation
few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
WEEKS = np.array([1.0, 2, 4, 6, 8, 12])
curves = pytest.mark.parametrize("difference", [kaplan_meier_difference, restricted_mean_difference])


def block(seed, n_covariates=2, visits=True, n_replicates=None, n_patients=None, censored=0.3):
    """Times at visits or without ties, events, arms (a third one and none among them), covariates that matter; some values missing."""
    rng = np.random.default_rng(seed)
    shape = (n_patients or rng.integers(40, 70), n_replicates or rng.integers(1, 5))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape)) for _ in range(n_covariates)]
    time = 8 * rng.exponential(size=shape) * np.exp(-0.5 * (arm == 1) - 0.5 * sum(np.nan_to_num(column) for column in covariates))
    event = (rng.random(shape) >= censored) & ((time <= WEEKS[-1]) | (not visits))
    if visits:
        time = WEEKS[np.minimum(np.searchsorted(WEEKS, time), WEEKS.size - 1)]
    time = np.where(rng.random(shape) < 0.03, np.nan, time)
    return time.T, event.T, arm.T, [column.T for column in covariates]


def analysed(time, event, arm):
    kept = np.isin(arm, (0, 1)) & ~np.isnan(time)
    return time[kept], event[kept], arm[kept] == 1


def assert_close(found, expected, tolerance=10 * LENGTH):
    """Estimates in units of their standard error."""
    assert_array_equal(found.status, expected.status)
    ok = found.status == Status.OK
    assert_allclose((found.estimate / found.std_error)[ok], (expected.estimate / found.std_error)[ok], rtol=0, atol=tolerance)
    assert_allclose(found.std_error[ok], expected.std_error[ok], rtol=tolerance)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def swapped(arm):
    return np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)


@few
@given(seeds, st.booleans())
def test_the_log_rank_test_is_the_sum_of_its_tables(seed, visits):
    time, event, arm, _ = block(seed, visits=visits)
    stratum = np.random.default_rng(seed).integers(-1, 3, size=time.shape)
    alone, within = log_rank(time, event, arm, 1), log_rank(time, event, arm, 1, stratum)
    for r in range(len(time)):
        excess, variance = twin.log_rank(*analysed(time[r], event[r], arm[r]))
        assert_allclose([alone.excess[r], alone.variance[r]], [excess, variance], rtol=EXACT, atol=EXACT)
        parts = [twin.log_rank(*(x[r][stratum[r] == s] for x in (time, event, arm))) for s in ()] or [
            twin.log_rank(*analysed(*(x[r][stratum[r] == s] for x in (time, event, arm)))) for s in range(3)
        ]
        assert_allclose([within.excess[r], within.variance[r]], np.sum(parts, axis=0), rtol=EXACT, atol=EXACT)
    assert_allclose(alone.z, alone.excess / np.sqrt(alone.variance), rtol=EXACT)


@few
@given(seeds)
def test_the_squared_log_rank_statistic_is_the_score_test_of_cox_without_ties(seed):
    time, event, arm, _ = block(seed, 0, visits=False)
    z = log_rank(time, event, arm, 1).z
    for r in range(len(time)):
        assert_allclose(z[r] ** 2, twin.score_statistic(*analysed(time[r], event[r], arm[r])), rtol=EXACT, atol=EXACT)


def test_with_ties_the_variance_of_the_log_rank_test_is_not_that_of_cox():
    """The wrong version: no correction of the hypergeometric variance for tied events, which is Breslow's information."""
    time, event, arm, _ = block(1)
    wrong = twin.score_statistic(*analysed(time[0], event[0], arm[0]), "breslow")
    assert wrong < 0.95 * log_rank(time, event, arm, 1).z[0] ** 2


@few
@given(seeds, st.integers(0, 2), st.booleans(), st.booleans())
def test_cox_regression_maximises_efrons_likelihood(seed, n_covariates, last, visits):
    time, event, arm, covariates = block(seed, n_covariates, visits)
    tested = n_covariates if last else 0
    found = cox_regression(time, event, arm, 1, covariates, tested, "likelihood_ratio")
    for r in np.flatnonzero(found.status == Status.OK):
        expected = twin.cox(time[r], event[r], arm[r], 1, [column[r] for column in covariates], tested)
        assert_allclose(found.estimate[r] / expected[1], expected[0] / expected[1], rtol=0, atol=ROUNDING)
        assert_allclose(found.std_error[r], expected[1], rtol=10 * LENGTH)
        assert_allclose(found.statistic[r] ** 2, expected[2] ** 2, rtol=ROUNDING, atol=ROUNDING)
        assert found.statistic[r] * expected[2] >= 0


def test_breslows_likelihood_for_ties_is_told_apart():
    time, event, arm, covariates = block(2)
    found = cox_regression(time, event, arm, 1, covariates)
    wrong = twin.cox(time[0], event[0], arm[0], 1, [column[0] for column in covariates], ties="breslow")
    assert abs(wrong[0]) < (1 - 1e6 * ROUNDING) * abs(found.estimate[0])


@few
@given(seeds)
def test_two_tied_visits_without_censoring_have_a_closed_form(seed):
    """Everybody has the event, at the first visit or the second: Efron's likelihood at a ratio of 1 has score O - E of the log-rank test."""
    rng = np.random.default_rng(seed)
    arm = np.tile(np.repeat([0, 1], 20), (10, 1)).astype(np.int8)
    time = 1.0 + (rng.random(arm.shape) < 0.5)
    event = np.ones(arm.shape, dtype=bool)
    found, test = cox_regression(time, event, arm, 1), log_rank(time, event, arm, 1)
    assert_array_equal(np.sign(np.round(found.estimate, 6)), np.sign(np.round(test.excess, 6)))
    early = np.stack([(time[:, :20] == 1).sum(axis=1), (time[:, 20:] == 1).sum(axis=1)])
    total = early.sum(axis=0)
    assert_allclose(test.excess, early[1] - total / 2, rtol=EXACT, atol=EXACT)
    assert_allclose(test.variance, total * (40 - total) / 4 / 39, rtol=EXACT)


@few
@given(seeds)
def test_curves_are_those_of_redistributed_shares(seed):
    time, event, arm, _ = block(seed)
    for week in (4.0, 7.5, 12.0):
        found = kaplan_meier_difference(time, event, arm, 1, week), restricted_mean_difference(time, event, arm, 1, week)
        for r in range(len(time)):
            t, e, treated = analysed(time[r], event[r], arm[r])
            if t[treated].max() < week or t[~treated].max() < week:
                continue
            active, control = twin.curve(t[treated], e[treated], week), twin.curve(t[~treated], e[~treated], week)
            variance = np.add(twin.variances(t[treated], e[treated], week), twin.variances(t[~treated], e[~treated], week))
            for feature in range(2):
                assert_allclose([found[feature].active[r], found[feature].control[r]], [active[feature], control[feature]], rtol=EXACT)
                assert_allclose(found[feature].estimate[r], active[feature] - control[feature], rtol=0, atol=week * EXACT)
                assert_allclose(found[feature].std_error[r], np.sqrt(variance[feature]), rtol=EXACT)


@few
@given(seeds)
def test_without_censoring_the_curve_is_the_empirical_distribution_and_its_mean(seed):
    time, _, arm, _ = block(seed)
    event = np.ones(time.shape, dtype=bool)
    for week in (4.0, 7.5):
        share, mean = kaplan_meier_difference(time, event, arm, 1, week), restricted_mean_difference(time, event, arm, 1, week)
        for r in range(len(time)):
            for code, height, area in ((0, share.control, mean.control), (1, share.active, mean.active)):
                own = time[r][(arm[r] == code) & ~np.isnan(time[r])]
                assert_allclose(height[r], (own > week).mean(), rtol=EXACT)
                assert_allclose(area[r], np.minimum(own, week).mean(), rtol=EXACT)
            squared = sum(np.var(time[r][arm[r] == c] > week, where=~np.isnan(time[r][arm[r] == c])) / n_of(time[r], arm[r], c) for c in (0, 1))
            assert_allclose(share.std_error[r] ** 2, squared, rtol=EXACT)
            squared = sum(np.nanvar(np.minimum(time[r][arm[r] == c], week)) / n_of(time[r], arm[r], c) for c in (0, 1))
            assert_allclose(mean.std_error[r] ** 2, squared, rtol=EXACT)


def n_of(time, arm, code):
    return ((arm == code) & ~np.isnan(time)).sum()


def test_censoring_counted_as_no_event_would_be_told_apart():
    """The wrong version: the share of all patients who had no event by the week."""
    time, event, arm, _ = block(3, censored=0.4)
    found = kaplan_meier_difference(time, event, arm, 1, 8.0)
    wrong = 1 - (event & (time <= 8) & (arm == 1)).sum(axis=1) / ((arm == 1) & ~np.isnan(time)).sum(axis=1)
    assert np.all(wrong > found.active + 1e6 * EXACT)


def test_swapping_the_arms_flips_every_sign():
    time, event, arm, covariates = block(4, n_replicates=40)
    stratum = (covariates[0] > 0).astype(int)
    z, mirrored = log_rank(time, event, arm, 1, stratum).z, log_rank(time, event, swapped(arm), 1, stratum).z
    assert_allclose(mirrored, -z, rtol=EXACT, atol=EXACT)
    found, other = (cox_regression(time, event, a, 1, covariates, 0, "likelihood_ratio") for a in (arm, swapped(arm)))
    assert_close(other, found._replace(estimate=-found.estimate))
    assert_allclose(other.statistic, -found.statistic, rtol=ROUNDING, atol=np.sqrt(ROUNDING))
    for difference in (kaplan_meier_difference, restricted_mean_difference):
        found, other = (difference(time, event, a, 1, 8.0) for a in (arm, swapped(arm)))
        assert_array_equal(other.status, found.status)
        assert_array_equal(other.estimate, -found.estimate)
        assert_array_equal(other.std_error, found.std_error)


def test_more_events_in_the_active_arm_are_a_positive_log_hazard_ratio_and_a_lower_curve():
    arm = np.repeat([0, 1], 40)[np.newaxis].astype(np.int8)
    time = np.concatenate([np.tile([2.0, 4, 8, 8], 10), np.tile([1.0, 2, 4, 8], 10)])[np.newaxis]
    event = time < 8
    assert log_rank(time, event, arm, 1).z[0] > 2
    assert cox_regression(time, event, arm, 1).estimate[0] > 0.3
    assert kaplan_meier_difference(time, event, arm, 1, 4.0).estimate[0] == pytest.approx(-0.25, abs=EXACT)
    assert restricted_mean_difference(time, event, arm, 1, 8.0).estimate[0] == pytest.approx(3.75 - 5.5, abs=EXACT)


@few
@given(seeds)
def test_only_the_order_of_times_matters_to_tests_and_hazard_ratios(seed):
    time, event, arm, covariates = block(seed)
    later = np.exp(time / 3) - 5
    assert_same(log_rank(later, event, arm, 1), log_rank(time, event, arm, 1))
    assert_same(cox_regression(later, event, arm, 1, covariates), cox_regression(time, event, arm, 1, covariates))
    found, expected = (kaplan_meier_difference(*x, arm, 1, week) for *x, week in ((later, event, np.exp(2) - 5), (time, event, 6.0)))
    assert_same(found, expected)


def test_a_longer_week_as_unit_scales_the_mean_and_nothing_else():
    time, event, arm, _ = block(5, n_replicates=30)
    days, weeks = restricted_mean_difference(7 * time, event, arm, 1, 56.0), restricted_mean_difference(time, event, arm, 1, 8.0)
    assert_allclose(days.estimate, 7 * weeks.estimate, rtol=EXACT, atol=EXACT)
    assert_allclose(days.std_error, 7 * weeks.std_error, rtol=EXACT)


def test_the_order_of_patients_hardly_matters():
    time, event, arm, covariates = block(6, n_replicates=40)
    order = np.random.default_rng(6).permutation(time.shape[1])
    moved = [x[:, order] for x in (time, event, arm)]
    assert_same(log_rank(*moved, 1), log_rank(time, event, arm, 1))
    assert_same(restricted_mean_difference(*moved, 1, 8.0), restricted_mean_difference(time, event, arm, 1, 8.0))
    assert_close(cox_regression(*moved, 1, [x[:, order] for x in covariates]), cox_regression(time, event, arm, 1, covariates))


def test_a_patient_who_is_not_analysed_changes_no_bit():
    time, event, arm, covariates = block(7, n_replicates=40)
    one = np.ones(len(time))
    added = np.column_stack([time, np.nan * one, one]), np.column_stack([event, event[:, :2]]), np.column_stack([arm, one, -one]).astype(np.int8)
    columns = [np.column_stack([x, one, one]) for x in covariates]
    assert_same(log_rank(*added, 1), log_rank(time, event, arm, 1))
    assert_same(kaplan_meier_difference(*added, 1, 8.0), kaplan_meier_difference(time, event, arm, 1, 8.0))
    assert_same(cox_regression(*added, 1, columns), cox_regression(time, event, arm, 1, covariates))


@few
@given(seeds)
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(seed):
    """Among neighbours with few and many times, some without events and some that are separated."""
    time, event, arm, covariates = block(seed, visits=False, n_replicates=12, n_patients=30)
    time[::3], event[::4] = np.ceil(time[::3]), False
    covariates[0][::5] = -time[::5]
    functions = [
        lambda t, e, a, x: log_rank(t, e, a, 1),
        lambda t, e, a, x: log_rank(t, e, a, 1, (x > 0).astype(int)),
        lambda t, e, a, x: kaplan_meier_difference(t, e, a, 1, 4.0),
        lambda t, e, a, x: restricted_mean_difference(t, e, a, 1, 4.0),
        lambda t, e, a, x: cox_regression(t, e, a, 1, [x], 0, "likelihood_ratio"),
    ]
    for function in functions:
        found = function(time, event, arm, covariates[0])
        assert_same(function(time.copy(), event.copy(), arm.copy(), covariates[0].copy()), found)
        for r in range(len(time)):
            assert_same(function(time[[r]], event[[r]], arm[[r]], covariates[0][[r]]), [x[[r]] for x in found])


def is_monotone(time, event, matrix):
    """Whether in some direction every event is that of the patient at highest risk, and not all are level: a linear programme."""
    rows = [matrix[i] - matrix[j] for i in np.flatnonzero(event) for j in np.flatnonzero(time >= time[i])]
    solution = linprog(-np.sum(rows, axis=0), A_ub=-np.array(rows), b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return -solution.fun > 1e-6


def test_separation_is_found_exactly_where_linear_programming_finds_it():
    rng, counts = np.random.default_rng(20), {Status.OK: 0, Status.SEPARATED: 0}
    for k in range(400):
        n, n_covariates = rng.integers(8, 18), k % 3
        arm, event = rng.integers(0, 2, size=n).astype(np.int8), rng.random(n) < 0.5
        covariates = [rng.integers(0, 3, n) if k % 2 else rng.normal(size=n) for _ in range(n_covariates)]
        time = np.ceil(4 * rng.exponential(size=n) * np.exp(-arm - sum(covariates, np.zeros(n))))
        status = cox_regression(time[np.newaxis], event[np.newaxis], arm[np.newaxis], 1, [x[np.newaxis] for x in covariates]).status[0]
        if status in (Status.TOO_FEW_PATIENTS, Status.EMPTY_CELL, Status.NO_VARIATION, Status.COLLINEAR):
            continue
        assert status == (Status.SEPARATED if is_monotone(time, event, np.column_stack([arm, *covariates])) else Status.OK)
        counts[status] += 1
    assert min(counts.values()) > 30


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 1], 10)[np.newaxis].astype(np.int8)
    time = np.repeat([1.0, 2, 4, 6, 8], 4)[np.newaxis]
    event, x = time < 8, np.random.default_rng(8).normal(size=(1, 20))
    never, control_only = np.zeros_like(event), event & (arm == 0)
    after = np.where(arm == 1, time + 10, time)  # the arms are never at risk together when an event happens
    parts = np.where(time == 1, x, 0.0)
    cases = [
        (cox_regression(time, event, arm, 1, [x]), Status.OK),
        (cox_regression(time, never, arm, 1, [x]), Status.NO_VARIATION),
        (cox_regression(time, control_only, arm, 1, [x]), Status.EMPTY_CELL),
        (cox_regression(time, event, arm, 1, [x, 2 - x]), Status.COLLINEAR),
        (cox_regression(time, event & (time > 1), arm, 1, [parts]), Status.COLLINEAR),
        (cox_regression(after, event, arm, 1, []), Status.SEPARATED),
        (cox_regression(time, event, arm, 1, [-time], 1), Status.SEPARATED),
        (cox_regression(np.where(arm == 1, np.nan, time), event, arm, 1), Status.TOO_FEW_PATIENTS),
        (log_rank(time, event, arm, 1), Status.OK),
        (log_rank(time, control_only, arm, 1), Status.OK),
        (log_rank(time, never, arm, 1), Status.NO_VARIATION),
        (log_rank(time, event, arm, 1, arm.astype(int)), Status.NO_VARIATION),
        (log_rank(np.where(arm == 1, np.nan, time), event, arm, 1), Status.TOO_FEW_PATIENTS),
    ]
    for difference in (kaplan_meier_difference, restricted_mean_difference):
        cases += [
            (difference(time, event, arm, 1, 7.0), Status.OK),
            (difference(time, never, arm, 1, 7.0), Status.NO_VARIATION),
            (difference(np.where(arm == 1, np.nan, time), event, arm, 1, 7.0), Status.TOO_FEW_PATIENTS),
            (difference(time, event, arm, 1, 9.0), Status.TOO_FEW_PATIENTS),
            (
                difference(np.minimum(time, 6), event | (time == 8), arm, 1, 9.0),
                Status.OK if difference is restricted_mean_difference else Status.NO_VARIATION,
            ),
        ]
    for found, status in cases:
        assert found.status[0] == status
        assert np.isnan(found[:2]).all() == (status != Status.OK)


def test_the_first_visit_with_an_event_counts_and_the_last_one_observed_ends_the_others():
    happened = np.array([[[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]], dtype=bool)
    observed = np.array([[[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]]], dtype=bool)
    time, event = time_to_first(happened, observed, (1.0, 2.0, 4.0, 8.0))
    assert_array_equal(time, [[2, 4, 4, 8, np.nan]])
    assert_array_equal(event, [[True, False, False, False, False]])
