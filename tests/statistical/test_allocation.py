"""Allocation: how the numbers per arm vary, and what blocking strata that foretell the outcome does to the level of a test."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, norm
from statistical import exact
from statistical.helpers import Check, assert_agrees, marker_population, prepared, rejection, trial

N_BLOCKS = 80
TWO_VALUES = {"kind": "quantiles", "probabilities": [0.4999999, 0.5000001], "values": [1.0, float(np.e)], "minimum": 1.0, "maximum": float(np.e)}
"""A marker that is 1 or e, each in half of all patients, so that its logarithm is 0 or 1."""
EXPLAINED = 0.5
GAP = float(np.sqrt(EXPLAINED / (1 - EXPLAINED) * 4))
"""Difference between the strata in residual SDs when they explain half of the variance."""


def prognostic_trial(name: str, n_patients: int, allocation: dict[str, Any]):
    """A score without any effect, on a scale so wide that rounding does not matter; the stratum explains half of its variance."""
    endpoint = {
        "kind": "scale",
        "scale": {"name": "wide", "minimum": 0, "maximum": 10_000},
        "weeks": [8],
        "baseline": {"mean": 5000.0, "sd": 500.0},
        "control_course": {"change": 0.0, "at_week": 8, "time_constant": 0.0, "score_sd": 500.0},
        "correlation": {"kind": "compound_symmetry", "rho": 0.3},
        "prognostic": {"slope": float(500 * np.sqrt(4 * EXPLAINED))},
    }
    analyses = {
        "unadjusted": {"kind": "t_test", "outcome": "score"},
        "adjusted": {"kind": "ancova", "outcome": "score", "covariates": ["marker >= 2"]},
    }
    return trial(name, endpoint, analyses, n_patients, allocation=allocation, **marker_population(of=TWO_VALUES))


def levels() -> list[Check]:
    within = {"kind": "stratified_blocks", "strata": ["marker >= 2"], "block_size": 4}
    checks = []
    for name, allocation, unadjusted in (
        ("stratified blocks", within, exact.t_size_with_strata(GAP, exact.stratified_allocations(60, 0.5, 4))),
        ("complete", {"kind": "complete"}, exact.t_size_with_strata(GAP, exact.complete_allocations(60, 0.5))),
        ("blocks", {"kind": "blocks", "block_size": 60}, exact.t_size_with_strata(GAP, exact.one_block_allocations(60, 0.5))),
    ):
        scenario = prognostic_trial(name, 60, allocation)
        wrong = {"nominal level": 0.05} if name == "stratified blocks" else {"level of stratified blocks": checks[0].exact}
        words = f"{{}} without effect, {name}, 60 patients, strata explain half of the variance"
        checks.append(Check(name, words.format("t test"), scenario, rejection("unadjusted"), unadjusted, "doubly noncentral t", wrong, 0.05))
        wrong = {"unadjusted in stratified blocks": checks[0].exact}
        checks.append(Check(f"{name}, adjusted", words.format("ANCOVA"), scenario, rejection("adjusted"), 0.05, "theory", wrong, 0.05))
    return checks


LEVELS = levels()


@pytest.mark.parametrize("check", LEVELS, ids=lambda check: check.name)
def test_the_level_with_prognostic_strata_is_as_theory_says_for_every_allocation(check: Check):
    assert_agrees(check)


def test_the_predicted_level_is_near_that_of_the_normal_approximation():
    approximate = 2 * norm.sf(1.96 / np.sqrt(1 - EXPLAINED))
    assert 0.8 < LEVELS[0].exact / approximate < 1.5


def arms_of(allocation: dict[str, Any], n_patients: int, ratio: tuple[int, ...], **more: Any) -> np.ndarray:
    """(R, P) arms."""
    scenario = trial(
        f"arms {allocation} {ratio}", {"kind": "continuous"}, {"test": {"kind": "t_test"}}, n_patients, ratio, allocation=allocation, **more
    )
    simulation = prepared(scenario)
    return np.concatenate([simulation.trials(block).data.arm for block in range(N_BLOCKS)])


@pytest.mark.parametrize("ratio", [(1, 1), (2, 1)])
def test_under_complete_randomization_the_size_of_an_arm_is_binomial(ratio: tuple[int, int]):
    n, p = 60, ratio[1] / sum(ratio)
    size = (arms_of({"kind": "complete"}, n, ratio) == 1).sum(axis=1)
    variance = n * p * (1 - p)
    fourth = 3 * variance**2 + variance * (1 - 6 * p * (1 - p))
    assert abs(size.mean() - n * p) < 4 * np.sqrt(variance / size.size)
    spread = np.sqrt((fourth - variance**2) / size.size)
    assert abs(size.var(ddof=1) - variance) < 4 * spread
    assert variance > 8 * spread  # permuted blocks have no variance at all


@pytest.mark.parametrize(("ratio", "block"), [((1, 1), 4), ((2, 1), 6), ((1, 1, 1), 6), ((3, 2), 5)])
def test_permuted_blocks_are_balanced_at_every_multiple_of_the_block(ratio: tuple[int, ...], block: int):
    names = ["control", *(f"arm {i}" for i in range(1, len(ratio)))]
    arms = arms_of({"kind": "blocks", "block_size": block}, 60, ratio, arms=names)
    whole = arms.reshape(arms.shape[0], -1, block)
    for arm, share in enumerate(ratio):
        assert np.all((whole == arm).sum(axis=2) == share * block // sum(ratio))


def test_every_order_of_a_block_is_equally_likely():
    blocks = arms_of({"kind": "blocks", "block_size": 4}, 60, (1, 1)).reshape(-1, 4)
    orders = list(combinations(range(4), 2))
    counts = np.array([np.all(blocks[:, list(places)] == 1, axis=1).sum() for places in orders])
    assert counts.sum() == blocks.shape[0]
    expected = blocks.shape[0] / len(orders)
    assert np.sum((counts - expected) ** 2) / expected < chi2.ppf(1 - 6.3e-5, len(orders) - 1)


def test_blocks_within_strata_are_balanced_within_each_stratum():
    simulation = prepared(prognostic_trial("within", 60, {"kind": "stratified_blocks", "strata": ["marker >= 2"], "block_size": 4}))
    data = simulation.trials(0).data
    for stratum in (0, 1):
        here = data.stratum == stratum
        place = np.cumsum(here, axis=1)  # of each patient within the stratum
        for end in range(4, 61, 4):
            upto = here & (place <= end)
            full = upto.sum(axis=1) == end
            assert np.all((upto & (data.arm == 1)).sum(axis=1)[full] == end // 2)
