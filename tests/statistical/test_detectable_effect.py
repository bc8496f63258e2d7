"""The search for the smallest effect against an independent oracle: binomial counts with the exact power, and the exact effect."""

import os
from functools import cache

import numpy as np
import pytest
from double.table_power import z_power
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import nct, norm, t
from statistical.helpers import seed_of

from simtrials.planning.points import Share
from simtrials.planning.search import Search

FEW, MANY = 40, 200
"""Seeds of each design; many where the long tests are asked for."""
LONG = bool(os.environ.get("SIMTRIALS_LONG"))


def noncentral_t(n_per_arm):
    df = 2 * n_per_arm - 2
    return lambda effect: float(nct.sf(t.isf(0.025, df), df, effect * np.sqrt(n_per_arm / 2)))


@cache
def odds(log_odds_ratio):
    return z_power(40, float(expit(logit(0.3) + log_odds_ratio)), 0.3, True)


def review(effect):
    """Eleven studies of one precision with tau 0.25, pooled by the z test."""
    return float(norm.sf(norm.isf(0.025) - effect / np.sqrt((0.16 + 0.0625) / 11)))


DESIGNS = {
    "t test, 20 per arm": (noncentral_t(20), 0.8, 0.01, 50),
    "t test, 200 per arm, far too large": (noncentral_t(200), 0.9, 0.01, 400),
    "log odds ratio, 40 per arm": (odds, 0.8, 0.01, 40),
    "review, far too small": (review, 0.8, 0.001, 30),
}
"""Power, target, unit of the line, first number of units."""


def exact(name):
    power_of, target, _, _ = DESIGNS[name]
    return brentq(lambda effect: power_of(effect) - target, 1e-6, 5.0)


def searched(name, seed):
    power_of, target, unit, start = DESIGNS[name]
    rng, counts = np.random.default_rng([seed_of(name), seed]), {}

    def simulate(steps, of):
        shown, had = counts.get(steps, (0, 0))
        counts[steps] = (shown + int(rng.binomial(of - had, power_of(steps * unit))), of)
        return Share(*counts[steps])

    return Search(simulate, target, 1, 1, round(5 / unit), 0.025, 0.03, 20_000, straight=True).run(start)


def held(name, n_seeds):
    right, unit = exact(name), DESIGNS[name][2]
    found = [searched(name, seed) for seed in range(n_seeds)]
    assert all(one.line is not None for one in found)
    assert max(one.replicates for one in found) <= 20_000
    assert np.median([(one.line.upper - one.line.lower) * unit / 2 / right for one in found]) <= 0.03
    return np.array([one.line.lower * unit <= right <= one.line.upper * unit for one in found])


@pytest.mark.parametrize("name", ["t test, 20 per arm", "review, far too small"])
def test_the_interval_holds_the_exact_effect(name):
    assert held(name, FEW).mean() >= 0.88


@pytest.mark.skipif(not LONG, reason="four designs with 200 seeds each: make test-long")
def test_intervals_of_all_designs_hold_the_exact_effect():
    shares = {name: held(name, MANY) for name in DESIGNS}
    assert np.concatenate(list(shares.values())).mean() >= 0.93
    assert min(share.mean() for share in shares.values()) >= 0.88


def test_a_line_in_the_square_root_would_have_been_seen():
    """Power far from the target bends in the square root of the effect: with looks far apart the crossing of that line is wrong."""
    power_of, target, unit, _ = DESIGNS["t test, 20 per arm"]
    right, of = exact("t test, 20 per arm") / unit, 10**7
    looks = {round(right * part): Share(round(of * power_of(round(right * part) * unit)), of) for part in (0.75, 1.25)}
    lines = [Search(lambda n, m: looks[n], target, 1, 1, 500, 0.025, 0.03, of, straight=straight, looks=looks) for straight in (True, False)]
    straight, bent = (abs(one._crossing().n / right - 1) for one in lines)
    assert straight < 0.002
    assert bent > 0.01
