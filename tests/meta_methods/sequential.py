"""Repeated looks of the reference cases."""

import numpy as np

from meta_methods.cases import METHODS, Z, numbers_in
from simtrials.stats.group_sequential import crossing_probabilities


def repeated_looks(name: str, inputs: str) -> float:
    """'cumulative meta-analysis, 5 equally spaced looks', each at 5% two-sided."""
    looks = int(numbers_in(name)[0])
    return float(crossing_probabilities(np.full(looks, Z), np.arange(1, looks + 1))[-1])


METHODS["typeI_repeated_5pct:"] = METHODS["typeI_repeated_5pct"] = repeated_looks
