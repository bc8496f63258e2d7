"""Priors from a meta-analysis: the interval that was reported, in the unit and direction of the field, and a remedy for everything else."""

import json

import numpy as np
import pytest
from contracts.test_planning import TRIAL, trial
from scipy.special import ndtri
from typer.testing import CliRunner

import simtrials
from simtrials.cli.main import app
from simtrials.core.errors import SimtrialsError
from simtrials.engine.files import read
from simtrials.engine.meta_priors import meta_prior
from simtrials.planning.assurance import assurance
from simtrials.planning.draws import resolved
from simtrials.report.toml import scenario_toml
from simtrials.trial.distributions import Normal, StudentT, Truncated

POINTS = "endpoints.score.effects.active.points"
LOG_ODDS = "endpoints.response.effects.active.log_odds_ratio"
CSV = "study,crp,yi,vi\n" + "\n".join(f"trial {i},{'high' if i < 4 else 'low'},{y},{v}" for i, (y, v) in enumerate(
    [(0.9, 0.04), (0.1, 0.09), (0.55, 0.05), (0.4, 0.02), (-0.2, 0.06), (0.35, 0.03), (0.8, 0.08)]
))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Effects in points, in a file, pooled in several ways."""
    place = tmp_path_factory.mktemp("reviews")
    (place / "trials.csv").write_text(CSV + "\n")
    return place


def found_in(folder, name, **asked):
    review = simtrials.review(folder / "trials.csv", study="study", **({"measure": "MD", "benefit": "higher"} | asked))
    (folder / name).write_text(json.dumps(review.to_dict()))
    return review


def of(folder, text, path=POINTS, raw=None):
    return meta_prior(text, path, raw or {}, folder)


def at(prior, share):
    return float(prior.distribution.from_normal(ndtri(np.array([share])))[0])


RULES = [
    ("hartung_knapp", "as_interval"),
    ("hartung_knapp", "t_k_minus_2"),
    ("wald", "as_interval"),
    ("wald", "t_k_minus_1"),
    ("kenward_roger", "normal"),
]


@pytest.mark.parametrize(("ci", "prediction"), RULES)
def test_the_prior_has_the_interval_that_was_reported(folder, ci, prediction):
    review = found_in(folder, "a.json", ci=ci, prediction=prediction)
    new, mean = of(folder, "meta:a.json"), of(folder, "meta:a.json#mean")
    assert (at(new, 0.025), at(new, 0.975)) == pytest.approx((review.pooled.prediction_lower, review.pooled.prediction_upper), abs=1e-9)
    assert (at(mean, 0.025), at(mean, 0.975)) == pytest.approx((review.pooled.lower, review.pooled.upper), abs=1e-9)
    assert at(new, 0.5) == pytest.approx(float(review.pooled.estimate))
    assert isinstance(new.distribution, Normal if prediction == "normal" or (ci, prediction) == ("wald", "as_interval") else StudentT)


def test_the_scale_is_the_root_of_tau2_and_the_squared_standard_error(folder):
    pooled = found_in(folder, "a.json").pooled
    prior = of(folder, "meta:a.json").distribution
    assert prior.scale == pytest.approx(float(np.sqrt(pooled.tau2 + pooled.std_error**2)))
    assert prior.df == 6.0


def test_a_benefit_is_positive_whatever_side_the_review_calls_better(folder):
    higher = found_in(folder, "higher.json")
    found_in(folder, "lower.json", benefit="lower")
    assert at(of(folder, "meta:lower.json"), 0.5) == pytest.approx(-float(higher.pooled.estimate))


def test_a_group_can_be_named(folder):
    review = found_in(folder, "by.json", by="crp")
    high = next(group.pooled for group in review.groups.groups if group.name == "high")
    assert at(of(folder, "meta:by.json#high#mean"), 0.975) == pytest.approx(float(high.upper))
    with pytest.raises(SimtrialsError, match="did you mean 'high'"):
        of(folder, "meta:by.json#hihg")


MISTAKES = [
    ("meta:nowhere", POINTS, {}, "simtrials meta DATA --out nowhere"),
    ("nowhere", POINTS, {}, "expected a distribution"),
    ("meta:points.json", "endpoints.score.sd", {}, "it can be the prior of smd, mean_smd, points"),
    ("meta:points.json", "endpoints.score.effects.active.smd", {}, "state the effect as points or mean_points, or pool with --measure SMD"),
    ("meta:points.json", LOG_ODDS, {}, "or pool with --measure OR"),
    ("meta:ratios.json", LOG_ODDS, {}, "log_odds_ratio is not in the unit of RR: pool with --measure OR"),
    ("meta:points.json", POINTS, {"studies": {}}, 'write "meta:points.json#mean"'),
    ("meta:trials.csv", POINTS, {}, "is not what simtrials meta --json prints"),
    ("meta:list.json", POINTS, {}, "it has no 'data'"),
    ("meta:run", POINTS, {}, "holds a simulation"),
    ("meta:skewed.json#mean", POINTS, {}, "pool again with --ci hartung_knapp"),
    ("meta:two.json", POINTS, {}, "has no prediction interval; write #mean"),
]


@pytest.mark.parametrize(("text", "path", "raw", "told"), MISTAKES)
def test_what_is_no_prior_is_refused_with_the_remedy(folder, text, path, raw, told):
    found_in(folder, "points.json")
    found_in(folder, "ratios.json", measure="RR")
    skewed = found_in(folder, "skewed.json").to_dict()
    skewed["pooled"]["upper"] += 0.1
    (folder / "skewed.json").write_text(json.dumps(skewed))
    found_in(folder, "two.json", where="yi > 0.75", prediction="t_k_minus_2")
    (folder / "list.json").write_text("[]")
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "run.json").write_text("{}")
    with pytest.raises(SimtrialsError) as refused:
        of(folder, text, path, raw)
    assert told in str(refused.value)


def test_the_sd_of_a_standardized_difference_must_be_that_of_the_field(folder):
    found = found_in(folder, "g.json", measure="SMD").to_dict() | {"scores": "change"}
    (folder / "g.json").write_text(json.dumps(found))
    path, effect = "endpoints.score.effects.active.smd", {"kind": "constant", "smd": 0.3, "smd_sd": "score"}
    raw = {"endpoints": {"score": {"effects": {"active": effect}}}}
    with pytest.raises(SimtrialsError, match='write "change"'):
        of(folder, "meta:g.json", path, raw)
    effect["smd_sd"] = "change"
    assert at(of(folder, "meta:g.json", path, raw), 0.5) > 0


def test_a_scenario_file_names_a_folder_beside_it_and_keeps_the_numbers_and_their_source(folder, tmp_path):
    (tmp_path / "trials.csv").write_text(CSV + "\n")
    simtrials.review(tmp_path / "trials.csv", study="study", measure="MD", benefit="higher").write(tmp_path / "review")
    whole, cut = "meta:review", {"kind": "truncated", "of": "meta:review", "minimum": 0.0}
    scenario = scenario_toml(trial()) + f'\n[priors]\n"{POINTS}" = "{whole}"\n'
    (tmp_path / "mine.toml").write_text(scenario)
    declared = read(tmp_path / "mine.toml")
    assert isinstance(declared.priors[POINTS], StudentT)
    assert "7 comparisons (REML, hartung_knapp, prediction as_interval); effect in a new trial" in declared.sources["priors"]
    assert declared.digest({}) == trial().digest({})
    truncated = read(tmp_path / "mine.toml", {"priors": {POINTS: cut}})
    assert isinstance(truncated.priors[POINTS], Truncated)
    assert resolved(declared, {POINTS: whole}) == declared.priors
    (tmp_path / "mine.toml").write_text(scenario.replace(whole, "meta:revue"))
    with pytest.raises(SimtrialsError, match="simtrials meta DATA --out revue"):
        read(tmp_path / "mine.toml")


def test_the_command_names_where_its_priors_come_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trials.csv").write_text(CSV + "\n")
    (tmp_path / "two_means.toml").write_text(scenario_toml(trial()))
    found_in(tmp_path, "review.json")
    told = CliRunner().invoke(app, ["assurance", "two_means.toml", "--prior", f"{POINTS}=meta:review.json", "--draws", "20", "--jobs", "1"])
    assert told.exit_code == 0, told.output
    words = " ".join(told.output.split())
    assert "what the review leaves open" in words
    assert "Priors: meta-analysis of trials.csv" in words


def test_students_t_and_its_truncation_have_their_quantiles():
    from scipy import stats

    z = ndtri(np.array([1e-9, 0.001, 0.2, 0.5, 0.9, 0.999999]))
    exact = stats.t(3.0, loc=0.4, scale=0.2)
    assert StudentT(center=0.4, scale=0.2, df=3.0).from_normal(z) == pytest.approx(exact.ppf(stats.norm.cdf(z)), rel=1e-6)
    assert StudentT(center=0.0, scale=1.0, df=3.0).from_normal(np.array([12.0])) == pytest.approx(stats.t(3.0).isf(stats.norm.sf(12.0)), rel=1e-6)
    cut = Truncated(of=StudentT(center=0.4, scale=0.2, df=3.0), minimum=0.0, maximum=1.0)
    shares = exact.cdf(0.0) + np.array([0.1, 0.5, 0.9]) * (exact.cdf(1.0) - exact.cdf(0.0))
    assert cut.from_normal(ndtri(np.array([0.1, 0.5, 0.9]))) == pytest.approx(exact.ppf(shares), abs=1e-6)


def test_assurance_takes_a_text_as_prior(folder, tmp_path):
    found_in(folder, "points.json")
    found = assurance(trial(design=TRIAL["design"]), {POINTS: f"meta:{folder / 'points.json'}"}, n_draws=20, n_replicates=2, n_jobs=1, out=tmp_path)
    assert isinstance(found.priors[POINTS], StudentT)


def test_the_json_schema_knows_a_text_as_prior():
    import jsonschema

    from simtrials.engine.schema import scenario_schema

    declared = trial().model_dump(mode="json", exclude_defaults=True)
    jsonschema.validate(declared | {"priors": {POINTS: "meta:review"}}, scenario_schema())
    jsonschema.validate(declared | {"priors": {POINTS: {"kind": "normal", "mean": 0.0, "sd": 1.0}}}, scenario_schema())
    for wrong in ("review", {"kind": "norml"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(declared | {"priors": {POINTS: wrong}}, scenario_schema())
