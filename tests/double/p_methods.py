"""p-uniform and the p-curve written from their papers, study by study."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import kstest, norm


def conditional_p_values(y, v, mean, alpha=0.05):
    """Of the significant positive studies, smallest effect first as given."""
    q = []
    for yi, vi in zip(y, v, strict=True):
        sd, cut = np.sqrt(vi), norm.isf(alpha / 2) * np.sqrt(vi)
        if yi > cut:
            q.append(np.exp(norm.logsf(yi, mean, sd) - norm.logsf(cut, mean, sd)))
    return np.array(q)


def p_uniform(y, v, share=0.5, unconditional=False):
    """Mean at which the conditional p-values average to `share`. `unconditional` is a wrong version without the chance of significance."""

    def average(mean):
        if unconditional:
            return np.mean([norm.sf(yi, mean, np.sqrt(vi)) for yi, vi in zip(y, v, strict=True) if yi > norm.isf(0.025) * np.sqrt(vi)])
        return conditional_p_values(y, v, mean).mean()

    return brentq(lambda mean: average(mean) - share, -5, 5, xtol=1e-13)


def p_uniform_ml(y, v):
    def minus(mean):
        kept = [(yi, np.sqrt(vi)) for yi, vi in zip(y, v, strict=True) if yi > norm.isf(0.025) * np.sqrt(vi)]
        return -sum(norm.logpdf(yi, mean, sd) - norm.logsf(norm.isf(0.025) * sd, mean, sd) for yi, sd in kept)

    found = minimize_scalar(minus, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10})
    return found.x, -found.fun


def p_curve(y, v):
    """Mean with the smallest Kolmogorov-Smirnov distance, and that distance, on a grid that is refined twice."""
    low, high = -4.0, 4.0
    for _ in range(5):
        grid = np.linspace(low, high, 81)
        losses = [kstest(conditional_p_values(y, v, mean), "uniform").statistic for mean in grid]
        best = int(np.argmin(losses))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 80)]
    return grid[best], losses[best]


def stouffer(y, v, alpha=0.05):
    """z of the full, the half and the 33%-power p-curve, from two-sided p-values."""
    p = np.array([2 * norm.sf(yi / np.sqrt(vi)) for yi, vi in zip(y, v, strict=True) if yi > 0])
    p = p[p < alpha]
    full = norm.ppf(p / alpha).sum() / np.sqrt(len(p))
    half = p[p < alpha / 2]
    half = norm.ppf(half / (alpha / 2)).sum() / np.sqrt(len(half)) if len(half) else np.nan
    z = norm.isf(p / 2)
    shift = norm.isf(alpha / 2) - norm.isf(1 / 3)  # with which a third of the studies is significant
    flat = norm.ppf(3 * (norm.cdf(z - shift) - 2 / 3)).sum() / np.sqrt(len(p))
    return full, half, flat
