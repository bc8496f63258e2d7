"""Sobol' indices of simulated shares against naive twins: SciPy's own on exact values, and averages over pairs of different trials."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr, ndtri
from scipy.stats import qmc, sobol_indices

from simtrials.stats.sobol import SETS, _indices, _noise, share_indices, sobol_design, t_quantile


def test_the_design_has_the_points_of_a_those_of_b_and_a_with_one_field_from_b():
    a, b, *mixed = sobol_design(3, 16, np.random.default_rng(1))
    both = qmc.Sobol(d=6, bits=64, seed=np.random.default_rng(1)).random(16)
    assert_allclose(np.hstack([a, b]), both)
    for i, points in enumerate(mixed):
        for k in range(3):
            assert_allclose(points[:, k], (b if k == i else a)[:, k])
    assert_allclose(sobol_design(3, 32, np.random.default_rng(1))[:, :16], sobol_design(3, 16, np.random.default_rng(1)))


def test_products_of_simulated_shares_are_averages_over_pairs_of_different_trials():
    """The deduction makes each of them the mean over r != q of what trial r says of one factor and trial q of the other."""
    rng = np.random.default_rng(2)
    shown = rng.random((SETS, 4, 4, 6)) < 0.4
    first, total, variance, _ = _indices(shown.mean(axis=-1), _noise(shown), np.array([[1]]))
    y = shown[1].astype(float)
    pairs = [(r, q) for r in range(6) for q in range(6) if r != q]
    center = y[:2].mean(axis=(0, 1))
    assert_allclose(variance[0], np.mean([((y[:2, :, r] - center[r]) * (y[:2, :, q] - center[q])).mean() for r, q in pairs]))
    naive_first = np.mean([((y[1, :, r] - center[r]) * (y[2:, :, q] - y[0, :, q])).mean(axis=-1) for r, q in pairs], axis=0)
    naive_total = np.mean([((y[2:, :, r] - y[0, :, r]) * (y[2:, :, q] - y[0, :, q])).mean(axis=-1) / 2 for r, q in pairs], axis=0)
    assert_allclose(first[0] * variance[0], naive_first, atol=1e-12)
    assert_allclose(total[0] * variance[0], naive_total, atol=1e-12)


def test_of_several_sets_with_luck_of_their_own_only_trials_of_the_same_set_are_correlated():
    """Variance of two sets together: pairs of different trials within a set, all pairs between sets."""
    rng = np.random.default_rng(3)
    shown = rng.random((SETS, 4, 2, 3)) < 0.5
    variance = _indices(shown.mean(axis=-1), _noise(shown), np.array([[0, 2]]))[2][0]
    y = shown[[0, 2], :2].reshape(2, 4, 3).astype(float)

    def product(i, k):
        """Mean over pairs of different trials of the product of points i and k, each (set, point)."""
        one, other = y[i], y[k]
        if i[0] != k[0]:
            return one.mean() * other.mean()
        return np.mean([one[r] * other[q] for r in range(3) for q in range(3) if r != q])

    every = [(s, p) for s in range(2) for p in range(4)]
    naive = np.mean([product(i, i) for i in every]) - np.mean([product(i, k) for i in every for k in every])
    assert_allclose(variance, naive, atol=1e-12)


def test_with_trials_that_agree_the_indices_are_those_of_scipy():
    rng = np.random.default_rng(4)
    shown = np.repeat(rng.random((SETS, 5, 8, 1)) < 0.5, 3, axis=-1)
    found = share_indices(shown)
    values = np.moveaxis(shown[..., 0], 1, 0).reshape(5, -1).astype(float)
    scipys = sobol_indices(func={"f_A": values[:1], "f_B": values[1:2], "f_AB": values[2:, np.newaxis]}, n=32)
    assert_allclose(found.first_order, scipys.first_order)
    assert_allclose(found.total_order, scipys.total_order)
    assert found.noise == 0


def margin(places):
    """Of points (..., 3): a z value that depends on the first two fields, and the correlation of luck, which the third one changes."""
    return (0.45 + 0.15 * ndtri(places[..., 0])) / (0.8 + 0.4 * places[..., 1]) * np.sqrt(32), places[..., 2]


def simulated(places, n_replicates, rng):
    """(points, n_replicates) trials with a benefit, all points with the same luck; the third field changes who it is, not how many."""
    mean, rho = (value[..., np.newaxis] for value in margin(places))
    one, other = rng.standard_normal((2, n_replicates))
    return mean + np.sqrt(1 - rho**2) * one + rho * other > 1.96


@pytest.fixture(scope="module")
def repeated():
    """60 repetitions of the indices of a known function, and the exact ones by integration."""
    grid = (np.arange(300) + 0.5) / 300
    first, second = np.meshgrid(grid, grid, indexing="ij")
    power = ndtr(margin(np.stack([first, second, first], axis=-1))[0] - 1.96)
    by_first, by_second = power.mean(axis=1).var() / power.var(), power.mean(axis=0).var() / power.var()
    rng = np.random.default_rng(20)
    found = []
    for _ in range(60):
        shown = np.stack([simulated(sobol_design(3, 32, rng), 64, rng) for _ in range(SETS)])
        raw = _indices(shown.mean(axis=-1), _noise(np.repeat(shown.mean(axis=-1, keepdims=True) > 0.5, 2, axis=-1)), np.arange(SETS)[np.newaxis])
        found.append((share_indices(shown), raw[1][0]))
    return found, np.array([by_first, by_second, 0.0]), np.array([1 - by_second, 1 - by_first, 0.0])


def test_indices_are_exact_on_average_and_what_trials_add_would_be_seen(repeated):
    found, first, total = repeated
    for name, exact in (("first_order", first), ("total_order", total)):
        values = np.array([getattr(one, name) for one, _ in found])
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        assert (abs(values.mean(axis=0) - exact) < 4 * error + 0.01).all(), "0.01: a ratio of averages is not the average of ratios"
    idle = np.array([one.total_order[2] for one, _ in found])
    undeducted = np.array([raw[2] for _, raw in found])
    error = idle.std(ddof=1) / np.sqrt(len(idle))
    assert abs(idle.mean()) < 4 * error
    assert undeducted.mean() > 10 * error, "a version without the deduction gives the idle field a share"


def test_intervals_hold_the_exact_indices_as_often_as_they_say(repeated):
    """Three or more misses in 60 are expected; 9 or more have a probability below 0.004 at 95% coverage."""
    found, first, total = repeated
    for exact, name in ((first, "first_order"), (total, "total_order")):
        held = np.array([abs(getattr(one, name) - exact) <= t_quantile() * getattr(one, f"{name}_se") for one, _ in found])
        assert (held.sum(axis=0) >= 51).all()
    half = np.mean([t_quantile() * one.total_order_se for one, _ in found], axis=0)
    assert (half < [0.15, 0.06, 0.02]).all(), "an interval that always holds the index says nothing"


def test_nothing_is_apportioned_where_power_hardly_varies():
    rng = np.random.default_rng(5)
    found = share_indices(rng.random((SETS, 4, 16, 256)) < 0.8)
    assert np.isnan(found.total_order).all()
    assert not found.clearly_larger(0, 1)
