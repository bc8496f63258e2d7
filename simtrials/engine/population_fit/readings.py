"""The biomarker column of a data file: numbers, and values that are only known to lie below the limit of detection."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import Problem
from simtrials.core.expressions import Category, Column

FEWEST_MEASURED = 5
"""Different values above the limit of detection without which no distribution is fitted."""
_TEXT = re.compile(r"\s*(<=?)?\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Readings:
    """Of every row: the number stored (NaN where none is), whether it is marked as below a limit, and the limit written in the cell, as in '<0.2'."""

    value: FloatArray
    flagged: BoolArray
    written_limit: FloatArray

    def __getitem__(self, rows: BoolArray) -> "Readings":
        return Readings(self.value[rows], self.flagged[rows], self.written_limit[rows])

    @property
    def present(self) -> BoolArray:
        return ~np.isnan(self.value) | self.flagged

    @property
    def as_numbers(self) -> FloatArray:
        """Values for a filter; a cell such as '<0.2' counts as limit / sqrt(2)."""
        return np.where(np.isnan(self.value), self.written_limit / np.sqrt(2), self.value)


@dataclass(frozen=True, slots=True)
class Biomarker:
    """Values of the people used, (n,): NaN where `below` the limit of detection."""

    value: FloatArray
    below: BoolArray
    limit: float | None

    @property
    def logarithm(self) -> FloatArray:
        """ln value; the logarithm of the limit where below it."""
        return np.log(np.where(self.below, self.limit or 1.0, self.value))

    @property
    def as_stored(self) -> FloatArray:
        """Values with limit / sqrt(2) below the limit, as an assay of kind serial stores them."""
        return np.where(self.below, (self.limit or 1.0) / np.sqrt(2), self.value)

    def known_at(self, cut: float) -> bool:
        """Whether the data say of everybody on which side of `cut` the value lies."""
        return not self.below.any() or cut >= (self.limit or 0.0)


def read_readings(column: Column, name: str, flags: Column | None, flag_name: str | None) -> tuple[Readings, list[Problem]]:
    """The readings of all rows, and what cannot be read."""
    problems: list[Problem] = []
    if isinstance(column, Category):
        value, limit, unread = _from_texts(column)
        if unread:
            found = ", ".join(repr(text) for text in unread[:3])
            remedy = "write decimals with a point" if any("," in text for text in unread) else "leave a cell without a number empty"
            problems.append(
                Problem("crp", f"{name!r} must hold numbers, or texts such as '<0.2' below the limit of detection; found {found}; {remedy}")
            )
    else:
        value, limit = column, np.full(column.shape, np.nan)
    flagged = ~np.isnan(limit)
    if flags is not None:
        if isinstance(flags, Category) or not np.isin(flags[~np.isnan(flags)], (0.0, 1.0)).all():
            problems.append(Problem("below_limit", f"{flag_name!r} must hold 1 where the value is below the limit of detection, else 0"))
        else:
            flagged = flagged | (flags == 1.0)
    return Readings(value, flagged, limit), problems


def _from_texts(column: Category) -> tuple[FloatArray, FloatArray, list[str]]:
    numbers, limits, unread = [], [], []
    for text in column.levels:
        match = _TEXT.fullmatch(text)
        unread += [] if match else [text]
        number = float(match.group(2)) if match else np.nan
        numbers.append(np.nan if match and match.group(1) else number)
        limits.append(number if match and match.group(1) else np.nan)
    empty = column.codes < 0
    return np.where(empty, np.nan, np.array(numbers)[column.codes]), np.where(empty, np.nan, np.array(limits)[column.codes]), unread


def biomarker_of(readings: Readings, name: str, limit: float | None, has_flags: bool) -> tuple[Biomarker | None, list[Problem]]:
    """Values with everything below the limit of detection marked, or what is wrong with them.

    The limit is the declared one or the largest that is written in a cell. Values below it are taken for censored; so are values equal to it,
    unless a column of flags says which ones are.
    """
    written = readings.written_limit[~np.isnan(readings.written_limit)]
    limits = [*([limit] if limit is not None else []), *([float(written.max())] if written.size else [])]
    limit = max(limits) if limits else None
    problems = list(_impossible(readings, name, limit))
    if problems:
        return None, problems
    stored = np.where(np.isnan(readings.value), 0.0, readings.value)
    if limit is None:
        below = np.zeros(stored.shape, dtype=bool)
    elif has_flags or written.size:
        below = readings.flagged | (stored < limit)
    else:
        below = stored <= limit
    n_different = np.unique(stored[~below]).size
    if n_different < FEWEST_MEASURED:
        sentence = f"{name!r} has {n_different} different value{'s' if n_different != 1 else ''}"
        sentence += f" above the limit of detection, {limit:g} mg/L" if below.any() else " in the rows used"
        return None, [Problem("crp", f"{sentence}; at least {FEWEST_MEASURED} are needed to fit a distribution")]
    return Biomarker(np.where(below, np.nan, stored), below, limit if below.any() else None), []


def _impossible(readings: Readings, name: str, limit: float | None) -> Iterator[Problem]:
    value = readings.value
    infinite, negative, zero = np.isinf(value), value < 0, (value == 0) & ~readings.flagged
    if infinite.any():
        yield Problem("crp", f"{name!r} must be finite; {_rows(infinite)} infinite")
    if (negative & ~infinite).any():
        lowest = value[negative & ~infinite].min()
        remedy = f"leave an unknown value empty, or keep rows with '{name} > 0' in where"
        yield Problem("crp", f"{name!r} must not be negative; {_rows(negative)}, down to {lowest:g}; {remedy}")
    if limit is None and zero.any():
        yield Problem("crp", f"{name!r} must be greater than 0; {_rows(zero)} 0, which lies below any limit of detection; give limit_of_detection")
    if limit is None and readings.flagged.any():
        measured = value[~readings.flagged & (value > 0)]
        nearest = f" (the lowest value that is not flagged is {measured.min():g} mg/L)" if measured.size else ""
        yield Problem("limit_of_detection", f"{_rows(readings.flagged)} flagged as below the limit of detection; say what the limit is{nearest}")
    if limit is not None:
        above = readings.flagged & (value > limit)
        if above.any():
            yield Problem(
                "below_limit",
                f"{_rows(above)} flagged as below the limit of detection, {limit:g} mg/L, with a value above it, such as {value[above].max():g}",
            )


def _rows(mask: BoolArray) -> str:
    n = int(mask.sum())
    return f"{n:,} rows are" if n != 1 else "1 row is"
