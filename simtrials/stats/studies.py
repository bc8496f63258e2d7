"""The studies of many meta-analyses as the kernels take them: checked, C-contiguous, absent studies marked by NaN."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray, for_kernel


class Studies(NamedTuple):
    """Effects, variances and designs of many meta-analyses."""

    y: FloatArray
    """(replicate, study) effects, NaN where a study is absent"""
    v: FloatArray
    """(replicate, study) sampling variances"""
    x: FloatArray
    """(1 or replicate, coefficient, study) columns of the design"""
    weights: FloatArray | None
    """(1 or replicate, study) weights chosen by the user, None for the inverse variances"""

    @classmethod
    def of(
        cls,
        yi: ArrayLike,
        vi: ArrayLike,
        design: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        present: ArrayLike | None = None,
    ) -> "Studies":
        """Checked arrays. A study is absent where its effect, variance, weight or a column of its design is NaN, or its variance is infinite.

        Raises
        ------
        ValueError where shapes do not fit, an effect is infinite or a weight is not positive
        """
        y, v = np.broadcast_arrays(np.atleast_2d(np.asarray(yi, dtype=np.float64)), np.atleast_2d(np.asarray(vi, dtype=np.float64)))
        if y.ndim != 2:
            raise ValueError(f"studies: effects have shape (replicate, study), got {y.shape}")
        n_replicates, n_studies = y.shape
        if np.isinf(y).any():
            raise ValueError("studies: an effect is infinite; mark a study that cannot be used by NaN")
        absent = np.isnan(y) | ~(v < np.inf)
        x = np.ones((1, 1, n_studies))
        if design is not None:
            columns = np.asarray(design, dtype=np.float64)
            columns = columns[np.newaxis] if columns.ndim == 2 else columns
            if columns.ndim != 3 or columns.shape[1] != n_studies or columns.shape[0] not in (1, n_replicates):
                raise ValueError(f"studies: a design has shape (study, coefficient) or (replicate, study, coefficient), got {columns.shape}")
            x = np.ascontiguousarray(columns.swapaxes(1, 2))
            absent = absent | np.isnan(x).any(axis=1)
        own = None
        if weights is not None:
            own = np.ascontiguousarray(np.atleast_2d(np.asarray(weights, dtype=np.float64)))
            if own.shape[1] != n_studies or own.shape[0] not in (1, n_replicates):
                raise ValueError(f"studies: weights have shape (study,) or (replicate, study), got {own.shape}")
            if (own <= 0).any() or np.isinf(own).any():
                raise ValueError("studies: weights are positive numbers, NaN for a study that is left out")
            absent = absent | np.isnan(own)
        if present is not None:
            absent = absent | ~np.asarray(present, dtype=bool)
        return cls(np.ascontiguousarray(np.where(absent, np.nan, y)), for_kernel(v), x, own)

    @property
    def own_weights(self) -> FloatArray:
        """The weights chosen by the user, or an empty array."""
        return np.empty((1, 0)) if self.weights is None else self.weights
