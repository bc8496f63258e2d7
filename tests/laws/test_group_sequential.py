"""Repeated looks: published boundaries, the joint normal distribution of two looks, simulated paths, and trial sequential analysis by hand."""

import numpy as np
import pytest
from double import sequential as twin
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from simtrials.stats.group_sequential import crossing_probabilities, spending_boundaries, spent
from simtrials.stats.influence import cumulative_meta_analysis
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.trial_sequential_analysis import trial_sequential_analysis

EVEN = np.arange(1, 6) / 5
NODES = 1e-7  # boundaries have about eight digits, see PANEL
LAN_DEMETS = [
    4.8769,
    3.3569,
    2.6803,
    2.2898,
    2.0310,
]  # R's ldbounds, after Reboussin et al. (2000), Controlled Clinical Trials 21, 190-207: two-sided 5%, O'Brien-Fleming spending
POCOCK_SPENDING = [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]  # the same, Pocock spending
OBRIEN_FLEMING = [4.56174, 3.22564, 2.63372, 2.28087, 2.04007]  # Jennison and Turnbull (2000), table 2.3; to five digits by R's rpact


def fractions(seed, n, looks, total=1.3):
    """(n, looks) irregular, the last of them up to `total`."""
    steps = np.random.default_rng(seed).exponential(size=(n, looks))
    return np.cumsum(steps, axis=1) / steps.sum(axis=1, keepdims=True) * np.linspace(0.5, total, n)[:, np.newaxis]


# ---- numbers from elsewhere


@pytest.mark.parametrize(("spending", "published"), [("obrien_fleming", LAN_DEMETS), ("pocock", POCOCK_SPENDING)])
def test_five_looks_have_the_published_boundaries(spending, published):
    """The last published digit is that of a program with a grid: its second boundary lies 1.1e-4 from the exact one, see the next test."""
    assert_allclose(spending_boundaries(EVEN, spending=spending).bound, published, atol=1.5e-4)


def test_the_second_boundary_is_the_root_of_an_adaptive_integral():
    used = [4 * ndtr(ndtri(0.0125) / np.sqrt(t)) for t in (0.2, 0.4)]
    first = -ndtri(used[0] / 2)
    second = brentq(lambda bound: twin.crossing([first, bound], (0.2, 0.4), 0.0, True) - used[1], 2, 5, xtol=1e-12)
    assert_allclose(spending_boundaries(EVEN).bound[:2], [first, second], atol=NODES)


def test_boundaries_of_obrien_and_fleming_spend_five_percent_and_have_the_published_power():
    assert_allclose(crossing_probabilities(OBRIEN_FLEMING, EVEN)[-1], 0.05, atol=2e-6)
    drift = np.sqrt(1.028411) * (ndtri(0.975) + ndtri(0.8))  # inflation of the sample size by five looks
    assert_allclose(crossing_probabilities(OBRIEN_FLEMING, EVEN, drift=drift)[-1], 0.8, atol=1e-5)


def test_looking_again_and_again_at_five_percent():
    """Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244."""
    published = {1: 0.050, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
    for looks, share in published.items():
        assert_allclose(crossing_probabilities(np.full(looks, ndtri(0.975)), np.arange(1, looks + 1))[-1], share, atol=6e-4)


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("information", [(1.0, 2.0), (1.0, 1.001), (0.1, 9.0)])
@pytest.mark.parametrize("drift", [0.0, 0.8, -0.5])
def test_two_looks_are_a_bivariate_normal(two_sided, information, drift):
    bounds = np.array([2.2, 1.7])
    found = crossing_probabilities(bounds, information, drift=drift, sides="two_sided" if two_sided else "one_sided")
    assert_allclose(found[-1], twin.crossing(bounds, information, drift, two_sided), atol=1e-9)


def test_many_irregular_looks_agree_with_simulated_paths():
    information = fractions(1, 1, 12)[0]
    bounds = np.linspace(3.0, 1.8, 12)
    for two_sided, drift, seed in ((True, 0.0, 1), (False, 1.0, 2)):
        n = 400_000
        found = crossing_probabilities(bounds, information, drift=drift, sides="two_sided" if two_sided else "one_sided")[-1]
        simulated = twin.simulated_crossing(bounds, information, drift, two_sided, n, seed)
        assert abs(found - simulated) < 4 * np.sqrt(found * (1 - found) / n)
        independent = 1 - np.prod(1 - crossing_probabilities(bounds[:, np.newaxis], np.ones((12, 1)))[:, 0])
        assert abs(independent - found) > 40 * np.sqrt(found * (1 - found) / n)  # wrong: looks taken as independent


# ---- laws


@pytest.mark.parametrize("sides", ["two_sided", "one_sided"])
@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_boundaries_spend_what_they_should(sides, spending):
    t = fractions(2, 40, 9)
    found = spending_boundaries(t, alpha=0.04, sides=sides, spending=spending)
    looked = ~np.isnan(found.bound)
    finite = np.isfinite(found.bound)
    assert_allclose(crossing_probabilities(found.bound, t, sides=sides)[finite], found.spent[finite], atol=1e-12)
    assert (looked.sum(axis=1) < 9).any()
    for row, bounds, used in zip(t, found.bound, found.spent, strict=True):
        final = np.flatnonzero(row >= 1)
        n = final[0] + 1 if len(final) else 9
        assert np.isnan(bounds[n:]).all()
        assert not np.isnan(bounds[:n]).any()
        assert_allclose(
            used[n - 1], 0.04 if len(final) else (2 if sides == "two_sided" else 1) * spent(row[8], 0.02 if sides == "two_sided" else 0.04, spending)
        )


def test_finer_quadrature_gives_the_same_boundaries(monkeypatch):
    from simtrials.stats import group_sequential

    t = fractions(3, 10, 25, total=1.0)
    found = spending_boundaries(t).bound
    monkeypatch.setattr(group_sequential, "_POINTS", np.polynomial.legendre.leggauss(48)[0])
    monkeypatch.setattr(group_sequential, "_WEIGHTS", np.polynomial.legendre.leggauss(48)[1])
    assert_allclose(spending_boundaries(t).bound, found, atol=NODES)


def test_a_look_that_is_not_taken_is_no_look():
    t = np.array([0.2, np.nan, 0.5, np.nan, 1.0])
    found = spending_boundaries(t)
    assert_array_equal(found.bound[[0, 2, 4]], spending_boundaries([0.2, 0.5, 1.0]).bound)
    assert np.isnan(found.bound[[1, 3]]).all()


def test_one_look_is_the_usual_test():
    assert_allclose(spending_boundaries([1.0]).bound, [ndtri(0.975)], rtol=1e-12)
    assert_allclose(spending_boundaries([1.7], alpha=0.1, sides="one_sided").bound, [ndtri(0.9)], rtol=1e-12)


def test_a_batch_equals_one_by_one():
    t = fractions(4, 12, 7)
    together = spending_boundaries(t.reshape(3, 4, 7)).bound.reshape(12, 7)
    for row, bounds in zip(t, together, strict=True):
        assert_array_equal(spending_boundaries(row).bound, bounds)


def test_wrong_arguments_of_looks_are_named():
    with pytest.raises(ValueError, match="increase"):
        spending_boundaries([0.2, 0.2, 1.0])
    with pytest.raises(ValueError, match="positive"):
        crossing_probabilities([2.0, 2.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="obrien_fleming"):
        spending_boundaries(EVEN, spending="obrien-fleming")
    with pytest.raises(ValueError, match="alpha"):
        spending_boundaries(EVEN, alpha=5)
    with pytest.raises(ValueError, match="sides"):
        crossing_probabilities([2.0], [1.0], sides="both")


# ---- trial sequential analysis


def evidence(seed, n=30, k=8):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 0.3, (n, k))
    y = 0.3 + rng.normal(size=(n, k)) * np.sqrt(v + 0.02)
    gone = rng.random((n, k)) < 0.2
    gone[:, :2] = False
    return np.where(gone, np.nan, y), v


def test_trial_sequential_analysis_step_by_step():
    y, v = evidence(5)
    found = trial_sequential_analysis(y, v, anticipated_effect=0.45, tau2="DL")
    n_crossed = 0
    for r in range(len(y)):
        present = ~np.isnan(y[r])
        one, variances = y[r][present], v[r][present]
        k = len(one)
        fixed, mixed = meta_analysis(one, variances, tau2="common"), meta_analysis(one, variances, tau2="DL")
        d2 = 1 - fixed.std_error**2 / mixed.std_error**2
        required = ((1.959963985 + 0.841621234) / 0.45) ** 2 / (1 - d2)
        assert_allclose([found.diversity[r], found.required_information[r]], [d2, required], rtol=1e-7, atol=1e-12)
        information = np.cumsum(1 / variances) / required
        assert_allclose(found.fraction[r, :k], information, rtol=1e-8)
        bounds = spending_boundaries(information).bound
        z = [meta_analysis(one[:j], variances[:j], tau2="DL") for j in range(1, k + 1)]
        z = np.array([float(fit.estimate / fit.std_error) for fit in z])
        assert_allclose(found.statistic[r, :k], z, rtol=1e-9)
        assert_allclose(found.bound[r, :k], bounds, rtol=1e-6)
        crossed = np.flatnonzero(np.abs(z) >= bounds)
        assert found.crossed[r] == (len(crossed) > 0)
        final = np.flatnonzero(~np.isnan(bounds))[-1]
        look = crossed[0] if len(crossed) else final
        assert found.look[r] == look + 1
        assert found.reached[r] == (information[look] >= 1)
        assert found.side[r] == (np.sign(z[look]) if len(crossed) else 0)
        outside = found.lower[r] > 0 or found.upper[r] < 0
        assert outside == found.crossed[r]
        n_crossed += found.crossed[r]
    assert 3 < n_crossed < 27


def test_sides_of_trial_sequential_analysis():
    y, v = evidence(6)
    up = trial_sequential_analysis(y, v, anticipated_effect=0.45, alternative="greater")
    down = trial_sequential_analysis(-y, v, anticipated_effect=-0.45, alternative="less")
    wrong = trial_sequential_analysis(y, v, anticipated_effect=0.45, alternative="less")
    assert_array_equal(up.crossed, down.crossed)
    assert_array_equal(up.side, -down.side)
    assert_array_equal(up.lower, -down.upper)
    assert np.isinf(up.upper).all()
    assert not (wrong.crossed & up.crossed).any()


def test_under_no_effect_the_error_rate_is_kept_where_looks_at_five_percent_exceed_it():
    """Common effect, so that the theory is exact: 0.05 at most, as not every path reaches the required information."""
    rng = np.random.default_rng(7)
    n, k = 20_000, 10
    v = np.full((n, k), 0.1)
    y = rng.normal(size=(n, k)) * np.sqrt(v)
    effect = 2.8015852 / 10  # the required information is 100, that of ten studies
    found = trial_sequential_analysis(y, v, anticipated_effect=effect * 1.0000001, tau2="common")
    assert found.reached[~found.crossed].all()
    assert abs(found.crossed.mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n)
    naive = (np.abs(cumulative_meta_analysis(y, v, tau2="common").estimate) * np.sqrt(10 * np.arange(1, k + 1)) >= 1.96).any(axis=1).mean()
    assert abs(naive - 0.193) < 4 * np.sqrt(0.193 * 0.807 / n)


def test_edges_of_trial_sequential_analysis():
    y, v = np.array([0.1, 0.4, 0.2]), np.array([0.1, 0.2, 0.1])
    assert trial_sequential_analysis(np.full(3, np.nan), v, anticipated_effect=0.3).status == MetaStatus.TOO_FEW_STUDIES
    broken = trial_sequential_analysis(y, np.array([0.1, 0.0, 0.1]), anticipated_effect=0.3)
    assert broken.status == MetaStatus.ZERO_VARIANCE
    assert np.isnan(broken.estimate)
    assert not broken.crossed
    alone = trial_sequential_analysis(y[:1], v[:1], anticipated_effect=0.3)
    assert alone.diversity == 0
    half = trial_sequential_analysis(y, v, anticipated_effect=0.3, diversity=0.5)
    plain = trial_sequential_analysis(y, v, anticipated_effect=0.3, diversity=0.0)
    assert_allclose(half.required_information, 2 * plain.required_information)
    for wrong, named in ((1.0, "diversity"), ("estimate", "estimated"), ([0.1, 0.2], "diversity")):
        with pytest.raises(ValueError, match=named):
            trial_sequential_analysis(y, v, anticipated_effect=0.3, diversity=wrong)
    with pytest.raises(ValueError, match="anticipated_effect"):
        trial_sequential_analysis(y, v, anticipated_effect=0)


def test_many_bodies_are_analyzed_as_one_by_one_and_absent_studies_are_shorter_arrays():
    y, v = evidence(8, n=12)
    together = trial_sequential_analysis(y.reshape(3, 4, 8), v.reshape(3, 4, 8), anticipated_effect=0.4)
    for r in range(12):
        present = ~np.isnan(y[r])
        alone = trial_sequential_analysis(y[r][present], v[r][present], anticipated_effect=0.4)
        for column, one in zip(together, alone, strict=True):
            if one.ndim == 1:
                padded = np.concatenate([one, np.full(8 - len(one), np.nan)])
                assert_allclose(column.reshape(12, 8)[r], padded, rtol=1e-7)
            else:
                assert_allclose(column.reshape(12)[r], one, rtol=1e-7)


def test_the_order_of_evidence_is_the_one_that_is_given():
    y, v = evidence(9, n=12)
    year = np.random.default_rng(9).permutation(8)
    found = trial_sequential_analysis(y, v, year, anticipated_effect=0.4, tau2="DL")
    again = trial_sequential_analysis(y[:, np.argsort(year)], v[:, np.argsort(year)], anticipated_effect=0.4, tau2="DL")
    for column, other in zip(found, again, strict=True):
        assert_array_equal(column, other)
    shuffled = trial_sequential_analysis(y, v, anticipated_effect=0.4, tau2="DL")
    assert_allclose(shuffled.required_information, found.required_information, rtol=1e-9)
    assert (shuffled.fraction[:, 0] != found.fraction[:, 0]).any()
