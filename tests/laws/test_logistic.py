"""Logistic regression: closed forms where they exist, agreement with root finding, existence decided as by linear programming."""

import numpy as np
import pytest
from double import logistic as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, xlogy

from simtrials.core.status import Status
from simtrials.stats.logistic import CONVERGED_BELOW, _exp, logistic_regression

LENGTH = np.sqrt(CONVERGED_BELOW)  # of the last step, in standard errors; the error of a maximum likelihood estimate is its square, or rounding
few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
both_penalties = pytest.mark.parametrize("penalty", ["none", "firth"])
both_tests = pytest.mark.parametrize("test", ["wald", "likelihood_ratio"])


def block(seed, n_covariates=2, n_replicates=None, n_patients=None):
    """Events, arms (a third one and none among them) and covariates that matter; some values missing."""
    rng = np.random.default_rng(seed)
    shape = (n_patients or rng.integers(30, 60), n_replicates or rng.integers(1, 8))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape)) for _ in range(n_covariates)]
    risk = expit(rng.normal() / 2 + 0.7 * (arm == 1) + sum(np.nan_to_num(column) for column in covariates))
    outcome = np.where(rng.random(shape) < 0.03, np.nan, rng.random(shape) < risk)
    return outcome.T, arm.T, [column.T for column in covariates]


def tables(seed, n_replicates=50):
    """Events and patients of control and active, none of the four cells empty, and the data that have these counts."""
    rng = np.random.default_rng(seed)
    n = rng.integers(4, 30, size=(n_replicates, 2))
    events = rng.integers(1, n)
    place = np.arange(60)
    arm = np.where(place < 30, 0, 1) * np.ones((n_replicates, 1), dtype=np.int8)
    rank = np.where(place < 30, place, place - 30)
    outcome = np.where(rank < np.take_along_axis(n, arm, axis=1), rank < np.take_along_axis(events, arm, axis=1), np.nan)
    return events, n, outcome, arm.astype(np.int8)


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


def test_the_exponential_is_right_to_the_rounding_that_seven_squarings_magnify():
    x = -np.linspace(0, 60, 3001)
    assert_allclose([_exp(value) for value in x], np.exp(x), rtol=0, atol=2**7 * np.finfo(float).eps)


@few
@given(seeds)
def test_treatment_alone_gives_woolfs_log_odds_ratio_and_the_g_statistic(seed):
    events, n, outcome, arm = tables(seed)
    rest = n - events
    log_odds = np.log(events / rest)
    found = logistic_regression(outcome, arm, 1, test="likelihood_ratio")
    std_error = np.sqrt((1 / events + 1 / rest).sum(axis=1))
    assert_allclose(found.estimate / std_error, (log_odds[:, 1] - log_odds[:, 0]) / std_error, rtol=0, atol=1e-10)
    assert_allclose(found.std_error, std_error, rtol=LENGTH)
    risk, pooled = events / n, events.sum(axis=1) / n.sum(axis=1)
    g = 2 * (xlogy(events, risk / pooled[:, None]) + xlogy(rest, (1 - risk) / (1 - pooled[:, None]))).sum(axis=1)
    assert_allclose(found.statistic**2, g, rtol=1e-10, atol=1e-10)
    assert_array_equal(np.sign(found.statistic)[g > 1e-6], np.sign(risk[:, 1] - risk[:, 0])[g > 1e-6])


@few
@given(seeds)
def test_firths_estimate_for_treatment_alone_adds_half_to_every_cell(seed):
    events, n, outcome, arm = tables(seed)
    outcome[::3] = np.where(np.isnan(outcome[::3]), np.nan, 0.0)  # no events at all is no obstacle
    events[::3] = 0
    found = logistic_regression(outcome, arm, 1, penalty="firth")
    log_odds = np.log((events + 0.5) / (n - events + 0.5))
    risk = (events + 0.5) / (n + 1)
    std_error = np.sqrt((1 / (n * risk * (1 - risk))).sum(axis=1))
    assert_array_equal(found.status, Status.OK)
    assert_allclose(found.estimate / std_error, (log_odds[:, 1] - log_odds[:, 0]) / std_error, rtol=0, atol=10 * LENGTH)
    assert_allclose(found.std_error, std_error, rtol=10 * LENGTH)


@both_penalties
@few
@given(seeds, st.integers(0, 3), st.booleans())
def test_estimates_and_likelihood_ratios_are_those_of_root_finding(penalty, seed, n_covariates, last):
    outcome, arm, covariates = block(seed, n_covariates)
    tested = n_covariates if last else 0
    found = logistic_regression(outcome, arm, 1, covariates, tested, "likelihood_ratio", penalty)
    for r in np.flatnonzero(found.status == Status.OK):
        expected = twin.fit(outcome[r], arm[r], 1, [column[r] for column in covariates], tested, penalty == "firth")
        assert_allclose(found.estimate[r] / expected[1], expected[0] / expected[1], rtol=0, atol=10 * LENGTH)
        assert_allclose(found.std_error[r], expected[1], rtol=10 * LENGTH)
        assert_allclose(found.statistic[r], expected[2], rtol=LENGTH, atol=10 * LENGTH)


def test_the_penalty_is_told_apart_from_its_absence():
    outcome, arm, covariates = block(1)
    expected = twin.fit(outcome[0], arm[0], 1, [column[0] for column in covariates])
    assert abs(logistic_regression(outcome, arm, 1, covariates, penalty="firth").estimate[0] - expected[0]) > 1000 * LENGTH * expected[1]


def small_data_sets(n_sets, seed):
    """Small samples, whole-numbered or continuous covariates, effects strong enough that about half are separated."""
    rng = np.random.default_rng(seed)
    for k in range(n_sets):
        n_patients, n_covariates = rng.integers(8, 25), k % 4
        arm = rng.integers(0, 2, size=n_patients)
        covariates = [rng.integers(0, 3, n_patients) if k % 2 else rng.normal(size=n_patients) for _ in range(n_covariates)]
        linear = rng.normal() + arm + 1.5 * sum(column - column.mean() for column in covariates)
        yield (rng.random(n_patients) < expit(linear)).astype(float), arm, covariates


def test_separation_is_found_exactly_where_linear_programming_finds_it():
    """Of 14,000 similar data sets tried once, one that is separated was left NOT_CONVERGED, and none was decided otherwise."""
    counts = {Status.OK: 0, Status.SEPARATED: 0}
    for outcome, arm, covariates in small_data_sets(600, seed=20):
        columns = [column[np.newaxis] for column in covariates]
        status = logistic_regression(outcome[np.newaxis], arm[np.newaxis].astype(np.int8), 1, columns).status[0]
        if status in (Status.TOO_FEW_PATIENTS, Status.NO_VARIATION, Status.COLLINEAR):
            continue
        separated = twin.is_separated(outcome, twin.model_matrix(arm, 1, covariates, 0))
        assert status == (Status.SEPARATED if separated else Status.OK)
        counts[status] += 1
    assert min(counts.values()) > 100


def test_stopping_when_the_likelihood_stands_still_would_miss_separation():
    """The wrong version: the usual rule of stopping accepts a large coefficient with a larger standard error."""
    arm = np.repeat([0, 1], 12)
    outcome = np.concatenate([np.tile([0, 1], 6), np.ones(12)])  # all active patients have the event: quasi-complete
    matrix = twin.model_matrix(arm, 1, [], 0)
    coefficients, deviance, change = np.zeros(2), np.inf, np.inf
    while change > 1e-8:
        coefficients = coefficients + np.linalg.solve(twin.information(coefficients, matrix), twin.score(coefficients, outcome, matrix, False))
        previous, deviance = deviance, -2 * twin.log_likelihood(coefficients, outcome, matrix, False)
        change = abs(previous - deviance) / (abs(deviance) + 0.1)
    assert 10 < coefficients[1] < 40
    found = logistic_regression(outcome[np.newaxis], arm[np.newaxis].astype(np.int8), 1)
    assert found.status[0] == Status.SEPARATED
    assert np.isnan([found.estimate, found.std_error, found.statistic]).all()


@pytest.mark.parametrize("overlap", [1e-1, 1e-3, 1e-5])
def test_data_that_barely_overlap_are_estimated(overlap):
    x = np.concatenate([np.linspace(-2, -1, 10), [overlap], np.linspace(1, 2, 10), [-overlap]])[np.newaxis]
    outcome, arm = np.repeat([0.0, 1.0], 11)[np.newaxis], np.tile(np.arange(11) % 2, 2)[np.newaxis].astype(np.int8)
    assert logistic_regression(outcome, arm, 1, [x], tested=1).status[0] == Status.OK
    assert logistic_regression(outcome, arm, 1, [np.sign(x) * (np.abs(x) > 0.5)], tested=1).status[0] == Status.SEPARATED


def test_rare_events_with_values_far_out_are_decided():
    """A first step that leaps to where every weight vanishes would leave one of these undecided."""
    rng = np.random.default_rng(0)
    arm = np.tile([0, 1], (200, 50)).astype(np.int8)
    covariates = np.exp(rng.normal(size=(2, 200, 100)))
    risk = covariates.sum(axis=0) + 0.3 * rng.normal(size=arm.shape)
    outcome = (risk >= np.sort(risk, axis=1)[:, [-2]]).astype(float)
    status = logistic_regression(outcome, arm, 1, list(covariates)).status
    separated = [twin.is_separated(outcome[r], twin.model_matrix(arm[r], 1, covariates[:, r], 0)) for r in range(200)]
    assert_array_equal(status, np.where(separated, Status.SEPARATED, Status.OK))


def test_a_maximum_too_far_out_to_be_resolved_is_no_number():
    """All active patients but one have the event, and he is so far out on the covariate that nothing holds the odds ratio below exp(200)."""
    arm = np.repeat([0, 1], [20, 10])[np.newaxis].astype(np.int8)
    x = np.concatenate([np.linspace(-2, 2, 20), np.linspace(-1, 1, 9), [600]])[np.newaxis]
    control = (np.arange(20) < 10) ^ (np.arange(20) % 4 == 0)
    outcome = np.concatenate([control, np.ones(9), [0]])[np.newaxis].astype(float)
    found = logistic_regression(outcome, arm, 1, [x])
    assert found.status[0] == Status.NOT_CONVERGED
    assert np.isnan([found.estimate, found.std_error, found.statistic]).all()
    assert logistic_regression(outcome, arm, 1, [x / 600]).status[0] == Status.NOT_CONVERGED
    outcome[0, -2] = 0
    assert logistic_regression(outcome, arm, 1, [x]).status[0] == Status.OK


def test_firths_fit_is_found_in_small_samples_too():
    """The information alone is too crude a second derivative of the penalised likelihood here: some would not converge."""
    for outcome, arm, covariates in small_data_sets(200, seed=21):
        columns = [column[np.newaxis] for column in covariates]
        status = logistic_regression(outcome[np.newaxis], arm[np.newaxis].astype(np.int8), 1, columns, penalty="firth").status[0]
        assert status in (Status.OK, Status.TOO_FEW_PATIENTS, Status.COLLINEAR)


@both_penalties
@both_tests
def test_swapping_arms_or_outcomes_flips_the_sign(test, penalty):
    outcome, arm, covariates = block(3, n_replicates=60)
    found = logistic_regression(outcome, arm, 1, covariates, 0, test, penalty)
    negative = found._replace(estimate=-found.estimate, statistic=-found.statistic)
    other = np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)
    assert_close(logistic_regression(outcome, other, 1, covariates, 0, test, penalty), negative)
    assert_close(logistic_regression(1 - outcome, arm, 1, covariates, 0, test, penalty), negative)


@both_penalties
@both_tests
def test_shifting_and_scaling_a_covariate_changes_its_own_coefficient_only(test, penalty):
    outcome, arm, covariates = block(4, n_replicates=60)
    moved = [covariates[0], 40 - 5 * covariates[1]]
    for tested, factor in [(0, 1), (1, 1), (2, -5)]:
        found = logistic_regression(outcome, arm, 1, covariates, tested, test, penalty)
        scaled = found._replace(
            estimate=found.estimate / factor, std_error=found.std_error / abs(factor), statistic=found.statistic * np.sign(factor)
        )
        assert_close(logistic_regression(outcome, arm, 1, moved, tested, test, penalty), scaled)


@both_penalties
def test_a_patient_with_a_missing_value_changes_no_bit(penalty):
    outcome, arm, covariates = block(5, n_replicates=40)
    missing = np.full(len(outcome), np.nan)
    added = [np.column_stack([column, missing]) for column in covariates]
    found = logistic_regression(np.column_stack([outcome, missing]), np.column_stack([arm, arm[:, 0]]), 1, added, penalty=penalty)
    more = logistic_regression(np.column_stack([outcome, np.ones_like(missing)]), np.column_stack([arm, arm[:, 0]]), 1, added, penalty=penalty)
    alone = logistic_regression(outcome, arm, 1, covariates, penalty=penalty)
    assert_same(found, alone)
    assert_same(more, alone)


@both_penalties
@both_tests
def test_the_order_of_patients_hardly_matters(test, penalty):
    outcome, arm, covariates = block(6, n_replicates=60)
    order = np.random.default_rng(6).permutation(outcome.shape[1])
    shuffled = logistic_regression(outcome[:, order], arm[:, order], 1, [column[:, order] for column in covariates], 0, test, penalty)
    assert_close(shuffled, logistic_regression(outcome, arm, 1, covariates, 0, test, penalty))


@both_penalties
def test_a_replicate_does_not_depend_on_the_others_nor_on_the_layout_in_memory(penalty):
    """Among neighbours that converge sooner, later or never."""
    outcome, arm, covariates = block(7, n_replicates=101, n_patients=24)
    outcome[::9] = 1.0
    found = logistic_regression(outcome, arm, 1, covariates, 0, "likelihood_ratio", penalty)
    assert penalty == "firth" or {Status.OK, Status.SEPARATED, Status.NO_VARIATION} <= set(found.status)
    assert_same(logistic_regression(outcome.copy(), arm.copy(), 1, [column.copy() for column in covariates], 0, "likelihood_ratio", penalty), found)
    for r in range(len(outcome)):
        alone = logistic_regression(outcome[[r]], arm[[r]], 1, [column[[r]] for column in covariates], 0, "likelihood_ratio", penalty)
        assert_same(alone, [x[[r]] for x in found])


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 1], 8)[np.newaxis].astype(np.int8)
    rng = np.random.default_rng(8)
    x, outcome = rng.normal(size=(1, 16)), np.array([[0, 0, 1, 1] * 4], dtype=float)
    cases = [
        (Status.OK, outcome, [x]),
        (Status.NO_VARIATION, np.ones((1, 16)), [x]),
        (Status.SEPARATED, arm.astype(float), []),
        (Status.SEPARATED, (x > 0).astype(float), [x]),
        (Status.COLLINEAR, outcome, [x, 1 - x]),
        (Status.COLLINEAR, outcome, [arm * 2.0]),
        (Status.TOO_FEW_PATIENTS, np.where(arm == 1, outcome, np.nan), [x]),
        (Status.TOO_FEW_PATIENTS, outcome, list(rng.normal(size=(15, 1, 16)))),
    ]
    for status, y, columns in cases:
        found = logistic_regression(y, arm, 1, columns)
        assert found.status[0] == status
        assert np.isnan([found.estimate, found.std_error, found.statistic]).all() == (status != Status.OK)
        if status in (Status.SEPARATED, Status.NO_VARIATION):
            assert logistic_regression(y, arm, 1, columns, test="likelihood_ratio", penalty="firth").status[0] == Status.OK


def test_thousands_of_patients_are_no_special_case():
    outcome, arm, covariates = block(9, n_replicates=2, n_patients=3001)
    found = logistic_regression(outcome, arm, 1, covariates, test="likelihood_ratio")
    for r in range(2):
        expected = twin.fit(outcome[r], arm[r], 1, [column[r] for column in covariates])
        assert_allclose([found.estimate[r], found.std_error[r], found.statistic[r]], expected, rtol=10 * LENGTH)
