"""Closed forms for planning against published numbers, rows of trial_cases.csv, and calculations of their own written from the definition.

Simulations lie within 4 Monte Carlo standard errors; seeds and replicate numbers were fixed before the first run.
"""

import csv
import re
from math import comb
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

from simtrials.core.errors import SimtrialsError
from simtrials.stats import closed_form
from simtrials.stats.meta_analysis import meta_analysis

with (Path(__file__).parent / "trial_cases.csv").open(newline="", encoding="utf-8") as file:
    ROWS = {row["id"]: row for row in csv.DictReader(file)}
N_REPLICATES = 20_000


def number(row_id, key, column="expected"):
    found = re.search(re.escape(key) + r"\s*=?\s*(-?\d*\.?\d+)", ROWS[row_id][column])
    assert found, f"{key!r} is not in {ROWS[row_id][column]!r}"
    return float(found.group(1))


def assert_simulated(rejected, exact):
    """The share of rejections is within 4 Monte Carlo standard errors of the exact probability."""
    assert abs(np.mean(rejected) - exact) < 4 * np.sqrt(exact * (1 - exact) / np.size(rejected))


def assert_not_simulated(rejected, wrong):
    """A wrong version lies more than 4 Monte Carlo standard errors away."""
    assert abs(np.mean(rejected) - wrong) > 4 * np.sqrt(wrong * (1 - wrong) / np.size(rejected))


# ---- meta-analyses


def test_p_meta1_common_effect_meta_analysis():
    d, k, per_arm = (number("P_meta1", key, "inputs") for key in ("d", "k", "study_size"))
    found = closed_form.meta_analysis_power(d, k=k, n_active=per_arm / 2, n_control=per_arm / 2)
    assert_allclose(found, number("P_meta1", "power"), atol=5e-8)
    wrong = closed_form.meta_analysis_power(d, k=k, n_active=per_arm, n_control=per_arm)  # "average group size", the trap named in the row
    assert abs(wrong - number("P_meta1", "power")) > 0.1


def test_power_of_a_meta_analysis_from_its_definition():
    """Ten studies of 25 and 25, d = .2, without and with a variance between studies of .67 of that within."""
    v = 2 / 25 + 0.2**2 / 100
    for share in (0, 0.67):
        z = 0.2 / np.sqrt(v * (1 + share) / 10)
        expected = stats.norm.sf(1.959963984540054 - z) + stats.norm.cdf(-1.959963984540054 - z)
        assert_allclose(closed_form.meta_analysis_power(0.2, k=10, n_active=25, n_control=25, tau2=share * v), expected, rtol=1e-12)


@pytest.mark.parametrize("tau2", [0.0, 0.09])
@pytest.mark.parametrize("test", ["normal", "hartung_knapp"])
def test_power_of_a_meta_analysis_is_that_of_simulated_ones(tau2, test):
    rng = np.random.default_rng(20010001)
    k, variance = 6, 0.08
    true = 0.3 + np.sqrt(tau2) * rng.standard_normal((N_REPLICATES, k))
    found = true + np.sqrt(variance) * rng.standard_normal((N_REPLICATES, k))
    if test == "normal":
        rejected = np.abs(found.mean(axis=1)) / np.sqrt((variance + tau2) / k) > stats.norm.ppf(0.975)
        wrong = "hartung_knapp"
    else:
        rejected = np.abs(found.mean(axis=1)) / (found.std(axis=1, ddof=1) / np.sqrt(k)) > stats.t.ppf(0.975, k - 1)
        wrong = "normal"
    exact = closed_form.meta_analysis_power(0.3, k=k, variance=variance, tau2=tau2, test=test)
    assert_simulated(rejected, exact)
    assert_not_simulated(rejected, closed_form.meta_analysis_power(0.3, k=k, variance=variance, tau2=tau2, test=wrong))


def test_hartung_and_knapp_do_so_whatever_the_variance_between_studies():
    """With studies of the same precision the package's own pooling gives the one-sample t test, for each estimate of tau2."""
    yi = np.random.default_rng(3).normal(0.3, 0.4, (50, 6))
    for tau2 in ("REML", "DL"):
        pooled = meta_analysis(yi, np.full(6, 0.08), tau2=tau2, ci="hartung_knapp")
        assert_allclose(pooled.p_value, stats.ttest_1samp(yi, 0, axis=1).pvalue, rtol=1e-6)


def test_studies_of_a_meta_analysis_are_the_fewest():
    given = {"n_active": 15, "n_control": 15, "tau2": np.array([0, 0.02, 0.1])}
    for test in ("normal", "hartung_knapp"):
        size = closed_form.meta_analysis_studies(0.3, **given, test=test)
        assert np.all(closed_form.meta_analysis_power(0.3, k=size.n, **given, test=test) >= 0.8)
        assert np.all(closed_form.meta_analysis_power(0.3, k=size.n - 1, **given, test=test) < 0.8)
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    exact = closed_form.meta_analysis_studies(0.3, variance=0.1, tau2=0.02, tails="benefit").n_exact
    assert_allclose(exact, (0.1 + 0.02) * (z / 0.3) ** 2, rtol=1e-9)


# ---- assurance


def test_p_ass1_assurance_of_a_normal_prior():
    found = closed_form.assurance_normal_prior(0.5, 0.2, n_active=64, n_control=64)
    assert_allclose(found, number("P_ass1", "assurance"), atol=5e-8)
    limit = number("P_ass1", "n->inf ")
    assert_allclose(closed_form.assurance_limit(0.5, 0.2), limit, atol=5e-6)
    assert_allclose(closed_form.assurance_normal_prior(0.5, 0.2, n_active=1e9, n_control=1e9), limit, atol=1e-5)
    power = closed_form.z_test_power(0.5, n_active=64, n_control=64, tails="benefit")  # the prior taken as certain
    assert abs(power - number("P_ass1", "assurance")) > 0.05


@pytest.mark.parametrize("tails", ["both", "benefit"])
def test_assurance_is_the_integral_of_the_power_over_the_prior(tails):
    prior = stats.norm(0.3, 0.25)
    design = {"sd": 1.2, "n_active": 30, "n_control": 20, "tails": tails}
    z_design = {"sd_active": 1.2, "sd_control": 1.2, "n_active": 30, "n_control": 20, "tails": tails}
    for test, power in (("z", lambda d: closed_form.z_test_power(d, **z_design)), ("t", lambda d: closed_form.t_test_power(d, **design))):
        expected = integrate.quad(lambda d, power=power: power(d) * prior.pdf(d), -2.2, 2.8, epsabs=1e-10)[0]
        assert_allclose(closed_form.assurance_normal_prior(0.3, 0.25, test=test, **design), expected, atol=1e-8)
        assert_allclose(closed_form.assurance_normal_prior(0.3, 0, test=test, **design), power(0.3), atol=1e-12)


def test_assurance_of_a_t_test_is_that_of_simulated_trials():
    rng = np.random.default_rng(20050001)
    effect = rng.normal(0.5, 0.3, (N_REPLICATES, 1))
    active, control = effect + rng.standard_normal((N_REPLICATES, 12)), rng.standard_normal((N_REPLICATES, 12))
    found = stats.ttest_ind(active, control, axis=1)
    rejected = (found.pvalue < 0.05) & (found.statistic > 0)
    assert_simulated(rejected, closed_form.assurance_normal_prior(0.5, 0.3, n_active=12, n_control=12, test="t"))
    assert_not_simulated(rejected, closed_form.assurance_normal_prior(0.5, 0.3, n_active=12, n_control=12, test="z"))
    assert_not_simulated(rejected, closed_form.t_test_power(0.5, n_active=12, n_control=12, tails="benefit"))


# ---- events


def test_log_rank_power_at_the_published_events():
    for hazard_ratio, events in ((0.5, 87.479), (0.7, 330.378)):  # row D_surv
        assert_allclose(closed_form.log_rank_power(hazard_ratio, n_events=events, tails="benefit"), 0.9, atol=1e-5)
    events = closed_form.log_rank_events(0.6, power=0.85, allocation_ratio=2)
    assert_allclose(closed_form.log_rank_power(0.6, n_events=events, allocation_ratio=2, tails="benefit"), 0.85, atol=1e-12)
    by_hand = stats.norm.cdf(np.sqrt(150 * (2 / 3) * (1 / 3)) * np.log(1 / 0.6) - stats.norm.ppf(0.975))
    assert_allclose(closed_form.log_rank_power(0.6, n_events=150, allocation_ratio=2, tails="benefit"), by_hand, rtol=1e-12)


def log_rank_z(time, event, active):
    """(replicate, patient) times; the standardized log-rank statistic, observed less expected under active. Written from its definition."""
    order = np.argsort(time, axis=1)
    event, active = np.take_along_axis(event, order, axis=1), np.take_along_axis(active, order, axis=1)
    at_risk = np.arange(time.shape[1], 0, -1)
    active_at_risk = active[:, ::-1].cumsum(axis=1)[:, ::-1]
    share = active_at_risk / at_risk
    return (event * (active - share)).sum(axis=1) / np.sqrt((event * share * (1 - share)).sum(axis=1))


def test_log_rank_power_is_that_of_simulated_trials():
    """Hazard ratio .75, 400 patients per arm followed until 300 events, as Schoenfeld's approximation asks: a small share, a ratio near 1."""
    rng = np.random.default_rng(19810001)
    n_replicates, n_events, hazard_ratio = 4000, 300, 0.75
    active = np.repeat([[True, False]], 400, axis=1).repeat(n_replicates, axis=0)
    time = rng.exponential(size=active.shape) / np.where(active, hazard_ratio, 1.0)
    end = np.sort(time, axis=1)[:, [n_events - 1]]
    z = log_rank_z(np.minimum(time, end), time <= end, active)
    rejected = np.abs(z) > stats.norm.ppf(0.975)
    assert_simulated(rejected, closed_form.log_rank_power(hazard_ratio, n_events=n_events))
    assert_not_simulated(rejected, closed_form.log_rank_power(hazard_ratio, n_events=active.shape[1]))  # patients for events


# ---- non-inferior proportions


def test_noninferiority_of_proportions_as_published():
    """Chow, Shao and Wang (2008), section 4.2.2: .85 and .65, margin .10, one-sided alpha .05, power .8: 25 per arm."""
    size = closed_form.noninferiority_proportions_sample_size(0.85, 0.65, margin=0.1, one_sided_alpha=0.05)
    assert (size.n_active, size.n_control) == (25, 25)
    z = stats.norm.ppf(0.95) + stats.norm.ppf(0.8)
    assert_allclose(size.n_control_exact, (0.85 * 0.15 + 0.65 * 0.35) * (z / 0.3) ** 2, rtol=1e-9)


def test_power_of_noninferiority_of_proportions_is_that_of_simulated_trials():
    rng = np.random.default_rng(20080001)
    n_active, n_control = 600, 400
    active, control = rng.binomial(n_active, 0.6, N_REPLICATES) / n_active, rng.binomial(n_control, 0.62, N_REPLICATES) / n_control
    std_error = np.sqrt(active * (1 - active) / n_active + control * (1 - control) / n_control)
    rejected = (active - control + 0.1) / std_error > stats.norm.ppf(0.975)
    exact = closed_form.noninferiority_proportions_power(0.6, 0.62, margin=0.1, n_active=n_active, n_control=n_control)
    assert_simulated(rejected, exact)
    swapped = closed_form.noninferiority_proportions_power(0.62, 0.6, margin=0.1, n_active=n_active, n_control=n_control)
    assert_not_simulated(rejected, swapped)


# ---- exact sizes of proportions


def naive_power(n, p_active, p_control, test):
    """Two-sided power by looping over every table, from the definition of each test."""
    total = 0.0
    for active in range(n + 1):
        for control in range(n + 1):
            difference, pooled = (active - control) / n, (active + control) / (2 * n)
            if test == "pooled":
                rejects = 0 < pooled < 1 and abs(difference) / np.sqrt(2 * pooled * (1 - pooled) / n) > 1.959963984540054
            else:
                rejects = FISHER[n][active + control][active] < 0.05
            if rejects:
                ways = comb(n, active) * comb(n, control)
                total += ways * p_active**active * (1 - p_active) ** (n - active) * p_control**control * (1 - p_control) ** (n - control)
    return total


def fisher_p_values(n):
    """Two-sided p-values of all tables of two arms of n, in whole numbers: no ties are missed."""
    found = []
    for events in range(2 * n + 1):
        ways = {active: comb(n, active) * comb(n, events - active) for active in range(max(0, events - n), min(n, events) + 1)}
        everything = sum(ways.values())
        found.append({active: sum(other for other in ways.values() if other <= own) / everything for active, own in ways.items()})
    return found


FISHER = {n: fisher_p_values(n) for n in range(1, 61)}


@pytest.mark.parametrize("test", ["pooled", "fisher"])
def test_exact_size_is_the_last_that_falls_short_and_one_more(test):
    """Every number up to the horizon by brute force; from the horizon on the power cannot fall below any more."""
    p_active, p_control = 0.75, 0.25
    horizon = int(closed_form.exact_power_horizon(p_active, p_control, power=0.8, test=test))
    assert horizon <= 60
    powers = {n: naive_power(n, p_active, p_control, test) for n in range(1, horizon + 1)}
    last_short = max(n for n, power in powers.items() if power < 0.8)
    size = closed_form.exact_proportions_sample_size(p_active, p_control, test=test)
    assert size.n_per_arm == last_short + 1
    assert_allclose(size.power, powers[last_short + 1], rtol=1e-9)


def test_exact_power_is_saw_toothed_and_the_size_is_past_its_last_fall():
    """Pooled z, .5 against .25."""
    size = closed_form.exact_proportions_sample_size(0.5, 0.25, power=[0.8, 0.85, 0.9], test="pooled")
    for n_per_arm, power, target in zip(size.n_per_arm, size.power, (0.8, 0.85, 0.9), strict=True):
        powers = {n: exact_power(n, 0.5, 0.25) for n in range(2, 2 * int(n_per_arm))}
        assert powers[n_per_arm] == power
        assert powers[n_per_arm - 1] < target
        assert all(found >= target for n, found in powers.items() if n >= n_per_arm)
    falls = np.diff([exact_power(n, 0.5, 0.25) for n in range(20, 80)])
    assert (falls < 0).any()


def exact_power(n, p_active, p_control):
    return float(closed_form.enumerated_power(closed_form.pooled_z_rejection(n, n), p_active, p_control))


@pytest.mark.parametrize("test", ["pooled", "unpooled", "fisher"])
def test_beyond_the_horizon_the_exact_power_never_falls_short(test):
    rejections = {
        "pooled": closed_form.pooled_z_rejection,
        "unpooled": closed_form.unpooled_z_rejection,
        "fisher": closed_form.fisher_rejection,
    }
    for p_active, p_control, target in ((0.6, 0.3, 0.8), (0.98, 0.7, 0.9), (0.2, 0.02, 0.5)):
        horizon = int(closed_form.exact_power_horizon(p_active, p_control, power=target, test=test))
        for n in range(horizon, horizon + 40):
            assert closed_form.enumerated_power(rejections[test](n, n), p_active, p_control) >= target


def test_exact_sizes_that_cannot_be_are_refused():
    with pytest.raises(SimtrialsError, match="p_active must differ from p_control"):
        closed_form.exact_proportions_sample_size(0.3, 0.3)
    with pytest.raises(SimtrialsError, match="p_active must be greater than p_control"):
        closed_form.exact_proportions_sample_size(0.3, 0.4, tails="benefit")
    with pytest.raises(SimtrialsError, match="too close for exact enumeration"):
        closed_form.exact_proportions_sample_size(0.3, 0.299)


# ---- interactions


def test_interaction_with_a_fixed_marker_is_the_regression_of_g_power():
    """Row I01: f2 = .02, 395 patients; the slope difference that gives this f2 with a standard marker is 2 sqrt(.02)."""
    slope = 2 * np.sqrt(number("I01", "f2", "inputs"))
    found = closed_form.interaction_power(slope, n_active=395 / 2, n_control=395 / 2, marker="fixed")
    assert_allclose(found, number("I01", "power_at_N"), atol=1e-6)
    size = closed_form.interaction_sample_size(slope, marker="fixed")
    assert np.ceil(size.n_total_exact) == number("I01", "N")
    assert size.n_total == 396  # 1:1


def test_a_marker_that_is_present_or_absent_gives_the_standard_error_of_four_cells():
    cells = {"n_active_positive": 40, "n_control_positive": 20, "n_active_negative": 80, "n_control_negative": 40}
    std_error = closed_form.interaction_std_error(sd=3, **cells)
    expected = stats.nct.sf(stats.t.ppf(0.975, 176), 176, 2 / std_error) + stats.nct.cdf(-stats.t.ppf(0.975, 176), 176, 2 / std_error)
    found = closed_form.interaction_power(2, marker_sd=np.sqrt(2) / 3, residual_sd=3, n_active=120, n_control=60, marker="fixed")
    assert_allclose(found, expected, atol=1e-6)


def test_interaction_power_is_that_of_simulated_trials():
    """Eight and six patients: taking the marker's spread as given is too high there, and seen to be."""
    rng = np.random.default_rng(19890001)
    estimates, n_replicates = [], 100_000
    for n, slope in ((8, 1.2), (6, 0.0)):
        marker = rng.standard_normal((n_replicates, n))
        outcome = slope * marker + rng.standard_normal((n_replicates, n))
        centered = marker - marker.mean(axis=1, keepdims=True)
        squares = (centered**2).sum(axis=1)
        fitted = (centered * outcome).sum(axis=1) / squares
        left = ((outcome - outcome.mean(axis=1, keepdims=True) - fitted[:, np.newaxis] * centered) ** 2).sum(axis=1)
        estimates.append((fitted, squares, left))
    (of_active, squares_active, left_active), (of_control, squares_control, left_control) = estimates
    std_error = np.sqrt((left_active + left_control) / 10 * (1 / squares_active + 1 / squares_control))
    rejected = np.abs(of_active - of_control) / std_error > stats.t.ppf(0.975, 10)
    exact = closed_form.interaction_power(1.2, n_active=8, n_control=6)
    assert_simulated(rejected, exact)
    assert_not_simulated(rejected, closed_form.interaction_power(1.2, n_active=8, n_control=6, marker="fixed"))


def test_sizes_of_interactions_and_clusters_are_the_smallest():
    size = closed_form.interaction_sample_size(0.6, allocation_ratio=2)
    assert size.n_active == 2 * size.n_control
    assert closed_form.interaction_power(0.6, n_active=size.n_active, n_control=size.n_control) >= 0.8
    assert closed_form.interaction_power(0.6, n_active=size.n_active - 2, n_control=size.n_control - 1) < 0.8
    given = {"icc": 0.05, "patients_per_cluster": 20}
    clusters = closed_form.cluster_sample_size(0.4, **given)
    assert closed_form.cluster_power(0.4, **given, clusters_active=clusters.n_active, clusters_control=clusters.n_control) >= 0.8
    assert closed_form.cluster_power(0.4, **given, clusters_active=clusters.n_active - 1, clusters_control=clusters.n_control - 1) < 0.8


# ---- what they accept


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: closed_form.meta_analysis_power(0.2, k=10), "variance must be given, or else both n_active and n_control"),
        (lambda: closed_form.meta_analysis_power(0.2, k=0, variance=0.1), "k must be at least 1"),
        (lambda: closed_form.meta_analysis_power(0.2, k=5, variance=0.1, tau2=-1), "tau2 must be at least 0"),
        (lambda: closed_form.meta_analysis_power(0.2, k=5, variance=0.1, test="hartung"), "did you mean 'hartung_knapp'"),
        (lambda: closed_form.assurance_normal_prior(0.2, -1, n_active=5, n_control=5), "prior_sd must be at least 0"),
        (lambda: closed_form.log_rank_power(0, n_events=10), "hazard_ratio must be greater than 0"),
        (lambda: closed_form.noninferiority_proportions_power(0.5, 0.5, margin=0, n_active=9, n_control=9), "margin must be greater than 0"),
        (lambda: closed_form.interaction_power(0.5, marker_sd=0, n_active=9, n_control=9), "marker_sd must be greater than 0"),
        (lambda: closed_form.exact_proportions_sample_size(1, 0.5), "p_active must lie strictly between 0 and 1"),
    ],
)
def test_a_wrong_argument_is_named(call, message):
    with pytest.raises(SimtrialsError, match=message):
        call()


def test_arrays_broadcast():
    assert closed_form.meta_analysis_power([0.2, 0.3], k=[[5], [10]], variance=0.1).shape == (2, 2)
    assert closed_form.assurance_normal_prior([0.2, 0.3], [[0.1], [0.2]], n_active=9, n_control=9, test="t").shape == (2, 2)
    assert closed_form.log_rank_power([0.5, 0.7], n_events=[[50], [90]]).shape == (2, 2)
    assert closed_form.interaction_power([0.5, 0.7], n_active=[[9], [20]], n_control=9).shape == (2, 2)
    assert closed_form.noninferiority_proportions_power([0.5, 0.7], 0.5, margin=0.1, n_active=[[9], [20]], n_control=9).shape == (2, 2)
    assert closed_form.exact_proportions_sample_size([0.9, 0.8], [[0.3], [0.2]]).n_per_arm.shape == (2, 2)
