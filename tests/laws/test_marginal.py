"""Standardised risks: the naive twin, closed forms without covariates, symmetries, and which of the two variances covers which truth."""

import numpy as np
import pytest
from double import marginal as twin
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, ndtr

from simtrials.core.status import Status
from simtrials.stats import proportions
from simtrials.stats.counts import event_counts
from simtrials.stats.logistic import CONVERGED_BELOW, logistic_regression
from simtrials.stats.marginal import marginal_effect, standardized_risks

LENGTH = np.sqrt(CONVERGED_BELOW)  # of the last step, in standard errors: what is left of an error in the conditional variance
SQUARE = 1e-10  # the error of an estimate is the square of that length, or rounding
few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
CONTRASTS = ("risk_difference", "log_risk_ratio", "log_odds_ratio")
all_contrasts = pytest.mark.parametrize("contrast", CONTRASTS)
both_kinds = pytest.mark.parametrize("kind", ["within_arm", "decomposed"])


def block(seed, n_covariates=2, n_replicates=None, n_patients=None):
    """Events, arms (a third one and none among them) and covariates that matter; some values missing."""
    rng = np.random.default_rng(seed)
    shape = (n_patients or rng.integers(40, 90), n_replicates or rng.integers(1, 6))
    arm = rng.choice([-1, 0, 0, 0, 1, 1, 2], size=shape).astype(np.int8)
    covariates = [np.where(rng.random(shape) < 0.03, np.nan, rng.normal(size=shape)) for _ in range(n_covariates)]
    risk = expit(rng.normal() / 2 + 0.7 * (arm == 1) + 0.7 * sum(np.nan_to_num(column) for column in covariates))
    outcome = np.where(rng.random(shape) < 0.03, np.nan, rng.random(shape) < risk)
    return outcome.T, arm.T, [column.T for column in covariates]


def effect(outcome, arm, covariates=(), contrast="risk_difference", kind="within_arm"):
    return marginal_effect(standardized_risks(outcome, arm, 1, covariates, kind), contrast)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def assert_close(found, expected, tolerance=10 * LENGTH):
    """Estimates in units of their standard error."""
    assert_array_equal(found.status, expected.status)
    ok = found.status == Status.OK
    scale = found.conditional_std_error[ok]
    assert_allclose(found.estimate[ok] / scale, expected.estimate[ok] / scale, rtol=0, atol=tolerance)
    assert_allclose(found.conditional_std_error[ok], expected.conditional_std_error[ok], rtol=tolerance)
    assert_allclose(found.superpopulation_std_error[ok], expected.superpopulation_std_error[ok], rtol=tolerance)


@all_contrasts
@both_kinds
@few
@given(seeds, st.integers(0, 3))
def test_effects_are_those_of_root_finding_and_numerical_derivatives(contrast, kind, seed, n_covariates):
    outcome, arm, covariates = block(seed, n_covariates)
    found = effect(outcome, arm, covariates, contrast, kind)
    for r in np.flatnonzero(found.status == Status.OK):
        expected = twin.effect(outcome[r], arm[r], 1, [column[r] for column in covariates], contrast, kind == "decomposed")
        assert_allclose(found.estimate[r], expected[0], rtol=0, atol=SQUARE * expected[1])
        assert_allclose(found.conditional_std_error[r], expected[1], rtol=10 * LENGTH)
        assert_allclose(found.superpopulation_std_error[r], expected[2], rtol=1e-8)  # differentiated with a relative step of 1e-5


def test_the_two_kinds_of_residual_variance_differ_in_small_trials_and_agree_in_large_ones():
    def disagreement(n_patients):
        outcome, arm, covariates = block(2, n_replicates=40, n_patients=n_patients)
        one, other = (effect(outcome, arm, covariates, kind=kind).superpopulation_std_error for kind in ("within_arm", "decomposed"))
        return np.nanmedian(np.abs(one / other - 1))

    assert disagreement(60) > 1e-3
    assert disagreement(6000) < disagreement(60) / 5  # of order n^-1/2: a tenth


@both_kinds
@all_contrasts
def test_without_covariates_they_are_the_crude_contrast_with_its_two_usual_standard_errors(contrast, kind):
    """The conditional one divides by n, the superpopulation one, made of sample variances, by n - 1."""
    outcome, arm, _ = block(3, 0, n_replicates=60)
    found = effect(outcome, arm, (), contrast, kind)
    ok = found.status == Status.OK
    assert ok.sum() > 50
    counts = event_counts(outcome, arm, 1)
    crude = getattr(proportions, contrast)(*counts)
    assert_allclose(found.estimate[ok], crude.estimate[ok], rtol=0, atol=SQUARE)
    assert_allclose(found.conditional_std_error[ok], crude.std_error[ok], rtol=10 * LENGTH)
    n = np.stack([counts.n_control, counts.n_active])
    risk = np.stack([counts.events_control, counts.events_active]) / n
    slope = {"risk_difference": np.ones_like(risk), "log_risk_ratio": 1 / risk, "log_odds_ratio": 1 / (risk * (1 - risk))}[contrast]
    variance = (slope**2 * risk * (1 - risk) / (n - 1)).sum(axis=0)
    assert_allclose(found.superpopulation_std_error[ok], np.sqrt(variance[ok]), rtol=1e-9)


@all_contrasts
def test_swapping_arms_flips_the_sign(contrast):
    outcome, arm, covariates = block(4, n_replicates=40)
    other = np.where(arm == 0, 1, np.where(arm == 1, 0, arm)).astype(np.int8)
    there, back = effect(outcome, arm, covariates, contrast), effect(outcome, other, covariates, contrast)
    assert_close(back._replace(estimate=-back.estimate), there)


def test_counting_the_others_complements_both_risks_and_changes_no_variance():
    outcome, arm, covariates = block(5, n_replicates=40)
    there, back = standardized_risks(outcome, arm, 1, covariates), standardized_risks(1 - outcome, arm, 1, covariates)
    assert_allclose(back.active, 1 - there.active, rtol=0, atol=SQUARE)
    assert_allclose(back.control, 1 - there.control, rtol=0, atol=SQUARE)
    for one, other in zip(back[2:8], there[2:8], strict=True):
        assert_allclose(one, other, rtol=10 * LENGTH, atol=1e-12)
    for contrast in ("risk_difference", "log_odds_ratio"):
        flipped = effect(1 - outcome, arm, covariates, contrast)
        assert_close(flipped._replace(estimate=-flipped.estimate), effect(outcome, arm, covariates, contrast))
    ratio = effect(1 - outcome, arm, covariates, "log_risk_ratio").estimate + effect(outcome, arm, covariates, "log_risk_ratio").estimate
    assert np.nanmax(np.abs(ratio)) > 0.1


def test_shifting_and_scaling_covariates_changes_nothing():
    outcome, arm, (age, weight) = block(6, n_replicates=40)
    assert_close(effect(outcome, arm, [40 - 5 * age, weight]), effect(outcome, arm, [age, weight]))


def test_the_order_of_patients_does_not_matter():
    outcome, arm, covariates = block(7, n_replicates=40)
    order = np.random.default_rng(8).permutation(outcome.shape[1])
    assert_close(effect(outcome[:, order], arm[:, order], [column[:, order] for column in covariates]), effect(outcome, arm, covariates))


def test_a_replicate_does_not_depend_on_its_neighbours_nor_on_memory_order():
    outcome, arm, covariates = block(9, n_replicates=40, n_patients=36)
    outcome[:5] = np.where(np.isnan(outcome[:5]), np.nan, 1.0)
    covariates[0][5:9] = 2.0
    outcome[9:12] = covariates[0][9:12] > 0
    found = standardized_risks(outcome, arm, 1, covariates)
    assert {Status.OK, Status.SEPARATED, Status.NO_VARIATION} <= set(found.status)
    assert_same(standardized_risks(outcome.copy(), arm.copy(), 1, [column.copy() for column in covariates]), found)
    for r in range(len(outcome)):
        assert_same(standardized_risks(outcome[[r]], arm[[r]], 1, [column[[r]] for column in covariates]), [x[[r]] for x in found])


def test_arms_that_are_balanced_on_the_covariates_keep_their_crude_risks():
    """Since the risks fitted for an arm's own patients add up to its events, whatever the truth looks like."""
    rng = np.random.default_rng(10)
    x, luck = rng.normal(size=(30, 40)), rng.random((30, 80))
    arm = np.repeat(np.array([[0, 1]], dtype=np.int8), 40, axis=1) * np.ones((30, 1), dtype=np.int8)
    outcome = (luck < 0.3 + 0.4 * (np.abs(np.tile(x, 2)) > 0.6)).astype(float)
    found = standardized_risks(outcome, arm, 1, [np.tile(x, 2), np.exp(np.tile(x, 2))])
    assert (found.status == Status.OK).all()
    assert_allclose(found.control, outcome[:, :40].mean(axis=1), rtol=0, atol=SQUARE)
    assert_allclose(found.active, outcome[:, 40:].mean(axis=1), rtol=0, atol=SQUARE)
    unbalanced = standardized_risks(outcome, arm, 1, [np.sort(np.tile(x, 2), axis=1)])
    assert np.nanmin(np.abs(unbalanced.active - outcome[:, 40:].mean(axis=1))) > 1e-6


def test_covariates_that_cannot_be_told_apart_are_left_out_where_it_is_so():
    outcome, arm, (age, weight) = block(12, n_replicates=12, n_patients=150)
    constant = np.where(np.arange(12)[:, np.newaxis] < 6, 1.0, (age > 0).astype(float))
    found = standardized_risks(outcome, arm, 1, [weight, constant, 2 * weight])
    with_it = standardized_risks(outcome[6:], arm[6:], 1, [weight[6:], constant[6:]])
    without = standardized_risks(outcome[:6], arm[:6], 1, [weight[:6]])
    assert (found.status == Status.OK).all()
    assert_same([x[6:] for x in found], with_it)
    assert_same([x[:6] for x in found], without)


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    arm = np.tile([0, 1], 8)[np.newaxis].astype(np.int8)
    rng = np.random.default_rng(13)
    x, outcome = rng.normal(size=(1, 16)), np.array([[0, 0, 1, 1] * 4], dtype=float)
    cases = [
        (Status.OK, outcome, [x]),
        (Status.OK, outcome, [x, 1 - x]),
        (Status.NO_VARIATION, np.ones((1, 16)), [x]),
        (Status.SEPARATED, arm.astype(float), []),
        (Status.SEPARATED, (x > 0).astype(float), [x]),
        (Status.COLLINEAR, outcome, [arm * 2.0]),
        (Status.TOO_FEW_PATIENTS, np.where(arm == 1, outcome, np.nan), [x]),
        (Status.TOO_FEW_PATIENTS, outcome, list(rng.normal(size=(15, 1, 16)))),
    ]
    for status, y, columns in cases:
        *numbers, found = standardized_risks(y, arm, 1, columns)
        assert found[0] == status
        assert np.isnan(numbers).all() == (status != Status.OK)
        assert np.isnan(numbers).any() == (status != Status.OK)
        for contrast in CONTRASTS:
            assert np.isnan(effect(y, arm, columns, contrast).estimate[0]) == (status != Status.OK)


def test_the_marginal_odds_ratio_lies_nearer_to_one_than_that_of_the_model():
    """Gail, Wieand and Piantadosi (1984), Biometrika 71, 431-444; reading the coefficient as the marginal effect would be the mistake."""
    outcome, arm, covariates = block(14, n_replicates=6, n_patients=3001)
    marginal, model = effect(outcome, arm, covariates, "log_odds_ratio"), logistic_regression(outcome, arm, 1, covariates)
    assert np.all(marginal.estimate < model.estimate - marginal.superpopulation_std_error / 2)


# Coverage. The risk rises so steeply with x that the effect is near 1 for some patients and near 0 for most.
STEEPNESS, INTERCEPT, TREATMENT = 8.0, -4.0, 8.0
N_PATIENTS, N_REPLICATES = 1000, 2500
GRID = np.linspace(-9, 9, 20001)
DENSITY = np.exp(-(GRID**2) / 2) / np.sqrt(2 * np.pi) * (GRID[1] - GRID[0])


def risk(x, treated):
    return expit(INTERCEPT + TREATMENT * treated + STEEPNESS * x)


def covers(effect_found, std_error, truth):
    return np.abs(effect_found - truth) <= 1.959963984540054 * std_error


def test_each_variance_covers_its_own_truth_and_misses_the_other():
    """The estimate varies around the population's effect by the share of the squared error that the patients' covariates add."""
    rng = np.random.default_rng(20260204)
    x = rng.normal(size=(N_PATIENTS, N_REPLICATES)).T
    arm = (np.argsort(rng.random((N_PATIENTS, N_REPLICATES)), axis=0) % 2).astype(np.int8).T
    luck = rng.random((N_PATIENTS, N_REPLICATES)).T
    outcome = (luck < risk(x, arm == 1)).astype(float)
    found = effect(outcome, arm, [x])
    assert (found.status == Status.OK).all()
    in_population = (DENSITY * (risk(GRID, 1) - risk(GRID, 0))).sum()
    in_trial = (risk(x, 1) - risk(x, 0)).mean(axis=1)
    standard_error = np.sqrt(0.05 * 0.95 / N_REPLICATES)
    assert abs(covers(found.estimate, found.superpopulation_std_error, in_population).mean() - 0.95) < 4 * standard_error
    assert abs(covers(found.estimate, found.conditional_std_error, in_trial).mean() - 0.95) < 4 * standard_error
    ratio = np.sqrt((found.conditional_std_error**2).mean() / (found.superpopulation_std_error**2).mean())
    too_narrow, too_wide = 2 * ndtr(1.96 * ratio) - 1, 2 * ndtr(1.96 / ratio) - 1
    assert too_narrow < 0.95 - 8 * standard_error
    assert too_wide > 0.95 + 8 * standard_error
    assert abs(covers(found.estimate, found.conditional_std_error, in_population).mean() - too_narrow) < 4 * np.sqrt(0.25 / N_REPLICATES)
    assert abs(covers(found.estimate, found.superpopulation_std_error, in_trial).mean() - too_wide) < 4 * standard_error


def test_the_superpopulation_variance_holds_where_the_model_is_wrong():
    """Half of the patients have the opposite slope, which the model does not know; the conditional variance claims more than there is."""
    rng = np.random.default_rng(20260205)
    shape = (400, N_REPLICATES)
    x, kind = rng.normal(size=shape).T, np.where(rng.random(shape) < 0.5, -1, 1).T
    arm = (np.argsort(rng.random(shape), axis=0) % 2).astype(np.int8).T
    luck = rng.random(shape).T
    outcome = (luck < expit(3 * x * kind * (arm == 1))).astype(float)
    found = effect(outcome, arm, [x])
    assert abs(covers(found.estimate, found.superpopulation_std_error, 0.0).mean() - 0.95) < 4 * np.sqrt(0.05 * 0.95 / N_REPLICATES)


def permuted_blocks(rng, stratum):
    """Blocks of four within strata, two patients of each block in either arm."""
    arm = np.empty(stratum.shape, dtype=np.int8)
    for r, codes in enumerate(stratum):
        for code in range(stratum.max() + 1):
            members = np.flatnonzero(codes == code)
            blocks = np.argsort(rng.random((members.size // 4 + 1, 4)), axis=1) % 2
            arm[r, members] = blocks.ravel()[: members.size]
    return arm


def test_under_permuted_blocks_it_covers_when_the_strata_are_in_the_model_and_overcovers_when_not():
    rng = np.random.default_rng(20260206)
    stratum = rng.integers(0, 3, size=(N_REPLICATES, 400))
    arm, luck = permuted_blocks(rng, stratum), rng.random(stratum.shape)
    risks = np.array([[0.07, 0.15], [0.45, 0.6], [0.85, 0.95]])
    outcome = (luck < risks[stratum, arm]).astype(float)
    truth = (risks[:, 1] - risks[:, 0]).mean()
    indicators = [(stratum == code).astype(float) for code in (1, 2)]
    standard_error = np.sqrt(0.05 * 0.95 / N_REPLICATES)
    adjusted, crude = effect(outcome, arm, indicators), effect(outcome, arm)
    assert (adjusted.status == Status.OK).all()
    assert abs(covers(adjusted.estimate, adjusted.superpopulation_std_error, truth).mean() - 0.95) < 4 * standard_error
    assert covers(crude.estimate, crude.superpopulation_std_error, truth).mean() > 0.95 + 8 * standard_error
