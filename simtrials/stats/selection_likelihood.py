"""Step selection as a model of the data: what is published, and how likely given studies are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.stats.selection_kernels import INV_SQRT_2PI
from simtrials.stats.study_arrays import Alternative, flat_studies, in_shape, sign_of


def critical_values(steps: Sequence[float]) -> FloatArray:
    """Values that z must reach for a one-sided p-value at or below each step; ValueError unless steps rise within (0, 1)."""
    cuts = np.asarray(steps, dtype=np.float64)
    if cuts.ndim != 1 or cuts.size == 0 or np.any(cuts <= 0) or np.any(cuts >= 1) or np.any(np.diff(cuts) <= 0):
        raise ValueError(f"steps: p-values must rise within (0, 1), at least one, got {tuple(steps)}")
    return np.asarray(-ndtri(cuts))


def published(
    mean: ArrayLike,
    tau2: ArrayLike,
    variance: ArrayLike,
    weight: Sequence[float],
    steps: Sequence[float] = (0.025,),
    alternative: Alternative = "greater",
) -> tuple[FloatArray, FloatArray]:
    """Share of studies that are published under a step selection model, and the mean of their effects.

    Parameters
    ----------
    mean, tau2, variance : of the true effects and of the sampling error, broadcast against each other
    weight : chance of publication in each bin, one more than steps

    Source: integral of the density of the module's formula, and of y times it.
    """
    sign, critical = sign_of(alternative), critical_values(steps)
    chance = np.asarray(weight, dtype=np.float64)
    if chance.shape != (critical.size + 1,):
        raise ValueError(f"weight: one for each of {critical.size + 1} bins, got {len(chance)}")
    mean, tau2, variance = (np.asarray(value, dtype=np.float64)[..., np.newaxis] for value in (mean, tau2, variance))
    sd = np.sqrt(variance + tau2)
    z = (critical * np.sqrt(variance) - sign * mean) / sd
    fall = chance[:-1] - chance[1:]
    share = chance[-1] + (fall * ndtr(-z)).sum(axis=-1)
    moved = (fall * INV_SQRT_2PI * np.exp(-z * z / 2)).sum(axis=-1) * sd[..., 0]
    return share, mean[..., 0] + sign * moved / share


def step_log_likelihood(
    yi: ArrayLike,
    vi: ArrayLike,
    mean: ArrayLike,
    tau2: ArrayLike,
    weight: ArrayLike,
    steps: Sequence[float] = (0.025,),
    alternative: Alternative = "greater",
) -> FloatArray:
    """Log-likelihood of given parameters: arguments and shapes as for `step_selection`, weights (..., bin), all positive.

    Source: as `step_selection`.
    """
    sign, critical = sign_of(alternative), critical_values(steps)
    shape, (y, v) = flat_studies(yi, vi)
    mean, tau2 = (np.broadcast_to(value, shape).reshape(-1, 1) for value in (mean, tau2))
    weight = np.broadcast_to(weight, (*shape, critical.size + 1)).reshape(-1, critical.size + 1)
    v = np.where(np.isnan(y), np.nan, v)
    sd, y = np.sqrt(v + tau2), sign * y
    cuts = critical * np.sqrt(v)[..., np.newaxis]
    edges = np.concatenate([np.full((*sd.shape, 1), np.inf), cuts, np.full((*sd.shape, 1), -np.inf)], axis=-1)
    mass = -np.diff(ndtr((edges - sign * mean[..., np.newaxis]) / sd[..., np.newaxis]), axis=-1)
    bins = (y[..., np.newaxis] < cuts).sum(axis=-1)
    terms = np.log(np.take_along_axis(weight, bins, axis=1)) - np.log((weight[:, np.newaxis] * mass).sum(axis=-1))
    terms = terms + np.log(INV_SQRT_2PI / sd) - ((y - sign * mean) / sd) ** 2 / 2
    return np.asarray(in_shape(np.where(np.isfinite(sd), terms, 0.0).sum(axis=1), shape))
