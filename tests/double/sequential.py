"""Repeated looks from their definition: z statistics at all looks are jointly normal, and a path crosses unless it stays inside all boundaries."""

import numpy as np
from scipy import integrate, stats


def crossing(bounds, information, drift, two_sided):
    """Probability of any crossing at two looks, by integrating the second look's conditional normal over the first look's inside."""
    first, second = information
    root = np.sqrt(first)
    step = np.sqrt(second - first)
    low = -bounds[0] if two_sided else -12.0 + min(0.0, drift * root)

    def inside(z):
        mean = z * root + drift * (second - first)
        upper = stats.norm.cdf((bounds[1] * np.sqrt(second) - mean) / step)
        lower = stats.norm.cdf((-bounds[1] * np.sqrt(second) - mean) / step) if two_sided else 0.0
        return stats.norm.pdf(z - drift * root) * (upper - lower)

    return 1 - integrate.quad(inside, low, bounds[0], epsabs=1e-13, epsrel=1e-12, limit=500)[0]


def simulated_crossing(bounds, information, drift, two_sided, n, seed):
    """Share of simulated paths that cross."""
    rng = np.random.default_rng(seed)
    steps = np.diff(information, prepend=0.0)
    sums = np.cumsum(rng.normal(size=(n, len(steps))) * np.sqrt(steps) + drift * steps, axis=1)
    z = sums / np.sqrt(information)
    return ((np.abs(z) if two_sided else z) >= bounds).any(axis=1).mean()
