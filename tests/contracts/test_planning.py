"""Planning questions: points are stored and shared, faults are told before anything is simulated, answers are feasible."""

import json

import examples
import numpy as np
import pytest
from command_line import call
from scipy.special import ndtr, ndtri

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.files import read, scenario_from
from simtrials.engine.run import run
from simtrials.planning.assurance import assurance
from simtrials.planning.detectable_effect import detectable_effect
from simtrials.planning.draws import nothing_or_harm
from simtrials.planning.hypercube import drawn
from simtrials.planning.points import Points
from simtrials.planning.power_curve import power_curve
from simtrials.planning.sample_size import feasible_numbers, sample_size
from simtrials.report.toml import scenario_toml
from simtrials.stats.closed_form import t_test_power

TRIAL = {
    "name": "two_means",
    "seed": 5,
    "n_replicates": 512,
    "design": {"kind": "fixed", "n_patients": 40, "allocation": {"kind": "blocks", "block_size": 4}},
    "endpoints": {"score": {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.5}}}},
    "analyses": {
        "t_test": {"kind": "t_test", "endpoint": "score"},
        "loose": {"kind": "t_test", "endpoint": "score", "alpha": 0.2},
    },
}


def trial(**changes):
    return scenario_from(TRIAL | changes)


def test_a_curve_is_the_run_at_each_point_and_asking_twice_simulates_nothing(tmp_path):
    calls = []
    asked = {"design.n_patients": [40, 80]}
    curve = power_curve(trial(), asked, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    at_80 = run(scenario_from(TRIAL | {"design": TRIAL["design"] | {"n_patients": 80}}), n_jobs=1, out=tmp_path, null=False)
    frame = curve.to_frame().set_index(["design.n_patients", "analysis"])
    assert frame.loc[(80, "t_test"), "power"] == at_80.measure("t_test", "power").value
    assert frame.loc[(80, "t_test"), "closed_form"] == pytest.approx(frame.loc[(80, "t_test"), "power"], abs=4 * frame.loc[(80, "t_test"), "mcse"])
    assert calls
    calls.clear()
    assert power_curve(trial(), asked, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told)).to_dict() == curve.to_dict()
    assert calls == []
    more = power_curve(trial(), {"design.n_patients": [40, 80, 120]}, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    assert {label for label, *_ in calls} == {"n patients 120"}
    assert more.points[:2] == curve.points


def test_all_pairs_of_two_fields_are_simulated(tmp_path):
    asked = {"design.n_patients": [40, 80], "endpoints.score.effects.active.points": [0.0, 0.5]}
    curve = power_curve(trial(), asked, analyses=["t_test"], n_jobs=1, out=tmp_path)
    powers = {point.values: point.shares["t_test"].value for point in curve.points}
    assert list(powers) == [(40, 0.0), (40, 0.5), (80, 0.0), (80, 0.5)]
    assert powers[80, 0.5] > powers[40, 0.5] > powers[40, 0.0]
    with pytest.raises(SimtrialsError, match="over one field of numbers"):
        curve.plot()


def test_precision_is_reached_at_every_point(tmp_path):
    curve = power_curve(trial(), {"design.n_patients": [40, 80]}, mcse=0.01, n_jobs=1, out=tmp_path)
    assert all(share.mcse <= 0.01 for point in curve.points for share in point.shares.values())


def test_independent_points_have_luck_of_their_own_and_the_others_that_of_the_scenario(tmp_path):
    from simtrials.engine.workers import Workers

    points = Points.of(trial(), tmp_path, Workers(1, "serial", None, None))
    same, own = points.at({}), points.at({}, independent=40)
    assert same.share(["t_test"], 512) != own.share(["t_test"], 512)
    assert abs(same.share(["t_test"], 512).value - own.share(["t_test"], 512).value) < 0.15
    every = points.at({}).share(["t_test", "loose"], 512)
    assert every == points.at({}).share(["t_test"], 512)


def test_the_size_of_a_t_test_is_that_of_the_closed_form_within_its_interval(tmp_path):
    size = sample_size(trial(), "t_test", n_jobs=1, out=tmp_path)
    assert size.found.lower <= 128 <= size.found.upper
    assert size.n % 4 == 0
    assert (size.found.upper - size.found.lower) / 2 <= 0.03 * size.n + 4
    assert size.others["loose"].value > size.others["t_test"].value
    again = sample_size(trial(), "t_test", n_jobs=1, out=tmp_path)
    assert again.to_dict() == size.to_dict()
    assert "patients (95% interval" in size.summary()


def test_where_no_number_will_do_that_is_said_instead_of_a_bound(tmp_path):
    nothing = trial(endpoints={"score": {"kind": "continuous"}})
    size = sample_size(nothing, "t_test", most=400, n_jobs=1, out=tmp_path)
    assert size.n is None
    assert "no number up to 400 reaches the target" in size.found.reason
    assert "no number will" in size.found.reason
    weak = trial(endpoints={"score": {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.2}}}})
    size = sample_size(weak, "t_test", most=100, n_jobs=1, out=tmp_path)
    assert size.n is None
    assert "a larger number might" in size.found.reason


def test_numbers_are_those_of_the_allocation():
    assert feasible_numbers(trial(), None).step == 4
    thirds = {"kind": "fixed", "n_patients": 42, "allocation_ratio": [1, 2], "allocation": {"kind": "complete"}}
    assert feasible_numbers(trial(design=thirds), None).step == 3
    with pytest.raises(SimtrialsError, match="declare what a further trial is like"):
        feasible_numbers(examples.evidence(), None)


def test_how_many_further_trials_a_review_needs(tmp_path):
    studies = examples.evidence_tables()["studies"] | {"further": [{"n_active": 40, "n_control": 40, "weeks": 8.0, "crp_rule": "enriched"}]}
    scenario = examples.evidence(studies=studies, syntheses={"response": {"kind": "pooled", "outcome": "response", "ci": "wald"}})
    size = sample_size(scenario, "response", power=0.8, precision=0.2, n_jobs=1, out=tmp_path)
    assert size.n is not None
    assert 1 <= size.n <= 60
    assert "further trials" in size.summary()


def test_what_a_review_could_have_seen(tmp_path):
    scenario = examples.evidence(syntheses={"response": {"kind": "pooled", "outcome": "response", "ci": "wald"}})
    found = detectable_effect(scenario, "response", precision=0.2, n_jobs=1, out=tmp_path)
    assert found.field.path == f"endpoints.{scenario.outcomes['response'].endpoint}.effects.active.{found.field.size}"
    assert found.interval[0] < found.effect < found.interval[1]
    assert "such reviews" in " ".join(found.summary().split())


MISTAKES = [
    ({"design.n_patients": []}, {}, "has no values"),
    ({"design.n_patients": [40, 40]}, {}, "the same value twice"),
    ({}, {}, "name one field"),
    ({"design.n_patients": [40]}, {"analyses": ["t_tset"]}, "did you mean 't_test'"),
    ({"design.n_patients": [40]}, {"mcse": 2.0}, "between 0 and 0.5"),
    ({"n_replicates": [40]}, {}, "changes nothing that is simulated"),
]


@pytest.mark.parametrize(("over", "given", "told"), MISTAKES)
def test_mistakes_are_told_before_anything_is_simulated(over, given, told, tmp_path):
    with pytest.raises(SimtrialsError, match=told):
        power_curve(trial(), over, out=tmp_path, **given)
    assert not list(tmp_path.rglob("*.parquet"))


def test_every_value_that_a_scenario_cannot_have_is_told_at_once(tmp_path):
    with pytest.raises(DeclarationError) as found:
        power_curve(trial(), {"design.n_patients": [1, 40, "many"]}, out=tmp_path)
    assert len(found.value.problems) == 2
    assert "at design.n_patients = 1" in str(found.value)


def test_the_commands_print_write_and_refuse(tmp_path):
    (tmp_path / "two_means.toml").write_text(scenario_toml(trial()))
    told = call("power", "two_means.toml", "--over", "design.n_patients=40,80", "--replicates", "256", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "power over patients" in told.stdout
    assert (tmp_path / "results" / "points" / "two_means-power.svg").is_file()
    sized = call("size", "two_means.toml", "--analysis", "t_test", "--json", cwd=tmp_path)
    assert sized.returncode == 0, sized.stderr
    assert json.loads(sized.stdout)["n"] % 4 == 0
    for words in (
        ["size", "two_means.toml"],
        ["size", "two_means.toml", "--analysis", "t_tset"],
        ["power", "two_means.toml", "--over", "n_patients"],
    ):
        refused = call(*words, cwd=tmp_path)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr


# ---- assurance

NORMAL = {"endpoints.score.effects.active.points": {"kind": "normal", "mean": 0.5, "sd": 0.2}}


def test_assurance_is_that_of_the_closed_form_and_reads_the_priors_of_the_scenario(tmp_path):
    """At the values that were drawn, and numerically: the mean over the prior of the exact power."""
    scenario = trial(priors=NORMAL, design=TRIAL["design"] | {"n_patients": 128})
    found = assurance(scenario, analyses=["t_test"], n_draws=100, n_jobs=1, out=tmp_path)
    one, z = found.analyses["t_test"], ndtri((np.arange(4000) + 0.5) / 4000)
    exact = float(t_test_power(0.5 + 0.2 * z, sd=1.0, n_active=64, n_control=64, tails="benefit").mean())
    assert abs(one.value - exact) < 4 * one.mcse
    at_draws = t_test_power(found.draws["endpoints.score.effects.active.points"], sd=1.0, n_active=64, n_control=64, tails="benefit")
    error = float(np.sqrt((at_draws * (1 - at_draws) / 256).mean() / at_draws.size))
    assert abs(one.value - at_draws.mean()) < 4 * error
    without_prior = float(t_test_power(0.5, sd=1.0, n_active=64, n_control=64, tails="benefit"))
    assert abs(without_prior - at_draws.mean()) > 4 * error, "a version that ignored the prior would have been seen"
    assert one.declared.value == pytest.approx(0.80, abs=4 * one.declared.mcse)
    assert found.nothing_or_harm == pytest.approx(0.006, abs=0.01)
    calls = []
    again = assurance(scenario, analyses=["t_test"], n_draws=100, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    assert again.to_dict() == found.to_dict()
    assert calls == []


def test_what_no_number_wins_is_told_of_the_effect_that_is_analyzed():
    other = {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.5}}}
    second = {"kind": "t_test", "endpoint": "other"}
    path = "endpoints.{}.effects.active.points"
    scenario = trial(endpoints=TRIAL["endpoints"] | {"other": other}, analyses=TRIAL["analyses"] | {"second": second})
    draws = {path.format("score"): np.array([-1.0, 1.0, 1.0, 1.0]), path.format("other"): np.array([1.0, -1.0, 0.0, 1.0])}
    assert nothing_or_harm(scenario, "t_test", draws).tolist() == [True, False, False, False]  # harm in the other endpoint is no harm in this one
    assert nothing_or_harm(scenario, "second", draws).tolist() == [False, True, True, False]
    assert nothing_or_harm(scenario, "second", {path.format("score"): np.array([-1.0])}) is None


def test_draws_are_one_from_each_equal_part_of_the_prior():
    scenario = trial(priors=NORMAL)
    values = np.sort(drawn(scenario.priors, 50, 1)["endpoints.score.effects.active.points"])
    parts = np.floor(50 * ndtr((values - 0.5) / 0.2)).astype(int)
    assert list(parts) == list(range(50))


@pytest.mark.parametrize(
    ("priors", "told"),
    [
        ({}, "declare what is left open"),
        ({"endpoints.score.sd": {"kind": "normal", "mean": 0.0, "sd": 1.0}}, "draws cannot be simulated, the first above; write"),
        ({"endpoints.scroe.sd": {"kind": "normal", "mean": 1.0, "sd": 0.1}}, "none of 30 draws can be simulated; look at path and unit"),
        ({"endpoints.score.sd": {"kind": "categorical", "shares": {"a": 0.5, "b": 0.5}}}, "must be on numbers"),
    ],
)
def test_priors_that_cannot_be_used_say_why(priors, told, tmp_path):
    with pytest.raises(SimtrialsError, match=told):
        assurance(trial(priors=priors), n_draws=30, out=tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_priors_that_take_the_place_of_declared_ones_do_not_keep_their_source():
    path = "endpoints.madrs.effects.active.mean_smd"
    assert "priors" in read("next_trial").sources
    other = read("next_trial", {"priors": {path: {"kind": "normal", "mean": 0.2, "sd": 0.1}}})
    assert list(other.priors) == [path]
    assert "priors" not in other.sources
    assert "population" in other.sources
