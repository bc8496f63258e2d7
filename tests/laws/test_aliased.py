"""A covariate that cannot be told apart is left out, and only where it must be."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from simtrials.core.status import Status
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.logistic import logistic_regression
from simtrials.stats.regression import least_squares


def block(n_replicates=12, n_patients=60, seed=2):
    rng = np.random.default_rng(seed)
    shape = (n_replicates, n_patients)
    arm = (rng.random(shape) < 0.5).astype(np.int8)
    age, sex = rng.normal(size=shape), (rng.random(shape) < 0.5).astype(float)
    outcome = rng.normal(size=shape) + 0.5 * arm + 0.3 * age
    return outcome, arm, age, sex


def rows_of(found, rows):
    return [column[rows] for column in found]


@pytest.mark.parametrize("model", [least_squares, logistic_regression])
def test_a_constant_covariate_is_left_out_where_it_is_constant(model):
    outcome, arm, age, sex = block()
    outcome = (outcome > 0).astype(float) if model is logistic_regression else outcome
    sex[3:6] = 1.0
    found = dropping_aliased(model, outcome, arm, 1, [age, sex])
    alone, both = model(outcome, arm, 1, [age]), model(outcome, arm, 1, [age, sex])
    assert (both[-1][3:6] == Status.COLLINEAR).all()
    others = np.r_[0:3, 6:12]
    for got, without, full in zip(found, alone, both, strict=True):
        assert_array_equal(got[3:6], without[3:6])
        assert_array_equal(got[others], full[others])


def test_a_copy_of_an_earlier_covariate_is_left_out():
    outcome, arm, age, sex = block()
    found = dropping_aliased(least_squares, outcome, arm, 1, [age, sex, 2 * age - sex, np.ones_like(age)])
    expected = least_squares(outcome, arm, 1, [age, sex])
    for got, wanted in zip(found, expected, strict=True):
        assert_array_equal(got, wanted)


def test_the_tested_column_is_never_left_out():
    outcome, arm, age, _ = block()
    copy_of_the_arm = arm.astype(float)
    assert (dropping_aliased(least_squares, outcome, arm, 1, [age, copy_of_the_arm]).status == Status.COLLINEAR).all()
    interaction = dropping_aliased(least_squares, outcome, arm, 1, [age, np.zeros_like(age)], 2)
    assert (interaction.status == Status.COLLINEAR).all()


def test_an_interaction_keeps_its_place_when_a_covariate_before_it_goes():
    outcome, arm, age, sex = block()
    product = age * (arm == 1)
    found = dropping_aliased(least_squares, outcome, arm, 1, [np.ones_like(sex), age, product], 3)
    expected = least_squares(outcome, arm, 1, [age, product], tested=2)
    for got, wanted in zip(found, expected, strict=True):
        assert_array_equal(got, wanted)
