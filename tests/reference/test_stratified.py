"""Mantel-Haenszel methods against R's metafor::rma.mh and mantelhaen.test (see make_marginal.R)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

from simtrials.stats.stratified import (
    MANTEL_HAENSZEL,
    StratifiedCounts,
    cochran_mantel_haenszel_test,
    mantel_haenszel_log_odds_ratio,
    mantel_haenszel_risk_difference,
    stratified_counts,
)

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "marginal_data.csv")
TABLES = pd.read_csv(HERE / "marginal_tables.csv")
VALUES = pd.read_csv(HERE / "marginal_values.csv").set_index(["data", "method", "quantity"])["value"].sort_index()
DIGITS = 1e-12  # printed with 15 digits; a sum over strata loses some where signs differ
CONTRASTS = {"RD": "risk_difference", "RR": "log_risk_ratio", "OR": "log_odds_ratio"}
SETS = ("infert", "births", "bacteria", "bcg", "catheters", "berkeley")


def counts(data):
    rows = TABLES[TABLES["data"] == data]
    return StratifiedCounts(*(rows[name].to_numpy(dtype=float)[np.newaxis] for name in StratifiedCounts._fields))


@pytest.mark.parametrize("measure", CONTRASTS)
@pytest.mark.parametrize("data", SETS)
def test_pooled_effects_are_those_of_rma_mh(data, measure):
    found = MANTEL_HAENSZEL[CONTRASTS[measure]](counts(data))
    assert_allclose(found.estimate[0], VALUES[data, "rma.mh", f"{measure}_estimate"], rtol=DIGITS)
    assert_allclose(found.std_error[0], VALUES[data, "rma.mh", f"{measure}_std_error"], rtol=DIGITS)


@pytest.mark.parametrize("data", SETS)
def test_the_variance_for_large_strata_adds_up_binomial_variances(data):
    found = mantel_haenszel_risk_difference(counts(data), "greenland_robins").std_error[0]
    assert_allclose(found, VALUES[data, "greenland_robins", "RD_std_error"], rtol=DIGITS)
    assert abs(found / VALUES[data, "rma.mh", "RD_std_error"] - 1) > 1e-4


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("data", SETS)
def test_the_test_is_mantelhaen_test(data, corrected):
    method = "mantelhaen_corrected" if corrected else "mantelhaen"
    found = cochran_mantel_haenszel_test(counts(data), corrected)
    assert_allclose(found.statistic[0] ** 2, VALUES[data, method, "chi_squared"], rtol=DIGITS)
    magnified = 1 + VALUES[data, method, "chi_squared"]  # the relative change of a p-value per relative change of the statistic
    assert_allclose(found.p_value[0], VALUES[data, method, "p_value"], rtol=magnified * DIGITS)
    assert_allclose(found.p_value[0], 2 * ndtr(-abs(found.statistic[0])), rtol=DIGITS)
    assert np.sign(found.statistic[0]) == np.sign(np.log(VALUES[data, "mantelhaen", "odds_ratio"]))


@pytest.mark.parametrize("data", SETS)
def test_the_odds_ratio_is_that_of_mantelhaen_test(data):
    assert_allclose(np.exp(mantel_haenszel_log_odds_ratio(counts(data)).estimate[0]), VALUES[data, "mantelhaen", "odds_ratio"], rtol=DIGITS)


def test_berkeley_admissions_as_printed_by_r():
    """R's documentation of mantelhaen.test: X-squared = 1.5246 (without correction) or 1.4269, common odds ratio 0.9047."""
    plain, corrected = (cochran_mantel_haenszel_test(counts("berkeley"), option).statistic[0] ** 2 for option in (False, True))
    assert [round(plain, 4), round(corrected, 4)] == [1.5246, 1.4269]
    assert round(np.exp(mantel_haenszel_log_odds_ratio(counts("berkeley")).estimate[0]), 4) == 0.9047


@pytest.mark.parametrize("data", ["infert", "births", "bacteria"])
def test_counting_patients_gives_the_tables(data):
    patients = DATA[DATA["data"] == data]
    outcome, arm, stratum = (patients[[name]].to_numpy().T for name in ("y", "arm", "stratum"))
    for found, expected in zip(stratified_counts(outcome.astype(float), arm.astype(np.int8), 1, stratum), counts(data), strict=True):
        assert_array_equal(found, expected)
