"""Log-linear regression of risks: closed forms, agreement with general optimisers, existence decided as by linear programming."""

import numpy as np
import pytest
from double import log_binomial as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.counts import event_counts
from simtrials.stats.log_binomial import CONVERGED_BELOW, log_binomial_regression, modified_poisson_regression
from simtrials.stats.proportions import log_risk_ratio

LENGTH = np.sqrt(CONVERGED_BELOW)  # of the last step, in standard errors: what is left of an error in the information
SQUARE = 1e-10  # the error of an estimate is the square of that length, or rounding
few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
MODELS = [log_binomial_regression, modified_poisson_regression]
both_models = pytest.mark.parametrize("model", MODELS)


def block(seed, n_covariates=2, n_replicates=None, n_patients=None, base=0.25):
    """Events, arms (a third one and none among them) and covariates between 0 and 1 that matter; some values missing."""
    rng = np.random.default_rng(seed)
    shape = (n_patients or rng.integers(50, 120), n_replicates or rng.integers(1, 6))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.random(shape)) for _ in range(n_covariates)]
    risk = base * np.exp(0.4 * (arm == 1) + 0.5 * sum(np.nan_to_num(column) for column in covariates))
    outcome = np.where(rng.random(shape) < 0.03, np.nan, rng.random(shape) < risk)
    return outcome.T, arm.T, [column.T for column in covariates]


def small_data_sets(n_sets, seed):
    """Small samples, whole-numbered or continuous covariates, risks that come near 1 or 0, so that all statuses occur."""
    rng = np.random.default_rng(seed)
    for k in range(n_sets):
        n_patients, n_covariates = rng.integers(20, 60), k % 3
        arm = rng.integers(0, 2, n_patients)
        covariates = [rng.integers(0, 3, n_patients) if k % 2 else rng.random(n_patients) for _ in range(n_covariates)]
        log_risk = np.log(rng.uniform(0.1, 0.6)) + 0.3 * arm + rng.choice([-2.5, 0.4]) * sum(covariates)
        yield (rng.random(n_patients) < np.minimum(np.exp(log_risk), 1)).astype(float), arm.astype(np.int8), covariates


def assert_close(found, expected, tolerance=10 * LENGTH):
    """Estimates in units of their standard error."""
    assert_array_equal(found.status, expected.status)
    ok = found.status == Status.OK
    assert_allclose((found.estimate / found.std_error)[ok], (expected.estimate / found.std_error)[ok], rtol=0, atol=tolerance)
    assert_allclose(found.std_error[ok], expected.std_error[ok], rtol=tolerance)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@both_models
def test_treatment_alone_gives_the_crude_log_risk_ratio_with_its_usual_standard_error(model):
    """Zou (2004): the robust variance of the 2 x 2 table is that of Katz; the one of Poisson counts, 1 / events added up, would be larger."""
    outcome, arm, _ = block(1, 0, n_replicates=80)
    counts = event_counts(outcome, arm, 1)
    crude, found = log_risk_ratio(*counts), model(outcome, arm, 1)
    ok = found.status == Status.OK
    assert ok.sum() > 70
    assert_allclose((found.estimate / found.std_error)[ok], (crude.estimate / crude.std_error)[ok], rtol=0, atol=10 * LENGTH)
    assert_allclose(found.std_error[ok], crude.std_error[ok], rtol=10 * LENGTH)
    naive = np.sqrt(1 / counts.events_active + 1 / counts.events_control)[ok]
    assert (naive / found.std_error[ok]).min() > 1 + 1000 * LENGTH


@few
@given(seeds, st.integers(0, 3), st.booleans(), st.booleans())
def test_modified_poisson_is_root_finding_and_a_sandwich(seed, n_covariates, last, corrected):
    outcome, arm, covariates = block(seed, n_covariates)
    tested = n_covariates if last else 0
    found = modified_poisson_regression(outcome, arm, 1, covariates, tested, "HC1" if corrected else "HC0")
    for r in np.flatnonzero(found.status == Status.OK):
        expected = twin.modified_poisson(outcome[r], arm[r], 1, [column[r] for column in covariates], tested, corrected)
        assert_allclose(found.estimate[r] / expected[1], expected[0] / expected[1], rtol=0, atol=SQUARE)
        assert_allclose(found.std_error[r], expected[1], rtol=1e-8)  # differentiated with a relative step of 1e-5


def test_log_binomial_is_a_general_optimum_and_not_converged_exactly_where_that_has_a_risk_of_1():
    counts = dict.fromkeys((Status.OK, Status.NOT_CONVERGED, Status.SEPARATED, Status.EMPTY_CELL), 0)
    for k, (outcome, arm, covariates) in enumerate(small_data_sets(300, seed=20)):
        tested = len(covariates) if k % 4 == 3 else 0
        columns = [column[np.newaxis] for column in covariates]
        found = log_binomial_regression(outcome[np.newaxis], arm[np.newaxis], 1, columns, tested)
        status = Status(found.status[0])
        if status in (Status.NO_VARIATION, Status.COLLINEAR, Status.TOO_FEW_PATIENTS):
            continue
        counts[status] += 1
        if status == Status.EMPTY_CELL:
            rates = [outcome[arm == a].mean() for a in (0, 1)]
            assert {0.0, 1.0} & set(rates)
            continue
        y, matrix = twin.analysed(outcome, arm, 1, covariates, tested)
        assert (status == Status.SEPARATED) == twin.is_separated(y, matrix)
        if status != Status.SEPARATED:
            estimate, std_error, at_one = twin.log_binomial(outcome, arm, 1, covariates, tested)
            assert (status == Status.NOT_CONVERGED) == at_one
            if not at_one:
                assert_allclose(found.estimate[0], estimate, rtol=0, atol=SQUARE * std_error)
                assert_allclose(found.std_error[0], std_error, rtol=10 * LENGTH)
    assert min(counts.values()) >= 5
    assert min(counts[Status.OK], counts[Status.NOT_CONVERGED]) > 40


def test_modified_poisson_has_an_answer_exactly_where_linear_programming_says_so():
    separated = 0
    for outcome, arm, covariates in small_data_sets(400, seed=21):
        columns = [column[np.newaxis] for column in covariates]
        status = modified_poisson_regression(outcome[np.newaxis], arm[np.newaxis], 1, columns).status[0]
        if status in (Status.OK, Status.SEPARATED, Status.NOT_CONVERGED):
            expected = twin.is_separated(*twin.analysed(outcome, arm, 1, covariates, 0))
            assert status == (Status.SEPARATED if expected else Status.OK)
            separated += expected
    assert separated >= 10


def test_stopping_when_the_likelihood_stands_still_would_miss_separation():
    """The wrong version: nobody with the covariate has an event, and a large negative coefficient passes for an estimate."""
    arm, carrier = np.tile([0, 1], 20), np.repeat([0.0, 1.0], [28, 12])
    outcome = np.where(carrier == 1, 0.0, np.arange(40) % 3 == 0)
    y, matrix = twin.analysed(outcome, arm, 1, [carrier], 1)
    coefficients, deviance, change = np.append(np.log(y.mean()), [0.0, 0.0]), np.inf, np.inf
    while change > 1e-8:
        mean = np.exp(matrix @ coefficients)
        coefficients = coefficients + np.linalg.solve(matrix.T @ (matrix * mean[:, np.newaxis]), matrix.T @ (y - mean))
        previous, deviance = deviance, 2 * (np.exp(matrix @ coefficients) - y * (matrix @ coefficients)).sum()
        change = abs(previous - deviance) / (abs(deviance) + 0.1)
    assert -40 < coefficients[-1] < -10
    for model in MODELS:
        found = model(outcome[np.newaxis], arm[np.newaxis].astype(np.int8), 1, [carrier[np.newaxis]], 0)
        assert found.status[0] == Status.SEPARATED
        assert np.isnan([found.estimate, found.std_error]).all()


def test_correcting_for_the_number_of_coefficients_is_a_factor():
    outcome, arm, covariates = block(2, 3, n_replicates=30)
    plain, corrected = (modified_poisson_regression(outcome, arm, 1, covariates, variance=kind) for kind in ("HC0", "HC1"))
    n = (np.isin(arm, (0, 1)) & np.isfinite(outcome + sum(covariates))).sum(axis=1)
    ok = plain.status == Status.OK
    assert_allclose(corrected.std_error[ok], (plain.std_error * np.sqrt(n / (n - 5)))[ok], rtol=1e-14)
    assert_array_equal(corrected.estimate, plain.estimate)


@both_models
def test_swapping_arms_flips_the_sign(model):
    outcome, arm, covariates = block(3, n_replicates=60)
    found = model(outcome, arm, 1, covariates)
    assert (found.status == Status.OK).sum() > 20
    other = np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)
    assert_close(model(outcome, other, 1, covariates), found._replace(estimate=-found.estimate))


@both_models
def test_counting_the_others_is_another_question(model):
    """Unlike with the odds ratio: the ratio of the risks of no event is not the inverse."""
    outcome, arm, covariates = block(4, n_replicates=60)
    there, back = model(outcome, arm, 1, covariates), model(1 - outcome, arm, 1, covariates)
    usable = (there.status == Status.OK) & (back.status == Status.OK)
    assert usable.any()
    assert np.abs(there.estimate + back.estimate)[usable].max() > 0.1


@both_models
def test_shifting_and_scaling_a_covariate_changes_its_own_coefficient_only(model):
    outcome, arm, covariates = block(5, n_replicates=60)
    moved = [covariates[0], 40 - 5 * covariates[1]]
    for tested in (0, 1):
        assert_close(model(outcome, arm, 1, moved, tested), model(outcome, arm, 1, covariates, tested))
    own = model(outcome, arm, 1, covariates, 2)
    assert_close(model(outcome, arm, 1, moved, 2), own._replace(estimate=-own.estimate / 5, std_error=own.std_error / 5))


@both_models
def test_the_order_of_patients_does_not_matter(model):
    outcome, arm, covariates = block(6, n_replicates=60)
    order = np.random.default_rng(7).permutation(outcome.shape[1])
    assert_close(model(outcome[:, order], arm[:, order], 1, [column[:, order] for column in covariates]), model(outcome, arm, 1, covariates))


@both_models
def test_a_replicate_does_not_depend_on_its_neighbours_nor_on_memory_order(model):
    outcome, arm, covariates = block(8, n_replicates=50, n_patients=40, base=0.15)
    outcome[:5] = np.where(np.isnan(outcome[:5]), np.nan, 1.0)
    covariates[0][5:9] = 2.0
    covariates[1][9:13] = np.where(outcome[9:13] == 1, 1.0, np.arange(40) % 3 == 0)
    found = model(outcome, arm, 1, covariates)
    assert {Status.OK, Status.SEPARATED, Status.NO_VARIATION, Status.COLLINEAR} <= set(found.status)
    assert_same(model(outcome.copy(), arm.copy(), 1, [column.copy() for column in covariates]), found)
    for r in range(len(outcome)):
        assert_same(model(outcome[[r]], arm[[r]], 1, [column[[r]] for column in covariates]), [x[[r]] for x in found])


@both_models
def test_a_covariate_that_cannot_be_told_apart_can_be_left_out(model):
    outcome, arm, (age, _) = block(9, n_replicates=30)
    found = dropping_aliased(model, outcome, arm, 1, [age, 1 - age])
    assert_same(found, model(outcome, arm, 1, [age]))
    assert (model(outcome, arm, 1, [age, 1 - age]).status == Status.COLLINEAR).all()


def test_the_two_models_estimate_one_risk_ratio():
    """Where the risks are log-linear; maximum likelihood is the more precise, and its variance is that of its estimates."""
    rng = np.random.default_rng(20260208)
    shape = (2000, 400)
    x, arm = rng.random(shape), (np.argsort(rng.random(shape), axis=1) % 2).astype(np.int8)
    outcome = (rng.random(shape) < 0.2 * np.exp(0.4 * arm + 0.5 * x)).astype(float)
    likelihood, poisson = (model(outcome, arm, 1, [x]) for model in MODELS)
    for found in (likelihood, poisson):
        assert (found.status == Status.OK).all()
        assert abs(found.estimate.mean() - 0.4) < 4 * found.estimate.std() / np.sqrt(2000) + found.estimate.var()
        assert abs((found.std_error**2).mean() / found.estimate.var() - 1) < 4 * np.sqrt(2 / 2000)
    assert likelihood.estimate.var() <= poisson.estimate.var()


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 1], 10)[np.newaxis].astype(np.int8)
    rng = np.random.default_rng(10)
    x, outcome = rng.random((1, 20)), np.array([[0, 0, 1, 0, 0, 0, 0, 1, 1, 0] * 2], dtype=float)
    carrier = np.where(outcome == 1, 1.0, np.arange(20) % 3 == 0)
    cases = [
        (Status.OK, Status.OK, outcome, [x]),
        (Status.NO_VARIATION, Status.NO_VARIATION, np.ones((1, 20)), [x]),
        (Status.EMPTY_CELL, Status.EMPTY_CELL, outcome * arm, []),
        (Status.EMPTY_CELL, Status.OK, np.maximum(outcome, arm), []),
        (Status.SEPARATED, Status.SEPARATED, outcome, [carrier]),
        (Status.NOT_CONVERGED, Status.OK, np.maximum(outcome, x > 0.7), [(x > 0.7).astype(float)]),
        (Status.COLLINEAR, Status.COLLINEAR, outcome, [x, 1 - x]),
        (Status.TOO_FEW_PATIENTS, Status.TOO_FEW_PATIENTS, np.where(arm == 1, outcome, np.nan), [x]),
        (Status.TOO_FEW_PATIENTS, Status.TOO_FEW_PATIENTS, outcome, list(rng.random((19, 1, 20)))),
    ]
    for *statuses, y, columns in cases:
        for model, status in zip(MODELS, statuses, strict=True):
            found = model(y, arm, 1, columns)
            assert found.status[0] == status
            assert np.isnan([found.estimate, found.std_error]).all() == (status != Status.OK)


@both_models
def test_thousands_of_patients_are_no_special_case(model):
    outcome, arm, covariates = block(11, n_replicates=2, n_patients=3001)
    found = model(outcome, arm, 1, covariates)
    for r in range(2):
        solve = twin.log_binomial if model is log_binomial_regression else twin.modified_poisson
        expected = solve(outcome[r], arm[r], 1, [column[r] for column in covariates])
        assert_allclose([found.estimate[r], found.std_error[r]], expected[:2], rtol=10 * LENGTH)
