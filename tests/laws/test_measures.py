"""Measures against the formulas written out, in one go and in pieces."""

import numpy as np
import pytest
from double import measures as naive

from simtrials.core.measures import Judged, Tally, Truth, share_mcse, wilson

TRUTH = 0.4


def made_up(n=500, seed=1):
    rng = np.random.default_rng(seed)
    std_error = rng.uniform(0.2, 0.4, n)
    estimate = rng.normal(TRUTH, 0.3, n)
    z = estimate / std_error
    status = np.zeros(n, dtype=np.int8)
    return Judged(estimate, std_error, estimate - 1.96 * std_error, estimate + 1.96 * std_error, np.abs(z) > 1.96, z > 1.96, status)


def failing(judged, rows):
    parts = {field: getattr(judged, field).copy() for field in ("estimate", "std_error", "lower", "upper", "rejected", "benefit", "status")}
    for field in ("estimate", "std_error", "lower", "upper"):
        parts[field][rows] = np.nan
    parts["rejected"][rows] = parts["benefit"][rows] = False
    parts["status"][rows] = 4
    return Judged(**parts)


def tallied(*blocks, truth=TRUTH, error=0.0):
    tally = Tally(Truth(truth, error, "known"))
    for block in blocks:
        tally.add(block)
    return {measure.name: measure for measure in tally.measures()}


def test_every_measure_is_that_of_the_paper():
    judged = made_up()
    found = tallied(judged)
    estimates, errors = judged.estimate.tolist(), judged.std_error.tolist()
    covered = ((judged.lower <= TRUTH) & (judged.upper >= TRUTH)).tolist()
    expected = {
        "bias": naive.bias(estimates, TRUTH),
        "empirical_se": naive.empirical_se(estimates),
        "model_se": naive.model_se(errors),
        "relative_error_of_model_se": naive.relative_error_of_model_se(estimates, errors),
        "mean_squared_error": naive.mean_squared_error(estimates, TRUTH),
        "coverage": naive.share(covered),
        "rejection": naive.share(judged.rejected.tolist()),
        "power": naive.share(judged.benefit.tolist()),
    }
    for name, (value, mcse) in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
        assert found[name].mcse == pytest.approx(mcse, rel=1e-9), name
    assert found["exaggeration"].value == pytest.approx(naive.exaggeration(estimates, judged.rejected.tolist(), TRUTH))
    assert found["interval_width"].value == pytest.approx(np.mean(judged.upper - judged.lower))


def test_pieces_give_what_the_whole_gives():
    judged = made_up()

    def piece(rows):
        return Judged(*(getattr(judged, field)[rows] for field in ("estimate", "std_error", "lower", "upper", "rejected", "benefit", "status")))

    whole, parts = tallied(judged), tallied(piece(slice(0, 123)), piece(slice(123, 500)))
    for name, measure in whole.items():
        assert parts[name].value == pytest.approx(measure.value, rel=1e-10)
        assert parts[name].mcse == pytest.approx(measure.mcse, rel=1e-8)


def test_failures_count_as_no_rejection_and_are_reported():
    judged = made_up()
    shown = int(judged.benefit[50:].sum())
    found = tallied(failing(judged, slice(0, 50)))
    assert found["power"].value == shown / 500
    assert found["power_among_estimable"].value == shown / 450
    assert found["not_estimable"].value == 0.1
    assert all(measure.n_failed == 50 for measure in found.values())
    assert found["bias"].value == pytest.approx(judged.estimate[50:].mean() - TRUTH)


def test_when_nothing_can_be_estimated_every_measure_says_why():
    found = tallied(failing(made_up(), slice(None)))
    assert found["power"].value == 0.0
    for name, measure in found.items():
        assert not np.isnan(measure.value) or measure.note, name


@pytest.mark.parametrize("truth", [0.0, 1e-9])
def test_exaggeration_of_nothing_is_not_a_number_with_a_reason(truth):
    found = tallied(made_up(), truth=truth, error=1e-3 if truth else 0.0)
    assert np.isnan(found["exaggeration"].value)
    assert "truth is 0" in found["exaggeration"].note
    assert np.isnan(found["wrong_sign"].value)


def test_the_error_of_the_truth_widens_the_error_of_the_bias():
    exact, rough = tallied(made_up()), tallied(made_up(), error=0.05)
    assert rough["bias"].mcse == pytest.approx(np.hypot(exact["bias"].mcse, 0.05))


def test_a_share_of_none_or_all_is_never_exact():
    assert share_mcse(0, 256) > 0.005
    assert share_mcse(256, 256) == pytest.approx(share_mcse(0, 256))


def test_wilson_has_the_published_value():
    """Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263, method 3: 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_mcse_of_bias_and_power_is_what_repetition_shows():
    """Over 400 made-up simulations the spread of each measure agrees with its stated error within 4 standard errors of that spread."""
    repeats = [tallied(made_up(n=200, seed=seed)) for seed in range(400)]
    for name in ("bias", "empirical_se", "model_se", "mean_squared_error", "coverage", "power"):
        spread = np.std([found[name].value for found in repeats], ddof=1)
        stated = np.sqrt(np.mean([found[name].mcse ** 2 for found in repeats]))
        assert abs(spread / stated - 1) < 4 / np.sqrt(2 * 399), name


def test_an_infinite_estimate_is_estimable_and_left_out_of_the_mean_with_a_note():
    """A log risk ratio with an empty arm: its score test and one limit of its interval exist."""
    judged = made_up()
    parts = {field: getattr(judged, field).copy() for field in ("estimate", "std_error", "lower", "upper", "rejected", "benefit", "status")}
    parts["estimate"][:5], parts["std_error"][:5], parts["lower"][:5], parts["upper"][:5] = np.inf, np.nan, 0.1, np.inf
    parts["rejected"][:5] = parts["benefit"][:5] = True
    found = tallied(Judged(**parts))
    assert found["not_estimable"].value == 0.0
    assert found["power"].value == parts["benefit"].mean()
    assert found["mean_estimate"].value == pytest.approx(judged.estimate[5:].mean())
    assert found["mean_estimate"].note == "5 infinite estimates left out"
    assert found["interval_width"].note == "5 infinite intervals left out"
    assert found["coverage"].value == ((parts["lower"] <= TRUTH) & (parts["upper"] >= TRUTH)).mean()
