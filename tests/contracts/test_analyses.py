"""Promises that every analysis keeps on made-up data."""

from dataclasses import replace

import examples
import numpy as np
import pytest

from simtrials.core.data import Estimates
from simtrials.core.expressions import Category
from simtrials.core.status import Status
from simtrials.inference.analyses import Analysis
from simtrials.inference.judge import judge

ANALYSES = [pytest.param(examples.component("analyses", declared), id=examples.kind_of(declared)) for declared in examples.EXAMPLES["analyses"]]


def effect(found: Estimates) -> np.ndarray:
    return found.estimate


def draws(analysis):
    """Whether random numbers go into its estimates, which then belong to whole blocks."""
    return type(analysis).estimate_by_luck is not Analysis.estimate_by_luck


def treats_arms_alike(analysis):
    """A prior of one arm, or one arm as the reference of the other, makes a difference."""
    return not getattr(analysis, "robust_weight", 0) and getattr(analysis, "assumption", "missing_at_random") == "missing_at_random"


@pytest.mark.parametrize("analysis", ANALYSES)
def test_swapping_arms_flips_the_sign(analysis):
    if not treats_arms_alike(analysis):
        return
    data = examples.trial_data()
    swapped = replace(data, arm=(1 - data.arm).astype(np.int8))
    np.testing.assert_allclose(effect(analysis.estimate(swapped)), -effect(analysis.estimate(data)), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_benefit_is_positive(analysis):
    """On a falling scale the active arm of the made-up data does better; with a large effect every analysis but an interaction sees it."""
    data = examples.trial_data(n_patients=200)
    if analysis.kind == "interaction":
        measured = data.endpoints["symptoms"]
        crp = np.asarray(data.columns["crp"])
        better = np.clip(measured.value - 5.0 * (data.arm == 1)[:, :, None] * np.log(crp)[:, :, None], 0, 60)
        data = replace(data, endpoints={"symptoms": replace(measured, value=better)})
    found = analysis.estimate(data)
    assert (found.benefit * found.estimate > 0).all()


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_replicate_does_not_depend_on_its_neighbours(analysis):
    if draws(analysis):
        return
    data = examples.trial_data(n_replicates=6)
    alone = replace(
        data,
        arm=data.arm[2:3],
        stratum=data.stratum[2:3],
        columns={name: column[2:3] for name, column in data.columns.items()},
        endpoints={
            name: replace(measured, value=measured.value[2:3], observed=measured.observed[2:3], baseline=measured.baseline[2:3])
            for name, measured in data.endpoints.items()
        },
    )
    whole, single = analysis.estimate(data), analysis.estimate(alone)
    for field in ("estimate", "std_error", "statistic", "df", "status", "lower", "upper", "p_value", "decision"):
        if getattr(whole, field) is not None:
            np.testing.assert_array_equal(getattr(whole, field)[2:3], getattr(single, field))


@pytest.mark.parametrize("analysis", ANALYSES)
def test_patients_who_are_nobody_change_nothing(analysis):
    data = examples.trial_data(n_patients=44)
    mask = np.arange(44) < 40
    some = data.subset(np.broadcast_to(mask, data.arm.shape))
    few, cut = analysis.estimate(some), analysis.estimate(data.first(40))
    np.testing.assert_allclose(few.estimate, cut.estimate, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(few.statistic, cut.statistic, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_missing_outcome_leaves_the_patient_out(analysis):
    if hasattr(analysis, "assumption"):  # imputation keeps everybody
        return
    data = examples.trial_data()
    measured = data.endpoints["symptoms"]
    value = measured.value.copy()
    value[:, :3] = np.nan
    missing = replace(data, endpoints={"symptoms": replace(measured, value=value, observed=~np.isnan(value))})
    left_out = data.subset(np.broadcast_to(np.arange(data.arm.shape[1]) >= 3, data.arm.shape))
    np.testing.assert_allclose(analysis.estimate(missing).estimate, analysis.estimate(left_out).estimate, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_an_empty_arm_is_a_status_and_shows_nothing(analysis):
    data = examples.trial_data()
    found = analysis.estimate(replace(data, arm=np.zeros_like(data.arm)))
    assert (found.status != Status.OK).all()
    judged = judge(analysis, found)
    assert not judged.rejected.any()
    assert not judged.benefit.any()


@pytest.mark.parametrize("analysis", ANALYSES)
def test_an_outcome_that_never_varies_rejects_nothing(analysis):
    data = examples.trial_data()
    measured = data.endpoints["symptoms"]
    flat = replace(measured, value=np.full_like(measured.value, 20.0), baseline=np.full_like(measured.baseline, 30.0))
    found = analysis.estimate(replace(data, endpoints={"symptoms": flat}))
    assert not judge(analysis, found).rejected.any()


@pytest.mark.parametrize("analysis", ANALYSES)
def test_test_and_interval_agree_where_they_are_one_procedure(analysis):
    if not analysis.one_procedure:
        return
    data = examples.trial_data(n_replicates=200)
    found = analysis.estimate(data)
    judged = judge(analysis, found)
    excludes_no_effect = (judged.lower > 0) | (judged.upper < 0)
    known = found.status == Status.OK
    assert (excludes_no_effect == judged.rejected)[known].all()
    assert judged.rejected.any()
    assert not judged.rejected.all()


@pytest.mark.parametrize("analysis", ANALYSES)
def test_a_one_sided_test_rejects_where_a_two_sided_one_of_twice_the_level_shows_a_benefit(analysis):
    data = examples.trial_data(n_replicates=100)
    one = analysis.model_copy(update={"one_sided_alpha": 0.025})
    two = analysis.model_copy(update={"alpha": 0.05})
    np.testing.assert_array_equal(judge(one, one.estimate(data)).rejected, judge(two, two.estimate(data)).benefit)


def test_a_category_becomes_one_column_less_than_it_has_levels():
    data = examples.trial_data()
    sex = data.columns["sex"]
    assert isinstance(sex, Category)
    numeric = replace(data, columns=dict(data.columns) | {"sex": (sex.codes == 1).astype(float)})
    ancova = examples.component("analyses", {"kind": "ancova", "endpoint": "symptoms", "covariates": ["baseline", "sex"]})
    np.testing.assert_array_equal(ancova.estimate(data).estimate, ancova.estimate(numeric).estimate)


def test_a_subgroup_analyses_only_its_members():
    data = examples.trial_data(n_patients=120)
    test = examples.component("analyses", {"kind": "t_test", "endpoint": "symptoms", "where": "crp >= 3"})
    whole = examples.component("analyses", {"kind": "t_test", "endpoint": "symptoms"})
    inside = data.subset(np.asarray(data.columns["crp"]) >= 3)
    np.testing.assert_array_equal(test.estimate(data).estimate, whole.estimate(inside).estimate)
    assert (test.estimate(data).estimate != whole.estimate(data).estimate).all()


def test_analysis_sets_leave_out_who_was_not_seen():
    data = examples.trial_data(n_patients=60)
    measured = data.endpoints["symptoms"]
    value = np.repeat(measured.value[:, :, -1:], 2, axis=2)
    value[:, :10, 1] = np.nan
    value[:, :5, 0] = np.nan
    two_visits = replace(measured, weeks=(4.0, 8.0), value=value, observed=~np.isnan(value))
    data = replace(data, endpoints={"symptoms": two_visits})

    def n_analysed(analysis_set, week):
        declared = {"kind": "t_test", "endpoint": "symptoms", "analysis_set": analysis_set, "week": week}
        return examples.component("analyses", declared).estimate(data).df[0] + 2

    assert n_analysed("all_randomised", 4.0) == 55
    assert n_analysed("post_baseline", 4.0) == 55
    assert n_analysed("completers", 4.0) == 50
    assert n_analysed("all_randomised", 8.0) == 50
