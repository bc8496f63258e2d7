"""A scenario written as TOML reads back as the same scenario."""

import tomllib

import examples
import pytest
from faces import runs

from simtrials.engine.files import declared_from, read, scenario_from, shipped_scenarios
from simtrials.report.toml import scenario_toml


def same(scenario):
    back = declared_from(tomllib.loads(scenario_toml(scenario)))
    return back.model_dump() == scenario.model_dump() and back.digest({}) == scenario.digest({})


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_read_back_as_they_were(name):
    assert same(read(name))


@pytest.mark.parametrize("tables", [runs.crowded_tables, runs.plain_tables, runs.three_arm_tables, runs.question_tables, runs.departing_tables])
def test_other_scenarios_read_back_as_they_were(tables):
    declared = {name: table for name, table in examples.scenario_tables(**tables()).items() if table is not None}
    assert same(scenario_from(declared))


@pytest.mark.parametrize("slot", ["populations", "effects", "analyses", "correlations", "allocations"])
def test_every_kind_reads_back_as_it_was(slot):
    for declared in examples.EXAMPLES[slot]:
        if slot == "populations":
            population = {**examples.PEOPLE, "covariates": {**examples.PEOPLE["covariates"]}} if declared["kind"] == "resampled" else declared
            assert same(examples.scenario(population=population))
        elif slot == "effects":
            assert same(examples.scenario(endpoints={"symptoms": examples.SYMPTOMS | {"effects": {"active": declared}}}))
        elif slot == "analyses":
            assert same(examples.scenario(analyses={"one": declared}))
        elif slot == "correlations":
            assert same(examples.scenario(endpoints={"symptoms": examples.SYMPTOMS | {"correlation": declared}}))
        else:
            assert same(examples.scenario(design={"kind": "fixed", "n_patients": 60, "allocation": declared}))


def test_awkward_texts_and_an_emptied_list_survive():
    analyses = {"with spaces": {"kind": "ancova", "endpoint": "symptoms", "covariates": [], "label": 'a "quoted" label\twith a tab, \\ and ü'}}
    scenario = examples.scenario(analyses=analyses, sources={"analyses.with spaces": "line one\nline two\x7f"})
    assert same(scenario)
    assert scenario.analyses["with spaces"].covariates == ()


def test_a_value_that_is_not_written_is_noticed():
    text = scenario_toml(examples.scenario())
    assert scenario_from(tomllib.loads(text.replace("at_most = 10.0", "at_most = 11.0"))).digest({}) != examples.scenario().digest({})
