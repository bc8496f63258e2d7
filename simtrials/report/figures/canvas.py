"""The sheet that every figure is drawn on: made at final size, title and a gray line on top, everything placed in millimetres."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from simtrials.report import look
from simtrials.report.numbers import plain

MM_PER_INCH, PT_PER_INCH = 25.4, 72.0
HALF_LETTER = 0.36
"""Half of the height of a capital letter, in sizes of the font."""
RC: Any = {
    "font.family": look.FONT,
    "font.size": look.TEXT_PT,
    "text.color": look.INK,
    "text.parse_math": False,
    "axes.edgecolor": look.INK,
    "axes.labelcolor": look.INK,
    "axes.labelsize": look.TEXT_PT,
    "axes.linewidth": look.AXIS_PT,
    "axes.labelpad": 3.0,
    "xtick.color": look.INK,
    "ytick.color": look.INK,
    "xtick.labelsize": look.TICK_PT,
    "ytick.labelsize": look.TICK_PT,
    "xtick.major.width": look.AXIS_PT,
    "ytick.major.width": look.AXIS_PT,
    "lines.linewidth": look.DATA_PT,
    "lines.markersize": look.MARKER_PT,
    "svg.fonttype": "path",
    "svg.hashsalt": look.SVG_SALT,
    "savefig.facecolor": look.WHITE,
    "path.simplify": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """The look of the figures, whatever the reader's own settings; they are restored afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


@cache
def text_width(text: str, points: float = look.TEXT_PT, weight: str = "normal") -> float:
    """Width of a line of text in millimetres."""
    font = FontProperties(family=look.FONT, size=points, weight=weight)
    return float(TextToPath().get_text_width_height_descent(text, font, False)[0]) / PT_PER_INCH * MM_PER_INCH


def line_height(points: float = look.TEXT_PT) -> float:
    """Height of a line of text in millimetres."""
    return points * look.LINE_SPACING / PT_PER_INCH * MM_PER_INCH


def wrapped(text: str, width: float, points: float = look.TEXT_PT, weight: str = "normal", most: int = 99) -> list[str]:
    """Lines of a text that fit a width in millimetres; what is beyond `most` lines is cut and marked."""
    lines: list[str] = []
    current = ""
    for word in (piece for whole in text.split() for piece in _pieces(whole, width, points, weight)):
        longer = f"{current} {word}".strip()
        if current and text_width(longer, points, weight) > width:
            lines.append(current)
            current = word
        else:
            current = longer
    lines.append(current)
    return lines if len(lines) <= most else [*lines[: most - 1], _cut(lines[most - 1], width, points, weight)]


def _pieces(word: str, width: float, points: float, weight: str) -> list[str]:
    """A word that is too long for a line, in parts."""
    pieces = []
    while text_width(word, points, weight) > width and len(word) > 1:
        size = next((n for n in range(len(word) - 1, 1, -1) if text_width(word[:n], points, weight) <= width), 1)
        pieces.append(word[:size])
        word = word[size:]
    return [*pieces, word]


def _cut(line: str, width: float, points: float, weight: str) -> str:
    while line and text_width(f"{line}…", points, weight) > width:
        line = line[:-1]
    return f"{line}…"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure with its title; what is drawn goes below, at millimetres from the left and from the bottom."""

    figure: Figure
    width: float
    height: float
    body: float

    def axes(self, left: float, bottom: float, width: float, height: float, sides: str = "bottom") -> Axes:
        """A panel with lines on the named sides only."""
        axes = self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))
        for side, spine in axes.spines.items():
            spine.set_visible(side in sides)
        axes.patch.set_visible(False)
        axes.tick_params(axis="y", left="left" in sides, labelleft="left" in sides)
        axes.tick_params(axis="x", bottom="bottom" in sides, labelbottom="bottom" in sides)
        axes.tick_params(which="both", labelsize=look.TICK_PT, width=look.AXIS_PT, color=look.INK, labelcolor=look.INK)
        return axes

    def text(self, x: float, y: float, words: str, points: float = look.TEXT_PT, va: str = "center", **look_of: Any) -> None:
        """Lines of text at millimetres from the left and from the bottom, all on the same baselines whatever letters they have."""
        lines = words.split("\n")
        pitch, settings = line_height(points), {"ha": "left", "color": look.INK, "va": "baseline"} | look_of
        top = y + pitch * len(lines) / 2 if va == "center" else y
        for i, line in enumerate(lines):
            baseline = top - pitch * (i + 0.5) - HALF_LETTER * points / PT_PER_INCH * MM_PER_INCH
            self.figure.text(x / self.width, baseline / self.height, line, fontsize=points, **settings)


def sheet(body: float, title: str, how_to_read: str, width: float = look.WIDE_MM) -> Sheet:
    """An empty sheet with `body` millimetres of height for drawing, a title that says what is shown and a gray line that says how to read it."""
    heads = wrapped(title, width * 0.96, look.TITLE_PT, "bold")
    notes = wrapped(how_to_read, width * 0.98, look.NOTE_PT)
    head = 1.0 + line_height(look.TITLE_PT) * len(heads) + line_height(look.NOTE_PT) * len(notes) + 2.0
    height = body + head
    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), facecolor=look.WHITE)
    FigureCanvasAgg(figure)
    page = Sheet(figure, width, height, body)
    top = height - 0.5
    page.text(0.2, top, "\n".join(heads), look.TITLE_PT, weight="bold", va="top")
    page.text(0.2, top - line_height(look.TITLE_PT) * len(heads) - 0.6, "\n".join(notes), look.NOTE_PT, color=look.SECONDARY, va="top")
    return page


def log_axis(axes: Axes, low: float, high: float, rules: tuple[float, ...] = ()) -> None:
    """A logarithmic x axis with round numbers, and with the rules, which come first where numbers would touch."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    places = _spread(axes, [value for value in (*rules, *_round_numbers(low, high)) if low <= value <= high])
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter([plain(value) for value in places]))


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 in every decade, ones first."""
    decades = range(-6, 8)
    return [factor * 10.0**decade for factor in (1, 2, 5) for decade in decades if low <= factor * 10.0**decade <= high]


def _spread(axes: Axes, values: list[float]) -> list[float]:
    """Values whose labels do not touch; earlier ones are kept."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    low, high = axes.get_xlim()
    width = axes.get_position().width * figure.get_figwidth() * MM_PER_INCH

    def place(value: float) -> float:
        return width * log(value / low) / log(high / low)

    kept: list[float] = []
    for value in dict.fromkeys(values):
        half = text_width(plain(value), look.TICK_PT) / 2
        inside = place(value) - half >= -1.0 and place(value) + half <= width + 1.0
        if inside and all(abs(place(value) - place(other)) > half + text_width(plain(other), look.TICK_PT) / 2 + 1.2 for other in kept):
            kept.append(value)
    return sorted(kept)


def number_axis(axis: Any, places: list[float]) -> None:
    """Ticks at these numbers."""
    axis.set_major_locator(FixedLocator(places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter([plain(round(value, 10)) for value in places]))


def round_steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers at equal steps within a range."""
    from matplotlib.ticker import MaxNLocator

    return [float(value) for value in MaxNLocator(nbins=most, steps=[1, 2, 5, 10]).tick_values(low, high) if low - 1e-9 <= value <= high + 1e-9]


def finished(page: Sheet) -> Figure:
    """The figure, drawn once so that every tick has the look of this sheet."""
    page.figure.draw_without_rendering()
    return page.figure


def image(figure: Figure, form: str) -> bytes:
    """The bytes of an SVG or PNG file, the same each time."""
    stream = io.BytesIO()
    of_form: dict[str, Any] = {"svg": {"metadata": {"Date": None}}, "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 3}}}
    with styled():
        figure.savefig(stream, format=form, dpi=look.PNG_DPI, **of_form.get(form, {}))
    return stream.getvalue()


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the form that the name of the file says."""
    from simtrials.engine.store import write_whole

    place = Path(path)
    write_whole(place, image(figure, place.suffix.removeprefix(".").lower() or "svg"))


def apart(centers: list[float], widths: list[float], low: float, high: float, gap: float = 2.0) -> list[float]:
    """Centers of labels side by side, moved as little as needed so that none touches another or leaves the range; in rising order."""
    placed: list[float] = []
    edge = low
    for center, width in zip(centers, widths, strict=True):
        placed.append(max(center, edge + width / 2))
        edge = placed[-1] + width / 2 + gap
    edge = high
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], edge - widths[i] / 2)
        edge = placed[i] - widths[i] / 2 - gap
    return placed
