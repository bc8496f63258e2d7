"""Draws from priors by a Latin hypercube, and the error of a mean over them.

Source: McKay, Beckman and Conover (1979), Technometrics 21, 239-245; Stein (1987), Technometrics 29, 143-151.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.expressions import Category
from simtrials.core.rng import Purpose, Streams
from simtrials.trial.distributions import Distribution

DRAWS_PER_KNOT, MOST_KNOTS = 4, 25
"""Draws for each knot of the broken lines, over all fields, and the most knots in one field."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over draws with its Monte Carlo standard error; nothing where there is no draw."""

    value: float
    mcse: float
    n_draws: int


def drawn(priors: Mapping[str, Distribution], n_draws: int, seed: int) -> dict[str, FloatArray]:
    """(D,) values of each field: a Latin hypercube, one value from each of D equal parts of every prior.

    Raises
    ------
    SimtrialsError
        When a prior is not on numbers.
    """
    found = {}
    for path, prior in priors.items():
        rng = Streams(seed, Purpose.PREPARE, 0).below("priors")[path]
        places = (rng.permutation(n_draws) + rng.random(n_draws)) / n_draws
        values = prior.from_normal(ndtri(places))
        if isinstance(values, Category):
            raise SimtrialsError(f"the prior of {path} must be on numbers, and {prior.kind} has categories")
        found[path] = np.asarray(values, dtype=np.float64)
    return found


def residuals(values: FloatArray, draws: Mapping[str, FloatArray]) -> FloatArray:
    """(D,) what is left of values when a broken line in the place of every field is taken away; scaled so that their mean square is unbiased.

    The mean over a Latin hypercube has the variance of the part that is not a sum of functions of single fields, over D, to leading order; here
    that part is what the lines leave, to which a misfit of the lines adds. The luck of the trials at a draw is in it.

    Source: Stein (1987), Technometrics 29, 143-151.
    """
    n = values.size
    fields = list(draws.values()) if DRAWS_PER_KNOT * len(draws) <= n else []  # too many fields for so few draws: as if drawn independently
    n_knots = max(2, min(MOST_KNOTS, n // (DRAWS_PER_KNOT * max(len(fields), 1))))
    knots = np.linspace(0, n - 1, n_knots)
    design = [np.ones(n)]
    for one in fields:
        place = np.argsort(np.argsort(one))
        design += [np.interp(place, knots, hat) for hat in np.eye(n_knots)[1:]]
    basis = np.linalg.qr(np.column_stack(design))[0]
    left = values - basis @ (basis.T @ values)
    return np.asarray(left * np.sqrt(n / (n - basis.shape[1])))


def mean_over(values: FloatArray, draws: Mapping[str, FloatArray], n_replicates: int) -> Mean:
    """Mean of values (D,) over the whole hypercube, each of them a mean of so many trials."""
    left = residuals(values, draws) if values.std() > 0 else np.zeros(values.size)
    variance = max(float((left * left).mean()), _least(values, n_replicates))
    return Mean(float(values.mean()), float(np.sqrt(variance / values.size)), values.size)


def mean_within(values: FloatArray, members: BoolArray, n_replicates: int) -> Mean:
    """Mean of shares (D,) over those draws that are members (D,); with a single one the error is the largest that a share can have."""
    chosen = values[members]
    if chosen.size == 0:
        return Mean(float("nan"), float("nan"), 0)
    variance = max(float(chosen.var(ddof=1)), _least(chosen, n_replicates)) if chosen.size > 1 else 0.25
    return Mean(float(chosen.mean()), float(np.sqrt(variance / chosen.size)), chosen.size)


def ratio_over(above: FloatArray, below: FloatArray, draws: Mapping[str, FloatArray]) -> Mean:
    """Mean of `above` over mean of `below`, (D,) each, with the error of their ratio by the delta method; NaN where the second is 0."""
    if below.mean() <= 0:
        return Mean(float("nan"), float("nan"), below.size)
    value = float(above.mean() / below.mean())
    left = residuals((above - value * below) / below.mean(), draws)
    return Mean(value, float(np.sqrt((left * left).mean() / above.size)), above.size)


def _least(shares: FloatArray, n_replicates: int) -> float:
    """The variance of a share by the luck of its trials where all draws have the same, such as none or all; else 0, for it is seen."""
    if shares.std() > 0:
        return 0.0
    typical = (shares.sum() * n_replicates + 2) / (shares.size * n_replicates + 4)
    return float(max(typical * (1 - typical), 0.0) / n_replicates)


def ratio_difference(first: tuple[FloatArray, FloatArray], second: tuple[FloatArray, FloatArray], draws: Mapping[str, FloatArray]) -> Mean:
    """Ratio of means of the first pair (D,) less that of the second, at the same draws, with the error of the difference by the delta method."""
    if min(first[1].mean(), second[1].mean()) <= 0:
        return Mean(float("nan"), float("nan"), first[0].size)
    ratios = [float(above.mean() / below.mean()) for above, below in (first, second)]
    parts = [(above - ratio * below) / below.mean() for ratio, (above, below) in zip(ratios, (first, second), strict=True)]
    left = residuals(parts[0] - parts[1], draws)
    return Mean(ratios[0] - ratios[1], float(np.sqrt((left * left).mean() / left.size)), left.size)
