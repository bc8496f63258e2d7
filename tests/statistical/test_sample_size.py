"""The search for a sample size against an independent oracle: binomial counts with the exact power of a test, and the exact least number."""

import os

import numpy as np
import pytest
from statistical.helpers import seed_of

from simtrials.planning.points import Share
from simtrials.planning.search import Search
from simtrials.stats.closed_form import ancova_power, cluster_power, t_test_power, z_test_power

FEW, MANY = 50, 200
"""Seeds of each design; many where the long tests are asked for."""
LONG = bool(os.environ.get("SIMTRIALS_LONG"))


def t_of(effect):
    return lambda n: t_test_power(effect, sd=1.0, n_active=n / 2, n_control=n / 2, tails="benefit")


def thirds(n):
    return t_test_power(0.4, sd=1.0, n_active=2 * n / 3, n_control=n / 3, tails="benefit")


def z_of(n):
    return z_test_power(0.25, sd_active=1.0, sd_control=1.5, n_active=n / 2, n_control=n / 2, tails="benefit")


def ancova(n):
    return ancova_power(0.35, sd=1.0, correlation=0.6, n_active=n / 2, n_control=n / 2, tails="benefit")


def clusters(n):
    return cluster_power(0.4, icc=0.05, patients_per_cluster=10, clusters_active=n / 2, clusters_control=n / 2, tails="benefit")


DESIGNS = {
    "medium effect": (t_of(0.5), 0.8, 2, 200),
    "medium effect, 90%": (t_of(0.5), 0.9, 2, 20),
    "small effect, far too few": (t_of(0.2), 0.9, 4, 40),
    "small effect, far too many": (t_of(0.3), 0.8, 4, 5000),
    "large effect": (t_of(0.8), 0.9, 2, 100),
    "two to one": (thirds, 0.8, 3, 90),
    "unequal spread": (z_of, 0.85, 2, 300),
    "baseline adjusted": (ancova, 0.9, 4, 100),
    "low target": (t_of(0.4), 0.6, 2, 100),
    "clusters of ten": (clusters, 0.95, 2, 100),
}


def least(power_of, target, step):
    """The exact answer: the first multiple of the step with the target reached."""
    n = step * 2
    while float(power_of(n)) < target:
        n += step
    return n


def searched(name, seed):
    power_of, target, step, start = DESIGNS[name]
    rng, counts, known = np.random.default_rng([seed_of(name), seed]), {}, {}

    def simulate(n, of):
        shown, had = counts.get(n, (0, 0))
        known.setdefault(n, float(power_of(n)))
        counts[n] = (shown + int(rng.binomial(of - had, known[n])), of)
        return Share(*counts[n])

    return Search(simulate, target, step, 2 * step, 100_000, 0.025, 0.03, 20_000).run(start)


def held(name, n_seeds):
    power_of, target, step, _ = DESIGNS[name]
    exact = least(power_of, target, step)
    found = [searched(name, seed) for seed in range(n_seeds)]
    assert all(one.n is not None for one in found)
    assert max(one.replicates for one in found) <= 20_000
    halves = [(one.upper - one.lower) / 2 / exact for one in found]
    assert np.median(halves) <= max(0.03, step / 2 / exact) + 1e-9
    return np.array([one.lower <= exact <= one.upper for one in found])


@pytest.mark.parametrize("name", ["medium effect", "baseline adjusted"])
def test_the_interval_holds_the_exact_number(name):
    assert held(name, FEW).mean() >= 0.88


@pytest.mark.skipif(not LONG, reason="ten designs with 200 seeds each: make test-long")
def test_intervals_of_ten_designs_hold_the_exact_number():
    shares = {name: held(name, MANY) for name in DESIGNS}
    assert np.concatenate(list(shares.values())).mean() >= 0.93
    assert min(share.mean() for share in shares.values()) >= 0.88


def test_a_search_that_took_half_of_the_error_would_have_been_seen():
    """Intervals half as wide hold the exact number far less often than allowed."""
    power_of, target, step, _ = DESIGNS["small effect, far too few"]
    exact = least(power_of, target, step)
    found = [searched("small effect, far too few", seed) for seed in range(FEW)]
    narrow = [one.n - (one.n - one.lower) / 2 <= exact <= one.n + (one.upper - one.n) / 2 for one in found]
    assert np.mean(narrow) < 0.88


def test_power_at_the_answer_is_within_its_error():
    power_of = DESIGNS["medium effect"][0]
    found = [searched("medium effect", seed) for seed in range(FEW)]
    z = np.array([(one.power - float(power_of(one.n))) / one.mcse for one in found])
    assert abs(z.mean()) < 4 / np.sqrt(FEW)
    assert 0.5 < z.std() < 1.6


def test_the_smallest_number_is_the_answer_where_it_has_more_power_than_asked_for():
    found = Search(lambda n, of: Share(int(0.97 * of), of), 0.8, 4, 8, 10_000, 0.025, 0.03, 20_000).run(200)
    assert (found.n, found.lower, found.upper) == (8, 8, 8)
    assert found.power == pytest.approx(0.97, abs=0.001)
