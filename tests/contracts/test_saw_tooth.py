"""Teeth of power: exact power by every analysis' own test on tables, and the number from which on the target holds."""

import numpy as np
import pytest
from double.table_power import fisher_power, z_power
from scipy.special import ndtr

from simtrials.engine.files import scenario_from
from simtrials.engine.workers import Workers
from simtrials.inference.analyses import BayesianRisks, FisherExact, OddsRatio, RiskDifference, RiskRatio
from simtrials.inference.analyses.tables import OfTables
from simtrials.planning.points import Points
from simtrials.planning.sample_size import sample_size
from simtrials.planning.saw_tooth import with_teeth
from simtrials.planning.table_power import LARGEST_ARM, SMOOTHED, Seen, TablePower, arm_sizes, power_of_tables, powers_by_bounds, teeth_of, words_of
from simtrials.stats.closed_form import exact_proportions_sample_size
from simtrials.stats.counts import EventCounts

ANALYSES = [
    FisherExact(endpoint="event"),
    FisherExact(endpoint="event", mid_p=True, one_sided_alpha=0.025),
    RiskDifference(endpoint="event"),
    RiskDifference(endpoint="event", test="wald"),
    RiskDifference(endpoint="event", test="miettinen_nurminen"),
    RiskRatio(endpoint="event"),
    OddsRatio(endpoint="event", test="score"),
    BayesianRisks(endpoint="event", probability=0.975),
]


def trial(allocation, **changes):
    return scenario_from(
        {
            "name": "two_risks",
            "seed": 11,
            "design": {"kind": "fixed", "n_patients": 60, "allocation": allocation},
            "endpoints": {"event": {"kind": "binary", "control_risk": 0.45, "effects": {"active": {"kind": "constant", "risk": 0.8}}}},
            "analyses": {"score": {"kind": "risk_difference", "endpoint": "event"}, "exact": {"kind": "fisher_exact", "endpoint": "event"}},
        }
        | changes
    )


IN_ORDER = [(analysis, sign) for analysis in ANALYSES for sign in (1, -1) if not (isinstance(analysis, RiskRatio) and sign < 0)]


@pytest.mark.parametrize(("analysis", "sign"), IN_ORDER, ids=lambda one: str(getattr(one, "method", one)))
def test_halving_finds_the_power_of_all_tables(analysis, sign):
    assert isinstance(analysis, OfTables)
    risks = (0.7, 0.4) if sign > 0 else (0.3, 0.6)
    sizes = [(20, 20), (31, 17), (40, 60)]
    found = powers_by_bounds(analysis, sizes, risks, sign)
    np.testing.assert_allclose(found, [power_of_tables(analysis, pair, risks, sign) for pair in sizes], atol=2e-5)
    against = powers_by_bounds(analysis, sizes, risks, -sign)
    assert max(against) < 0.02 < min(found)


def test_where_fewer_events_can_take_a_benefit_away_all_tables_are_tested():
    """Without any event under active there is no log risk ratio, so that no benefit is shown."""
    size = np.full(4, 20.0)
    counts = EventCounts(np.full(4, 2.0), size, np.full(4, 10.0), size)
    teeth = TablePower(RiskRatio(endpoint="event"), lambda n: Seen(40, counts, -1))
    whole = power_of_tables(teeth.analysis, (20, 20), (0.1, 0.5), -1)
    assert ndtr(teeth.probits(np.array([40])))[0] == pytest.approx(whole, abs=1e-9)
    assert powers_by_bounds(teeth.analysis, [(20, 20)], (0.1, 0.5), -1)[0] != pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize(
    ("analysis", "twin"),
    [
        (ANALYSES[0], fisher_power),
        (ANALYSES[2], lambda *design: z_power(*design, True)),
        (ANALYSES[3], lambda *design: z_power(*design, False)),
    ],
)
def test_exact_power_is_that_of_the_definition(analysis, twin):
    for n in (12, 35):
        assert power_of_tables(analysis, (n, n), (0.75, 0.4), 1) == pytest.approx(twin(n, 0.75, 0.4), abs=2e-5)


@pytest.mark.parametrize(
    ("allocation", "analysis"),
    [
        ({"kind": "blocks", "block_size": 2}, {}),
        ({"kind": "complete"}, {}),
        ({"kind": "blocks", "block_size": 2}, {"where": "age >= 50"}),
    ],
    ids=["blocks", "coins", "subgroup"],
)
def test_exact_power_over_the_numbers_by_arm_is_the_simulated_one(allocation, analysis, tmp_path):
    population = {"kind": "gaussian_copula", "covariates": {"age": {"kind": "normal", "mean": 50.0, "sd": 10.0}}}
    score = {"kind": "risk_difference", "endpoint": "event"} | analysis
    scenario = trial(allocation, analyses={"score": score}, **({"population": population} if analysis else {}))
    points = Points.of(scenario, tmp_path, Workers(1, "serial", None, None))
    teeth = teeth_of(points, ["score"], "design.n_patients")
    numbers = np.array([56, 60, 72])
    for n, exact in zip(numbers, ndtr(teeth.probits(numbers)), strict=True):
        share = points.at({"design.n_patients": int(n)}, independent=int(n)).share(["score"], 4096)
        assert abs(share.value - exact) < 4 * np.hypot(share.mcse, 0.01), "0.01: risks are those of 1,024 trials"


def test_the_size_is_that_from_which_on_the_exact_power_stays(tmp_path):
    size = sample_size(trial({"kind": "blocks", "block_size": 2}), "exact", n_jobs=1, out=tmp_path)
    exact = 2 * int(exact_proportions_sample_size(0.8, 0.45, tails="benefit", test="fisher").n_per_arm)
    assert size.found.lower <= exact <= size.found.upper
    assert "saw-toothed" in size.summary()
    assert size.to_dict()["teeth"] == size.teeth
    assert sample_size(trial({"kind": "blocks", "block_size": 2}), "exact", n_jobs=1, out=tmp_path).to_dict() == size.to_dict()


class Steps:
    """Teeth of height 0.3, four numbers long."""

    def probits(self, numbers):
        return 0.3 * (numbers % 8 < 4)


def test_the_answer_is_the_first_number_from_which_on_all_reach_the_target():
    """Line (sqrt(n) - 9.9) / 2: with teeth that are low at the end, the target 0 is passed for good where line and the lowest tooth are."""
    n, of = np.array([80.0, 100.0, 120.0]), np.full(3, 1e9)
    shown = of * ndtr((np.sqrt(n) - 9.9) / 2 + Steps().probits(n))
    found = with_teeth(Steps(), (n, shown, of), 0.0, (95.0, 105.0), (2, 4, 1000))
    line = (np.sqrt(found.numbers) - 9.9) / 2 + Steps().probits(found.numbers)
    np.testing.assert_allclose(found.probits, line, atol=1e-3)
    assert found.n == found.lower == found.upper == max(found.numbers[line < 0]) + 2
    assert line[found.numbers < found.n].max() > 0, "some smaller number reaches the target and is not the answer"


def test_teeth_are_not_looked_for_where_there_are_none_or_they_are_small(tmp_path):
    workers = Workers(1, "serial", None, None)
    scenario = trial({"kind": "blocks", "block_size": 2}, analyses={"logistic": {"kind": "logistic", "endpoint": "event"}})
    assert teeth_of(Points.of(scenario, tmp_path, workers), ["logistic"], "design.n_patients") is None
    assert words_of(None, scenario, ["logistic"]) == SMOOTHED
    size, events = np.full(8, LARGEST_ARM + 1.0), np.full(8, 300.0)
    large = TablePower(ANALYSES[0], lambda n: Seen(n, EventCounts(events, size, events, size), 1))
    assert large.probits(np.array([2 * LARGEST_ARM + 2])) is None
    assert "saw-teeth of power are small" in large.reason


def test_numbers_by_arm_keep_their_spread_around_a_mean_that_is_moved():
    active = np.array([28.0, 30.0, 30.0, 32.0])
    found = arm_sizes(Seen(60, EventCounts(active / 2, active, active / 4, 60 - active), 1), 90)
    assert found == {(43, 47): 1, (45, 45): 2, (47, 43): 1}
