"""Tornado: power at low and high values of each field, the one that moves it most on top; beside it the shares of variance, where known."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import wilson
from simtrials.planning.sensitivity import Sensitivity, Swing
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, finished, number_axis, round_steps, save, sheet, styled, wrapped
from simtrials.report.planning.sensitivity import DECLARED, fields_in_words, interval, plus_minus, tornado_sentence, value_in_words
from simtrials.report.planning.text import name_in_words

LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM, ROW_MM, WIDER_MM, GAP_MM = 58.0, 20.0, 13.0, 7.5, 10.5, 38.0, 8.0
MARKERS = ("o", "s", "^", "D", "v", "P")
SIGNS = ("○", "■", "▲", "◆", "▼", "✚")
"""The markers as they stand in a line of text."""
NEAR = 0.035
"""Part of the axis within which two marks would hide each other."""
LEAST_WIDTH = 20.0
"""Percentage points that the axis spans at least, so that what does not matter looks small."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field: its name, its values with their markers, and its share of variance with the interval."""

    label: str
    declared: str
    swing: Swing
    variance: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class TornadoDrawing:
    """Power at the values of each field, around power as declared."""

    title: str
    base: tuple[int, int]
    rows: Sequence[Row]
    sentence: str

    @property
    def apportioned(self) -> bool:
        """Whether there are shares of variance."""
        return any(row.variance is not None for row in self.rows)

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        head = ("field", "value", "power", "mcse", "difference", "difference_mcse", "n_replicates", "total_index", "lower", "upper")
        rows: list[tuple[str, ...]] = [head]
        for row in self.rows:
            variance = tuple(repr(float(value)) for value in row.variance) if row.variance else ("", "", "")
            for one in row.swing.at:
                power = (repr(one.share.value), repr(one.share.mcse), repr(one.difference.value), repr(one.difference.mcse), str(one.share.of))
                rows.append((row.swing.assumption.path, str(one.value), *power, *variance))
        return rows

    def draw(self) -> Figure:
        """A row for each field."""
        body = BOTTOM_MM + TOP_MM + ROW_MM * len(self.rows)
        page = sheet(body, self.title, self._how_to_read())
        right = RIGHT_MM + (WIDER_MM + GAP_MM if self.apportioned else 0.0)
        width, height = look.WIDE_MM - LEFT_MM - right, ROW_MM * len(self.rows)
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, height)
        low, high = self._limits()
        axes.set_xlim(low, high)
        axes.set_ylim(len(self.rows), 0)
        number_axis(axes.xaxis, round_steps(low, high))
        axes.set_xlabel("power (%)")
        self._declared(axes, page, width, height)
        for i, row in enumerate(self.rows):
            self._row(axes, page, i, row)
        page.text(LEFT_MM + width + 2.0, BOTTOM_MM + height + 3.0, "moves by\n(% points)", look.NOTE_PT, color=look.SECONDARY)
        if self.apportioned:
            self._variance(page, height)
        return finished(page)

    def _how_to_read(self) -> str:
        several = any(len(row.swing.at) > 2 for row in self.rows)
        parts = ["Mark: power with the value beside the same mark, all else as declared, with its 95% Monte Carlo interval."]
        parts.append(
            "Bar: from the lowest to the highest." if several else "Circle: low, square: high value; bar: from the lowest power to the highest."
        )
        parts.append(f"Dashed: power {DECLARED}, with its interval.")
        if self.apportioned:
            parts.append("Right: share of the variance of power when all vary at once, alone or with others, with its 95% interval.")
        return " ".join(parts)

    def _limits(self) -> tuple[float, float]:
        shares = [self.base, *((one.share.shown, one.share.of) for row in self.rows for one in row.swing.at)]
        ends = 100 * np.array([wilson(*share) for share in shares])
        low, high = float(ends.min()), float(ends.max())
        if high - low < LEAST_WIDTH:
            middle = (low + high) / 2
            low, high = middle - LEAST_WIDTH / 2, middle + LEAST_WIDTH / 2
        low, high = 5 * np.floor(low / 5 - 0.2), 5 * np.ceil(high / 5 + 0.2)
        return max(low, 0.0) if low > 0 else -2.0, min(high, 100.0) if high < 100 else 102.0

    def _declared(self, axes: Axes, page: Sheet, width: float, height: float) -> None:
        shown, of = self.base
        low, high = (100 * end for end in wilson(shown, of))
        axes.axvspan(low, high, color=look.ZONE, lw=0, zorder=0)
        axes.axvline(100 * shown / of, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        left, right = axes.get_xlim()
        place = LEFT_MM + width * (100 * shown / of - left) / (right - left)
        words = f"{DECLARED} {numbers.share(shown, of)}"
        place = min(max(place, LEFT_MM + 18.0), LEFT_MM + width - 18.0)
        page.text(place, BOTTOM_MM + height + 3.0, words, look.NOTE_PT, ha="center")

    def _row(self, axes: Axes, page: Sheet, i: int, row: Row) -> None:
        y, top = i + 0.5, BOTTOM_MM + ROW_MM * (len(self.rows) - i)
        names = wrapped(row.label, LEFT_MM - 4.0, look.TEXT_PT, most=1)
        notes = wrapped(self._values(row), LEFT_MM - 4.0, look.NOTE_PT, most=2)
        height = 4.0 if len(notes) == 1 else 3.2
        page.text(0.4, top - (2.9 if len(notes) == 1 else 1.9), names[0], look.TEXT_PT)
        page.text(
            0.4,
            top - (2.9 if len(notes) == 1 else 1.9) - height - (0.0 if len(notes) == 1 else 1.2),
            "\n".join(notes),
            look.NOTE_PT,
            color=look.SECONDARY,
        )
        powers = [100 * self.base[0] / self.base[1], *(100 * one.share.value for one in row.swing.at)]
        axes.barh(y, max(powers) - min(powers), left=min(powers), height=0.26, color=look.PALE_ACCENT, lw=0, zorder=2)
        for k, (one, place) in enumerate(zip(row.swing.at, self._places(y, row, axes.get_xlim()), strict=True)):
            low, high = wilson(one.share.shown, one.share.of)
            axes.hlines(place, 100 * low, 100 * high, color=look.ACCENT, lw=look.AXIS_PT, zorder=3)
            face = look.WHITE if MARKERS[k] == "o" else look.ACCENT
            axes.plot(100 * one.share.value, place, MARKERS[k], color=look.ACCENT, mfc=face, ms=look.MARKER_PT, zorder=4)
        where = axes.get_position().x1 * look.WIDE_MM + 2.0
        page.text(where, top - ROW_MM / 2, plus_minus(row.swing.swing), look.NOTE_PT)

    @staticmethod
    def _places(y: float, row: Row, limits: tuple[float, float]) -> list[float]:
        """Heights of the marks of a row: one line, or one below the other where two would hide each other."""
        powers = sorted(100 * one.share.value for one in row.swing.at)
        close = any(b - a < NEAR * (limits[1] - limits[0]) for a, b in itertools.pairwise(powers))
        step = min(0.24, 0.6 / len(powers)) if close else 0.0
        return [y + step * (k - (len(powers) - 1) / 2) for k in range(len(powers))]

    @staticmethod
    def _values(row: Row) -> str:
        pairs = zip(SIGNS, row.swing.at, strict=False)
        shown = [f"{sign} {value_in_words(one.value)}" for sign, one in pairs]
        return f"{', '.join(shown)}; declared {row.declared}" if row.declared else ", ".join(shown)

    def _variance(self, page: Sheet, height: float) -> None:
        left = look.WIDE_MM - WIDER_MM - 1.0
        axes = page.axes(left, BOTTOM_MM, WIDER_MM - 3.0, height)
        axes.set_xlim(-2, 102)
        axes.set_ylim(len(self.rows), 0)
        number_axis(axes.xaxis, [0, 50, 100])
        axes.set_xlabel("share of variance (%)")
        for i, row in enumerate(self.rows):
            if row.variance is None:
                page.text(left + 1.0, BOTTOM_MM + ROW_MM * (len(self.rows) - i - 0.5), "alternatives", look.NOTE_PT, color=look.SECONDARY)
                continue
            value, low, high = (100 * float(np.clip(one, 0, 1)) for one in row.variance)
            axes.hlines(i + 0.5, low, high, color=look.PALE_ACCENT, lw=3.0, zorder=2)
            axes.plot(value, i + 0.5, "D", color=look.ACCENT, ms=look.MARKER_PT - 1.0, clip_on=False, zorder=3)


def tornado_drawing(found: Sensitivity, analysis: str | None = None) -> TornadoDrawing:
    """The drawing of one analysis, the first where none is named.

    Raises
    ------
    SimtrialsError
        When the analysis was not looked at.
    """
    name = next(iter(found.analyses)) if analysis is None else analysis
    if name not in found.analyses:
        raise SimtrialsError(f"no sensitivity of an analysis called {name!r}{did_you_mean(name, found.analyses)}")
    tornado, fields = found.analyses[name], fields_in_words([one.path for one in found.assumptions], found.scenario)
    rows = []
    for swing in tornado.swings:
        assumption = swing.assumption
        declared = value_in_words(assumption.declared) if assumption.declared is not None else ""
        rows.append(Row(fields[assumption.path], declared, swing, _variance_of(found, name, assumption.path)))
    title = f"Which assumption matters most for power in {name_in_words(found.scenario, name)}? {found.scenario.name}"
    return TornadoDrawing(title, (tornado.base.shown, tornado.base.of), rows, tornado_sentence(found, name))


def _variance_of(found: Sensitivity, name: str, path: str) -> tuple[float, float, float] | None:
    if found.overall is None or path not in found.overall.paths:
        return None
    indices, i = found.overall.analyses[name].indices, found.overall.paths.index(path)
    if np.isnan(indices.total_order[i]):
        return None
    return float(indices.total_order[i]), *interval(indices.total_order[i], indices.total_order_se[i])


def draw_tornado(found: Sensitivity, path: str | Path | None, analysis: str | None = None) -> Any:
    """The figure of a sensitivity analysis, saved when a path is given."""
    with styled():
        figure = tornado_drawing(found, analysis).draw()
    if path is not None:
        save(figure, path)
    return figure
