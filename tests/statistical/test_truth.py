"""The truth of an estimand: what patients sent to each arm give, its claimed error, and least-false values, against closed forms and integration."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, ndtri
from scipy.stats import chi2
from statistical.exact import least_false_logistic, madrs
from statistical.helpers import madrs_endpoint, marker_population, prepared, seed_of, trial

from simtrials.core.measures import Truth
from simtrials.engine.files import scenario_from
from simtrials.engine.scenario import Scenario
from simtrials.engine.truth import truths
from simtrials.stats import closed_form

CUT = float(np.exp(ndtri(0.6)))
WITHIN = 0.6
ENROLLED = {"mean": 0.0, "between_sd": 1.0, "within_sd": WITHIN, "at_least": CUT}
POSITIVE = float(closed_form.usual_above_share(CUT, **ENROLLED))
"""Share of those enrolled by a measured marker whose usual value is at or above the cut, on which the drug acts."""


def selected(name: str, endpoint: dict[str, Any], analyses: dict[str, Any], n_patients: int = 200, **more: Any) -> Scenario:
    """A trial that enrols by a measured marker."""
    rule = [{"variable": "marker", "at_least": CUT}]
    return trial(name, endpoint, analyses, n_patients, eligibility=rule, **marker_population(within_person_sd=WITHIN), **more)


def truth_of(scenario: Scenario) -> dict[str, Truth]:
    return truths(scenario, prepared(scenario).trial)


def test_the_truth_of_a_diluted_mean_is_the_share_of_the_positive_times_the_effect():
    endpoint = {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": CUT, "points": 0.5}}}
    found = truth_of(selected("truth mean", endpoint, {"test": {"kind": "t_test"}}))["test"]
    assert abs(found.value - 0.5 * POSITIVE) < 4 * found.std_error
    for wrong in (0.5, 0.5 * 0.4):  # not diluted, or diluted as if nobody had been selected
        assert abs(wrong - 0.5 * POSITIVE) > 8 * found.std_error


BINARY = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "threshold", "cut": CUT, "odds_ratio": 3.0}}}
RATIOS = {"difference": {"kind": "risk_difference"}, "risk ratio": {"kind": "risk_ratio"}, "odds ratio": {"kind": "odds_ratio"}}


def contrasts(active: float, control: float) -> dict[str, float]:
    return {"difference": active - control, "risk ratio": float(np.log(active / control)), "odds ratio": float(logit(active) - logit(control))}


def test_truths_of_a_diluted_risk_are_contrasts_of_the_mixed_risk():
    found = truth_of(selected("truth risk", BINARY, RATIOS))
    full = float(expit(logit(0.3) + np.log(3)))
    mixed = POSITIVE * full + (1 - POSITIVE) * 0.3
    for name, exact in contrasts(mixed, 0.3).items():
        assert abs(found[name].value - exact) < 4 * found[name].std_error
        assert abs(contrasts(full, 0.3)[name] - exact) > 8 * found[name].std_error  # not diluted


PAIRED = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "constant", "risk": 0.5}}}


def correlated(seed: int) -> Scenario:
    """Risks that are the same for everybody, in a trial whose second endpoint is correlated with the first: truths come from forced arms."""
    other = {"kind": "continuous"}
    design = {"kind": "fixed", "n_patients": 100, "allocation": {"kind": "blocks", "block_size": 100}}
    analyses = {name: {**analysis, "endpoint": "outcome"} for name, analysis in RATIOS.items()}
    pair = [{"between": ["outcome", "other"], "rho": 0.5}]
    raw = {"name": "correlated", "seed": seed, "design": design, "analyses": analyses, "correlations": pair}
    return scenario_from({**raw, "endpoints": {"outcome": PAIRED, "other": other}})


N_SEEDS = 40


@pytest.fixture(scope="module")
def over_seeds() -> list[dict[str, Truth]]:
    return [truth_of(correlated(seed_of(f"seed {i}"))) for i in range(N_SEEDS)]


@pytest.mark.parametrize("name", RATIOS)
def test_truths_from_forced_arms_vary_over_seeds_as_much_as_they_claim(over_seeds: list[dict[str, Truth]], name: str):
    exact = contrasts(0.5, 0.3)[name]
    values, errors = (np.array([getattr(found[name], field) for found in over_seeds]) for field in ("value", "std_error"))
    assert abs(values.mean() - exact) < 4 * np.sqrt(np.mean(errors**2) / N_SEEDS)
    squares = np.sum(((values - exact) / errors) ** 2)
    low, high = chi2.ppf([3.2e-5, 1 - 3.2e-5], N_SEEDS)  # as rare as 4 standard errors
    assert low < squares < high


def test_a_truth_that_forgot_that_both_arms_have_the_same_patients_would_claim_another_error(over_seeds: list[dict[str, Truth]]):
    apart = np.sqrt((0.5 * 0.5 + 0.3 * 0.7) / (16 * 256 * 256))
    paired = np.sqrt(0.2 * 0.8 / (16 * 256 * 256))  # the same luck decides, so only those between the two risks differ
    claimed = np.mean([found["difference"].std_error for found in over_seeds])
    assert abs(claimed / paired - 1) < 0.05
    assert apart / paired > 1.5


def test_truths_of_constant_effects_without_correlation_are_exact():
    scenario = trial("closed", PAIRED, RATIOS, 100)
    for name, found in truth_of(scenario).items():
        assert found.kind == "closed form"
        assert found.std_error == 0
        assert abs(found.value - contrasts(0.5, 0.3)[name]) < 1e-12


# ---- least-false values


def test_the_least_false_log_odds_ratio_is_the_conditional_one_where_the_model_is_true():
    """The covariate foretells nothing, so the odds ratio is the same at every value of it."""
    scenario = selected("true model", PAIRED, {"test": {"kind": "logistic", "covariates": ["ln(marker)"]}})
    found = truth_of(scenario)["test"]
    assert found.kind.startswith("least-false")
    assert abs(found.value - (logit(0.5) - logit(0.3))) < 4 * found.std_error + SMALL_SAMPLE


def test_the_least_false_slope_of_a_logistic_interaction_is_the_declared_one():
    """logit p = logit .3 + arm x 0.8 x (ln marker - 0.2): the model of the analysis, marker measured without error."""
    effect = {"kind": "log_linear", "zero_at": float(np.exp(0.2)), "harm_below": True, "log_odds_ratio": 0.8}
    endpoint = {"kind": "binary", "control_risk": 0.3, "effects": {"active": effect}}
    analyses = {"test": {"kind": "interaction", "model": "logistic", "modifier": "ln(marker)"}}
    found = truth_of(trial("slope", endpoint, analyses, 200, **marker_population()))["test"]
    assert abs(found.value - 0.8) < 4 * found.std_error + SMALL_SAMPLE
    assert 8 * found.std_error < 0.8


SMALL_SAMPLE = 0.001
"""Twice the first-order bias, (1 - 2 p) / (2 n p (1 - p)), of a log odds with p = .3 of n = 2,048 patients: trials have 4,096, in two arms."""


def test_the_least_false_log_odds_ratio_under_a_threshold_solves_the_score_equations():
    """Effect on those at or above the cut only, stratum in the model: no value is true, so the fit settles between the strata."""
    endpoint = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "threshold", "cut": CUT, "odds_ratio": 3.0}}}
    covariate = f"marker >= {CUT}"
    analyses = {"test": {"kind": "logistic", "covariates": [covariate]}}
    allocation = {"kind": "stratified_blocks", "strata": [covariate], "block_size": 2}
    found = truth_of(trial("threshold", endpoint, analyses, 200, allocation=allocation, **marker_population()))["test"]
    full = float(expit(logit(0.3) + np.log(3)))
    arm, high = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0])
    columns = np.column_stack([np.ones(4), arm, high])
    coefficients = least_false_logistic(np.array([0.3, 0.3, 0.2, 0.2]), columns, np.array([0.3, 0.3, 0.3, full]))
    assert abs(found.value - coefficients[1]) < 4 * found.std_error + SMALL_SAMPLE
    for wrong in (np.log(3), 0.4 * np.log(3)):
        assert abs(wrong - coefficients[1]) > 8 * found.std_error


def test_the_least_false_log_odds_ratio_of_response_given_baseline_is_that_of_integration():
    """Response on a rounded scale, baseline in the model: the score equations over the exact distribution of baseline and end scores."""
    analyses = {
        "test": {"kind": "logistic", "outcome": "response"},
        "adjusted": {"kind": "logistic", "outcome": "response", "covariates": ["baseline"]},
    }
    found = truth_of(trial("response", madrs_endpoint(11.0, 6.0, correlation=0.7), analyses, 200))
    control, active = (madrs(11.0 + shift, correlation=0.7) for shift in (0.0, 6.0))
    n = control.scores.size
    columns = np.column_stack([np.ones(2 * n), np.repeat([0.0, 1.0], n), np.tile(control.scores, 2)])
    weight = np.tile(control.share, 2) / 2
    probability = np.concatenate([control.response_given_baseline(), active.response_given_baseline()])
    conditional = least_false_logistic(weight, columns, probability)[1]
    marginal = float(logit(active.response()) - logit(control.response()))
    assert abs(found["test"].value - marginal) < 4 * found["test"].std_error
    assert abs(found["adjusted"].value - conditional) < 4 * found["adjusted"].std_error + SMALL_SAMPLE
    assert abs(marginal - conditional) > 8 * found["adjusted"].std_error  # the marginal value judged as conditional would show a false bias
