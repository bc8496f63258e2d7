"""Promises about luck: patients keep it, draws do not depend on the arm, and nothing depends on how the work is cut up."""

import json
from functools import cache

import examples
import numpy as np
import pytest

from simtrials.core.expressions import Category
from simtrials.core.rng import Purpose, Streams, uniforms
from simtrials.engine.cells import ready
from simtrials.engine.files import scenario_from
from simtrials.trial import Cohort, simulate
from simtrials.trial.allocations import ALLOCATIONS


@cache
def prepared_from(declared):
    return ready(scenario_from(json.loads(declared)), examples.tables()).trial


def prepared(**changes):
    return prepared_from(json.dumps(examples.scenario_tables(**changes)))


def streams(block=0, seed=7):
    return Streams(seed, Purpose.RUN, block)


ENDPOINTS = [pytest.param(declared, id=declared["kind"]) for declared in examples.EXAMPLES["endpoints"]]
EFFECTS = [pytest.param(declared, id=declared["kind"]) for declared in examples.EXAMPLES["effects"]]
DEPARTURES = [pytest.param(declared, id=declared["kind"]) for declared in examples.EXAMPLES["departures"]]
POPULATIONS = [pytest.param(declared, id=declared["kind"]) for declared in examples.EXAMPLES["populations"]]


def with_endpoint(declared):
    outcome = {"kind": "mann_whitney", "endpoint": "other"}
    return {"endpoints": {"symptoms": examples.SYMPTOMS, "other": declared}, "analyses": {"other": outcome}}


def values(trial, name="symptoms"):
    measured = trial.data.endpoints[name]
    return measured.value, measured.baseline


@pytest.mark.parametrize("declared", ENDPOINTS)
def test_enrolling_in_two_goes_equals_enrolling_at_once(declared):
    trial = prepared(**with_endpoint(declared))
    cohort = Cohort(trial, streams(), 8)
    cohort.enrol(24)
    cohort.enrol(16)
    parts, whole = cohort.result(), simulate(trial, streams(), 8, 40)
    np.testing.assert_array_equal(parts.data.arm, whole.data.arm)
    np.testing.assert_array_equal(parts.data.endpoints["other"].value, whole.data.endpoints["other"].value)
    np.testing.assert_array_equal(parts.screening.n_screened, whole.screening.n_screened)
    np.testing.assert_array_equal(parts.hidden["usual:crp"], whole.hidden["usual:crp"])
    assert parts.data.columns.keys() == whole.data.columns.keys()


@pytest.mark.parametrize("declared", ENDPOINTS)
def test_a_larger_trial_keeps_its_first_patients(declared):
    trial = prepared(**with_endpoint(declared))
    small, large = simulate(trial, streams(), 8, 40), simulate(trial, streams(), 8, 60)
    first = large.data.first(40)
    np.testing.assert_array_equal(first.arm, small.data.arm)
    for name in ("symptoms", "other"):
        np.testing.assert_array_equal(first.endpoints[name].value, small.data.endpoints[name].value)


@pytest.mark.parametrize("declared", EFFECTS)
def test_sending_everybody_to_an_arm_leaves_the_luck(declared):
    trial = prepared(endpoints={"symptoms": examples.SYMPTOMS | {"effects": {"active": declared}}})
    mixed = simulate(trial, streams(), 8)
    for arm in (0, 1):
        forced = simulate(trial, streams(), 8, force_arm=arm)
        same = mixed.data.arm == arm
        assert same.any()
        np.testing.assert_array_equal(values(forced)[0][same], values(mixed)[0][same])
        np.testing.assert_array_equal(values(forced)[1], values(mixed)[1])
        np.testing.assert_array_equal(forced.screening.n_screened, mixed.screening.n_screened)


@pytest.mark.parametrize("declared", EFFECTS)
def test_an_effect_changes_nobody_in_the_control_arm(declared):
    none = simulate(prepared(endpoints={"symptoms": examples.SYMPTOMS}), streams(), 8)
    some = simulate(prepared(endpoints={"symptoms": examples.SYMPTOMS | {"effects": {"active": declared}}}), streams(), 8)
    control = none.data.arm == 0
    np.testing.assert_array_equal(values(none)[0][control], values(some)[0][control])
    assert (values(none)[0][~control] != values(some)[0][~control]).any()


@pytest.mark.parametrize("declared", POPULATIONS)
def test_more_candidates_extend_a_population_without_changing_it(declared):
    candidates = prepared(population=declared).candidates
    few, many = candidates.draw(streams(), 4, 10), candidates.draw(streams(), 4, 25)
    again = streams()
    parts = [candidates.draw(again, 4, size) for size in (10, 15)]
    for name, luck in many.items():
        np.testing.assert_array_equal(luck[:, :10], few[name])
        np.testing.assert_array_equal(luck, np.concatenate([part[name] for part in parts], axis=1))


@pytest.mark.parametrize("declared", POPULATIONS)
def test_a_column_of_a_population_follows_from_luck_alone(declared):
    candidates = prepared(population=declared).candidates
    luck = candidates.draw(streams(), 3, 20)
    for name, levels in candidates.levels.items():
        column = candidates.column(luck, name)
        assert column.shape == (3, 20)
        assert isinstance(column, Category) == (levels is not None)


def test_adding_an_endpoint_leaves_the_luck_of_those_before_it():
    alone = simulate(prepared(), streams(), 8)
    extra = {"symptoms": examples.scenario_tables()["endpoints"]["symptoms"], "event": {"kind": "binary", "control_risk": 0.4}}
    pair = [{"between": ["symptoms", "event"], "rho": 0.3}]
    correlated = {"symptoms": extra["symptoms"], "event": {"kind": "binary", "control_risk": 0.4, "week": 8.0}}
    for changes in ({"endpoints": extra}, {"endpoints": correlated, "correlations": pair}):
        both = simulate(prepared(**changes), streams(), 8)
        np.testing.assert_array_equal(values(alone)[0], values(both)[0])


def test_blocks_of_different_number_purpose_or_seed_share_no_luck():
    rows = [Streams(seed, purpose, block)["x"].random(4) for seed in (1, 2) for purpose in Purpose for block in (0, 1)]
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_a_stream_goes_on_where_it_stopped():
    one, two = streams(), streams()
    whole = one["x"].random(10)
    np.testing.assert_array_equal(whole, np.concatenate([two["x"].random(4), two["x"].random(6)]))


def allocation_of(declared):
    return ALLOCATIONS[declared["kind"]].model_validate(declared)


RATIOS = [(1, 1), (2, 1), (1, 1, 1)]
FITTING = [(declared, ratio) for declared in examples.EXAMPLES["allocations"] for ratio in RATIOS if not allocation_of(declared).check(ratio)]


@pytest.mark.parametrize(("declared", "ratio"), FITTING, ids=[f"{declared['kind']}-{ratio}" for declared, ratio in FITTING])
def test_an_allocation_keeps_its_ratio_and_its_first_patients(declared, ratio):
    allocation = allocation_of(declared)
    stratum = np.random.default_rng(1).integers(0, 4, (120, 64)).astype(np.int16).T
    luck, state = uniforms(np.random.Generator(np.random.SFC64(2)), stratum.shape), allocation.start(ratio, 64, 4)
    whole = allocation.start(ratio, 64, 4).assign(luck, stratum)
    parts = [state.assign(luck[:, :50], stratum[:, :50]), state.assign(luck[:, 50:], stratum[:, 50:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))
    shares = np.bincount(whole.ravel(), minlength=len(ratio)) / whole.size
    largest_error = 4 * np.sqrt(0.25 / whole.size)
    np.testing.assert_allclose(shares, np.array(ratio) / sum(ratio), atol=largest_error)


@pytest.mark.parametrize("block_size", [4, 6])
def test_every_block_of_every_stratum_is_balanced(block_size):
    allocation = ALLOCATIONS["stratified_blocks"].model_validate({"kind": "stratified_blocks", "strata": ["sex"], "block_size": block_size})
    stratum = np.random.default_rng(2).integers(0, 3, (90, 16)).astype(np.int16).T
    arm = allocation.start((1, 1), 16, 3).assign(uniforms(np.random.Generator(np.random.SFC64(3)), stratum.shape), stratum)
    for row in range(16):
        for level in range(3):
            own = arm[row][stratum[row] == level]
            whole = own[: own.size // block_size * block_size].reshape(-1, block_size)
            assert (whole.sum(axis=1) == block_size // 2).all()


def test_screening_counts_everybody_up_to_the_last_enrolled():
    simulated = simulate(
        prepared(eligibility=[{"variable": "crp", "at_least": 2.0}, {"kind": "other_reasons", "failure_probability": 0.2}]), streams(), 32
    )
    failed = sum(simulated.screening.failures.values())
    np.testing.assert_array_equal(simulated.screening.n_screened, failed + 40)
    assert (np.asarray(simulated.data.columns["crp"]) >= 2.0).all()


def test_a_rule_for_any_sample_admits_more_than_one_for_all():
    def screened(rule, samples):
        crp = {"kind": "serial", "observed": "crp_mg_l", "samples": samples, "rule": rule}
        return simulate(prepared(assays={"crp": crp}), streams(), 64).screening.n_screened.mean()

    assert screened("any", 2) < screened("mean", 2) < screened("all", 2)
    assert screened("any", 2) < screened("single", 1) < screened("all", 2)


@pytest.mark.parametrize("declared", DEPARTURES)
def test_departures_keep_luck_when_patients_are_enrolled_in_two_goes(declared):
    trial = prepared(departures={"it": declared})
    cohort = Cohort(trial, streams(), 8)
    cohort.enrol(24)
    cohort.enrol(16)
    parts, whole = cohort.result(), simulate(trial, streams(), 8, 40)
    np.testing.assert_array_equal(values(parts)[0], values(whole)[0])
    np.testing.assert_array_equal(parts.data.endpoints["symptoms"].observed, whole.data.endpoints["symptoms"].observed)
    for name, week in whole.happened.items():
        np.testing.assert_array_equal(parts.happened[name], week)


@pytest.mark.parametrize("declared", DEPARTURES)
def test_a_departure_leaves_the_cohort_as_it_was(declared):
    plain, departed = simulate(prepared(), streams(), 8), simulate(prepared(departures={"it": declared}), streams(), 8)
    if declared["kind"] == "baseline_inflation":
        return
    np.testing.assert_array_equal(plain.data.arm, departed.data.arm)
    np.testing.assert_array_equal(plain.screening.n_screened, departed.screening.n_screened)
    if declared["kind"] != "rater_noise":
        np.testing.assert_array_equal(values(plain)[1], values(departed)[1])


@pytest.mark.parametrize("declared", [d for d in DEPARTURES if d.id != "sites"])
def test_without_its_departure_a_trial_is_the_plain_one(declared):
    """Luck is kept, so a hypothetical world can be compared patient by patient."""
    plain, departed = prepared(), prepared(departures={"it": declared})
    removed = simulate(departed, streams(), 8, without=["it"], complete=True)
    if declared["kind"] == "baseline_inflation":
        np.testing.assert_array_equal(np.isnan(values(removed)[0]).sum(), 0)
        return
    np.testing.assert_array_equal(values(removed)[0], values(simulate(plain, streams(), 8))[0])


@pytest.mark.parametrize("declared", DEPARTURES)
def test_luck_of_departures_does_not_depend_on_the_arm(declared):
    """Whoever is in the arm of the mixed trial fares as when everybody is in it."""
    trial = prepared(departures={"it": declared})
    mixed = simulate(trial, streams(), 8)
    for arm in (0, 1):
        forced = simulate(trial, streams(), 8, force_arm=arm)
        same = mixed.data.arm == arm
        np.testing.assert_array_equal(values(forced)[0][same], values(mixed)[0][same])


def test_what_is_missing_exists_all_the_same():
    trial = prepared(departures={"lost": {"kind": "dropout", "rate": 0.4}, "gaps": {"kind": "gaps", "probability": 0.2}})
    seen, whole = simulate(trial, streams(), 32), simulate(trial, streams(), 32, complete=True)
    observed = seen.data.endpoints["symptoms"].observed
    assert 0.4 < observed.mean() < 0.8
    np.testing.assert_array_equal(values(seen)[0][observed], values(whole)[0][observed])
    assert np.isnan(values(seen)[0][~observed]).all()
    assert not np.isnan(values(whole)[0]).any()


def test_after_a_dropout_nothing_is_seen():
    trial = prepared(departures={"lost": {"kind": "dropout", "rate": 0.5, "mechanism": "mnar", "log_odds_per_point": 0.2}})
    observed = simulate(trial, streams(), 64).data.endpoints["symptoms"].observed
    assert (observed[:, :, 1:] <= observed[:, :, :-1]).all()
