"""Subgroup analysis is analyses of their own, or one regression."""

import numpy as np
import pytest
from double.pooling import batch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.meta_analysis import meta_analysis, meta_regression
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.subgroups import subgroup_analysis

few = settings(max_examples=12, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@few
@given(seeds)
def test_heterogeneity_of_a_common_effect_splits_into_within_and_between(seed):
    y, v = batch(seed, smallest=6)
    groups = np.arange(12) % 3
    found, whole = subgroup_analysis(y, v, groups, tau2="common"), meta_analysis(y, v, tau2="common")
    assert_allclose(found.q_between + found.q.sum(axis=-1), whole.q, rtol=1e-10)
    shared = subgroup_analysis(y, v, groups, tau2="common", spread="shared")
    assert_allclose(shared.estimate, found.estimate, rtol=1e-10)
    assert_allclose(shared.q_between, found.q_between, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("ci", ["wald", "hartung_knapp"])
@few
@given(seeds)
def test_subgroups_are_analyses_of_their_own_or_one_regression(ci, seed):
    y, v = batch(seed, smallest=6)
    groups = np.array(["b", "a", "c"])[np.arange(12) % 3]
    apart, together = (subgroup_analysis(y, v, groups, ci=ci, spread=spread) for spread in ("separate", "shared"))
    assert list(apart.groups) == ["a", "b", "c"]
    for place, label in enumerate(apart.groups):
        alone = meta_analysis(np.where(groups == label, y, np.nan), v, ci=ci)
        for name in ("estimate", "lower", "upper", "p_value", "tau2", "q", "n_studies", "status"):
            assert_array_equal(getattr(apart, name)[:, place], getattr(alone, name))
    contrasts = np.column_stack([np.ones(12), groups == "b", groups == "c"])
    regression = meta_regression(y, v, contrasts, ci=ci)
    assert_allclose(together.q_between, regression.qm, rtol=1e-7, atol=1e-9)
    assert_allclose(together.q_between_p_value, regression.qm_p_value, rtol=1e-6, atol=1e-9)
    assert_allclose(together.tau2, np.repeat(regression.tau2[:, np.newaxis], 3, axis=1), rtol=1e-7, atol=1e-9)


def test_a_subgroup_without_studies_stays_out():
    y, v = batch(11, 4, smallest=12)
    groups = np.arange(12) % 3
    y[0, groups == 1] = np.nan
    for spread in ("separate", "shared"):
        found = subgroup_analysis(y, v, groups, spread=spread)
        assert found.status[0, 1] == MetaStatus.TOO_FEW_STUDIES
        assert np.isnan(found.estimate[0, 1])
        assert_array_equal(found.q_between_df, [1, 2, 2, 2])
        two = subgroup_analysis(y[0], v[0], np.where(groups == 1, np.nan, groups), spread=spread)
        assert_allclose(two.q_between, found.q_between[0], rtol=1e-12)
        assert_allclose(two.estimate, found.estimate[0, [0, 2]], rtol=1e-12)
        assert np.isnan(subgroup_analysis(y[1], v[1], np.zeros(12), spread=spread).q_between)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="yi, vi and groups have one shape"):
        subgroup_analysis([0.1, 0.2], [1.0, 1.0], ["a", "b", "a"])
    with pytest.raises(ValueError, match="did you mean 'shared'"):
        subgroup_analysis([0.1, 0.2], [1.0, 1.0], ["a", "b"], spread="share")
