"""Effects and variances of one body of evidence or of many, as kernels take them, and results in the shape of what was given."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray, for_kernel
from simtrials.core.errors import did_you_mean

Alternative = Literal["greater", "less"]


def flat_studies(yi: ArrayLike, vi: ArrayLike, *others: ArrayLike) -> tuple[tuple[int, ...], list[FloatArray]]:
    """Shape of the results, and the arrays as contiguous (replicate, study).

    A study is absent where its effect or variance is NaN, or its variance infinite; its effect is then NaN. ValueError where an effect is infinite,
    shapes do not fit each other, or there is no axis of studies.
    """
    arrays = [np.asarray(array, dtype=np.float64) for array in (yi, vi, *others)]
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        raise ValueError(f"yi, vi: shapes must fit each other, got {', '.join(str(array.shape) for array in arrays)}") from None
    if not shape or shape[-1] == 0:
        raise ValueError(f"yi, vi: the last axis holds the studies, at least one, got shape {shape}")
    flat = [np.broadcast_to(array, shape).reshape(-1, shape[-1]) for array in arrays]
    if np.isinf(flat[0]).any():
        raise ValueError("yi: an effect is infinite; mark a study that is absent by NaN")
    flat[0] = np.where(flat[1] < np.inf, flat[0], np.nan)
    return shape[:-1], [for_kernel(array) for array in flat]


def in_shape(column: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """(replicate, ...) in the shape of the results; a number, or an array without the axis of replicates, for one body of evidence."""
    return column.reshape(*shape, *column.shape[1:]) if shape else column[0]


def sign_of(alternative: Alternative) -> float:
    """1 where large effects have small p-values, -1 where small (negative) ones have; ValueError for another word."""
    words = get_args(Alternative)
    if alternative not in words:
        raise ValueError(f'alternative: must be "greater" or "less", got {alternative!r}{did_you_mean(str(alternative), words)}')
    return 1.0 if alternative == "greater" else -1.0


def checked_level(level: float) -> float:
    """The level of an interval; ValueError unless it lies within (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: must lie between 0 and 1, got {level}")
    return float(level)
