"""The rows of trial_cases.csv, simulated: each test as the package runs it, against the exact power of that same test.

A published power is often that of a formula. The simulation is judged against the exact value, which for the pooled z test, for interactions with
random markers and for responders cut from a scale is not the formula's. The rows are in cases_*.py, the results in docs/validation.md.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from statistical import cases_ancova, cases_biomarker, cases_means, cases_proportions
from statistical.cases_ancova import RHOS, four_analyses
from statistical.helpers import FEWEST, Check, assert_agrees, enough_to_see, prepared, rejection, simulate, simulate_power, standard_error_under

from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.truth import truths
from simtrials.stats import closed_form

with (Path(__file__).parents[1] / "reference" / "trial_cases.csv").open(newline="", encoding="utf-8") as file:
    CASES = {row["id"]: row for row in csv.DictReader(file)}

ROWS = [*cases_means.ROWS, *cases_proportions.ROWS, *cases_ancova.ROWS, *cases_biomarker.ROWS]
LEFT_OUT = cases_means.LEFT_OUT | cases_ancova.LEFT_OUT
"""Rows that the parts of the package cannot express as a simulation, and why."""


@pytest.mark.parametrize("check", ROWS, ids=lambda check: check.name)
def test_a_row_simulated_agrees_with_its_exact_value_and_no_wrong_version_does(check: Check):
    assert_agrees(check)


def test_every_row_of_the_groups_t_b_a_i_is_simulated_or_listed():
    wanted = {row for row in CASES if re.fullmatch(r"[TBAI]\d+\w*", row)}
    simulated = {check.name.split()[0] for check in ROWS}
    assert simulated | LEFT_OUT.keys() == wanted
    assert not simulated & LEFT_OUT.keys()


@pytest.fixture(scope="module", params=RHOS)
def powers(request: pytest.FixtureRequest) -> tuple[float, dict[str, float]]:
    """Row A07: the correlation of baseline and end, and the simulated power of the four analyses."""
    found = simulate(four_analyses(request.param), FEWEST)
    return request.param, {name: rejection(name)(found) for name in found.judged}


SEEN = 4 * np.sqrt(0.5 / FEWEST)
"""4 standard errors of a difference of two powers, at most."""


def test_ancova_has_the_highest_power_and_change_beats_the_end_score_only_above_a_correlation_of_a_half(powers: tuple[float, dict[str, float]]):
    rho, found = powers
    assert found["ancova"] > max(found["change"], found["post"]) - SEEN
    if rho != 0.5:
        assert (found["change"] - found["post"] > SEEN) == (rho > 0.5)


def test_percent_change_has_less_power_than_change_and_up_to_a_correlation_of_a_half_the_lowest_of_all(powers: tuple[float, dict[str, float]]):
    rho, found = powers
    assert found["percent"] < found["change"]
    assert (found["percent"] < found["post"]) == (rho <= 0.5)


def test_marginal_ratios_of_b17_follow_from_patients_sent_to_each_arm():
    scenario = next(check.scenario for check in ROWS if check.name == "B17")
    found = truths(scenario, prepared(scenario).trial)
    risks = closed_form.marginal_effects(-1, 1, 2)
    for kind, value, at_mean in (("risk_ratio", risks.risk_ratio, 0.5 / expit(-1)), ("odds_ratio", risks.odds_ratio, np.e)):
        on, off = found[f"{kind} on"], found[f"{kind} off"]
        std_error = np.hypot(on.std_error, off.std_error)
        assert abs(on.value - off.value - np.log(value)) < 4 * std_error
        assert abs(np.log(at_mean / value)) > 8 * std_error


@pytest.mark.parametrize("row", ["T01", "T03", "T04b", "T08", "B01", "B03", "B05", "B07", "B07 bad event", "B11 525", "B09 1:3", "A05"])
def test_the_closed_form_that_a_run_reports_is_the_exact_value_of_the_row(row: str):
    check = next(check for check in ROWS if check.name == row)
    stated = closed_form_power(check.scenario, "test")
    assert stated is not None
    assert abs(stated["power"] - check.exact) < 1e-5  # groups T and A count both tails, a run those in the direction of benefit


def test_a_wrong_version_that_would_take_too_many_replicates_is_refused():
    with pytest.raises(ValueError, match="replicates are needed"):
        enough_to_see(0.8, wrong=0.801)


def test_replicates_come_in_whole_blocks_and_put_the_wrong_version_eight_standard_errors_away():
    n = enough_to_see(0.8, wrong=0.79)
    assert n % 256 == 0
    assert 8 * standard_error_under(0.8, n) <= 0.01 < 8 * standard_error_under(0.8, n - 256)


def test_the_measured_power_counts_rejections_in_the_direction_of_benefit():
    check = cases_means.ROWS[0]
    measure = simulate_power(check.scenario, "test", 1024)
    assert measure.value == simulate(check.scenario, 1024)["test"].benefit.mean()
    assert measure.n_replicates == 1024
