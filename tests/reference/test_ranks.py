"""Rank comparisons against R's wilcox.test and pROC (see make_regression.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.quantiles import normal_p_value
from simtrials.stats.ranks import mann_whitney

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "regression_data.csv")
VALUES = pd.read_csv(HERE / "regression_values.csv").set_index(["data", "method", "tested", "quantity"])["value"].sort_index()
DIGITS = 1e-12  # printed with 15 digits
each_set = pytest.mark.parametrize("data", ["sleep", "tooth", "cars", "infert"])


def result(data, continuity=False):
    patients = DATA[DATA["data"] == data]
    return mann_whitney(patients[["y"]].to_numpy(dtype=float).T, patients[["arm"]].to_numpy(dtype=np.int8).T, 1, continuity)


@pytest.mark.parametrize("continuity", [False, True])
@each_set
def test_the_test_is_that_of_r(data, continuity):
    found, expected = result(data, continuity), VALUES[data, "wilcoxon_corrected" if continuity else "wilcoxon", 0]
    assert found.u[0] == expected["u"]
    assert_allclose(normal_p_value(found.wilcoxon_z)[0], expected["p_value"], rtol=10 * DIGITS)  # small p-values magnify
    assert abs(normal_p_value(found.wilcoxon_z)[0] / VALUES[data, "wilcoxon" if continuity else "wilcoxon_corrected", 0, "p_value"] - 1) > 1e-3


@each_set
def test_the_standard_error_of_the_index_is_delongs(data):
    found, expected = result(data), VALUES[data, "placements", 0]
    assert_allclose(found.probability_index[0], expected["probability_index"], rtol=DIGITS)
    assert_allclose(found.placement_std_error[0], expected["std_error"], rtol=DIGITS)
