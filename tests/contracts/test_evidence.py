"""Bodies of evidence keep their promises: luck, resumption, independence of workers, errors, and that every kind can be run."""

import copy
from dataclasses import replace

import examples
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simtrials.core.errors import DeclarationError
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.evidence.run import ready_evidence, short_paths
from simtrials.engine.files import evidence_from, read
from simtrials.engine.run import load, run
from simtrials.evidence.gather import gather


def simulation(**changes):
    return ready_evidence(examples.evidence(**changes), {})


def body(made, block=0, **options):
    return gather(made.prepared, Streams(made.seed, Purpose.RUN, block), **options)


def same_columns(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert_array_equal(one[name], other[name], err_msg=name)


# ---- luck


def test_results_do_not_depend_on_workers(tmp_path):
    scenario = examples.evidence(n_replicates=1024)
    serial = run(scenario, n_jobs=1, backend="serial", out=tmp_path / "serial")
    threads = run(scenario, n_jobs=2, backend="threads", out=tmp_path / "threads")
    for cell in serial.cells:
        for one, other in zip(serial.shards(cell), threads.shards(cell), strict=True):
            same_columns(one, other)


def test_a_run_is_extended_and_read_again_as_it_was(tmp_path):
    scenario = examples.evidence()
    run(scenario, n_replicates=256, n_jobs=1, out=tmp_path / "grown")
    grown = run(scenario, n_replicates=1000, n_jobs=1, out=tmp_path / "grown")
    at_once = run(scenario, n_replicates=1000, n_jobs=1, out=tmp_path / "whole")
    for one, other in zip(grown.shards(), at_once.shards(), strict=True):
        same_columns(one, other)
    again = load(grown.folder)
    assert again.measures().equals(grown.measures())
    assert again.scenario == grown.scenario


def test_a_further_study_leaves_the_others_as_they_were():
    studies = examples.evidence_tables()["studies"]
    more = studies | {"further": [{"n_active": 40, "n_control": 40, "weeks": 8.0, "crp_rule": "enriched"}]}
    few, many = body(simulation()).table, body(simulation(studies=more)).table
    for name in few.numbers:
        assert_array_equal(few.numbers[name].mean, many.numbers[name].mean[:, :-1])
    assert few.included.shape[1] + 1 == many.included.shape[1]


def test_a_larger_effect_leaves_the_control_arms_as_they_were():
    endpoints = copy.deepcopy(examples.evidence_tables()["endpoints"])
    endpoints["symptoms"]["effects"]["active"]["smd"] = 1.0
    small, large = body(simulation()).table, body(simulation(endpoints=endpoints)).table
    assert_array_equal(small.numbers["severity"].mean[..., 0], large.numbers["severity"].mean[..., 0])
    assert (small.numbers["severity"].mean[..., 1] > large.numbers["severity"].mean[..., 1]).mean() > 0.95


def test_syntheses_do_not_change_each_other():
    alone = simulation().columns(0)
    many = examples.evidence_tables()["syntheses"] | {"other": {"kind": "permutation", "outcome": "severity", "max_exact": 8, "n_random": 99}}
    beside = simulation(syntheses=many).columns(0)
    same_columns(alone, {name: values for name, values in beside.items() if not name.startswith("other/")})


# ---- every kind


@pytest.mark.parametrize("declared", examples.EXAMPLES["syntheses"], ids=examples.kind_of)
def test_every_synthesis_can_be_made_and_says_what_it_is(declared):
    made = simulation(syntheses={"one": declared})
    columns = made.columns(0)
    estimated = columns["one/status"] == 0
    assert estimated.any()
    assert np.isfinite(columns["one/estimate"][estimated]).all()
    assert np.isnan(columns["one/estimate"][~estimated]).all()
    assert made.syntheses["one"].method
    assert set(made.meanings()) == {"one"}


@pytest.mark.parametrize("slot", ["publications", "outcome_selections", "practices", "extraction", "studies", "fidelities"])
def test_every_other_kind_can_be_run(slot):
    for declared in examples.EXAMPLES[slot]:
        changes = {
            "publications": {"reporting": {"publication": [declared]}},
            "outcome_selections": {"reporting": {"outcomes": [declared]}},
            "practices": {"practices": [declared]},
            "extraction": {"extraction": [declared]},
            "studies": {"studies": declared},
            "fidelities": {"fidelity": declared},
        }[slot]
        table = body(simulation(**changes)).table
        effects = table.effects("severity")
        assert np.isfinite(effects.yi[table.included]).mean() > 0.5, declared
        assert (effects.vi[np.isfinite(effects.vi)] > 0).all()


def test_every_place_holds_a_published_study_and_runs_are_counted():
    made = simulation(reporting={"publication": [{"kind": "by_p_value", "not_significant": 0.25}]})
    found = body(made, keep_unseen=True)
    assert found.table.included.all()
    unseen = sum(rows.size for rows, _ in found.unseen)
    assert found.table.n_run.sum() == found.table.included.sum() + unseen


def test_without_filling_unpublished_studies_are_missing():
    made = simulation(reporting={"fill": "run", "publication": [{"kind": "by_p_value", "not_significant": 0.25}]})
    table = body(made).table
    assert_array_equal(table.n_run, table.included.shape[1])
    assert 0.2 < table.included.mean() < 0.7


# ---- errors


STRATIFIED = {"kind": "listed", "trials": [{"n_active": 20, "n_control": 10, "weeks": 8.0, "crp_rule": "stratified"}]}
UNLIKE = {"kind": "most_favorable", "reported": "severity", "among": ["severity", "response"]}


def problems(**changes):
    with pytest.raises(DeclarationError) as found:
        simulation(**changes)
    return "\n".join(str(problem) for problem in found.value.problems)


def test_all_faults_of_a_file_are_told_at_once():
    told = problems(
        outcomes={"severity": {"endpoint": "symptom"}},
        syntheses={"a": {"kind": "poled", "outcome": "severity"}, "b": {"kind": "pooled", "outcome": "severty"}},
        true_effects={"tau": {"madrs": 0.2}},
    )
    assert "no endpoint called 'symptom'; did you mean 'symptoms'?" in told
    assert "no synthesis called 'poled'; did you mean 'pooled'?" in told
    assert "no outcome called 'severty'; did you mean 'severity'?" in told
    assert "true_effects.tau: no endpoint called 'madrs'" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"outcomes": {"severity": {"endpoint": "symptoms", "measure": "RR"}}}, "change is a number: use one of SMD, MD, SMDH, SMD1"),
        ({"syntheses": {"a": {"kind": "pooled", "outcome": "severity", "tau2": "RELM"}}}, "no rule called 'RELM'; did you mean 'REML'?"),
        ({"syntheses": {"a": {"kind": "pooled", "outcome": "severity", "where": "week >= 4"}}}, "nothing called 'week' is known of a study"),
        ({"syntheses": {"a": {"kind": "counts", "outcome": "response", "by": "peto"}}}, "peto estimates OR, and outcomes.response.measure is RR"),
        ({"studies": {"kind": "listed", "trials": [{"n_active": 9, "n_control": 9, "weeks": 5.0}]}}, "no visit at week 5; visits are at 2, 4, 8"),
        ({"fidelity": {"kind": "summaries"}, "practices": [{"kind": "outlier_removal"}]}, "needs patients"),
        ({"extraction": [{"kind": "readers", "errors": {"sign": 0.6, "digit": 0.5}}]}, "the probabilities must add up to less than 1"),
        ({"assays": {}, "population": None, "extraction": [{"kind": "subgroup", "available": 0.5}]}, "no assay is declared"),
        ({"studies": STRATIFIED}, "studies.trials[0].n_active: a stratified study allocates 1:1"),
        ({"outcomes": {"severity": {"endpoint": "symptoms", "outcome": "remision"}}}, "'symptoms' has no 'remision'; did you mean 'remission'?"),
        ({"reporting": {"outcomes": [UNLIKE]}}, "'response' is compared by RR and 'severity' by SMD"),
        ({"extraction": [{"kind": "missing_sds", "share": 0.1}, {"kind": "end_scores", "share": 0.1}]}, "'end_scores' comes before 'missing_sds'"),
        ({"syntheses": {"a": {"kind": "pooled", "outcome": "severity", "where": "weeks > 8"}}}, "syntheses.a.where: no study measures severity and"),
        ({"syntheses": {"a": {"kind": "pooled", "outcome": "severity", "where": "drug_class > 3"}}}, "syntheses.a.where"),
        ({"outcomes": {"severity": {"endpoint": "symptoms", "zero_cells": "all"}}}, "zero_cells: is a matter of outcomes that are yes or no"),
        (
            {"outcomes": {"response": {"endpoint": "symptoms", "outcome": "response", "correction": "none"}}},
            "correction: is a matter of standardized",
        ),
        ({"fidelity": {"kind": "summaries"}, "departures": {"lost": {"kind": "dropout", "shares": 0.2}}}, "departures.lost"),
        ({"variants": {"more": {"set": {"n_replicates": 10}}}}, "variants.more: n_replicates: belongs to the whole scenario"),
        (
            {"variants": {"loose": {"set": {"syntheses.severity.alpha": 0.1}}}},
            "syntheses.severity.alpha: must be that of the scenario, 0.05, got 0.1",
        ),
        (
            {"variants": {"other": {"set": {"syntheses.response.outcome": "severity"}}}},
            "syntheses.response: is about another outcome, effect size or group of studies",
        ),
        ({"variants": {"o": {"set": {"syntheses.severity.where": "n > 10"}}}}, "syntheses.severity: is about another outcome"),
        ({"variants": {"o": {"set": {"syntheses.severity": {"kind": "asymmetry", "outcome": "severity"}}}}}, "syntheses.severity: is about another"),
        ({"variants": {"o": {"set": {"outcomes.response.outcome": "remission"}}}}, "syntheses.response: is about another outcome"),
        ({"sweep": {"true_effects.tau.symptoms": [0.1, 0.1]}}, "two points are the same: tau.symptoms = 0.1, and tau.symptoms = 0.1"),
        ({"variants": {"worse": {"set": {"studies.kind": "lsited"}}}}, "no set of studies called 'lsited'; did you mean 'listed'?"),
    ],
)
def test_a_fault_names_place_and_remedy(changes, told, tmp_path):
    with pytest.raises(DeclarationError) as found:
        run(evidence_from({key: value for key, value in examples.evidence_tables(**changes).items() if value is not None}), out=tmp_path)
    assert told in "\n".join(str(problem) for problem in found.value.problems)


def test_studies_that_are_drawn_may_be_of_a_rare_kind():
    studies = {"kind": "drawn", "number": 4, "n_per_arm": {"kind": "fixed", "n": 20}, "weeks": [8.0], "drug_class": {"a": 0.9999, "b": 0.0001}}
    rare = {"b": {"kind": "pooled", "outcome": "severity", "where": "drug_class == 'b'"}}
    columns = simulation(studies=studies, syntheses=rare).columns(0)
    assert (columns["b/status"] != 0).mean() > 0.9


def test_what_could_not_be_read_is_not_called_missing():
    endpoints = copy.deepcopy(examples.evidence_tables()["endpoints"])
    endpoints["symptoms"]["weeks"] = ["two"]
    told = problems(endpoints=endpoints, outcomes={"severity": {"endpoint": "symptoms", "measure": "SDM"}, "response": {"endpoint": "symptoms"}})
    assert "must be 'SMD', 'MD', 'SMDH', 'SMD1', 'RR', 'OR', 'RD' or 'AS', got 'SDM'" in told
    assert "no outcome called" not in told
    assert "no endpoint called" not in told


def test_a_mean_effect_over_the_enrolled_needs_one_rule():
    endpoints = copy.deepcopy(examples.evidence_tables()["endpoints"])
    endpoints["symptoms"]["effects"]["active"] = {"kind": "threshold", "cut": 2.0, "mean_smd": 0.5, "smd_sd": "change"}
    assert "is a mean over the enrolled, who differ between studies with different rules" in problems(endpoints=endpoints)


def test_commands_on_patients_of_one_trial_refuse_a_review():
    from simtrials.core.errors import SimtrialsError
    from simtrials.engine.files import read_trial

    with pytest.raises(SimtrialsError, match="bodies of evidence"):
        read_trial("review_2026")
    assert read("review_2026").studies.n_places == 11


# ---- results


def test_patterns_differences_and_counts_agree_with_the_estimates(tmp_path):
    scenario = examples.evidence(
        syntheses={
            "severity": {"kind": "pooled", "outcome": "severity"},
            "other": {"kind": "pooled", "outcome": "severity", "ci": "wald"},
            "response": {"kind": "pooled", "outcome": "response", "ci": "wald"},
        },
        patterns={"only": {"shows": ["severity"], "does_not_show": ["response"]}},
    )
    found = run(scenario, n_jobs=1, out=tmp_path)
    estimates = found.estimates().pivot(index="replicate", columns="analysis")
    benefit = estimates["benefit"].astype(bool)
    assert found.patterns()[0].value == (benefit["severity"] & ~benefit["response"]).mean()
    differences = found.differences().set_index("measure")
    per_replicate = benefit["other"].astype(float) - benefit["severity"].astype(float)
    assert differences.loc["power", "difference"] == pytest.approx(per_replicate.mean())
    assert differences.loc["power", "mcse"] == pytest.approx(per_replicate.std(ddof=0) / 16)
    counts = {measure.name: measure for measure in found.counts()}
    assert counts["studies_run"].value == 6
    assert counts["patients_included"].value == 20 * 2 + 3 * 46 + 2 * 60


def test_what_a_synthesis_concludes_is_whether_its_interval_leaves_out_nothing():
    made = simulation()
    found = made.syntheses["severity"].estimate(body(made).table, np.random.default_rng(1))
    assert_array_equal(found.decision > 0, found.lower > 0)
    assert_array_equal(found.decision < 0, found.upper < 0)


def test_the_direction_of_benefit_turns_with_the_outcome():
    """An event that is bad for the patient: fewer of them under the drug is a benefit."""
    made = simulation()
    table = body(made).table
    numbers, measured = table.numbers["response"], table.measured["response"]
    bad = replace(measured, sign=-1)
    flipped = replace(table, measured={**table.measured, "response": bad}, numbers={**table.numbers, "response": numbers}, _effects={})
    good = made.syntheses["response"].estimate(table, np.random.default_rng(1))
    worse = made.syntheses["response"].estimate(flipped, np.random.default_rng(1))
    assert_array_equal(good.estimate, worse.estimate)
    assert_array_equal(good.decision, -worse.decision)


def test_a_point_of_a_sweep_says_which_of_its_values_is_a_tau():
    paths = ("endpoints.outcome.effects.active.smd", "true_effects.tau.outcome", "studies.number", "studies.n_per_arm.n")
    assert list(short_paths(paths).values()) == ["smd", "tau.outcome", "number", "n"]
    assert list(short_paths(("a.b.n", "c.n")).values()) == ["b.n", "c.n"]
