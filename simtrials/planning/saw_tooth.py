"""A smallest number under a power that is saw-toothed in n: a fitted line on the probit scale plus teeth that are known exactly.

A discrete test attains levels below its nominal one that jump with the number of patients, and power jumps with them. The teeth depend on the
test and hardly on anything else; the height and slope of power are simulated. The answer is the smallest feasible number at which line plus teeth
reach the target, there and at all larger feasible numbers.

Source: Chernick and Liu (2002), The American Statistician 56:149-155 (the saw-tooth, and the size from which on power stays).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.planning.probit import Z95, probit_line

REACH, AND_MORE = 12.0, 0.05
"""The window of numbers that are looked at reaches 12 / n and a twentieth beyond the interval of the line; teeth span about 8 / n."""
WIDEST = 0.5


class Teeth(Protocol):
    """Exact power of a discrete test."""

    def probits(self, numbers: IntArray) -> FloatArray | None:
        """(k,) exact power at these numbers on the probit scale, up to a smooth function of the number; None where it is not known."""


@dataclass(frozen=True, slots=True)
class SawTooth:
    """Line plus teeth over a window of feasible numbers, and the answer with its 95% interval from the error of the line."""

    n: float
    lower: float
    upper: float
    numbers: IntArray
    probits: FloatArray
    """(k,) line plus teeth"""
    std_errors: FloatArray
    """(k,) of the line, on the probit scale"""

    def power(self, n: float) -> tuple[float, float]:
        """Power at a number of the window, and its Monte Carlo standard error."""
        i = int(np.searchsorted(self.numbers, n))
        z = float(self.probits[i])
        return float(ndtr(z)), math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * float(self.std_errors[i])

    def curve(self, low: float, high: float) -> tuple[FloatArray, FloatArray]:
        """Feasible numbers between two limits and the power there, to be drawn."""
        inside = (self.numbers >= low) & (self.numbers <= high)
        return self.numbers[inside].astype(np.float64), np.asarray(ndtr(self.probits[inside]), dtype=np.float64)


def with_teeth(
    teeth: Teeth,
    looks: tuple[FloatArray, FloatArray, FloatArray],
    goal: float,
    around: tuple[float, float],
    feasible: tuple[int, int, int],
) -> SawTooth | None:
    """Line plus teeth, or None where the teeth are not known or the line is not.

    Parameters
    ----------
    looks : (k,) numbers, successes and trials
    goal : target power on the probit scale
    around : limits of the crossing of a line without teeth
    feasible : step, smallest and largest number
    """
    n, shown, of = looks
    known = teeth.probits(n.astype(np.int64))
    fitted = None if known is None else probit_line(np.sqrt(n), shown, of, known)
    if fitted is None:
        return None
    (intercept, slope), covariance = fitted
    reach = min(WIDEST, AND_MORE + REACH / max(around[0], 1.0))
    while True:
        numbers = _window(around, reach, feasible)
        exact = teeth.probits(numbers)
        if exact is None:
            return None
        root = np.sqrt(numbers)
        probits = exact + intercept + slope * root
        std_errors = np.sqrt(covariance[0, 0] + 2 * root * covariance[0, 1] + root**2 * covariance[1, 1])
        places = [_from_where_on(probits + shift * std_errors >= goal) for shift in (0.0, Z95, -Z95)]
        late = max(places) > 0.9 * len(numbers) and numbers[-1] < feasible[2]
        if not late:
            break
        if reach >= WIDEST:
            return None
        reach = min(WIDEST, 2 * reach)
    last = len(numbers) - 1
    value, lower, upper = (float(numbers[min(place, last)]) for place in places)
    return SawTooth(value, lower, upper, numbers, probits, std_errors)


def _window(around: tuple[float, float], reach: float, feasible: tuple[int, int, int]) -> IntArray:
    step, smallest, largest = feasible
    low = max(smallest, math.floor(around[0] * (1 - reach) / step) * step)
    high = min(largest, math.ceil(around[1] * (1 + reach) / step) * step)
    return np.arange(low, high + 1, step, dtype=np.int64)


def _from_where_on(reached: BoolArray) -> int:
    """Position from which on all are true; behind the last one where none is."""
    failing = np.flatnonzero(~reached)
    return 0 if failing.size == 0 else int(failing[-1]) + 1
