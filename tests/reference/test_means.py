"""t tests against R's t.test (see make_regression.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.means import t_test
from simtrials.stats.quantiles import t_p_value

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "regression_data.csv")
VALUES = pd.read_csv(HERE / "regression_values.csv").set_index(["data", "method", "tested", "quantity"])["value"].sort_index()
DIGITS = 1e-12  # printed with 15 digits; a p-value magnifies the rounding of its statistic tenfold


def result(data, variance):
    patients = DATA[DATA["data"] == data]
    return t_test(patients[["y"]].to_numpy().T, patients[["arm"]].to_numpy(dtype=np.int8).T, 1, variance)


@pytest.mark.parametrize("variance", ["pooled", "welch"])
@pytest.mark.parametrize("data", ["sleep", "tooth", "cars"])
def test_t_test_is_that_of_r(data, variance):
    expected = VALUES[data, variance, 0]
    found = result(data, variance)
    assert_allclose(found.estimate[0], expected["estimate"], rtol=DIGITS)
    assert_allclose(found.std_error[0], expected["std_error"], rtol=DIGITS)
    assert_allclose(found.df[0], expected["df"], rtol=DIGITS)
    assert_allclose(t_p_value(found.estimate / found.std_error, found.df)[0], expected["p_value"], rtol=DIGITS)


def test_the_two_variances_are_told_apart():
    assert abs(result("cars", "pooled").std_error[0] - VALUES["cars", "welch", 0, "std_error"]) > 0.1
