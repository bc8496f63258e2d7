"""Meta-analyses of counts, one study after the other: pooled tables in fractions, likelihoods by general optimizers and numerical derivatives."""

from fractions import Fraction
from math import exp, log, log1p, pi, sqrt

import numpy as np
from scipy import optimize, stats


def peto(tables):
    """Estimate, standard error and Q from (a, n1, c, n0) of each study."""
    excess, information, squares = Fraction(0), Fraction(0), Fraction(0)
    for a, n1, c, n0 in (tuple(Fraction(int(x)) for x in table) for table in tables):
        n = n1 + n0
        v = (a + c) * (n - a - c) * n1 * n0 / (n**2 * (n - 1))
        if v > 0:
            o = a - (a + c) * n1 / n
            excess, information, squares = excess + o, information + v, squares + o**2 / v
    return float(excess / information), 1 / sqrt(information), float(squares - excess**2 / information)


def heterogeneity(measure, tables, pooled):
    """Q about a pooled effect, studies without (or with only) events left out, one half added to all cells of a study with a zero cell."""
    total = 0.0
    for a, n1, c, n0 in tables:
        cells = np.array([a, n1 - a, c, n0 - c])
        if a + c == 0 or a + c == n1 + n0:
            continue
        a, b, c, d = cells + (0.5 if (cells == 0).any() else 0.0)
        p, q = a / (a + b), c / (c + d)
        effect, variance = {
            "OR": (log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d),
            "RR": (log(p / q), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)),
            "RD": (p - q, p * (1 - p) / (a + b) + q * (1 - q) / (c + d)),
        }[measure]
        total += (effect - pooled) ** 2 / variance
    return total


def breslow_day(tables, ratio):
    """Breslow and Day's statistic and Tarone's, the expected count found by bisection."""
    day, residual, information = 0.0, 0.0, 0.0
    for a, n1, c, n0 in tables:
        events = a + c
        if events in (0, n1 + n0):
            continue
        low, high = max(0.0, events - n0), min(n1, events)
        e = optimize.brentq(lambda x: x * (n0 - events + x) - ratio * (n1 - x) * (events - x), low, high, xtol=1e-14, rtol=1e-15)  # noqa: B023
        v = 1 / (1 / e + 1 / (n1 - e) + 1 / (events - e) + 1 / (n0 - events + e))
        day, residual, information = day + (a - e) ** 2 / v, residual + a - e, information + v
    return day, day - residual**2 / information


def second_differences(function, x, step=2e-4):
    """Hessian by central differences, extrapolated from two steps."""

    def at(h):
        n = len(x)
        out, unit = np.empty((n, n)), np.eye(n) * h
        for i in range(n):
            for j in range(n):
                corners = [function(x + s * unit[i] + t * unit[j]) * s * t for s in (1, -1) for t in (1, -1)]
                out[i, j] = sum(corners) / (4 * h * h)
        return out

    return (4 * at(step) - at(2 * step)) / 3


def climb(log_likelihood, start, step=2e-4):
    """A maximum: Nelder and Mead, BFGS, then Newton's steps by numerical derivatives; parameters, value, Hessian."""
    down = lambda x: -log_likelihood(x)  # noqa: E731
    rough = optimize.minimize(down, start, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8, "maxiter": 4000, "maxfev": 8000})
    x = optimize.minimize(down, rough.x, method="BFGS", options={"gtol": 1e-6}).x
    for _ in range(4):
        hessian = second_differences(log_likelihood, x, step)
        unit = np.eye(len(x)) * step
        gradient = np.array(
            [(8 * (log_likelihood(x + u) - log_likelihood(x - u)) - log_likelihood(x + 2 * u) + log_likelihood(x - 2 * u)) for u in unit]
        )
        move = -np.linalg.solve(hessian, gradient / (12 * step))
        if log_likelihood(x + move) < log_likelihood(x) - 1e-9:
            break
        x = x + move
    return x, log_likelihood(x), second_differences(log_likelihood, x, step)


def beta_binomial(tables):
    """Log odds ratio, standard error, correlation, log-likelihood: scipy's distribution, arm after arm; the binomial where it is better."""

    def log_likelihood(x):
        rho = 1 / (1 + exp(-x[2]))
        size = (1 - rho) / rho
        total = 0.0
        for a, n1, c, n0 in tables:
            for y, n, logit in ((a, n1, x[0]), (c, n0, x[1])):
                p = 1 / (1 + exp(-logit))
                total += stats.betabinom.logpmf(y, n, p * size, (1 - p) * size)
        return total

    a, n1, c, n0 = np.sum(tables, axis=0)
    p, q = a / n1, c / n0
    crude = sum(stats.binom.logpmf(x[0], x[1], p) + stats.binom.logpmf(x[2], x[3], q) for x in tables)
    best = log(p / (1 - p)) - log(q / (1 - q)), sqrt(1 / a + 1 / (n1 - a) + 1 / c + 1 / (n0 - c)), 0.0, crude
    for start in (-5.0, -3.0, -1.0):
        x, value, hessian = climb(log_likelihood, np.array([log(p / (1 - p)), log(q / (1 - q)), start]), 1e-3)
        if x[2] > -10 and value > best[3] + 1e-7:
            covariance = np.linalg.inv(-hessian)
            contrast = np.array([1.0, -1.0, 0.0])
            best = x[0] - x[1], sqrt(contrast @ covariance @ contrast), 1 / (1 + exp(-x[2])), value
    return best


def log_binomial(y, n, logit):
    return y * logit - n * (log1p(exp(-abs(logit))) + max(logit, 0.0))


def integrated(arms, n_effects, n_nodes):
    """Logarithm of the integral of binomial likelihoods over standard normal effects u, about the mode and scaled by the curvature there.

    `arms` has (events, patients, intercept, loadings) with logit = intercept + loadings u. Quadrature for one effect, Laplace's method for two.
    """

    def target(u):
        return sum(log_binomial(y, n, intercept + np.dot(loading, u)) for y, n, intercept, loading in arms) - 0.5 * np.dot(u, u)

    def slope_and_curvature(u):
        slope, curvature = -u, np.eye(n_effects)
        for y, n, intercept, loading in arms:
            p = 1 / (1 + exp(-intercept - np.dot(loading, u)))
            slope = slope + (y - n * p) * np.array(loading)
            curvature = curvature + n * p * (1 - p) * np.outer(loading, loading)
        return slope, curvature

    u = np.zeros(n_effects)
    for _ in range(60):
        slope, curvature = slope_and_curvature(u)
        move = np.linalg.solve(curvature, slope)
        while slope @ move > 1e-6 and target(u + move) < target(u):
            move = move / 2
        u = u + move
        if np.abs(move).max() < 1e-12:
            break
    curvature = slope_and_curvature(u)[1]
    if n_effects == 2:
        return target(u) - 0.5 * log(np.linalg.det(curvature))
    scale = 1 / sqrt(curvature[0, 0])
    nodes, weights = np.polynomial.hermite.hermgauss(n_nodes)
    return log(scale * sum(w * sqrt(2) * exp(z * z + target(u + sqrt(2) * scale * z)) for z, w in zip(nodes, weights, strict=True)) / sqrt(2 * pi))


def study(model, table, x, n_nodes):
    """Log-likelihood of one study; x as in the package: (m, theta, sigma), or (mu, theta, sigma, omega)."""
    a, n1, c, n0 = table
    if model == "conditional":
        return integrated([(a, a + c, log(n1 / n0) + x[1], [x[2]])], 1, n_nodes)
    if model == "unconditional":
        return integrated([(a, n1, x[0] + x[1] / 2, [x[2] / 2]), (c, n0, x[0] - x[1] / 2, [-x[2] / 2])], 1, n_nodes)
    return integrated([(a, n1, x[0] + x[1], [x[2] / 2, x[3]]), (c, n0, x[0], [-x[2] / 2, x[3]])], 2, 1)


def glmm_log_likelihood(model, tables, x, n_nodes=7):
    """At shared parameters (theta, sigma), studies' own being at their best, or at (mu, theta, sigma, omega)."""
    if model == "random_study":
        return sum(study(model, table, x, n_nodes) for table in tables)
    if model == "conditional":
        return sum(study(model, table, (0.0, *x), n_nodes) for table in tables)
    total = 0.0
    for table in tables:
        found = optimize.minimize_scalar(lambda m: -study(model, table, (m, *x), n_nodes), bracket=(-3, 0), options={"xtol": 1e-9})  # noqa: B023
        total -= found.fun
    return total
