"""Effects that belong to clusters (laboratories, districts, trials with several outcomes), in the order in which kernels take them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.meta_kernels import gather


class Clustered(NamedTuple):
    """Effects of many meta-analyses, those of a cluster side by side, the absent ones last."""

    y: FloatArray
    """(replicate, effect), NaN where absent"""
    v: FloatArray
    x: FloatArray
    """(1 or replicate, coefficient, effect)"""
    cluster: IntArray
    """(replicate, effect) rising codes from 0, -1 where absent"""
    shape: tuple[int, ...]
    """of the input without its last axis"""
    given_design: bool

    def shaped(self, column: AnyArray) -> AnyArray:
        """In the shape of the input without its last axis, a number where that is no shape; coefficients last."""
        return column.reshape((*self.shape, *column.shape[1:]))[()]

    def by_coefficient(self, column: FloatArray) -> AnyArray:
        """As `shaped`; without the axis of coefficients where no design was given."""
        return self.shaped(column if self.given_design else column[:, 0])


def clustered(function: str, yi: ArrayLike, vi: ArrayLike, cluster: ArrayLike, design: ArrayLike | None = None) -> Clustered:
    """Checked arrays: (k,) or (..., k) effects and variances, labels of any kind (k,) or (..., k), design (k, p) or (..., k, p).

    An effect is absent where it, its variance or a column of its design is NaN, or its variance is infinite; labels need not be those of a study
    that is present. ValueError, naming `function`, where shapes do not fit.
    """
    shape = np.broadcast_shapes(np.shape(yi), np.shape(vi))
    if not shape or shape[-1] == 0:
        raise ValueError(f"{function}: effects of at least one study are needed")
    k = shape[-1]
    y, v = (np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1, k) for array in (yi, vi))
    if np.isinf(y).any():
        raise ValueError(f"{function}: yi must be finite or NaN for an absent study, got an infinite effect")
    labels = np.asarray(cluster)
    if labels.shape not in ((k,), shape):
        raise ValueError(f"{function}: cluster must have one label for each effect, shape {(k,)} or {shape}, got {labels.shape}")
    codes = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    codes = np.broadcast_to(codes.reshape(-1, k), y.shape)
    columns = np.ones((1, k, 1))
    if design is not None:
        columns = np.asarray(design, dtype=np.float64)
        if columns.ndim < 2 or columns.shape[-2] != k or columns.shape[:-2] not in ((), shape[:-1]):
            raise ValueError(f"{function}: design must have shape (effect, coefficient), one row for each of {k} effects, got {columns.shape}")
        columns = columns.reshape(-1, *columns.shape[-2:])
    absent = np.isnan(y) | ~(v < np.inf) | np.isnan(columns).any(axis=-1)
    codes = np.where(absent, np.iinfo(np.int64).max, codes)
    order = np.argsort(codes, axis=1, kind="stable")
    if (order == order[:1]).all():
        x = columns[:, order[0]]
    else:
        x = np.take_along_axis(np.broadcast_to(columns, (len(y), *columns.shape[1:])), order[:, :, np.newaxis], axis=1)
    y, v = (np.take_along_axis(array, order, axis=1) for array in (np.where(absent, np.nan, y), v))
    codes, absent = np.take_along_axis(codes, order, axis=1), np.take_along_axis(absent, order, axis=1)
    rising = np.hstack([np.zeros((len(y), 1), dtype=np.int64), np.cumsum(codes[:, 1:] != codes[:, :-1], axis=1)])
    return Clustered(
        np.ascontiguousarray(y),
        np.ascontiguousarray(v),
        np.ascontiguousarray(x.swapaxes(1, 2)),
        np.where(absent, -1, rising),
        shape[:-1],
        design is not None,
    )


@kernel
def gather_clusters(
    y: FloatArray, v: FloatArray, x: FloatArray, cluster: IntArray, replicate: int, data: FloatArray, start: IntArray
) -> tuple[int, int]:
    """`gather`, and in `start` the place where each cluster begins, with the end of the last one; numbers of effects and of clusters."""
    k = gather(y, v, x, replicate, data)
    n_clusters = 0
    for s in range(k):
        if s == 0 or cluster[replicate, s] != cluster[replicate, s - 1]:
            start[n_clusters] = s
            n_clusters += 1
    start[n_clusters] = max(k, 0)
    return k, n_clusters
