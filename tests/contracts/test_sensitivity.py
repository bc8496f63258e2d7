"""Sensitivity: points are shared and stored, values are possible ones, mistakes are told before anything is simulated."""

import examples
import pytest
from contracts.test_cli import call
from contracts.test_planning import NORMAL, trial

from simtrials.cli.sensitivity import read_values
from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.planning.power_curve import power_curve
from simtrials.planning.sensitivity import sensitivity
from simtrials.report.toml import scenario_toml
from simtrials.trial.distributions.continuous import Normal

EFFECT, SD, N = "endpoints.score.effects.active.points", "endpoints.score.sd", "design.n_patients"


def test_asking_twice_simulates_nothing(tmp_path):
    calls = []
    asked = {SD: (0.8, 1.2), EFFECT: (0.3, 0.7)}
    once = sensitivity(trial(), asked, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    assert {label for label, *_ in calls} == {"as declared", "sd 0.8", "sd 1.2", "points 0.3", "points 0.7"}
    calls.clear()
    again = sensitivity(trial(), asked, n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    assert again.to_dict() == once.to_dict()
    assert calls == []


def test_points_are_those_of_a_power_curve(tmp_path):
    found = sensitivity(trial(), {N: (40, 80)}, analyses=["t_test"], n_jobs=1, out=tmp_path)
    curve = power_curve(trial(), {N: [40, 80]}, analyses=["t_test"], n_jobs=1, out=tmp_path)
    (swing,) = found.analyses["t_test"].swings
    assert [one.share for one in swing.at] == [point.shares["t_test"] for point in curve.points]
    assert swing.at[0].difference.value == 0
    frame = found.to_frame()
    assert list(frame["value"]) == [40, 80]
    assert frame["swing"].iloc[0] == pytest.approx(frame["power"].max() - found.analyses["t_test"].base.value)


def test_priors_are_looked_at_at_5_and_95_percent_and_whole_numbers_stay_possible(tmp_path):
    priors = NORMAL | {N: {"kind": "normal", "mean": 41.0, "sd": 10.0}}
    found = sensitivity(trial(priors=priors), n_replicates=256, n_jobs=1, out=tmp_path)
    at = {one.path: one for one in found.assumptions}
    assert at[EFFECT].values == pytest.approx((0.5 - 1.645 * 0.2, 0.5 + 1.645 * 0.2), abs=1e-3)
    assert at[N].values == (24, 56)
    assert at[N].step == 4
    assert set(at[N].at([0.1, 0.5, 0.9])) == {28, 40, 52}
    replaced = sensitivity(trial(priors=priors), {N: (40, 60)}, n_replicates=256, n_jobs=1, out=tmp_path)
    assert {one.path: one.values for one in replaced.assumptions}[N] == (40, 60)
    without = sensitivity(trial(priors=priors), {N: (40, 60)}, priors={}, n_replicates=256, n_jobs=1, out=tmp_path)
    assert [one.path for one in without.assumptions] == [N]


def test_alternatives_may_be_of_any_type(tmp_path):
    vary = {"design.allocation": ({"kind": "complete"}, {"kind": "blocks", "block_size": 8}), "analyses.t_test.alpha": (0.01, 0.05, 0.1)}
    found = sensitivity(trial(), vary, n_replicates=256, n_jobs=1, out=tmp_path)
    swing = next(one for one in found.analyses["t_test"].swings if one.assumption.path == "design.allocation")
    assert [one.value["kind"] for one in swing.at] == ["complete", "blocks"]
    assert swing.assumption.declared == {"kind": "blocks", "block_size": 4}
    assert swing.assumption.prior is None
    assert {"complete", "blocks block size 8"} <= {line.strip() for line in found.summary().replace("±", "  ").split("  ")}


def test_of_fields_that_cannot_be_told_apart_none_is_said_to_matter_most(tmp_path):
    vary = {SD: (0.99, 1.01), EFFECT: (0.495, 0.505)}
    found = sensitivity(trial(), vary, analyses=["t_test"], n_replicates=256, n_jobs=1, out=tmp_path)
    assert found.analyses["t_test"].n_leading != 1
    assert "moves most with sd" not in found.summary()
    assert "Less with" not in found.summary()
    clear = sensitivity(trial(), {SD: (0.99, 1.01), EFFECT: (0.0, 1.0)}, analyses=["t_test"], n_replicates=256, n_jobs=1, out=tmp_path)
    assert clear.analyses["t_test"].n_leading == 1
    assert [one.assumption.path for one in clear.analyses["t_test"].swings] == [EFFECT, SD]


def test_bodies_of_evidence_can_be_asked_too(tmp_path):
    scenario = examples.evidence(syntheses={"pooled": {"kind": "pooled", "outcome": "severity", "ci": "wald"}})
    found = sensitivity(scenario, {"true_effects.tau.symptoms": (0.6,)}, n_replicates=256, n_jobs=1, out=tmp_path)
    assert "reviews" in found.summary()


MISTAKES = [
    ({}, {}, "name what is left open"),
    ({SD: (1.2, 0.8)}, {}, "lowest value comes first; write 0.8,1.2"),
    ({SD: ()}, {}, "got 0 values"),
    ({SD: (1.0, 1.0)}, {}, "same value twice"),
    ({N: (40.5, 80.0)}, {}, "is a whole number, got 40.5 and 80; write 40,80"),
    ({SD: (0.8, 1.2)}, {"n_global": 64}, "two or more fields"),
    ({SD: (0.8, 1.2), EFFECT: (0.3, 0.7)}, {"n_global": 100}, "power of 2 from 64 to 1,024, got 100; write 128"),
    ({SD: (0.8, 1.2)}, {"n_replicates": 1}, "at least 2, got 1"),
    ({SD: (0.8, 1.2)}, {"analyses": ["t_tset"]}, "did you mean 't_test'"),
    ({"n_replicates": (40, 80)}, {}, "changes nothing that is simulated"),
    ({f"{SD}x": (0.8, 1.2)}, {}, "sdx"),
    ({}, {"priors": {SD: Normal(mean=1.0, sd=1e-9), N: Normal(mean=40.0, sd=0.01)}}, "5% and 95% of its prior are both 40"),
    ({EFFECT: (0.3, 0.7)}, {"priors": {SD: Normal(mean=1.0, sd=0.5)}, "n_global": 64}, "truncate a prior"),
]


@pytest.mark.parametrize(("vary", "given", "told"), MISTAKES)
def test_mistakes_are_told_before_anything_is_simulated(vary, given, told, tmp_path):
    with pytest.raises(SimtrialsError, match=told):
        sensitivity(trial(), vary, out=tmp_path, **given)
    assert not list(tmp_path.rglob("*.parquet"))


def test_every_value_that_a_scenario_cannot_have_is_told_at_once(tmp_path):
    with pytest.raises(DeclarationError) as found:
        sensitivity(trial(), {SD: (-1.0, 0.0), N: (1, 40)}, out=tmp_path)
    assert len(found.value.problems) == 3
    assert "at endpoints.score.sd = -1:" in str(found.value)


def test_the_command_prints_writes_and_refuses(tmp_path):
    (tmp_path / "two_means.toml").write_text(scenario_toml(trial()))
    told = call("sensitivity", "two_means.toml", "--vary", f"{SD}=0.8,1.2", "--vary", f"{EFFECT}=0.3,0.9", "--analysis", "t_test", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "moves most with" in told.stdout
    assert (tmp_path / "results" / "points" / "two_means-sensitivity.svg").is_file()
    refused = call("sensitivity", "two_means.toml", "--vary", f"{SD}=2,1", cwd=tmp_path)
    assert refused.returncode == 2
    assert "write 1,2" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_words_of_the_command_are_values_by_path_and_other_words_are_refused():
    assert read_values([f"{SD}=1,2.5", "a.b=x,y", 'c=[{kind="complete"}, "z"]']) == {
        SD: [1, 2.5],
        "a.b": ["x", "y"],
        "c": [{"kind": "complete"}, "z"],
    }
    for words, told in (([SD], "needs PATH=LOW,HIGH"), ([f"{SD}="], "needs PATH"), ([f"{SD}=1,2", f"{SD}=3,4"], "give all its values at once")):
        with pytest.raises(SimtrialsError, match=told):
            read_values(words)
