"""Critical values and p-values undo each other, and the normal is the limit of t."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value

few = settings(max_examples=60, deadline=None, derandomize=True)
alphas = st.floats(1e-10, 0.999)
degrees = st.floats(1, 1e6)


@few
@given(degrees, alphas)
def test_the_p_value_of_a_critical_value_is_alpha(df, alpha):
    assert_allclose(t_p_value(t_critical(np.array(df), alpha), np.array(df)), alpha, rtol=1e-10)
    assert_allclose(normal_p_value(np.array(normal_critical(alpha))), alpha, rtol=1e-12)


@few
@given(alphas)
def test_infinite_degrees_of_freedom_are_the_normal_and_large_ones_near_it(alpha):
    infinite, large = t_critical(np.array([np.inf, 1e9]), alpha)
    z = normal_critical(alpha)
    assert_allclose(infinite, z, rtol=1e-14)
    assert_allclose(large, z + (z**3 + z) / 4e9, rtol=1e-12)  # Cornish and Fisher


@few
@given(st.lists(degrees, min_size=1, max_size=20), alphas)
def test_each_value_is_the_one_it_has_alone_whatever_the_shape(values, alpha):
    df = np.array(values + values[::-1])
    alone = [t_critical(np.array([value]), alpha)[0] for value in df]
    assert_array_equal(t_critical(df, alpha), alone)
    assert_array_equal(t_critical(df.reshape(2, -1), alpha), np.reshape(alone, (2, -1)))


def test_missing_degrees_of_freedom_or_statistics_stay_missing():
    assert_array_equal(np.isnan(t_critical(np.array([np.nan, 5.0, np.nan]), 0.05)), [True, False, True])
    assert np.isnan(t_p_value(np.array([np.nan, 1.0]), np.array([5.0, np.nan]))).all()


def test_both_tails_count_and_the_sign_does_not():
    statistic = np.array([-2.5, 2.5])
    assert_array_equal(*t_p_value(statistic, np.array(9.0))[:, np.newaxis])
    assert_array_equal(*normal_p_value(statistic)[:, np.newaxis])
    assert normal_critical(0.05) == pytest.approx(1.959963984540054, rel=1e-15)
    assert t_p_value(np.array(0.0), np.array(3.0)) == 1


def test_a_small_part_of_a_degree_of_freedom_has_an_infinite_critical_value():
    assert_array_equal(np.isinf(t_critical(np.array([0.001, 0.005, 0.1, 1.0]), 0.05)), [True, True, False, False])
