"""Sensitivity of a t test against its closed form: powers and differences one at a time, Sobol' indices all at once."""

import numpy as np
import pytest
from contracts.test_planning import TRIAL, trial
from scipy.special import ndtri

from simtrials.planning.sensitivity import paired_difference, sensitivity
from simtrials.stats.closed_form import t_test_power
from simtrials.stats.sobol import t_quantile

EFFECT, SD, N = "endpoints.score.effects.active.points", "endpoints.score.sd", "design.n_patients"
DESIGN = TRIAL["design"] | {"n_patients": 128}
PRIORS = {EFFECT: {"kind": "normal", "mean": 0.45, "sd": 0.15}}


def exact(effect=0.5, sd=1.0, n_patients=128):
    return t_test_power(effect, sd=sd, n_active=n_patients // 2, n_control=n_patients // 2, tails="benefit")


def test_one_at_a_time_is_the_closed_form_and_differences_are_paired(tmp_path):
    vary = {EFFECT: (0.35, 0.6), SD: (0.9, 1.15), N: (100, 160)}
    found = sensitivity(trial(design=DESIGN), vary, analyses=["t_test"], n_replicates=4096, n_jobs=1, out=tmp_path)
    tornado = found.analyses["t_test"]
    known = {EFFECT: [exact(effect=v) for v in vary[EFFECT]], SD: [exact(sd=v) for v in vary[SD]], N: [exact(n_patients=v) for v in vary[N]]}
    base = float(exact())
    for swing in tornado.swings:
        right = known[swing.assumption.path]
        for one, power in zip(swing.at, right, strict=True):
            error = np.sqrt(power * (1 - power) / 4096)
            assert abs(one.share.value - power) < 4 * error
            assert abs(one.difference.value - (power - base)) < 4 * one.difference.mcse
            assert one.difference.mcse < 0.85 * np.hypot(one.share.mcse, tornado.base.mcse), "the error of separate runs would be larger"
        wrong = right[::-1]
        assert all(abs(one.share.value - power) > 4 * np.sqrt(power * (1 - power) / 4096) for one, power in zip(swing.at, wrong, strict=True))
        assert abs(swing.swing.value - abs(right[1] - right[0])) < 4 * swing.swing.mcse
    exact_order = sorted(known, key=lambda path: -abs(known[path][1] - known[path][0]))
    assert [swing.assumption.path for swing in tornado.swings] == exact_order
    assert tornado.n_leading == 1


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_error_of_a_paired_difference_is_its_standard_deviation(shift):
    """1,000 differences of 512 trials that share most of their luck; the error of separate shares is far from it."""
    rng = np.random.default_rng(7)
    common, own = rng.standard_normal((2, 1000, 512))
    shown, reference = 0.9 * common + np.sqrt(1 - 0.81) * own + shift > 0, common > 0
    found = [paired_difference(one, other) for one, other in zip(shown, reference, strict=True)]
    sd = np.std([one.value for one in found], ddof=1)
    mean = np.mean([one.mcse for one in found])
    bound = 4 / np.sqrt(2 * 999)
    assert abs(sd / mean - 1) < bound
    unpaired = np.sqrt(2 * 0.25 / 512)
    assert abs(sd / unpaired - 1) > bound


def test_no_discordant_trial_is_not_an_error_of_nothing():
    shown = np.ones(256, dtype=bool)
    assert paired_difference(shown, shown.copy()).mcse == pytest.approx(1 / 258)
    assert paired_difference(shown, shown).mcse == 0


def test_all_at_once_are_the_indices_of_the_closed_form_within_their_interval(tmp_path):
    """Exact: numerical integration over the prior of the effect and a uniform SD."""
    scenario = trial(design=DESIGN, priors=PRIORS)
    found = sensitivity(scenario, {SD: (0.7, 1.3)}, analyses=["t_test"], n_replicates=256, n_global=64, n_jobs=2, out=tmp_path)
    calls = []
    told = {"n_replicates": 256, "n_global": 64, "n_jobs": 1, "out": tmp_path, "progress": lambda *words: calls.append(words)}
    assert sensitivity(scenario, {SD: (0.7, 1.3)}, analyses=["t_test"], **told).to_dict() == found.to_dict(), "workers change nothing"
    assert {label for label, *_ in calls} == {"all at once"}, "what was simulated is stored; points are only read again"
    grid = (np.arange(200) + 0.5) / 200
    effect, sd = np.meshgrid(0.45 + 0.15 * ndtri(grid), 0.7 + 0.6 * grid, indexing="ij")
    power = t_test_power(effect, sd=sd, n_active=64, n_control=64, tails="benefit")
    by_effect, by_sd = power.mean(axis=1).var() / power.var(), power.mean(axis=0).var() / power.var()
    one = found.overall.analyses["t_test"].indices
    assert found.overall.paths == (EFFECT, SD)
    first, total = np.array([by_effect, by_sd]), np.array([1 - by_sd, 1 - by_effect])
    assert (abs(one.first_order - first) < t_quantile() * one.first_order_se).all()
    assert (abs(one.total_order - total) < t_quantile() * one.total_order_se).all()
    assert (abs(one.total_order - total[::-1]) > t_quantile() * one.total_order_se).all(), "fields in the wrong order would have been seen"
    assert one.clearly_larger(0, 1)
    assert not one.clearly_larger(1, 0)
    assert one.sd == pytest.approx(power.std(), rel=0.15)
    powers = found.overall.analyses["t_test"].powers
    assert np.quantile(powers, 0.5) == pytest.approx(np.quantile(power, 0.5), abs=0.1)
