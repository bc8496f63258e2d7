"""Logistic regression against R's glm, brglm2 and logistf (see make_regression.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.core.status import Status
from simtrials.stats.logistic import logistic_regression

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "regression_data.csv")
VALUES = pd.read_csv(HERE / "regression_values.csv").set_index(["data", "method", "tested", "quantity"])["value"].sort_index()
LENGTH = 1e-6  # of the last step, in standard errors: what is left of an error in a standard error and in a penalised estimate
SIZES = {"infert": 4, "gears": 2, "endometrial": 3}


def model(data):
    """Outcome, arm and covariates, one replicate."""
    patients = DATA[DATA["data"] == data]
    covariates = [patients[[name]].to_numpy().T for name in ("x1", "x2", "x3") if patients[name].notna().all()]
    return patients[["y"]].to_numpy().T, patients[["arm"]].to_numpy(dtype=np.int8).T, 1, covariates


@pytest.mark.parametrize(("data", "tested"), [(data, tested) for data in ("infert", "gears") for tested in range(SIZES[data])])
def test_a_coefficient_is_that_of_glm(data, tested):
    found = logistic_regression(*model(data), tested, "likelihood_ratio")
    expected = VALUES[data, "logistic", tested]
    assert_allclose(found.estimate[0], expected["estimate"], rtol=1e-9)  # the square of the length, and R's rounding
    assert_allclose(found.std_error[0], expected["std_error"], rtol=LENGTH)
    assert_allclose(found.statistic[0] ** 2, expected["likelihood_ratio"], rtol=1e-10)
    assert np.sign(found.statistic[0]) == np.sign(expected["estimate"])
    wald = logistic_regression(*model(data), tested)
    assert wald.statistic[0] == wald.estimate[0] / wald.std_error[0]


@pytest.mark.parametrize(("data", "tested"), [(data, tested) for data in SIZES for tested in range(SIZES[data])])
def test_firths_fit_is_that_of_brglm2_and_its_likelihood_ratio_that_of_logistf(data, tested):
    """The standard error is not that of logistf, which from 1.24.1 on takes it from the data augmented by the penalty (its manual)."""
    found = logistic_regression(*model(data), tested, "likelihood_ratio", "firth")
    expected = VALUES[data, "firth", tested]
    assert_allclose(found.estimate[0], expected["estimate"], rtol=0, atol=LENGTH * expected["std_error"])
    assert_allclose(found.estimate[0], expected["estimate_of_logistf"], rtol=0, atol=LENGTH * expected["std_error"])
    assert_allclose(found.std_error[0], expected["std_error"], rtol=LENGTH)
    assert_allclose(found.statistic[0] ** 2, expected["likelihood_ratio"], rtol=1e-9)


def test_leaving_the_penalty_out_of_the_null_model_is_told_apart():
    plain = VALUES["gears", "logistic", 0, "likelihood_ratio"]
    assert abs(logistic_regression(*model("gears"), 0, "likelihood_ratio", "firth").statistic[0] ** 2 - plain) > 1


def test_the_endometrial_data_are_separated():
    """By neovasculation: Heinze and Schemper (2002), Statistics in Medicine 21, 2409-2419; in the data, no patient with it has a low grade."""
    outcome, arm, _, _ = model("endometrial")
    assert outcome[arm == 1].min() == 1
    assert 0 < outcome[arm == 0].mean() < 1
    assert logistic_regression(*model("endometrial")).status[0] == Status.SEPARATED
