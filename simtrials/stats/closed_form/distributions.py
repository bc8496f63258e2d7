"""Rejection probabilities of normal, t and F tests under the alternative.

The noncentral t and F are integrated and summed here: SciPy's `nctdtr` is NaN far in the tail, and before SciPy 1.15 `nctdtr` and `ncfdtr`
were off by up to 3e-5. The integral over the estimated standard deviation also gives the exact power of ANCOVA and of Welch's test.
"""

from functools import cache

import numpy as np
from scipy.special import betaincc, betaincinv, fdtri, gammainccinv, gammaincinv, gammaln, ndtr, ndtri, stdtrit, xlogy

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form.inputs import Tails, known

NEGLIGIBLE = 1e-18
"""Probability beyond either end of the range of an integral."""


def counted(upper: FloatArray, lower: FloatArray, tails: Tails) -> FloatArray:
    """The rejections that count, from those above 0 (`upper`, the benefit) and those below 0 (`lower`)."""
    known("tails", tails, ("both", "benefit"))
    return upper + lower if tails == "both" else upper


def normal_rejection(
    effect: FloatArray, null_sd: FloatArray, alternative_sd: FloatArray, alpha: FloatArray, tails: Tails, correction: FloatArray | float = 0.0
) -> FloatArray:
    """Probability that a normal estimate of `effect`, brought `correction` closer to 0, passes the critical value set by the SD under the null."""
    critical = correction - ndtri(alpha / 2) * null_sd
    return counted(ndtr((effect - critical) / alternative_sd), ndtr((-effect - critical) / alternative_sd), tails)


def t_rejection(noncentrality: FloatArray, df: FloatArray, alpha: FloatArray, tails: Tails) -> FloatArray:
    """Rejection probability of the two-sided t test at level `alpha`; NaN where `df` is not positive."""
    critical = -stdtrit(df, alpha / 2)
    upper = noncentral_t_tail(critical, df, noncentrality)
    return counted(upper, noncentral_t_tail(critical, df, -noncentrality), tails)


def noncentral_t_tail(critical: FloatArray, df: FloatArray, noncentrality: FloatArray) -> FloatArray:
    """P(T > critical) for the noncentral t, by integration over the estimated standard deviation.

    The error is below 1e-12 from 5 degrees of freedom; it can reach 1e-4 for 1 or 2 degrees of freedom together with alpha = .001.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 31.2: T = (Z + noncentrality) / S.
    """
    scale, weight = scaled_chi(df)
    return averaged(ndtr(noncentrality[..., np.newaxis] - critical[..., np.newaxis] * scale), weight)


def noncentral_f_tail(critical: FloatArray, df_effect: FloatArray, df_error: FloatArray, noncentrality: FloatArray) -> FloatArray:
    """P(F > critical) for the noncentral F, as a Poisson mixture of beta distributions.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 30.2.
    """
    half = (noncentrality / 2)[..., np.newaxis]
    largest = float(np.max(half, initial=0.0))
    term = np.arange(int(largest + 12 * np.sqrt(largest) + 40), dtype=np.float64)
    poisson = np.exp(xlogy(term, half) - half - gammaln(term + 1))
    share = df_effect * critical / (df_effect * critical + df_error)
    beyond = betaincc((df_effect / 2)[..., np.newaxis] + term, (df_error / 2)[..., np.newaxis], share[..., np.newaxis])
    return averaged(np.asarray(beyond, dtype=np.float64), poisson)


def f_critical(df_effect: FloatArray, df_error: FloatArray, alpha: FloatArray) -> FloatArray:
    return np.asarray(fdtri(df_effect, df_error, 1 - alpha))


def scaled_chi(df: FloatArray, n_nodes: int = 128) -> tuple[FloatArray, FloatArray]:
    """Values of an estimated standard deviation (the true one is 1) and their weights, on a new last axis; NaN unless `df` is positive."""
    df = np.where(df > 0, df, np.nan)[..., np.newaxis]
    low = np.sqrt(2 * gammaincinv(df / 2, NEGLIGIBLE) / df)
    high = np.sqrt(2 * gammainccinv(df / 2, NEGLIGIBLE) / df)
    node, share = _between(low, high, n_nodes)
    return node, _normalized(np.asarray(xlogy(df - 1, node)) - df * (node**2 - 1) / 2, share)


def scaled_chi_pair(df_first: FloatArray, df_second: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values of two independent estimated standard deviations, each on its own new last axis, and the weights of all pairs."""
    first, of_first = scaled_chi(df_first, 64)
    second, of_second = scaled_chi(df_second, 64)
    return first[..., :, np.newaxis], second[..., np.newaxis, :], of_first[..., :, np.newaxis] * of_second[..., np.newaxis, :]


def beta_root(first: FloatArray, second: FloatArray, n_nodes: int = 64) -> tuple[FloatArray, FloatArray]:
    """Values of the square root of a Beta(`first`, `second`) variable and their weights, on a new last axis; always 1 when `second` is 0.

    The variable is the squared cosine of an angle, whose density has no singularity when `second` is 1/2 or more.
    """
    certain = second[..., np.newaxis] == 0
    first, second = first[..., np.newaxis], np.where(certain, 0.5, second[..., np.newaxis])
    low = np.arcsin(np.sqrt(betaincinv(second, first, NEGLIGIBLE)))
    high = np.arccos(np.sqrt(betaincinv(first, second, NEGLIGIBLE)))
    angle, share = _between(low, high, n_nodes)
    root = np.where(certain, 1.0, np.cos(angle))
    return root, _normalized(np.asarray(xlogy(2 * first - 1, np.cos(angle)) + xlogy(2 * second - 1, np.sin(angle))), share)


def averaged(value: FloatArray, weight: FloatArray, axis: int | tuple[int, ...] = -1) -> FloatArray:
    total: FloatArray = np.sum(weight * value, axis=axis)
    return total


@cache
def _legendre(n_nodes: int) -> tuple[FloatArray, FloatArray]:
    node, share = np.polynomial.legendre.leggauss(n_nodes)
    return (node + 1) / 2, share / 2


def _between(low: FloatArray, high: FloatArray, n_nodes: int) -> tuple[FloatArray, FloatArray]:
    node, share = _legendre(n_nodes)
    return low + (high - low) * node, share


def _normalized(log_density: FloatArray, share: FloatArray) -> FloatArray:
    weight = share * np.exp(log_density - np.max(log_density, axis=-1, keepdims=True))
    return np.asarray(weight / np.sum(weight, axis=-1, keepdims=True))
