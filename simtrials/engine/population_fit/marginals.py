"""Marginal distributions fitted to weighted columns, as the tables that a scenario file would hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln, ndtr, ndtri, xlogy

from simtrials.core.arrays import FloatArray
from simtrials.core.expressions import Category
from simtrials.engine.population_fit.readings import Biomarker
from simtrials.engine.population_fit.survey import effective_size

Declared = dict[str, Any]
FEW_VALUES, FEW_WHOLE_NUMBERS = 10, 30
"""A number with at most so many different values keeps them: it is drawn as steps."""
OUTERMOST = 3.5
"""Standard deviations from the middle at which the last quantiles are set."""
HEAVY = 0.05
"""A value that several people share and that holds more than this part of the weight keeps its place among the quantiles."""


def category_marginal(codes: Category, weight: FloatArray) -> Declared:
    """Shares of the levels, in their order; they add to 1 as written."""
    share = np.bincount(codes.codes, weight, len(codes.levels)) / weight.sum()
    written = [round(float(value), 4) for value in share]
    largest = int(np.argmax(written))
    written[largest] = round(1 - sum(written[:largest] + written[largest + 1 :]), 4)
    return {"kind": "categorical", "shares": dict(zip(codes.levels, written, strict=True))}


def number_marginal(values: FloatArray, weight: FloatArray, parametric: bool) -> Declared:
    """Bernoulli for 0 and 1, steps for a few different values, else quantiles or the parametric kind that fits best."""
    distinct = np.unique(values)
    if np.array_equal(distinct, (0.0, 1.0)):
        return {"kind": "bernoulli", "probability": round(float((weight * values).sum() / weight.sum()), 4)}
    if has_few_values(values):
        return _steps(values, weight)
    if parametric:
        return _best_parametric(values, weight)
    log = bool(distinct[0] > 0 and abs(skewness(np.log(values), weight)) < abs(skewness(values, weight)))
    scale = np.log(values) if log else values
    shares = _probabilities(effective_size(weight))
    _, sd = _moments(scale, weight / weight.sum())
    shares, heights = _with_tails(shares, weighted_quantiles(scale, weight, shares), sd, scale.min(), scale.max())
    return _quantiles(shares, heights, log, distinct[0], distinct[-1])


def has_few_values(values: FloatArray) -> bool:
    """Whether a column is drawn as steps, such as the item of a scale or its total."""
    distinct = np.unique(values)
    return distinct.size <= (FEW_WHOLE_NUMBERS if np.array_equal(distinct, np.rint(distinct)) else FEW_VALUES)


def biomarker_marginal(crp: Biomarker, weight: FloatArray, mean_log: float, sd_log: float, parametric: bool) -> Declared:
    """Of CRP: log-normal from the censored likelihood, or quantiles; below the limit of detection those of a log-normal that joins there."""
    if parametric:
        return {"kind": "lognormal", "mean_log": rounded(mean_log), "sd_log": rounded(sd_log)}
    shares = _probabilities(effective_size(weight))
    share_below = float(weight[crp.below].sum() / weight.sum())
    measured = ~crp.below
    lowest, highest = float(np.nanmin(crp.value)), float(np.nanmax(crp.value))
    if share_below == 0:
        shares, heights = _with_tails(shares, weighted_quantiles(crp.logarithm, weight, shares), sd_log, np.log(lowest), np.log(highest))
        return _quantiles(shares, heights, True, lowest, highest)
    above = shares[shares > share_below + 0.005]
    body = weighted_quantiles(crp.logarithm[measured], weight[measured], (above - share_below) / (1 - share_below))
    edge = float(np.clip(share_below, 1e-4, 1 - 1e-4))
    limit = np.log(crp.limit or lowest)
    shares, heights = _with_tails(np.array([edge, *above]), np.array([limit, *np.maximum(body, limit)]), sd_log, -np.inf, np.log(highest))
    return _quantiles(shares, heights, True, None, highest)


def weighted_quantiles(values: FloatArray, weight: FloatArray, shares: FloatArray) -> FloatArray:
    """Quantiles by straight lines between the different values, each at the middle of its step of the weighted distribution function.

    A heavy value, shared by several people, holds its whole step.

    Source: Hyndman and Fan 1996, The American Statistician 50:361, type 5, with weights.
    """
    distinct, place, count = np.unique(values, return_inverse=True, return_counts=True)
    mass = np.bincount(place.reshape(-1), weight) / weight.sum()
    reach = np.where((count > 1) & (mass > HEAVY), 0.499999, 0.0) * mass
    middle = np.cumsum(mass) - mass / 2
    return np.interp(shares, np.column_stack([middle - reach, middle + reach]).reshape(-1), np.repeat(distinct, 2))


def skewness(values: FloatArray, weight: FloatArray) -> float:
    """Weighted skewness; 0 is symmetric."""
    share = weight / weight.sum()
    centered = values - (share * values).sum()
    return float((share * centered**3).sum() / (share * centered**2).sum() ** 1.5)


def rounded(value: float, digits: int = 4) -> float:
    """The number with so many significant digits, as it is written to the file."""
    return float(f"{value:.{digits}g}")


def _probabilities(size: float) -> FloatArray:
    """Shares at which quantiles are taken: 9 to 23, so that about four people lie beyond the outermost."""
    inner = np.arange(1, 20) / 20 if size >= 100 else np.arange(1, 10) / 10
    ends = [0.0025, 0.01] if size >= 1600 else [0.01] if size >= 400 else [0.025] if size >= 100 else [0.05] if size >= 40 else []
    return np.array([*ends, *inner, *(1 - end for end in reversed(ends))])


def _with_tails(shares: FloatArray, heights: FloatArray, sd: float, lowest: float, highest: float) -> tuple[FloatArray, FloatArray]:
    """The quantiles with one more at each end, as far out as a normal tail with the SD of the data goes, at most to the extremes.

    The slope between the two outermost quantiles of the data would rest on a handful of people.
    """
    z = ndtri(shares)
    down = min((heights[0] - lowest) / sd, OUTERMOST + z[0])
    up = min((highest - heights[-1]) / sd, OUTERMOST - z[-1])
    if down > 1e-3:
        z, heights = np.concatenate([[z[0] - down], z]), np.concatenate([[heights[0] - sd * down], heights])
    if up > 1e-3:
        z, heights = np.concatenate([z, [z[-1] + up]]), np.concatenate([heights, [heights[-1] + sd * up]])
    return ndtr(z), heights


def _quantiles(shares: FloatArray, heights: FloatArray, log: bool, minimum: float | None, maximum: float | None) -> Declared:
    values = np.exp(heights) if log else heights
    declared: Declared = {"kind": "quantiles", "probabilities": [round(float(p), 8) for p in shares], "values": [rounded(v, 5) for v in values]}
    declared |= {"log": True} if log else {}
    declared |= {} if minimum is None else {"minimum": float(minimum)}
    return declared | ({} if maximum is None else {"maximum": float(maximum)})


def _steps(values: FloatArray, weight: FloatArray) -> Declared:
    """Every value keeps its share: two quantiles at each, a hair apart from those of the next."""
    distinct, place = np.unique(values, return_inverse=True)
    share = np.bincount(place.reshape(-1), weight) / weight.sum()
    top = np.cumsum(share)
    hair = min(1e-6, float(share.min()) / 4)
    low, high = top - share + hair, top - hair
    low[0], high[-1] = share[0] / 2, 1 - share[-1] / 2
    pairs = np.column_stack([low, high]).reshape(-1)
    return {"kind": "quantiles", "probabilities": [round(float(p), 9) for p in pairs], "values": [float(v) for v in np.repeat(distinct, 2)]}


def _best_parametric(values: FloatArray, weight: FloatArray) -> Declared:
    """Normal, log-normal, gamma, or beta between the extremes, whichever has the smallest Akaike criterion at the effective number of people.

    Source: Akaike 1974, IEEE Transactions on Automatic Control 19:716.
    """
    share, size = weight / weight.sum(), effective_size(weight)
    mean, sd = _moments(values, share)
    found: list[tuple[float, Declared]] = []

    def compare(log_density: FloatArray, n_parameters: int, declared: Declared) -> None:
        found.append((2 * n_parameters - 2 * size * float((share * log_density).sum()), declared))

    compare(_normal(values, mean, sd), 2, {"kind": "normal", "mean": rounded(mean), "sd": rounded(sd)})
    if values.min() > 0:
        mean_log, sd_log = _moments(np.log(values), share)
        declared = {"kind": "lognormal", "mean_log": rounded(mean_log), "sd_log": rounded(sd_log)}
        compare(_normal(np.log(values), mean_log, sd_log) - np.log(values), 2, declared)
        shape = _gamma_shape(np.log(mean) - mean_log)
        log_density = xlogy(shape - 1, values) - values * shape / mean + shape * np.log(shape / mean) - gammaln(shape)
        compare(log_density, 2, {"kind": "gamma", "mean": rounded(mean), "sd": rounded(mean / np.sqrt(shape))})
    low, high = _ends(values)
    width = high - low
    m, v = (mean - low) / width, (sd / width) ** 2
    total = m * (1 - m) / v - 1
    a, b = m * total, (1 - m) * total
    position = (values - low) / width
    log_density = xlogy(a - 1, position) + xlogy(b - 1, 1 - position) - betaln(a, b) - np.log(width)
    compare(log_density, 4, {"kind": "beta", "mean": rounded(mean), "sd": rounded(sd), "minimum": rounded(low, 6), "maximum": rounded(high, 6)})
    return min(found, key=lambda pair: pair[0])[1]


def _moments(values: FloatArray, share: FloatArray) -> tuple[float, float]:
    mean = float((share * values).sum())
    return mean, float(np.sqrt((share * (values - mean) ** 2).sum()))


def _normal(values: FloatArray, mean: float, sd: float) -> FloatArray:
    return np.asarray(-(((values - mean) / sd) ** 2) / 2 - np.log(sd * np.sqrt(2 * np.pi)))


def _gamma_shape(gap: float) -> float:
    """Maximum likelihood: ln shape - digamma(shape) is the logarithm of the mean less the mean of the logarithm."""
    from scipy.optimize import brentq

    return float(brentq(lambda shape: np.log(shape) - digamma(shape) - min(max(gap, 1e-7), 500.0), 1e-3, 1e8))


def _ends(values: FloatArray) -> tuple[float, float]:
    """The extremes, moved outward by half the smallest step between values, as readings are rounded."""
    half = float(np.diff(np.unique(values)).min()) / 2
    return float(values.min()) - half, float(values.max()) + half


def describe(declared: Mapping[str, Any]) -> str:
    """A marginal in words, for the report."""
    kind = declared["kind"]
    if kind != "quantiles":
        return str(kind)
    scale = " on the log scale" if declared.get("log") else ""
    return f"{len(declared['values'])} quantiles{scale}"
