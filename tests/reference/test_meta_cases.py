"""Methods of meta-analysis against `meta/cases.csv`: R's metafor, clubSandwich and robumeta, exact quadrature, and closed forms.

A value agrees when it lies within the row's own tolerance, relative to the larger of 1 and the expected value. Every row is computed, or its
method is named in `LEFT_OUT`, or its id in `LEFT_OUT_ROWS`, with the reason.
"""

from importlib import import_module
from pathlib import Path

import meta_methods
import pandas as pd
import pytest
from meta_methods.cases import FOLDER, LEFT_OUT, LEFT_OUT_ROWS, METHODS

for module in Path(meta_methods.__file__).parent.glob("*.py"):
    if module.stem != "__init__":
        import_module(f"meta_methods.{module.stem}")

CASES = pd.read_csv(FOLDER / "cases.csv", keep_default_na=False).astype({"expected": float, "tolerance_hint": float})
CASES["family"] = CASES["method"].str.split(":").str[0]
SIMULATED = CASES["source"].str.startswith(("Carter", "Friedrich"))
"""rows that whole scenarios reproduce, in `statistical/`"""
GROUPS = {
    key: rows
    for key, rows in CASES[~SIMULATED & ~CASES["id"].isin(LEFT_OUT_ROWS)].groupby(["family", "dataset_or_setting"], sort=False)
    if key[0] not in LEFT_OUT
}


@pytest.mark.parametrize(("family", "setting"), GROUPS, ids=lambda part: part.replace(" ", "_"))
def test_every_number_of_a_method_lies_within_its_tolerance(family, setting):
    wrong = []
    for row in GROUPS[family, setting].itertuples():
        found = METHODS[row.method](row.dataset_or_setting, row.inputs)
        if not abs(found - row.expected) <= row.tolerance_hint * max(1.0, abs(row.expected)):
            wrong.append(f"{row.id} {row.method} [{row.inputs}]: {found!r}, expected {row.expected!r} within {row.tolerance_hint}")
    assert not wrong, "\n".join(wrong)


def test_what_is_left_out_is_in_the_cases():
    assert set(LEFT_OUT) <= set(CASES["family"])
    assert set(LEFT_OUT_ROWS) <= set(CASES["id"])
