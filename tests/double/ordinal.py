"""Proportional odds regression of one replicate: cumulative probabilities as textbooks write them, derivatives by complex steps."""

import numpy as np
from double import logistic
from scipy.optimize import minimize

STEP = 1e-30


def model_matrix(arm, active, covariates, tested):
    """The columns of the model, the tested one last; the cuts are the intercepts."""
    return logistic.model_matrix(arm, active, covariates, tested)[:, 1:]


def cumulative(x):
    return 1 / (1 + np.exp(-x))


def terms(parameters, category, matrix):
    """Of each patient, the probability of the category and its derivatives in all parameters; complex numbers are welcome.

    Parameters are the cuts of P(category <= k), which rise with k, and then coefficients of the odds of a higher category.
    """
    n_cuts = category.max()
    shift = matrix @ parameters[n_cuts:]
    below = np.array([np.zeros_like(shift), *(cumulative(cut - shift) for cut in parameters[:n_cuts]), np.ones_like(shift)])
    slope = below * (1 - below)
    patient = np.arange(category.size)
    of_cuts = np.zeros((category.size, n_cuts + 2), dtype=below.dtype)
    of_cuts[patient, category + 1] += slope[category + 1, patient]
    of_cuts[patient, category] -= slope[category, patient]
    of_shift = slope[category, patient] - slope[category + 1, patient]
    probability = below[category + 1, patient] - below[category, patient]
    return probability, np.column_stack([of_cuts[:, 1:-1], of_shift[:, np.newaxis] * matrix])


def log_likelihood(parameters, category, matrix):
    probability = terms(parameters, category, matrix)[0]
    return np.log(probability).sum() if probability.min() > 0 else -np.inf


def gradient(parameters, category, matrix):
    probability, derivatives = terms(parameters, category, matrix)
    return (derivatives / probability[:, np.newaxis]).sum(axis=0)


def second_derivative(parameters, category, matrix):
    return np.array([gradient(parameters + 1j * STEP * unit, category, matrix).imag / STEP for unit in np.eye(parameters.size)])


def maximum(category, matrix):
    """A quasi-Newton search from the shares of the categories, and Newton's steps at its end."""
    shares = np.cumsum(np.bincount(category))[:-1] / category.size
    scale = np.concatenate([np.ones(shares.size), 1 / np.abs(matrix).max(axis=0, initial=1e-300)])
    start = np.concatenate([np.log(shares / (1 - shares)), np.zeros(matrix.shape[1])])

    def loss(scaled):
        value = -log_likelihood(scale * scaled, category, matrix)
        return (value, -scale * gradient(scale * scaled, category, matrix)) if np.isfinite(value) else (1e10, np.zeros(scale.size))

    parameters = scale * minimize(loss, start / scale, jac=True, method="BFGS", options={"gtol": 1e-6}).x
    for _ in range(3):
        parameters = parameters - np.linalg.solve(second_derivative(parameters, category, matrix), gradient(parameters, category, matrix))
    return parameters, log_likelihood(parameters, category, matrix)


def analysed(outcome, arm, active, covariates, tested=0):
    """Categories without gaps, and the model matrix, of the patients analysed."""
    kept = np.isin(arm, (0, active)) & np.isfinite(np.sum([outcome, *covariates], axis=0))
    category = np.unique(outcome[kept], return_inverse=True)[1]
    return category, model_matrix(arm[kept], active, [column[kept] for column in covariates], tested)


def fit(outcome, arm, active, covariates=(), tested=0):
    """Estimate, standard error and signed root of the likelihood ratio of one coefficient."""
    category, matrix = analysed(outcome, arm, active, covariates, tested)
    parameters, full = maximum(category, matrix)
    null = maximum(category, matrix[:, :-1])[1]
    variance = np.linalg.inv(-second_derivative(parameters, category, matrix))[-1, -1]
    return parameters[-1], np.sqrt(variance), np.sign(parameters[-1]) * np.sqrt(2 * max(full - null, 0.0))


def is_separated(category, matrix):
    """The linear programme for logistic regression, with a row for either cut of a patient's category and an intercept for each cut."""
    cuts = np.arange(1, category.max() + 1)
    rows, events = [], []
    for own, columns in zip(category, matrix, strict=True):
        for cut in cuts[(cuts == own) | (cuts == own + 1)]:
            rows.append(np.concatenate([cuts == cut, columns]))
            events.append(own >= cut)
    return logistic.is_separated(np.array(events, dtype=float), np.array(rows))
