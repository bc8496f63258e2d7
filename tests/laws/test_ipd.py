"""Individual patient data: sufficient statistics against all patients at once, ecological bias, symmetries, what cannot be fitted."""

import numpy as np
import pytest
from double import ipd as twin
from double.dependence import coefficients
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.bivariate import bivariate_meta_analysis
from simtrials.stats.ipd import ipd_two_stage, trial_regressions
from simtrials.stats.ipd_one_stage import ipd_one_stage
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.meta_status import MetaStatus

HEIGHT = 1e-5  # what BFGS, which stops at slopes of 1e-5, may leave of a likelihood
ROUNDING = 1e-8
SEARCH = 1e-6


def trials(seed, n_replicates, n_trials=5, n_patients=24, tau=0.5, tau_interaction=0.4, across=0.0, interaction=0.3):
    """Outcome, arm, covariate, baseline; fewer patients in some trials, a few values missing."""
    rng = np.random.default_rng(seed)
    shape = n_replicates, n_trials, n_patients
    covariate, baseline = rng.normal(size=(*shape[:2], 1)) + rng.normal(size=shape), rng.normal(20, 3, size=shape)
    arm = (np.arange(n_patients) % 2 + np.zeros(shape)).astype(np.int8)
    arm[rng.random(shape) < 0.1] = -1
    covariate[rng.random(shape) < 0.03] = np.nan
    mean = np.nanmean(np.where(arm < 0, np.nan, covariate), axis=2, keepdims=True)
    effect, slope = rng.normal(-0.5, tau, (*shape[:2], 1)), rng.normal(interaction, tau_interaction, (*shape[:2], 1))
    noise = rng.uniform(0.6, 1.4, (*shape[:2], 1)) * rng.normal(size=shape)
    outcome = rng.normal(size=(*shape[:2], 1)) + 0.5 * covariate + 0.1 * baseline + (arm == 1) * (effect + across * mean + slope * (covariate - mean))
    return outcome + noise, arm, covariate, baseline


@pytest.mark.parametrize("interaction", [True, False])
def test_every_trial_is_a_regression_of_its_own(interaction):
    data = trials(1, 3)
    fit = trial_regressions(*data, interaction=interaction)
    for r in range(3):
        patients = twin.complete(*(array[r] for array in data))
        for i in range(5):
            b, covariance, variance = twin.trial_regression(patients[patients[:, 0] == i], interaction)
            assert_allclose(fit.estimate[r, i, : len(b)], b, rtol=ROUNDING)
            assert_allclose(fit.covariance[r, i, : len(b), : len(b)], covariance, rtol=ROUNDING)
            assert_allclose(fit.residual_variance[r, i], variance, rtol=ROUNDING)
            assert fit.n_patients[r, i] == (patients[:, 0] == i).sum()


@pytest.mark.parametrize(
    "options",
    [{}, {"random": "correlated"}, {"method": "ML"}, {"random": "correlated", "method": "ML"}, {"random": "treatment", "interaction": False},
     {"random": "treatment", "interaction": False, "method": "ML"}, {"across_trials": True}],
)  # fmt: skip
def test_one_stage_reaches_the_highest_likelihood_of_all_patients_at_once(options):
    data = trials(2, 2, n_trials=3, n_patients=16)
    fit = ipd_one_stage(*data, **options)
    assert (fit.status == MetaStatus.OK).all()
    restricted, size = options.get("method") != "ML", 2 if options.get("interaction", True) else 1
    for r in range(2):
        parts = twin.one_stage_parts(twin.complete(*(array[r] for array in data)), size == 2, "across_trials" in options)
        off = np.nan_to_num(fit.correlation[r]) * np.sqrt(fit.tau2[r].prod())
        between = np.array([[fit.tau2[r, 0], off], [off, fit.tau2[r, 1]]])[:size, :size]
        b, covariance = coefficients(parts[0], parts[1], twin.covariance_of(parts[2], parts[3], between, fit.residual_variance[r]))
        n = fit.estimate.shape[1]
        assert_allclose(fit.estimate[r], b[:n], rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(fit.covariance[r], covariance[:n, :n], rtol=SEARCH, atol=ROUNDING)
        here = twin.log_likelihood(parts, between, fit.residual_variance[r], restricted)
        assert abs(here - twin.highest(parts, restricted, options.get("random") == "correlated")) < HEIGHT


def test_with_the_trials_own_residual_variances_one_stage_is_a_bivariate_meta_analysis():
    data = trials(3, 6)
    fit = ipd_one_stage(*data, random="correlated", residual_variance="own_fit")
    pooled = bivariate_meta_analysis(fit.trials.estimate, fit.trials.covariance)
    for name in ("estimate", "std_error", "covariance", "tau2", "correlation"):
        assert_allclose(getattr(fit, name), getattr(pooled, name), rtol=SEARCH, atol=SEARCH)


def test_a_random_treatment_effect_alone_with_own_variances_is_two_stage_meta_analysis():
    data = trials(4, 6)
    fit = ipd_one_stage(*data, interaction=False, random="treatment", residual_variance="own_fit")
    two = ipd_two_stage(*data, interaction=False, ci="wald")
    assert two.interaction is None
    for name in ("estimate", "std_error", "lower", "upper", "p_value"):
        assert_allclose(getattr(fit, name)[:, 0], getattr(two.treatment, name), rtol=SEARCH, atol=SEARCH)
    assert_allclose(fit.tau2[:, 0], two.treatment.tau2, rtol=SEARCH, atol=SEARCH)


def test_two_stages_pool_what_the_trials_estimate():
    data = trials(5, 4)
    two = ipd_two_stage(*data, tau2="DL", ci="wald")
    pooled = meta_analysis(two.trials.estimate[..., 1], two.trials.covariance[..., 1, 1], tau2="DL", tau2_ci="none")
    assert_array_equal(two.interaction.estimate, pooled.estimate)
    assert_array_equal(two.interaction.std_error, pooled.std_error)


def test_interactions_are_free_of_ecological_bias_where_a_model_without_centering_is_not():
    """Treatment effects follow the mean covariate of the trial, but not the patient's own covariate."""
    data = trials(6, 60, n_trials=6, n_patients=12, tau=0.0, tau_interaction=0.0, across=1.5, interaction=0.0)
    one, two = ipd_one_stage(*data), ipd_two_stage(*data)
    wrong = []
    for r in range(60):
        parts = twin.one_stage_parts(twin.complete(*(array[r] for array in data)), centered=False)
        v = twin.covariance_of(parts[2], parts[3], np.zeros((2, 2)), np.ones(6))
        wrong.append(coefficients(*parts[:2], v)[0][1])
    for found in (one.estimate[:, 1], two.interaction.estimate):
        assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    assert np.mean(wrong) > 8 * np.std(wrong) / np.sqrt(len(wrong))  # the named wrong version
    apart = ipd_one_stage(*data, across_trials=True)
    assert_allclose(apart.estimate[:, 2].mean(), 1.5, atol=4 * apart.estimate[:, 2].std() / np.sqrt(60))


def models(*data):
    yield ipd_one_stage(*data)
    yield ipd_one_stage(*data, random="correlated", method="ML", ci="t")
    yield ipd_one_stage(*data, across_trials=True, residual_variance="own_fit")
    yield ipd_two_stage(*data).interaction


def compared(found, expected, rtol):
    for name in ("estimate", "std_error", "lower", "upper", "p_value", "tau2", "df", "status"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=rtol, atol=rtol, err_msg=name)


def test_a_batch_is_its_replicates_one_by_one_and_shapes_follow():
    data = trials(7, 4)
    data[1][1, 2] = -1
    for r in range(4):
        for batch, alone in zip(models(*data), models(*(array[r] for array in data)), strict=True):
            for name in ("estimate", "std_error", "tau2", "status"):
                assert_allclose(getattr(alone, name), getattr(batch, name)[r], rtol=1e-12, atol=1e-12)
    fit = ipd_one_stage(*(array.reshape(2, 2, *array.shape[1:]) for array in data))
    assert (fit.estimate.shape, fit.covariance.shape, fit.status.shape) == ((2, 2, 2), (2, 2, 2, 2), (2, 2))
    assert fit.trials.estimate.shape == (2, 2, 5, 2)


def test_order_and_absent_trials_and_patients_change_nothing():
    data = trials(8, 3)
    rng = np.random.default_rng(0)
    order = rng.permutation(24)
    shuffled = [array[:, ::-1][:, :, order] for array in data]
    padded = [np.pad(array.astype(float), ((0, 0), (0, 2), (3, 0)), constant_values=-1.0 if i == 1 else np.nan) for i, array in enumerate(data)]
    for plain, moved, wide in zip(models(*data), models(*shuffled), models(*padded), strict=True):
        compared(moved, plain, SEARCH)
        compared(wide, plain, SEARCH)


def test_sign_unit_and_origin_carry_over():
    outcome, arm, covariate, baseline = trials(9, 3)
    for plain, moved in zip(models(outcome, arm, covariate, baseline), models(-10 * outcome + 7, arm, covariate + 5, baseline), strict=True):
        assert_allclose(moved.estimate, -10 * plain.estimate, rtol=SEARCH, atol=SEARCH)
        assert_allclose(moved.std_error, 10 * plain.std_error, rtol=SEARCH)
        assert_allclose(moved.tau2, 100 * plain.tau2, rtol=1e-5, atol=1e-5)


def test_trials_that_cannot_be_fitted_say_why_and_stay_out():
    outcome, arm, covariate, baseline = (array[0] for array in trials(10, 1, n_trials=7))
    arm[0], outcome[1, 4:], covariate[2], outcome[3] = 0, np.nan, 0.3, 3.3
    two = ipd_two_stage(outcome, arm, covariate, baseline)
    expected = [Status.TOO_FEW_PATIENTS, Status.TOO_FEW_PATIENTS, Status.COLLINEAR, Status.NO_VARIATION, Status.OK, Status.OK, Status.OK]
    assert_array_equal(two.trials.status, expected)
    assert two.treatment.n_studies == 3
    left = ipd_one_stage(outcome[4:], arm[4:], covariate[4:], baseline[4:])
    compared(ipd_one_stage(outcome, arm, covariate, baseline), left, ROUNDING)


def test_too_few_trials_have_a_status_and_no_numbers():
    data = [array[0, :2] for array in trials(11, 1)]
    assert ipd_one_stage(*data).status == MetaStatus.OK
    assert ipd_one_stage(*data, across_trials=True).status == MetaStatus.TOO_FEW_STUDIES
    single = [array[:1] for array in data]
    for fit in (ipd_one_stage(*single), ipd_one_stage(*single, random="treatment")):
        assert fit.status == MetaStatus.TOO_FEW_STUDIES
        assert np.isnan(fit.estimate).all()
    alone = ipd_one_stage(*single, random="none")
    assert alone.status == MetaStatus.OK
    assert_allclose(alone.estimate, alone.trials.estimate[0])
    assert_allclose(alone.covariance, alone.trials.covariance[0], rtol=SEARCH)
    nobody = [np.full_like(array, -1 if array.dtype == np.int8 else np.nan) for array in data]
    assert ipd_one_stage(*nobody).status == MetaStatus.TOO_FEW_STUDIES
    assert ipd_two_stage(*nobody).treatment.status == MetaStatus.TOO_FEW_STUDIES


def test_wrong_arguments_say_which():
    outcome, arm, covariate, _ = trials(12, 1)
    for wrong, call in {
        "random = 'slope'": lambda: ipd_one_stage(outcome, arm, covariate, random="slope"),
        "needs an interaction": lambda: ipd_one_stage(outcome, arm, random="correlated"),
        "needs a covariate": lambda: ipd_one_stage(outcome, arm, across_trials=True),
        "covariate must": lambda: ipd_two_stage(outcome, arm, covariate[:, 1:]),
        "arm must": lambda: ipd_two_stage(outcome, arm[:, :2]),
        "outcome must": lambda: ipd_two_stage(outcome[0, 0], arm),
    }.items():
        with pytest.raises(ValueError, match=wrong):
            call()
