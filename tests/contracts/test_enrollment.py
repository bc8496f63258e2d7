"""Whom to enroll: screening against the simulator and the survey's design, numbers against closed form, money by hand, faults before any work."""

import numpy as np
import pytest
from contracts.test_cli import call
from double.survey_design import standard_error_of_share
from double.table_power import z_power

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.files import find_scenario, read, read_table, scenario_from, tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.run import ready
from simtrials.planning.enrollment import whom_to_enroll
from simtrials.planning.enrollment_result import Choice, UnderShape
from simtrials.planning.funnel import Funnel, funnel
from simtrials.planning.futures import FUTURES, Spread, Takes
from simtrials.planning.points import Share
from simtrials.planning.saw_tooth import SawTooth
from simtrials.planning.search import Found
from simtrials.stats.closed_form import t_test_sample_size
from simtrials.stats.survey import rescaled_bootstrap

CONSTANT = {"kind": "constant", "points": 0.7}
MARKED = {
    "name": "marked",
    "seed": 7,
    "n_replicates": 512,
    "population": {
        "kind": "resampled",
        "data": "nhanes_2017_2018",
        "where": "phq9_total >= 10 and 18 <= age_years <= 65",
        "weights": "survey_weight",
    },
    "assays": {"crp": {"kind": "serial", "observed": "crp_mg_l", "resolution": 0.1, "limit_of_detection": 0.15, "rule": "mean"}},
    "eligibility": [{"variable": "crp", "at_least": 2.0, "at_most": 10.0}],
    "design": {"kind": "fixed", "n_patients": 60, "allocation": {"kind": "blocks", "block_size": 2}},
    "endpoints": {"score": {"kind": "continuous", "effects": {"active": {"kind": "threshold", "cut": 2.0, "points": 0.9}}}},
    "analyses": {"t_test": {"kind": "t_test", "endpoint": "score"}},
    "costs": {"currency": "EUR", "fixed": 1000.0, "per_screen": 50.0, "per_sample": 10.0, "per_patient": 400.0},
    "recruitment": {"sites": 5, "screened_per_site_month": 4.0, "site_cv": 0.0},
    "enrollment": {
        "over": {"eligibility.0.at_least": [0.0, 2.0, 4.0]},
        "analysis": "t_test",
        "power": 0.8,
        "budget": 60000.0,
        "survey": {"strata": "survey_stratum", "clusters": "survey_psu"},
        "shapes": {
            "threshold": {"set": {"endpoints.score.effects.active": {"kind": "threshold", "cut": 2.0, "points": 0.9}}},
            "constant": {"label": "the same in all", "set": {"endpoints.score.effects.active": CONSTANT}},
        },
        "designs": {"all_comers": {"set": {"eligibility.0.at_least": 0.0}}, "enriched": {}},
    },
}


def marked(**changes):
    return scenario_from(MARKED | changes)


def answer(choice):
    """What a search found, as a value that can be compared."""
    found = choice.found
    return found.n, found.lower, found.upper, found.looks


def asking(**changes):
    return marked(enrollment=MARKED["enrollment"] | changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("enrolled")


@pytest.fixture(scope="module")
def found(place):
    return whom_to_enroll(marked(), n_replicates=1024, precision=0.05, n_jobs=1, out=place)


@pytest.mark.parametrize(("low", "published"), [(2.0, 0.044), (3.0, 0.051), (10.0, 0.020)])
def test_bootstrap_of_clusters_has_the_standard_error_of_the_survey_design(low, published):
    data = {name: np.asarray(column) for name, column in read_table("nhanes_2017_2018").columns.items() if isinstance(column, np.ndarray)}
    part = (data["phq9_total"] >= 10) & (data["age_years"] >= 18) & (data["age_years"] <= 65) & np.isfinite(data["crp_mg_l"])
    above = np.nan_to_num(data["crp_mg_l"]) >= low
    linearised = standard_error_of_share(data["survey_weight"], above, part, data["survey_stratum"], data["survey_psu"])
    assert linearised == pytest.approx(published, abs=0.0006)
    n = 4_000
    boot = rescaled_bootstrap(data["survey_weight"], data["survey_stratum"], data["survey_psu"], n, np.random.default_rng(3))
    together = rescaled_bootstrap(data["survey_weight"], np.zeros(part.size), data["survey_psu"], n, np.random.default_rng(3))
    assert abs((together[:, part] @ above[part] / together[:, part].sum(axis=1)).std() / linearised - 1) > 0.15  # without strata: another survey
    assert boot.mean(axis=0) == pytest.approx(data["survey_weight"], rel=4 / np.sqrt(n))
    shares = boot[:, part] @ above[part] / boot[:, part].sum(axis=1)
    assert shares.std() == pytest.approx(linearised, rel=4 / np.sqrt(2 * n) + 0.02)  # the ratio is not quite linear in its totals


def test_a_stratum_with_one_cluster_is_kept():
    boot = rescaled_bootstrap(np.ones(4), np.array([1, 1, 2, 2]), np.array([1, 1, 1, 2]), 50, np.random.default_rng(1))
    assert (boot[:, :2] == 1).all()
    assert set(np.unique(boot[:, 2:])) == {0.0, 2.0}
    assert (boot[:, 2:].sum(axis=1) == 2).all()


def test_screening_agrees_with_the_simulator():
    scenario = marked()
    tables = tables_of(scenario)
    made = funnel(scenario, tables, "score", scenario.enrollment.survey)
    trial = ready(scenario, tables).trial
    drawn = portrait(scenario, trial)
    n = drawn["n_trials"] * 60
    assert made.pass_rate == pytest.approx(trial.pass_rate, abs=4 * np.sqrt(0.25 / 350_000))
    assert made.effect == pytest.approx(drawn["endpoints"]["score"]["effects"]["active"]["mean_enrolled"], abs=4 * 0.9 * np.sqrt(0.16 / n))
    usual, error = drawn["assays"]["crp"]["usual_at_least"]
    assert 1 - made.below == pytest.approx(usual, abs=4 * error)
    assert made.effect == pytest.approx(0.9 * (1 - made.below), rel=1e-12)
    assert made.effect_if_known == pytest.approx(0.9, rel=1e-12)
    assert made.pass_rates.shape == (1000,)
    assert 0.01 < made.pass_rates.std() < 0.05


@pytest.mark.parametrize(("shape", "everybody"), [("emax", 0.29), ("threshold", 0.23), ("crossover", 0.07)])
def test_shapes_of_the_shipped_scenario_mean_what_the_calibration_says(shape, everybody):
    changes = read("whom_to_enrol").enrollment.shapes[shape].set
    found = {}
    for low, high in ((2.0, 10.0), (0.0, 300.0)):
        scenario = read("whom_to_enrol", changes | {"eligibility.0.at_least": low, "eligibility.0.at_most": high})
        constant = {"kind": "constant", "smd": 1.0, "smd_sd": "change", "at_week": 8, "time_constant": 4.0}
        sd = ready(read("whom_to_enrol", {"endpoints.madrs.effects.active": constant}), tables_of(scenario)).trial.effects["madrs"][0].size
        found[low] = funnel(scenario, tables_of(scenario), "madrs", None).effect / sd
    assert found[2.0] == pytest.approx(0.35, abs=0.005)
    assert found[0.0] == pytest.approx(everybody, abs=0.01)


def test_several_samples_let_fewer_in_by_mistake():
    below = []
    for samples in (1, 2, 3):
        scenario = marked(assays={"crp": MARKED["assays"]["crp"] | {"samples": samples}})
        below.append(funnel(scenario, tables_of(scenario), "score", None).below)
    assert below[0] > below[1] > below[2]


def test_the_number_is_that_of_the_closed_form_and_its_price_is_the_sum(found):
    constant = next(shape for shape in found.shapes if shape.name == "constant")
    exact = 2 * t_test_sample_size(0.7, power=0.8).n_active_exact
    for choice in constant.choices:
        assert choice.found.lower - 2 < exact <= choice.found.upper  # in steps of 2
        n = choice.found.n
        screened = n / choice.funnel.pass_rate
        assert choice.takes.screened.value == pytest.approx(screened)
        assert choice.takes.cost.value == pytest.approx(1000 + 400 * n + 60 * screened)
        assert choice.takes.screening_cost == pytest.approx(60 * screened)
        assert choice.takes.months.value == pytest.approx(screened / 20, rel=4 / np.sqrt(FUTURES))
        for spread in (choice.takes.screened, choice.takes.cost):
            assert spread.lower < spread.value < spread.upper
    threshold = found.shapes[0]
    assert [choice.found.n for choice in threshold.choices] == sorted((choice.found.n for choice in threshold.choices), reverse=True)


def test_the_range_of_screened_holds_both_the_survey_and_chance(found, place):
    plain = whom_to_enroll(asking(survey=None), n_replicates=1024, precision=0.05, n_jobs=1, out=place)
    for with_survey, without in zip(found.shapes[0].choices[1:], plain.shapes[0].choices[1:], strict=True):
        assert answer(without) == answer(with_survey)
        width, known = (choice.takes.screened.upper - choice.takes.screened.lower for choice in (with_survey, without))
        survey = 2 * 1.96 * with_survey.takes.screened.value * with_survey.funnel.pass_rates.std() / with_survey.funnel.pass_rate
        assert width == pytest.approx(np.hypot(known, survey), rel=4 * 0.03)  # 3%: error of the width between two quantiles of 2,000, twice
        assert width > known
    assert "taken as known" in " ".join(plain.summary().split())


def test_the_budget_buys_the_largest_number_that_it_pays_for(found, place):
    for shape in found.shapes:
        for choice in shape.choices:
            each = 400 + 60 / choice.funnel.pass_rate
            assert 1000 + each * choice.affordable <= 60000 < 1000 + each * (choice.affordable + 2)
    tight = whom_to_enroll(asking(budget=1200.0), n_replicates=256, precision=0.05, n_jobs=1, out=place)
    assert tight.shapes[0].choices[0].bought is None


def test_a_design_that_is_a_value_too_has_the_same_answer(found):
    for shape in found.shapes:
        assert answer(shape.designs[0]) == answer(shape.choices[0])
        assert answer(shape.designs[1]) == answer(shape.choices[1])


def test_any_number_of_workers_finds_the_same(found, tmp_path):
    calls = []
    again = whom_to_enroll(marked(), n_replicates=1024, precision=0.05, n_jobs=2, out=tmp_path, progress=lambda *told: calls.append(told))
    assert again.to_dict() == found.to_dict()
    assert calls[-1] == ("as declared", 10, 10)


def test_asking_again_simulates_nothing_and_says_the_same(found, place):
    calls = []
    again = whom_to_enroll(marked(), n_replicates=1024, precision=0.05, n_jobs=1, out=place, progress=lambda *told: calls.append(told))
    assert calls == []
    assert again.to_dict() == found.to_dict()
    dear = marked(costs=MARKED["costs"] | {"per_screen": 500.0})
    priced = whom_to_enroll(dear, n_replicates=1024, precision=0.05, n_jobs=1, out=place, budget=200_000.0)
    assert [answer(choice) for choice in priced.shapes[0].choices] == [answer(choice) for choice in found.shapes[0].choices]
    assert priced.shapes[0].best("cost").choice.takes.cost.value > found.shapes[0].best("cost").choice.takes.cost.value


def choice_costing(value, cost):
    spread = Spread(cost, cost, cost)
    takes = None if np.isnan(cost) else Takes(spread, spread, spread, 0.0)
    made = Funnel(0.5, np.empty(0), None, 1.0, 1.0, np.empty(0))
    return Choice(str(value), value, "t_test", made, {}, Found(10, 10, 10, 0.8, 0.01, 0, ()), takes, 10, Share(500, 1000))


@pytest.mark.parametrize(
    ("costs", "best", "near"),
    [([150, 104, 100, 104.9, 106], 2, [1, 2, 3]), ([100, 120, 101, 130, 102], 0, [0]), ([np.nan, 200, 100, 100.5, np.nan], 2, [2, 3])],
)
def test_near_the_best_are_neighbors_within_five_percent(costs, best, near):
    shape = UnderShape("one", "one", tuple(choice_costing(i, cost) for i, cost in enumerate(costs)), ())
    found = shape.best("cost")
    assert found.choice.value == best
    assert [choice.value for choice in found.near] == near


def test_nothing_is_best_where_nothing_is_possible():
    shape = UnderShape("one", "one", (choice_costing(0, np.nan), choice_costing(1, np.nan)), ())
    assert shape.best("cost") is None


def test_the_robust_value_has_the_smallest_largest_excess(found):
    value, excess, error = found.robust()
    assert error >= 0
    worst = np.max([shape.best("cost").excess for shape in found.shapes], axis=0)
    assert excess == worst.min()
    assert value == found.values[int(worst.argmin())]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"analysis": "t_tst"}, "did you mean 't_test'"),
        ({"over": {"eligibility.0.at_least": [1.0]}}, "at least two different values"),
        ({"over": {"eligibility.0.at_least": [1.0, 2.0], "eligibility.0.at_most": [5.0, 9.0]}}, "must name one field"),
        ({"designs": {"other": {"analysis": "anova"}}}, "no analysis called 'anova'"),
    ],
)
def test_faults_of_the_declaration_are_told_when_it_is_read(changes, words):
    with pytest.raises(DeclarationError, match=words):
        asking(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"over": {"eligibility.0.at_least": [2.0, 10.04]}}, "eligibility.0.at_least = 10.04"),
        ({"survey": {"strata": "survey_strata", "clusters": "survey_psu"}}, "did you mean 'survey_stratum'"),
        ({"shapes": {"odd": {"set": {"endpoints.score.effects.active.cut": -1.0}}}}, "cut"),
        ({"over": {"design.nobody": [1, 2]}}, "nobody"),
    ],
)
def test_faults_of_values_and_shapes_are_told_before_anything_is_simulated(tmp_path, changes, words):
    calls = []
    with pytest.raises(SimtrialsError, match=words):
        whom_to_enroll(asking(**changes), n_jobs=1, out=tmp_path, progress=lambda *told: calls.append(told))
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": -1.0}, "must be above 0"),
        ({"power": 1.5}, "between 0 and 1"),
        ({"over": {"eligibility.0.at_least": [1.0, 1.0]}}, "two different values"),
        ({"analysis": "x"}, "no analysis called 'x'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, arguments, words):
    with pytest.raises(SimtrialsError, match=words):
        whom_to_enroll(marked(), n_jobs=1, out=tmp_path, **arguments)


def test_a_scenario_that_does_not_say_what_is_asked_needs_the_analysis_only(tmp_path):
    plain = marked(enrollment=None, costs=None, recruitment=None)
    with pytest.raises(SimtrialsError, match="name the analysis"):
        whom_to_enroll(plain, n_jobs=1, out=tmp_path)
    small = whom_to_enroll(plain, analysis="t_test", over={"assays.crp.samples": [1, 2]}, n_replicates=256, precision=0.1, n_jobs=1, out=tmp_path)
    assert small.objective == "screened"
    assert "screening samples of CRP" in " ".join(small.summary().split())


def test_the_command_writes_a_page_that_stands_alone(tmp_path):
    scenario = find_scenario("whom_to_enrol")
    words = ("enroll", scenario, "--over", "eligibility.0.at_least=2.0,4.0", "--precision", "0.2", "--budget", "5000000")
    kept = ["--set", 'enrollment.shapes={one={label="gradual",set={}}}', "--set", "enrollment.designs={}"]
    done = call(*words, *kept, "--power", "0.3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines() if "report" not in line) <= 80
    folder = tmp_path / "results" / "points" / "whom_to_enrol-enroll"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Which lowest CRP" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
    assert "simtrials enroll" in page
    assert not [word for word in (">nan", ">None", "nan ") if word in page]
    assert (folder / "enrollment.csv").is_file()
    assert (folder / "trade-off.png").is_file()


def test_of_a_yes_or_no_outcome_the_number_is_that_from_which_on_the_power_holds(tmp_path):
    """Risks of 20 against 50% in everybody: the exact number by an enumeration of all tables."""
    odds = {"kind": "constant", "log_odds_ratio": float(np.log(4.0))}
    endpoints = {"healed": {"kind": "binary", "control_risk": 0.2, "event_is": "good", "effects": {"active": odds}}}
    analyses = {"score": {"kind": "risk_difference", "endpoint": "healed"}}
    asked = {"over": {"eligibility.0.at_least": [0.0, 2.0]}, "analysis": "score", "power": 0.8}
    scenario = marked(endpoints=endpoints, analyses=analyses, enrollment=asked)
    made = whom_to_enroll(scenario, n_replicates=1024, precision=0.03, n_jobs=1, out=tmp_path)
    reached = [n for n in range(60, 100, 2) if z_power(n // 2, 0.5, 0.2, True) >= 0.8]
    exact = next(n for n in reached if all(m in reached for m in range(n, 100, 2)))
    for choice in made.shapes[0].choices:
        assert isinstance(choice.found.line, SawTooth)
        assert choice.found.lower <= exact <= choice.found.upper
    assert "from which on the target holds" in " ".join(made.summary().split())
