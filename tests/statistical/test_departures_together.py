"""Several departures in one trial: declared rates hold whatever is declared beside them, faults of measurement change no truth, and a null is one."""

import numpy as np
import pytest
from statistical.test_departures import ARMS, ENDPOINT, SEVERITY, block, scenario, standard_error

from simtrials.engine.cells import ready
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.truth import truths
from simtrials.inference.judge import judge

MNAR = {"kind": "dropout", "rate": 0.2, "mechanism": "mnar", "log_odds_per_point": 0.02}
RESCUE = {"kind": "rescue", "rate": {"control": 0.5, "active": 0.4}, "log_odds_per_point": 0.02, "benefit": {"symptoms": 40.0}}
NOISE = {"kind": "rater_noise", "endpoint": "symptoms", "sd": 40.0}
GUESS = {"kind": "unblinding", "endpoint": "symptoms", "share": {"active": 0.7}, "points": 40.0}
STOP = {"kind": "discontinuation", "rate": 0.3, "log_odds_per_point": 0.02}
OTHERS = {"rescue": RESCUE, "noise": NOISE, "guess": GUESS, "stop": STOP}


@pytest.mark.parametrize(
    "names", [("lost", "rescue"), ("lost", "noise"), ("lost", "guess"), ("rescue", "guess"), ("rescue", "noise", "stop", "lost")]
)
def test_rates_hold_whatever_is_declared_later(names):
    """Solved on 32,768 patients of each arm, checked on 51,200 others; a rate solved without the others misses by .04 and more."""
    simulated = block({name: MNAR if name == "lost" else OTHERS[name] for name in names})
    for name in set(names) & {"lost", "rescue", "stop"}:
        declared = (MNAR if name == "lost" else OTHERS[name])["rate"]
        for arm, label in enumerate(ARMS):
            rate = declared[label] if isinstance(declared, dict) else declared
            mask = simulated.data.arm == arm
            error = np.hypot(standard_error(rate, mask.sum()), standard_error(rate, 32_768))
            assert abs(np.isfinite(simulated.happened[name][mask]).mean() - rate) < 4 * error


def test_a_rate_solved_without_the_others_misses():
    """The named wrong version of the test above."""
    alone, together = (ready(scenario({"lost": MNAR} | more), {}).trial.departures[0].intercept for more in ({}, {"noise": NOISE}))
    assert np.abs(alone - together).min() > 0.3


SIDE_EFFECT = {"kind": "adverse_event", "control_risk": 0.3, "risk_weeks": 8.0, "exposure_weeks": 8.0}


@pytest.mark.parametrize("others", [{}, {"dose": {"kind": "non_adherence", "share": 0.3, "dose": 0.5}}])
def test_an_adverse_event_drives_dropout_also_when_nothing_else_happens(others):
    dropout = {"kind": "dropout", "rate": 0.2, "adverse_event": "nausea", "adverse_event_log_odds": 3.0}
    changes = {"endpoints": {"symptoms": ENDPOINT, "nausea": SIDE_EFFECT}}
    for declared in ({"lost": dropout} | others, others | {"lost": dropout}):
        simulated = block(declared, changes=changes)
        ill = simulated.data.endpoints["nausea"].value[:, :, 0]
        everything = block(declared, changes=changes, complete=True)
        ill = everything.data.endpoints["nausea"].value[:, :, 0] == 1.0
        lost = np.isfinite(simulated.happened["lost"])
        assert abs(lost.mean() - 0.2) < 4 * np.hypot(standard_error(0.2, lost.size), standard_error(0.2, 32_768))
        assert lost[ill].mean() > 3 * lost[~ill].mean()


# ---- truth


def truth_of(departures, **changes):
    made = scenario(departures, **changes)
    return truths(made, ready(made, {}).trial)["severity"]


@pytest.mark.parametrize("fault", ["guess", "noise"])
def test_a_fault_of_measurement_changes_the_truth_only_through_what_it_makes_happen(fault):
    """Rescue is given by recorded scores. The truth is the true score after the rescue that is really given, and the bias is what is reported."""
    made = scenario({fault: OTHERS[fault], "rescue": RESCUE})
    prepared = ready(made, {})
    recorded, true = block({}, made=prepared), block({}, made=prepared, complete=True)
    np.testing.assert_array_equal(recorded.happened["rescue"], true.happened["rescue"])
    score, faultless = recorded.data.endpoints["symptoms"], true.data.endpoints["symptoms"]
    reported = (faultless.value - score.value)[:, :, -1]
    active = recorded.data.arm == 1
    if fault == "guess":
        assert abs(reported[active].mean() - 0.7 * 40) < 4 * 40 * standard_error(0.7, active.sum())
        assert abs(reported[~active]).max() == 0
    else:
        assert abs(reported.std() - np.hypot(40, 0)) < 4 * 40 / np.sqrt(2 * reported.size)
        assert abs((score.baseline - faultless.baseline).std() - 40) < 4 * 40 / np.sqrt(2 * reported.size)


def test_the_bias_under_unblinding_is_what_is_reported_also_when_rescue_depends_on_it():
    made = scenario({"guess": GUESS, "rescue": RESCUE}, n_replicates=256)
    prepared = ready(made, {})
    truth = truths(made, prepared.trial)["severity"]
    estimates = np.concatenate([prepared.columns(number)["severity/estimate"] for number in range(8)])
    error = np.hypot(estimates.std() / np.sqrt(estimates.size), truth.std_error)
    assert abs(estimates.mean() - truth.value - 0.7 * 40) < 4 * error


def test_a_drug_that_acts_through_another_endpoint_has_a_truth():
    """The drug does nothing to anhedonia, but those who are better need no rescue, which would have helped."""
    other = ENDPOINT | {"effects": {}, "scale": ENDPOINT["scale"] | {"name": "other"}}
    strong = ENDPOINT | {"effects": {"active": {"kind": "constant", "points": 100.0}}}
    rescue = RESCUE | {"rate": 0.4, "driver": "symptoms", "benefit": {"anhedonia": 40.0}}
    changes = {"endpoints": {"symptoms": strong, "anhedonia": other}, "analyses": {"severity": SEVERITY | {"endpoint": "anhedonia"}}}
    truth = truth_of({"rescue": rescue}, **changes)
    assert truth.std_error > 0
    assert truth_of({"rescue": rescue | {"log_odds_per_point": 0.0}}, **changes).value == 0.0


def test_no_closed_form_of_power_is_claimed_where_patients_depart():
    tables = {
        "endpoints": {"y": {"kind": "continuous", "effects": {"active": {"kind": "constant", "points": 0.5}}}},
        "analyses": {"severity": {"kind": "t_test", "endpoint": "y"}},
    }
    assert closed_form_power(scenario({}, **tables), "severity") is not None
    assert closed_form_power(scenario({"lost": {"kind": "dropout", "rate": 0.3}}, **tables), "severity") is None


# ---- the null


def test_without_effects_patients_fare_alike_in_all_arms():
    """As declared, rescue that is rarer in one arm makes the test reject more often than it should; in the null it is as frequent as in control."""
    made = scenario({"rescue": RESCUE | {"rate": {"control": 0.5, "active": 0.1}}})
    wrong = made.model_copy(update={"endpoints": made.null().endpoints})
    for version, is_null in ((made.null(), True), (wrong, False)):
        prepared = ready(version, {})
        analysis = version.analyses["severity"]
        found = [analysis.estimate(prepared.trials(number).data) for number in range(16)]
        rejected = np.mean([judge(analysis, estimates).rejected.mean() for estimates in found])
        assert (abs(rejected - 0.05) < 4 * standard_error(0.05, 16 * 256)) == is_null
        assert (truths(version, prepared.trial)["severity"].value == 0.0) == is_null


def test_sites_add_nothing_to_the_benefit_of_a_drug_that_does_nothing():
    made = scenario({"sites": {"kind": "sites", "number": 5, "icc": 0.1, "effect_sd": 0.5}})
    assert made.null().departures["sites"].effect_sd == 0.0
    prepared = ready(made.null(), {})
    values = [block({}, made=prepared, force_arm=arm).data.endpoints["symptoms"].value for arm in (0, 1)]
    np.testing.assert_array_equal(*values)


def test_a_benefit_that_differs_between_sites_is_lost_with_the_drug():
    """Everybody stops at the first interval; what is left at the end is what sites add to the level, the same in both arms."""
    sites = {"kind": "sites", "number": 5, "icc": 0.1, "effect_sd": 0.5}
    made = ready(scenario({"stop": {"kind": "discontinuation", "rate": 1.0, "effect": "lost"}, "sites": sites}), {})
    last = [block({}, made=made, force_arm=arm, complete=True).data.endpoints["symptoms"].value[:, :, -1] for arm in (0, 1)]
    np.testing.assert_array_equal(last[0], last[1])


def test_rater_noise_reaches_the_screening_reading():
    endpoint = ENDPOINT | {"screening": {"correlation": 0.8}}
    changes = {"endpoints": {"symptoms": endpoint}, "eligibility": [{"variable": "symptoms.screening", "at_least": -500.0}]}
    quiet, noisy = (block(departures, changes=changes).data.endpoints["symptoms"].screening.std() for departures in ({}, {"noise": NOISE}))
    error = 4 * 60 / np.sqrt(2 * 256 * 400)
    assert abs(noisy - np.hypot(quiet, 40)) < 2 * error


# ---- the recorded baseline, where a protocol reads it

INFLATED = {"kind": "baseline_inflation", "endpoint": "symptoms", "probability": 0.5, "points": 60.0}


def test_strata_and_subgroups_see_the_baseline_that_raters_recorded():
    """Strata on the recorded baseline are balanced whatever raters did to it; those on the true one, the wrong version, are not."""
    design = {
        "kind": "fixed",
        "n_patients": 200,
        "allocation": {"kind": "stratified_blocks", "strata": ["symptoms.baseline >= 0"], "block_size": 2},
    }
    declared = {"noise": NOISE, "inflated": INFLATED}
    simulated, true = (block(declared, changes={"design": design}, complete=complete) for complete in (False, True))
    recorded, faultless = (trial.data.endpoints["symptoms"].baseline >= 0 for trial in (simulated, true))
    arm = simulated.data.arm
    np.testing.assert_array_equal(simulated.data.stratum, recorded)
    difference = np.abs((recorded & (arm == 1)).sum(axis=1) - (recorded & (arm == 0)).sum(axis=1))
    assert difference.max() <= 1
    assert np.abs((faultless & (arm == 1)).sum(axis=1) - (faultless & (arm == 0)).sum(axis=1)).max() > 3
    subgroup = scenario(declared, design=design, analyses={"severity": SEVERITY | {"where": "baseline >= 0"}}).analyses["severity"]
    seen = subgroup.view(simulated.data).arm >= 0
    np.testing.assert_array_equal(seen, recorded)
