"""Whom to enroll: questions whose answer would mean something else than is said are refused, or answered for what was asked."""

import numpy as np
import pytest
from contracts.test_enrollment import CONSTANT, MARKED, choice_costing, marked
from scipy.stats import norm

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.files import set_at, tables_of
from simtrials.planning.enrollment import whom_to_enroll
from simtrials.planning.enrollment_result import UnderShape
from simtrials.planning.funnel import funnel
from simtrials.planning.futures import Spread, takes_of
from simtrials.planning.power_curve import power_curve
from simtrials.planning.search import Found
from simtrials.planning.sensitivity import sensitivity
from simtrials.report.planning.enrollment import effect_unit, flatness
from simtrials.trial.endpoints import Binary

ASKED = MARKED["enrollment"]
QUICK = {"n_replicates": 256, "precision": 0.2, "n_jobs": 1}


def with_effect(**effect):
    score = {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": 2.0} | effect}}
    return marked(endpoints={"score": score}, enrollment=ASKED | {"shapes": {}, "designs": {}})


def test_a_size_that_is_a_mean_over_the_enrolled_is_refused_with_the_same_size_where_the_shape_is_1(tmp_path):
    calls = []
    mean = with_effect(mean_points=0.5)
    with pytest.raises(DeclarationError, match=r"endpoints\.score\.effects\.active\.mean_points") as told:
        whom_to_enroll(mean, out=tmp_path, progress=lambda *told: calls.append(told), **QUICK)
    assert calls == []
    points = float(str(told.value).partition("points = ")[2].split()[0])
    same = funnel(with_effect(points=points), tables_of(mean), "score", None)
    assert same.effect == pytest.approx(0.5, abs=0.005)  # 4 standard errors of a share of a million, and of 2,048 of each of 344 rows
    assert points > 0.55  # as the mean itself it would not do


def test_a_shape_or_design_with_such_a_size_is_refused_too(tmp_path):
    mean = {"endpoints.score.effects.active": {"kind": "threshold", "cut": 2.0, "mean_points": 0.5}}
    for asked in ({"shapes": {"one": {"set": mean}}, "designs": {}}, {"designs": {"other": {"set": mean}}, "shapes": {}}):
        with pytest.raises(DeclarationError, match="mean over those enrolled"):
            whom_to_enroll(marked(enrollment=ASKED | asked), out=tmp_path, **QUICK)


def test_an_effect_that_is_the_same_in_all_may_be_a_mean(tmp_path):
    score = {"kind": "continuous", "effects": {"active": {"kind": "constant", "mean_points": 0.7}}}
    plain = marked(endpoints={"score": score}, enrollment=None, costs=None, recruitment=None)
    found = whom_to_enroll(plain, {"eligibility.0.at_least": [2.0, 0.0]}, analysis="t_test", power=0.5, out=tmp_path, **QUICK)
    assert found.values == (0.0, 2.0)  # neighbors are neighbors: numbers are put in order
    assert [choice.value for choice in found.shapes[0].choices] == [0.0, 2.0]


def test_the_effect_shown_is_that_of_the_arm_and_week_that_are_analyzed():
    arms = {"low": {"kind": "threshold", "cut": 2.0, "points": 2.0}, "high": {"kind": "threshold", "cut": 2.0, "points": 4.0, "time_constant": 4.0}}
    course = {"change": -8.0, "at_week": 8, "time_constant": 4.0, "score_sd": 8.0}
    score = {"kind": "scale", "scale": "MADRS", "weeks": [4, 8], "baseline": {"mean": 29.0, "sd": 5.0}, "control_course": course, "effects": arms}
    score["correlation"] = {"kind": "unstructured", "values": [[1.0, 0.5, 0.5], [0.5, 1.0, 0.7], [0.5, 0.7, 1.0]]}
    design = {"kind": "fixed", "n_patients": 60, "arms": ["placebo", "low", "high"], "allocation": {"kind": "blocks", "block_size": 3}}
    scenario = marked(endpoints={"score": score}, design=design, enrollment=None)
    first, high, early = (funnel(scenario, tables_of(scenario), "score", None, *which) for which in ((), ("high",), ("high", 4.0)))
    above = 1 - first.below
    assert first.effect == pytest.approx(2.0 * above, rel=1e-9)
    assert high.effect == pytest.approx(4.0 * above * -np.expm1(-2.0), rel=1e-9)
    assert early.effect == pytest.approx(4.0 * above * -np.expm1(-1.0), rel=1e-9)


def test_a_design_that_redefines_the_declared_analysis_is_left_out_when_another_is_asked_about(tmp_path):
    analyses = MARKED["analyses"] | {"other": {"kind": "t_test", "endpoint": "score", "alpha": 0.1}}
    above = {"label": "tested above 2", "set": {"analyses.t_test": {"kind": "t_test", "endpoint": "score", "where": "crp >= 2"}}}
    asked = ASKED | {"designs": {"above": above, "as_declared": {}}, "shapes": {}, "over": {"eligibility.0.at_least": [1.0, 2.0]}}
    found = whom_to_enroll(marked(analyses=analyses, enrollment=asked), analysis="other", power=0.5, out=tmp_path, **QUICK)
    assert [design.name for design in found.shapes[0].designs] == ["as declared"]
    assert "Left out: tested above 2" in " ".join(found.summary().split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"over": {"design.n_patients": [100, 200]}}, "is what is searched for"),
        ({"power": 0.02}, "reached without any effect"),
        ({"precision": 0.0}, "precision must lie between 0 and 1"),
        ({"most": 2}, "largest number of at least 4"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, arguments, words):
    with pytest.raises(SimtrialsError, match=words):
        whom_to_enroll(marked(), out=tmp_path, **(QUICK | arguments))


def test_a_later_path_does_not_change_the_value_that_an_earlier_one_set():
    raw, value = {}, dict(CONSTANT)
    set_at(raw, "effects.active", value)
    set_at(raw, "effects.active.points", 9.0)
    assert raw["effects"]["active"]["points"] == 9.0
    assert value == CONSTANT


def test_the_error_of_a_cost_is_that_of_the_number_times_the_price_of_a_patient():
    scenario = marked()
    made = funnel(scenario, tables_of(scenario), "score", None)
    error = 5.0
    width = norm.ppf(0.975) * error
    takes = takes_of(scenario, made, Found(200, 200 - width, 200 + width, 0.8, 0.01, 0, ()))
    assert 0 < made.mcse < 0.001
    screened = 200 / made.pass_rate * made.mcse / (made.pass_rate - made.mcse)
    assert takes.screened.mcse == pytest.approx(np.hypot(error / made.pass_rate, screened), rel=1e-6)
    assert takes.cost.mcse == pytest.approx(np.hypot(error * (400 + 60 / made.pass_rate), 60 * screened), rel=1e-6)
    assert takes.cost.mcse < takes.cost.value * error / 200  # what is fixed has no error


def test_the_error_of_the_pass_rate_is_that_of_other_candidates():
    makes = [funnel(marked(seed=seed), tables_of(marked()), "score", None) for seed in range(1, 9)]
    spread = np.std([made.pass_rate for made in makes], ddof=1)
    assert 0.28 < spread / makes[0].mcse < 2.0  # a chi of 7 degrees of freedom leaves these limits in fewer than 1 of 1,000


def test_excess_over_the_best_has_the_error_of_both():
    costs = [120.0, 100.0, 104.0]
    choices = []
    for i, cost in enumerate(costs):
        one = choice_costing(i, cost)
        spread = Spread(cost, cost, cost, 0.02 * cost)
        choices.append(type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"takes": type(one.takes)(spread, spread, spread, 0.0)}))
    best = UnderShape("one", "one", tuple(choices), ()).best("cost")
    rng = np.random.default_rng(4)
    drawn = np.array(costs)[:, np.newaxis] * (1 + 0.02 * rng.standard_normal((3, 40_000)))
    ratios = drawn / drawn[1]
    assert best.mcse[1] == 0.0
    for i in (0, 2):
        assert best.mcse[i] == pytest.approx(ratios[i].std(), rel=0.02)  # 1 SE of an SD from 40,000 is 0.4%; the delta method leaves 0.1%
    scenario = marked()

    class Asked:
        """What the sentence looks at."""

        path, objective = "eligibility.0.at_least", "cost"

    Asked.scenario = scenario
    assert "(at most 4 ± 6% above it)" in flatness(Asked, best)


def test_effects_on_yes_or_no_endpoints_are_named_log_odds_ratios():
    endpoint = Binary(control_risk=0.3)
    assert effect_unit(endpoint) == "log odds ratio"
    assert effect_unit(marked().endpoints["score"]) != "log odds ratio"


def test_a_curve_over_a_rule_says_that_a_mean_effect_is_held(tmp_path):
    values = {"eligibility.0.at_least": [0.0, 4.0]}
    held, free = (
        " ".join(power_curve(with_effect(**size), values, n_replicates=256, n_jobs=1, out=tmp_path).summary().split())
        for size in ({"mean_points": 0.5}, {"points": 0.5})
    )
    assert "the drug changes with who is enrolled" in held
    assert "the drug changes" not in free
    sizes = {"design.n_patients": [60, 80]}
    assert "the drug changes" not in power_curve(with_effect(mean_points=0.5), sizes, n_replicates=256, n_jobs=1, out=tmp_path).summary()
    moved = sensitivity(with_effect(mean_points=0.5), values, n_replicates=256, n_jobs=1, out=tmp_path)
    assert "the drug changes with who is enrolled" in " ".join(moved.summary().split())
