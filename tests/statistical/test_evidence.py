"""Bodies of evidence: the clean case is exact, each departure moves what its own small calculation says, fidelities agree."""

import examples
import numpy as np
import pandas as pd
import pytest
from meta_methods.cases import FOLDER
from numpy.testing import assert_array_equal
from scipy import stats
from statistical.evidence import CLEAN, VARIANCE, covered, found, mean_of, ready, tables
from statistical.helpers import APART, TOLERANCE, standard_error_under

from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.evidence.run import ready_evidence
from simtrials.engine.files import evidence_from
from simtrials.evidence.gather import gather
from simtrials.evidence.own_test import own_result
from simtrials.evidence.practices import OutlierRemoval
from simtrials.stats.selection_likelihood import published
from simtrials.trial import simulate

N = 40_960
EXACT = pd.read_csv(FOLDER / "cases.csv").set_index(["dataset_or_setting", "method"])["expected"]
HOMOGENEOUS, HALF = "balanced k=11 I2=0", "balanced k=11 I2=0.5"
"""Settings of the rows computed by quadrature: 11 studies of one size, no heterogeneity, or as much as sampling error."""


def exact_of(setting, method):
    return float(EXACT[setting, method])


POOLED = {
    "common": {"kind": "pooled", "outcome": "md", "tau2": "common", "ci": "wald"},
    "hartung_knapp": {"kind": "pooled", "outcome": "md", "tau2": "DL", "ci": "hartung_knapp"},
    "dl_wald": {"kind": "pooled", "outcome": "md", "tau2": "DL", "ci": "wald", "prediction": "t_k_minus_1"},
    "ad_hoc": {"kind": "pooled", "outcome": "md", "tau2": "DL", "ci": "hartung_knapp_adhoc"},
}


def near(value, exact, std_error):
    assert abs(value - exact) < TOLERANCE * std_error, f"{value:.5f} against {exact:.5f}, standard error {std_error:.5f}"


def far(wrong, exact, std_error):
    """The named wrong version would have been seen."""
    assert abs(wrong - exact) > APART * std_error


# ---- the clean case


@pytest.fixture(scope="module")
def clean():
    return found("clean", N, syntheses=POOLED)


@pytest.mark.parametrize(
    ("synthesis", "exact"),
    [
        ("common", 0.95),
        ("hartung_knapp", 0.95),
        ("dl_wald", 1 - exact_of(HOMOGENEOUS, "typeI_z_DL")),
        ("ad_hoc", 1 - exact_of(HOMOGENEOUS, "typeI_mKH")),
    ],
)
def test_intervals_cover_what_quadrature_says_in_the_clean_case(clean, synthesis, exact):
    near(covered(clean, synthesis, 0.1)[0], exact, standard_error_under(exact, N))
    far(covered(clean, synthesis, 0.1 + 1.5 * np.sqrt(VARIANCE / 11))[0], exact, standard_error_under(exact, N))


def test_every_other_interval_covers_at_least_nearly_its_level_in_the_clean_case():
    others = {
        "kr": {"kind": "pooled", "outcome": "md", "ci": "kenward_roger"},
        "reml_hk": {"kind": "pooled", "outcome": "md", "ci": "hartung_knapp"},
        "pl": {"kind": "pooled", "outcome": "md", "tau2": "ML", "ci": "profile_likelihood"},
        "hc": {"kind": "pooled", "outcome": "md", "tau2": "DL", "ci": "henmi_copas"},
        "uwls": {"kind": "unrestricted_wls", "outcome": "md"},
        "bayes": {"kind": "bayesian", "outcome": "md", "scale": 0.2},
        "three_level": {"kind": "clustered", "outcome": "md", "by": "funder"},
    }
    n = 2_560
    columns = found("clean, other intervals", n, syntheses=others)
    for synthesis in set(others) - {"three_level"}:
        assert covered(columns, synthesis, 0.1)[0] > 0.95 - TOLERANCE * standard_error_under(0.95, n), synthesis


def test_the_truth_is_exact_and_the_estimate_unbiased(clean):
    near(*(mean_of(clean["common/estimate"])[0], 0.1), mean_of(clean["common/estimate"])[1])
    near(float(np.var(clean["common/estimate"])), VARIANCE / 11, VARIANCE / 11 * np.sqrt(2 / N))


# ---- each departure alone


def test_heterogeneity_alone_takes_coverage_from_the_common_effect_as_quadrature_says():
    columns = found("heterogeneity", N, syntheses=POOLED, true_effects={"tau": {"outcome": float(np.sqrt(VARIANCE))}})
    exact = 1 - exact_of(HALF, "typeI_FE_z")
    near(covered(columns, "common", 0.1)[0], exact, standard_error_under(exact, N))
    far(0.95, exact, standard_error_under(exact, N))
    for synthesis, level in (("hartung_knapp", 0.95), ("dl_wald", 1 - exact_of(HALF, "typeI_z_DL")), ("ad_hoc", 1 - exact_of(HALF, "typeI_mKH"))):
        near(covered(columns, synthesis, 0.1)[0], level, standard_error_under(level, N))


def test_a_new_trial_lies_in_the_prediction_interval_as_often_as_quadrature_says(clean):
    spread = {"tau": {"outcome": float(np.sqrt(VARIANCE))}}
    heterogeneous = found("new trial", N, syntheses=POOLED, true_effects=spread)
    for columns, setting in ((clean, HOMOGENEOUS), (heterogeneous, HALF)):
        exact = exact_of(setting, "PI_coverage_tk-1")
        near(float(columns["dl_wald/flag: prediction_coverage"].mean()), exact, standard_error_under(exact, N))
    far(covered(heterogeneous, "dl_wald", 0.1)[0], exact, standard_error_under(exact, N))


def test_selection_by_p_value_biases_the_mean_as_the_truncated_normal_says():
    chance = 0.2
    reporting = {"publication": [{"kind": "by_p_value", "not_significant": chance, "alpha": 0.05}]}
    columns = found("selection", 10_240, reporting=reporting)
    share, mean = published(0.1, 0.0, VARIANCE, (1.0, chance))
    value, error = mean_of(columns["common/estimate"])
    near(value, float(mean), error)
    far(0.1, float(mean), error)
    run, run_error = mean_of(columns["studies run"] / 11)
    near(run, 1 / float(share), run_error)


def test_selection_where_harm_is_the_direction_turns_the_bias_around():
    endpoints = {"outcome": {"kind": "continuous", "sd": 1.0, "better": "down", "effects": {"active": {"kind": "constant", "points": 0.1}}}}
    reporting = {"publication": [{"kind": "by_p_value", "not_significant": 0.2}]}
    columns = found("selection, falling outcome", 10_240, reporting=reporting, endpoints=endpoints)
    value, error = mean_of(columns["common/estimate"])
    near(value, float(published(0.1, 0.0, VARIANCE, (1.0, 0.2))[1]), error)


def test_an_unpublished_wrong_sign_biases_as_the_half_normal_says():
    columns = found("sign", 10_240, reporting={"publication": [{"kind": "by_sign", "unfavorable": 0.0}]})
    z = 0.1 / np.sqrt(VARIANCE)
    exact = 0.1 + np.sqrt(VARIANCE) * stats.norm.pdf(z) / stats.norm.cdf(z)
    value, error = mean_of(columns["common/estimate"])
    near(value, exact, error)
    far(0.1, exact, error)


def test_selection_depends_on_the_funder_as_declared():
    studies = CLEAN["studies"] | {"funder": {"public": 0.5, "industry": 0.5}}
    reporting = {"publication": [{"kind": "by_funder", "not_significant": {"industry": 0.1}}]}
    shares = published(0.1, 0.0, VARIANCE, (1.0, 0.1))[0]
    exact = shares * 0.5 / (shares * 0.5 + 0.5)
    codes = np.concatenate([table.columns["funder"].codes for table in tables("funder", 40, studies=studies, reporting=reporting)])
    near(float(codes.mean()), float(exact), standard_error_under(float(exact), codes.size))
    far(0.5, float(exact), standard_error_under(float(exact), codes.size))


def test_inflation_of_biased_studies_shifts_the_mean_by_its_share():
    studies = CLEAN["studies"] | {"risk_of_bias": {"low": 0.75, "high": 0.25}}
    columns = found("risk of bias", N, studies=studies, true_effects={"inflation": {"high": {"outcome": 0.2}}})
    value, error = mean_of(columns["common/estimate"])
    near(value, 0.1 + 0.25 * 0.2, error)
    far(0.1, 0.15, error)


def test_the_most_favorable_of_two_outcomes_is_better_by_the_mean_of_a_maximum():
    endpoints = {name: {"kind": "continuous", "sd": 1.0, "effects": {"active": {"kind": "constant", "points": 0.1}}} for name in ("outcome", "other")}
    outcomes = {"md": {"endpoint": "outcome", "measure": "MD"}, "second": {"endpoint": "other", "measure": "MD"}}
    selection = {"outcomes": [{"kind": "most_favorable", "reported": "md", "among": ["md", "second"]}]}
    columns = found("outcome selection", N, endpoints=endpoints, outcomes=outcomes, reporting=selection)
    exact = 0.1 + np.sqrt(VARIANCE / np.pi)
    value, error = mean_of(columns["common/estimate"])
    near(value, exact, error)
    far(0.1, exact, error)


def test_lost_signs_shift_the_mean_by_twice_the_active_mean():
    readers = {"kind": "readers", "readers": 1, "errors": dict.fromkeys(("swapped_arms", "se_for_sd", "wrong_n", "digit"), 0.0) | {"sign": 0.05}}
    columns = found("sign lost", N, extraction=[readers])
    value, error = mean_of(columns["common/estimate"])
    near(value, 0.1 - 0.05 * 2 * 0.1, error)
    far(0.1, 0.09, error)


def test_a_standard_error_taken_for_an_sd_makes_the_effect_size_larger_by_the_root_of_n():
    outcomes = {"smd": {"endpoint": "outcome", "measure": "SMD"}}
    errors = dict.fromkeys(("swapped_arms", "sign", "wrong_n", "digit"), 0.0) | {"se_for_sd": 0.5}
    step = {"kind": "readers", "readers": 1, "errors": errors, "shared": 0.0}
    pooled = {"a": {"kind": "pooled", "outcome": "smd", "tau2": "common", "ci": "wald"}}
    effects = np.concatenate([t.effects("smd").yi for t in tables("se for sd", 40, outcomes=outcomes, extraction=[step], syntheses=pooled)])
    value, error = mean_of(effects.ravel())
    exact = 0.5 * 0.1 + 0.5 * 0.1 * np.sqrt(500)
    near(value, exact, error)
    far(0.1, exact, error)


def test_end_scores_mixed_with_changes_are_smaller_by_the_ratio_of_sds():
    baseline = {"mean": 0.0, "sd": 1.0, "correlation": 0.75}
    endpoints = {"outcome": {"kind": "continuous", "baseline": baseline, "effects": {"active": {"kind": "constant", "smd": 0.2, "smd_sd": "change"}}}}
    outcomes = {"smd": {"endpoint": "outcome", "outcome": "change", "measure": "SMD"}}
    pooled = {"a": {"kind": "pooled", "outcome": "smd", "tau2": "common", "ci": "wald"}}
    step = {"kind": "end_scores", "share": 0.4, "pooled": "mixed"}
    made = tables("end scores", 40, endpoints=endpoints, outcomes=outcomes, extraction=[step], syntheses=pooled)
    value, error = mean_of(np.concatenate([table.effects("smd").yi for table in made]).ravel())
    exact = 0.6 * 0.2 + 0.4 * 0.2 * np.sqrt(2 * (1 - 0.75))
    near(value, exact, error)
    far(0.2, exact, error)


def test_sds_that_are_imputed_leave_the_mean_where_it_was_and_those_left_out_take_their_studies_with_them():
    for imputed, lost in (("mean_of_others", 0.0), ("left_out", 0.3)):
        columns = found(f"missing sds {imputed}", 10_240, extraction=[{"kind": "missing_sds", "share": 0.3, "imputed": imputed}])
        near(*(mean_of(columns["common/estimate"])[0], 0.1), mean_of(columns["common/estimate"])[1])
        near(float(columns["common/number: n_studies"].mean() / 11), 1 - lost, 0.3 / np.sqrt(columns["common/estimate"].size * 11) + 1e-9)


def test_single_extraction_has_a_fifth_more_errors_than_double():
    """Buscemi and colleagues 2006: 21.7 % more, relative; the defaults give 1 / (0.8 + 0.2 x 2 x 0.05) to the second order."""
    rates = {}
    for readers in (1, 2):
        read = tables("readers", 100, extraction=[{"kind": "readers", "readers": readers}])
        pairs = [(one.numbers["md"], other.numbers["md"]) for one, other in zip(read, tables("readers", 100), strict=True)]
        wrong = [((one.mean != other.mean) | (one.sd != other.sd) | (one.n != other.n)).any(axis=-1) for one, other in pairs]
        rates[readers] = float(np.concatenate(wrong).mean())
    assert rates[1] == pytest.approx(0.09, abs=4 * standard_error_under(0.09, 100 * 256 * 11))
    assert rates[1] / rates[2] == pytest.approx(1.217, abs=0.03)


# ---- steps together


PEOPLE = {
    "population": examples.PEOPLE,
    "assays": {"crp": {"kind": "serial", "observed": "crp_mg_l", "limit_of_detection": 0.15, "resolution": 0.1}},
    "fidelity": {"kind": "patients"},
    "endpoints": {"outcome": examples.SYMPTOMS | {"effects": {"active": {"kind": "constant", "smd": 0.3, "smd_sd": "change"}}}},
    "outcomes": {"severity": {"endpoint": "outcome"}, "response": {"endpoint": "outcome", "outcome": "response"}},
    "studies": {"kind": "listed", "trials": [{"n_active": 60, "n_control": 60, "weeks": 8.0, "copies": 4}]},
    "syntheses": {"common": {"kind": "pooled", "outcome": "severity", "tau2": "common", "ci": "wald"}},
}
SUBGROUP = {"kind": "subgroup", "available": 1.0}


def test_a_chosen_outcome_is_chosen_before_the_study_is_published_or_not():
    """Both of two independent outcomes have their chance: a study is significant with probability 1 - (1 - s)^2."""
    endpoints = {name: {"kind": "continuous", "sd": 1.0, "effects": {"active": {"kind": "constant", "points": 0.1}}} for name in ("outcome", "other")}
    outcomes = {"md": {"endpoint": "outcome", "measure": "MD"}, "second": {"endpoint": "other", "measure": "MD"}}
    selection = [{"kind": "first_significant", "reported": "md", "among": ["md", "second"]}]
    reporting = {"outcomes": selection, "publication": [{"kind": "by_p_value", "not_significant": 0.2}]}
    columns = found("chosen, then published", 10_240, endpoints=endpoints, outcomes=outcomes, reporting=reporting)
    df, shift = 998, 0.1 / np.sqrt(VARIANCE)
    shows = float(stats.nct.sf(stats.t.ppf(0.975, df), df, shift))
    either = 1 - (1 - shows) ** 2
    run, error = mean_of(columns["studies run"] / 11)
    near(run, 1 / (either + 0.2 * (1 - either)), error)
    far(1 / (shows + 0.2 * (1 - shows)), run, error)


def test_a_study_that_measures_nothing_it_could_be_selected_by_is_published():
    studies = CLEAN["studies"] | {"measured": {"md": 0.5}}
    endpoints = {name: {"kind": "continuous", "sd": 1.0} for name in ("outcome", "other")}
    outcomes = {"md": {"endpoint": "outcome", "measure": "MD"}, "second": {"endpoint": "other", "measure": "MD"}}
    reporting = {"publication": [{"kind": "by_p_value", "not_significant": 0.0}]}
    columns = found("unmeasured", 2_560, endpoints=endpoints, outcomes=outcomes, studies=studies, reporting=reporting)
    run, error = mean_of(columns["studies run"] / 11)
    near(run, 1 / (0.5 + 0.5 * 0.025), error)


def test_end_scores_of_an_extracted_subgroup_are_those_of_the_subgroup():
    """Nobody is lost, so each study has as many end scores as changes in the subgroup; responses have no end score and stay."""
    scores = {"kind": "end_scores", "share": 1.0, "pooled": "mixed"}
    (subgroup,), (both,) = (tables("steps", 1, extraction=steps, **PEOPLE) for steps in ([SUBGROUP], [SUBGROUP, scores]))
    assert_array_equal(both.numbers["severity"].n, subgroup.numbers["severity"].n)
    assert (both.numbers["severity"].n.sum(axis=-1) < 120).all()
    assert (both.numbers["severity"].mean != subgroup.numbers["severity"].mean).mean() > 0.99
    assert_array_equal(both.numbers["response"].mean, subgroup.numbers["response"].mean)


def test_a_subgroup_is_made_of_the_patients_that_were_reported():
    """With optional stopping the subgroup grows with the study."""
    trials = PEOPLE["studies"]["trials"][0] | {"n_active": 10, "n_control": 10}
    changes = PEOPLE | {"studies": {"kind": "listed", "trials": [trials]}}
    practice = [{"kind": "optional_stopping", "add_per_arm": 50, "times": 1}]
    (whole,), (subgroup,) = (tables("grown", 1, practices=practice, extraction=steps, **changes) for steps in ([], [SUBGROUP]))
    grown = whole.numbers["severity"].n.sum(axis=-1) > 20
    assert 0.1 < grown.mean() < 1.0
    share = (subgroup.numbers["severity"].n / whole.numbers["severity"].n)[grown].mean()
    assert share == pytest.approx((subgroup.numbers["severity"].n / whole.numbers["severity"].n)[~grown].mean(), abs=0.1)


def test_asymmetry_shows_the_same_whichever_direction_is_the_benefit():
    """The same selection, of a risk that falls and of one that rises: Egger's test finds small studies with more benefit equally often."""
    studies = CLEAN["studies"] | {"number": 30, "n_per_arm": {"kind": "one_of", "values": [40, 80, 1000]}}
    egger = {"egger": {"kind": "asymmetry", "outcome": "events"}}
    reporting = {"publication": [{"kind": "by_p_value", "not_significant": 0.02}]}
    shows = {}
    for event in ("good", "bad"):
        endpoints = {"outcome": {"kind": "binary", "control_risk": 0.5, "event_is": event}}
        outcomes = {"events": {"endpoint": "outcome", "measure": "OR"}}
        columns = found("egger", 1_024, endpoints=endpoints, outcomes=outcomes, studies=studies, reporting=reporting, syntheses=egger)
        shows[event] = float((columns["egger/decision"] == 1).mean())
    assert shows["good"] > 0.3
    near(shows["good"], shows["bad"], float(np.hypot(*(standard_error_under(one, 1_024) for one in shows.values()))))


LISTED = {"kind": "listed", "trials": [{"n_active": 20, "n_control": 20, "weeks": 1.0, "copies": 4}]}
TWO = {
    "endpoints": {
        "outcome": {"kind": "continuous", "sd": 1.0},
        "other": {"kind": "continuous", "sd": 1.0, "effects": {"active": {"kind": "constant", "points": 1.0}}},
    },
    "outcomes": {"md": {"endpoint": "outcome", "measure": "MD"}, "second": {"endpoint": "other", "measure": "MD"}},
}


def test_only_studies_that_measure_an_outcome_report_another_under_its_name():
    only_second = LISTED["trials"][0] | {"outcomes": ["second"]}
    studies = LISTED | {"trials": [*LISTED["trials"], only_second]}
    selection = {"outcomes": [{"kind": "most_favorable", "reported": "md", "among": ["md", "second"]}]}
    (table,) = tables("not measured", 1, studies=studies, reporting=selection, **TWO)
    assert table.numbers["md"].known[:, :4].all()
    assert not table.numbers["md"].known[:, 4:].any()
    assert table.numbers["second"].known.all()


def test_practices_are_for_studies_that_measure_their_outcome():
    practice = [{"kind": "optional_stopping", "add_per_arm": 20, "times": 2, "outcome": "md"}]
    studies = LISTED | {"trials": [LISTED["trials"][0] | {"outcomes": ["second"]}]}
    pooled = {"a": {"kind": "pooled", "outcome": "second"}}
    (table,) = tables("no practice", 1, studies=studies, practices=practice, fidelity={"kind": "patients"}, syntheses=pooled, **TWO)
    assert (table.numbers["second"].n == 20).all()


def test_a_wrong_time_point_brings_nothing_back_that_was_left_out():
    readers = {"kind": "readers", "readers": 1, "errors": {"wrong_time_point": 0.9, "digit": 0.0, "sign": 0.0, "wrong_n": 0.0, "se_for_sd": 0.0}}
    for before in ({"kind": "end_scores", "share": 1.0}, {"kind": "missing_sds", "share": 1.0, "imputed": "left_out"}):
        (table,) = tables("brought back", 1, extraction=[before, readers], **PEOPLE)
        assert np.isnan(table.effects("severity").yi).all(), before
    mixed = {"kind": "end_scores", "share": 1.0, "pooled": "mixed"}
    (scores,) = tables("scores stay", 1, extraction=[mixed, readers], **PEOPLE)
    assert (scores.numbers["severity"].mean > 5.0).all(), "changes are negative"


def test_conditions_on_size_take_the_same_studies_for_truth_and_estimate():
    """Sizes are those that were planned, also where a subgroup is extracted."""
    trials = [
        {"n_active": 100, "n_control": 100, "weeks": 8.0, "drug_class": "a", "copies": 4},
        {"n_active": 200, "n_control": 200, "weeks": 8.0, "drug_class": "b", "copies": 4},
    ]
    pooled = {"a": {"kind": "pooled", "outcome": "severity", "where": "n >= 350", "ci": "wald"}}
    law = {"by_class": {"a": {"outcome": 0.0}, "b": {"outcome": 0.6}}}
    changes = PEOPLE | {"studies": {"kind": "listed", "trials": trials}, "syntheses": pooled, "true_effects": law, "extraction": [SUBGROUP]}
    simulation = ready("sizes", **changes)
    columns = simulation.columns(0)
    assert (columns["a/number: n_studies"] == 4).all()
    near(float(columns["a/estimate"].mean()), simulation.truths()["a"].value, float(columns["a/estimate"].std() / 16))


@pytest.mark.parametrize("missing", ["excluded", "non_response"])
def test_truth_counts_who_is_lost_as_the_outcome_says(missing):
    """One after the other in one process: nothing of the first may stay for the second."""
    outcomes = {"responders": {"endpoint": "outcome", "outcome": "response", "measure": "RD", "missing": missing}}
    pooled = {"a": {"kind": "pooled", "outcome": "responders", "tau2": "common", "ci": "wald"}}
    lost = {"lost": {"kind": "dropout", "rate": {"control": 0.1, "active": 0.4}}}
    changes = PEOPLE | {"outcomes": outcomes, "syntheses": pooled, "departures": lost, "seed": 11}
    simulation = ready_evidence(evidence_from({**CLEAN, **changes}), {})
    columns = {key: np.concatenate([block[key] for block in simulation.many(range(4))]) for key in ("a/estimate",)}
    truth = simulation.truths()["a"]
    assert (truth.value < 0) == (missing == "non_response")
    near(float(columns["a/estimate"].mean()), truth.value, float(np.hypot(columns["a/estimate"].std() / 32, truth.std_error)))


def test_coverage_of_a_new_trial_counts_reviews_with_a_prediction_interval_only():
    one = {"kind": "pooled", "outcome": "md", "ci": "wald", "where": "drug_class == 'b'"}
    studies = CLEAN["studies"] | {"number": 6, "drug_class": {"a": 0.8, "b": 0.2}}
    columns = found("few of a kind", 2_560, studies=studies, syntheses={"b": one}, true_effects={"tau": {"outcome": 0.1}})
    flag, several = columns["b/flag: prediction_coverage"], columns["b/number: n_studies"] >= 2
    assert np.isnan(flag[columns["b/number: n_studies"] <= 1]).all()
    assert np.isfinite(flag[columns["b/number: n_studies"] >= 3]).all()
    assert 0.5 < np.nanmean(flag[several]) <= 1.0


# ---- what true effects are


def test_the_spread_of_true_effects_is_that_of_the_studies_a_synthesis_takes():
    """Two classes with means .1 and .5: over one class the variance is tau2, over both it holds the distance of the means as well."""
    studies = CLEAN["studies"] | {"drug_class": {"a": 0.5, "b": 0.5}}
    law = {"tau": {"outcome": 0.2}, "by_class": {"b": {"outcome": 0.5}}}
    one = {"kind": "pooled", "outcome": "md"}
    simulation = ready("classes", studies=studies, true_effects=law, syntheses={"all": one, "b": one | {"where": "drug_class == 'b'"}})
    table = gather(simulation.prepared, Streams(simulation.seed, Purpose.RUN, 0)).table
    over = (11 * 8192) ** -0.5
    for where, mean, variance in ((None, 0.3, 0.04 + 0.04), ("drug_class == 'b'", 0.5, 0.04)):
        assert table.tau2["md", where] == pytest.approx(variance, abs=4 * 2 * variance * over)
        near(float(table.new_true["md", where].mean()), mean, np.sqrt(variance / 256))
    assert simulation.truths()["b"].value == pytest.approx(0.5, abs=4 * 0.3 * over)


def test_true_effects_are_standardized_as_their_measure_says():
    """Arms of 30 and 90 with SDs 1 and 2: by the pooled SD, the mean of variances, or the control SD."""
    endpoints = {"outcome": {"kind": "continuous", "sd": 1.0, "arm_sd": {"active": 2.0}, "effects": {"active": {"kind": "constant", "points": 1.0}}}}
    studies = {"kind": "listed", "trials": [{"n_active": 90, "n_control": 30, "weeks": 1.0}]}
    outcomes = {name.lower(): {"endpoint": "outcome", "measure": name} for name in ("SMD", "SMDH", "SMD1", "MD")}
    syntheses = {name: {"kind": "pooled", "outcome": name} for name in outcomes}
    truths = ready("standardized", endpoints=endpoints, studies=studies, outcomes=outcomes, syntheses=syntheses).truths()
    expected = {"smd": 1 / np.sqrt(0.25 + 0.75 * 4), "smdh": 1 / np.sqrt(2.5), "smd1": 1.0, "md": 1.0}
    assert {name: truth.value for name, truth in truths.items()} == pytest.approx(expected, rel=1e-12)


def test_one_more_trial_of_a_rare_kind_is_known_in_every_review():
    """Two in a thousand studies are of the kind that is asked about; its effects have a mean of their own."""
    studies = CLEAN["studies"] | {"drug_class": {"a": 0.998, "b": 0.002}}
    law = {"tau": {"outcome": 0.2}, "by_class": {"b": {"outcome": 0.5}}}
    rare = {"b": {"kind": "pooled", "outcome": "md", "where": "drug_class == 'b'"}}
    simulation = ready("rare kind", studies=studies, true_effects=law, syntheses=rare)
    new = gather(simulation.prepared, Streams(simulation.seed, Purpose.RUN, 0)).table.new_true["md", "drug_class == 'b'"]
    assert np.isfinite(new).all()
    near(float(new.mean()), 0.5, 0.2 / 16)


def test_truths_on_a_wide_law_spread_over_seeds_no_more_than_their_error_says():
    """Ten seeds give ten truths. Errors at different effects are added as if they were one, so that the error told is an upper bound."""
    changes = {
        "endpoints": {
            "outcome": {"kind": "binary", "control_risk": 0.05, "event_is": "bad", "effects": {"active": {"kind": "constant", "log_odds_ratio": 0.5}}}
        },
        "outcomes": {"events": {"endpoint": "outcome", "measure": "OR"}},
        "departures": {"lost": {"kind": "dropout", "rate": 0.2}},
        "fidelity": {"kind": "patients"},
        "true_effects": {"tau": {"outcome": 1.5}},
        "syntheses": {"a": {"kind": "pooled", "outcome": "events"}},
    }
    truths = [ready_evidence(evidence_from({**CLEAN, **changes, "seed": seed}), {}).truths()["a"] for seed in range(10)]
    spread, error = np.std([truth.value for truth in truths], ddof=1), float(np.mean([truth.std_error for truth in truths]))
    assert spread / error < np.sqrt(stats.chi2.isf(3e-5, 9) / 9), f"{spread:.4f} over seeds, {error:.4f} told"


@pytest.mark.parametrize("effect", [-1.3, -0.4, 0.15, 0.62, 1.9])
def test_risks_between_the_nodes_are_those_of_patients_with_that_effect(effect):
    """With a wide law of true effects, the curve of remission against patients who are simulated at one effect."""
    outcomes = {"remission": {"endpoint": "outcome", "outcome": "remission"}}
    pooled = {"a": {"kind": "pooled", "outcome": "remission"}}
    changes = PEOPLE | {"outcomes": outcomes, "true_effects": {"tau": {"outcome": 1.0}}, "syntheses": pooled, "fidelity": {"kind": "summaries"}}
    maker = ready("nodes", **changes).prepared.maker
    curve = maker.curves.of(0)["remission"]
    strength = {"outcome": np.full(256, effect)}
    streams = Streams(999, Purpose.RUN, 5)
    data = simulate(maker.curves.trials[0], streams, 256, 512, force_arm=1, complete=True, strength=strength).data
    measured = data.endpoints["outcome"]
    risk = float(OUTCOMES["remission"].read(measured, measured.weeks[-1]).mean())
    near(
        float(curve.active(np.array([effect]))[0][0]),
        risk,
        np.hypot(standard_error_under(risk, 256 * 512), standard_error_under(risk, 6 * 256 * 256)),
    )


# ---- practices, against a naive version


def test_optional_stopping_is_significant_as_often_as_a_plain_loop_says():
    add, times, start, n = 3, 3, 10, 4_000
    rng = np.random.default_rng(71)
    x, y = rng.standard_normal((2, n, start + add * times))
    hit = np.zeros(n, dtype=bool)
    for look in range(times + 1):
        size = start + add * look
        t = stats.ttest_ind(y[:, :size], x[:, :size], axis=1)
        hit |= (t.pvalue < 0.05) & (t.statistic > 0)
    studies = CLEAN["studies"] | {"n_per_arm": {"kind": "fixed", "n": start}}
    endpoints = {"outcome": {"kind": "continuous"}}
    practice = [{"kind": "optional_stopping", "add_per_arm": add, "times": times}]
    made = tables("optional stopping", 8, studies=studies, endpoints=endpoints, fidelity={"kind": "patients"}, practices=practice)
    shows = np.concatenate([own_result(table.numbers["md"], table.measured["md"]).benefit(0.05).ravel() for table in made])
    near(float(shows.mean()), float(hit.mean()), float(np.hypot(standard_error_under(0.06, shows.size), standard_error_under(0.06, n))))
    far(0.025, float(shows.mean()), standard_error_under(0.05, shows.size))
    sizes = np.concatenate([table.numbers["md"].n[..., 0].ravel() for table in made])
    assert set(sizes) == {10.0, 13.0, 16.0, 19.0}


def test_leaving_out_outliers_until_significant_lets_more_nothing_pass_as_a_plain_loop_says():
    n, size = 4_000, 20
    rng = np.random.default_rng(72)
    x, y = rng.standard_normal((2, n, size))

    def inside(values):
        return np.where(np.abs(values - values.mean(axis=1, keepdims=True)) < 2 * values.std(axis=1, ddof=1, keepdims=True), values, np.nan)

    first = stats.ttest_ind(y, x, axis=1)
    second = stats.ttest_ind(inside(y), inside(x), axis=1, nan_policy="omit")
    hit = ((first.pvalue < 0.05) & (first.statistic > 0)) | ((second.pvalue < 0.05) & (second.statistic > 0))
    studies = CLEAN["studies"] | {"n_per_arm": {"kind": "fixed", "n": size}}
    changes = {"studies": studies, "endpoints": {"outcome": {"kind": "continuous"}}, "fidelity": {"kind": "patients"}}
    made = tables("outliers", 8, practices=[{"kind": "outlier_removal"}], **changes)
    shows = np.concatenate([own_result(table.numbers["md"], table.measured["md"]).benefit(0.05).ravel() for table in made])
    near(float(shows.mean()), float(hit.mean()), float(np.hypot(standard_error_under(0.035, shows.size), standard_error_under(0.035, n))))
    far(0.025, float(shows.mean()), standard_error_under(0.025, shows.size))


def test_an_optional_covariate_lets_more_nothing_pass_as_a_plain_loop_says():
    n, size, correlation = 4_000, 20, 0.5
    rng = np.random.default_rng(73)
    before = rng.standard_normal((n, 2 * size))
    after = correlation * before + np.sqrt(1 - correlation**2) * rng.standard_normal((n, 2 * size))
    arm = np.repeat([0.0, 1.0], size)
    first = stats.ttest_ind(after[:, size:], after[:, :size], axis=1)
    hit = (first.pvalue < 0.05) & (first.statistic > 0)
    for row in np.flatnonzero(~hit):
        x = np.column_stack([np.ones(2 * size), arm, before[row]])
        beta, rest, *_ = np.linalg.lstsq(x, after[row], rcond=None)
        error = np.sqrt(rest[0] / (2 * size - 3) * np.linalg.inv(x.T @ x)[1, 1])
        hit[row] = beta[1] / error > stats.t.ppf(0.975, 2 * size - 3)
    baseline = {"mean": 0.0, "sd": 1.0, "correlation": correlation}
    changes = {
        "studies": CLEAN["studies"] | {"n_per_arm": {"kind": "fixed", "n": size}},
        "endpoints": {"outcome": {"kind": "continuous", "baseline": baseline}},
        "outcomes": {"md": {"endpoint": "outcome", "outcome": "value", "measure": "MD"}},
        "fidelity": {"kind": "patients"},
    }
    made = tables("covariate", 8, practices=[{"kind": "optional_covariate", "covariates": ["baseline"]}], **changes)
    shows = np.concatenate([own_result(table.numbers["md"], table.measured["md"]).benefit(0.05).ravel() for table in made])
    near(float(shows.mean()), float(hit.mean()), float(np.hypot(standard_error_under(0.035, shows.size), standard_error_under(0.035, n))))
    far(0.025, float(shows.mean()), standard_error_under(0.025, shows.size))


def test_patients_without_the_outcome_are_no_outliers():
    data = examples.trial_data(n_replicates=6, n_patients=30)
    value = np.random.default_rng(4).standard_normal(data.arm.shape)
    planned = np.ones(data.arm.shape, dtype=bool)
    lost = np.random.default_rng(5).random(value.shape) < 0.3
    seen = np.where(lost, np.nan, value)
    (attempt,) = OutlierRemoval(beyond_sd=1.5).attempts(data, "symptoms", seen, planned)
    assert attempt.kept[lost].all()
    for row in range(len(value)):
        for arm in (0, 1):
            here = (data.arm[row] == arm) & ~lost[row]
            own = value[row][here]
            far_out = np.abs(own - own.mean()) >= 1.5 * own.std(ddof=1)
            assert_array_equal(~attempt.kept[row][here], far_out)


# ---- two fidelities


@pytest.fixture(scope="module")
def both_fidelities():
    baseline = {"mean": 20.0, "sd": 5.0, "correlation": 0.5}
    effect = {"kind": "constant", "smd": 0.35, "smd_sd": "change"}
    endpoints = {"outcome": {"kind": "continuous", "mean": 12.0, "sd": 8.0, "better": "down", "baseline": baseline, "effects": {"active": effect}}}
    outcomes = {"g": {"endpoint": "outcome", "outcome": "change", "measure": "SMD"}}
    studies = {"kind": "drawn", "number": 8, "n_per_arm": {"kind": "one_of", "values": [10, 15, 30]}}
    pooled = {"g": {"kind": "pooled", "outcome": "g", "tau2": "REML", "ci": "hartung_knapp"}}
    same = {"endpoints": endpoints, "outcomes": outcomes, "studies": studies, "syntheses": pooled, "true_effects": {"tau": {"outcome": 0.25}}}
    return {kind: found(f"fidelity {kind}", 10_240, fidelity={"kind": kind}, **same) for kind in ("patients", "summaries")}


@pytest.mark.parametrize("column", ["g/estimate", "g/std_error", "g/number: tau2"])
def test_patients_and_summaries_agree_where_outcomes_are_normal(both_fidelities, column):
    (a, a_error), (b, b_error) = (mean_of(both_fidelities[kind][column]) for kind in ("patients", "summaries"))
    near(a, b, float(np.hypot(a_error, b_error)))
    a2, b2 = (both_fidelities[kind][column] ** 2 for kind in ("patients", "summaries"))
    near(mean_of(a2)[0], mean_of(b2)[0], float(np.hypot(mean_of(a2)[1], mean_of(b2)[1])))


def test_a_generator_without_true_heterogeneity_would_have_been_seen(both_fidelities):
    """The same comparison fails against summaries whose true effects do not differ: the deliberately broken generator."""
    broken = found(
        "broken generator",
        10_240,
        endpoints={
            "outcome": {
                "kind": "continuous",
                "mean": 12.0,
                "sd": 8.0,
                "better": "down",
                "baseline": {"mean": 20.0, "sd": 5.0, "correlation": 0.5},
                "effects": {"active": {"kind": "constant", "smd": 0.35, "smd_sd": "change"}},
            }
        },
        outcomes={"g": {"endpoint": "outcome", "outcome": "change", "measure": "SMD"}},
        studies={"kind": "drawn", "number": 8, "n_per_arm": {"kind": "one_of", "values": [10, 15, 30]}},
        syntheses={"g": {"kind": "pooled", "outcome": "g", "tau2": "REML", "ci": "hartung_knapp"}},
    )
    (a, a_error), (b, b_error) = (mean_of(columns["g/number: tau2"]) for columns in (both_fidelities["patients"], broken))
    assert abs(a - b) > APART * np.hypot(a_error, b_error)
