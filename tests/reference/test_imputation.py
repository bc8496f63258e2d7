"""Rubin's rules against mice, conditional means and their jackknife against nlme's gls (see make_imputation.R)."""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from simtrials.stats.conditional_mean import conditional_mean_ancova
from simtrials.stats.imputation import Regressions, cohort
from simtrials.stats.reference_based import Assumption
from simtrials.stats.rubin import Analyses, pool

HERE = Path(__file__).parent
TRIAL = pd.read_csv(HERE / "imputation_data.csv")
VALUES = pd.read_csv(HERE / "imputation_values.csv").set_index(["data", "method", "number", "quantity"])["value"].sort_index()
DIGITS = 1e-12  # printed with 15 digits; sums of 20 numbers lose one or two
POOLED = sorted(VALUES.xs("pool", level="method").index.unique("data"))


def analyses(data):
    """The analyses that mice pooled, one replicate."""
    found = VALUES[data, "analysis"].drop(0).unstack()
    return Analyses(
        found[["estimate"]].to_numpy().T, found[["std_error"]].to_numpy().T, np.array([VALUES[data, "analysis", 0, "df"]]), np.zeros(1, int)
    )


@pytest.mark.parametrize("data", POOLED)
def test_pooling_is_that_of_mice(data):
    found, expected = pool(analyses(data)), VALUES[data, "pool", 0]
    assert_allclose(found.estimate[0], expected["qbar"], rtol=DIGITS)
    assert_allclose(found.within[0], expected["ubar"], rtol=DIGITS)
    assert_allclose(found.between[0], expected["b"], rtol=DIGITS)
    assert_allclose(found.std_error[0] ** 2, expected["t"], rtol=DIGITS)
    assert_allclose(found.df[0], expected["df"], rtol=DIGITS)


@pytest.mark.parametrize("data", [data for data in POOLED if not data.endswith("Inf")])
def test_wrong_rules_are_told_apart_from_mice(data):
    found, expected, given = pool(analyses(data)), VALUES[data, "pool", 0], analyses(data)
    m = given.estimate.shape[1]
    extra, total = (1 + 1 / m) * found.between[0], found.std_error[0] ** 2
    large_sample = (m - 1) * (total / extra) ** 2  # Rubin 1987, without regard to the size of the trial
    with_total = (m - 1) / ((1 + 1 / m) * total / (found.within[0] + (1 + 1 / m) * total)) ** 2  # total in the place of between variance
    assert abs(found.within[0] + (1 + 1 / m) * total - expected["t"]) > 0.1 * expected["t"]
    assert abs(found.within[0] + found.between[0] - expected["t"]) > 0.01 * expected["t"]  # without the noise of finitely many imputations
    for wrong in (large_sample, with_total, given.df[0]):
        assert abs(wrong - expected["df"]) > 0.01 * expected["df"]


def fit(assumption, regressions):
    outcome, arm, baseline = TRIAL[["y1", "y2", "y3", "y4"]].to_numpy(), TRIAL["arm"].to_numpy(dtype=np.int8), TRIAL["baseline"].to_numpy()
    return conditional_mean_ancova(cohort(outcome[np.newaxis], arm[np.newaxis], 1, [baseline[np.newaxis]]), assumption, regressions)


def stopping_error(regressions):
    """gls stops when a step gains less than 1e-12 of the log-likelihood; parameters that far from the top are off by this many standard errors."""
    return np.sqrt(2 * 1e-12 * abs(VALUES[regressions, "mixed_model", 0, "log_likelihood"]))


@pytest.mark.parametrize("regressions", get_args(Regressions))
@pytest.mark.parametrize("assumption", get_args(Assumption))
def test_conditional_means_and_their_jackknife_are_those_of_refitted_mixed_models(assumption, regressions):
    found, expected = fit(assumption, regressions), VALUES[regressions, assumption, 0]
    error, n = stopping_error(regressions), len(TRIAL)
    assert_allclose(found.estimate[0], expected["estimate"], rtol=0, atol=error * expected["std_error"])
    assert_allclose(found.std_error[0], expected["std_error"], rtol=error * np.sqrt(n))  # of n refits, each off by so much
    others = [VALUES[regressions, other, 0, "estimate"] for other in get_args(Assumption) if other != assumption]
    assert np.abs(np.array(others) - found.estimate[0]).min() > 100 * error * expected["std_error"]


def test_at_random_with_shared_regressions_it_is_the_mixed_model():
    found, expected = fit("missing_at_random", "shared"), VALUES["shared", "mixed_model", 0, "estimate"]
    assert_allclose(found.estimate[0], expected, rtol=0, atol=stopping_error("shared") * found.std_error[0])
