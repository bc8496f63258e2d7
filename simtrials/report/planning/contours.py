"""Contours of power over two fields: lines at 50, 80 and 90% and the target, the simulated points with their powers on top.

Between points power is interpolated on the probit scale, linear in each field (in the square root of a number of patients), where power of a z test
is a straight line; the lines go through the simulated values, whose Monte Carlo error they show.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.engine.files import Readable
from simtrials.planning.points import Share
from simtrials.planning.power_curve import PowerCurve
from simtrials.planning.sample_size import FURTHER, PATIENTS, feasible_numbers
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, finished, number_axis, round_steps, sheet, text_width, wrapped
from simtrials.report.planning.labels import axis_label
from simtrials.report.planning.text import name_in_words
from simtrials.report.sentences import listed

LINES = (0.5, 0.8, 0.9)
"""Powers at which a line is drawn, besides the target."""
FEWEST = 3
"""Values that each field needs."""
MOST_PANELS = 4
FINE = 160
"""Places along each axis at which power is interpolated."""
LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM, GAP_MM = 15.0, 4.0, 12.5, 6.5, 7.0
ALONE_MM, BESIDE_MM = 84.0, 66.0
"""Height of a panel that stands alone, and of one beside another."""
NUMBER_MM, CLEAR_MM, ABOVE_MM = 3.1, 0.5, 4.4
"""Height of a number beside a point, the distance that texts keep, and the room above the highest points."""
PAD = 0.05
"""Room at the other sides, as a share of the range."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One analysis: (X, Y) shares at the simulated points."""

    label: str
    shares: Sequence[Sequence[Share]]

    def probits(self) -> FloatArray:
        """(X, Y) probits of the shares; none and all of the trials count half a trial, so that they are finite."""
        return np.array([[ndtri((share.shown + 0.5) / (share.of + 1)) for share in row] for row in self.shares])


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path and label, its values in rising order, the value of the scenario, and for a number of patients or of further studies how
    many are there beside it, else None."""

    path: str
    label: str
    values: tuple[float, ...]
    declared: float | None
    beside: int | None

    def scaled(self, values: Any) -> FloatArray:
        """Values as probits are linear in them."""
        found = np.asarray(values, dtype=np.float64)
        return found if self.beside is None else np.sqrt(found + self.beside)


@dataclass(frozen=True, slots=True)
class Contours:
    """Power over two fields, a panel for each analysis."""

    title: str
    x: Field
    y: Field
    panels: Sequence[Panel]
    target: float
    sentence: str
    left_out: int = 0
    """analyses for which there is no room; the table has them"""

    @property
    def levels(self) -> tuple[float, ...]:
        """Powers at which a line is drawn."""
        return tuple(sorted({*LINES, self.target}))

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        rows: list[tuple[str, ...]] = [("analysis", self.x.path, self.y.path, "power", "mcse", "n_replicates")]
        for panel in self.panels:
            for x, row in zip(self.x.values, panel.shares, strict=True):
                for y, share in zip(self.y.values, row, strict=True):
                    rows.append((panel.label, repr(x), repr(y), repr(share.value), repr(share.mcse), str(share.of)))
        return rows

    def draw(self) -> Figure:
        """Panels side by side, two in a row."""
        alone = len(self.panels) == 1
        height = ALONE_MM if alone else BESIDE_MM
        rows = -(-len(self.panels) // 2)
        page = sheet(rows * (height + BOTTOM_MM + TOP_MM), self.title, self._how_to_read())
        width = look.WIDE_MM - LEFT_MM - RIGHT_MM if alone else (look.WIDE_MM - GAP_MM) / 2 - LEFT_MM - RIGHT_MM
        for i, panel in enumerate(self.panels):
            left = LEFT_MM + (i % 2) * (width + LEFT_MM + RIGHT_MM + GAP_MM)
            bottom = (rows - 1 - i // 2) * (height + BOTTOM_MM + TOP_MM) + BOTTOM_MM
            self._panel(page, panel, (left, bottom, width, height))
        return finished(page)

    def _how_to_read(self) -> str:
        widest = max(share.mcse for panel in self.panels for row in panel.shares for share in row)
        half = numbers.significant(100 * numbers.Z95 * widest, 2)
        parts = [f"Dot: simulated; number where there is room: its power in percent (95% Monte Carlo interval at most ± {half})."]
        parts.append(f"Lines: power of {listed([f'{numbers.percent(level)}' for level in self.levels])}%, interpolated between the dots.")
        parts += ["Square: as declared."] if self.has_declared else []
        parts += [f"{self.left_out} more analyses are in the table."] if self.left_out else []
        return " ".join(parts)

    @property
    def has_declared(self) -> bool:
        """Whether the values of the scenario lie within both ranges."""
        return all(field.declared is not None and field.values[0] <= field.declared <= field.values[-1] for field in (self.x, self.y))

    def _panel(self, page: Sheet, panel: Panel, place: tuple[float, float, float, float]) -> None:
        axes = page.axes(*place, sides="left bottom")
        x, y = (np.linspace(field.values[0], field.values[-1], FINE) for field in (self.x, self.y))
        power = 100 * ndtr(between(panel.probits(), self.x, self.y, x, y))
        white_to_accent = LinearSegmentedColormap.from_list("power", [look.WHITE, look.ACCENT])
        axes.contourf(x, y, power.T, levels=np.arange(0, 101, 5), cmap=white_to_accent, vmin=0, vmax=100, zorder=0)
        axes.margins(0)
        self._axes(axes, place)
        inside = Inside(axes, place)
        for level in self.levels:
            self._line(axes, inside, x, y, power, level)
        self._points(axes, inside, panel)
        lines = wrapped(panel.label, place[2], look.TEXT_PT, "bold", most=1)
        page.text(place[0], place[1] + place[3] + 3.4, lines[0], look.TEXT_PT, weight="bold")

    def _axes(self, axes: Axes, place: tuple[float, float, float, float]) -> None:
        (left, *_, right), (bottom, *_, top) = self.x.values, self.y.values
        over = (1 + PAD) * ABOVE_MM / (place[3] - ABOVE_MM)
        axes.set_xlim(left - PAD * (right - left), right + PAD * (right - left))
        axes.set_ylim(bottom - PAD * (top - bottom), top + over * (top - bottom))
        for axis, field, room in ((axes.xaxis, self.x, place[2]), (axes.yaxis, self.y, place[3])):
            widest = max(text_width(numbers.plain(value), look.TICK_PT) for value in field.values) if axis is axes.xaxis else NUMBER_MM
            gaps = np.diff(field.values) / (field.values[-1] - field.values[0]) * room / (1 + 2 * PAD)
            number_axis(axis, list(field.values) if gaps.min() > widest + 1.5 else round_steps(field.values[0], field.values[-1]))
        axes.set_xlabel("\n".join(wrapped(self.x.label, place[2], look.TEXT_PT, most=1)))
        axes.set_ylabel("\n".join(wrapped(self.y.label, place[3], look.TEXT_PT, most=1)))

    def _line(self, axes: Axes, inside: "Inside", x: FloatArray, y: FloatArray, power: FloatArray, level: float) -> None:
        """A line at a power, with its label where it is farthest from points and other labels; none where power does not pass the level."""
        if not power.min() < 100 * level < power.max():
            return
        bold = level == self.target
        width = look.DATA_PT if bold else look.AXIS_PT
        drawn = axes.contour(x, y, power.T, levels=[100 * level], colors=look.INK, linewidths=width, zorder=2)
        drawn.set_path_effects([withStroke(linewidth=width + 1.0, foreground=look.WHITE)])
        corners = np.concatenate([path.vertices for path in drawn.get_paths()])
        dots = [inside.mm(a, b) for a in self.x.values for b in self.y.values]
        words = f"{numbers.percent(level)}%"
        size = (text_width(words, look.NOTE_PT, "bold") + 1.2, NUMBER_MM)
        spots = sorted((inside.mm(*corner) for corner in corners), key=lambda spot: -inside.room(spot, dots))
        spot = next((spot for spot in spots if inside.is_free(spot, size)), None)
        if spot is not None:
            inside.write(spot, size, words, points=look.NOTE_PT, weight="bold")

    def _points(self, axes: Axes, inside: "Inside", panel: Panel) -> None:
        """The simulated points with their powers, each number above its point or below, where there is room; and the declared values."""
        if self.has_declared and self.x.declared is not None and self.y.declared is not None:
            axes.plot([self.x.declared], [self.y.declared], "s", mfc="none", mec=look.INK, mew=look.AXIS_PT, ms=2.0 * look.MARKER_PT, zorder=5)
        spots = [inside.mm(a, b) for a in self.x.values for b in self.y.values]
        for spot in spots:
            inside.keep_free(spot, (1.2, 1.2))
        axes.plot(
            *zip(*((a, b) for a in self.x.values for b in self.y.values), strict=True),
            "o",
            color=look.INK,
            mec=look.WHITE,
            mew=0.5,
            ms=3.6,
            ls="none",
            zorder=4,
        )
        for spot, share in zip(spots, (share for row in panel.shares for share in row), strict=True):
            words = power_in_words(share)
            size = (text_width(words, look.SMALLEST_PT) + 0.7, NUMBER_MM - 0.4)
            free = next((at for aside in (2.5, -2.5) if inside.is_free(at := (spot[0], spot[1] + aside), size)), None)
            if free is not None:
                inside.write(free, size, words, points=look.SMALLEST_PT)


def power_in_words(share: Share) -> str:
    """A power in whole percent, never 0 or 100 by rounding; a dash where nothing could be analyzed."""
    if share.failed == share.of:
        return numbers.DASH
    percent = numbers.fixed(100 * share.value, 0)
    return {"0": "<1", "100": ">99"}.get(percent, percent)


class Inside:
    """Texts within a panel, in millimetres from its lower left corner; they keep clear of each other."""

    def __init__(self, axes: Axes, place: tuple[float, float, float, float]) -> None:
        self.axes, self.width, self.height = axes, place[2], place[3]
        self.taken: list[tuple[float, float, float, float]] = []

    def mm(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the data lies."""
        (left, right), (bottom, top) = self.axes.get_xlim(), self.axes.get_ylim()
        return self.width * (x - left) / (right - left), self.height * (y - bottom) / (top - bottom)

    def room(self, spot: tuple[float, float], dots: Sequence[tuple[float, float]]) -> float:
        """Distance to the nearest dot, text or edge."""
        others = [*dots, *((x, y) for x, y, _, _ in self.taken)]
        edges = (spot[0], spot[1], self.width - spot[0], self.height - spot[1])
        return min(*edges, *(float(np.hypot(spot[0] - x, spot[1] - y)) for x, y in others))

    def is_free(self, spot: tuple[float, float], size: tuple[float, float]) -> bool:
        """Whether a text of this size fits here."""
        if not (size[0] / 2 <= spot[0] <= self.width - size[0] / 2 and size[1] / 2 <= spot[1] <= self.height - size[1] / 2):
            return False
        return all(
            abs(spot[0] - x) >= (size[0] + width) / 2 + CLEAR_MM / 2 or abs(spot[1] - y) >= (size[1] + height) / 2 + CLEAR_MM / 2
            for x, y, width, height in self.taken
        )

    def keep_free(self, spot: tuple[float, float], size: tuple[float, float]) -> None:
        """No text comes here."""
        self.taken.append((*spot, *size))

    def write(self, spot: tuple[float, float], size: tuple[float, float], words: str, points: float, weight: str = "normal") -> None:
        """A text on white, so that it can be read on every fill."""
        self.keep_free(spot, size)
        paper = {"boxstyle": "square,pad=0.12", "facecolor": look.WHITE, "edgecolor": "none", "alpha": 0.85}
        settings: dict[str, Any] = {"fontsize": points, "weight": weight, "color": look.INK, "ha": "center", "va": "center", "zorder": 6}
        self.axes.text(spot[0] / self.width, spot[1] / self.height, words, transform=self.axes.transAxes, bbox=paper, **settings)


def between(probits: FloatArray, x_field: Field, y_field: Field, x: FloatArray, y: FloatArray) -> FloatArray:
    """(len(x), len(y)) probits between the points of a grid, linear along each field.

    Parameters
    ----------
    probits : (X, Y) at all pairs of the values of the two fields
    x, y : places within the ranges of the fields
    """
    at_x, at_y = x_field.scaled(x_field.values), y_field.scaled(y_field.values)
    along_x = np.array([np.interp(x_field.scaled(x), at_x, column) for column in probits.T])
    return np.array([np.interp(y_field.scaled(y), at_y, row) for row in along_x.T])


def has_contours(curve: PowerCurve) -> bool:
    """Whether power is known over two fields of numbers with three values each at least."""
    return len(curve.over) == 2 and all(len(values) >= FEWEST and all(map(_is_number, values)) for values in curve.over.values())


def contour_drawing(curve: PowerCurve) -> Contours:
    """The drawing of a power curve over two fields of numbers.

    Raises
    ------
    SimtrialsError
        When there are not two fields of numbers with three values each.
    """
    if not has_contours(curve):
        found = " and ".join(f"{path} ({len(values)} values)" for path, values in curve.over.items())
        raise SimtrialsError(f"contours need two fields of numbers with at least {FEWEST} values each, got {found}; see the table")
    x, y = (_field(curve, path, values) for path, values in _fields(curve))
    at = {point.values: point.shares for point in curve.points}
    swapped = x.path != next(iter(curve.over))
    panels = []
    for name in curve.analyses[:MOST_PANELS]:
        shares = [[at[(b, a) if swapped else (a, b)][name] for b in y.values] for a in x.values]
        panels.append(Panel(name_in_words(curve.scenario, name), shares))
    title = f"Power over {x.label} and {y.label}: {curve.scenario.name}"
    sentence = f"Power of {listed([panel.label for panel in panels])} over {x.label} and {y.label}."
    return Contours(title, x, y, panels, curve.scenario.target_power, sentence, len(curve.analyses) - len(panels))


def _fields(curve: PowerCurve) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Numbers of patients come first, on the x axis; else the order in which they were asked for."""
    yield from sorted(curve.over.items(), key=lambda item: item[0] not in (PATIENTS, FURTHER))


def _field(curve: PowerCurve, path: str, values: Sequence[Any]) -> Field:
    return Field(path, axis_label(curve.scenario, path), tuple(sorted(values)), _declared(curve, path), beside(curve.scenario, path))


def beside(scenario: Readable, path: str) -> int | None:
    """How many are there beside a number: no patients, the studies that are listed beside further ones; None for other fields."""
    if path == FURTHER:
        return feasible_numbers(scenario, None).offset
    return 0 if path == PATIENTS else None


def _declared(curve: PowerCurve, path: str) -> float | None:
    """The value that the scenario has there, where it is a number."""
    place: Any = curve.scenario.model_dump(mode="json")
    for part in path.split("."):
        if isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, Mapping) and part in place:
            place = place[part]
        else:
            return None
    return float(place) if _is_number(place) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
