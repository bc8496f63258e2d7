"""Decisions after a trial and a pilot before it: the rule, classes of true effects, what is paired, and mistakes told before any work."""

import json

import numpy as np
import pytest
from contracts.test_planning import NORMAL, TRIAL, trial
from scipy import stats
from typer.testing import CliRunner

from simtrials.cli.main import app
from simtrials.core.data import Estimates
from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.decision import Decision, Pilot
from simtrials.engine.files import scenario_from
from simtrials.planning.assurance import assurance
from simtrials.planning.decisions import CLASSES, OUTCOMES, decided_at, decisions
from simtrials.planning.draws import at_draws
from simtrials.planning.pilot import pilot_value
from simtrials.report.toml import scenario_toml

POINTS = "endpoints.score.effects.active.points"
RULE = {"analysis": "t_test", "lower_reference": 0.1, "target": 0.5}
DECLARED = {
    "priors": {POINTS: {"kind": "normal", "mean": 0.3, "sd": 0.3}},
    "decision": RULE,
    "pilot": {"n_patients": 20},
    "recruitment": {"sites": 4, "screened_per_site_month": 2.0},
    "costs": {"fixed": 1000.0, "per_patient": 100.0, "per_month": 10.0},
}


def estimates(estimate, std_error, df, benefit=1, status=0):
    number = np.atleast_1d(np.asarray(estimate, float))
    full = [np.full(number.shape, float(value)) for value in (std_error, 0.0, df)]
    return Estimates(number, *full, np.full(number.shape, status, np.int8), "difference", benefit)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def found(folder):
    """Decisions and a pilot over the same draws."""
    few = {"n_draws": 24, "n_jobs": 1, "out": folder}
    return decisions(trial(**DECLARED), **few), pilot_value(trial(**DECLARED), analyses=["t_test"], **few)


def test_go_needs_the_lower_reference_value_ruled_out_and_the_target_not():
    """Lalonde's percentiles: go if the 20th is above the lower reference value and the 90th above the target; stop if the 90th is not."""
    rule, df, error = Decision(lower_reference=0.1, target=0.5), 30.0, 0.2
    for estimate in np.linspace(-0.5, 1.5, 81):
        p20, p90 = stats.t(df, loc=estimate, scale=error).ppf([0.2, 0.9])
        go, stop = rule.go_and_stop(estimates(estimate, error, df))
        assert bool(go[0]) == (p20 > 0.1 and p90 > 0.5)
        assert bool(stop[0]) == (p90 <= 0.5)


def test_a_precise_estimate_between_the_reference_values_is_stop_and_never_both():
    rule = Decision(lower_reference=0.1, target=0.5)
    go, stop = rule.go_and_stop(estimates(0.3, 0.01, np.inf))
    assert (bool(go[0]), bool(stop[0])) == (False, True)


def test_the_direction_of_benefit_decides_and_what_cannot_be_estimated_is_considered():
    rule = Decision(lower_reference=0.1, target=0.5)
    assert rule.go_and_stop(estimates(-0.9, 0.1, np.inf, benefit=-1))[0].all()
    assert rule.go_and_stop(estimates(0.9, 0.1, np.inf, benefit=-1))[1].all()
    for lost in (estimates(0.9, 0.1, np.inf, status=1), estimates(np.nan, 0.1, np.inf), estimates(0.9, np.nan, np.inf)):
        assert not np.logical_or(*rule.go_and_stop(lost)).any()


def test_decisions_use_the_trials_of_assurance_and_add_up(found, folder):
    decided, _ = found
    calls = []
    same = assurance(trial(**DECLARED), n_draws=24, n_jobs=1, out=folder, progress=lambda *told: calls.append(told))
    assert not [told for told in calls if told[0] == "draws"]
    assert np.array_equal(same.draws[POINTS], decided.draws[POINTS])
    assert sum(decided.shares[outcome] for outcome in OUTCOMES) == pytest.approx(np.ones(24))
    assert sum(decided.average(outcome).value for outcome in OUTCOMES) == pytest.approx(1.0)
    whole = [mask.mean() * decided.given("go", name).value for name, mask in decided.members.items()]
    assert sum(whole) == pytest.approx(decided.average("go").value)
    assert decided.truths == pytest.approx(decided.draws[POINTS]), "the estimand of a constant effect is the effect itself"
    rows = decided.to_frame()
    assert list(rows.columns) == [POINTS, "true_effect", "true_effect_std_error", *OUTCOMES]


def test_a_class_without_draws_is_said_to_be_empty(folder):
    rule = Decision(analysis="t_test", lower_reference=-5.0, target=5.0)
    found = decisions(trial(**DECLARED), decision=rule, n_draws=24, n_jobs=1, out=folder)
    told = found.to_dict()["by_true_effect"]
    assert [told[name]["go"] for name in CLASSES][::2] == [None, None]
    words = " ".join(found.summary().split())
    assert "No draw has a true effect at least 5: nothing can be said of it." in words
    assert "nan" not in words.lower()
    assert "NaN" not in json.dumps(found.to_dict())


def test_a_true_effect_that_is_not_exact_has_an_error_and_near_ones_are_counted(tmp_path):
    binary = {"response": {"kind": "binary", "control_risk": 0.3, "event_is": "good", "effects": {"active": {"kind": "constant", "odds_ratio": 2.0}}}}
    table = {"covariates": {"x": {"kind": "normal", "mean": 0.0, "sd": 1.0}}, "kind": "gaussian_copula"}
    scenario = scenario_from(
        TRIAL
        | {
            "endpoints": binary,
            "population": table,
            "analyses": {"risk": {"kind": "logistic", "endpoint": "response", "covariates": ["x"]}},
            "priors": {"endpoints.response.effects.active.odds_ratio": {"kind": "lognormal", "mean_log": 0.5, "sd_log": 0.3}},
            "decision": {"lower_reference": 0.0, "target": 0.5},
        }
    )
    at = at_draws(scenario, None, 20, 2, 1, tmp_path, None)
    truth = at.made[0].truth("risk")
    odds = float(at.draws["endpoints.response.effects.active.odds_ratio"][0])
    assert 0 < truth.std_error < 0.05
    assert abs(truth.value - np.log(odds)) < 4 * truth.std_error


def test_pilot_and_trial_share_no_luck(folder):
    at = at_draws(trial(**DECLARED), None, 24, 256, 1, folder, None)
    pilots = at.again({"design.n_patients": 20})
    estimated = [next(iter(point.estimates("t_test", 256)))[0].estimate for point in (at.made[3], pilots[3])]
    assert abs(np.corrcoef(*estimated)[0, 1]) < 4 / np.sqrt(256)
    shared = at.points.at({"design.n_patients": 20, POINTS: float(at.draws[POINTS][3])}, independent=3)
    same = next(iter(shared.estimates("t_test", 256)))[0].estimate
    assert np.corrcoef(estimated[0], same)[0, 1] > 0.3, "with the luck of the trial the correlation would have been seen"


def test_a_pilot_adds_up_and_its_differences_are_paired(found):
    _, pilot = found
    success, patients = pilot.success("t_test"), pilot.patients
    assert success.difference.value == pytest.approx(success.pilot_first.value - success.at_once.value)
    assert success.difference.mcse < np.hypot(success.pilot_first.mcse, success.at_once.mcse)
    assert (patients.at_once.value, patients.at_once.mcse) == (40.0, 0.0)
    assert patients.pilot_first.value == pytest.approx(20 + 40 * pilot.run.value)
    each = pilot.patients_per_success("t_test")
    assert each.at_once.value == pytest.approx(40 / success.at_once.value)
    assert each.pilot_first.value == pytest.approx(patients.pilot_first.value / success.pilot_first.value)
    harm = pilot.nothing_or_harm
    assert harm.mean() * pilot.avoided.value + (1 - harm.mean()) * pilot.not_run.value == pytest.approx(1 - pilot.run.value)
    assert (1 - harm.mean()) * pilot.lost("t_test").value <= -success.difference.value
    cost, months = pilot.spent(pilot.cost), pilot.spent(pilot.months)
    assert cost.at_once.value == pytest.approx(1000 + 100 * 40 + 10 * months.at_once.value, rel=1e-6)
    assert months.pilot_first.value > months.at_once.value * pilot.run.value
    assert json.loads(json.dumps(pilot.to_dict()))["patients"]["at_once"] == {"value": 40.0, "mcse": 0.0}


def test_a_stricter_pilot_lets_fewer_trials_run(found, folder):
    _, pilot = found
    strict = pilot_value(trial(**DECLARED), pilot=Pilot(n_patients=20, proceed="go"), analyses=["t_test"], n_draws=24, n_jobs=1, out=folder)
    assert np.all(strict.proceeds <= pilot.proceeds)
    assert strict.run.value < pilot.run.value


def test_neither_changes_a_draw(folder):
    assert trial(**DECLARED).digest({}) == trial().digest({})


MISTAKES = [
    ({"decision": {"lower_reference": 0.5, "target": 0.1}}, "target must be above lower_reference, got 0.1 and 0.5"),
    ({"decision": {"lower_reference": 0.0, "target": 0.5}}, "decision.analysis: is needed with several analyses: t_test, loose"),
    ({"decision": RULE | {"analysis": "t_tset"}}, "decision.analysis: no analysis called 't_tset'; did you mean 't_test'"),
    ({"decision": RULE | {"false_go": 0.6}}, "must be in (0, 0.5), got 0.6"),
    ({"decision": RULE, "pilot": {"n_patients": 40}}, "pilot.n_patients: must be below the 40 patients of the trial, got 40"),
    ({"pilot": {"n_patients": 20}}, "pilot.decision: is missing; declare [decision]"),
    ({"decision": RULE, "pilot": {"n_patients": 20, "proceed": "maybe"}}, "must be 'go' or 'not_stop', got 'maybe'"),
]


@pytest.mark.parametrize(("changes", "told"), MISTAKES)
def test_a_wrong_declaration_is_told_when_it_is_read(changes, told):
    with pytest.raises(DeclarationError) as refused:
        trial(**changes)
    assert told in str(refused.value)


ASKED = [
    (decisions, {}, {}, "declare the rule"),
    (decisions, {"decision": RULE}, {}, "declare what is left open"),
    (pilot_value, {"decision": RULE}, {"priors": NORMAL}, "say how many patients the pilot has"),
    (pilot_value, {}, {"pilot": Pilot(n_patients=20)}, "declare the rule of the pilot"),
    (pilot_value, {"decision": RULE, "priors": NORMAL}, {"pilot": Pilot(n_patients=44)}, "must be smaller than the trial of 40"),
    (decisions, {"priors": NORMAL}, {"decision": Decision(lower_reference=0, target=1)}, "name the analysis whose estimate decides"),
    (
        pilot_value,
        {"decision": RULE, "priors": NORMAL},
        {"pilot": Pilot(n_patients=1), "n_draws": 20},
        "at design.n_patients = 1: must be",
    ),
]


@pytest.mark.parametrize(("ask", "changes", "given", "told"), ASKED)
def test_what_is_missing_is_told_before_anything_is_simulated(ask, changes, given, told, tmp_path):
    with pytest.raises(SimtrialsError, match=told):
        ask(trial(**changes), out=tmp_path, **given)
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_analysis_without_standard_errors_cannot_decide(tmp_path):
    scenario = trial(analyses={"ranks": {"kind": "randomization_test", "endpoint": "score", "n_draws": 19}}, priors=NORMAL)
    with pytest.raises(SimtrialsError, match="has no standard error to hold against reference values"):
        decisions(scenario, decision=Decision(lower_reference=0.0, target=0.5), n_draws=20, n_jobs=1, out=tmp_path)


def test_decisions_at_a_point_count_what_failed(folder):
    at = at_draws(trial(**DECLARED), None, 24, 256, 1, folder, None)
    one = decided_at(at.made[0], Decision(**RULE), "t_test", 256)
    assert one.go + one.stop + one.consider == one.of == 256
    assert one.failed == 0


def test_the_commands_answer_and_write_a_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two_means.toml").write_text(scenario_toml(trial(**DECLARED)))
    how = ["--draws", "20", "--replicates", "64", "--jobs", "1"]
    told = CliRunner().invoke(app, ["pilot", "two_means.toml", "--patients", "16", "--analysis", "loose", *how])
    assert told.exit_code == 0, told.output
    assert "a pilot of 16 patients before the trial?" in told.output
    assert (tmp_path / "results" / "points" / "two_means-pilot.svg").is_file()
    told = CliRunner().invoke(app, ["decide", "two_means.toml", "--target", "0.3", "--json", "--quiet", *how])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["decision"]["target"] == 0.3


@pytest.mark.parametrize("command", ["decide", "pilot"])
def test_the_commands_have_help_with_an_example(command):
    told = CliRunner().invoke(app, [command, "--help"])
    assert told.exit_code == 0
    assert f"Example:  simtrials {command} textbook_priors" in told.output
    assert "See also" in told.output


def test_bodies_of_evidence_have_no_decision():
    told = CliRunner().invoke(app, ["decide", "review_2026", "--target", "1"])
    assert "declares bodies of evidence" in str(told.exception)
