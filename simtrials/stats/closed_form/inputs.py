"""What the formulas accept: numbers or arrays that broadcast, checked with a sentence that names the argument."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError, did_you_mean

Tails = Literal["both", "benefit"]
"""Rejections that count: `both`, or only those with an estimate in the direction of `benefit` (above 0)."""


def finite(name: str, value: ArrayLike) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, np.isfinite(number), "must be a finite number")


def positive(name: str, value: ArrayLike) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, number > 0, "must be greater than 0")


def no_less_than(name: str, value: ArrayLike, low: float) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, number >= low, f"must be at least {low:g}")


def inside_unit(name: str, value: ArrayLike) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, (number > 0) & (number < 1), "must lie strictly between 0 and 1")


def probability(name: str, value: ArrayLike) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, (number >= 0) & (number <= 1), "must be in [0, 1]")


def correlation(name: str, value: ArrayLike) -> FloatArray:
    number = np.asarray(value, dtype=np.float64)
    return _checked(name, number, np.abs(number) < 1, "must lie strictly between -1 and 1")


def known(name: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise SimtrialsError(f"{name}: nothing is called {word!r}{did_you_mean(word, words)}")


def _checked(name: str, number: FloatArray, holds: BoolArray, sentence: str) -> FloatArray:
    if not np.all(holds):
        raise SimtrialsError(f"{name} {sentence}, got {number[~holds].flat[0]:g}")
    return number
