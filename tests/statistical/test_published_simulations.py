"""Published simulation studies, reproduced by the scenario files that ship as examples: Carter 2019 and Friedrich 2008.

A number agrees when it lies within the tolerance of its row, which was set from the replicates of the publication. A row that does not is run
once more with ten times the replicates, alone, and must agree then. The rows that need it are looked at in the long tests (make test-long).
"""

import itertools
import os
import re

import pandas as pd
import pytest
from meta_methods.cases import FOLDER

from simtrials.engine.files import evidence_from, set_at
from simtrials.engine.results import without_none
from simtrials.engine.run import run

CASES = pd.read_csv(FOLDER / "cases.csv", keep_default_na=False).astype({"expected": float, "tolerance_hint": float})
CARTER = CASES[CASES["source"].str.startswith("Carter")]
FRIEDRICH = CASES[CASES["source"].str.startswith("Friedrich")]
SYNTHESES = {
    "RE": "random_effects",
    "TF": "trim_and_fill",
    "WAAP-WLS": "waap_wls",
    "PET-PEESE": "pet_peese",
    "p-curve": "p_curve",
    "p-uniform": "p_uniform",
    "3PSM": "three_psm",
}
LEFT_OUT = {"EM23836"}
"""3PSM's coverage under strong selection of effects that differ: in 60 of 100 of these reviews every study is significant, the published code
estimates there all the same (coverage .76), and ours says that it cannot; of the others .86 are covered."""


REPEATED = set() if os.environ.get("SIMTRIALS_LONG") else {"EM23802"}


def numbers_of(text):
    return [float(number) for number in re.findall(r"(?:delta|tau|k|SMD)=(\d*\.?\d+)", text)]


def agrees(row, value):
    within = row.tolerance_hint * max(1.0, abs(row.expected))
    assert abs(value - row.expected) <= within, f"{row.id} {row.method}: {value:.4f}, published {row.expected}"


@pytest.fixture(scope="module")
def carter(tmp_path_factory):
    made = run("carter_2019", n_replicates=4_096, n_jobs=2, null=False, out=tmp_path_factory.mktemp("carter"))
    order = [(delta, tau, bias) for delta in (0.0, 0.5) for tau in (0.0, 0.2) for bias in ("none", "med", "high")]
    return made, dict(zip(order, made.sweep_cells(), strict=True))


@pytest.mark.parametrize("row", list(CARTER[~CARTER["id"].isin(LEFT_OUT | REPEATED)].itertuples()), ids=lambda row: row.id)
def test_carter_2019(carter, row, tmp_path):
    made, cells = carter
    delta, tau, _ = numbers_of(row.dataset_or_setting)
    cell = cells[delta, tau, row.dataset_or_setting.rsplit("=", 1)[1]]
    method, quantity = row.method.split(":")
    name, measure = SYNTHESES[method], {"mean_error": "bias", "coverage95": "coverage"}[quantity]
    value = made.measure(name, measure, cell).value
    if abs(value - row.expected) > row.tolerance_hint * max(1.0, abs(row.expected)):
        value = alone(made.scenario, name, dict(zip(made.scenario.sweep, point_of(made, cell), strict=True)), tmp_path).measure(name, measure).value
    agrees(row, value)


def point_of(made, cell):
    """The values of the sweep at a cell."""
    return list(itertools.product(*made.scenario.sweep.values()))[made.sweep_cells().index(cell)]


def alone(scenario, synthesis, point, folder):
    """One synthesis at one point of the sweep, ten times as often."""
    raw = scenario.model_dump(mode="json", exclude_defaults=True)
    raw = {key: value for key, value in raw.items() if key not in ("sweep", "sources", "question")}
    raw["syntheses"] = {synthesis: raw["syntheses"][synthesis]}
    for path, value in point.items():
        set_at(raw, path, value)
    return run(evidence_from(without_none(raw)), n_replicates=40_960, n_jobs=2, null=False, out=folder)


@pytest.fixture(scope="module")
def friedrich(tmp_path_factory):
    made = run("friedrich_2008", n_replicates=10_240, n_jobs=2, null=False, out=tmp_path_factory.mktemp("friedrich"))
    order = [(k, n, tau) for k in ("5", "10", "30") for n in ("10", "100") for tau in ("tau0", "tau.5")]
    return made, dict(zip(order, made.sweep_cells(), strict=True))


@pytest.mark.parametrize("row", list(FRIEDRICH.itertuples()), ids=lambda row: row.id)
def test_friedrich_2008(friedrich, row):
    made, cells = friedrich
    n_studies, n_per_arm = (re.search(rf"{letter}=(\d+)", row.dataset_or_setting)[1] for letter in "kn")
    measure, tau, quantity = re.fullmatch(r"DL_z (\w+)_(tau\.?\d):(\w+)", row.method).groups()
    cell, name = cells[n_studies, n_per_arm, tau], measure.lower()
    truth = made.truths[cell][name].value
    measures = {
        "pct_bias": made.measure(name, "bias", cell).value / truth,
        "coverage_pct": made.measure(name, "coverage", cell).value,
        "power_pct": made.measure(name, "rejection", cell).value,
    }
    assert abs(100 * measures[quantity] - row.expected) <= row.tolerance_hint
