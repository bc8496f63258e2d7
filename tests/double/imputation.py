"""Imputation of one trial, written from the papers with explicit covariance matrices and a loop for everything.

A trial is outcome (patient, visit), columns (patient, covariate) and arm (patient). Regressions are those of the package, of data that are
not centred: (visit, column) intercept, covariates, earlier visits and residual SD.
"""

import numpy as np
from scipy.stats import chi2


def visits_used(outcome, deviation, up_to_gap):
    """How many visits of a patient inform the regressions."""
    known = [t for t in range(len(outcome)) if t < deviation and np.isfinite(outcome[t])]
    if up_to_gap:
        return next((t for t in range(len(outcome)) if t not in known), len(outcome))
    return max(known, default=-1) + 1


def regressions(outcome, columns, used, coefficient_luck=None, variance_luck=None):
    """Least squares of each visit, or a draw from its posterior (Rubin 1987, pages 166-167)."""
    n_visits = outcome.shape[1]
    found = np.empty((n_visits, 1 + columns.shape[1] + n_visits))
    for t in range(n_visits):
        members = np.flatnonzero(used > t)
        matrix = np.column_stack([np.ones(members.size), columns[members], outcome[members, :t]])
        coefficients = np.linalg.lstsq(matrix, outcome[members, t])[0]
        squares = np.sum((outcome[members, t] - matrix @ coefficients) ** 2)
        n, k = matrix.shape
        variance = squares / (n - 1 - columns.shape[1])
        if variance_luck is not None:
            variance = squares / chi2.isf(variance_luck[t], n - k)
            low = np.linalg.cholesky(matrix.T @ matrix)
            coefficients = coefficients + np.sqrt(variance) * np.linalg.solve(low.T, coefficient_luck[t, :k])
        found[t] = [*coefficients, *np.zeros(n_visits - 1 - t), np.sqrt(variance)]
    return found


def of_both_arms(outcome, columns, arm, used, shared, coefficient_luck=None, variance_luck=None):
    """Regressions of control and active; shared ones have the arm as their first column."""
    if shared:
        members = arm >= 0
        with_arm = np.column_stack([arm, columns])[members]
        luck = [None, None] if variance_luck is None else [coefficient_luck[0], variance_luck[0]]
        found = regressions(outcome[members], with_arm, used[members], *luck)
        both = np.delete(np.stack([found, found]), 1, axis=2)
        both[1, :, 0] += found[:, 1]
        return both
    lucks = [[None, None] if variance_luck is None else [coefficient_luck[a], variance_luck[a]] for a in (0, 1)]
    return np.stack([regressions(outcome[arm == a], columns[arm == a], used[arm == a], *lucks[a]) for a in (0, 1)])


def moments(regression, covariates):
    """Mean and covariance matrix of all visits."""
    n_visits, first = len(regression), 1 + covariates.size
    inverse = np.linalg.inv(np.eye(n_visits) - np.column_stack([regression[:, first:-1], np.zeros(n_visits)]))
    mean = inverse @ (regression[:, 0] + regression[:, 1:first] @ covariates)
    return mean, inverse @ np.diag(regression[:, -1] ** 2) @ inverse.T


def joint(own, reference, deviation, assumption):
    """Mean and covariance matrix of a patient with a deviation (Carpenter, Roger and Kenward 2013, section 4.3)."""
    (own_mean, own_covariance), (mean, covariance) = own, reference
    if assumption == "missing_at_random":
        return own
    if assumption == "copy_reference" or deviation == 0:
        return reference
    before, after = slice(deviation), slice(deviation, None)
    moved = own_mean.copy()
    moved[after] = mean[after]
    if assumption == "copy_increments":
        moved[after] += own_mean[deviation - 1] - mean[deviation - 1]
    slopes = covariance[after, before] @ np.linalg.inv(covariance[before, before])
    across = slopes @ own_covariance[before, before]
    corner = covariance[after, after] - slopes @ (covariance[before, before] - own_covariance[before, before]) @ slopes.T
    return moved, np.block([[own_covariance[before, before], across.T], [across, corner]])


def filled(outcome, mean, covariance, luck):
    """Missing values drawn given the others."""
    missing = np.isnan(outcome)
    slopes = covariance[np.ix_(missing, ~missing)] @ np.linalg.inv(covariance[np.ix_(~missing, ~missing)])
    conditional = mean[missing] + slopes @ (outcome[~missing] - mean[~missing])
    left = covariance[np.ix_(missing, missing)] - slopes @ covariance[np.ix_(~missing, missing)]
    complete = outcome.copy()
    complete[missing] = conditional + np.linalg.cholesky(left) @ luck[missing] if missing.any() else conditional
    return complete


def gaps_filled(outcome, covariates, deviation, regression, luck):
    """Visits up to the last observed one before the deviation, completed at random."""
    last = visits_used(outcome, deviation, up_to_gap=False)
    mean, covariance = moments(regression, covariates)
    return np.concatenate([filled(outcome[:last], mean[:last], covariance[:last, :last], luck[:last]), outcome[last:]])


def completed(outcome, covariates, arm, deviation, both, assumption, luck):
    """All visits of one patient."""
    outcome = gaps_filled(outcome, covariates, deviation, both[arm], luck)
    own, reference = moments(both[arm], covariates), moments(both[0], covariates)
    refers = arm == 1 and deviation < len(outcome)
    return filled(outcome, *(joint(own, reference, deviation, assumption) if refers else own), luck)


def chain(outcome, columns, arm, deviation, luck, shared):
    """The regressions of each imputation, by monotone data augmentation (Schafer 1997, section 6.5); luck of one replicate."""
    prefix, last = (np.array([visits_used(y, d, up_to_gap) for y, d in zip(outcome, deviation, strict=True)]) for up_to_gap in (True, False))
    complete, kept = outcome, []
    for c in range(len(luck.variance)):
        both = of_both_arms(complete, columns, arm, prefix if c == 0 else last, shared, luck.coefficient[c], luck.variance[c])
        kept.append(both)
        complete = outcome.copy()
        for p in np.flatnonzero(arm >= 0):
            complete[p] = gaps_filled(outcome[p], columns[p], deviation[p], both[arm[p]], luck.patient[p, c])
    return np.stack(kept)


def ancova(outcome, columns, arm):
    """Coefficient of the arm, its standard error and the degrees of freedom."""
    members = arm >= 0
    matrix = np.column_stack([np.ones(members.sum()), columns[members], arm[members]])
    coefficients = np.linalg.lstsq(matrix, outcome[members])[0]
    df = len(matrix) - matrix.shape[1]
    variance = np.sum((outcome[members] - matrix @ coefficients) ** 2) / df
    return coefficients[-1], np.sqrt(variance * np.linalg.inv(matrix.T @ matrix)[-1, -1]), df


def conditional_mean_effect(outcome, columns, arm, deviation, assumption, shared, visit, shift):
    used = np.array([visits_used(y, d, up_to_gap=True) for y, d in zip(outcome, deviation, strict=True)])
    both, ignored = of_both_arms(outcome, columns, arm, used, shared), np.zeros(outcome.shape[1])
    complete = outcome[:, visit].copy()
    for p in np.flatnonzero((arm >= 0) & np.isnan(outcome[:, visit])):
        complete[p] = completed(outcome[p], columns[p], arm[p], deviation[p], both, assumption, ignored)[visit] + shift[p]
    return ancova(complete, columns, arm)[0]


def jackknife(outcome, columns, arm, deviation, assumption, shared, visit, shift):
    """Effect and standard error, everything done again without each patient (Wolbers et al. 2022)."""
    data = (outcome, columns, arm, deviation)
    effect = conditional_mean_effect(*data, assumption, shared, visit, shift)
    without = []
    for p in np.flatnonzero(arm >= 0):
        rest = [np.delete(x, p, axis=0) for x in data]
        without.append(conditional_mean_effect(*rest, assumption, shared, visit, np.delete(shift, p)))
    n = len(without)
    return effect, np.sqrt((n - 1) / n * np.sum((without - np.mean(without)) ** 2))


def rubin(estimates, std_errors, complete_df):
    """Estimate, standard error and degrees of freedom (Barnard and Rubin 1999)."""
    m = len(estimates)
    mean = sum(estimates) / m
    within = sum(s * s for s in std_errors) / m
    between = sum((e - mean) ** 2 for e in estimates) / (m - 1)
    total = within + (1 + 1 / m) * between
    gamma = (1 + 1 / m) * between / total
    large_sample = (m - 1) / gamma**2
    if np.isinf(complete_df):
        return mean, np.sqrt(total), large_sample
    observed = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - gamma)
    return mean, np.sqrt(total), large_sample * observed / (large_sample + observed)


def mixed_model_effect(outcome, columns, arm, visit):
    """Treatment effect at a visit by generalised least squares, each column by visit, with the covariance matrix of shared regressions."""
    used = np.array([visits_used(y, len(y), up_to_gap=True) for y in outcome])
    n_visits, covariates = outcome.shape[1], np.column_stack([np.ones(arm.size), columns, arm])
    covariance = moments(of_both_arms(outcome, columns, arm, used, True)[0], np.zeros(columns.shape[1]))[1]
    products, right = 0.0, 0.0
    for p in np.flatnonzero((arm >= 0) & (used > 0)):
        matrix = np.kron(np.eye(n_visits), covariates[p])[: used[p]]
        weighted = matrix.T @ np.linalg.inv(covariance[: used[p], : used[p]])
        products, right = products + weighted @ matrix, right + weighted @ outcome[p, : used[p]]
    return np.linalg.solve(products, right).reshape(n_visits, -1)[visit, -1]
