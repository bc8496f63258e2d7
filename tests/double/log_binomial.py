"""Log-linear regression of a risk in one replicate: root finding, a general optimiser under linear constraints, linear programming."""

import numpy as np
from double.logistic import model_matrix
from scipy.optimize import linprog, minimize, root

BOUNDARY = 1e-6  # a log risk above minus this counts as risk 1


def analysed(outcome, arm, active, covariates, tested):
    """Outcome and model matrix, the tested column last, of the patients analysed."""
    used = np.isin(arm, (0, active)) & np.isfinite(np.sum([outcome, *covariates], axis=0))
    return outcome[used], model_matrix(arm[used], active, [column[used] for column in covariates], tested)


def is_separated(outcome, matrix):
    """Whether some direction lowers the log risk of patients without event, raises none of theirs, and leaves patients with event as they are."""
    without, with_event = matrix[outcome < 0.5], matrix[outcome > 0.5]
    bounds = [(-1, 1)] * matrix.shape[1]
    found = linprog(without.sum(axis=0), A_ub=without, b_ub=np.zeros(len(without)), A_eq=with_event, b_eq=np.zeros(len(with_event)), bounds=bounds)
    return -found.fun > 1e-6


def modified_poisson(outcome, arm, active, covariates=(), tested=0, corrected=False):
    """Estimate and sandwich standard error of the tested coefficient, the information by central differences of the score."""
    y, matrix = analysed(outcome, arm, active, covariates, tested)
    scale = 1 / np.abs(matrix).max(axis=0)

    def score(coefficients):
        return matrix.T @ (y - np.exp(matrix @ coefficients))

    start = np.append(np.log(y.mean()), np.zeros(matrix.shape[1] - 1))
    coefficients = scale * root(lambda c: scale * score(scale * c), start / scale, tol=1e-13).x
    step = 1e-5 * scale
    information = -np.column_stack([(score(coefficients + e) - score(coefficients - e)) / (2 * step[k]) for k, e in enumerate(np.diag(step))])
    bread = np.linalg.inv(information)
    residuals = matrix * (y - np.exp(matrix @ coefficients))[:, np.newaxis]
    n, size = matrix.shape
    variance = (bread @ (residuals.T @ residuals) @ bread)[-1, -1] * (n / (n - size) if corrected else 1)
    return coefficients[-1], np.sqrt(variance)


def log_binomial(outcome, arm, active, covariates=(), tested=0):
    """Estimate, standard error from the expected information, and whether the maximum lies where somebody's risk is 1."""
    y, matrix = analysed(outcome, arm, active, covariates, tested)
    without = y < 0.5

    def loss(coefficients):
        linear = matrix @ coefficients
        return np.inf if (linear[without] >= 0).any() else -linear[~without].sum() - np.log1p(-np.exp(linear[without])).sum()

    def slope(coefficients):
        linear = matrix @ coefficients
        odds = np.exp(linear[without]) / -np.expm1(linear[without])
        return matrix[without].T @ odds - matrix[~without].sum(axis=0)

    start = np.append(np.log(y.mean()), np.zeros(matrix.shape[1] - 1))
    constraint = {"type": "ineq", "fun": lambda c: -(matrix @ c) - 1e-9, "jac": lambda c: -matrix}
    found = minimize(loss, start, jac=slope, method="SLSQP", constraints=[constraint], options={"maxiter": 500, "ftol": 1e-13}).x
    if (matrix @ found).max() > -BOUNDARY:
        return found[-1], np.nan, True
    found = root(slope, found, tol=1e-13).x
    odds = np.exp(matrix @ found) / -np.expm1(matrix @ found)
    return found[-1], np.sqrt(np.linalg.inv(matrix.T @ (matrix * odds[:, np.newaxis]))[-1, -1]), False
