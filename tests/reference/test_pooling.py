"""Subgroups, Henmi and Copas's interval and rules for zero cells against R's metafor 3.8-1 (`make_pooling.R`)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from meta_methods.cases import METHODS, data, studies
from meta_methods.effect_sizes import COUNTS
from numpy.testing import assert_allclose

from simtrials.stats.effect_sizes import effect_sizes
from simtrials.stats.effect_sizes_counts import COUNT_EFFECTS
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.subgroups import subgroup_analysis

VALUES = pd.read_csv(Path(__file__).parent / "pooling_values.csv", keep_default_na=False, dtype={"inputs": str}).replace({"value": {"": np.nan}})
VALUES["value"] = VALUES["value"].astype(float)
RULES = {"z": "wald", "knha": "hartung_knapp"}
AGREE = {"rtol": 1e-9, "atol": 1e-9}
"""metafor's last step is 1e-13 and its numbers have 15 digits; a tau2 is found to 1e-10 of itself"""
INTEGRATE = 1.2e-4 * 0.025 / 0.058
"""Standard errors by which R's integrate may move a limit: relative error that it allows, of a tail of 0.025, over the normal density there."""
ZERO = {argument: data("counts_zero_cells")[column].to_numpy(float) for argument, column in COUNTS.items()}


def expected(rows: pd.DataFrame) -> dict[str, float]:
    return dict(zip(rows["quantity"], rows["value"], strict=True))


SUBGROUPS = VALUES[VALUES["method"].isin(["shared", "separate"])]
SETTINGS = sorted({(row.data, row.method, *row.inputs.split()[:3]) for row in SUBGROUPS.itertuples()})


@pytest.mark.parametrize(("name", "spread", "by", "tau2", "test"), SETTINGS)
def test_subgroups_are_those_of_metafor(name, spread, by, tau2, test):
    y, v = studies(name)
    labels = data(name)[by].to_numpy(dtype=str)
    found = subgroup_analysis(y[0], v[0], labels, tau2=tau2, spread=spread, ci=RULES[test])
    rows = SUBGROUPS[(SUBGROUPS["data"] == name) & (SUBGROUPS["method"] == spread)]
    whole = expected(rows[rows["inputs"] == f"{by} {tau2} {test}"])
    assert_allclose([found.q_between, found.q_between_p_value], [whole["q"], whole["p"]], **AGREE)
    for place, label in enumerate(found.groups):
        for quantity, value in expected(rows[rows["inputs"] == f"{by} {tau2} {test} {label}"]).items():
            assert_allclose(getattr(found, quantity)[place], value, err_msg=f"{label} {quantity}", **AGREE)
    if "tau2" in whole:
        assert_allclose(found.tau2, whole["tau2"], **AGREE)


HENMI_COPAS = VALUES[VALUES["method"] == "henmi_copas"]


@pytest.mark.parametrize("name", HENMI_COPAS["data"].unique())
def test_henmi_and_copas_agree_with_metafor_where_it_searches_to_the_end(name):
    y, v = studies(name)
    found = meta_analysis(y[0], v[0], tau2="DL", ci="henmi_copas")
    rows = HENMI_COPAS[HENMI_COPAS["data"] == name]
    for quantity, value in expected(rows).items():
        assert_allclose(getattr(found, quantity), value, err_msg=quantity, rtol=1e-12, atol=INTEGRATE * float(found.std_error))


@pytest.mark.parametrize("measure", [measure for measure in COUNT_EFFECTS if f"escalc_{measure}" in set(VALUES["method"])])
def test_zero_cells_are_treated_as_in_metafor(measure):
    rows = VALUES[VALUES["method"] == f"escalc_{measure}"]
    for inputs, both in rows.groupby("inputs"):
        to, add, drop, place = inputs.split()
        found = effect_sizes(measure, **ZERO, to=to, add=float(add), drop00=drop == "TRUE")
        theirs = expected(both)
        if not np.isfinite(theirs["yi"]) or not theirs["vi"] > 0 or np.isinf(theirs["vi"]):
            theirs = {"yi": np.nan, "vi": np.nan}
        for quantity, value in theirs.items():
            assert_allclose(getattr(found, quantity)[int(place) - 1], value, rtol=1e-12, err_msg=f"{inputs} {quantity}")


def test_pooling_after_a_rule_for_zero_cells_is_that_of_metafor():
    rows = VALUES[VALUES["method"].str.match("rma_REML|TACC")]
    assert len(rows)
    for row in rows.itertuples():
        assert_allclose(METHODS[f"{row.method}:{row.quantity}"](row.data, row.inputs), row.value, err_msg=f"{row.method} {row.inputs}", **AGREE)
