"""p-uniform* written from the likelihood: many starts, profiles by bounded searches, limits by root finding."""

from itertools import pairwise

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import norm


def log_likelihood(y, v, c, mean, tau2, cut_by_total_variance=False):
    """`cut_by_total_variance` is a wrong version: it moves the cutoff with tau^2."""
    total = 0.0
    for yi, vi, ci in zip(y, v, c, strict=True):
        sd = np.sqrt(vi + tau2)
        cut = ci * sd / np.sqrt(vi) if cut_by_total_variance else ci
        tail = norm.logsf(cut, mean, sd) if yi > ci else norm.logcdf(cut, mean, sd)
        total += norm.logpdf(yi, mean, sd) - tail
    return total


def fit(y, v, c, **wrong):
    """Mean, tau^2 and log-likelihood."""
    best = None
    for mean in (np.mean(y), np.mean(y) - np.std(y), 0.0, np.mean(y) - 2 * np.std(y)):
        for tau2 in (1e-8, 0.3 * np.var(y) + 1e-8, 2 * np.var(y) + 1e-8):
            found = minimize(lambda x: -log_likelihood(y, v, c, x[0], np.exp(x[1]), **wrong), [mean, np.log(tau2)], method="Nelder-Mead",
                             options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000})  # fmt: skip
            if best is None or -found.fun > best[2]:
                best = found.x[0], float(np.exp(found.x[1])), -found.fun
    return best


def fit_at_tau2(y, v, c, tau2):
    found = minimize_scalar(lambda x: -log_likelihood(y, v, c, x, tau2), bracket=(np.mean(y), np.mean(y) + 0.1), tol=1e-12)
    return -found.fun


def fit_at_mean(y, v, c, mean):
    """Height of the profile at a mean: the best of bounded searches over pieces of log tau^2, and of 0."""
    edges = np.linspace(np.log(1e-8 * v.min()), np.log(1e3 * (v.max() + np.ptp(y) ** 2)), 25)
    heights = [log_likelihood(y, v, c, mean, 0.0)]
    for low, high in pairwise(edges):
        found = minimize_scalar(lambda s: -log_likelihood(y, v, c, mean, np.exp(s)), bounds=(low, high), method="bounded", options={"xatol": 1e-9})
        heights.append(-found.fun)
    return max(heights)


def limit(y, v, c, estimate, level, direction):
    """Nearest mean on one side at which the profile falls below `level`."""
    reach = 0.1
    while fit_at_mean(y, v, c, estimate + direction * reach) > level:
        reach *= 1.5
    return brentq(
        lambda x: fit_at_mean(y, v, c, x) - level, estimate + direction * reach / 1.5 if reach > 0.1 else estimate, estimate + direction * reach
    )
