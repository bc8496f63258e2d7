"""Imputation: agreement with a naive twin, algebra, closed forms in expectation, and what each variance estimates."""

from functools import partial
from typing import NamedTuple, get_args

import numpy as np
import pytest
from double import imputation as twin
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import stdtr

from simtrials.core.status import Status
from simtrials.stats import carried_forward
from simtrials.stats.conditional_mean import conditional_mean_ancova, conditional_means
from simtrials.stats.imputation import Luck, Regressions, cohort, draw_luck, posterior_draws
from simtrials.stats.proportions import log_risk_ratio, risk_difference
from simtrials.stats.quantiles import normal_critical, t_critical
from simtrials.stats.reference_based import Assumption, Imputed, delta_shift, impute
from simtrials.stats.regression import least_squares
from simtrials.stats.rubin import Analyses, ancova, ancova_over_deltas, pool, responders, tipping_point

ASSUMPTIONS, REGRESSIONS = get_args(Assumption), get_args(Regressions)


def generator(seed):
    return np.random.Generator(np.random.SFC64(seed))


class Block(NamedTuple):
    outcome: np.ndarray
    arm: np.ndarray
    covariates: list
    deviation: np.ndarray

    def cohort(self):
        return cohort(self.outcome, self.arm, 1, self.covariates, self.deviation)


def block(seed, n_patients=90, n_replicates=3, n_visits=4, n_covariates=1, gaps=0.05, stay=0.2):
    """Outcomes that go with each other, with the covariates and the arm; dropout, gaps, outcomes after a deviation, nobodies and a third arm."""
    rng = np.random.default_rng(seed)
    shape = (n_replicates, n_patients)
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [20 + 3 * rng.normal(size=shape) for _ in range(n_covariates)]
    steps = rng.normal(size=(*shape, n_visits)) + 0.3 * (arm == 1)[:, :, np.newaxis]
    outcome = 2 * np.cumsum(steps, axis=2) + 0.5 * np.sum(covariates, axis=0)[..., np.newaxis]
    deviation = np.where(rng.random(shape) < 0.3, rng.integers(0, n_visits, shape), n_visits)
    stays = rng.random(shape) < stay
    outcome[(np.arange(n_visits) >= deviation[:, :, np.newaxis]) & ~stays[:, :, np.newaxis]] = np.nan
    outcome[rng.random(outcome.shape) < gaps] = np.nan
    if covariates:
        covariates[0][rng.random(shape) < 0.03] = np.nan
    return Block(outcome, arm, covariates, deviation)


def luck_of(data, seed=1, n_imputations=2, burn_in=1):
    return draw_luck(generator(seed), data.outcome.shape, n_imputations, len(data.covariates), burn_in)


def one_replicate(data, r):
    """What the twin takes: outcome, columns, arm and deviation of one trial."""
    columns = np.stack([column[r] for column in data.covariates], axis=1) if data.covariates else np.empty((data.arm.shape[1], 0))
    arm = np.where(np.isin(data.arm[r], (0, 1)) & np.isfinite(columns.sum(axis=1)), data.arm[r], -1)
    return data.outcome[r], columns, arm, data.deviation[r]


def rounding(data):
    """What may be lost to rounding, in units of the outcome: cross-products square the condition number, and visits build on each other."""
    worst = 1.0
    for r in range(len(data.outcome)):
        outcome, columns, arm, _ = one_replicate(data, r)
        for code in (0, 1):
            rows = np.column_stack([columns, outcome])[arm == code]
            worst = max(worst, np.linalg.cond(np.atleast_2d(np.corrcoef(rows[np.isfinite(rows).all(axis=1)].T))))
    return 50 * np.finfo(float).eps * worst * data.outcome.shape[2] * np.nanstd(data.outcome)


# Agreement with the twin


@pytest.mark.parametrize("regressions", REGRESSIONS)
@pytest.mark.parametrize(("seed", "n_visits", "n_covariates"), [(1, 1, 0), (2, 2, 1), (3, 4, 1), (4, 3, 2)])
def test_imputations_are_those_of_the_twin(seed, n_visits, n_covariates, regressions):
    data = block(seed, n_visits=n_visits, n_covariates=n_covariates, n_replicates=2)
    luck, patients = luck_of(data), data.cohort()
    draws = posterior_draws(patients, luck, regressions)
    visit = seed % n_visits
    found = {assumption: impute(patients, draws, assumption, visit) for assumption in ASSUMPTIONS}
    for r in range(2):
        outcome, columns, arm, deviation = one_replicate(data, r)
        luck_of_one = Luck(luck.coefficient[r], luck.variance[r], luck.patient[r], luck.n_burned)
        kept = twin.chain(outcome, columns, arm, deviation, luck_of_one, regressions == "shared")[luck.n_burned :]
        for p in np.flatnonzero((arm >= 0) & np.isnan(outcome[:, visit])):
            for assumption, imputed in found.items():
                for m, both in enumerate(kept):
                    patient = (outcome[p], columns[p], arm[p], deviation[p], both, assumption, luck.patient[r, p, luck.n_burned + m])
                    assert_allclose(imputed.outcome[r, p, m], twin.completed(*patient)[visit], rtol=0, atol=100 * rounding(data))


@pytest.mark.parametrize("regressions", REGRESSIONS)
@pytest.mark.parametrize("assumption", ASSUMPTIONS)
def test_effect_and_jackknife_are_those_of_fitting_again_without_each_patient(assumption, regressions):
    data = block(5, n_patients=60, n_visits=3, n_replicates=1, stay=0.5)
    patients = data.cohort()
    for visit in (1, 2):
        shift = delta_shift(patients, [0.5, 1, 2], cumulative=True, visit=visit)
        found = conditional_mean_ancova(patients, assumption, regressions, visit, shift)
        effect, std_error = twin.jackknife(*one_replicate(data, 0), assumption, regressions == "shared", visit, shift[0])
        assert_allclose([found.estimate[0], found.std_error[0]], [effect, std_error], rtol=1e-10, atol=1e-10)


def test_pooling_is_that_of_the_twin():
    rng = np.random.default_rng(6)
    estimate, std_error = rng.normal(size=(5, 7)), rng.uniform(0.5, 2, size=(5, 7))
    df = np.array([3.0, 10.0, 200.0, np.inf, 57.5])
    found = pool(Analyses(estimate, std_error, df, np.zeros(5, dtype=np.int64)))
    for r in range(5):
        assert_allclose([found.estimate[r], found.std_error[r], found.df[r]], twin.rubin(estimate[r], std_error[r], df[r]), rtol=1e-13)


def test_at_random_with_shared_regressions_conditional_means_give_the_mixed_model():
    data = block(7, gaps=0.0, stay=0.0)
    found = conditional_mean_ancova(data.cohort(), regressions="shared", visit=2)
    for r in range(len(data.outcome)):
        outcome, columns, arm, _ = one_replicate(data, r)
        assert_allclose(found.estimate[r], twin.mixed_model_effect(outcome, columns, arm, 2), rtol=0, atol=100 * rounding(data))


# Analyses of completed data


def completed_block(seed=8):
    data = block(seed)
    patients = data.cohort()
    return data, patients, impute(patients, posterior_draws(patients, luck_of(data, n_imputations=6)))


def test_each_analysis_of_covariance_is_least_squares():
    data, _, imputed = completed_block()
    found = ancova(imputed, data.arm, 1, data.covariates)
    assert_array_equal(found.status, Status.OK)
    for m in range(imputed.outcome.shape[2]):
        expected = least_squares(imputed.outcome[:, :, m], data.arm, 1, data.covariates)
        assert_allclose(found.estimate[:, m], expected.estimate, rtol=0, atol=100 * rounding(data))
        assert_allclose(found.std_error[:, m], expected.std_error, rtol=100 * rounding(data))
        assert_array_equal(found.df, expected.df)


def test_a_sweep_over_deltas_is_adding_each_of_them():
    data, patients, imputed = completed_block()
    shift, deltas = delta_shift(patients, 1.0), np.array([-3.0, 0.0, 0.5, 10.0])
    swept = ancova_over_deltas(imputed, shift, deltas, data.arm, 1, data.covariates)
    for k, delta in enumerate(deltas):
        moved = imputed._replace(outcome=imputed.outcome + delta * shift[:, :, np.newaxis])
        expected = ancova(moved, data.arm, 1, data.covariates)
        assert_allclose(swept.estimate[:, :, k], expected.estimate, rtol=0, atol=1e3 * rounding(data))
        assert_allclose(swept.std_error[:, :, k], expected.std_error, rtol=1e3 * rounding(data))
        one, all_of_them = pool(expected), pool(swept)
        assert_allclose(all_of_them.df[:, k], one.df, rtol=1e3 * rounding(data))


def test_deltas_are_added_after_the_deviation_only_and_pile_up_when_told_so():
    nan = np.nan
    outcome = np.array([[[1.0, 2, 3, 4], [1, nan, nan, nan], [1, nan, 3, nan], [nan] * 4, [1, 2, nan, nan], [1, 2, 3, nan]]])
    arm, deviation = np.array([[1, 1, 1, 1, 0, 1]], dtype=np.int8), np.array([[4, 1, 3, 0, 2, 4]])
    patients = cohort(outcome, arm, 1, deviation=deviation)
    by_visit = [5, 6, 7, 8]
    assert_array_equal(delta_shift(patients, by_visit), [[0, 8, 8, 8, 0, 0]])
    assert_array_equal(delta_shift(patients, by_visit, cumulative=True), [[0, 21, 8, 26, 0, 0]])
    assert_array_equal(delta_shift(patients, 2.0, cumulative=True), [[0, 6, 2, 8, 0, 0]])
    assert_array_equal(delta_shift(patients, by_visit, cumulative=True, arms=(0, 1)), [[0, 21, 8, 26, 15, 0]])
    assert_array_equal(delta_shift(patients, by_visit, cumulative=True, visit=1), [[0, 6, 0, 11, 0, 0]])
    by_default = cohort(outcome, arm, 1)
    assert_array_equal(by_default.deviation, [[4, 1, 3, 0, 2, 3]])


def test_the_tipping_point_is_where_significance_is_lost():
    rng = np.random.default_rng(9)
    deltas = np.linspace(0, 4, 81)
    estimate = rng.normal(3, 0.3, size=(4, 10, 1)) - deltas
    std_error = np.ones_like(estimate)
    estimate[3] = np.nan
    pooled = pool(Analyses(estimate, std_error, np.full(4, 50.0), np.zeros(4, dtype=np.int64)))
    found = tipping_point(pooled, deltas)
    significant = np.abs(pooled.estimate) > t_critical(pooled.df, 0.05) * pooled.std_error
    for r in range(3):
        first = np.flatnonzero(~significant[r])[0]
        assert found[r] == deltas[first]
    assert np.isnan(found[3])
    assert np.isnan(tipping_point(pool(Analyses(estimate + 100, std_error, np.full(4, 50.0), np.zeros(4, dtype=np.int64))), deltas)).all()


def test_responders_are_counted_in_each_completed_data_set():
    data, _, imputed = completed_block()
    baseline = np.where(np.isnan(data.covariates[0]), np.nan, 40.0)

    def halved(score, before):
        return 2 * np.rint(score) <= before

    for contrast, function in {"risk_difference": risk_difference, "log_risk_ratio": partial(log_risk_ratio, correction=0.5)}.items():
        found = responders(imputed, baseline, halved, data.arm, 1, contrast)
        at_threshold = responders(imputed, baseline, 20.5, np.where(np.isnan(baseline), np.int8(-1), data.arm), 1, contrast)
        assert_array_equal(found.status, Status.OK)
        for r in range(len(data.arm)):
            for m in range(imputed.outcome.shape[2]):
                table = []
                for code in (1, 0):
                    members = (data.arm[r] == code) & np.isfinite(baseline[r])
                    table += [np.sum(np.rint(imputed.outcome[r, members, m]) <= 20), np.sum(members)]
                expected = function(*table)
                assert_allclose(found.estimate[r, m], expected.estimate, rtol=1e-14, atol=1e-14)
                assert_allclose(found.std_error[r, m], expected.std_error, rtol=1e-14)
        assert_allclose(at_threshold.estimate, found.estimate, rtol=1e-14)  # 20.5 itself rounds to 20
        assert np.isinf(found.df).all()


# Algebra


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def every_result(patients, luck):
    """All that is random or estimated, on one list."""
    draws = posterior_draws(patients, luck)
    imputed = [impute(patients, draws, assumption, visit) for assumption in ASSUMPTIONS for visit in (1, -1)]
    fits = [conditional_mean_ancova(patients, assumption) for assumption in ASSUMPTIONS]
    return [draws.parameters, *[part for result in (*imputed, *fits) for part in result]]


def test_the_same_generator_gives_the_same_bits_and_as_many_draws_whatever_is_missing():
    data, other = block(10), block(11)
    assert_same(every_result(data.cohort(), luck_of(data)), every_result(data.cohort(), luck_of(data)))
    states = []
    for one in (data, other):
        rng = generator(1)
        posterior_draws(one.cohort(), draw_luck(rng, one.outcome.shape, 2, 1))
        states.append(rng.bit_generator.state["state"]["state"])
    assert_array_equal(*states)


def test_a_larger_trial_keeps_the_luck_of_its_first_patients():
    small, large = (draw_luck(generator(2), (4, n, 3), 5, 1) for n in (20, 30))
    assert_array_equal(small.patient, large.patient[:, :20])
    assert_array_equal(small.coefficient, large.coefficient)
    assert_array_equal(small.variance, large.variance)


def test_a_replicate_does_not_depend_on_the_others():
    data = block(12)
    luck = luck_of(data)
    found = every_result(data.cohort(), luck)
    for r in range(len(data.arm)):
        rows = slice(r, r + 1)
        alone = Block(data.outcome[rows], data.arm[rows], [column[rows] for column in data.covariates], data.deviation[rows])
        luck_of_one = Luck(luck.coefficient[rows], luck.variance[rows], luck.patient[rows], luck.n_burned)
        assert_same(every_result(alone.cohort(), luck_of_one), [part[rows] for part in found])


def test_patients_who_are_not_analysed_change_no_bit():
    data = block(13)
    luck = luck_of(data)
    nobody = ~np.isin(data.arm, (0, 1))
    changed = data._replace(outcome=np.where(nobody[:, :, np.newaxis], 99.0, data.outcome), deviation=np.where(nobody, 0, data.deviation))
    found, expected = every_result(changed.cohort(), luck), every_result(data.cohort(), luck)
    assert_array_equal(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        kept = ~nobody if one.ndim == 3 else np.ones(len(one), dtype=bool)
        assert_array_equal(one[kept], other[kept])


def test_observed_outcomes_stay_as_they_are():
    data = block(14)
    patients = data.cohort()
    imputed = impute(patients, posterior_draws(patients, luck_of(data)), "copy_reference").outcome
    observed = ~np.isnan(data.outcome[:, :, -1])
    assert_array_equal(imputed[observed], np.repeat(data.outcome[:, :, -1:], 2, axis=2)[observed])
    wanted = patients.arm >= 0
    assert not np.isnan(imputed[wanted]).any()
    assert np.isnan(imputed[~observed & ~wanted]).all()


@pytest.mark.parametrize("regressions", REGRESSIONS)
def test_shifting_and_scaling_outcomes_shifts_and_scales_imputations(regressions):
    data = block(15)
    luck = luck_of(data)
    moved = data._replace(outcome=100 + 3 * data.outcome, covariates=[7 + 0.1 * column for column in data.covariates])
    one, other = data.cohort(), moved.cohort()
    draws, moved_draws = posterior_draws(one, luck, regressions), posterior_draws(other, luck, regressions)
    for assumption in ASSUMPTIONS:
        imputed, moved_imputed = impute(one, draws, assumption).outcome, impute(other, moved_draws, assumption).outcome
        assert_allclose(moved_imputed, 100 + 3 * imputed, rtol=0, atol=1e3 * rounding(moved))
        found, moved_found = conditional_mean_ancova(one, assumption, regressions), conditional_mean_ancova(other, assumption, regressions)
        assert_allclose(moved_found.estimate, 3 * found.estimate, rtol=0, atol=1e3 * rounding(moved))
        assert_allclose(moved_found.std_error, 3 * found.std_error, rtol=1e3 * rounding(moved))


def test_complete_data_are_analysed_as_they_are():
    data = block(16, gaps=0.0)
    data = data._replace(outcome=np.nan_to_num(data.outcome, nan=5.0), deviation=np.full(data.arm.shape, 4))
    patients = data.cohort()
    found = pool(ancova(impute(patients, posterior_draws(patients, luck_of(data))), data.arm, 1, data.covariates))
    expected = least_squares(data.outcome[:, :, -1], data.arm, 1, data.covariates)
    fitted = conditional_mean_ancova(patients)
    assert_allclose(found.estimate, expected.estimate, rtol=0, atol=100 * rounding(data))
    assert_allclose(fitted.estimate, expected.estimate, rtol=0, atol=100 * rounding(data))
    assert_allclose(found.std_error, expected.std_error, rtol=100 * rounding(data))
    assert_array_equal(found.between, 0.0)
    assert_allclose(found.df, (expected.df + 1) / (expected.df + 3) * expected.df, rtol=1e-14)


def test_assumptions_differ_by_nothing_but_the_arms():
    data = block(17, stay=0.0)
    patients = data.cohort()
    draws = posterior_draws(patients, luck_of(data))
    at_random = impute(patients, draws).outcome
    alike = draws._replace(parameters=np.repeat(draws.parameters[:, :, :1], 2, axis=2))
    expected = impute(patients, alike).outcome
    for assumption in ASSUMPTIONS[1:]:
        found = impute(patients, draws, assumption).outcome
        same = (data.arm == 0) | (data.deviation == 4)
        assert_array_equal(found[same], at_random[same])
        assert not np.allclose(found[~same], at_random[~same], equal_nan=True)
        assert_allclose(impute(patients, alike, assumption).outcome, expected, rtol=0, atol=100 * rounding(data))


def test_visits_completed_with_the_same_draws_belong_together():
    """Two visits missed for good: completing the second alone goes through the first as completed by itself."""
    data = block(18, n_visits=3, gaps=0.0, stay=0.0)
    patients = data.cohort()
    draws = posterior_draws(patients, luck_of(data))
    middle, end = (impute(patients, draws, visit=v).outcome[:, :, 0] for v in (1, 2))
    both_missing = np.isnan(data.outcome[:, :, 1]) & ~np.isnan(data.outcome[:, :, 0]) & (patients.arm >= 0)
    for r, p in np.argwhere(both_missing):
        regression = draws.parameters[r, 0, patients.arm[r, p], 2]
        visits = np.array([data.outcome[r, p, 0], middle[r, p]]) - patients.centre[r, :2]
        drawn = regression[0] + regression[1] * patients.covariates[r, p, 0] + regression[2:4] @ visits + regression[4] * draws.luck[r, p, 0, 2]
        assert_allclose(end[r, p], patients.centre[r, 2] + drawn, rtol=1e-12)


# Replicates that cannot be estimated


def few_patients(n_patients=24):
    """Outcome, arm and a covariate of two small trials."""
    rng = np.random.default_rng(19)
    arm = np.broadcast_to(np.tile([0, 1], n_patients // 2), (2, n_patients)).astype(np.int8)
    return rng.normal(size=(2, n_patients, 2)), arm, rng.normal(size=(2, n_patients))


def results(outcome, arm, covariates, assumption="jump_to_reference"):
    patients = cohort(outcome, arm, 1, covariates)
    luck = draw_luck(generator(3), outcome.shape, 3, len(covariates))
    imputed = impute(patients, posterior_draws(patients, luck), assumption)
    return imputed, pool(ancova(imputed, arm, 1, covariates)), conditional_mean_ancova(patients, assumption)


def test_a_regression_that_is_needed_and_cannot_be_fitted_is_reported():
    outcome, arm, column = few_patients()
    few, alike, known = outcome.copy(), outcome.copy(), outcome.copy()
    few[:, 4:, 1] = np.nan  # two controls left, three coefficients
    alike[:, :2, 1], alike[..., 0] = np.nan, 0.1
    known[..., 1] = 2 * known[..., 0]
    known[:, :2, 1] = np.nan
    cases = {Status.TOO_FEW_PATIENTS: (few, [column]), Status.COLLINEAR: (alike, [column]), Status.NO_VARIATION: (known, [column])}
    for status, (values, covariates) in cases.items():
        for result in results(values, arm, covariates):
            assert_array_equal(result.status, status)
        imputed, pooled, fitted = results(values, arm, covariates)
        assert np.isnan(imputed.outcome).any()
        assert np.isnan([pooled.estimate, pooled.std_error, pooled.df, fitted.estimate, fitted.std_error, fitted.df]).all()


def test_a_regression_that_is_not_needed_does_no_harm():
    outcome, arm, column = few_patients()
    outcome[:, 1:18:2] = np.nan  # three patients are left in the active arm
    for result in results(outcome, arm, [column], "copy_reference"):
        assert_array_equal(result.status, Status.OK)
        assert np.isfinite(result[0]).all()
    for result in results(outcome, arm, [column], "missing_at_random"):
        assert_array_equal(result.status, Status.TOO_FEW_PATIENTS)


def test_analyses_that_cannot_be_done_are_reported():
    outcome, arm, column = few_patients()
    alone = np.where(np.arange(24) < 3, arm, -1).astype(np.int8)
    for result in results(outcome, alone, [])[1:]:
        assert_array_equal(result.status, Status.TOO_FEW_PATIENTS)
    for result in results(outcome, arm, [column, 2 * column])[1:]:
        assert_array_equal(result.status, Status.COLLINEAR)
    for result in results(np.full_like(outcome, 0.1), arm, [column])[1:]:
        assert_array_equal(result.status, Status.NO_VARIATION)
    nobody = np.full_like(arm, -1)
    for result in results(outcome, nobody, [column])[1:]:
        assert_array_equal(result.status, Status.TOO_FEW_PATIENTS)
        assert np.isnan(result.estimate).all()


def test_response_ratios_without_responders_are_reported():
    outcome, arm, _ = few_patients()
    imputed = Imputed(np.repeat(outcome[:, :, -1:], 3, axis=2), np.zeros(2, dtype=np.int64))
    for correction, status in ((0.0, Status.EMPTY_CELL), (0.5, Status.OK)):
        assert responders(imputed, outcome[:, :, 0], -99.0, arm, 1, "log_risk_ratio", correction).status[0] == status
    difference = pool(responders(imputed, outcome[:, :, 0], -99.0, arm, 1))
    assert difference.status[0] == Status.NO_VARIATION
    assert difference.estimate[0] == 0


def test_wrong_declarations_are_refused():
    data = block(20)
    with pytest.raises(ValueError, match="deviation must be in 0 to 4"):
        cohort(data.outcome, data.arm, 1, data.covariates, data.deviation + 1)
    with pytest.raises(ValueError, match="at least 2 imputations"):
        pool(Analyses(np.zeros((2, 1)), np.ones((2, 1)), np.ones(2), np.zeros(2, dtype=np.int64)))
    with pytest.raises(ValueError, match="luck must be drawn for the shape"):
        posterior_draws(data.cohort(), draw_luck(generator(1), data.outcome.shape, 2, 0))
    with pytest.raises(ValueError, match="n_imputations must be at least 1"):
        draw_luck(generator(1), (2, 3, 4), 0, 1)


# Expectations and variances


EFFECTS = np.array([0.0, 3.0, 4.5])
CORRELATION = np.array([[1.0, 0.6, 0.4], [0.6, 1.0, 0.7], [0.4, 0.7, 1.0]])


def copies(trial, n_replicates=256):
    """The same trial many times."""
    return np.repeat(trial[np.newaxis], n_replicates, axis=0)


def outcomes(rng, arm, n_visits=3):
    """Correlated visits with a mean that differs between the arms."""
    noise = rng.normal(size=(*arm.shape, n_visits)) @ np.linalg.cholesky(CORRELATION[:n_visits, :n_visits]).T
    return noise + arm[..., np.newaxis] * EFFECTS[:n_visits]


def small_trial(seed, n_patients=60, n_visits=3, share=0.3):
    """Outcome, arm and a covariate of one trial with dropout."""
    rng = np.random.default_rng(seed)
    arm, baseline = np.tile([0, 1], n_patients // 2).astype(np.int8), rng.normal(size=n_patients)
    outcome = 0.5 * baseline[:, np.newaxis] + outcomes(rng, arm, n_visits)
    leaves = np.where(rng.random(n_patients) < share, rng.integers(0, n_visits, n_patients), n_visits)
    outcome[np.arange(n_visits) >= leaves[:, np.newaxis]] = np.nan
    return outcome, arm, baseline


def test_parameters_have_the_mean_and_the_variance_of_their_posterior():
    """Coefficients are multivariate t around least squares; a residual variance has the mean of a scaled inverse chi-square."""
    outcome, arm, baseline = small_trial(21, n_patients=40, n_visits=1)
    patients = cohort(copies(outcome), copies(arm), 1, [copies(baseline)])
    drawn = posterior_draws(patients, draw_luck(generator(4), patients.outcome.shape, 40, 1)).parameters[:, :, 1, 0].reshape(-1, 3)
    members = (arm == 1) & np.isfinite(outcome[:, 0])
    matrix = np.column_stack([np.ones(members.sum()), patients.covariates[0, members, 0]])
    centred = patients.centred[0, members, 0]
    estimate = np.linalg.lstsq(matrix, centred)[0]
    squares, df = np.sum((centred - matrix @ estimate) ** 2), matrix.shape[0] - 2
    variance = squares / (df - 2)  # the mean of squares over a chi-square on df
    covariance = variance * np.linalg.inv(matrix.T @ matrix)

    def deviation(values, expected):
        return (values.mean() - expected) / (values.std() / np.sqrt(values.size))

    departure = drawn[:, :2] - estimate
    for i in range(2):
        assert abs(deviation(drawn[:, i], estimate[i])) < 4
        for j in range(i + 1):
            assert abs(deviation(departure[:, i] * departure[:, j], covariance[i, j])) < 4
    assert abs(deviation(drawn[:, 2] ** 2, variance)) < 4
    assert abs(deviation(drawn[:, 2] ** 2, squares / (df - 1))) > 8  # one degree of freedom too many
    assert abs(deviation(departure[:, 0] ** 2, covariance[0, 0] * (df - 2) / df)) > 8  # the estimated variance, not a drawn one


@pytest.mark.parametrize("regressions", REGRESSIONS)
def test_many_imputations_tend_to_the_conditional_means(regressions):
    """Regressions of different visits are independent in the posterior, so the expected imputation is exactly that of maximum likelihood."""
    outcome, arm, baseline = small_trial(22)
    arms, columns = copies(arm), [copies(baseline)]
    patients = cohort(copies(outcome), arms, 1, columns)
    draws = posterior_draws(patients, draw_luck(generator(5), patients.outcome.shape, 30, 1), regressions)
    limit, found, error = {}, {}, {}
    for assumption in ASSUMPTIONS:
        effects = ancova(impute(patients, draws, assumption), arms, 1, columns).estimate
        found[assumption], error[assumption] = effects.mean(), effects.std() / np.sqrt(effects.size)
        limit[assumption] = conditional_mean_ancova(cohort(outcome[np.newaxis], arm[np.newaxis], 1, [baseline[np.newaxis]]), assumption, regressions)
    for assumption in ASSUMPTIONS:
        assert abs(found[assumption] - limit[assumption].estimate[0]) < 4 * error[assumption]
        for other in set(ASSUMPTIONS) - {assumption}:
            assert abs(found[assumption] - limit[other].estimate[0]) > 8 * error[assumption]


def test_the_variance_between_imputations_is_that_of_proper_imputation():
    """One visit, no covariates: the mean of the active arm varies with its drawn mean and with the noise of the imputed values."""
    outcome, arm, _ = small_trial(23, n_patients=48, n_visits=1, share=0.5)
    outcome[arm == 0] = np.nan_to_num(outcome[arm == 0])
    arms = copies(arm, 512)
    patients = cohort(copies(outcome, 512), arms, 1)
    draws = posterior_draws(patients, draw_luck(generator(6), patients.outcome.shape, 10, 0))
    fitted = conditional_means(patients).parameters
    improper = draws._replace(parameters=np.repeat(fitted, 10, axis=1))  # no draws of parameters
    seen = outcome[(arm == 1) & np.isfinite(outcome[:, 0]), 0]
    n, n_seen = np.sum(arm == 1), seen.size
    share, df = 1 - n_seen / n, n_seen - 1
    expected = seen.var() * n_seen / (df - 2) * (share**2 / n_seen + share / n)
    for imputed, is_proper in ((draws, True), (improper, False)):
        between = pool(ancova(impute(patients, imputed), arms, 1)).between
        departure = abs(between.mean() - expected) / (between.std() / np.sqrt(between.size))
        assert departure < 4 if is_proper else departure > 8


def trials_with_deviations(deviation, n_replicates=512, n_patients=80, n_leaving=12):
    """Trials in which the same number of active patients, whoever they are, leave before the visit `deviation`."""
    rng = np.random.default_rng(24)
    arm = np.broadcast_to(np.tile([0, 1], n_patients // 2), (n_replicates, n_patients)).astype(np.int8)
    outcome = outcomes(rng, arm)
    outcome[:, 1 : 2 * n_leaving : 2, deviation:] = np.nan
    return outcome, arm, 2 * n_leaving / n_patients


def expected_effect(assumption, deviation, share):
    """What stays of the effect when a share of the active arm deviates: that of those who stay, and what is kept of the others."""
    before = EFFECTS[:deviation]
    kept = {
        "missing_at_random": EFFECTS[-1],
        "jump_to_reference": 0.0,
        "copy_increments": before[-1] if deviation else 0.0,
        "copy_reference": CORRELATION[-1, :deviation] @ np.linalg.solve(CORRELATION[:deviation, :deviation], before) if deviation else 0.0,
    }[assumption]
    return (1 - share) * EFFECTS[-1] + share * kept


@pytest.mark.parametrize("deviation", [0, 2])
@pytest.mark.parametrize("assumption", ASSUMPTIONS)
def test_the_expected_effect_is_the_closed_form_of_its_assumption(assumption, deviation):
    outcome, arm, share = trials_with_deviations(deviation)
    patients = cohort(outcome, arm, 1)
    draws = posterior_draws(patients, draw_luck(generator(7), outcome.shape, 5, 0))
    expected = expected_effect(assumption, deviation, share)
    wrong = {expected_effect(other, deviation, share) for other in ASSUMPTIONS} - {expected}
    for estimate in (pool(ancova(impute(patients, draws, assumption), arm, 1)).estimate, conditional_mean_ancova(patients, assumption).estimate):
        error = estimate.std() / np.sqrt(estimate.size)
        assert abs(estimate.mean() - expected) < 4 * error
        assert min(abs(estimate.mean() - other) for other in wrong) > 8 * error


def coverage(estimate, std_error, df, truth=0.0):
    """Share of 95 % intervals that hold the truth, and its Monte Carlo error under a level of 0.95."""
    return np.mean(np.abs(estimate - truth) < t_critical(df, 0.05) * std_error), np.sqrt(0.95 * 0.05 / estimate.size)


def test_rubins_variance_is_too_large_after_jump_to_reference_and_the_jackknife_is_not():
    """One visit, no effect, a share of the active arm missing: the estimate is the effect of those who stay times their share.

    Its variance, in units of the outcome's variance over the patients of an arm, is 1 - p + (1 - p)^2; Rubin's rules estimate 2 + p + p^2.
    The jackknife's expectation follows from what leaving out a control, an active patient who stays and one who leaves does to the estimate.
    """
    n, share, n_replicates = 50, 0.4, 2048
    outcome = np.random.default_rng(25).normal(size=(n_replicates, 2 * n, 1))
    arm = np.broadcast_to(np.tile([0, 1], n), outcome.shape[:2]).astype(np.int8)
    outcome[:, 1 : int(2 * n * share) : 2] = np.nan
    patients = cohort(outcome, arm, 1)
    pooled = pool(ancova(impute(patients, posterior_draws(patients, draw_luck(generator(8), outcome.shape, 10, 0)), "jump_to_reference"), arm, 1))
    fitted = conditional_mean_ancova(patients, "jump_to_reference")
    true_variance, rubin_variance = (1 - share + (1 - share) ** 2) / n, (2 + share + share**2) / n
    assert abs(fitted.estimate.var() / true_variance - 1) < 4 * np.sqrt(2 / n_replicates)
    jackknife = (1 - 0.5 / n) * (n * (1 - share) - 1 + (1 - share) ** 2 * (n - 1) + share + share * (1 - share)) / (n - 1) ** 2
    assert abs(np.mean(fitted.std_error**2) - jackknife) < 4 * np.std(fitted.std_error**2) / np.sqrt(n_replicates)
    assert abs(jackknife / true_variance - 1) < 1 / n
    assert np.mean(pooled.std_error**2) > 0.95 * rubin_variance > 2 * true_variance
    rubin_coverage, error = coverage(pooled.estimate, pooled.std_error, pooled.df)
    jackknife_coverage, _ = coverage(fitted.estimate, fitted.std_error, fitted.df)
    assert rubin_coverage > 0.95 + 8 * error
    assert jackknife_coverage < 0.95 + 4 * error
    fewest = 2 * stdtr(n * (1 - share) - 1, normal_critical(0.05)) - 1  # as if the variance had the error of the smaller group
    assert jackknife_coverage > fewest - 4 * error


def test_intervals_of_proper_imputation_cover_and_those_of_improper_imputation_do_not():
    n_replicates, n_patients = 2048, 80
    outcome = np.random.default_rng(26).normal(size=(n_replicates, n_patients, 1))
    arm = np.broadcast_to(np.tile([0, 1], n_patients // 2), outcome.shape[:2]).astype(np.int8)
    outcome[:, : n_patients * 6 // 10] = np.nan
    patients = cohort(outcome, arm, 1)
    draws = posterior_draws(patients, draw_luck(generator(9), outcome.shape, 20, 0))
    improper = draws._replace(parameters=np.repeat(conditional_means(patients).parameters, 20, axis=1))
    found, error = coverage(*pool(ancova(impute(patients, draws), arm, 1))[:3])
    without, _ = coverage(*pool(ancova(impute(patients, improper), arm, 1))[:3])
    assert abs(found - 0.95) < 4 * error
    assert without < 0.95 - 8 * error


def test_gaps_that_depend_on_a_later_visit_leave_no_bias():
    """The first visit is missed where the second is high: at random, but not for those who look at the first visit alone."""
    rng = np.random.default_rng(27)
    arm = np.broadcast_to(np.tile([0, 1], 50), (256, 100)).astype(np.int8)
    steps = rng.normal(size=(256, 100, 2))
    outcome = np.stack([steps[..., 0], 0.8 * steps[..., 0] + 0.6 * steps[..., 1]], axis=2) + 1.0 * arm[:, :, np.newaxis]
    outcome[..., 0] = np.where(rng.random(arm.shape) < 1 / (1 + np.exp(2 - 2 * outcome[..., 1])), np.nan, outcome[..., 0])
    patients = cohort(outcome, arm, 1)
    imputed = impute(patients, posterior_draws(patients, draw_luck(generator(10), outcome.shape, 10, 0)), visit=0)
    pooled = pool(ancova(imputed, arm, 1))
    seen = least_squares(outcome[..., 0], arm, 1).estimate
    assert abs(pooled.estimate.mean() - 1) < 4 * pooled.estimate.std() / np.sqrt(256)
    assert abs(seen.mean() - 1) > 8 * seen.std() / np.sqrt(256)


# Simple ways


def test_values_are_carried_forward():
    nan = np.nan
    outcome, baseline = np.array([[[1.0, nan, 3.0, nan], [nan, nan, 5.0, 6.0], [nan] * 4]]), np.array([[7.0, 8.0, 9.0]])
    last = carried_forward.last_observation_carried_forward
    assert_array_equal(last(outcome, baseline), [[[1, 1, 3, 3], [8, 8, 5, 6], [9, 9, 9, 9]]])
    assert_array_equal(last(outcome), [[[1, 1, 3, 3], [nan, nan, 5, 6], [nan] * 4]])
    assert_array_equal(carried_forward.baseline_observation_carried_forward(outcome, baseline), [[[1, 7, 3, 7], [8, 8, 5, 6], [9, 9, 9, 9]]])
    assert_array_equal(carried_forward.completers(outcome), [[[nan] * 4, [nan, nan, 5, 6], [nan] * 4]])
    response, analysed = np.array([[1.0, 0.0, nan, nan]]), np.array([[True, True, True, False]])
    assert_array_equal(carried_forward.non_responder_imputation(response, analysed), [[1, 0, 0, nan]])
    assert np.isnan(outcome).sum() == 8  # what was given is left as it was
