"""Type I error: without an effect every test of the flagship rejects as often as it should.

Severity and anhedonia: least squares of rounded scores, nominal level. Response and remission: the pooled z test looks at a table of counts, so its
level is not .05 but that of enumeration, at the exact probability of the event. Blocks within strata let the arms differ by a few patients, over
which the enumeration is averaged; the strata (sex, CRP) foretell nothing in this scenario, so that blocking them leaves the level as it is.
Logistic regression: Wald's test has its nominal level in large trials only, and no exact level is known with a covariate that is a number.
"""

import numpy as np
import pytest
from statistical.exact import madrs
from statistical.helpers import (
    Check,
    Found,
    assert_agrees,
    enough_to_see,
    madrs_endpoint,
    prepared,
    rejection,
    seed_of,
    simulate,
    standard_error_under,
    trial,
)

from simtrials.engine.files import read
from simtrials.engine.result import Run
from simtrials.stats import closed_form

SEEN = 0.88
"""The others stop at random, which counts as failure."""
RISKS = {name: SEEN * risk for name, risk in zip(("response", "remission"), madrs(11.0).both(), strict=True)}
LONGER = 100_000


def enumerated_level(risk: float) -> float:
    """Level of the pooled z test, averaged over the sizes of the arms."""
    arms = prepared(read("next_trial")).trials(0).data.arm
    sizes, counts = np.unique((arms == 1).sum(axis=1), return_counts=True)
    levels = [closed_form.enumerated_power(closed_form.pooled_z_rejection(int(n), arms.shape[1] - int(n)), risk, risk) for n in sizes]
    return float(np.average(levels, weights=counts))


@pytest.mark.parametrize("analysis", ["severity", "anhedonia", "response_logistic"])
def test_a_test_of_the_flagship_has_its_nominal_level(flagship: Run, analysis: str):
    found = flagship.measure(analysis, "rejection", "null")
    assert abs(found.value - 0.05) < 4 * standard_error_under(0.05, found.n_replicates)
    assert flagship.measure(analysis, "not_estimable", "null").value == 0


@pytest.mark.parametrize("analysis", RISKS)
def test_a_test_of_counts_has_the_level_of_enumeration(flagship: Run, analysis: str):
    found, exact = flagship.measure(analysis, "rejection", "null"), enumerated_level(RISKS[analysis])
    assert abs(found.value - exact) < 4 * standard_error_under(exact, found.n_replicates)
    assert 0.045 < exact < 0.055


def test_half_of_the_false_rejections_are_in_the_direction_of_benefit(flagship: Run):
    for analysis in flagship.scenario.analyses:
        found = flagship.measure(analysis, "power", "null")
        assert abs(found.value - 0.025) < 4 * standard_error_under(0.025, found.n_replicates)


def longer() -> Found:
    """100,000 trials without effect, the two symptom outcomes only."""
    whole = read("next_trial").null()
    symptoms = {name: whole.analyses[name] for name in ("severity", "anhedonia")}
    return simulate(whole.model_copy(update={"analyses": symptoms, "patterns": {}, "seed": seed_of("levels")}), LONGER)


def test_the_level_of_the_symptom_tests_holds_over_a_hundred_thousand_trials():
    assert enough_to_see(0.05, wrong=0.056) <= LONGER
    for found in longer().judged.values():
        assert abs(found.rejected.mean() - 0.05) < 4 * standard_error_under(0.05, LONGER)


def lattice() -> Check:
    """Where .464 respond in two arms of 100 the pooled z test rejects too often, because tables on the border of rejection are likely ones."""
    risk = madrs(13.5).response()
    exact = float(closed_form.enumerated_power(closed_form.pooled_z_rejection(100, 100), risk, risk))
    words = "pooled z of response without effect, placebo fall 13.5, 100 + 100"
    analyses = {"test": {"kind": "risk_difference", "outcome": "response", "interval": "wald"}}
    scenario = trial("level 13.5", madrs_endpoint(13.5, 0.0), analyses, 200).null()
    return Check("level 13.5", words, scenario, rejection(), exact, "enumeration", {"nominal level": 0.05}, 0.05)


LATTICE = lattice()


def test_the_pooled_test_rejects_more_than_its_nominal_level_where_enumeration_says_so():
    assert LATTICE.exact > 0.055
    assert_agrees(LATTICE)
