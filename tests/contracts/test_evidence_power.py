"""What a review could have shown: closed forms where there are some, simulated one by one where there are none, and every message."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from contracts.test_cli import call
from numpy.testing import assert_allclose
from scipy.stats import norm

from simtrials.core.errors import SimtrialsError
from simtrials.engine.real_studies.analyze import review
from simtrials.planning.evidence_power import evidence_power
from simtrials.stats.closed_form import meta_analysis_power
from simtrials.stats.meta_analysis import meta_analysis

VI = np.array([0.05, 0.10, 0.02, 0.20, 0.08, 0.04])
YI = np.array([0.7, -0.3, 0.5, 1.3, -0.4, 0.6])


def studies(vi=VI, **choices):
    frame = pd.DataFrame({"study": [f"Trial {i}" for i in range(len(vi))], "yi": YI[: len(vi)], "vi": vi})
    return review(frame, **choices)


def test_the_z_test_has_the_power_of_the_closed_form():
    found = evidence_power(studies(method="common", ci="wald"), [0.1, 0.2, 0.35])
    (row,) = found.rows
    std_error = math.sqrt(1 / (1 / VI).sum())
    for effect in found.effects:
        share, exact = row.power(effect), norm.sf(norm.isf(0.025) - effect / std_error)
        assert abs(share.value - exact) < 4 * share.mcse
        ignoring_precision = norm.sf(norm.isf(0.025) - effect / math.sqrt(VI.mean() / len(VI)))
        assert abs(share.value - ignoring_precision) > 4 * share.mcse, "a version with equal weights would have been seen"
    exact = std_error * (norm.isf(0.025) + norm.ppf(0.8))
    at = row.detectable(0.8)
    assert at.lower < exact < at.upper
    assert (at.upper - at.lower) / exact < 0.05


@pytest.mark.parametrize("tau2", [0.0, 0.1])
def test_equal_precision_has_the_power_of_hedges_pigott_and_of_the_t_test(tau2):
    vi = np.full(6, 0.06)
    yi = math.sqrt((0.06 + tau2) * 5 / 6) * np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]) * math.sqrt(6 / 5) + 0.3
    frame = pd.DataFrame({"study": list("abcdef"), "yi": yi, "vi": vi})
    found = evidence_power(review(frame, ci="hartung_knapp"), [0.3])
    for row in found.rows:
        exact = meta_analysis_power(0.3, k=6, variance=0.06, tau2=row.tau2, tails="benefit", test="hartung_knapp")
        assert abs(row.power(0.3).value - exact) < 4 * row.power(0.3).mcse, row.end
    wald = evidence_power(review(frame, method="common", ci="wald"), [0.3]).rows[0].power(0.3)
    assert abs(wald.value - meta_analysis_power(0.3, k=6, variance=0.06, tails="benefit")) < 4 * wald.mcse


@pytest.mark.parametrize(
    ("method", "ci"), [("REML", "hartung_knapp"), ("DL", "wald"), ("ML", "profile_likelihood"), ("DL", "henmi_copas"), ("REML", "kenward_roger")]
)
def test_shifting_a_review_at_zero_is_simulating_it_at_the_effect(method, ci):
    found = evidence_power(studies(method=method, ci=ci), [0.25], n_replicates=400)
    row = next(one for one in found.rows if one.end == "estimate")
    y = np.random.default_rng(3).normal(0.25, np.sqrt(VI + row.tau2), (400, len(VI)))
    shown = meta_analysis(y, VI, tau2=method, ci=ci, tau2_ci="none").lower > 0
    assert abs(row.power(0.25).value - shown.mean()) < 4 * math.sqrt(2) * row.power(0.25).mcse
    moved = meta_analysis(y - 0.25, VI, tau2=method, ci=ci, tau2_ci="none").lower
    assert_allclose(moved, meta_analysis(y, VI, tau2=method, ci=ci, tau2_ci="none").lower - 0.25, atol=2e-5)


def test_more_spread_and_smaller_effects_have_less_power_and_the_table_says_the_same():
    found = evidence_power(studies(), [0.2, 0.4])
    assert [row.end for row in found.rows] == ["lower", "estimate", "upper"]
    frame = found.to_frame().pivot(index="effect", columns="tau2", values="power")
    assert (np.diff(frame.to_numpy(), axis=0) > 0).all()
    assert (np.diff(frame.to_numpy(), axis=1) < 0).all()
    plain = found.to_dict()
    json.dumps(plain)
    assert [one["tau2"] for one in plain["detectable"]] == [row.tau2 for row in found.rows]
    for one in plain["detectable"]:
        assert one["detectable_limits"][0] <= one["detectable"] <= one["detectable_limits"][1]
    assert evidence_power(studies(), [0.2, 0.4]).to_dict() == plain


def test_ratios_and_bad_events_turn_round():
    """A review of log ratios below 0 has the power of its mirror image."""
    frame = pd.DataFrame({"study": list("abcdef"), "yi": -YI, "vi": VI})
    ratio = review(frame, measure="RR", benefit="lower")
    mirror = evidence_power(studies(), [0.3])
    found = evidence_power(ratio, [math.exp(-0.3)])
    for one, other in zip(found.rows, mirror.rows, strict=True):
        assert one.power(found.oriented(math.exp(-0.3))) == other.power(0.3)
    assert found.to_dict()["detectable"][1]["detectable"] == pytest.approx(math.exp(-mirror.to_dict()["detectable"][1]["detectable"]))
    with pytest.raises(SimtrialsError, match="below 1"):
        evidence_power(ratio, [1.2])


def test_one_trial_is_a_z_test():
    found = evidence_power(studies(vi=VI[:1]), [0.5])
    share = found.rows[0].power(0.5)
    assert abs(share.value - norm.sf(norm.isf(0.025) - 0.5 / math.sqrt(VI[0]))) < 4 * share.mcse


@pytest.mark.parametrize(
    ("effects", "given", "told"),
    [
        ([], {}, "at least one true mean effect"),
        ([-0.2], {}, "must be a benefit, above 0, got -0.2"),
        ([0.3], {"power": 1.0}, "power must lie between 0 and 1"),
        ([0.3], {"n_replicates": 10}, "at least 100 simulated reviews"),
    ],
)
def test_mistakes_say_what_must_hold(effects, given, told):
    with pytest.raises(SimtrialsError, match=told):
        evidence_power(studies(), effects, **given)


def test_the_command_prints_writes_and_refuses(tmp_path):
    pd.DataFrame({"study": list("abcdef"), "yi": YI, "vi": VI}).to_csv(tmp_path / "effects.csv", index=False)
    told = call("meta", "effects.csv", "--detects", "0.2,0.4", "--out", "found", "--method", "common", "--ci", "wald", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "have shown" in told.stdout
    assert (tmp_path / "found" / "power.svg").is_file()
    refused = call("meta", "effects.csv", "--detects", "a lot", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--detects needs numbers with commas" in refused.stderr
