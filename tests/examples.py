"""One instance of every kind, and small scenarios made of them; contract tests run over these lists."""

import copy
from typing import Any

import numpy as np

from simtrials.core.data import Measurements, Scale, TrialData
from simtrials.core.expressions import Category
from simtrials.core.registry import Registry
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import evidence_from, read_table, scenario_from
from simtrials.engine.scenario import Scenario

SYMPTOMS: dict[str, Any] = {
    "kind": "scale",
    "scale": "MADRS",
    "weeks": [2, 4, 8],
    "baseline": {"mean": 29.0, "sd": 5.0},
    "control_course": {"change": -10.0, "at_week": 8, "time_constant": 3.7, "score_sd": 8.5},
    "correlation": {"kind": "ar1", "per_week": 0.9},
}
PEOPLE: dict[str, Any] = {
    "kind": "gaussian_copula",
    "covariates": {
        "crp_mg_l": {"kind": "lognormal", "mean_log": 0.8, "sd_log": 1.17},
        "age_years": {"kind": "truncated", "of": {"kind": "normal", "mean": 42.0, "sd": 14.0}, "minimum": 18.0, "maximum": 65.0},
        "bmi_kg_m2": {"kind": "gamma", "mean": 30.7, "sd": 8.3},
        "sex": {"kind": "categorical", "shares": {"female": 0.62, "male": 0.38}},
    },
    "correlation": [[1.0, 0.05, 0.5, -0.1], [0.05, 1.0, 0.1, 0.0], [0.5, 0.1, 1.0, -0.05], [-0.1, 0.0, -0.05, 1.0]],
}

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "populations": [
        {"kind": "resampled", "data": "nhanes_2017_2018", "where": "phq9_total >= 10", "weights": "survey_weight"},
        PEOPLE,
        {"kind": "crp_regression", "base": PEOPLE, "column": "crp_from_bmi"},
    ],
    "distributions": [
        {"kind": "normal", "mean": 3.0, "sd": 2.0},
        {"kind": "lognormal", "median": 2.05, "iqr": [1.02, 4.64]},
        {"kind": "truncated", "of": {"kind": "normal", "mean": 0.0, "sd": 1.0}, "minimum": -1.0},
        {"kind": "gamma", "mean": 4.0, "sd": 2.0},
        {"kind": "beta", "mean": 0.3, "sd": 0.1},
        {"kind": "quantiles", "probabilities": [0.25, 0.5, 0.75], "values": [1.02, 2.05, 4.64], "log": True},
        {"kind": "student_t", "center": 0.3, "scale": 0.2, "df": 7.0},
        {"kind": "bernoulli", "probability": 0.3},
        {"kind": "categorical", "shares": {"a": 0.2, "b": 0.5, "c": 0.3}},
    ],
    "assays": [{"kind": "serial", "observed": "crp_mg_l", "limit_of_detection": 0.15, "resolution": 0.1, "samples": 2, "rule": "mean"}],
    "eligibility": [
        {"kind": "limits", "variable": "crp", "at_least": 2.0, "at_most": 10.0},
        {"kind": "other_reasons", "failure_probability": 0.3},
    ],
    "allocations": [
        {"kind": "complete"},
        {"kind": "blocks", "block_size": 4},
        {"kind": "stratified_blocks", "strata": ["sex", "crp >= 3"], "block_size": 6},
    ],
    "correlations": [
        {"kind": "unstructured", "values": [[1.0, 0.5, 0.4, 0.3], [0.5, 1.0, 0.6, 0.5], [0.4, 0.6, 1.0, 0.7], [0.3, 0.5, 0.7, 1.0]]},
        {"kind": "ar1", "per_week": 0.9},
        {"kind": "toeplitz", "values": [0.7, 0.5, 0.4]},
        {"kind": "compound_symmetry", "rho": 0.5},
    ],
    "effects": [
        {"kind": "constant", "points": 3.0},
        {"kind": "threshold", "cut": 2.0, "mean_smd": 0.35, "smd_sd": "change"},
        {"kind": "log_linear", "points": 1.5, "zero_at": 1.0},
        {"kind": "emax", "smd": 0.8, "smd_sd": "score", "half_at": 3.0, "time_constant": 4.0},
        {"kind": "crossover", "points": 4.0, "zero_at": 5.0, "full_at": 10.0, "largest_harm": 0.5},
        {"kind": "responder_mixture", "points": 8.0, "cut": 2.0, "fraction": 0.4},
    ],
    "endpoints": [
        SYMPTOMS,
        {"kind": "continuous", "mean": 10.0, "sd": 3.0, "baseline": {"mean": 12.0, "sd": 3.0, "correlation": 0.5}, "better": "down"},
        {"kind": "binary", "control_risk": 0.3, "event_is": "good"},
        {"kind": "adverse_event", "control_risk": 0.1, "arm_risk": {"active": 0.2}, "risk_weeks": 8.0, "exposure_weeks": 12.0},
    ],
    "departures": [
        {"kind": "discontinuation", "rate": {"control": 0.1, "active": 0.2}, "effect": "washed_out", "half_life": 2.0},
        {"kind": "rescue", "rate": 0.15, "driver": "symptoms", "log_odds_per_point": 0.1, "benefit": {"symptoms": 4.0}},
        {"kind": "non_adherence", "share": 0.2, "dose": 0.5},
        {"kind": "dropout", "rate": 0.2, "ratio": 1.2, "mechanism": "mar", "log_odds_per_point": 0.1},
        {"kind": "gaps", "probability": 0.05},
        {"kind": "baseline_inflation", "endpoint": "symptoms", "points": 2.0, "probability": 0.5},
        {"kind": "unblinding", "endpoint": "symptoms", "share": {"active": 0.6, "control": 0.3}, "points": 1.5},
        {"kind": "rater_noise", "endpoint": "symptoms", "sd": 1.5},
        {"kind": "sites", "number": 8, "size_cv": 0.7, "effect_sd": 0.1},
    ],
    "designs": [{"kind": "fixed", "n_patients": 60, "allocation": {"kind": "blocks", "block_size": 4}}],
    "analyses": [
        {"kind": "t_test", "endpoint": "symptoms"},
        {"kind": "t_test", "endpoint": "symptoms", "variance": "welch"},
        {"kind": "ancova", "endpoint": "symptoms", "covariates": ["baseline", "ln(crp)", "sex"]},
        {"kind": "mann_whitney", "endpoint": "symptoms"},
        {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "response", "test": "wald", "interval": "newcombe"},
        {"kind": "risk_ratio", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "risk_ratio", "endpoint": "symptoms", "outcome": "response", "test": "score"},
        {"kind": "odds_ratio", "endpoint": "symptoms", "outcome": "remission", "correction": 0.5},
        {"kind": "fisher_exact", "endpoint": "symptoms", "outcome": "remission"},
        {"kind": "logistic", "endpoint": "symptoms", "outcome": "response", "covariates": ["baseline"]},
        {"kind": "logistic", "endpoint": "symptoms", "outcome": "response", "test": "likelihood_ratio"},
        {"kind": "interaction", "endpoint": "symptoms", "modifier": "ln(crp)", "covariates": ["baseline"]},
        {"kind": "interaction", "endpoint": "symptoms", "outcome": "response", "modifier": "crp >= 3", "model": "logistic"},
        {"kind": "mmrm", "endpoint": "symptoms"},
        {"kind": "mmrm", "endpoint": "symptoms", "df": "kenward_roger", "covariance": "toeplitz", "fallback": ["ar1"], "common_slope": True},
        {"kind": "random_slope", "endpoint": "symptoms"},
        {"kind": "random_slope", "endpoint": "symptoms", "contrast": "slope", "covariates": ["baseline", "sex"]},
        {"kind": "multiple_imputation", "endpoint": "symptoms", "n_imputations": 5, "deltas": [1.0, 3.0]},
        {"kind": "multiple_imputation", "endpoint": "symptoms", "outcome": "response", "assumption": "jump_to_reference"},
        {"kind": "multiple_imputation", "endpoint": "symptoms", "outcome": "remission", "ratio": True, "regressions": "shared"},
        {"kind": "conditional_mean", "endpoint": "symptoms", "assumption": "copy_reference"},
        {"kind": "standardization", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "standardization", "endpoint": "symptoms", "outcome": "response", "measure": "odds_ratio", "variance": "conditional"},
        {"kind": "mantel_haenszel", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "mantel_haenszel", "endpoint": "symptoms", "outcome": "response", "measure": "risk_ratio", "test": "cmh"},
        {"kind": "log_binomial", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "log_binomial", "endpoint": "symptoms", "outcome": "response", "model": "modified_poisson", "covariates": ["baseline"]},
        {"kind": "proportional_odds", "endpoint": "symptoms", "outcome": "score", "covariates": ["baseline"]},
        {"kind": "van_elteren", "endpoint": "symptoms"},
        {"kind": "log_rank", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "log_rank", "endpoint": "symptoms", "outcome": "response", "stratified": True},
        {"kind": "cox", "endpoint": "symptoms", "outcome": "response", "covariates": ["baseline"]},
        {"kind": "kaplan_meier", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "kaplan_meier", "endpoint": "symptoms", "outcome": "response", "feature": "restricted_mean"},
        {"kind": "win_ratio", "endpoint": "symptoms"},
        {"kind": "win_ratio", "endpoint": "symptoms", "measure": "net_benefit", "stratified": True, "test": "null"},
        {"kind": "randomization_test", "endpoint": "symptoms", "n_draws": 99},
        {"kind": "randomization_test", "endpoint": "symptoms", "n_draws": 99, "scores": "ranks", "covariates": ["baseline"]},
        {"kind": "bayesian_means", "endpoint": "symptoms"},
        {
            "kind": "bayesian_means",
            "endpoint": "symptoms",
            "control_prior": [{"mean": -10.0, "sd": 2.0}],
            "robust_weight": 0.2,
            "patient_sd": 8.0,
            "probability": 0.95,
        },
        {"kind": "bayesian_risks", "endpoint": "symptoms", "outcome": "response"},
        {"kind": "bayesian_risks", "endpoint": "symptoms", "outcome": "response", "control_prior": [{"mean": 0.35, "n": 40.0}], "robust_weight": 0.2},
    ],
    "studies": [
        {
            "kind": "listed",
            "trials": [{"n_active": 12, "n_control": 10, "weeks": 8.0, "copies": 4}],
            "further": [{"n_active": 50, "n_control": 50, "weeks": 4.0}],
        },
        {"kind": "drawn", "number": {"lowest": 3, "highest": 6}, "n_per_arm": {"kind": "fixed", "n": 15}, "weeks": [4.0, 8.0]},
    ],
    "sizes": [
        {"kind": "fixed", "n": 20},
        {"kind": "one_of", "values": [10, 20, 40]},
        {"kind": "log_normal", "mean_log": 3.0, "sd_log": 0.5},
        {"kind": "negative_binomial", "mean": 20.0, "dispersion": 2.0, "at_least": 5},
    ],
    "fidelities": [{"kind": "patients"}, {"kind": "summaries"}],
    "practices": [
        {"kind": "optional_stopping", "add_per_arm": 3, "times": 2},
        {"kind": "outlier_removal", "beyond_sd": 2.0},
        {"kind": "optional_moderator", "by": ["crp >= 3"]},
        {"kind": "optional_covariate", "covariates": ["symptoms.baseline", "age_years"]},
    ],
    "publications": [
        {"kind": "by_p_value", "not_significant": 0.2},
        {"kind": "smooth", "decline": 3.0, "floor": 0.1},
        {"kind": "by_sign", "unfavorable": 0.3},
        {"kind": "by_funder", "not_significant": {"industry": 0.3, "public": 0.7}},
        {"kind": "carter_2019", "strength": "medium"},
    ],
    "outcome_selections": [
        {"kind": "first_significant", "reported": "severity", "among": ["severity", "scores"]},
        {"kind": "most_favorable", "reported": "severity", "among": ["severity", "scores"]},
    ],
    "extraction": [
        {"kind": "subgroup", "available": 0.6, "when_significant": 0.9},
        {"kind": "end_scores", "share": 0.3, "pooled": "mixed"},
        {"kind": "missing_sds", "share": 0.2},
        {"kind": "readers", "readers": 1, "errors": {"sign": 0.05, "wrong_time_point": 0.05}},
    ],
    "syntheses": [
        {"kind": "pooled", "outcome": "severity", "tau2": "DL", "ci": "wald"},
        {"kind": "pooled", "outcome": "response", "where": "weeks >= 4"},
        {"kind": "counts", "outcome": "response", "by": "mantel_haenszel"},
        {"kind": "counts", "outcome": "response", "by": "beta_binomial"},
        {"kind": "pet_peese", "outcome": "severity"},
        {"kind": "trim_and_fill", "outcome": "severity"},
        {"kind": "unrestricted_wls", "outcome": "severity", "adequately_powered": True},
        {"kind": "limit_meta_analysis", "outcome": "severity"},
        {"kind": "asymmetry", "outcome": "severity", "test": "begg"},
        {"kind": "step_selection", "outcome": "severity"},
        {"kind": "p_uniform", "outcome": "severity"},
        {"kind": "p_curve", "outcome": "severity"},
        {"kind": "worst_case", "outcome": "severity", "selection_ratio": 4.0},
        {"kind": "bayesian", "outcome": "severity", "mu_sd": 1.0},
        {"kind": "bivariate", "outcome": "severity", "together_with": "scores"},
        {"kind": "clustered", "outcome": "severity", "by": "funder"},
        {"kind": "meta_regression", "outcome": "severity", "moderator": "n"},
        {"kind": "permutation", "outcome": "severity", "max_exact": 64, "n_random": 99},
        {"kind": "trial_sequential", "outcome": "severity", "anticipated_effect": 0.4},
    ],
}


def kind_of(declared: dict[str, Any]) -> str:
    """A readable test id."""
    extra = [
        str(declared[key])
        for key in ("variance", "outcome", "test", "model", "measure", "contrast", "feature", "scores", "assumption", "df")
        if key in declared
    ]
    return "-".join([declared["kind"], *extra])


def component(slot: str, declared: dict[str, Any]) -> Any:
    """The instance that a table declares."""
    kind = declared.get("kind", Registry.slots[slot].default)
    return Registry.slots[slot][kind].model_validate(declared)


def scenario_tables(**changes: Any) -> dict[str, Any]:
    """A small scenario with a biomarker, a rule, strata and a symptom scale, as plain tables; `changes` replace top-level tables."""
    tables: dict[str, Any] = {
        "name": "small",
        "seed": 7,
        "n_replicates": 512,
        "population": PEOPLE,
        "assays": {"crp": {"kind": "serial", "observed": "crp_mg_l", "limit_of_detection": 0.15, "resolution": 0.1}},
        "eligibility": [{"variable": "crp", "at_least": 2.0, "at_most": 10.0}],
        "design": {"kind": "fixed", "n_patients": 40, "allocation": {"kind": "stratified_blocks", "strata": ["sex", "crp >= 3"], "block_size": 4}},
        "endpoints": {"symptoms": SYMPTOMS | {"effects": {"active": {"kind": "threshold", "cut": 2.0, "mean_smd": 0.5, "smd_sd": "change"}}}},
        "analyses": {"severity": {"kind": "ancova", "endpoint": "symptoms"}},
    }
    return copy.deepcopy(tables | changes)


def scenario(**changes: Any) -> Scenario:
    """The same, read."""
    return scenario_from(scenario_tables(**changes))


def evidence_tables(**changes: Any) -> dict[str, Any]:
    """A small scenario of bodies of evidence with a biomarker and a symptom scale, as plain tables; `changes` replace top-level tables."""
    tables: dict[str, Any] = {
        "name": "small_review",
        "seed": 7,
        "n_replicates": 256,
        "population": PEOPLE,
        "assays": {"crp": {"kind": "serial", "observed": "crp_mg_l", "limit_of_detection": 0.15, "resolution": 0.1}},
        "studies": {
            "kind": "listed",
            "trials": [
                {"n_active": 20, "n_control": 20, "weeks": 8.0, "crp_rule": "enriched"},
                {"n_active": 24, "n_control": 22, "weeks": 4.0, "funder": "industry", "copies": 3},
                {"n_active": 30, "n_control": 30, "weeks": 8.0, "crp_rule": "stratified", "copies": 2},
            ],
        },
        "true_effects": {"tau": {"symptoms": 0.2}},
        "endpoints": {"symptoms": SYMPTOMS | {"effects": {"active": {"kind": "threshold", "cut": 2.0, "smd": 0.5, "smd_sd": "change"}}}},
        "outcomes": {
            "severity": {"endpoint": "symptoms"},
            "scores": {"endpoint": "symptoms", "outcome": "score"},
            "response": {"endpoint": "symptoms", "outcome": "response"},
        },
        "syntheses": {"severity": {"kind": "pooled", "outcome": "severity"}, "response": {"kind": "pooled", "outcome": "response", "ci": "wald"}},
    }
    return copy.deepcopy(tables | changes)


def evidence(**changes: Any) -> EvidenceScenario:
    """The same, read."""
    return evidence_from(evidence_tables(**changes))


def tables() -> dict[str, Any]:
    """The shipped data set, as the engine hands it to a population."""
    return {"nhanes_2017_2018": read_table("nhanes_2017_2018")}


def trial_data(n_replicates: int = 5, n_patients: int = 40, seed: int = 3, ties: bool = True) -> TrialData:
    """Made-up data with a symptom scale, CRP and sex, patients slow in memory as the simulator has them."""
    rng = np.random.default_rng(seed)
    shape = (n_patients, n_replicates)
    baseline = np.clip(np.rint(rng.normal(29, 5, shape)), 0, 60)
    arm = (rng.permuted(np.tile(np.arange(n_patients) % 2, (n_replicates, 1)), axis=1).T).astype(np.int8)
    score = np.clip(np.rint(0.5 * baseline + rng.normal(5, 7, shape) - 3.0 * arm), 0, 60)
    shares = np.array([0.4, 0.7, 1.0])[:, np.newaxis, np.newaxis]
    course = np.rint(baseline + shares * (score - baseline) + (1 - shares) * rng.normal(0, 6, (3, *shape))).clip(0, 60)
    columns = {
        "crp": np.round(np.exp(rng.normal(1.2, 0.6, shape)), 1).T,
        "sex": Category(rng.integers(0, 2, shape).astype(np.int8).T, ("female", "male")),
    }
    scale = Scale("MADRS", 0, 60, 10)
    seen = np.ones((n_replicates, n_patients, 3), dtype=bool)
    measured = Measurements((2.0, 4.0, 8.0), course.transpose(2, 1, 0), seen, baseline.T, None, scale, "down")
    stratum = (np.asarray(columns["crp"]) >= 3.0).astype(np.int16)
    return TrialData(("placebo", "active"), arm.T, stratum, columns, {"symptoms": measured})
