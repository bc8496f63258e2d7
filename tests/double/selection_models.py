"""Step selection models written from the density, one study and one bin after the other, and maximized from many starts."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import norm


def log_likelihood(y, v, mean, tau2, weights, steps, cut_by_total_variance=False):
    """`cut_by_total_variance` is a wrong version: bins cut at c sqrt(v + tau2), which no study ever used for its p-value."""
    total = 0.0
    for yi, vi in zip(y, v, strict=True):
        sd = np.sqrt(vi + tau2)
        by = sd if cut_by_total_variance else np.sqrt(vi)
        edges = [np.inf, *(norm.isf(step) * by for step in steps), -np.inf]
        chance = 0.0
        for upper, lower, weight in zip(edges[:-1], edges[1:], weights, strict=True):
            chance += weight * (norm.cdf(upper, mean, sd) - norm.cdf(lower, mean, sd))
            if lower <= yi < upper:
                total += np.log(weight)
        total += norm.logpdf(yi, mean, sd) - np.log(chance)
    return total


def fit(y, v, steps, n_starts=8, seed=0, **wrong):
    """Highest log-likelihood, mean, tau^2 and weights over random starts: bounded quasi-Newton, then a simplex from the best."""
    rng = np.random.default_rng(seed)
    z = norm.isf(np.array(steps))

    def height(x):  # all studies at once: the same sums as `log_likelihood`
        sd = np.sqrt(v + x[1])
        by = sd if wrong.get("cut_by_total_variance") else np.sqrt(v)
        cuts = z[:, None] * by
        above = np.vstack([np.zeros(len(y)), ndtr((x[0] - cuts) / sd), np.ones(len(y))])
        logs = np.concatenate([[0.0], x[2:]])
        bins = (y < cuts).sum(axis=0)
        return np.sum(logs[bins] + (-(((y - x[0]) / sd) ** 2) / 2 - np.log(sd * np.sqrt(2 * np.pi))) - np.log(np.exp(logs) @ np.diff(above, axis=0)))

    bounds = [(None, None), (0, None)] + [(-12, 12)] * len(steps)
    found = []
    for _ in range(n_starts):
        start = [rng.normal(np.mean(y), np.std(y)), np.var(y) * rng.choice([0.0, 0.1, 1.0, 5.0]), *rng.normal(0, 1.5, len(steps))]
        result = minimize(lambda x: -height(x), start, method="L-BFGS-B", bounds=bounds)
        if np.isfinite(result.fun):
            found.append((-result.fun, result.x))
    x = max(found, key=lambda pair: pair[0])[1]
    scaled = minimize(lambda s: -height(np.concatenate([s[:1], s[1:2] ** 2, s[2:]])), [x[0], np.sqrt(x[1]), *x[2:]], method="Nelder-Mead",
                      options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000})  # fmt: skip
    best = max(-scaled.fun, height(x))
    x = np.concatenate([scaled.x[:1], scaled.x[1:2] ** 2, scaled.x[2:]]) if -scaled.fun >= height(x) else x
    return best, x[0], x[1], np.exp(np.concatenate([[0.0], x[2:]]))
