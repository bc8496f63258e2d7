"""Repeated measures and random slopes against R's mmrm, nlme, lmerTest and pbkrtest (see make_mmrm.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from double import mmrm as twin
from numpy.testing import assert_allclose

from simtrials.core.status import Status
from simtrials.stats.mmrm import mmrm
from simtrials.stats.random_slope import random_slope

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "mmrm_data.csv")
VALUES = pd.read_csv(HERE / "mmrm_values.csv").set_index(["data", "covariance", "means", "contrast", "method", "quantity"])["value"].sort_index()
WEEKS = {
    "antidepressant": (1, 2, 4, 6),
    "growth": (8, 10, 12, 14),
    "growth_with_gaps": (8, 10, 12, 14),
    "chicks": (4, 8, 12, 16, 20),
    "small": (1, 2, 3, 4),
    "gaps": (1, 2, 3, 4, 5),
}
# Optimisers stop when a step changes the log-likelihood, which is below 1,500 here, by less than a share of it; the parameters are then off by
# sqrt(2 x share x 1500) standard errors. mmrm: share 1e-14 to 1e-12 reached by nlminb; gls: 1e-12 of each of its alternating parts; lmer: a
# trust region of 1e-10, with numerical derivatives of step 1e-4 for degrees of freedom.
STOPPING_ERROR = {"mmrm": 6e-5, "gls": 6e-5, "lmer": 2e-6}
CASES = sorted(VALUES.index.droplevel("quantity").unique())
REPEATED = [case for case in CASES if case[1] != "random_slope"]
SLOPES = [case for case in CASES if case[1] == "random_slope"]


def arrays(data):
    """Outcome, arm and covariates of a data set as one replicate."""
    rows, n_visits = DATA[DATA["data"] == data], len(WEEKS[data])
    outcome = rows[[f"y{visit + 1}" for visit in range(n_visits)]].to_numpy()[np.newaxis]
    covariates = [] if rows["x"].isna().all() else [rows["x"].to_numpy(dtype=float)[np.newaxis]]
    return outcome, rows["arm"].to_numpy(dtype=np.int8)[np.newaxis], covariates


def options(method):
    """mmrm uses observed information; pbkrtest, behind lmer's Kenward-Roger, the expected one."""
    df = "kenward_roger" if method.endswith("kenward_roger") else "satterthwaite"
    return {"df": df, "information": "expected" if method == "lmer_kenward_roger" else "observed"}


def fitted(case, **changes):
    data, covariance, means, contrast, method = case
    outcome, arm, covariates = arrays(data)
    n_visits = outcome.shape[2]
    if covariance == "random_slope":
        week = None if contrast == "slope" else max(WEEKS[data])
        return random_slope(outcome, WEEKS[data], arm, 1, covariates, week, **(options(method) | changes))
    visit = {"last": n_visits - 1, "second": 1, "mean": [1 / n_visits] * n_visits}[contrast]
    given = options(method) | {"covariance": covariance, "common_slope": means == "common_slope"} | changes
    return mmrm(outcome, arm, 1, covariates, visit, **given)


def error_of(case):
    return STOPPING_ERROR[case[-1].split("_")[0]]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_estimate_error_and_degrees_of_freedom_are_those_of_r(case):
    found, expected, error = fitted(case), VALUES[case], error_of(case)
    assert found.status[0] == Status.OK
    assert_allclose(found.estimate[0], expected["estimate"], rtol=0, atol=error * expected["std_error"])
    assert_allclose(found.std_error[0], expected["std_error"], rtol=error)
    if case[-1] != "gls":
        assert_allclose(found.df[0], expected["df"], rtol=4 * error)  # the square of a variance, over its gradient


def test_the_real_trial_is_among_them():
    assert {data for data, *_ in CASES} == set(WEEKS)
    outcome, arm, covariates = arrays("antidepressant")
    found = mmrm(outcome, arm, 1, covariates)
    assert_allclose([found.estimate[0], found.std_error[0], found.df[0]], [-2.802, 1.114, 150.1], rtol=5e-4)


UNSTRUCTURED = [case for case in REPEATED if case[1:4] == ("unstructured", "by_visit", "mean") and case[-1].startswith("mmrm")]


@pytest.mark.parametrize("case", [case for case in UNSTRUCTURED if case[0] != "growth"], ids="-".join)
def test_expected_information_is_told_apart_from_observed(case):
    """Where visits are missing. On complete data, as those of `growth`, the two are one."""
    other, expected = fitted(case, information="expected"), VALUES[case]
    assert abs(other.df[0] / expected["df"] - 1) > 10 * error_of(case)


@pytest.mark.parametrize("data", ["small", "gaps", "growth_with_gaps"])
def test_likelihood_without_restriction_is_told_apart(data):
    """The named wrong version: maximum likelihood, whose standard errors are too small."""
    outcome, arm, covariates = arrays(data)
    stacked = twin.repeated_measures(outcome[0], arm[0], 1, [x[0] for x in covariates])
    wrong = twin.Fit(stacked, twin.COVARIANCES["ar1"](outcome.shape[2]), restricted=False)
    assert np.sqrt(wrong.variance) < 0.99 * VALUES[data, "ar1", "by_visit", "last", "mmrm_satterthwaite", "std_error"]


@pytest.mark.parametrize("data", ["antidepressant", "small", "gaps"])
def test_the_error_of_kenward_and_roger_is_told_apart_from_the_plain_one(data):
    enlarged, plain = (VALUES[data, "unstructured", "by_visit", "last", f"mmrm_{df}", "std_error"] for df in ("kenward_roger", "satterthwaite"))
    assert enlarged > (1 + 10 * STOPPING_ERROR["mmrm"]) * plain
