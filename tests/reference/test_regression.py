"""Least squares against R's lm (see make_regression.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.quantiles import t_p_value
from simtrials.stats.regression import least_squares

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "regression_data.csv")
VALUES = pd.read_csv(HERE / "regression_values.csv").set_index(["data", "method", "tested", "quantity"])["value"].sort_index()
DIGITS = 1e-11  # printed with 15 digits; R factors the uncentred matrix, whose condition number, near 1e4, costs four of sixteen


def model(data):
    """Outcome, arm and covariates, one replicate."""
    patients = DATA[DATA["data"] == data.removesuffix("_interaction")]
    covariates = [patients[[name]].to_numpy().T for name in ("x1", "x2", "x3") if patients[name].notna().all()]
    outcome, arm = patients[["y"]].to_numpy().T, patients[["arm"]].to_numpy(dtype=np.int8).T
    return outcome, arm, [*covariates, covariates[0] * arm] if data.endswith("_interaction") else covariates


@pytest.mark.parametrize(
    ("data", "tested"), [(data, tested) for data, n in [("tooth", 2), ("tooth_interaction", 3), ("cars", 4)] for tested in range(n)]
)
def test_a_coefficient_is_that_of_lm(data, tested):
    outcome, arm, covariates = model(data)
    found = least_squares(outcome, arm, 1, covariates, tested)
    expected = VALUES[data, "linear", tested]
    assert_allclose(found.estimate[0], expected["estimate"], rtol=DIGITS)
    assert_allclose(found.std_error[0], expected["std_error"], rtol=DIGITS)
    assert found.df[0] == expected["df"]
    magnified = 1 + expected["df"]  # the relative change of a p-value per relative change of its statistic is at most this
    assert_allclose(t_p_value(found.estimate / found.std_error, found.df)[0], expected["p_value"], rtol=magnified * DIGITS)


def test_leaving_a_covariate_out_is_told_apart():
    outcome, arm, covariates = model("cars")
    assert abs(least_squares(outcome, arm, 1, covariates[:2]).estimate[0] - VALUES["cars", "linear", 0, "estimate"]) > 0.1
