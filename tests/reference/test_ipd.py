"""Meta-analysis of individual patient data against R's nlme and metafor: values of `make_ipd.R`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.ipd import ipd_two_stage
from simtrials.stats.ipd_one_stage import ipd_one_stage

FOLDER = Path(__file__).parent
PATIENTS = pd.read_csv(FOLDER / "ipd_data.csv")
VALUES = pd.read_csv(FOLDER / "ipd_values.csv").set_index(["model", "quantity"])["value"]
NLME = 2e-4
"""nlme differentiates its likelihood numerically: maxima are flat over steps of the fourth root of rounding, relative to their size."""

METAFOR = 1e-8
ONE_STAGE = {
    "both_REML": {}, "both_ML": {"method": "ML"}, "correlated_REML": {"random": "correlated"},
    "correlated_ML": {"random": "correlated", "method": "ML"}, "treatment_REML": {"random": "treatment", "interaction": False},
    "across_REML": {"across_trials": True},
}  # fmt: skip


def arrays():
    """Outcome, arm, covariate, baseline: (trial, patient), NaN and -1 where there is no patient."""
    place = PATIENTS.groupby("trial").cumcount()
    shape = PATIENTS["trial"].max(), place.max() + 1
    out = []
    for column in ("outcome", "arm", "crp", "base"):
        array = np.full(shape, -1.0 if column == "arm" else np.nan)
        array[PATIENTS["trial"] - 1, place] = PATIENTS[column]
        out.append(array)
    return out


@pytest.mark.parametrize("model", ONE_STAGE)
def test_one_stage_agrees_with_nlme(model):
    fit, expected = ipd_one_stage(*arrays(), **ONE_STAGE[model]), VALUES[model]
    found = {"tau2_arm": fit.tau2[0], "tau2_ax": fit.tau2[1], "correlation": fit.correlation}
    found |= {f"residual{i}": value for i, value in enumerate(fit.residual_variance)}
    for i in range(len(fit.estimate)):
        found |= {f"estimate{i}": fit.estimate[i], f"std_error{i}": fit.std_error[i]}
    assert set(expected.index) <= set(found)
    assert_allclose([found[name] for name in expected.index], expected, rtol=NLME)


def test_two_stages_agree_with_regressions_pooled_by_metafor():
    two = ipd_two_stage(*arrays())
    for name, fit in (("two_stage_treatment", two.treatment), ("two_stage_interaction", two.interaction)):
        found = {"estimate": fit.estimate, "std_error": fit.std_error, "tau2": fit.tau2, "p_value": fit.p_value}
        assert_allclose([found[quantity] for quantity in VALUES[name].index], VALUES[name], rtol=METAFOR)
