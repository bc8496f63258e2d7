"""Conjugate analyses without conjugacy: prior times likelihood, integrated numerically."""

from functools import partial
from itertools import pairwise

import numpy as np
from scipy.integrate import quad
from scipy.special import betaln, gammaln, ndtr, xlog1py, xlogy


def beta_density(x, a, b):
    return np.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def normal_density(x, mean, sd):
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))


def mixture(density, components):
    """Density of a mixture of (weight, one, other)."""
    return lambda x: sum(weight * density(x, one, other) for weight, one, other in components)


def integral(function, low, high, cuts=()):
    """Piece by piece, each to near rounding."""
    edges = [low, *sorted(cut for cut in cuts if low < cut < high), high]
    return sum(quad(function, one, other, epsabs=1e-14, epsrel=1e-12, limit=400)[0] for one, other in pairwise(edges))


def risk_posterior(components, events, n):
    """Density of a risk given the data, with its mean and standard deviation."""
    prior = mixture(beta_density, components)
    around = np.clip((events + 1) / (n + 2) + np.array([-6, -2, 0, 2, 6]) / np.sqrt(n + 4) / 2, 0, 1)
    over = partial(integral, low=0, high=1, cuts=around)

    def product(x):
        return prior(x) * np.exp(xlogy(events, x) + xlog1py(n - events, -x))

    total = over(product)
    mean = over(lambda x: x * product(x)) / total
    variance = over(lambda x: (x - mean) ** 2 * product(x)) / total
    return (lambda x: product(x) / total), mean, np.sqrt(variance), around


def risk_difference_exceeds(active, control, threshold):
    """By two nested integrals over densities with the points that cut them."""
    (f1, cuts1), (f0, cuts0) = active, control

    def above(x0):
        low = min(max(x0 + threshold, 0.0), 1.0)
        return f0(x0) * (integral(f1, low, 1, cuts1) if low < 1 else 0.0)

    return integral(above, 0, 1, [*cuts0, -threshold, 1 - threshold])


def mean_posterior(components, mean, n, sd):
    """Mean, standard deviation and distribution function of a mean given n values with this mean and known standard deviation."""
    prior = mixture(normal_density, components)

    def product(x):
        return prior(x) * normal_density(mean, x, sd / np.sqrt(n))

    places = [(one, spread) for _, one, spread in components] + [(mean, sd / np.sqrt(n))]
    cuts = sorted(place + k * spread for place, spread in places for k in range(-12, 13, 2))
    over = partial(integral, low=cuts[0], high=cuts[-1], cuts=cuts)
    total = over(product)
    centre = over(lambda x: x * product(x)) / total
    spread = np.sqrt(over(lambda x: (x - centre) ** 2 * product(x)) / total)
    return centre, spread, lambda limit: integral(product, cuts[0], limit, cuts) / total


def t_probability(n, mean, squares, prior, threshold):
    """P(difference > threshold) by integrating the normal answer, given the variance, over the variance.

    `n`, `mean`, `squares` and the prior's n and mean are pairs (control, active); prior is (n, mean, shape, rate).
    """
    prior_n, prior_mean, shape, rate = prior

    def given(log_variance):
        """Log of prior times likelihood of the variance, the means integrated out by completing the square; and the probability given it."""
        variance = np.exp(log_variance)
        weight = -shape * log_variance - rate / variance  # of the variance's logarithm
        centre, spread = [], 0.0
        for k in (0, 1):
            total = prior_n[k] + n[k]
            centre.append((prior_n[k] * prior_mean[k] + n[k] * mean[k]) / total)
            gap = prior_n[k] * n[k] / total * (mean[k] - prior_mean[k]) ** 2
            weight -= (n[k] - (prior_n[k] == 0)) / 2 * log_variance + (squares[k] + gap) / (2 * variance)
            spread += variance / total
        return weight, ndtr((centre[1] - centre[0] - threshold) / np.sqrt(spread))

    grid = np.linspace(-30, 40, 20001)
    top = grid[np.argmax([given(v)[0] for v in grid])]
    peak = given(top)[0]
    cuts = top + np.array([-8, -4, -2, -1, 0, 1, 2, 4, 8, 16])
    mass = integral(lambda v: np.exp(given(v)[0] - peak), top - 40, top + 60, cuts)
    return integral(lambda v: np.exp(given(v)[0] - peak) * given(v)[1], top - 40, top + 60, cuts) / mass


def whole_number_probability(a1, b1, a0, b0):
    """P(X1 > X0) of beta variables for a whole number a1: a finite sum, Miller (2015), "Formulas for Bayesian A/B testing"."""
    return sum(np.exp(betaln(a0 + i, b1 + b0) - np.log(b1 + i) - betaln(1 + i, b1) - betaln(a0, b0)) for i in range(a1))


def predictive(components, n):
    """Probabilities of 0 to n events before the data are seen: beta-binomial mixture."""
    k = np.arange(n + 1)
    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return sum(weight * np.exp(log_choose + betaln(a + k, b + n - k) - betaln(a, b)) for weight, a, b in components)
