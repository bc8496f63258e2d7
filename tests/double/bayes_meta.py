"""Posterior of a random-effects meta-analysis written from the model: splines through the integrand on a fine grid of log tau, root finding."""

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.stats import cauchy, norm


def log_prior(tau, prior, scale):
    if prior == "half_normal":
        return np.log(2) + norm.logpdf(tau, scale=scale)
    if prior == "half_cauchy":
        return np.log(2) + cauchy.logpdf(tau, scale=scale)
    return np.full(tau.shape, -np.log(scale))


def posterior(y, v, prior, scale, mu_prior=None, level=0.95, profile=False):
    """Quantities by name. `profile` is a wrong version: it forgets that integrating mu out leaves the factor sqrt(1 / precision)."""
    last = np.log(scale) if prior == "uniform" else np.log(max(np.ptp(y), np.sqrt(v).max(), scale)) + (40 if prior == "half_cauchy" else 4)
    m0, p0 = (0.0, 0.0) if mu_prior is None else (mu_prior[0], mu_prior[1] ** -2)
    ends = np.log(min(np.sqrt(v).min(), scale)) - 30, last
    for _ in range(4):  # closing in on where the integrand is not below e^-60 of its top
        s = np.linspace(*ends, 16001)
        tau = np.exp(s)
        w = 1 / (v + tau[:, None] ** 2)
        precision = w.sum(axis=1) + p0
        mean = ((w * y).sum(axis=1) + p0 * m0) / precision
        height = 0.5 * np.log(w).sum(axis=1) - 0.5 * (w * (y - mean[:, None]) ** 2).sum(axis=1) - 0.5 * p0 * (mean - m0) ** 2
        height += log_prior(tau, prior, scale) + s
        if not profile:
            height -= 0.5 * np.log(precision)
        seen = np.flatnonzero(height > height.max() - 60)
        ends = s[max(seen[0] - 1, 0)], s[min(seen[-1] + 1, s.size - 1)]
    top = height.max()
    density = np.exp(height - top)
    total = CubicSpline(s, density).integrate(s[0], s[-1])
    density /= total
    sd = np.sqrt(1 / precision)

    def average(values):
        return float(CubicSpline(s, density * values).integrate(s[0], s[-1]))

    def quantile(spread, p):
        ends = mean + norm.ppf(p) * spread
        low, high = ends[density > 1e-14].min() - spread.min(), ends[density > 1e-14].max() + spread.min()
        return brentq(lambda x: average(norm.cdf((x - mean) / spread)) - p, low, high, xtol=1e-14, rtol=1e-14)

    cumulated = CubicSpline(s, density).antiderivative()

    def tau_quantile(p):
        return float(np.exp(brentq(lambda x: cumulated(x) - p, s[0], s[-1], xtol=1e-14)))

    tail = (1 - level) / 2
    spread = np.sqrt(sd**2 + tau**2)
    estimate = average(mean)
    return {
        "estimate": estimate,
        "std_error": np.sqrt(average(sd**2 + (mean - estimate) ** 2)),
        "median": quantile(sd, 0.5),
        "lower": quantile(sd, tail),
        "upper": quantile(sd, 1 - tail),
        "probability_positive": average(norm.cdf(mean / sd)),
        "tau_mean": average(tau),
        "tau_median": tau_quantile(0.5),
        "tau_lower": tau_quantile(tail),
        "tau_upper": tau_quantile(1 - tail),
        "prediction_lower": quantile(spread, tail),
        "prediction_upper": quantile(spread, 1 - tail),
        "log_evidence": np.nan if mu_prior is None else top + np.log(total) + 0.5 * np.log(p0) - len(y) / 2 * np.log(2 * np.pi),
    }
