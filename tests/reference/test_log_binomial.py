"""Log-linear regression of risks against R's glm and sandwich (see make_marginal.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.log_binomial import log_binomial_regression, modified_poisson_regression

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "marginal_data.csv")
VALUES = pd.read_csv(HERE / "marginal_values.csv").set_index(["data", "method", "quantity"])["value"].sort_index()
LENGTH = 1e-6  # of the last step, in standard errors: what is left of an error in the information
STANDSTILL = 2e-7  # standard errors from the maximum where a deviance near 200, of which R sees changes of 2e-16, stands still
SIZES = {"infert": 4, "births": 3, "bacteria": 3}


def model(data):
    """Outcome, arm and covariates, one replicate."""
    patients = DATA[DATA["data"] == data]
    covariates = [patients[[name]].to_numpy().T for name in ("x1", "x2", "x3") if patients[name].notna().all()]
    return patients[["y"]].to_numpy(dtype=float).T, patients[["arm"]].to_numpy(dtype=np.int8).T, 1, covariates


@pytest.mark.parametrize("variance", ["HC0", "HC1"])
@pytest.mark.parametrize(("data", "tested"), [(data, tested) for data, size in SIZES.items() for tested in range(size)])
def test_modified_poisson_is_glm_with_the_variance_of_sandwich(data, tested, variance):
    found = modified_poisson_regression(*model(data), tested, variance)
    std_error = VALUES[data, "poisson", f"{variance}_{tested}"]
    assert_allclose(found.std_error[0], std_error, rtol=STANDSTILL)
    assert_allclose(found.estimate[0], VALUES[data, "poisson", f"estimate_{tested}"], rtol=0, atol=STANDSTILL * std_error)


@pytest.mark.parametrize(("data", "tested"), [(data, tested) for data in ("births", "bacteria") for tested in range(SIZES[data])])
def test_log_binomial_is_glm(data, tested):
    found = log_binomial_regression(*model(data), tested)
    std_error = VALUES[data, "log_binomial", f"std_error_{tested}"]
    assert_allclose(found.std_error[0], std_error, rtol=LENGTH)
    assert_allclose(found.estimate[0], VALUES[data, "log_binomial", f"estimate_{tested}"], rtol=0, atol=STANDSTILL * std_error)


def test_the_variance_of_counts_for_the_robust_one_is_told_apart():
    for data in SIZES:
        assert abs(modified_poisson_regression(*model(data)).std_error[0] / VALUES[data, "poisson", "naive_std_error_0"] - 1) > 0.05


def test_one_model_for_the_other_is_told_apart():
    for data in ("births", "bacteria"):
        difference = modified_poisson_regression(*model(data)).estimate[0] - VALUES[data, "log_binomial", "estimate_0"]
        assert abs(difference) > 1000 * LENGTH
