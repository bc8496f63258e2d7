"""The flagship review against an independent calculation (settings S1 to S4, S0 and selection only), within the joint Monte Carlo error."""

import os

import numpy as np
import pytest

from simtrials.engine.files import read
from simtrials.engine.run import run

N = 10_240
LONG = bool(os.environ.get("SIMTRIALS_LONG"))
LATER = set() if LONG else {"fall_13", "fall_8", "selection_20", "selection_8_both"}
"""Settings that are looked at where the long tests are asked for: make test-long."""
OUTCOMES = ("severity", "anhedonia", "response", "remission")
INDEPENDENT = {
    "scenario": (40_000, (0.688, 0.561, 0.468, 0.307), (0.610, 0.357, 0.418, 0.295), (0.133, 0.081), (0.337, 0.387, 1.36, 1.46)),
    "fall_13": (40_000, (0.684, 0.558, 0.503, 0.230), (0.606, 0.359, 0.446, 0.156), (0.116, 0.079), (0.333, 0.387, 1.28, 1.38)),
    "fall_8": (20_000, (0.694, 0.565, 0.420, 0.234), (0.614, 0.361, 0.403, 0.259), (0.167, 0.089), (0.339, 0.389, 1.48, 1.56)),
    "homogeneous": (20_000, (0.818, 0.586, 0.464, 0.277), (0.781, 0.392, 0.452, 0.303), (0.196, 0.121), (0.340, 0.389, 1.35, 1.44)),
    "null": (20_000, (0.033, 0.021, 0.029, 0.022), (0.028, 0.024, 0.032, 0.031), (0.002, 0.001), (0.00, 0.00, 1.02, 1.03)),
}
"""Replicates; power by REML and Wald, by REML and Hartung-Knapp; pattern by both; mean pooled g, g, RR, RR (shown with two or three digits)."""
SELECTION = {
    "selection_20": (6_000, 0.16, 0.06, 1.17, 0.009),
    "selection_8": (10_000, 0.34, 0.12, 1.38, 0.019),
    "selection_8_both": (10_000, 0.34, 0.21, 1.37, 0.043),
}


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    scenario = read("review_2026")
    looked_at = {name: variant for name, variant in scenario.variants.items() if name in {*INDEPENDENT, *SELECTION} - LATER}
    return run(scenario.model_copy(update={"variants": looked_at}), n_replicates=N, n_jobs=2, out=tmp_path_factory.mktemp("review"))


def cell_of(review, setting):
    return {"scenario": "scenario", "null": "null", **review.variant_cells()}[setting]


def joint_error(share, n):
    """Of two shares that were simulated independently; the independent one is printed with three digits."""
    return float(np.sqrt(max(share * (1 - share), 1e-3) * (1 / N + 1 / n))) + 0.0005 / 4


@pytest.mark.parametrize("setting", [name for name in INDEPENDENT if name not in LATER])
def test_power_and_pattern_agree_with_the_independent_calculation(review, setting):
    n, wald, hartung_knapp, patterns, means = INDEPENDENT[setting]
    cell = cell_of(review, setting)
    for suffix, powers in (("", wald), ("_hk", hartung_knapp)):
        for outcome, expected in zip(OUTCOMES, powers, strict=True):
            value = review.measure(outcome + suffix, "power", cell).value
            assert abs(value - expected) < 4 * joint_error(expected, n), f"{outcome}{suffix}: {value:.4f}, independently {expected}"
    for measure, expected in zip(review.patterns(cell), patterns, strict=True):
        assert abs(measure.value - expected) < 4 * joint_error(expected, n), f"{measure.name}: {measure.value:.4f}, independently {expected}"
    for outcome, expected in zip(OUTCOMES, means, strict=True):
        mean = review.measure(outcome, "mean_estimate", cell)
        value = mean.value if expected < 0.9 else float(np.exp(mean.value))
        assert abs(value - expected) < 4 * mean.mcse * np.sqrt(1 + N / n) * max(value, 1) + (0.0005 if expected < 0.9 else 0.005), outcome


@pytest.mark.parametrize("setting", [name for name in SELECTION if name not in LATER])
def test_selection_alone_feigns_what_the_independent_calculation_says(review, setting):
    n, severity, anhedonia, response, pattern = SELECTION[setting]
    cell = cell_of(review, setting)
    for outcome, expected in (("severity", severity), ("anhedonia", anhedonia)):
        mean = review.measure(outcome, "mean_estimate", cell)
        assert abs(mean.value - expected) < 4 * mean.mcse * np.sqrt(1 + N / n) + 0.005
    mean = review.measure("response", "mean_estimate", cell)
    assert abs(np.exp(mean.value) - response) < 4 * mean.mcse * response * np.sqrt(1 + N / n) + 0.005
    assert abs(review.patterns(cell)[0].value - pattern) < 4 * joint_error(pattern, n)


def test_a_wrong_spread_of_true_effects_would_have_been_seen(review):
    """Power of severity without heterogeneity lies far from that with it."""
    value = review.measure("severity", "power", cell_of(review, "homogeneous")).value
    assert abs(value - INDEPENDENT["scenario"][1][0]) > 8 * joint_error(0.688, 40_000)


def test_about_one_in_eight_trials_is_published_under_the_selection_that_feigns_the_effect(review):
    counts = {measure.name: measure.value for measure in review.counts(cell_of(review, "selection_8"))}
    assert counts["studies_published"] == 11
    assert 7.0 < counts["studies_run"] / 11 < 9.5
