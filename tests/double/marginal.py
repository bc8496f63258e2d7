"""Standardised risks of one replicate: the fit by general root finding, the delta method by numerical derivatives, Ye's formula term by term."""

from math import log

import numpy as np
from double import logistic
from scipy.special import expit

STEP = 1e-4  # of a central difference, in standard errors; its error is the third derivative times the square of this


def analysed(outcome, arm, active, covariates):
    """Outcome, treatment and covariates of the patients analysed."""
    used = np.isin(arm, (0, active)) & np.isfinite(np.sum([outcome, *covariates], axis=0))
    return outcome[used], (arm[used] == active).astype(float), [column[used] for column in covariates]


def counterfactual_risks(coefficients, treated, covariates):
    """Fitted risk of every patient under control and under the active arm, (2, patient)."""
    columns = np.column_stack([np.ones_like(treated), *covariates])
    return np.array([expit(columns @ coefficients[:-1] + a * coefficients[-1]) for a in (0, 1)])


def numerical_slopes(function, at, step):
    """Central differences of a vector-valued function, (value, coefficient)."""
    return np.column_stack([(function(at + e) - function(at - e)) / (2 * step[k]) for k, e in enumerate(np.diag(step))])


def standardized(outcome, arm, active, covariates=(), decomposed=False):
    """Risks (control, active), their conditional and their superpopulation covariance matrix."""
    y, treated, covariates = analysed(outcome, arm, active, covariates)
    matrix = np.column_stack([np.ones_like(treated), *covariates, treated])
    coefficients, _ = logistic.maximum(y, matrix, matrix.shape[1], False)
    step = STEP * np.sqrt(np.diag(np.linalg.inv(logistic.information(coefficients, matrix))))
    covariance = np.linalg.inv(-numerical_slopes(lambda c: logistic.score(c, y, matrix, False), coefficients, step))
    slopes = numerical_slopes(lambda c: counterfactual_risks(c, treated, covariates).mean(axis=1), coefficients, step)
    risks = counterfactual_risks(coefficients, treated, covariates)
    return risks.mean(axis=1), slopes @ covariance @ slopes.T, ye(y, treated, risks, decomposed)


def ye(y, treated, risks, decomposed):
    """Section 2 of Ye et al. (2023): V divided by n; "decomposed" is type 1 of RobinCar."""
    n = y.size
    arms = [treated == 0, treated == 1]
    matrix = np.empty((2, 2))
    for a, of in enumerate(arms):
        own = np.cov(y[of], risks[a, of])
        everybody = np.var(risks[a], ddof=1)
        residual = own[0, 0] - 2 * own[0, 1] + everybody if decomposed else np.var(y[of] - risks[a, of], ddof=1)
        matrix[a, a] = residual / of.mean() + 2 * own[0, 1] - everybody
    control, active = arms
    cross = np.cov(y[active], risks[0, active])[0, 1] + np.cov(y[control], risks[1, control])[0, 1]
    matrix[0, 1] = matrix[1, 0] = cross - np.cov(risks[0], risks[1])[0, 1]
    return matrix / n


CONTRASTS = {
    "risk_difference": lambda control, active: active - control,
    "log_risk_ratio": lambda control, active: log(active / control),
    "log_odds_ratio": lambda control, active: log(active / (1 - active)) - log(control / (1 - control)),
}


def effect(outcome, arm, active, covariates, contrast, decomposed=False):
    """Estimate, conditional and superpopulation standard error, the contrast differentiated numerically."""
    risks, conditional, superpopulation = standardized(outcome, arm, active, covariates, decomposed)
    step = np.full(2, 1e-5) * np.minimum(risks, 1 - risks)
    slope = numerical_slopes(lambda r: np.array([CONTRASTS[contrast](*r)]), risks, step)[0]
    return CONTRASTS[contrast](*risks), np.sqrt(slope @ conditional @ slope), np.sqrt(slope @ superpopulation @ slope)
