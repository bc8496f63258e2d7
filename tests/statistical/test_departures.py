"""Departures do what they declare: rates are met, mechanisms are what they are called, and the truth of each strategy is its closed form."""

import examples
import numpy as np
import pytest

from simtrials.core.rng import Purpose, Streams
from simtrials.engine.cells import ready
from simtrials.engine.truth import truths
from simtrials.stats.regression import least_squares
from simtrials.trial import simulate

WIDE = {"name": "wide", "minimum": -1000.0, "maximum": 1000.0, "remission_cut": -10.0}
ENDPOINT = {
    "kind": "scale",
    "scale": WIDE,
    "weeks": [1, 2, 4, 6, 8],
    "baseline": {"mean": 0.0, "sd": 40.0},
    "control_course": {"change": -60.0, "at_week": 8, "time_constant": 3.0, "score_sd": 50.0},
    "correlation": {"kind": "ar1", "per_week": 0.9},
    "effects": {"active": {"kind": "constant", "points": 20.0}},
}
"""Rounding is negligible and bounds are far away, so closed forms of the normal distribution hold."""
ARMS = ("control", "active")
SEVERITY = {"kind": "ancova", "endpoint": "symptoms", "covariates": ["baseline"]}


def scenario(departures, endpoint=ENDPOINT, **changes):
    base = {
        "assays": {},
        "eligibility": [],
        "design": {"kind": "fixed", "n_patients": 200, "allocation": {"kind": "blocks", "block_size": 4}},
        "endpoints": {"symptoms": endpoint},
        "analyses": {"severity": SEVERITY},
        "departures": departures,
    }
    tables = examples.scenario_tables(**(base | changes))
    del tables["population"]
    return examples.scenario_from(tables)


def block(departures, number=0, **settings):
    made = settings.pop("made", None) or ready(scenario(departures, **settings.pop("changes", {})), {})
    return simulate(made.trial, Streams(7, Purpose.RUN, number), 256, 400, **settings)


def standard_error(share, n):
    return np.sqrt(share * (1 - share) / n)


HAZARDS = {
    "mcar": {"kind": "dropout", "rate": {"control": 0.26, "active": 0.12}},
    "mcar per week": {"kind": "dropout", "rate": {"control": 0.26, "active": 0.12}, "timing": "per_week"},
    "mar": {"kind": "dropout", "rate": {"control": 0.26, "active": 0.12}, "mechanism": "mar", "log_odds_per_point": 0.02},
    "mnar": {"kind": "dropout", "rate": {"control": 0.26, "active": 0.12}, "mechanism": "mnar", "log_odds_per_point": 0.02},
    "discontinuation": {"kind": "discontinuation", "rate": {"control": 0.26, "active": 0.12}, "log_odds_per_point": 0.02},
    "rescue": {"kind": "rescue", "rate": {"control": 0.26, "active": 0.12}, "log_odds_per_point": 0.02, "benefit": {"symptoms": 10.0}},
}


@pytest.mark.parametrize("name", HAZARDS)
def test_the_rate_of_each_arm_is_met(name):
    """Solved on 32,768 patients, checked on 51,200 others: both errors count."""
    simulated = block({"it": HAZARDS[name]})
    for arm, rate in enumerate((0.26, 0.12)):
        mask = simulated.data.arm == arm
        met = np.isfinite(simulated.happened["it"][mask]).mean()
        error = np.hypot(standard_error(rate, mask.sum()), standard_error(rate, 32_768))
        assert abs(met - rate) < 4 * error
        other = (0.12, 0.26)[arm]
        assert abs(met - other) > 8 * error


def test_mcar_dropout_is_geometric_over_visits_or_weeks():
    for timing, share in (("per_visit", np.arange(1, 6) / 5), ("per_week", np.array([1, 2, 4, 6, 8]) / 8)):
        simulated = block({"it": {"kind": "dropout", "rate": 0.3, "timing": timing}})
        seen = simulated.data.endpoints["symptoms"].observed.mean(axis=(0, 1))
        expected = 0.7**share
        assert (np.abs(seen - expected) < 4 * standard_error(expected, 256 * 400)).all()


def slope_of_loss(simulated, visit, of):
    """Difference in a score between those lost at a visit and those seen there, among those seen before; in SDs."""
    measured = simulated.data.endpoints["symptoms"]
    before, now = measured.observed[:, :, visit - 1], measured.observed[:, :, visit]
    lost = before & ~now
    return (of[lost].mean() - of[before & now].mean()) / of[before].std()


def test_each_mechanism_depends_on_what_its_name_says():
    """Given the score before, loss under MAR does not depend on the score that is missed; under MNAR it does."""
    for mechanism, per_point in (("mcar", 0.0), ("mar", 0.03), ("mnar", 0.03)):
        declared = {"kind": "dropout", "rate": 0.3, "mechanism": mechanism} | ({"log_odds_per_point": per_point} if per_point else {})
        made = ready(scenario({"it": declared}), {})
        seen, whole = block({}, made=made), block({}, made=made, complete=True)
        value = whole.data.endpoints["symptoms"].value
        previous, current, baseline = value[:, :, 2], value[:, :, 3], whole.data.endpoints["symptoms"].baseline
        given = np.column_stack([np.ones(previous.size), previous.ravel(), baseline.ravel()])
        rest = current.ravel() - given @ np.linalg.lstsq(given, current.ravel(), rcond=None)[0]
        raw = slope_of_loss(seen, 3, previous - baseline)
        adjusted = slope_of_loss(seen, 3, rest.reshape(current.shape))
        error = 1 / np.sqrt(0.05 * 256 * 400)
        assert (abs(raw) > 8 * error) == (mechanism != "mcar")
        assert (abs(adjusted) > 8 * error) == (mechanism == "mnar")
        if mechanism != "mnar":
            assert abs(adjusted) < 4 * error


@pytest.mark.parametrize(("effect", "half_life"), [("lost", None), ("kept", None), ("washed_out", 2.0)])
def test_the_treatment_policy_value_is_the_mean_of_what_is_left(effect, half_life):
    """Discontinuation at random: the benefit at the end is the full one times the mean share that is left, from the weeks of the events."""
    declared = {"kind": "discontinuation", "rate": {"control": 0.0, "active": 0.4}, "effect": effect} | (
        {"half_life": half_life} if half_life else {}
    )
    made = scenario({"stop": declared})
    truth = truths(made, ready(made, {}).trial)["severity"]
    hazard = 1 - 0.6 ** (1 / 5)
    starts, lengths = np.array([0, 1, 2, 4, 6]), np.array([1, 1, 2, 2, 2])
    chance = hazard * (1 - hazard) ** np.arange(5)
    within = (np.arange(2000) + 0.5) / 2000
    left = {"lost": 0.0, "kept": 1.0}.get(effect)
    mean_left = sum(
        c * (left if left is not None else np.mean(2.0 ** (-(8 - start - length * within) / half_life)))
        for c, start, length in zip(chance, starts, lengths, strict=True)
    )
    expected = 20.0 * (0.6 + mean_left)
    assert abs(truth.value - expected) < 4 * max(truth.std_error, 1e-6) + 0.01
    assert truth.std_error < 0.1


STRATEGIES = ("treatment_policy", "hypothetical", "while_on_treatment")


def test_the_strategies_have_different_truths_and_the_analysis_for_each_is_unbiased():
    """Discontinuation at random, effect lost: policy 0.6 of the effect; had nobody stopped, all of it."""
    declared = {"kind": "discontinuation", "rate": {"control": 0.2, "active": 0.4}, "effect": "lost"}
    analyses = {name: SEVERITY | {"estimand": name} for name in STRATEGIES}
    response = {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "remission"}
    analyses |= {f"remission_{name}": response | {"estimand": name} for name in (*STRATEGIES, "composite")}
    made = scenario({"stop": declared}, analyses=analyses, estimands={name: {"strategy": name} for name in (*STRATEGIES, "composite")})
    simulation = ready(made, {})
    found = truths(made, simulation.trial)
    assert found["hypothetical"].value == pytest.approx(20.0, abs=0.05)
    assert found["treatment_policy"].value == pytest.approx(12.0, abs=4 * found["treatment_policy"].std_error + 0.01)
    assert 0 < found["while_on_treatment"].value < 20
    remissions = [found[f"remission_{name}"] for name in (*STRATEGIES, "composite")]
    for i, one in enumerate(remissions):
        for other in remissions[i + 1 :]:
            assert abs(one.value - other.value) > 8 * np.hypot(one.std_error, other.std_error)
    columns = [simulation.columns(number) for number in range(16)]
    for name, truth in found.items():
        estimates = np.concatenate([block[f"{name}/estimate"] for block in columns])
        error = np.hypot(estimates.std() / np.sqrt(estimates.size), truth.std_error)
        assert abs(estimates.mean() - truth.value) < 4 * error, name
    wrong = np.concatenate([block["treatment_policy/estimate"] for block in columns]).mean() - found["hypothetical"].value
    assert abs(wrong) > 8 * error


def test_a_rescue_that_helps_both_arms_dilutes_the_difference():
    """Rescue of half of the control arm and nobody else, benefit 10 points at once, from the start: 5 points less between the arms."""
    declared = {"kind": "rescue", "rate": {"control": 0.5, "active": 0.0}, "benefit": {"symptoms": 10.0}, "time_constant": 0.0}
    made = scenario({"rescue": declared})
    truth = truths(made, ready(made, {}).trial)["severity"]
    assert truth.value == pytest.approx(15.0, abs=4 * truth.std_error + 0.01)


def test_non_adherence_takes_its_share_of_the_effect():
    made = scenario({"half": {"kind": "non_adherence", "share": 0.4, "dose": 0.25}})
    truth = truths(made, ready(made, {}).trial)["severity"]
    assert truth.value == pytest.approx(20 * (1 - 0.4 * 0.75), abs=4 * truth.std_error + 0.01)


def test_sites_keep_the_declared_variance_and_have_their_icc():
    loose = ENDPOINT | {"correlation": {"kind": "ar1", "per_week": 0.7}}
    made = ready(scenario({"sites": {"kind": "sites", "number": 20, "icc": 0.2, "size_cv": 0.6}}, endpoint=loose), {})
    simulated = simulate(made.trial, Streams(7, Purpose.RUN, 0), 256, 400, force_arm=0)
    last = simulated.data.endpoints["symptoms"].at(8.0)
    site = np.asarray(simulated.hidden["site"].codes)
    total, between = [], []
    for row in range(256):
        sizes = np.bincount(site[row], minlength=20)
        groups = [last[row][site[row] == s] for s in range(20) if sizes[s] > 1]
        n = np.array([g.size for g in groups])
        within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n.sum() - n.size)
        grand = np.concatenate(groups).mean()
        mean_square = sum(g.size * (g.mean() - grand) ** 2 for g in groups) / (n.size - 1)
        size = (n.sum() - (n**2).sum() / n.sum()) / (n.size - 1)
        between.append((mean_square - within) / size)
        total.append(between[-1] + within)
    icc = np.mean(between) / np.mean(total)
    assert abs(np.mean(total) - 50.0**2) < 4 * np.std(total) / 16
    assert abs(np.mean(between) - 0.2 * 50.0**2) < 4 * np.std(between) / 16
    assert icc == pytest.approx(0.2, abs=0.03)


def test_the_drugs_benefit_varies_between_sites_as_declared():
    made = ready(scenario({"sites": {"kind": "sites", "number": 20, "icc": 0.0, "effect_sd": 0.5}}), {})
    forced = [simulate(made.trial, Streams(7, Purpose.RUN, 0), 256, 100, force_arm=arm).data.endpoints["symptoms"].at(8.0) for arm in (0, 1)]
    benefit = (forced[0] - forced[1]).ravel()
    assert abs(benefit.mean() - 20) < 4 * 25 / np.sqrt(256 * 20)
    assert benefit.std() == pytest.approx(25.0, rel=4 / np.sqrt(2 * 256 * 20) + 0.01)


def test_baseline_inflation_makes_an_improvement_out_of_nothing():
    none = ENDPOINT | {"effects": {}}
    plain = block({}, changes={"endpoint": none}, force_arm=0)
    raised = block(
        {"it": {"kind": "baseline_inflation", "endpoint": "symptoms", "points": 8.0, "probability": 0.25}}, changes={"endpoint": none}, force_arm=0
    )
    before, after = (simulated.data.endpoints["symptoms"] for simulated in (plain, raised))
    np.testing.assert_array_equal(before.value, after.value)
    assert (after.baseline - before.baseline).mean() == pytest.approx(2.0, abs=4 * 8 * np.sqrt(0.25 * 0.75 / before.baseline.size))


def test_those_who_guess_report_what_the_drug_does_not_cause_and_the_truth_ignores_it():
    declared = {"kind": "unblinding", "endpoint": "symptoms", "share": {"control": 0.2, "active": 0.7}, "points": 10.0}
    made = scenario({"guess": declared})
    simulation = ready(made, {})
    assert truths(made, simulation.trial)["severity"].value == pytest.approx(20.0, abs=0.05)
    estimates = np.concatenate([simulation.columns(number)["severity/estimate"] for number in range(8)])
    assert abs(estimates.mean() - 25.0) < 4 * estimates.std() / np.sqrt(estimates.size)


def test_rater_noise_adds_its_variance_to_every_reading():
    plain = block({}, force_arm=0).data.endpoints["symptoms"]
    noisy = block({"it": {"kind": "rater_noise", "endpoint": "symptoms", "sd": 30.0}}, force_arm=0).data.endpoints["symptoms"]
    for before, after in ((plain.baseline, noisy.baseline), (plain.at(8.0), noisy.at(8.0))):
        noise = after - before
        assert noise.std() == pytest.approx(30.0, rel=4 / np.sqrt(2 * noise.size) + 0.001)
        assert abs(np.corrcoef(noise.ravel(), before.ravel())[0, 1]) < 4 / np.sqrt(noise.size)


def test_an_adverse_event_drives_patients_out():
    """Discontinuation driven by a side effect: its odds ratio given the event is the declared one in the first interval."""
    event = {"kind": "adverse_event", "control_risk": 0.1, "arm_risk": {"active": 0.4}, "risk_weeks": 8.0, "exposure_weeks": 8.0}
    declared = {"kind": "discontinuation", "rate": 0.3, "adverse_event": "nausea", "adverse_event_log_odds": 1.5}
    simulated = block({"stop": declared}, changes={"endpoints": {"symptoms": ENDPOINT, "nausea": event}})
    ill = simulated.data.endpoints["nausea"].at(8.0) == 1.0
    early = simulated.happened["stop"] <= 1.0
    for arm in (0, 1):
        here = simulated.data.arm == arm
        a, b, c, d = (np.sum(here & i & e) for i, e in ((ill, early), (ill, ~early), (~ill, early), (~ill, ~early)))
        error = np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        assert abs(np.log(a * d / (b * c)) - 1.5) < 4 * error
    met = np.isfinite(simulated.happened["stop"]).mean()
    assert abs(met - 0.3) < 4 * np.hypot(standard_error(0.3, 256 * 400), standard_error(0.3, 32_768))


@pytest.mark.parametrize("missing", ["locf", "bocf", "non_response", "excluded"])
def test_simple_ways_of_filling_in_do_what_their_names_say(missing):
    made = scenario(
        {"lost": {"kind": "dropout", "rate": 0.5}},
        analyses={"it": {"kind": "risk_difference", "endpoint": "symptoms", "outcome": "remission", "missing": missing}},
    )
    simulated = block({}, made=ready(made, {}))
    measured = simulated.data.endpoints["symptoms"]
    view = made.analyses["it"].view(simulated.data)
    lost = ~measured.observed[:, :, -1]
    filled = np.concatenate([measured.baseline[:, :, None], measured.value], axis=2)
    last = np.take_along_axis(filled, (measured.observed.sum(axis=2))[:, :, None], axis=2)[:, :, 0]
    expected = {"locf": last <= -10, "bocf": measured.baseline <= -10, "non_response": np.zeros(lost.shape), "excluded": np.full(lost.shape, np.nan)}
    np.testing.assert_array_equal(view.value[lost], np.asarray(expected[missing], dtype=float)[lost])
    np.testing.assert_array_equal(view.value[~lost], (measured.value[:, :, -1] <= -10)[~lost].astype(float))


def test_under_mar_that_differs_by_arm_carrying_forward_is_biased_and_the_completers_too():
    """No effect; in one arm those who do badly leave. What is left looks better there."""
    declared = {"kind": "dropout", "rate": {"control": 0.05, "active": 0.5}, "mechanism": "mar", "log_odds_per_point": 0.04}
    none = ENDPOINT | {"effects": {}}
    made = ready(scenario({"lost": declared}, endpoint=none), {})
    simulated = simulate(made.trial, Streams(7, Purpose.RUN, 0), 256, 400)
    measured = simulated.data.endpoints["symptoms"]
    completers = least_squares(measured.at(8.0), simulated.data.arm, 1, [measured.baseline]).estimate
    assert completers.mean() < -8 * completers.std() / 16
