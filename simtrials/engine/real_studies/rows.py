"""One row of study results as the steps of a review see it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arm:
    """What a row has of one arm; NaN where it has nothing."""

    n: float = math.nan
    events: float = math.nan
    mean: float = math.nan
    sd: float = math.nan


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the file, or several that were made one: what it is called, whom it is about, and its numbers for the outcome."""

    row: int
    """place among the rows of the file, from 0"""
    name: str
    sample: str | None
    subgroup: bool
    shared_control: bool
    active: Arm
    control: Arm
    falls: bool = True
    """lower scores are better"""
    yi: float = math.nan
    vi: float = math.nan
    used: str = ""
    """what its effect is computed from"""
    missing: tuple[str, ...] = ()
    """columns that it would need, or why it is not about the outcome"""
    notes: tuple[str, ...] = ()
    """what was done to it"""

    @property
    def line(self) -> int:
        """Line of the file, the head being line 1."""
        return self.row + 2

    def told(self) -> str:
        """Name and line."""
        return f"{self.name} (line {self.line})"
