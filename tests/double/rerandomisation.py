"""Randomization tests of one small trial: every allocation is written down."""

from itertools import combinations, product

import numpy as np


def with_n_active(n_patients, n_active):
    """(allocation, patient) all ways to choose the active patients."""
    chosen = list(combinations(range(n_patients), n_active))
    arms = np.zeros((len(chosen), n_patients), dtype=np.int8)
    for row, patients in zip(arms, chosen, strict=True):
        row[list(patients)] = 1
    return arms


def in_blocks(n_blocks, block_size):
    """(allocation, patient) all ways to choose half of each block."""
    halves = with_n_active(block_size, block_size // 2)
    return np.array([np.concatenate(blocks) for blocks in product(halves, repeat=n_blocks)])


def exact_p_values(statistics):
    """Of each of some equally likely allocations: the share of all whose |statistic| is at least its own, but for rounding."""
    size = np.abs(statistics)
    return np.array([(size > own - 1e-9).mean() for own in size])
