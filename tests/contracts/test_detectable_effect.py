"""The smallest effect that is shown with a power: closed forms, every way of stating a size, and every message."""

import json

import pytest
from contracts.test_cli import call
from contracts.test_planning import TRIAL, trial
from scipy.optimize import brentq
from scipy.special import expit, logit

from simtrials.core.errors import SimtrialsError
from simtrials.engine.files import scenario_from
from simtrials.planning.detectable_effect import detectable_effect
from simtrials.planning.effect_size import size_field
from simtrials.report.toml import scenario_toml
from simtrials.stats.closed_form import enumerated_power, pooled_z_rejection, t_test_power

RISKS = {
    "name": "two_risks",
    "seed": 11,
    "design": {"kind": "fixed", "n_patients": 120, "allocation": {"kind": "blocks", "block_size": 2}},
    "endpoints": {"event": {"kind": "binary", "control_risk": 0.4, "effects": {"active": {"kind": "constant", "risk": 0.6}}}},
    "analyses": {"score": {"kind": "risk_difference", "endpoint": "event"}},
}


def risks(event_is="good", **size):
    endpoint = RISKS["endpoints"]["event"] | {"event_is": event_is, "effects": {"active": {"kind": "constant", **size}}}
    return scenario_from(RISKS | {"endpoints": {"event": endpoint}})


def risk_shown():
    rejected = pooled_z_rejection(60, 60, tails="benefit")
    return brentq(lambda risk: float(enumerated_power(rejected, risk, 0.4)) - 0.8, 0.41, 0.99)


def test_the_effect_of_a_t_test_is_that_of_the_noncentral_t(tmp_path):
    found = detectable_effect(trial(), "t_test", n_jobs=1, out=tmp_path)
    exact = brentq(lambda effect: float(t_test_power(effect, sd=1.0, n_active=20, n_control=20, tails="benefit")) - 0.8, 0.1, 2.0)
    assert found.interval[0] <= exact <= found.interval[1]
    assert (found.interval[1] - found.interval[0]) / 2 <= 0.03 * found.effect
    assert found.field.path == "endpoints.score.effects.active.points"
    assert found.others["loose"].value > found.others["t_test"].value
    assert detectable_effect(trial(), "t_test", n_jobs=1, out=tmp_path).to_dict() == found.to_dict()
    higher = detectable_effect(trial(), "t_test", power=0.9, n_jobs=1, out=tmp_path)
    assert higher.interval[0] > exact


@pytest.mark.parametrize(
    ("size", "event_is", "of"),
    [
        ({"risk": 0.5}, "good", lambda risk: risk),
        ({"odds_ratio": 1.5}, "good", lambda risk: (risk / (1 - risk)) / (0.4 / 0.6)),
        ({"log_odds_ratio": 0.3}, "good", lambda risk: logit(risk) - logit(0.4)),
    ],
    ids=["risk", "odds ratio", "log odds ratio"],
)
def test_sizes_of_yes_or_no_endpoints_are_those_of_the_enumeration(size, event_is, of, tmp_path):
    found = detectable_effect(risks(event_is, **size), "score", n_jobs=1, out=tmp_path)
    assert found.interval[0] <= of(risk_shown()) <= found.interval[1]
    assert f"{of(risk_shown()):.1f}"[:3] in found.summary()


def test_a_bad_event_becomes_rarer(tmp_path):
    """Events of 0.6 under control and the mirror image of the risk above under the drug."""
    endpoint = {"kind": "binary", "control_risk": 0.6, "event_is": "bad", "effects": {"active": {"kind": "constant", "risk": 0.5}}}
    found = detectable_effect(scenario_from(RISKS | {"endpoints": {"event": endpoint}}), "score", n_jobs=1, out=tmp_path)
    smaller, larger = found.interval
    assert larger <= 1 - risk_shown() <= smaller < 0.6
    assert float(found.summary().split("risk of ")[1].split(" ")[0]) <= found.effect


def test_places_on_the_line_come_back():
    for size in ({"risk": 0.55}, {"odds_ratio": 2.0}, {"log_odds_ratio": 0.4}):
        for event_is in ("good", "bad"):
            field = size_field(risks(event_is, **size), "score", None)
            assert field.value(field.place(field.declared)) == pytest.approx(field.declared)
            assert field.place(field.at(37)) == pytest.approx(37 * field.unit)
            assert field.place(field.at(0)) == pytest.approx(0.0, abs=1e-9)
    bad = size_field(risks("bad", risk=0.3), "score", None)
    assert bad.value(0.5) == pytest.approx(expit(logit(0.4) - 0.5))


def test_where_no_effect_will_do_or_none_is_needed_that_is_said(tmp_path):
    tiny = trial(
        design=TRIAL["design"] | {"n_patients": 4, "allocation": {"kind": "blocks", "block_size": 4}},
        analyses={"strict": {"kind": "t_test", "endpoint": "score", "alpha": 0.001}},
    )
    found = detectable_effect(tiny, "strict", n_jobs=1, out=tmp_path)
    assert found.effect is None
    assert "no effect up to 5 reaches the target" in found.found.reason
    assert "reaches the target" in " ".join(found.summary().split())
    biased = trial(endpoints={"score": TRIAL["endpoints"]["score"], "other": {"kind": "continuous"}})
    found = detectable_effect(biased, "t_test", over="endpoints.score.effects.active.points", n_jobs=1, out=tmp_path)
    assert found.effect is not None


def test_where_something_else_shows_the_benefit_that_is_said(tmp_path):
    """Two active arms, and a search over the effect of the one that is not compared."""
    design = TRIAL["design"] | {"arms": ["control", "active", "high"], "n_patients": 300, "allocation": {"kind": "blocks", "block_size": 3}}
    both = {arm: {"kind": "constant", "points": 0.9} for arm in ("active", "high")}
    scenario = trial(design=design, endpoints={"score": {"kind": "continuous", "effects": both}})
    found = detectable_effect(scenario, "t_test", over="endpoints.score.effects.high.points", n_jobs=1, out=tmp_path)
    assert found.effect is None
    assert "something else shows the benefit" in found.found.reason


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"analysis": "t_tset"}, "did you mean 't_test'"),
        ({"over": "design.n_patients"}, "must be the size of an effect"),
        ({"over": "endpoints.scor.effects.active.points"}, "did you mean 'score'"),
        ({"over": "endpoints.score.effects.high.points"}, "no effect of 'high'"),
        ({"over": "endpoints.score.effects.active.smd"}, "stated as points; write --over endpoints.score.effects.active.points"),
        ({"power": 0.02}, "reached without any effect"),
        ({"power": 1.2}, "between 0 and 1"),
        ({"budget": 10}, "at least 5,000"),
    ],
)
def test_mistakes_are_told_before_anything_is_simulated(given, told, tmp_path):
    with pytest.raises(SimtrialsError, match=told):
        detectable_effect(trial(), **({"analysis": "t_test"} | given), out=tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_command_prints_and_refuses(tmp_path):
    (tmp_path / "two_means.toml").write_text(scenario_toml(trial()))
    told = call("effect", "two_means.toml", "--analysis", "t_test", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert 0.8 < json.loads(told.stdout)["effect"] < 1.0
    refused = call("effect", "two_means.toml", "--analysis", "t_tset", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
