"""Rank comparison of one replicate over all pairs of patients, from the definitions."""

import numpy as np
from scipy.stats import brunnermunzel, mannwhitneyu


def pairs(outcome, arm, active):
    """(active patient, control patient): 1 where the active patient is higher, 1/2 where they are tied."""
    control, treated = outcome[(arm == 0) & ~np.isnan(outcome)], outcome[(arm == active) & ~np.isnan(outcome)]
    return (np.sign(treated[:, np.newaxis] - control) + 1) / 2


def probability_index(outcome, arm, active):
    """The index and its standard error by DeLong: variances of the means of rows and of columns."""
    wins = pairs(outcome, arm, active)
    n_active, n_control = wins.shape
    squared = np.var(wins.mean(axis=1), ddof=1) / n_active + np.var(wins.mean(axis=0), ddof=1) / n_control
    return wins.mean(), np.sqrt(squared)


def results(outcome, arm, active, continuity):
    """U and its two-sided p-value, and the statistic and p-value of Brunner and Munzel, by SciPy."""
    control, treated = outcome[(arm == 0) & ~np.isnan(outcome)], outcome[(arm == active) & ~np.isnan(outcome)]
    wilcoxon = mannwhitneyu(treated, control, use_continuity=continuity, method="asymptotic")
    placements = brunnermunzel(control, treated)
    return wilcoxon.statistic, wilcoxon.pvalue, placements.statistic, placements.pvalue
