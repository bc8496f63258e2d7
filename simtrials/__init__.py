"""simtrials: a flight simulator for clinical trials in which a biomarker decides whom to treat.

    scenario = simtrials.read("scenarios/next_trial.toml")
    result = simtrials.run(scenario)
    result.measures()

Methods of meta-analysis take (k,) effects for one review or (..., k) for many: ``simtrials.meta_analysis(yi, vi, tau2="REML")``.

Names are imported when they are first used, so that ``import simtrials`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "DeclarationError": "simtrials.core.errors",
    "EvidenceScenario": "simtrials.engine.evidence.scenario",
    "Scenario": "simtrials.engine.scenario",
    "SimtrialsError": "simtrials.core.errors",
    "analyze": "simtrials.engine.real_trial.analyze",
    "assurance": "simtrials.planning.assurance",
    "bayesian_meta_analysis": "simtrials.stats.bayes_meta",
    "begg_test": "simtrials.stats.small_study",
    "between_study_variance": "simtrials.stats.tau2",
    "bivariate_meta_analysis": "simtrials.stats.bivariate",
    "cluster_robust": "simtrials.stats.cluster_robust",
    "combine_groups": "simtrials.stats.effect_size_inputs",
    "correlation_of_change": "simtrials.stats.effect_size_inputs",
    "count_association_tests": "simtrials.stats.meta_analysis_counts",
    "crossing_probabilities": "simtrials.stats.group_sequential",
    "cumulative_meta_analysis": "simtrials.stats.influence",
    "detectable_effect": "simtrials.planning.detectable_effect",
    "decisions": "simtrials.planning.decisions",
    "effect_from_confidence_interval": "simtrials.stats.effect_size_inputs",
    "effect_from_p_value": "simtrials.stats.effect_size_inputs",
    "effect_from_standard_error": "simtrials.stats.effect_size_inputs",
    "effect_sizes": "simtrials.stats.effect_sizes",
    "egger_test": "simtrials.stats.small_study",
    "evidence_power": "simtrials.planning.evidence_power",
    "excess_significance_test": "simtrials.stats.excess_significance",
    "fail_safe_n": "simtrials.stats.fail_safe",
    "fit_course": "simtrials.engine.real_trial.course",
    "fit_population": "simtrials.engine.population_fit",
    "hedges_correction": "simtrials.stats.effect_sizes",
    "influence": "simtrials.stats.influence",
    "ipd_one_stage": "simtrials.stats.ipd_one_stage",
    "ipd_two_stage": "simtrials.stats.ipd",
    "leave_one_out": "simtrials.stats.influence",
    "limit_meta_analysis": "simtrials.stats.limit_meta_analysis",
    "load": "simtrials.engine.run",
    "mean_and_sd_from_quantiles": "simtrials.stats.effect_sizes_quantiles",
    "meta_analysis": "simtrials.stats.meta_analysis",
    "meta_analysis_counts": "simtrials.stats.meta_analysis_counts",
    "meta_regression": "simtrials.stats.meta_analysis",
    "p_curve": "simtrials.stats.p_curve",
    "p_uniform": "simtrials.stats.p_uniform",
    "p_uniform_star": "simtrials.stats.p_uniform_star",
    "peese": "simtrials.stats.pet_peese",
    "permutation_test": "simtrials.stats.permutation",
    "pet": "simtrials.stats.pet_peese",
    "pet_peese": "simtrials.stats.pet_peese",
    "pilot_value": "simtrials.planning.pilot",
    "pooled_sd_from_difference": "simtrials.stats.effect_size_inputs",
    "power_curve": "simtrials.planning.power_curve",
    "publication_bias_sensitivity": "simtrials.stats.publication_bias_sensitivity",
    "q_profile_interval": "simtrials.stats.tau2_intervals",
    "read": "simtrials.engine.files",
    "review": "simtrials.engine.real_studies.analyze",
    "run": "simtrials.engine.run",
    "sample_size": "simtrials.planning.sample_size",
    "sd_from_confidence_interval": "simtrials.stats.effect_size_inputs",
    "sd_from_standard_error": "simtrials.stats.effect_size_inputs",
    "sd_of_change": "simtrials.stats.effect_size_inputs",
    "sensitivity": "simtrials.planning.sensitivity",
    "spending_boundaries": "simtrials.stats.group_sequential",
    "split_shared_control": "simtrials.stats.effect_size_inputs",
    "std_error_from_confidence_interval": "simtrials.stats.effect_size_inputs",
    "std_error_from_p_value": "simtrials.stats.effect_size_inputs",
    "std_error_from_t_value": "simtrials.stats.effect_size_inputs",
    "step_selection": "simtrials.stats.selection_models",
    "subgroup_analysis": "simtrials.stats.subgroups",
    "three_level": "simtrials.stats.three_level",
    "trial_regressions": "simtrials.stats.ipd",
    "trial_sequential_analysis": "simtrials.stats.trial_sequential_analysis",
    "trim_and_fill": "simtrials.stats.trim_and_fill",
    "unrestricted_wls": "simtrials.stats.pet_peese",
    "waap_wls": "simtrials.stats.pet_peese",
    "worst_case": "simtrials.stats.publication_bias_sensitivity",
    "whom_to_enroll": "simtrials.planning.enrollment",
}
__all__ = [
    "DeclarationError",
    "EvidenceScenario",
    "Scenario",
    "SimtrialsError",
    "__version__",
    "analyze",
    "assurance",
    "bayesian_meta_analysis",
    "begg_test",
    "between_study_variance",
    "bivariate_meta_analysis",
    "cluster_robust",
    "combine_groups",
    "correlation_of_change",
    "count_association_tests",
    "crossing_probabilities",
    "cumulative_meta_analysis",
    "decisions",
    "detectable_effect",
    "effect_from_confidence_interval",
    "effect_from_p_value",
    "effect_from_standard_error",
    "effect_sizes",
    "egger_test",
    "evidence_power",
    "excess_significance_test",
    "fail_safe_n",
    "fit_course",
    "fit_population",
    "hedges_correction",
    "influence",
    "ipd_one_stage",
    "ipd_two_stage",
    "leave_one_out",
    "limit_meta_analysis",
    "load",
    "mean_and_sd_from_quantiles",
    "meta_analysis",
    "meta_analysis_counts",
    "meta_regression",
    "p_curve",
    "p_uniform",
    "p_uniform_star",
    "peese",
    "permutation_test",
    "pet",
    "pet_peese",
    "pilot_value",
    "pooled_sd_from_difference",
    "power_curve",
    "publication_bias_sensitivity",
    "q_profile_interval",
    "read",
    "review",
    "run",
    "sample_size",
    "sd_from_confidence_interval",
    "sd_from_standard_error",
    "sd_of_change",
    "sensitivity",
    "spending_boundaries",
    "split_shared_control",
    "std_error_from_confidence_interval",
    "std_error_from_p_value",
    "std_error_from_t_value",
    "step_selection",
    "subgroup_analysis",
    "three_level",
    "trial_regressions",
    "trial_sequential_analysis",
    "trim_and_fill",
    "unrestricted_wls",
    "waap_wls",
    "whom_to_enroll",
    "worst_case",
]

if TYPE_CHECKING:
    from simtrials.core.errors import DeclarationError, SimtrialsError
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.engine.population_fit import fit_population
    from simtrials.engine.real_studies.analyze import review
    from simtrials.engine.real_trial.analyze import analyze
    from simtrials.engine.real_trial.course import fit_course
    from simtrials.engine.run import load, run
    from simtrials.engine.scenario import Scenario
    from simtrials.planning.assurance import assurance
    from simtrials.planning.decisions import decisions
    from simtrials.planning.detectable_effect import detectable_effect
    from simtrials.planning.enrollment import whom_to_enroll
    from simtrials.planning.evidence_power import evidence_power
    from simtrials.planning.pilot import pilot_value
    from simtrials.planning.power_curve import power_curve
    from simtrials.planning.sample_size import sample_size
    from simtrials.planning.sensitivity import sensitivity
    from simtrials.stats.bayes_meta import bayesian_meta_analysis
    from simtrials.stats.bivariate import bivariate_meta_analysis
    from simtrials.stats.cluster_robust import cluster_robust
    from simtrials.stats.effect_size_inputs import (
        combine_groups,
        correlation_of_change,
        effect_from_confidence_interval,
        effect_from_p_value,
        effect_from_standard_error,
        pooled_sd_from_difference,
        sd_from_confidence_interval,
        sd_from_standard_error,
        sd_of_change,
        split_shared_control,
        std_error_from_confidence_interval,
        std_error_from_p_value,
        std_error_from_t_value,
    )
    from simtrials.stats.effect_sizes import effect_sizes, hedges_correction
    from simtrials.stats.effect_sizes_quantiles import mean_and_sd_from_quantiles
    from simtrials.stats.excess_significance import excess_significance_test
    from simtrials.stats.fail_safe import fail_safe_n
    from simtrials.stats.group_sequential import crossing_probabilities, spending_boundaries
    from simtrials.stats.influence import cumulative_meta_analysis, influence, leave_one_out
    from simtrials.stats.ipd import ipd_two_stage, trial_regressions
    from simtrials.stats.ipd_one_stage import ipd_one_stage
    from simtrials.stats.limit_meta_analysis import limit_meta_analysis
    from simtrials.stats.meta_analysis import meta_analysis, meta_regression
    from simtrials.stats.meta_analysis_counts import count_association_tests, meta_analysis_counts
    from simtrials.stats.p_curve import p_curve
    from simtrials.stats.p_uniform import p_uniform
    from simtrials.stats.p_uniform_star import p_uniform_star
    from simtrials.stats.permutation import permutation_test
    from simtrials.stats.pet_peese import peese, pet, pet_peese, unrestricted_wls, waap_wls
    from simtrials.stats.publication_bias_sensitivity import publication_bias_sensitivity, worst_case
    from simtrials.stats.selection_models import step_selection
    from simtrials.stats.small_study import begg_test, egger_test
    from simtrials.stats.subgroups import subgroup_analysis
    from simtrials.stats.tau2 import between_study_variance
    from simtrials.stats.tau2_intervals import q_profile_interval
    from simtrials.stats.three_level import three_level
    from simtrials.stats.trial_sequential_analysis import trial_sequential_analysis
    from simtrials.stats.trim_and_fill import trim_and_fill


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'simtrials' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
