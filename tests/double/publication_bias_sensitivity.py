"""Estimates under a given selection ratio with matrices written out; CR2 with every study its own cluster and sampling variances as working model."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t


def tau2_reml(y, v):
    def score(tau2):
        w = 1 / (v + tau2)
        p = np.diag(w) - np.outer(w, w) / w.sum()
        return y @ p @ p @ y - np.trace(p)

    return 0.0 if score(0.0) <= 0 else brentq(score, 0.0, 100 * np.ptp(y) ** 2, xtol=1e-15, rtol=1e-14)


def weighted(y, v, w):
    """Mean, CR2 standard error, Satterthwaite's degrees of freedom."""
    k = len(y)
    ones = np.ones((k, 1))
    residual_maker = np.eye(k) - ones @ w[None, :] / w.sum()
    working = np.diag(v)
    spread = residual_maker @ working @ residual_maker.T
    terms = np.sqrt(v / np.diag(spread)) * w / w.sum()
    estimate = (w * y).sum() / w.sum()
    middle = np.outer(terms, terms) * spread
    return estimate, np.sqrt(((terms * (y - estimate)) ** 2).sum()), np.trace(middle) ** 2 / (middle**2).sum()


def corrected(y, v, ratio, alpha=0.05, level=0.95, upweight_affirmative=False):
    """Estimate, standard error, df, limits. `upweight_affirmative` is a wrong version: weights turned the other way round."""
    affirmative = y > norm.isf(alpha / 2) * np.sqrt(v)
    up = affirmative if upweight_affirmative else ~affirmative
    estimate, se, df = weighted(y, v, np.where(up, ratio, 1.0) / (v + tau2_reml(y, v)))
    margin = t.isf((1 - level) / 2, df) * se
    return estimate, se, df, estimate - margin, estimate + margin


def worst_case(y, v, alpha=0.05):
    affirmative = y > norm.isf(alpha / 2) * np.sqrt(v)
    w = 1 / (v + tau2_reml(y, v))
    return weighted(y[~affirmative], v[~affirmative], w[~affirmative])
