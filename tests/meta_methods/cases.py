"""Reading of the reference cases, and the register of what computes them."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

FOLDER = Path(__file__).parent.parent / "reference" / "meta"
METHODS: dict[str, Callable[[str, str], float]] = {}
"""name in the column `method` (method:quantity) -> function (data set or setting, inputs) -> number"""
LEFT_OUT: dict[str, str] = {}
"""method without quantity -> why this package does not compute it"""
LEFT_OUT_ROWS: dict[str, str] = {}
"""id of a row -> why its number is not computed, or wrong"""
Z = -float(ndtri(0.025))


@cache
def data(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "datasets" / f"{name}.csv")


def studies(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances, (1, study)."""
    rows = data(name)
    return rows[["yi"]].to_numpy(dtype=float).T, rows[["vi"]].to_numpy(dtype=float).T


def offers(prefix: str, *quantities: str):
    """Register every quantity of a function (data set, inputs) -> {quantity: number}; it is called once for all quantities of the same inputs."""

    def register(function):
        numbers = cache(function)
        for quantity in quantities:
            METHODS[f"{prefix}:{quantity}" if quantity else prefix] = lambda name, inputs, q=quantity: float(numbers(name, inputs)[q])
        return function

    return register


def numbers_in(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in re.findall(r"-?\d*\.\d+|-?\d+", text))
