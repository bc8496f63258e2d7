"""Critical values and p-values against R's qt and pt (see make_regression.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value

VALUES = pd.read_csv(Path(__file__).parent / "regression_values.csv")
VALUES = VALUES[VALUES["method"].isin(["1", "2.5", "7.3", "10", "198", "1e+06", "Inf"])]
DIGITS = 1e-11  # of R's qt, which iterates


@pytest.mark.parametrize(("df", "quantity"), VALUES.groupby(["method", "quantity"]).groups)
def test_values_are_those_of_r(df, quantity):
    rows = VALUES[(VALUES["method"] == df) & (VALUES["quantity"] == quantity)]
    for argument, expected in zip(rows["tested"], rows["value"], strict=True):
        given = np.array([float(df)])
        found = t_critical(given, argument) if quantity == "critical" else t_p_value(np.array([argument]), given)
        assert_allclose(found, expected, rtol=DIGITS)
        if df == "Inf":
            assert_allclose(normal_critical(argument) if quantity == "critical" else normal_p_value(np.array(argument)), expected, rtol=DIGITS)
