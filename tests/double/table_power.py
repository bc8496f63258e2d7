"""Exact power of tests of two proportions from their definitions: every table, its probability and its test, with scipy's distributions."""

from functools import cache

import numpy as np
from scipy import stats


@cache
def fisher_power(n_per_arm, p_active, p_control, alpha=0.05):
    """Two-sided Fisher test, rejections with more events under active; a table counts towards P if it is no more probable than the observed."""
    active = np.arange(n_per_arm + 1)
    of_active, of_control = stats.binom.pmf(active, n_per_arm, p_active), stats.binom.pmf(active, n_per_arm, p_control)
    power = 0.0
    for total in range(2 * n_per_arm + 1):
        possible = np.arange(max(0, total - n_per_arm), min(n_per_arm, total) + 1)
        chance = stats.hypergeom.pmf(possible, 2 * n_per_arm, n_per_arm, total)
        p_value = (chance[np.newaxis, :] * (chance[np.newaxis, :] <= chance[:, np.newaxis] * (1 + 1e-7))).sum(axis=1)
        shown = (p_value < alpha) & (2 * possible > total)
        power += float((of_active[possible] * of_control[total - possible])[shown].sum())
    return power


@cache
def z_power(n_per_arm, p_active, p_control, pooled, alpha=0.05):
    """z test of the difference of two proportions with the pooled or the unpooled variance, rejections with more events under active."""
    active, control = np.meshgrid(np.arange(n_per_arm + 1), np.arange(n_per_arm + 1), indexing="ij")
    one, other = active / n_per_arm, control / n_per_arm
    both = (one + other) / 2
    variance = 2 * both * (1 - both) / n_per_arm if pooled else (one * (1 - one) + other * (1 - other)) / n_per_arm
    shown = (active > control) & (one - other > stats.norm.ppf(1 - alpha / 2) * np.sqrt(variance))
    chance = stats.binom.pmf(active, n_per_arm, p_active) * stats.binom.pmf(control, n_per_arm, p_control)
    return float(chance[shown].sum())
