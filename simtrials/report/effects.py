"""An effect of a drug as a reader sees it: its name, ratios instead of logarithms, decimals, and which side favors what."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.numbers import DASH, fixed

LARGEST_SHOWN = 1000.0
"""Ratios from here on are shown as above it, those below 1 / 1,000 as below that."""


@dataclass(frozen=True, slots=True)
class Effect:
    """How an effect is called and shown; `left` and `right` are the words below the two sides of no effect."""

    label: str
    ratio: bool
    left: str
    right: str
    places: int = RATIO_DIGITS

    @property
    def null(self) -> float:
        """No effect, as shown."""
        return 1.0 if self.ratio else 0.0

    @property
    def null_in_words(self) -> str:
        """`1` for ratios, else `zero`."""
        return "1" if self.ratio else "zero"

    def shown(self, values: ArrayLike) -> FloatArray:
        """Ratios for logarithms."""
        numbers = np.asarray(values, dtype=np.float64)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(numbers)) if self.ratio else numbers

    def text(self, value: float) -> str:
        """A number on the scale of the analysis as it is printed."""
        if math.isnan(value):
            return DASH
        number = float(self.shown(value))
        if self.ratio and number >= LARGEST_SHOWN:
            return f">{fixed(LARGEST_SHOWN, 0)}"
        if self.ratio and number < 0.005:
            return "<0.01"
        return fixed(number, self.places)

    def limits(self, lower: float, upper: float) -> str:
        """`0.05 to 0.64`."""
        return f"{self.text(lower)} to {self.text(upper)}"

    def interval(self, estimate: float, lower: float, upper: float) -> str:
        """`0.35 (0.05 to 0.64)`, without limits where there are none."""
        return self.text(estimate) if math.isnan(lower) or math.isnan(upper) else f"{self.text(estimate)} ({self.limits(lower, upper)})"


def places_for(std_errors: ArrayLike) -> int:
    """Decimals for effects in units of their own: one more than the typical standard error shows, 0 to 4."""
    typical = float(np.median(np.asarray(std_errors, dtype=np.float64)))
    return min(max(1 - math.floor(math.log10(typical)), 0), 4) if typical > 0 else RATIO_DIGITS
