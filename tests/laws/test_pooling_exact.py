"""Pooling under equal variances, where type I error and coverage are integrals over the standard deviation of the effects."""

import numpy as np
import pytest
from meta_methods.exact import Balanced
from numpy.testing import assert_allclose
from scipy.special import ndtr, ndtri

SETTINGS = ["balanced k=4 I2=0.3", "balanced k=7 I2=0", "balanced k=20 I2=0.6"]
QUADRATURE = 1e-9


def rejected(setting, shift=0.0, **arguments):
    found = setting.fit(**arguments)
    return setting.rejected((found.upper - found.lower) / 2, shift)


@pytest.mark.parametrize("name", SETTINGS)
def test_hartung_and_knapp_hold_the_level_exactly_and_others_do_not(name):
    setting = Balanced(name)
    assert_allclose(setting.mean(np.ones_like(setting.s)), 1, rtol=1e-12)
    assert_allclose(rejected(setting, ci="hartung_knapp"), 0.05, atol=QUADRATURE)
    assert rejected(setting, ci="hartung_knapp_adhoc") < 0.05 - 1e-4
    assert abs(rejected(setting, tau2="DL") - 0.05) > 1e-3
    assert abs(rejected(setting, tau2="DL", ci="t") - 0.05) > 1e-4
    assert_allclose(rejected(setting, tau2="common"), 2 * ndtr(ndtri(0.025) / np.sqrt(setting.total)), atol=QUADRATURE)


@pytest.mark.parametrize("name", SETTINGS)
def test_four_estimators_of_tau2_are_one(name):
    setting = Balanced(name)
    expected = np.maximum(0, setting.s**2 - 1)
    for method in ("DL", "HE", "PM", "EB", "REML"):
        assert_allclose(setting.fit(tau2=method).tau2, expected, rtol=1e-9, atol=1e-12)


def test_prediction_intervals_cover_less_than_they_say_and_least_with_the_normal_quantile():
    setting = Balanced("balanced k=7 I2=0.6")
    wide, narrow = (setting.fit(tau2="DL", prediction=rule) for rule in ("t_k_minus_2", "normal"))
    covered = [setting.predicted((found.prediction_upper - found.prediction_lower) / 2) for found in (wide, narrow)]
    assert covered[1] < covered[0] < 0.95
