"""Least squares of one replicate by the singular value decomposition of the uncentred model matrix."""

import numpy as np


def model_matrix(arm, active, covariates):
    return np.column_stack([np.ones(arm.size), arm == active, *covariates]).astype(float)


def fit(outcome, arm, active, covariates=()):
    """Estimates and standard errors of the treatment and the covariates, and the degrees of freedom."""
    analysed = np.isin(arm, (0, active)) & np.isfinite(np.sum([outcome, *covariates], axis=0))
    matrix = model_matrix(arm[analysed], active, [column[analysed] for column in covariates])
    outcome = outcome[analysed]
    coefficients, _, rank, _ = np.linalg.lstsq(matrix, outcome)
    assert rank == matrix.shape[1]
    df = outcome.size - rank
    residual_variance = np.sum((outcome - matrix @ coefficients) ** 2) / df
    unscaled = np.linalg.pinv(matrix)
    std_errors = np.sqrt(residual_variance * (unscaled**2).sum(axis=1))
    return coefficients[1:], std_errors[1:], df
