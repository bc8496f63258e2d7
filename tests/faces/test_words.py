"""Words for the protocol: every number from the declaration or the run, whole sentences, and words that follow what is declared."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import examples
import pytest
from contracts.test_cli import call
from contracts.test_planning import TRIAL, trial
from faces import runs

from simtrials.core.errors import SimtrialsError
from simtrials.core.measures import Truth
from simtrials.engine.files import is_evidence, parse_toml, read, scenario_from, shipped_scenarios, tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.provenance import versions
from simtrials.engine.run import run
from simtrials.planning.points import Share
from simtrials.planning.sample_size import sample_size
from simtrials.report import numbers
from simtrials.report.toml import scenario_toml
from simtrials.report.words.basis import Basis
from simtrials.report.words.paragraph import paragraph
from simtrials.report.words.stored import stored_run
from simtrials.trial import prepare
from simtrials.trial.designs import DESIGNS, Design

SHIPPED = [name for name, path in shipped_scenarios().items() if not is_evidence(parse_toml(path))]


def basis_of(scenario, **changes):
    """What a paragraph is made of without a run: the patients are simulated, powers and truths are given."""
    trial_ = prepare(scenario, tables_of(scenario), scenario.seed, scenario.expressions)
    given = {
        "truths": {name: Truth(0.5, 0.01, "given") for name in scenario.analyses},
        "shares": {name: Share(410 + i, 512, i) for i, name in enumerate(scenario.analyses)},
        "nulls": {name: Share(13, 512) for name in scenario.analyses},
        "closed_forms": {},
        "screened": "2.0",
    }
    return Basis(scenario, portrait(scenario, trial_), digest="0123456789ab", versions=versions(), **given | changes)


FAULTS = r"None|\bnan\b|\binf\b|\[\]|\(\)|[{}]|\.\.| [.](?!\d)| [,;)]|;;|  |\( |;\."


def faults_of(made):
    """What a reader would stumble over in a paragraph."""
    found = [f"{sentence!r} is no sentence" for sentence in made.sentences.values() if sentence and not re.fullmatch(r"[A-Z].*\.", sentence)]
    for text in (made.text, *made.warnings):
        found += [f"{match.group()!r} stands in {text[match.start() - 30 : match.end() + 10]!r}" for match in re.finditer(FAULTS, text)]
        words = re.findall(r"[\w'%]+|[^\w\s]", text)
        found += [f"{one!r} stands twice" for one, other in pairwise(words) if one == other and one.isalpha()]
        found += ["brackets do not match"] if text.count("(") != text.count(")") else []
    return found


def test_the_search_for_faults_sees_them():
    made = paragraph(basis_of(trial()), ["t_test"])
    assert faults_of(made) == []
    for wrong in ("Power is None.", "Power is nan%.", "Power of of a trial.", "Power (79%.", "Power is 79%", "power is 79%.", "Power ; is."):
        assert faults_of(replace(made, sentences={"power": wrong}))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_have_whole_sentences_about_every_analysis(name):
    scenario = read(name)
    basis = basis_of(scenario)
    for analysis, declared in scenario.analyses.items():
        made = paragraph(basis, [analysis])
        assert faults_of(made) == []
        level = declared.alpha if declared.one_sided_alpha is None else declared.one_sided_alpha
        for words in (numbers.whole(scenario.design.n_patients), f"alpha {numbers.probability(level)}", f"seed {scenario.seed}", basis.digest):
            assert words in made.text
        endpoint = f"endpoints.{declared.endpoint}"
        for key, source in scenario.sources.items():
            if key.startswith(f"{endpoint}.effects"):
                assert any(source.rstrip(".") in told for _, told in made.sources)
        assert all(what in made.warnings[0] for what in missing_sources(scenario, declared.endpoint))


def missing_sources(scenario, endpoint):
    """Whether the baseline of a scale has a source, looked up by hand."""
    declared = scenario.endpoints[endpoint]
    without = declared.symptom_scale is not None and not any(key.startswith(f"endpoints.{endpoint}.baseline") for key in scenario.sources)
    return [f"{declared.symptom_scale.name} at baseline"] if without else []


def test_every_kind_of_analysis_of_a_scale_has_whole_sentences():
    kinds = {f"one_{i}": declared for i, declared in enumerate(runs.OF_SYMPTOMS)}
    basis = basis_of(scenario_from(examples.scenario_tables(analyses=kinds)))
    assert {key: found for key in kinds if (found := faults_of(paragraph(basis, [key])))} == {}


def text_of(scenario, name="t_test", **changes):
    return paragraph(basis_of(scenario, **changes), [name]).text


def test_words_follow_the_declaration():
    plain = text_of(trial())
    assert "In total 40 patients are to be randomized to control or active in the ratio 1:1 (20 and 20) in permuted blocks of 4." in plain
    assert "two-sided alpha .05" in plain
    assert "Target difference for active: 0.50 points (SMD 0.50, SD of the value)" in plain
    assert "mean 0, SD 1 points" in plain
    assert "No dropout and no missing visits are assumed" in plain
    strict = text_of(trial(analyses={"t_test": {"kind": "t_test", "endpoint": "score", "alpha": 0.01}}))
    assert "two-sided alpha .01" in strict
    assert "nominal 0.5%" in strict
    one_sided = text_of(trial(analyses={"t_test": {"kind": "t_test", "endpoint": "score", "one_sided_alpha": 0.025, "variance": "welch"}}))
    assert "one-sided alpha .025" in one_sided
    assert "Welch t test" in one_sided
    thirds = {"kind": "fixed", "n_patients": 200, "allocation_ratio": [2, 1], "allocation": {"kind": "complete"}}
    assert "in the ratio 2:1 (about 133 and 67) by simple randomization" in text_of(trial(design=thirds))
    other = text_of(trial(endpoints={"score": {"kind": "continuous", "sd": 4.0, "effects": {"active": {"kind": "constant", "points": 1.0}}}}))
    assert "1.00 points (SMD 0.25, SD of the value)" in other
    assert "SD 4 points" in other
    assert "No effect of active on score is assumed." in text_of(trial(endpoints={"score": {"kind": "continuous"}}))


def test_attrition_and_missing_values_follow_the_declaration():
    departures = {"lost": {"kind": "dropout", "rate": {"control": 0.5, "active": 0.25}, "mechanism": "mcar"}}
    analyses = {
        "left_out": {"kind": "ancova", "endpoint": "symptoms"},
        "carried": {"kind": "ancova", "endpoint": "symptoms", "missing": "locf"},
        "mixed": {"kind": "mmrm", "endpoint": "symptoms"},
        "fails": {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "response", "missing": "non_response"},
    }
    basis = basis_of(scenario_from(examples.scenario_tables(departures=departures, analyses=analyses)))
    attrition = paragraph(basis, ["left_out"]).sentences["attrition"]
    shares = [int(share) for share in re.findall(r"(\d+)% under", attrition)]
    assert shares[:2] == pytest.approx([50, 25], abs=3)
    assert "completely at random" in attrition
    told = {name: paragraph(basis, [name]).sentences["missing"] for name in analyses}
    assert "are left out" in told["left_out"]
    assert "replaced by the last value seen" in told["carried"]
    assert "missing at random" in told["mixed"]
    assert "count as failures" in told["fails"]


def test_a_source_that_is_declared_is_told_and_one_that_is_not_is_warned_of():
    without = paragraph(basis_of(trial()), ["t_test"])
    assert without.sources == []
    assert without.warnings[0].startswith("No source is declared for effect of active on score and SD of score.")
    sources = {"endpoints.score.effects.active": "a trial of 2019.", "endpoints.score.sd": "a survey"}
    declared = paragraph(basis_of(trial(sources=sources)), ["t_test"])
    assert declared.sources == [("effect of active on score", "a trial of 2019"), ("SD of score", "a survey")]
    assert declared.warnings == []


def test_power_is_told_with_its_error_and_failures_and_against_the_target():
    told = text_of(trial(), shares={"t_test": Share(460, 512, 2), "loose": Share(480, 512)})
    assert "Power is 90% (Monte Carlo standard error 1.4 percentage points; 95% Monte Carlo interval 87 to 92%)" in told
    assert "the share of 512 simulated trials" in told
    assert "; 2 could not be analyzed and count as no benefit." in told
    assert "This is above the target of 80%." in told
    assert "(loose) 94 (1.1)" in told
    many = paragraph(basis_of(trial(), shares={"t_test": Share(100, 512, 300)}), ["t_test"])
    assert any("300 of 512 simulated trials" in warning for warning in many.warnings)
    none = text_of(trial(), shares={"t_test": Share(0, 512, 512)})
    assert "No power can be given: none of 512 simulated trials could be analyzed." in none


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run with an analysis that has a closed form."""
    return run(trial(), n_replicates=256, n_jobs=1, out=tmp_path_factory.mktemp("done"))


def test_a_run_gives_its_own_numbers_and_the_five_parts(done):
    words = done.words("loose", "t_test")
    assert [one.analyses for one in words.paragraphs] == [("loose",), ("t_test",)]
    for one in words.paragraphs:
        assert faults_of(one) == []
        power, (name,) = done.measure(one.analyses[0], "power"), one.analyses
        count = done.tallies()[name].n_benefit
        assert f"Power is {numbers.in_percent(count, 256)} (Monte Carlo standard error {numbers.significant(100 * power.mcse, 2)}" in one.text
        exact = done.record["closed_form"][name]
        assert f"A closed form ({exact['what']}) gives {100 * exact['power']:.1f}%." in one.text
    assert list(words.ademp) == ["Aims", "Data-generating mechanisms", "Estimands", "Methods", "Performance measures"]
    study = " ".join(line for lines in words.ademp.values() for line in lines)
    assert f"256 replicates in each cell, seed {done.seed}." in study
    assert "Monte Carlo standard error of a power: at most 3.1 percentage points with 256 replicates" in study
    assert [one.analyses for one in done.words().paragraphs] == [("t_test",)]
    text = words.markdown
    assert text.count("## Sample size") == 2
    assert "| Performance measures |" in text
    assert json.loads(json.dumps(words.to_dict()))["sample_size"][0]["analyses"] == ["loose"]
    with pytest.raises(SimtrialsError, match="did you mean 't_test'"):
        done.words("t_tset")


@pytest.mark.parametrize("tables", [runs.three_arm_tables, runs.plain_tables, runs.departing_tables, runs.crowded_tables])
def test_other_trials_have_whole_sentences(tables):
    given = {name: table for name, table in examples.scenario_tables(**tables()).items() if table is not None}
    scenario = scenario_from(given)
    basis = basis_of(scenario)
    assert {name: found for name in scenario.analyses if (found := faults_of(paragraph(basis, [name])))} == {}
    if scenario.name == "three":
        text = paragraph(basis, ["high"]).text
        assert "High dose is compared with control" in text
        assert "Assumed effect of high dose" in text
        assert "in the ratio 1:1:1 (20, 20 and 20)" in text
        assert "were not simulated" in paragraph(replace(basis, nulls={}), ["high"]).text
    if scenario.name == "plain":
        assert "Target difference for active: relief in 50% against 30%" in paragraph(basis, ["relief"]).text


def test_a_search_gives_its_number_with_its_interval_and_only_a_number_has_words(tmp_path):
    size = sample_size(trial(), "t_test", n_jobs=1, out=tmp_path)
    (one,) = size.words().paragraphs
    assert faults_of(one) == []
    assert (
        f"{size.n} (95% Monte Carlo interval {size.found.lower} to {size.found.upper}), found by simulation. In total {size.n} patients" in one.text
    )
    assert "power of at least 80%" in one.text
    assert f"({size.n // 2} and {size.n // 2})" in one.text
    assert "the true difference in means in this comparison is 0.5000 points." in one.text
    nothing = sample_size(trial(endpoints={"score": {"kind": "continuous"}}), "t_test", most=100, n_jobs=1, out=tmp_path)
    with pytest.raises(SimtrialsError, match="no sample size to write about"):
        nothing.words()


def test_the_run_of_a_file_is_found_with_the_sources_of_the_file(done, tmp_path):
    file = tmp_path / "two_means.toml"
    file.write_text(scenario_toml(trial()))
    with pytest.raises(SimtrialsError, match="has no finished run"):
        stored_run(str(file), {}, tmp_path)
    out = done.folder.parent
    assert stored_run(str(file), {}, out).digest == done.digest
    file.write_text(scenario_toml(trial(sources={"endpoints.score.sd": "a survey"}, primary=["loose"])))
    words = stored_run(str(file), {}, out).words()
    assert words.paragraphs[0].sources == [("SD of score", "a survey")]
    assert words.paragraphs[0].analyses == ("loose",)
    with pytest.raises(SimtrialsError, match="leave out --set"):
        stored_run(str(done.folder), {"seed": 2}, tmp_path)
    with pytest.raises(SimtrialsError, match="has no finished run"):
        stored_run(str(file), {"design.n_patients": 80}, out)
    told = call("words", done.folder, "--analysis", "loose", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["sample_size"][0]["analyses"] == ["loose"]


@pytest.fixture
def staged():
    """A kind of design that this package does not know, while a test runs."""
    before = dict(DESIGNS._kinds)

    @DESIGNS.register
    class Staged(Design):
        """A design that has looks."""

        kind: Literal["staged"] = "staged"
        looks: int = 2

    yield {**TRIAL["design"], "kind": "staged", "looks": 3}
    DESIGNS._kinds = before


def test_another_design_is_told_by_name(staged):
    sentence = paragraph(basis_of(trial(design=staged)), ["t_test"]).sentences["number"]
    assert "The design is staged (" in sentence
    assert "looks 3" in sentence


def test_months_and_cost_are_told_where_they_are_declared(tmp_path):
    declared = trial(recruitment={"sites": 4, "screened_per_site_month": 5.0}, costs={"per_patient": 100.0})
    told = run(declared, n_replicates=256, n_jobs=1, out=tmp_path, null=False).words().paragraphs[0]
    assert faults_of(told) == []
    assert re.search(r"Time and cost as simulated: \d+ months to the last visit .*; cost .*\.", told.sentences["logistics"])


def test_words_of_a_review_are_refused_before_anything_is_simulated(tmp_path):
    refused = call("size", "unselected_2013", "--analysis", "severity", "--words", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is about bodies of evidence; leave it out" in refused.stderr
    assert not (tmp_path / "results").exists()
