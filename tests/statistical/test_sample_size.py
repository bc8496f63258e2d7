"""The search for a sample size against an independent oracle: binomial counts with the exact power of a test, and the exact least number."""

import os
from functools import cache

import numpy as np
import pytest
from double.table_power import fisher_power, z_power
from statistical.helpers import seed_of

from simtrials.inference.analyses import FisherExact, RiskDifference
from simtrials.planning.points import Share
from simtrials.planning.search import Search
from simtrials.planning.table_power import Seen, TablePower
from simtrials.stats.closed_form import ancova_power, cluster_power, t_test_power, z_test_power
from simtrials.stats.counts import EventCounts

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


def fisher(n):
    return fisher_power(n // 2, 0.5, 0.3)


def unpooled(n):
    return z_power(n // 2, 0.35, 0.15, False)


def pooled(n):
    return z_power(n // 2, 0.8, 0.45, True)


SAW_TOOTHED = {
    "Fisher, 50 against 30%": (fisher, 0.8, 2, 120, FisherExact(endpoint="response"), (0.5, 0.3)),
    "unpooled z, 35 against 15%": (unpooled, 0.9, 2, 400, RiskDifference(endpoint="response", test="wald"), (0.35, 0.15)),
    "pooled z, 80 against 45%, small": (pooled, 0.8, 2, 30, RiskDifference(endpoint="response"), (0.8, 0.45)),
}
"""Power, target, step, first number, the analysis whose own test makes the teeth, and the risks."""
EVERY = DESIGNS | {name: design[:4] for name, design in SAW_TOOTHED.items()}


@cache
def least(name):
    """The exact answer: the first multiple of the step with the target reached there and, where power is saw-toothed, at all larger numbers."""
    power_of, target, step, _ = EVERY[name]
    n = step * 2
    while float(power_of(n)) < target:
        n += step
    if name in SAW_TOOTHED:
        failing = [m for m in range(n, round(1.6 * n), step) if power_of(m) < target]
        assert not failing or failing[-1] < 1.4 * n
        n = failing[-1] + step if failing else n
    return n


def teeth(name, seed):
    """Teeth from counts of 1,024 trials, as the search reads them off its own."""
    if name not in SAW_TOOTHED:
        return None
    analysis, risks = SAW_TOOTHED[name][4:]

    def look(n):
        rng, size = np.random.default_rng([seed_of(name), seed, 1]), np.full(1024, n / 2)
        active, control = (rng.binomial(n // 2, risk, 1024).astype(float) for risk in risks)
        return Seen(n, EventCounts(active, size, control, size), 1)

    return TablePower(analysis, look)


def searched(name, seed, with_teeth=True):
    power_of, target, step, start = EVERY[name]
    rng, counts, powers = np.random.default_rng([seed_of(name), seed]), {}, {}

    def simulate(n, of):
        shown, had = counts.get(n, (0, 0))
        powers.setdefault(n, float(power_of(n)))
        counts[n] = (shown + int(rng.binomial(of - had, powers[n])), of)
        return Share(*counts[n])

    known = teeth(name, seed) if with_teeth else None
    return Search(simulate, target, step, 2 * step, 100_000, 0.025, 0.03, 20_000, teeth=known).run(start)


def held(name, n_seeds, with_teeth=True):
    exact, step = least(name), EVERY[name][2]
    found = [searched(name, seed, with_teeth) for seed in range(n_seeds)]
    assert all(one.n is not None for one in found)
    assert max(one.replicates for one in found) <= 20_000
    halves = [(one.upper - one.lower) / 2 / exact for one in found]
    assert np.median(halves) <= max(0.03, step / 2 / exact) + 1e-9
    return np.array([one.lower <= exact <= one.upper for one in found])


@pytest.mark.parametrize("name", ["medium effect", "baseline adjusted"])
def test_the_interval_holds_the_exact_number(name):
    assert held(name, FEW).mean() >= 0.88


@pytest.mark.parametrize(("name", "n_seeds"), [("pooled z, 80 against 45%, small", FEW), ("unpooled z, 35 against 15%", 20)])
def test_where_power_is_saw_toothed_the_interval_holds_the_number_from_which_on_it_stays(name, n_seeds):
    assert held(name, n_seeds).mean() >= 0.88


def test_a_line_through_the_middle_of_large_teeth_would_have_been_seen():
    assert held("pooled z, 80 against 45%, small", FEW, with_teeth=False).mean() < 0.88


@pytest.mark.skipif(not LONG, reason="thirteen designs with 200 seeds each: make test-long")
def test_intervals_of_all_designs_hold_the_exact_number():
    shares = {name: held(name, MANY) for name in EVERY}
    assert np.concatenate(list(shares.values())).mean() >= 0.93
    assert min(share.mean() for share in shares.values()) >= 0.88


def test_a_search_that_took_half_of_the_error_would_have_been_seen():
    """Intervals half as wide hold the exact number far less often than allowed."""
    exact = least("small effect, far too few")
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


@pytest.mark.parametrize(
    ("step", "exact", "lower", "upper"),
    [(100, 200, 200, 200), (120, 240, 240, 240), (128, 128, 128, 256)],
)
def test_numbers_that_lie_far_apart_are_told_by_their_own_trials(step, exact, lower, upper):
    """80% need 128 patients: 100 and 120 are clearly too few; 128 cannot be told from too few."""
    power_of, rng, counts = DESIGNS["medium effect"][0], np.random.default_rng(8), {}

    def simulate(n, of):
        shown, had = counts.get(n, (0, 0))
        counts[n] = (shown + int(rng.binomial(of - had, float(power_of(n)))), of)
        return Share(*counts[n])

    found = Search(simulate, 0.8, step, 2 * 2, 10_000, 0.025, 0.03, 20_000).run(step)
    assert (found.lower, found.upper) == (lower, upper)
    assert found.lower <= exact <= found.upper
    assert found.n in range(lower, upper + 1, step)
