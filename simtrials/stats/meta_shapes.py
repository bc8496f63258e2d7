"""The shapes of bodies of evidence: (k,) for one, (..., k) for many; kernels take (replicate, study) and results drop the last axis."""

from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.errors import did_you_mean
from simtrials.stats.studies import Studies

BLOCK = 2**20
"""Numbers in one of the arrays that are made where a method needs many fits of each body of evidence; keeps memory flat."""


class Evidence(NamedTuple):
    """Effects and variances as (replicate, study), NaN where a study is absent, and the shape they came in."""

    y: FloatArray
    v: FloatArray
    shape: tuple[int, ...]

    @property
    def std_error(self) -> FloatArray:
        """(replicate, study); 0 for a variance that is not positive, which the kernels refuse."""
        return np.sqrt(np.maximum(self.v, 0.0))

    def studies(self, design: FloatArray | None = None) -> Studies:
        """Arrays for the kernels, with the columns of `design` (replicate, study, coefficient)."""
        return Studies.of(self.y, self.v, design)


def evidence_of(yi: ArrayLike, vi: ArrayLike, function: str) -> Evidence:
    """Checked effects and variances of `function`, which is named in errors."""
    shape = shape_of(yi, vi, function)
    y, v = (np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1, shape[-1]) for array in (yi, vi))
    studies = Studies.of(y, v)
    return Evidence(studies.y, np.where(np.isnan(studies.y), np.nan, studies.v), shape)


def shape_of(yi: ArrayLike, vi: ArrayLike, function: str) -> tuple[int, ...]:
    """The common shape of effects and variances."""
    try:
        shape = np.broadcast_shapes(np.shape(yi), np.shape(vi))
    except ValueError:
        raise ValueError(f"{function}: effects {np.shape(yi)} and variances {np.shape(vi)} must have one shape") from None
    if not shape or shape[-1] == 0:
        raise ValueError(f"{function}: effects of at least one study are needed, got the shape {shape}")
    return shape


def shaped(column: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """(replicate, ...) in the shape of the input without its last axis; without the first axis where there is one body of evidence."""
    return column.reshape(shape[:-1] + column.shape[1:]) if len(shape) > 1 else column[0]


def checked_word(function: str, name: str, given: str, known: object) -> None:
    """Refuse a word that is not one of `known`, a Literal or a tuple of words."""
    words = known if isinstance(known, tuple) else get_args(known)
    if given not in words:
        raise ValueError(f"{function}: {name} = {given!r} is not known{did_you_mean(str(given), words)}")


def checked_share(function: str, name: str, given: float) -> None:
    """Refuse what does not lie strictly between 0 and 1."""
    if not 0 < given < 1:
        raise ValueError(f"{function}: {name} must lie between 0 and 1, got {given!r}")
