"""Scores as whole numbers within a range, read off a normal latent value: their mean, SD and correlation, and the way back.

A score is the latent value rounded, and kept within minimum and maximum. It is a step function with a step of 1 at each c = minimum + 1/2, ...,
maximum - 1/2, so that its Hermite coefficients are sums over the steps, and the covariance of two scores is a power series in the latent
correlation.

Source: Lancaster (1957), Biometrika 44, 289-292 (the bivariate normal in Hermite polynomials; Mehler's formula).
"""

import numpy as np
from scipy.special import ndtr

from simtrials.core.arrays import FloatArray

TERMS = 300
"""Of the series: enough for latent correlations up to .98."""


def rounded_moments(mean: float, sd: float, minimum: float, maximum: float) -> tuple[float, float]:
    """Mean and SD of the score of a normal latent value, in points."""
    steps = np.arange(minimum, maximum) + 0.5
    above = ndtr(-(steps - mean) / sd)
    first = above.sum()
    second = ((2 * np.arange(steps.size) + 1) * above).sum()  # of the score less its minimum: k^2 is the sum of the first k odd numbers
    return float(minimum + first), float(np.sqrt(max(second - first**2, 0.0)))


def latent_moments(mean: float, sd: float, minimum: float, maximum: float) -> tuple[float, float]:
    """Mean and SD of the latent value whose scores have this mean and SD.

    Raises
    ------
    ValueError when no normal latent value has such scores.
    """
    from scipy.optimize import root

    def miss(x: FloatArray) -> FloatArray:
        found = rounded_moments(float(x[0]), float(np.exp(x[1])), minimum, maximum)
        return np.array([(found[0] - mean) / sd, found[1] / sd - 1.0])

    solved = root(miss, np.array([mean, np.log(sd)]), tol=1e-12)
    if np.abs(miss(solved.x)).max() > 1e-8:
        raise ValueError(f"scores from {minimum:g} to {maximum:g} with mean {mean:.4g} and SD {sd:.4g} are no rounded normal")
    return float(solved.x[0]), float(np.exp(solved.x[1]))


def latent_mean(mean: float, sd: float, minimum: float, maximum: float) -> float:
    """Mean of the latent value of SD `sd` whose scores have this mean."""
    from scipy.optimize import brentq

    if not minimum < mean < maximum:
        raise ValueError(f"the mean must lie between {minimum:g} and {maximum:g}, got {mean:.4g}")
    reach = maximum - minimum + 40 * sd
    return float(brentq(lambda m: rounded_moments(m, sd, minimum, maximum)[0] - mean, minimum - reach, maximum + reach, xtol=1e-12))


def _coefficients(mean: float, sd: float, minimum: float, maximum: float) -> FloatArray:
    """(TERMS,) covariance of the score with the normalised Hermite polynomials of degree 1, 2, ..."""
    at = (np.arange(minimum, maximum) + 0.5 - mean) / sd
    density = np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi)
    before, now = np.zeros_like(at), np.ones_like(at)  # normalised: h_k = He_k / sqrt(k!)
    found = np.empty(TERMS)
    for k in range(1, TERMS + 1):
        found[k - 1] = (density * now).sum() / np.sqrt(k)
        before, now = now, (at * now - np.sqrt(k - 1) * before) / np.sqrt(k)
    return found


def rounded_correlation(rho: float, one: tuple[float, float], other: tuple[float, float], minimum: float, maximum: float) -> float:
    """Correlation of the scores of two latent values (mean, SD) whose correlation is `rho`."""
    a, b = _coefficients(*one, minimum, maximum), _coefficients(*other, minimum, maximum)
    spread = rounded_moments(*one, minimum, maximum)[1] * rounded_moments(*other, minimum, maximum)[1]
    return float((a * b * rho ** np.arange(1, TERMS + 1)).sum() / spread)


def latent_correlation(correlation: float, one: tuple[float, float], other: tuple[float, float], minimum: float, maximum: float) -> float:
    """Correlation of two latent values (mean, SD) whose scores have this one; the nearest there is where none has it."""
    from scipy.optimize import brentq

    low, high = (rounded_correlation(rho, one, other, minimum, maximum) - correlation for rho in (-1.0, 1.0))
    if low >= 0 or high <= 0:
        return -1.0 if low >= 0 else 1.0
    return float(brentq(lambda rho: rounded_correlation(rho, one, other, minimum, maximum) - correlation, -1.0, 1.0, xtol=1e-12))
