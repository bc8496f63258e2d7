"""Repeated measures: closed form and iteration agree, both agree with a naive twin, and complete data are an analysis of covariance."""

import itertools

import numpy as np
import pytest
from double import mmrm as twin
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.covariances import COVARIANCES, bend, entries, n_parameters, slopes
from simtrials.stats.mmrm import mmrm
from simtrials.stats.mmrm_iterative import iterative_mmrm
from simtrials.stats.random_slope import random_slope
from simtrials.stats.regression import least_squares

AGREE = 1e-8
# the twin's derivatives are differences of differences with an accuracy of 1e-9 or so in units of standard errors; its maximum is as exact
TWIN = 1e-6


def trials(seed, n_replicates=6, n_patients=40, n_visits=4, n_covariates=1, lost=0.1, gaps=0.0):
    """Trials with a drug, covariates that matter, and missing visits; arms of any size."""
    rng = np.random.default_rng(seed)
    arm = rng.permuted(np.tile([0, 1], (n_replicates, n_patients // 2)), axis=1).astype(np.int8)
    covariates = [rng.normal(size=arm.shape) + 20 * (c + 1) for c in range(n_covariates)]
    factor = np.tril(rng.normal(size=(n_visits, n_visits))) + 2 * np.eye(n_visits)
    outcome = rng.normal(size=(*arm.shape, n_visits)) @ factor.T + 50.0 - np.multiply.outer(arm, np.arange(n_visits))
    for covariate in covariates:
        outcome += covariate[:, :, np.newaxis] * rng.normal(size=n_visits)
    last = rng.geometric(lost, size=arm.shape) if lost else np.full(arm.shape, n_visits)
    outcome[np.arange(n_visits) >= last[:, :, np.newaxis]] = np.nan
    outcome[rng.random(outcome.shape) < gaps] = np.nan
    return outcome, arm, covariates


def with_one(found, r):
    return np.array([found.estimate[r], found.std_error[r], found.df[r]])


# ---- closed form and iteration


@pytest.mark.parametrize(("df", "information"), [*itertools.product(("satterthwaite", "kenward_roger"), ("observed", "expected"))])
@pytest.mark.parametrize(("n_visits", "n_covariates"), [(2, 0), (3, 2), (5, 1)])
def test_closed_form_and_iteration_agree_on_monotone_data(n_visits, n_covariates, df, information):
    outcome, arm, covariates = trials(1, n_visits=n_visits, n_covariates=n_covariates)
    for visit in (-1, 0, [1 / n_visits] * n_visits):
        closed = mmrm(outcome, arm, 1, covariates, visit, df=df, information=information)
        climbed = iterative_mmrm(outcome, arm, 1, covariates, visit, df=df, information=information)
        assert (closed.status == Status.OK).all()
        assert (climbed.status == Status.OK).all()
        assert_allclose(closed.estimate, climbed.estimate, rtol=0, atol=AGREE * closed.std_error.max())
        assert_allclose(closed.std_error, climbed.std_error, rtol=AGREE)
        assert_allclose(closed.df, climbed.df, rtol=AGREE)


def test_the_agreement_would_show_a_wrong_divisor():
    """The named wrong version: rss / n in place of rss / (n - m), that is maximum likelihood."""
    outcome, arm, covariates = trials(1, n_replicates=1, n_patients=24, n_visits=3)
    found = mmrm(outcome, arm, 1, covariates)
    stacked = twin.repeated_measures(outcome[0], arm[0], 1, [x[0] for x in covariates])
    wrong = twin.Fit(stacked, twin.unstructured(3), restricted=False)
    assert abs(np.sqrt(wrong.variance) / found.std_error[0] - 1) > 1e6 * AGREE


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_it_does_not_depend_on_units(scale):
    outcome, arm, covariates = trials(2, gaps=0.1)
    found, scaled = (mmrm(y, arm, 1, covariates) for y in (outcome, scale * outcome + 1e3 * scale))
    assert_allclose(scaled.estimate, scale * found.estimate, rtol=AGREE)
    assert_allclose(scaled.std_error, scale * found.std_error, rtol=AGREE)
    assert_allclose(scaled.df, found.df, rtol=AGREE)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_swapping_arms_flips_the_sign(gaps):
    outcome, arm, covariates = trials(3, gaps=gaps)
    found, swapped = (mmrm(outcome, a, 1, covariates) for a in (arm, (1 - arm).astype(np.int8)))
    assert_allclose(swapped.estimate, -found.estimate, rtol=AGREE)
    assert_allclose(swapped.std_error, found.std_error, rtol=AGREE)
    assert_allclose(swapped.df, found.df, rtol=AGREE)


def test_change_and_score_have_the_same_effect_when_baseline_is_a_covariate():
    outcome, arm, covariates = trials(4, gaps=0.1)
    found, of_change = (mmrm(y, arm, 1, covariates) for y in (outcome, outcome - covariates[0][:, :, np.newaxis]))
    assert_allclose(of_change.estimate, found.estimate, rtol=AGREE)
    assert_allclose(of_change.std_error, found.std_error, rtol=AGREE)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward_roger"])
def test_without_missing_visits_it_is_the_analysis_of_covariance_of_the_last_one(df):
    outcome, arm, covariates = trials(5, lost=0)
    found, ancova = mmrm(outcome, arm, 1, covariates, df=df), least_squares(outcome[:, :, -1], arm, 1, covariates)
    for part in ("estimate", "std_error", "df"):
        assert_allclose(getattr(found, part), getattr(ancova, part), rtol=1e-10)


def test_replicates_do_not_see_each_other():
    outcome, arm, covariates = trials(6, n_replicates=200, gaps=0.05)
    together = mmrm(outcome, arm, 1, covariates)
    for r in (0, 17, 130, 199):
        some = slice(r, r + 1)
        alone = mmrm(outcome[some], arm[some], 1, [x[some] for x in covariates])
        assert_allclose(with_one(alone, 0), with_one(together, r), rtol=AGREE)


def test_patients_of_other_arms_and_nobody_do_not_count():
    outcome, arm, covariates = trials(7, gaps=0.05)
    more = [np.concatenate([x, x[:, :7] + 3], axis=1) for x in (outcome, *covariates)]
    codes = np.concatenate([arm, np.tile(np.array([2, -1, 2, -1, 2, 2, -1], dtype=np.int8), (len(arm), 1))], axis=1)
    found, with_others = mmrm(outcome, arm, 1, covariates), mmrm(more[0], codes, 1, more[1:])
    assert_allclose(with_others.estimate, found.estimate, rtol=AGREE)
    assert_allclose(with_others.std_error, found.std_error, rtol=AGREE)


def test_a_patient_without_any_visit_does_not_count():
    outcome, arm, covariates = trials(8)
    outcome[:, 3] = np.nan
    found = mmrm(outcome, arm, 1, covariates)
    without = mmrm(*(np.delete(x, 3, axis=1) for x in (outcome, arm)), 1, [np.delete(x, 3, axis=1) for x in covariates])
    assert_allclose(found.estimate, without.estimate, rtol=AGREE)
    assert_allclose(found.df, without.df, rtol=AGREE)


# ---- the twin


@pytest.mark.parametrize("gaps", [0.0, 0.15])
@pytest.mark.parametrize("information", ["observed", "expected"])
@pytest.mark.parametrize("common_slope", [False, True])
def test_it_is_the_twin_written_from_the_papers(information, gaps, common_slope):
    outcome, arm, covariates = trials(9, n_replicates=2, n_patients=24, n_visits=3, gaps=gaps)
    weights = [0.2, 0.3, 0.5]
    for r, covariance in ((0, "unstructured"), (1, "toeplitz")):
        one = [outcome[r : r + 1], arm[r : r + 1], 1, [covariates[0][r : r + 1]]]
        fit = twin.Fit(twin.repeated_measures(outcome[r], arm[r], 1, [covariates[0][r]], weights, common_slope), twin.COVARIANCES[covariance](3))
        for df in ("satterthwaite", "kenward_roger"):
            found = mmrm(*one, weights, df=df, information=information, covariance=covariance, common_slope=common_slope)
            variance, expected_df = fit.kenward_roger(information) if df == "kenward_roger" else (fit.variance, fit.satterthwaite(information))
            assert_allclose(found.estimate[0], fit.estimate, rtol=0, atol=TWIN * found.std_error[0])
            assert_allclose(found.std_error[0], np.sqrt(variance), rtol=TWIN)
            assert_allclose(found.df[0], expected_df, rtol=10 * TWIN)


@pytest.mark.parametrize("week", [None, 5.0])
@pytest.mark.parametrize("information", ["observed", "expected"])
def test_lines_in_time_are_those_of_the_twin(week, information):
    weeks, rng = (1.0, 2.0, 4.0, 6.0), np.random.default_rng(10)
    covariate, arm = rng.normal(size=(1, 24)), np.tile([0, 1], 12).astype(np.int8)[np.newaxis]
    intercept, slope = 3 * rng.normal(size=(1, 24, 1)), rng.normal(size=(1, 24, 1))
    outcome = intercept + covariate[:, :, np.newaxis] + (slope - arm[:, :, np.newaxis]) * np.array(weeks) + rng.normal(size=(1, 24, 4))
    outcome[rng.random(outcome.shape) < 0.15] = np.nan
    fit = twin.Fit(twin.slopes(outcome[0], weeks, arm[0], 1, [covariate[0]], week), twin.random_slope(weeks))
    for df in ("satterthwaite", "kenward_roger"):
        found = random_slope(outcome, weeks, arm, 1, [covariate], week, df=df, information=information)
        variance, expected_df = fit.kenward_roger(information) if df == "kenward_roger" else (fit.variance, fit.satterthwaite(information))
        assert_allclose(found.estimate[0], fit.estimate, rtol=0, atol=TWIN * found.std_error[0])
        assert_allclose(found.std_error[0], np.sqrt(variance), rtol=TWIN)
        assert_allclose(found.df[0], expected_df, rtol=10 * TWIN)


def test_a_random_slope_that_would_be_negative_is_none():
    """Every patient's own line has the same slope, more alike than chance allows; what is left is a random intercept."""
    weeks, rng = (0.0, 1.0, 2.0, 3.0), np.random.default_rng(12)
    arm = np.tile([0, 1], 15).astype(np.int8)[np.newaxis]
    noise = rng.normal(size=(30, 4))
    noise -= np.outer(noise @ (np.array(weeks) - 1.5) / 5, np.array(weeks) - 1.5)  # no slope of its own in any patient
    outcome = (noise + 3 * rng.normal(size=(30, 1)))[np.newaxis]
    found = random_slope(outcome, weeks, arm, 1, week=3.0)
    assert found.status[0] == Status.OK
    intercept_only = twin.slopes(outcome[0], weeks, arm[0], 1, (), 3.0)
    fit = twin.Fit(intercept_only, (lambda theta: np.exp(theta[0]) * np.eye(4) + np.exp(theta[1]), lambda sd: np.log(0.5 * sd[:2] ** 2)))
    assert_allclose(found.estimate[0], fit.estimate, rtol=0, atol=TWIN * found.std_error[0])
    assert_allclose(found.std_error[0], np.sqrt(fit.variance), rtol=TWIN)


# ---- covariances


@pytest.mark.parametrize("structure", [*COVARIANCES, "random_slope"])
def test_derivatives_of_covariances_are_those_of_complex_steps(structure):
    times, rng = np.array([-1.2, -0.3, 0.4, 1.1]), np.random.default_rng(13)
    n = n_parameters(structure, 4)
    theta = rng.uniform(0.2, 0.6, size=(n, 1))
    step = 1e-20j * np.eye(n)
    slope = np.stack([entries(structure, theta + step[:, [i]], times).imag / 1e-20 for i in range(n)])
    assert_allclose(slopes(structure, theta, times), slope, rtol=1e-12, atol=1e-14)
    weight = rng.normal(size=(10, 1))
    second = np.stack([(slopes(structure, theta + step[:, [i]], times).imag / 1e-20 * weight).sum(axis=1) for i in range(n)])
    assert_allclose(bend(structure, theta, times, weight), second, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("simple", "general"), [("ar1", "ar1_heterogeneous"), ("ar1_heterogeneous", "toeplitz"), ("toeplitz", "unstructured")])
def test_a_covariance_with_more_parameters_fits_no_worse(simple, general):
    """The restricted likelihood of nested covariances rises; told by the climb's own value."""
    from simtrials.stats.mmrm_iterative import _starting_covariance, _top, model_of
    from simtrials.stats.visit_sums import block_of, patterns_of

    outcome, arm, covariates = trials(14, gaps=0.1)
    block = block_of(outcome, arm, 1, covariates)
    patterns, model = patterns_of(block), model_of(block, -1, ("unstructured",), False, "satterthwaite", "observed")
    sigma, *_ = _starting_covariance(patterns, None)
    values = []
    for structure in (simple, general):
        top = _top(sigma, patterns, structure, model)
        assert top.reached.all()
        values.append(top.value)
    assert (values[1] > values[0]).all()


# ---- what cannot be fitted


def test_reasons_why_there_is_no_estimate():
    outcome, arm, covariates = trials(15, n_replicates=1)
    alone = arm.copy()
    alone[0, np.flatnonzero(arm[0] == 1)[1:]] = 0
    twice = [covariates[0], 2 * covariates[0] + 1]
    still = outcome.copy()
    still[~np.isnan(still)] = 3.0
    same = outcome.copy()
    same[:, :, 2] = np.where(np.isnan(same[:, :, 2]), np.nan, same[:, :, 1])
    for changed, code in (
        ((outcome, alone, 1, covariates), Status.TOO_FEW_PATIENTS),
        ((outcome, arm, 1, twice), Status.COLLINEAR),
        ((outcome, arm, 1, [np.ones_like(covariates[0])]), Status.COLLINEAR),
        ((still, arm, 1, covariates), Status.NO_VARIATION),
        ((same, arm, 1, covariates), Status.NO_VARIATION),
    ):
        found = mmrm(*changed)
        assert found.status[0] == code
        assert np.isnan(with_one(found, 0)).all()
        assert found.covariance[0] == -1


def test_later_visits_need_nobody():
    outcome, arm, covariates = trials(16)
    outcome[:, :, 3] = np.nan
    found, shorter = mmrm(outcome, arm, 1, covariates, visit=1), mmrm(outcome[:, :, :3], arm, 1, covariates, visit=1)
    assert_allclose(found.estimate, shorter.estimate, rtol=AGREE)
    assert_allclose(found.df, shorter.df, rtol=AGREE)


def test_a_fallback_is_used_where_the_first_covariance_cannot_be_fitted():
    """Twelve patients with six visits leave too few for an unstructured covariance."""
    outcome, arm, covariates = trials(17, n_replicates=4, n_patients=8, n_visits=6, lost=0)
    plain = mmrm(outcome, arm, 1, covariates)
    assert (plain.status != Status.OK).all()
    found = mmrm(outcome, arm, 1, covariates, fallback=("toeplitz", "ar1", "compound_symmetry"))
    assert (found.status == Status.OK).all()
    assert (found.covariance > 0).all()
    for r, place in enumerate(found.covariance):
        some = slice(r, r + 1)
        direct = mmrm(outcome[some], arm[some], 1, [covariates[0][some]], covariance=("toeplitz", "ar1", "compound_symmetry")[place - 1])
        assert_allclose(with_one(found, r), with_one(direct, 0), rtol=AGREE)


def test_a_fallback_is_not_used_where_none_is_needed():
    outcome, arm, covariates = trials(18, gaps=0.05)
    plain, with_fallback = (mmrm(outcome, arm, 1, covariates, fallback=fallback) for fallback in ((), ("ar1",)))
    assert_array_equal(with_fallback.covariance, 0)
    assert_array_equal(with_fallback.estimate, plain.estimate)


def test_weights_and_weeks_are_checked():
    outcome, arm, covariates = trials(19)
    with pytest.raises(ValueError, match="4 weights"):
        mmrm(outcome, arm, 1, covariates, visit=[1.0, 2.0])
    for weeks in ((1, 2, 3), (1, 1, 2, 2)):
        with pytest.raises(ValueError, match="at least three of them different"):
            random_slope(outcome, weeks, arm, 1, covariates)
