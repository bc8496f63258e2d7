"""A linear model for repeated measures of one trial, as the papers write it: stacked observations and explicit matrices.

The restricted likelihood is maximised numerically and all derivatives in the covariance parameters are differences. N observations,
q mean parameters.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

# one step, relative accuracy: a fourth-order difference with step h leaves an error near h^4 from the series and 1e-16 / h from rounding
STEP = 2e-3


@dataclass
class Data:
    """Stacked observations: outcome (N,), design (N, q), visit (N,), patient (N,); and the contrast of interest (q,)."""

    outcome: np.ndarray
    design: np.ndarray
    visit: np.ndarray
    patient: np.ndarray
    contrast: np.ndarray


def stack(outcome, design, contrast):
    """From (patient, visit) outcomes with NaN for missing and (patient, visit, q) designs."""
    seen = np.isfinite(outcome) & np.isfinite(design).all(axis=2)
    patient, visit = np.nonzero(seen)
    return Data(outcome[seen], design[seen], visit, patient, np.asarray(contrast, dtype=float))


def repeated_measures(outcome, arm, active, covariates=(), weights=None, common_slope=False):
    """Means by visit: intercept and arm at every visit, each covariate at every visit or with one slope for all."""
    analysed = np.isin(arm, (0, active))
    outcome, arm, covariates = outcome[analysed], (arm[analysed] == active).astype(float), [x[analysed] for x in covariates]
    n_visits = outcome.shape[1]
    weights = np.eye(n_visits)[-1] if weights is None else np.asarray(weights, dtype=float)
    by_visit = [column[:, None, None] * np.eye(n_visits) for column in (np.ones_like(arm), arm)]
    others = [x[:, None, None] * (np.ones((n_visits, 1)) if common_slope else np.eye(n_visits)) for x in covariates]
    design = np.concatenate([*by_visit, *others], axis=2)
    contrast = np.zeros(design.shape[2])
    contrast[n_visits : 2 * n_visits] = weights
    return stack(outcome, design, contrast)


def slopes(outcome, weeks, arm, active, covariates=(), week=None):
    """Straight lines by arm; the contrast is the difference of slopes, or of the lines at `week`."""
    analysed = np.isin(arm, (0, active))
    outcome, arm, covariates = outcome[analysed], (arm[analysed] == active).astype(float), [x[analysed] for x in covariates]
    weeks = np.asarray(weeks, dtype=float)
    one = np.ones_like(weeks)
    columns = [np.outer(np.ones_like(arm), one), np.outer(np.ones_like(arm), weeks), np.outer(arm, one), np.outer(arm, weeks)]
    design = np.stack(columns + [np.outer(x, one) for x in covariates], axis=2)
    contrast = np.zeros(design.shape[2])
    contrast[2:4] = (0, 1) if week is None else (1, week)
    return stack(outcome, design, contrast)


# ---- covariances of one patient: parameters without bounds -> (V, V)


def unstructured(n_visits):
    """Cholesky factor, its diagonal as logarithms."""
    below = np.tril_indices(n_visits, -1)

    def matrix(theta):
        factor = np.diag(np.exp(theta[:n_visits]))
        factor[below] = theta[n_visits:]
        return factor @ factor.T

    def start(sd):
        return np.concatenate([np.log(sd), np.zeros(len(below[0]))])

    return matrix, start


def toeplitz(n_visits):
    """Standard deviations by visit; correlations by distance."""
    distance = np.abs(np.subtract.outer(np.arange(n_visits), np.arange(n_visits)))

    def matrix(theta):
        sd = np.exp(theta[:n_visits])
        return np.outer(sd, sd) * np.concatenate([[1.0], theta[n_visits:]])[distance]

    return matrix, lambda sd: np.concatenate([np.log(sd), 0.3 ** np.arange(1, n_visits)])


def ar1_heterogeneous(n_visits):
    distance = np.abs(np.subtract.outer(np.arange(n_visits), np.arange(n_visits)))

    def matrix(theta):
        sd = np.exp(theta[:n_visits])
        return np.outer(sd, sd) * np.tanh(theta[-1]) ** distance

    return matrix, lambda sd: np.append(np.log(sd), 0.3)


def ar1(n_visits):
    matrix, _ = ar1_heterogeneous(n_visits)
    return lambda theta: matrix(np.append(np.repeat(theta[0], n_visits), theta[1])), lambda sd: np.array([np.log(sd).mean(), 0.3])


def compound_symmetry(n_visits):
    """One variance and one covariance, which may be negative."""
    return lambda theta: np.exp(theta[0]) * np.eye(n_visits) + theta[1], lambda sd: np.array([np.log(0.7 * (sd**2).mean()), 0.3 * (sd**2).mean()])


def random_slope(weeks):
    """Random intercept and slope by the Cholesky factor of their covariance, and independent errors."""
    line = np.column_stack([np.ones(len(weeks)), weeks])

    def matrix(theta):
        factor = np.array([[theta[0], 0.0], [theta[1], theta[2]]])
        return line @ factor @ factor.T @ line.T + np.exp(theta[3]) * np.eye(len(weeks))

    return matrix, lambda sd: np.array([0.7 * sd[0], 0.0, 0.3 * sd[-1] / max(weeks), np.log(0.3 * (sd**2).mean())])


COVARIANCES = {f.__name__: f for f in (unstructured, toeplitz, ar1_heterogeneous, ar1, compound_symmetry)}


# ---- numerical derivatives of the fourth order


def gradient(function, theta):
    """Derivatives of a function with a value of any shape; the parameter comes first."""
    rows = []
    for i in range(len(theta)):
        step = STEP * max(1.0, abs(theta[i])) * np.eye(len(theta))[i]
        near = function(theta + step) - function(theta - step)
        far = function(theta + 2 * step) - function(theta - 2 * step)
        rows.append((8 * near - far) / (12 * step[i]))
    return np.array(rows)


def hessian(function, theta):
    both = gradient(lambda at: gradient(function, at), theta)
    return (both + both.T) / 2


# ---- the restricted likelihood


class Fit:
    """REML, or ML with `restricted=False`, which is the named wrong version."""

    def __init__(self, data, covariance, restricted=True):
        self.data, (self.matrix, start) = data, covariance
        self.restricted = restricted
        self.same_patient = np.equal.outer(data.patient, data.patient)
        theta = start(self.spread())
        found = minimize(lambda at: -self.log_likelihood(at), theta, method="BFGS", options={"gtol": 1e-4})
        self.theta = found.x
        for _ in range(8):
            step = np.linalg.solve(hessian(self.log_likelihood, self.theta), gradient(self.log_likelihood, self.theta))
            self.theta = self.theta - step
            if np.abs(step).max() < 1e-9:
                break
        self.estimate, self.variance = self.contrast_at(self.theta)

    def spread(self):
        residual = self.data.outcome - self.data.design @ np.linalg.lstsq(self.data.design, self.data.outcome)[0]
        return np.array([residual[self.data.visit == v].std() for v in range(self.data.visit.max() + 1)])

    def covariance_at(self, theta):
        """V: (N, N) covariance of all observations."""
        return self.matrix(theta)[np.ix_(self.data.visit, self.data.visit)] * self.same_patient

    def parts(self, theta):
        covariance = self.covariance_at(theta)
        inverse = np.linalg.inv(covariance)
        information = self.data.design.T @ inverse @ self.data.design
        beta = np.linalg.solve(information, self.data.design.T @ inverse @ self.data.outcome)
        return covariance, inverse, information, beta

    def log_likelihood(self, theta):
        try:
            np.linalg.cholesky(self.matrix(theta))
        except np.linalg.LinAlgError:
            return -1e10
        covariance, inverse, information, beta = self.parts(theta)
        residual = self.data.outcome - self.data.design @ beta
        value = np.linalg.slogdet(covariance)[1] + residual @ inverse @ residual
        return -0.5 * (value + (np.linalg.slogdet(information)[1] if self.restricted else 0.0))

    def contrast_at(self, theta):
        _, _, information, beta = self.parts(theta)
        return self.data.contrast @ beta, self.data.contrast @ np.linalg.solve(information, self.data.contrast)

    # ---- Kenward and Roger 1997, section 2: Phi, P_i, Q_ij; W is the inverse of the information on theta

    def weight(self, information):
        if information == "observed":
            return np.linalg.inv(-hessian(self.log_likelihood, self.theta))
        _, inverse, of_beta, _ = self.parts(self.theta)
        design = self.data.design
        projection = inverse - inverse @ design @ np.linalg.solve(of_beta, design.T @ inverse)
        moved = [projection @ d for d in gradient(self.covariance_at, self.theta)]
        return np.linalg.inv([[0.5 * np.trace(a @ b) for b in moved] for a in moved])

    def satterthwaite(self, information="observed"):
        """Giesbrecht and Burns 1985: 2 v^2 / (g' W g)."""
        slope = gradient(lambda theta: self.contrast_at(theta)[1], self.theta)
        return 2 * self.variance**2 / (slope @ self.weight(information) @ slope)

    def kenward_roger(self, information="observed"):
        """Adjusted variance of the contrast, second derivatives left out, and degrees of freedom by the formulas for one or more contrasts."""
        covariance, inverse, of_beta, _ = self.parts(self.theta)
        design, weight, phi = self.data.design, self.weight(information), np.linalg.inv(of_beta)
        slopes = [-inverse @ d @ inverse for d in gradient(self.covariance_at, self.theta)]
        p = [design.T @ s @ design for s in slopes]
        adjusted = phi.copy()
        for i in range(len(p)):
            for j in range(len(p)):
                q_ij = design.T @ slopes[i] @ covariance @ slopes[j] @ design
                adjusted += 2 * weight[i, j] * phi @ (q_ij - p[i] @ phi @ p[j]) @ phi
        contrast = self.data.contrast[:, None]
        theta = contrast @ np.linalg.inv(contrast.T @ phi @ contrast) @ contrast.T
        a1 = a2 = 0.0
        for i in range(len(p)):
            for j in range(len(p)):
                first, second = theta @ phi @ p[i] @ phi, theta @ phi @ p[j] @ phi
                a1 += weight[i, j] * np.trace(first) * np.trace(second)
                a2 += weight[i, j] * np.trace(first @ second)
        return (contrast.T @ adjusted @ contrast).item(), kenward_roger_df(a1, a2, n_contrasts=1)


def kenward_roger_df(a1, a2, n_contrasts):
    """Kenward and Roger 1997, section 3: m from A1, A2, B, g, c1 to c3, E*, V* and rho."""
    size = n_contrasts
    b = (a1 + 6 * a2) / (2 * size)
    g = ((size + 1) * a1 - (size + 4) * a2) / ((size + 2) * a2)
    scale = 3 * size + 2 * (1 - g)
    c1, c2, c3 = g / scale, (size - g) / scale, (size + 2 - g) / scale
    mean = 1 / (1 - a2 / size)
    variance = 2 / size * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    rho = variance / (2 * mean**2)
    return 4 + (size + 2) / (size * rho - 1)
