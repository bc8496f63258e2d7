"""Ways of getting a scenario file wrong, each with a message that says where, what must hold, what was found and what to do."""

import tomllib
from pathlib import Path

import examples
import pytest

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.cells import cells_of, ready
from simtrials.engine.files import find_scenario, parse_toml, read, read_table, scenario_from, set_at, tables_of

FLAGSHIP = parse_toml(find_scenario("next_trial"))
SMALL_SCALE = {"name": "own", "minimum": 0.0, "maximum": 20.0, "remission_cut": 30.0}
BAD_MATRIX = [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]
COPULA = {"kind": "gaussian_copula", "covariates": {name: {"kind": "normal", "mean": 0.0, "sd": 1.0} for name in "abc"}, "correlation": BAD_MATRIX}
COVARIATES_OF_THREE_LEVELS = {
    "kind": "gaussian_copula",
    "covariates": {
        "crp_mg_l": {"kind": "lognormal", "mean_log": 0.8, "sd_log": 1.17},
        "sex": {"kind": "categorical", "shares": {"female": 0.6, "male": 0.4}},
        "site_type": {"kind": "categorical", "shares": {"a": 0.3, "b": 0.3, "c": 0.4}},
    },
}
TWO_ASSAYS = {"crp": {"kind": "serial", "observed": "crp_mg_l"}, "crp_again": {"kind": "serial", "observed": "crp_mg_l"}}


def faults(**changes):
    """What is said about the flagship scenario after some fields were set by their path."""
    raw = tomllib.loads(find_scenario("next_trial").read_text(encoding="utf-8"))
    for path, value in changes.items():
        set_at(raw, path, value)
    with pytest.raises(SimtrialsError) as caught:
        everything_before_the_first_trial(raw)
    return str(caught.value)


def everything_before_the_first_trial(raw):
    scenario = scenario_from(raw)
    ready(scenario, tables_of(scenario))
    cells_of(scenario, {}, null=True)


WAYS = {
    "misspelt kind of analysis": (
        {"analyses.severity.kind": "ancvoa"},
        "analyses.severity.kind: no analysis called 'ancvoa'; did you mean 'ancova'?",
    ),
    "one name for two rules": (
        {"eligibility": [{"kind": "other_reasons", "failure_probability": 0.2}] * 2},
        "eligibility[1]: is called 'other reasons' as eligibility[0] is; give it a name of its own",
    ),
    "limit of detection above the cut": (
        {"assays.crp.limit_of_detection": 3.0},
        "eligibility[0].at_least: the assay cannot tell values below its limit of detection, 3 mg/L, got 2; raise it to 3",
    ),
    "one-sided level of one half": ({"analyses.severity.one_sided_alpha": 0.5}, "one_sided_alpha: must be in (0, 0.5), got 0.5"),
    "two levels": (
        {"analyses.severity.one_sided_alpha": 0.025, "analyses.severity.alpha": 0.1},
        "give alpha or one_sided_alpha, not both, got 0.1 and 0.025",
    ),
    "quartiles of another distribution": (
        {"population": {"kind": "gaussian_copula", "covariates": {"crp_mg_l": {"kind": "lognormal", "median": 2.0, "iqr": [1.0, 5.0]}}}},
        "a log-normal with this median has quartiles 0.894 and 4.47, not 1 and 5; use kind = 'quantiles', which has them",
    ),
    "median outside the quartiles": (
        {"population": {"kind": "gaussian_copula", "covariates": {"crp_mg_l": {"kind": "lognormal", "median": 10.0, "iqr": [1.0, 5.0]}}}},
        "median must lie between the quartiles 1 and 5, got 10",
    ),
    "column behind the assay as a covariate": (
        {"analyses.severity.covariates": ["ln(crp_mg_l)"]},
        "'crp_mg_l' is what the assay 'crp' is made from, which nobody sees in a trial; write 'crp' for what is measured",
    ),
    "column behind the assay as a rule": (
        {"eligibility.0.variable": "crp_mg_l"},
        "eligibility[0].variable: 'crp_mg_l' is what the assay 'crp' is made from",
    ),
    "kind as a list": ({"population.kind": ["resampled"]}, "population.kind: no population called ['resampled']"),
    "covariate without a name": ({"analyses.severity.covariates": ["3"]}, "'3' names nothing that is measured; write for instance 'ln(crp)'"),
    "stratum without a name": ({"design.allocation.strata": ["1 > 0"]}, "design.allocation.strata[0]: '1 > 0' names nothing that is measured"),
    "modifier of three levels": (
        {
            "population": COVARIATES_OF_THREE_LEVELS,
            "analyses.severity": {"kind": "interaction", "endpoint": "madrs", "modifier": "site_type", "covariates": ["baseline"]},
            "design.allocation": {"kind": "complete"},
        },
        "modifier 'site_type' has 3 levels; make it a condition",
    ),
    "biomarker of an effect that needs none": (
        {"endpoints.madrs.effects.active": {"kind": "constant", "points": 3.0, "biomarker": "crp"}},
        "a constant effect depends on no biomarker; leave out biomarker and acts_on, or choose another kind",
    ),
    "cut of an effect in another unit": (
        {"endpoints.madrs.effects.active.cut": 2000.0},
        "endpoints.madrs.effects.active.cut: must be in [0, 300] mg/L, got 2000; if you meant 2 mg/L, write 2.0",
    ),
    "effect of 35 standard deviations": ({"endpoints.madrs.effects.active.mean_smd": 35.0}, "mean_smd: must be in [-5, 5], got 35"),
    "logistic interaction on a number": (
        {"analyses.severity": {"kind": "interaction", "endpoint": "madrs", "model": "logistic"}},
        "analyses.severity.outcome: interaction needs a yes-or-no outcome, 'change' is a number",
    ),
    "one replicate": ({"n_replicates": 1}, "n_replicates: must be in [2, 1e+08], got 1"),
    "scale with half points": (
        {"endpoints.madrs.scale": SMALL_SCALE | {"minimum": 0.5, "remission_cut": 5.0}},
        "a symptom scale has whole numbers; minimum, maximum and remission_cut must be whole, got 0.5, 20, 5",
    ),
    "remission above the range": (
        {"endpoints.madrs.scale": SMALL_SCALE},
        "endpoints.madrs.scale: remission_cut must be in the range of the scale, 0 to 20 points, got 30",
    ),
    "negative SD in a list": ({"endpoints.madrs.control_course.score_sd": [8.4, -9.0]}, "score_sd[1]: must be greater than 0, got -9"),
    "infinite SD": ({"endpoints.madrs.baseline.sd": float("inf")}, "endpoints.madrs.baseline.sd: must be a finite number, got inf"),
    "name with a slash": ({"analyses.a/b": {"kind": "t_test", "endpoint": "madrs"}}, "analyses.'a/b': a name must not be empty or have slashes"),
    "source of nothing": ({"sources": {"endpoints.madrsx": "?"}}, "there is no field 'madrsx' there; did you mean 'madrs'?"),
    "sign of another language": ({"population.where": "phq9_total >= 10 & age_years > 18"}, "'&' (write 'and') is not allowed in a formula"),
    "visit of an adverse event after the end": (
        {"endpoints.nausea": {"kind": "adverse_event", "control_risk": 0.1, "risk_weeks": 8.0, "exposure_weeks": 12.0}},
        "endpoints.nausea.exposure_weeks: visit at week 12 is after the end, week 8",
    ),
    "data file that is not there": ({"population.data": "nosuch.csv"}, "population.data: no file 'nosuch.csv' and no data set of that name"),
    "description of nothing": ({"population.describe": ["height"]}, "population.describe: no column called 'height'"),
    "carrying forward without a baseline": (
        {
            "endpoints.relief": {"kind": "binary", "control_risk": 0.3},
            "analyses.relief": {"kind": "risk_difference", "endpoint": "relief", "missing": "locf"},
        },
        "analyses.relief.missing: locf carries scores of earlier visits forward; 'relief' has no baseline",
    ),
    "estimand that the analysis does not estimate": (
        {
            "estimands.ratio": {"endpoint": "madrs", "outcome": "response", "summary": "risk_ratio"},
            "analyses.response.estimand": "ratio",
        },
        "analyses.response.estimand: asks for a risk ratio, which risk_difference does not estimate: it gives a risk difference",
    ),
    "estimand without an endpoint": (
        {"estimands.early": {"week": 4.0}},
        "estimands.early.endpoint: is needed with week; endpoints are madrs, shaps",
    ),
    "failures among numbers": (
        {"analyses.severity.missing": "non_response"},
        "analyses.severity.missing: non_response counts the missing as failures, which a number such as 'change' has not; use excluded, locf or bocf",
    ),
    "carrying forward in a model of all visits": (
        {"analyses.severity": {"kind": "mmrm", "endpoint": "madrs", "missing": "locf"}},
        "missing has no say in mmrm, which uses every visit that was observed; leave it out",
    ),
    "slope over too few visits": (
        {"analyses.severity": {"kind": "random_slope", "endpoint": "shaps"}},
        "analyses.severity.endpoint: random_slope needs at least 3 visits after baseline; 'shaps' has 4, 8",
    ),
    "imputation of two visits at once": (
        {"analyses.response": {"kind": "multiple_imputation", "endpoint": "madrs", "outcome": "sustained_response"}},
        "analyses.response.outcome: multiple_imputation imputes one visit at a time, and 'sustained_response' looks at 2",
    ),
    "fallback to what failed": (
        {"analyses.severity": {"kind": "mmrm", "endpoint": "madrs", "fallback": ["unstructured"]}},
        "fallback: 'unstructured' has been tried before; name other covariances",
    ),
    "one-sided level of a Bayesian analysis": (
        {"analyses.severity": {"kind": "bayesian_means", "endpoint": "madrs", "one_sided_alpha": 0.025}},
        "which decides by posterior probability; give probability instead",
    ),
    "prior without the SD of patients": (
        {"analyses.severity": {"kind": "bayesian_means", "endpoint": "madrs", "control_prior": [{"mean": -11.0, "sd": 2.0}]}},
        "patient_sd is needed with a prior",
    ),
    "prior that does not add up": (
        {
            "analyses.response": {
                "kind": "bayesian_risks",
                "endpoint": "madrs",
                "outcome": "response",
                "active_prior": [{"weight": 0.5, "mean": 0.5, "n": 2.0}],
            }
        },
        "active_prior: the weights must add up to 1, got 0.5",
    ),
    "jitter that makes a biomarker negative": (
        {"population.smoothing": {"columns": ["crp_mg_l"]}},
        "the biomarker 'crp' must stay positive, so jitter its logarithm: write 'ln(crp_mg_l)', not 'crp_mg_l'",
    ),
    "misspelt kind of population": ({"population.kind": "resampeld"}, "population.kind: no population called 'resampeld'; did you mean 'resampled'?"),
    "misspelt field": ({"endpoints.madrs.weekz": [1]}, "endpoints.madrs.weekz: is not known here; did you mean 'weeks'?"),
    "unknown table": ({"endpoint.madrs": {}}, "endpoint: is not known here; did you mean 'endpoints'?"),
    "kind left out": ({"endpoints.madrs": {"scale": "MADRS"}}, "endpoints.madrs.kind: is missing; known: adverse_event, binary, continuous, scale"),
    "unit slip": ({"eligibility.0.at_least": 2000.0, "eligibility.0.at_most": 10000.0}, "[0, 300] mg/L, got 2000; if you meant 2 mg/L, write 2.0"),
    "limits the wrong way round": ({"eligibility.0.at_least": 12.0}, "eligibility[0]: at_least must not exceed at_most, got 12 and 10"),
    "ratio of one number": ({"design.allocation_ratio": [2]}, "design: allocation_ratio must have one whole number per arm (2), got [2]"),
    "block that does not fit the ratio": (
        {"design.allocation_ratio": [2, 1]},
        "block_size must be a multiple of 3 (the sum of the allocation ratio), got 4; the next is 6",
    ),
    "number as text": ({"design.n_patients": "200"}, "design.n_patients: expected a whole number, got '200'"),
    "half a patient": ({"design.n_patients": 200.5}, "design.n_patients: expected a whole number, got 200.5"),
    "one patient": ({"design.n_patients": 1}, "design.n_patients: must be in [2, 1e+06], got 1"),
    "one arm": ({"design.arms": ["active"]}, "arms must name at least two different arms, control first, got ['active']"),
    "copula that cannot be": ({"population": COPULA}, "the pair most at fault is"),
    "visit correlation that cannot be": ({"endpoints.shaps.correlation.values": BAD_MATRIX}, "endpoints.shaps: correlation is no correlation matrix"),
    "visit correlation of the wrong size": (
        {"endpoints.shaps.correlation.values": [[1.0]]},
        "one row and one column for each of baseline, week 4, week 8 (3 by 3), got 1 by 1",
    ),
    "cross-correlation that cannot be": ({"correlations.0.rho": 0.999}, "correlations: the endpoints cannot be correlated like this"),
    "visit after the end": (
        {"endpoints.shaps.weeks": [4, 12], "analyses.anhedonia.week": 12},
        "endpoints.shaps.weeks: visit at week 12 is after the end, week 8",
    ),
    "weeks that fall": ({"endpoints.shaps.weeks": [8, 4]}, "weeks must be rising, got [8.0, 4.0]"),
    "analysis without a visit": (
        {"analyses.severity.week": 7},
        "analyses.severity.week: 'madrs' has no visit at week 7; visits are at 1, 2, 4, 6, 8",
    ),
    "remission cut above the range": (
        {"endpoints.madrs.scale": SMALL_SCALE},
        "remission_cut must be in the range of the scale, 0 to 20 points, got 30",
    ),
    "remission without a cut": ({"analyses.remission.endpoint": "shaps"}, "analyses.remission.outcome: SHAPS has no cut-off of remission"),
    "unknown scale": ({"endpoints.madrs.scale": "MARDS"}, "no scale called 'MARDS' is known; did you mean 'MADRS'?"),
    "baseline outside the scale": ({"endpoints.madrs.baseline.mean": 290.0}, "baseline.mean must be in the range of MADRS, 0 to 60 points, got 290"),
    "empty population": ({"population.where": "phq9_total > 99"}, "population.where: no row of nhanes_2017_2018 is left"),
    "filter on a column that is not there": (
        {"population.where": "phq_total > 9"},
        "population.where: no column called 'phq_total' in 'phq_total > 9'; did you mean 'phq9_total'?",
    ),
    "filter that is a command": ({"population.where": "__import__('os').system('ls')"}, "the functions are ln(x), sqrt(x) and abs(x)"),
    "category compared with a number": ({"population.where": "sex == 1"}, "compares a category with a number; its levels are female, male"),
    "file that is not there": (
        {"population.data": "nhanes_2017_2019"},
        "no file 'nhanes_2017_2019' and no data set of that name; did you mean 'nhanes_2017_2018'?",
    ),
    "assay of a column that is not there": ({"assays.crp.observed": "crp"}, "assays.crp.observed: no column called 'crp'"),
    "neither usual nor observed": ({"assays.crp": {"kind": "serial"}}, "give one of usual and observed"),
    "more within than between persons": (
        {"assays.crp.within_person_sd": 1.5},
        "assays.crp.within_person_sd: 1.5 leaves no variation between persons",
    ),
    "rule that nobody passes": (
        {"eligibility.0": {"variable": "crp", "at_least": 250.0, "at_most": 251.0}},
        "eligibility[0]: (almost) nobody can be enrolled",
    ),
    "rule on something not measured": ({"eligibility.0.variable": "cpr"}, "nothing called 'cpr' is measured at screening; did you mean 'crp'?"),
    "rule on a category as a number": ({"eligibility.0.variable": "sex"}, "'sex' is a category; write one_of with some of female, male"),
    "rule on a reading not declared": ({"eligibility.0.variable": "madrs.screening"}, "'madrs' has no screening reading; declare screening"),
    "stratum that is a number": ({"design.allocation.strata": ["crp"]}, "'crp' is a number, not a stratum; make it a condition, as in 'crp >= 3'"),
    "two sizes of one effect": ({"endpoints.madrs.effects.active.points": 3.0}, "give exactly one of points, mean_points"),
    "smd without its SD": ({"endpoints.madrs.effects.active": {"kind": "constant", "smd": 0.3}}, "smd_sd says which SD"),
    "effect of an arm that is not there": (
        {"endpoints.madrs.effects.drug": {"kind": "constant", "points": 1.0}},
        "effects.drug: no arm called 'drug'",
    ),
    "effect in the control arm": (
        {"endpoints.madrs.effects.placebo": {"kind": "constant", "points": 1.0}},
        "is the control arm, which has no effect",
    ),
    "log odds on a symptom scale": (
        {"endpoints.madrs.effects.active": {"kind": "constant", "odds_ratio": 2.0}},
        "does not fit an endpoint of kind 'scale'; use points",
    ),
    "which of two biomarkers": ({"assays": TWO_ASSAYS}, "say which biomarker it means: crp, crp_again"),
    "benefit and harm that cancel": (
        {"endpoints.madrs.effects.active": {"kind": "crossover", "zero_at": 3.35, "full_at": 6.7, "mean_smd": 0.3, "smd_sd": "change"}},
        "benefit and harm nearly cancel over the enrolled",
    ),
    "t test of response": ({"analyses.severity.outcome": "response"}, "ancova needs a number, 'response' is yes or no; use risk_difference"),
    "risk of a change": ({"analyses.response.outcome": "change"}, "risk_difference needs a yes-or-no outcome, 'change' is a number; use response or"),
    "covariate that is not measured": (
        {"analyses.severity.covariates": ["basline"]},
        "analyses.severity: nothing called 'basline' is measured before randomisation; did you mean 'baseline'?",
    ),
    "usual value as a covariate": (
        {"analyses.severity.covariates": ["usual"]},
        "analyses.severity: nothing called 'usual' is measured before randomisation",
    ),
    "endpoint that is not there": (
        {"analyses.severity.endpoint": "mdrs"},
        "analyses.severity.endpoint: no endpoint called 'mdrs'; did you mean 'madrs'?",
    ),
    "pattern of an analysis that is not there": (
        {"patterns.symptoms_only.shows": ["severty"]},
        "no analysis called 'severty'; did you mean 'severity'?",
    ),
    "probability above 1": ({"target_power": 1.4}, "target_power: must be in (0, 1), got 1.4"),
    "rate above 1 where a table is allowed too": (
        {"departures.stopped": {"kind": "discontinuation", "rate": 12.0}},
        "departures.stopped.rate: must be in [0, 1], got 12",
    ),
    "text where a number or a table is allowed": (
        {"departures.stopped": {"kind": "discontinuation", "rate": "few"}},
        "departures.stopped.rate: expected a number or a table, got 'few'",
    ),
    "rate of one arm above 1": (
        {"departures.stopped": {"kind": "discontinuation", "rate": {"active": 12.0}}},
        "departures.stopped.rate.active: must be in [0, 1], got 12",
    ),
    "field named without its table": ({"n_patients": 100}, "n_patients: is not known here; did you mean 'design.n_patients'?"),
    "grid of a field that is not there": ({"null_grid": {"design.n_patient": [100]}}, "is not known here; did you mean 'n_patients'?"),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_wrong_scenario_says_what_to_do(way):
    changes, message = WAYS[way]
    assert message in faults(**changes)


def test_all_faults_of_a_file_are_told_at_once_with_their_lines(tmp_path):
    text = find_scenario("next_trial").read_text(encoding="utf-8")
    text = (
        text.replace("at_least = 2.0 ", "at_least = 2000.0 ")
        .replace("at_most = 10.0 ", "at_most = 9000.0 ")
        .replace('kind = "logistic"', 'kind = "logstic"')
    )
    text = text.replace("weeks = [4, 8]", "weeks = [4, 12]")
    file = tmp_path / "enriched.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        read(file)
    told = str(caught.value)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if "at_least" in row)
    assert told.startswith("enriched.toml has ")
    assert f"eligibility[0].at_least (line {line}): must be in [0, 300] mg/L" in told
    assert "endpoints.shaps.weeks" in told
    assert "analyses.response_logistic.kind" in told
    assert len(caught.value.problems) >= 5


def test_a_fault_of_one_item_does_not_make_others_look_missing():
    told = faults(**{"endpoints.madrs.kind": "scal"})
    assert "endpoints.madrs.kind: no endpoint called 'scal'; did you mean 'scale'?" in told
    assert "no endpoint called 'madrs'" not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"name = ", "this is not TOML"), (b"\xff\xfe\x00", "not a text file in UTF-8"), (b"", "name: is missing")],
)
def test_a_file_that_cannot_be_read(tmp_path, content, message):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(DeclarationError, match=message):
        read(file)


def test_a_scenario_file_that_is_not_there_names_the_nearest():
    with pytest.raises(SimtrialsError, match="did you mean 'next_trial'"):
        read("nxt_trial")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.parquet", b"not parquet", "cannot read broken.parquet as a table"),
        ("uneven.csv", b"a,b\n1,2\n3\n", "cannot read uneven.csv as a table"),
        ("empty.csv", b"", "cannot read empty.csv as a table"),
    ],
)
def test_a_data_file_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SimtrialsError, match=message):
        read_table(name, tmp_path)


def test_crp_of_zero_or_less_is_refused(tmp_path):
    (tmp_path / "own.csv").write_text("crp_mg_l,sex\n1.2,female\n-0.4,male\n3.1,female\n", encoding="utf-8")
    scenario = examples.scenario(population={"kind": "resampled", "data": "own.csv"}).in_folder(Path(tmp_path))
    with pytest.raises(DeclarationError, match="has values of 0 or less"):
        ready(scenario, tables_of(scenario))


@pytest.mark.parametrize("path", ["eligibility.5.at_least", "eligibility.first.at_least", "name.first"])
def test_a_path_that_leads_nowhere_is_refused(path):
    raw = tomllib.loads(find_scenario("next_trial").read_text(encoding="utf-8"))
    with pytest.raises(SimtrialsError, match=r"list|table"):
        set_at(raw, path, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"crp_mg_l,crp_mg_l\n1,2\n3,4\n", "two columns called 'crp_mg_l'"),
        ("crp_mg_l,name\n1.2,M\xfcller\n".encode("latin-1"), "save it as UTF-8"),
    ],
)
def test_a_data_file_with_odd_columns_is_told(tmp_path, content, message):
    (tmp_path / "own.csv").write_bytes(content)
    with pytest.raises(SimtrialsError, match=message):
        read_table("own.csv", tmp_path)


@pytest.mark.parametrize("weights", ["0,0,0", "1,-1,1", "1,inf,1"])
def test_weights_that_cannot_be_are_refused(tmp_path, weights):
    rows = "\n".join(f"{crp},{weight}" for crp, weight in zip((1.0, 3.0, 5.0), weights.split(","), strict=True))
    (tmp_path / "own.csv").write_text(f"crp_mg_l,w\n{rows}\n", encoding="utf-8")
    population = {"kind": "resampled", "data": "own.csv", "weights": "w"}
    design = {"kind": "fixed", "n_patients": 40, "allocation": {"kind": "blocks", "block_size": 4}}
    scenario = examples.scenario(population=population, design=design).in_folder(Path(tmp_path))
    with pytest.raises(DeclarationError, match=r"population\.weights: 'w' must hold"):
        ready(scenario, tables_of(scenario))


def test_sources_of_fields_that_a_change_takes_away_go_with_them():
    assert "departures.stopped.rate" in read("next_trial").sources
    assert "departures.stopped.rate" not in read("next_trial", {"departures": {}}).sources
    kept = read("next_trial", {"departures": {"stopped": {"kind": "discontinuation", "rate": 0.3}}})
    assert "departures.stopped.rate" in kept.sources
