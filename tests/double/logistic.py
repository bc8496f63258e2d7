"""Logistic regression of one replicate by general root finding and linear programming."""

import numpy as np
from scipy.optimize import linprog, root
from scipy.special import expit, log_expit


def model_matrix(arm, active, covariates, tested):
    """Intercept, the other columns, and the tested column last."""
    columns = [(arm == active).astype(float), *covariates]
    last = columns.pop(tested)
    return np.column_stack([np.ones(arm.size), *columns, last])


def is_separated(outcome, matrix):
    """Whether some direction has no negative margin and one that is positive: the linear programme of Konis (2007, thesis, Oxford)."""
    margins = np.where(outcome > 0.5, 1, -1)[:, np.newaxis] * matrix
    solution = linprog(-margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(outcome.size), bounds=(-1, 1))
    return -solution.fun > 1e-6


def log_likelihood(coefficients, outcome, matrix, penalised):
    """Of the coefficients of the first columns, the others being 0; Firth's adds half the log determinant of the whole information."""
    linear = matrix[:, : coefficients.size] @ coefficients
    value = log_expit(np.where(outcome > 0.5, linear, -linear)).sum()
    return value + np.linalg.slogdet(information(coefficients, matrix))[1] / 2 if penalised else value


def information(coefficients, matrix):
    risk = expit(matrix[:, : coefficients.size] @ coefficients)
    return matrix.T @ (matrix * (risk * (1 - risk))[:, np.newaxis])


def score(coefficients, outcome, matrix, penalised):
    """Gradient of `log_likelihood`; that of the log determinant by Jacobi's formula, tr(I^-1 dI)."""
    free = coefficients.size
    risk = expit(matrix[:, :free] @ coefficients)
    gradient = matrix[:, :free].T @ (outcome - risk)
    if penalised:
        inverse = np.linalg.inv(information(coefficients, matrix))
        slope = risk * (1 - risk) * (1 - 2 * risk)
        for k in range(free):
            gradient[k] += np.trace(inverse @ (matrix.T @ (matrix * (slope * matrix[:, k])[:, np.newaxis]))) / 2
    return gradient


def maximum(outcome, matrix, n_free, penalised):
    """Coefficients and log-likelihood where the score is zero (Powell's hybrid method)."""
    scale = 1 / np.abs(matrix[:, :n_free]).max(axis=0)
    found = root(lambda c: scale * score(scale * c, outcome, matrix, penalised), np.zeros(n_free), tol=1e-13)
    coefficients = scale * found.x
    return coefficients, log_likelihood(coefficients, outcome, matrix, penalised)


def fit(outcome, arm, active, covariates=(), tested=0, penalised=False):
    """Estimate, standard error and signed root of the likelihood ratio of one coefficient."""
    analysed = np.isin(arm, (0, active)) & np.isfinite(np.sum([outcome, *covariates], axis=0))
    matrix = model_matrix(arm[analysed], active, [c[analysed] for c in covariates], tested)
    outcome = outcome[analysed]
    coefficients, full = maximum(outcome, matrix, matrix.shape[1], penalised)
    _, null = maximum(outcome, matrix, matrix.shape[1] - 1, penalised)
    variance = np.linalg.inv(information(coefficients, matrix))[-1, -1]
    return coefficients[-1], np.sqrt(variance), np.sign(coefficients[-1]) * np.sqrt(2 * max(full - null, 0.0))
