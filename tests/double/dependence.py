"""Naive twins of the models for dependent effects: dense covariance matrices, one body of evidence, general optimisers."""

import numpy as np
from scipy.optimize import minimize


def log_likelihood(y, x, v, restricted):
    """Normal log-likelihood of y with covariance v, coefficients profiled out; restricted as metafor has it, with |X'X|."""
    w = np.linalg.inv(v)
    information = x.T @ w @ x
    b = np.linalg.solve(information, x.T @ w @ y)
    r = y - x @ b
    value = np.linalg.slogdet(v)[1] + r @ w @ r + len(y) * np.log(2 * np.pi)
    if restricted:
        value += np.linalg.slogdet(information)[1] - np.linalg.slogdet(x.T @ x)[1] - x.shape[1] * np.log(2 * np.pi)
    return -value / 2


def coefficients(y, x, v):
    """Generalised least squares, and its covariance."""
    covariance = np.linalg.inv(x.T @ np.linalg.inv(v) @ x)
    return covariance @ x.T @ np.linalg.inv(v) @ y, covariance


def highest(height, starts):
    """The highest value an optimiser without derivatives, then one with, finds from the starts."""
    best = -np.inf
    for start in starts:
        rough = minimize(lambda z: -height(z), start, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-11, "xatol": 1e-7})
        fine = minimize(lambda z: -height(z), rough.x, method="BFGS")
        best = max(best, -rough.fun, -fine.fun)
    return best


def three_level_covariance(v, cluster, between, within, rho=0.0):
    same = cluster[:, np.newaxis] == cluster
    return np.where(same, between + rho * np.sqrt(np.outer(v, v)), 0.0) + np.diag(within + (1 - rho) * v)


def highest_three_level(y, v, cluster, x, restricted, rho=0.0):
    scale = np.sqrt(np.var(y) + v.mean())

    def height(z):
        return log_likelihood(y, x, three_level_covariance(v, cluster, z[0] ** 2, z[1] ** 2, rho), restricted)

    return highest(height, scale * np.array([[0.5, 0.5], [0.8, 0.01], [0.01, 0.8], [0.05, 0.05]]))


def bivariate_parts(y, s, t):
    """Effects that are present in one vector, their design and their covariance."""
    x, blocks = np.tile(np.eye(2), (len(y), 1)), np.zeros((2 * len(y), 2 * len(y)))
    for i in range(len(y)):
        blocks[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = s[i] + t
    present = ~np.isnan(y.ravel())
    return y.ravel()[present], x[present], blocks[np.ix_(present, present)]


def highest_bivariate(y, s, restricted):
    def height(z):
        factor = np.array([[z[0], 0.0], [z[1], z[2]]])
        return log_likelihood(*bivariate_parts(y, s, factor @ factor.T), restricted)

    scale = np.sqrt(np.nanvar(y) + 0.01)
    return highest(height, scale * np.array([[0.7, 0.0, 0.7], [0.7, 0.6, 0.2], [0.7, -0.6, 0.2], [0.05, 0.0, 0.05], [0.05, 0.7, 0.1]]))


def power_of(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-10 * values.max()
    return (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T


def cluster_robust(y, x, working, cluster, correction):
    """Coefficients, robust covariance and Satterthwaite's degrees of freedom, from the n by n matrices of the papers."""
    w = np.linalg.inv(working)
    k = np.linalg.inv(x.T @ w @ x)
    residual_maker = np.eye(len(y)) - x @ k @ x.T @ w
    b = k @ x.T @ w @ y
    r = residual_maker @ y
    labels = np.unique(cluster)
    m, (n, p) = len(labels), x.shape
    sides = []
    for label in labels:
        own = cluster == label
        size = own.sum()
        adjusted = np.eye(size)
        if correction == "CR2":
            d = np.linalg.cholesky(working[np.ix_(own, own)]).T
            adjusted = d.T @ power_of(d @ (residual_maker @ working @ residual_maker.T)[np.ix_(own, own)] @ d.T, -0.5) @ d
        if correction == "CR3":
            adjusted = np.linalg.inv(residual_maker[np.ix_(own, own)])
        sides.append((k @ x[own].T @ w[np.ix_(own, own)] @ adjusted, own))
    scale = {"CR1": m / (m - 1), "CR1p": m / (m - p) if m > p else np.nan, "CR1S": m * (n - 1) / ((m - 1) * (n - p))}.get(correction, 1.0)
    covariance = scale * sum(np.outer(side @ r[own], side @ r[own]) for side, own in sides)
    df = []
    for c in range(p):
        quadratic = sum(np.outer(g, g) for g in (side[c] @ residual_maker[own] for side, own in sides))
        df.append(np.trace(quadratic @ working) ** 2 / np.trace(quadratic @ working @ quadratic @ working))
    return b, covariance, np.array(df)


def correlated_effects_tau2(y, v, x, cluster, rho):
    """The tau2 at which the expectation of the weighted residual sum of squares is what was observed."""
    mean, size = np.empty(len(y)), np.empty(len(y))
    for label in np.unique(cluster):
        own = cluster == label
        mean[own], size[own] = v[own].mean(), own.sum()
    w = np.diag(1 / (size * mean))
    p = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
    same = cluster[:, np.newaxis] == cluster
    sampling = np.where(same, rho, 0.0) * mean + np.diag((1 - rho) * mean)
    return max(0.0, (y @ p @ y - np.trace(p @ sampling)) / np.trace(p @ same)), size * mean, size
