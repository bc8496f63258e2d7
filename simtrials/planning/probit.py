"""A line through shares on the probit scale."""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray

Z95 = 1.959963984540054


def probit_line(x: FloatArray, shown: FloatArray, of: FloatArray, known: FloatArray | float = 0.0) -> tuple[FloatArray, FloatArray] | None:
    """Intercept and slope of probit(share) = known + a + b x by maximum likelihood, and their covariance; None where they are not determined.

    Parameters
    ----------
    x, shown, of : (k,) places, successes and trials
    known : (k,) part on the probit scale that is known, such as the teeth of a discrete test

    Source: McCullagh and Nelder (1989), Generalized Linear Models, chapter 4.
    """
    design = np.column_stack([np.ones_like(x), x])
    share = (shown + 0.5) / (of + 1)
    z = ndtri(share)
    for _ in range(50):
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        mean = ndtr(z)
        weight = of * density**2 / np.maximum(mean * (1 - mean), 1e-12)
        information = design.T @ (weight[:, np.newaxis] * design)
        if np.linalg.cond(information) > 1e14:
            return None
        working = z - known + (shown / of - mean) / np.maximum(density, 1e-12)
        coefficients = np.linalg.solve(information, design.T @ (weight * working))
        new = design @ coefficients + known
        if np.max(np.abs(new - z)) < 1e-10:
            break
        z = new
    return np.asarray(coefficients, dtype=np.float64), np.asarray(np.linalg.inv(information), dtype=np.float64)
