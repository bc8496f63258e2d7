"""Naive twins of the meta-analyses of individual patient data: all patients in one vector, dense matrices, general optimisers."""

import numpy as np
from double.dependence import coefficients
from scipy.optimize import minimize


def complete(outcome, arm, *covariates):
    """Patients of one body of evidence (trial, patient) as columns: trial, outcome, arm, covariates."""
    trial = np.broadcast_to(np.arange(len(outcome))[:, np.newaxis], outcome.shape)
    columns = np.stack([trial, outcome, arm, *covariates], axis=-1).reshape(-1, 3 + len(covariates))
    return columns[np.isfinite(columns).all(axis=1) & np.isin(columns[:, 2], (0, 1))]


def trial_regression(patients, interaction):
    """Least squares of one trial: the one or two treatment coefficients, their covariance and the residual variance."""
    y, arm, covariates = patients[:, 1], patients[:, 2], patients[:, 3:]
    columns = [np.ones(len(y)), *covariates.T, arm]
    if interaction:
        columns.append(arm * (covariates[:, 0] - covariates[:, 0].mean()))
    x = np.column_stack(columns)
    b = np.linalg.lstsq(x, y, rcond=None)[0]
    variance = ((y - x @ b) ** 2).sum() / (len(y) - x.shape[1])
    wanted = slice(1 + covariates.shape[1], None)
    return b[wanted], (variance * np.linalg.inv(x.T @ x))[wanted, wanted], variance


def one_stage_parts(patients, interaction=True, across=False, centered=True):
    """Outcome, fixed columns with those of treatment first, random columns, trial of every patient.

    Without `centered` the interaction is with the covariate as it is: within and across trials in one.
    """
    trial, y, arm, covariates = patients[:, 0].astype(int), patients[:, 1], patients[:, 2], patients[:, 3:]
    labels = np.unique(trial)
    own = trial[:, np.newaxis] == labels
    means = np.array([covariates[trial == label].mean(axis=0) for label in labels])
    inside = covariates - means[np.searchsorted(labels, trial)]
    treated = [arm]
    if interaction:
        treated.append(arm * (inside if centered else covariates)[:, 0])
    fixed = list(treated)
    if across:
        fixed.append(arm * (means[:, 0] - means[:, 0].mean())[np.searchsorted(labels, trial)])
    nuisance = [own] + [own * column[:, np.newaxis] for column in inside.T]
    return y, np.column_stack([*fixed, *nuisance]), np.column_stack(treated), np.searchsorted(labels, trial)


def covariance_of(random, trial, between, residual):
    """Of all patients, for a covariance of the random effects and one residual variance per trial."""
    return np.where(trial[:, np.newaxis] == trial, random @ between @ random.T, 0.0) + np.diag(residual[trial])


def log_likelihood(parts, between, residual, restricted):
    """Without constants."""
    y, x, random, trial = parts
    v = covariance_of(random, trial, between, residual)
    b, covariance = coefficients(y, x, v)
    r = y - x @ b
    value = np.linalg.slogdet(v)[1] + r @ np.linalg.solve(v, r)
    if restricted:
        value -= np.linalg.slogdet(covariance)[1]
    return -value / 2


def highest(parts, restricted, correlated):
    """The highest likelihood a general optimiser finds over all variances."""
    n_trials, size = parts[3].max() + 1, parts[2].shape[1]

    def height(z):
        factor = np.diag(z[:size])
        if correlated:
            factor[1, 0] = z[size]
        return -log_likelihood(parts, factor @ factor.T, np.exp(z[-n_trials:]), restricted)

    logs = np.full(n_trials, np.log(parts[0].var()))
    start = np.concatenate([np.full(size, 0.5), [0.1] * correlated, logs])
    return -minimize(height, start, method="BFGS").fun
