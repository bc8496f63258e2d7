"""Rank comparison within strata of one replicate: scores and their permutation variance, and placements over all pairs."""

import numpy as np
from double import ranks
from scipy.stats import rankdata


def weight(n, equal):
    return 1 if equal else 1 / (n + 1)


def z(outcome, arm, active, stratum, equal=False):
    """Weighted rank sum of the active arm, standardised by the variance of a sum drawn without replacement from the ranks with their ties."""
    excess, variance = 0.0, 0.0
    for code in np.unique(stratum[stratum >= 0]):
        kept = (stratum == code) & np.isin(arm, (0, active)) & ~np.isnan(outcome)
        n, n_active = kept.sum(), (arm[kept] == active).sum()
        if n < 2:
            continue
        scores = weight(n, equal) * rankdata(outcome[kept])
        excess += scores[arm[kept] == active].sum() - n_active * scores.mean()
        variance += n_active * (n - n_active) / n * scores.var(ddof=1)
    return excess / np.sqrt(variance)


def index(outcome, arm, active, stratum, equal=False):
    """Weighted mean of the probability indices of the strata, and its standard error."""
    total, won, variance = 0.0, 0.0, 0.0
    for code in np.unique(stratum[stratum >= 0]):
        kept = stratum == code
        pairs = ranks.pairs(outcome[kept], arm[kept], active)
        if pairs.size:
            size = weight(sum(pairs.shape), equal) * pairs.size
            own_index, std_error = ranks.probability_index(outcome[kept], arm[kept], active)
            total, won, variance = total + size, won + size * own_index, variance + (size * std_error) ** 2
    return won / total, np.sqrt(variance) / total
