"""Standardised risks against R's beeca and RobinCar2 (see make_marginal.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.marginal import marginal_effect, standardized_risks

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "marginal_data.csv")
VALUES = pd.read_csv(HERE / "marginal_values.csv").set_index(["data", "method", "quantity"])["value"].sort_index()
LENGTH = 1e-6  # of the last step, in standard errors: what is left of an error in the conditional variance
DIGITS = 1e-10  # printed with 15 digits; R's matrices are not centred, and their condition numbers, near 1e4, cost some
CONTRASTS = {"diff": "risk_difference", "logrr": "log_risk_ratio", "logor": "log_odds_ratio"}
SETS = ("infert", "births", "bacteria")


def risks(data, residual_variance="within_arm"):
    patients = DATA[DATA["data"] == data]
    covariates = [patients[[name]].to_numpy().T for name in ("x1", "x2", "x3") if patients[name].notna().all()]
    outcome, arm = patients[["y"]].to_numpy(dtype=float).T, patients[["arm"]].to_numpy(dtype=np.int8).T
    return standardized_risks(outcome, arm, 1, covariates, residual_variance)


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("data", SETS)
def test_effects_and_both_variances_are_those_of_beeca(data, contrast):
    found, decomposed = (marginal_effect(risks(data, kind), CONTRASTS[contrast]) for kind in ("within_arm", "decomposed"))
    assert_allclose(found.estimate[0], VALUES[data, "marginal", contrast], rtol=DIGITS)
    assert_allclose(found.conditional_std_error[0], VALUES[data, "ge", f"{contrast}_std_error"], rtol=LENGTH)
    assert_allclose(found.superpopulation_std_error[0], VALUES[data, "ye", f"{contrast}_std_error"], rtol=DIGITS)
    assert_allclose(decomposed.superpopulation_std_error[0], VALUES[data, "ye_decomposed", f"{contrast}_std_error"], rtol=DIGITS)


@pytest.mark.parametrize("data", SETS)
def test_the_superpopulation_variance_is_that_of_robincar2(data):
    for kind, quantity in (("within_arm", "logor_std_error"), ("decomposed", "logor_decomposed_std_error")):
        found = marginal_effect(risks(data, kind), "log_odds_ratio")
        assert_allclose(found.superpopulation_std_error[0], VALUES[data, "robincar2", quantity], rtol=DIGITS)


@pytest.mark.parametrize("data", SETS)
def test_one_variance_for_the_other_is_told_apart(data):
    found = marginal_effect(risks(data), "risk_difference")
    assert abs(found.conditional_std_error[0] / VALUES[data, "ye", "diff_std_error"] - 1) > 1000 * LENGTH
    assert abs(VALUES[data, "ye", "diff_std_error"] / VALUES[data, "ye_decomposed", "diff_std_error"] - 1) > 10 * LENGTH
