"""Win statistics of one replicate: every pair by itself, level after level, and U-statistic variances from their definitions."""

import numpy as np


def result(active, control, directions, margins):
    """1 when the active patient wins, -1 when the control patient does, 0 for a tie."""
    for one, other, higher_wins, margin in zip(active, control, directions, margins, strict=True):
        ahead = one - other if higher_wins else other - one
        if ahead > margin:
            return 1
        if ahead < -margin:
            return -1
    return 0


def results(outcomes, arm, active, directions, margins):
    """(active patient, control patient)"""
    patients = np.array(outcomes).T
    known = ~np.isnan(patients).all(axis=1)
    own, other = patients[(arm == active) & known], patients[(arm == 0) & known]
    return np.array([[result(a, c, directions, margins) for c in other] for a in own]).reshape(len(own), len(other))


def covariance(first, second):
    """Of the means of two functions of the pairs: covariances of the means by patient, in either arm."""
    by_active = np.cov(first.mean(axis=1), second.mean(axis=1))[0, 1] / len(first)
    by_control = np.cov(first.mean(axis=0), second.mean(axis=0))[0, 1] / first.shape[1]
    return by_active + by_control


def null_variance(wins, losses):
    """Dong et al. (2016): variances and covariance of wins and losses about their common share, over different pairs that share a patient."""
    n_active, n_control = wins.shape
    share = (wins.sum() + losses.sum()) / (2 * wins.size)

    def shared(first, second):
        total = 0.0
        for i in range(n_active):
            for j in range(n_control):
                others = np.arange(n_control) != j
                total += n_control / (n_control - 1) * ((first[i, j] - share) * (second[i, others] - share)).sum()
                others = np.arange(n_active) != i
                total += n_active / (n_active - 1) * ((first[i, j] - share) * (second[others, j] - share)).sum()
        return total

    return (shared(wins, wins) + shared(losses, losses) - 2 * shared(wins, losses)) / wins.size**2


def pairs(outcomes, arm, active, directions, margins, stratum=None, equal=False):
    """Shares of wins and losses, their variances and covariance, and the null variance of their difference."""
    stratum = np.zeros(arm.size, dtype=int) if stratum is None else stratum
    sums, total = np.zeros(6), 0.0
    for code in np.unique(stratum[stratum >= 0]):
        kept = stratum == code
        found = results([outcome[kept] for outcome in outcomes], arm[kept], active, directions, margins)
        if found.size:
            wins, losses = (found == 1).astype(float), (found == -1).astype(float)
            size = found.size * (1 if equal else 1 / sum(found.shape))
            covariances = [covariance(wins, wins), covariance(losses, losses), covariance(wins, losses), null_variance(wins, losses)]
            sums += np.array([size * wins.mean(), size * losses.mean(), *(size**2 * value for value in covariances)])
            total += size
    return sums / np.array([total, total, *[total**2] * 4])
