"""Tetrachoric correlation of two-by-two tables: of the two standard normal variables whose cut-offs would give the table."""

import numpy as np
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(48)
STEPS = 60
"""halvings of an arc of pi: to rounding"""


def tetrachoric(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correlation and its sampling variance from the four cells, any shape; NaN where a cell is empty.

    The maximum of the likelihood reproduces the table, so that the correlation is the root of a monotone function, found by halving, and the
    variance follows from that function by the delta method.

    Source: Pearson (1900), Philosophical Transactions A 195, 1-47; Brown and Benedetti (1977), Psychometrika 42, 347-355.
    """
    n = a + b + c + d
    with np.errstate(invalid="ignore", divide="ignore"):
        h, k = ndtri((a + b) / n), ndtri((a + c) / n)
    known = (a > 0) & (b > 0) & (c > 0) & (d > 0)
    h, k = np.where(known, h, 0.0), np.where(known, k, 0.0)
    share = np.where(known, a / np.where(known, n, 1.0), 0.25)
    low, high = np.full(share.shape, -np.pi / 2), np.full(share.shape, np.pi / 2)
    for _ in range(STEPS):
        middle = (low + high) / 2
        above = both_below(h, k, middle) > share
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    angle = (low + high) / 2
    rho, root = np.sin(angle), np.cos(angle)
    density = np.exp(-(h * h - 2 * rho * h * k + k * k) / (2 * root**2)) / (2 * np.pi * root)
    row, column = ndtr((k - rho * h) / root), ndtr((h - rho * k) / root)
    gradients = (1 - row - column, a / n), (-row, b / n), (-column, c / n)
    mean = sum(gradient * probability for gradient, probability in gradients)
    square = sum(gradient**2 * probability for gradient, probability in gradients)
    variance = (square - mean**2) / (n * density**2)
    return np.where(known, rho, np.nan), np.where(known, variance, np.nan)


def both_below(h: FloatArray, k: FloatArray, angle: FloatArray) -> FloatArray:
    """Probability that two standard normal variables, correlation sin(`angle`), are below h and k.

    Source: Plackett (1954), Biometrika 41, 351-360: the derivative by the correlation is the density; integrated over the angle.
    """
    total = np.zeros(np.broadcast(h, k, angle).shape)
    for node, weight in zip(NODES, NODE_WEIGHTS, strict=True):
        theta = angle * (node + 1) / 2
        total += weight * np.exp(-(h * h - 2 * np.sin(theta) * h * k + k * k) / (2 * np.cos(theta) ** 2))
    return np.asarray(ndtr(h) * ndtr(k) + angle / (4 * np.pi) * total)
