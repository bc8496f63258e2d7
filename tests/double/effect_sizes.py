"""Effect sizes as functions of sample moments, with variances by the delta method: numerical derivatives over the sampling variances."""

from math import comb

import numpy as np
from scipy.integrate import dblquad, quad
from scipy.optimize import brentq
from scipy.special import gammaln, ndtri


def delta(function, values, covariance):
    """Variance of a function of estimates, by central differences of fourth order."""
    values = np.asarray(values, dtype=float)
    gradient = np.empty(len(values))
    for place, value in enumerate(values):
        step = 1e-3 * abs(value)
        at = [function(np.where(np.arange(len(values)) == place, value + j * step, values)) for j in (-2, -1, 1, 2)]
        gradient[place] = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
    return float(gradient @ covariance @ gradient)


OF_RISKS = {
    "RR": lambda p: np.log(p[0] / p[1]),
    "OR": lambda p: np.log(p[0] / (1 - p[0]) * (1 - p[1]) / p[1]),
    "RD": lambda p: p[0] - p[1],
    "AS": lambda p: np.arcsin(np.sqrt(p[0])) - np.arcsin(np.sqrt(p[1])),
    "YUQ": lambda p: (odds(p) - 1) / (odds(p) + 1),
    "YUY": lambda p: (np.sqrt(odds(p)) - 1) / (np.sqrt(odds(p)) + 1),
    "PBIT": lambda p: ndtri(p[0]) - ndtri(p[1]),
    "OR2DN": lambda p: np.log(odds(p)) / 1.65,
    "OR2DL": lambda p: np.log(odds(p)) * np.sqrt(3) / np.pi,
}


def odds(p):
    return p[0] / (1 - p[0]) * (1 - p[1]) / p[1]


def from_risks(measure, a, n1, c, n2):
    """Effect and variance, arms being independent binomials."""
    p = np.array([a / n1, c / n2])
    return OF_RISKS[measure](p), delta(OF_RISKS[measure], p, np.diag(p * (1 - p) / [n1, n2]))


def peto(a, n1, c, n2):
    """(O - E) / V and 1 / V, moments of the hypergeometric distribution by listing it."""
    events = a + c
    possible = range(max(0, events - n2), min(events, n1) + 1)
    weight = np.array([comb(n1, x) * comb(n2, events - x) for x in possible], dtype=float)
    weight /= weight.sum()
    mean = weight @ np.array(possible)
    variance = weight @ (np.array(possible) - mean) ** 2
    return (a - mean) / variance, 1 / variance


def from_cells(function, a, n1, c, n2):
    """Effect and variance, the four cells being one multinomial; the last cell is what is left."""
    cells = np.array([a, n1 - a, c], dtype=float) / (n1 + n2)
    covariance = (np.diag(cells) - np.outer(cells, cells)) / (n1 + n2)
    return function(cells), delta(function, cells, covariance)


def phi(cells):
    a, b, c = cells
    d = 1 - a - b - c
    return (a * d - b * c) / np.sqrt((a + b) * (c + d) * (a + c) * (b + d))


def tetrachoric(cells):
    """By root finding on a double integral over the bivariate normal density."""
    a, b, c = cells
    h, k = ndtri(a + b), ndtri(a + c)

    def both(rho):
        root = np.sqrt(1 - rho**2)

        def density(y, x):
            return np.exp(-(x * x - 2 * rho * x * y + y * y) / (2 * root**2)) / (2 * np.pi * root)

        return dblquad(density, -9, h, -9, k, epsabs=1e-11, epsrel=1e-11)[0]

    return brentq(lambda rho: both(rho) - a, -0.99, 0.99, xtol=1e-12)


def of_moments(measure):
    """Function of mean, variance of active and control."""

    def effect(m):
        m1, v1, m2, v2 = m
        return {
            "MD": lambda: m1 - m2,
            "ROM": lambda: np.log(m1 / m2),
            "VR": lambda: np.log(v1 / v2) / 2,
            "CVR": lambda: np.log(v1 / v2) / 2 - np.log(m1 / m2),
            "SMDH": lambda: (m1 - m2) / np.sqrt((v1 + v2) / 2),
        }[measure]()

    return effect


def correction(df):
    """Hedges's J: 1 over the mean of sigma / s, by quadrature over the chi density."""
    constant = (1 - df / 2) * np.log(2) - gammaln(df / 2)
    mean = quad(lambda x: np.sqrt(df) / x * np.exp(constant + (df - 1) * np.log(x) - x * x / 2), 0, np.sqrt(df) + 12, epsabs=1e-13, limit=300)[0]
    return 1 / mean
