"""What single studies do to a meta-analysis, and sign-flip permutation: agreement with refitting and with all flips."""

import numpy as np
import pytest
from double import small_study as twin
from double.small_study import batch, bodies
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.influence import cumulative_meta_analysis, influence, leave_one_out
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.permutation import permutation_test

ITERATED = 1e-7  # REML: tau2 to a relative 1e-10, then differences of means that it shifts


def test_influence_agrees_with_refitting():
    y, v = batch(13)
    found = influence(y, v, tau2="DL")
    fields = ("studentized_residual", "dffits", "cook_distance", "covariance_ratio", "tau2_deleted", "hat", "dfbetas")
    for r, (one, variances) in enumerate(bodies(y, v)):
        expected = twin.influence(one, variances)
        for field, row in zip(fields, expected, strict=True):
            assert_allclose(getattr(found, field)[r][~np.isnan(y[r])], row, rtol=1e-8, atol=1e-10)


def test_leaving_one_out_and_adding_one_are_meta_analyses_of_the_rest():
    y, v = batch(14, n=5)
    rest, added = leave_one_out(y, v), cumulative_meta_analysis(y, v)
    for r in range(5):
        place = 0
        for i in range(9):
            if np.isnan(y[r, i]):
                assert np.isnan(rest.estimate[r, i])
                continue
            without = meta_analysis(np.delete(y[r], i), np.delete(v[r], i))
            assert_allclose(
                [rest.estimate[r, i], rest.tau2[r, i], rest.p_value[r, i]], [without.estimate, without.tau2, without.p_value], rtol=ITERATED
            )
            until = meta_analysis(y[r, : i + 1], v[r, : i + 1])
            assert_allclose([added.estimate[r, place], added.upper[r, place]], [until.estimate, until.upper], rtol=ITERATED)
            place += 1


def test_cumulative_results_follow_the_order():
    y, v = batch(15, n=6)
    year = np.random.default_rng(15).permutation(9)
    found, plain = cumulative_meta_analysis(y, v, year), cumulative_meta_analysis(y[:, np.argsort(year)], v[:, np.argsort(year)])
    assert_array_equal(found.estimate, plain.estimate)
    assert_array_equal(cumulative_meta_analysis(y, v, np.broadcast_to(year, y.shape)).estimate, plain.estimate)
    with pytest.raises(ValueError, match="order"):
        cumulative_meta_analysis(y, v, [1, 2])


@pytest.mark.parametrize("alternative", ["two_sided", "greater", "less"])
def test_exact_permutations_are_all_sign_flips(alternative):
    y, v = batch(16, n=4, k=6)
    found = permutation_test(y, v, tau2="DL", alternative=alternative)
    expected = [twin.permutation(one, variances, alternative) for one, variances in bodies(y, v)]
    assert_array_equal(found.p_value, expected)
    assert_array_equal(found.n_flips, 2**found.n_studies)


def test_random_permutations_approach_the_exact_ones():
    y, v = batch(17, n=20)
    exact = permutation_test(y, v, tau2="DL").p_value
    random = permutation_test(y, v, tau2="DL", max_exact=0, n_random=2000, rng=5)
    assert not random.exact.any()
    error = np.sqrt(np.maximum(exact * (1 - exact), 1 / 2000) / 2000)
    assert (np.abs(random.p_value - exact) < 4.5 * error + 1 / 2000).all()  # 20 comparisons; the observed signs count once
    assert_array_equal(permutation_test(y, v, tau2="DL", max_exact=0, n_random=2000, rng=5).p_value, random.p_value)
    assert_array_equal(permutation_test(y[:7], v[:7], tau2="DL", max_exact=0, n_random=2000, rng=5).p_value, random.p_value[:7])
    with pytest.raises(ValueError, match="rng"):
        permutation_test(y, v, max_exact=0)


def test_influence_that_keeps_tau2_is_seen():
    """Named wrong version: the variance between studies of all studies in the studentized residual."""
    y, v = batch(18, absent=0)
    found, fit = influence(y, v, tau2="DL"), meta_analysis(y, v, tau2="DL")
    rest = leave_one_out(y, v, tau2="DL")
    wrong = (y - rest.estimate) / np.sqrt(v + fit.tau2[:, np.newaxis] + rest.std_error**2)
    assert (np.abs(found.studentized_residual - wrong) > 1e-3).mean() > 0.5


def test_the_influence_of_a_far_study_is_marked():
    y, v = np.array([0.1, 0.2, 0.15, 0.12, 0.22, 3.0]), np.full(6, 0.01)
    found = influence(y, v)
    assert_array_equal(found.influential, [False] * 5 + [True])


def test_blocks_do_not_change_results(monkeypatch):
    from simtrials.stats import influence as module
    from simtrials.stats import permutation

    y, v = batch(19, n=12)
    before = leave_one_out(y, v), permutation_test(y, v, tau2="DL"), permutation_test(y, v, tau2="DL", max_exact=0, n_random=50, rng=3)
    monkeypatch.setattr(module, "BLOCK", 200)
    monkeypatch.setattr(permutation, "BLOCK", 1000)
    after = leave_one_out(y, v), permutation_test(y, v, tau2="DL"), permutation_test(y, v, tau2="DL", max_exact=0, n_random=50, rng=3)
    for one, other in zip(before, after, strict=True):
        for column, again in zip(one, other, strict=True):
            assert_array_equal(column, again)
