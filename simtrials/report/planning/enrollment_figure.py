"""Figure 9, the trade-off: power with the same number of patients, and what the same power takes, over the values of a rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simtrials.core.measures import wilson
from simtrials.planning.enrollment_result import NEAR_BEST, UnderShape, WhomToEnroll
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, apart, finished, line_height, number_axis, round_steps, save, sheet, styled, text_width, wrapped
from simtrials.report.planning.enrollment import PHRASES, answer_sentences, asked_in_words, money_scale, own_place
from simtrials.report.planning.text import name_in_words
from simtrials.report.sentences import sentence_case

LEFT_MM, RIGHT_MM, GAP_MM, BOTTOM_MM, ROW_MM, BETWEEN_MM, HEAD_MM = 15.0, 25.0, 5.0, 12.0, 31.0, 9.5, 5.0
MOST_SHAPES, MOST_ANALYSES = 4, len(look.OUTCOME_COLORS)
FAR = 4.0
"""Values above so many times the smallest are off the scale, with an arrow and their number."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity over the values: what it is called, (V,) values with the ends of their ranges, NaN where there is none."""

    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


@dataclass(frozen=True, slots=True)
class End:
    """Where a line ends, in the unit of its axis, and how it is called and drawn."""

    value: float
    name: str
    color: str
    marker: str
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A column for each shape of the effect; rows: power, patients, and money or months."""

    found: WhomToEnroll

    @property
    def title(self) -> str:
        """What is shown."""
        return f"{sentence_case(asked_in_words(self.found.scenario, self.found.path)[0])}: what it gives and what it takes"

    @property
    def sentence(self) -> str:
        """The figure in words."""
        return " ".join(answer_sentences(self.found))

    @property
    def shapes(self) -> Sequence[UnderShape]:
        """Shapes for which there is room."""
        return self.found.shapes[:MOST_SHAPES]

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        frame = self.found.to_frame()
        frame = frame[frame["kind"] == "value"]
        return [tuple(frame.columns), *(tuple("" if value != value else repr(value) for value in row) for row in frame.itertuples(index=False))]

    def draw(self) -> Figure:
        """Axes from 0; the three rows share the values below them."""
        rows = 3 if self._third() else 2
        body = BOTTOM_MM + rows * ROW_MM + (rows - 1) * BETWEEN_MM + HEAD_MM + self._label_lines() * line_height(look.TEXT_PT)
        page = sheet(body, self.title, self._how_to_read())
        n = len(self.shapes)
        width = (look.WIDE_MM - LEFT_MM - RIGHT_MM - GAP_MM * (n - 1)) / n
        for i, shape in enumerate(self.shapes):
            left = LEFT_MM + i * (width + GAP_MM)
            for row in range(rows):
                bottom = BOTTOM_MM + (rows - 1 - row) * (ROW_MM + BETWEEN_MM)
                axes = page.axes(left, bottom, width, ROW_MM, sides="left bottom")
                self._frame(axes, shape, row, first=i == 0, last=row == rows - 1)
                ends = self._row(axes, shape, row)
                if i == n - 1:
                    _named(page, ends, axes.get_ylim()[1], bottom)
            lines = wrapped(shape.label, width + 2.0, look.TEXT_PT, "bold", most=2)
            top = BOTTOM_MM + rows * ROW_MM + (rows - 1) * BETWEEN_MM + HEAD_MM
            page.text(left, top + line_height(look.TEXT_PT) * self._label_lines() / 2, "\n".join(lines), look.TEXT_PT, weight="bold")
        for row, words in enumerate(self._heads()[:rows]):
            page.text(LEFT_MM, BOTTOM_MM + (rows - row) * ROW_MM + (rows - 1 - row) * BETWEEN_MM + 2.6, words, look.NOTE_PT, color=look.SECONDARY)
        what, unit = asked_in_words(self.found.scenario, self.found.path)
        center = LEFT_MM + (look.WIDE_MM - LEFT_MM - RIGHT_MM) / 2
        page.text(center, 2.6, f"{what}{f' ({unit})' if unit else ''}", look.TEXT_PT, ha="center")
        return finished(page)

    def _label_lines(self) -> int:
        n = len(self.shapes)
        width = (look.WIDE_MM - LEFT_MM - RIGHT_MM - GAP_MM * (n - 1)) / n
        return max(len(wrapped(shape.label, width + 2.0, look.TEXT_PT, "bold", most=2)) for shape in self.shapes)

    def _third(self) -> str:
        return "" if self.found.objective == "screened" else self.found.objective

    def _heads(self) -> list[str]:
        asked, scenario = self.found.asked, self.found.scenario
        goal = f"{numbers.percent(asked.power)}% power in {name_in_words(scenario, asked.analysis, alone=True)}"
        money = (
            f"Cost of a trial with {goal} ({money_scale(self.found)[1]} {scenario.costs.currency})"
            if scenario.costs is not None
            else f"Months to {goal}"
        )
        return [f"Power with {numbers.whole(scenario.design.n_patients)} patients (%)", f"Patients for {goal}", money]

    def _how_to_read(self) -> str:
        third = {"cost": " and cost", "months": " and months", "": ""}[self._third()]
        parts = [f"Bar: 95% Monte Carlo interval of power and of the number randomized; 95% of futures for those screened{third}."]
        parts.append(f"Shaded: within {numbers.percent(NEAR_BEST)}% {PHRASES[self.found.objective][2]}; dashed: the scenario's own value.")
        parts.append("Arrow: off the scale, with its number; none: not reached.")
        return " ".join(parts)

    def _frame(self, axes: Axes, shape: UnderShape, row: int, first: bool, last: bool) -> None:
        x = _places(self.found)
        pad = 0.06 * (x[-1] - x[0])
        axes.set_xlim(x[0] - pad, x[-1] + pad)
        top = 104.0 if row == 0 else 1.12 * self._scale(row)
        axes.set_ylim(0, top)
        number_axis(axes.yaxis, [0, 20, 40, 60, 80, 100] if row == 0 else round_steps(0, self._scale(row), most=4))
        axes.yaxis.set_tick_params(labelleft=first)
        if _is_numeric(self.found):
            number_axis(axes.xaxis, _spread(x, axes.get_position().width * look.WIDE_MM))
        else:
            axes.set_xticks(x, [str(value) for value in self.found.values])
        axes.xaxis.set_tick_params(labelbottom=last)
        best, half = shape.best(self.found.objective), np.min(np.diff(x)) / 4
        if best is not None:
            places = [x[list(self.found.values).index(choice.value)] for choice in (best.near[0], best.near[-1])]
            axes.axvspan(places[0] - half, places[1] + half, color=look.ZONE, lw=0, zorder=0)
        own = own_place(self.found)
        if own is not None:
            axes.axvline(x[own], color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)

    def _row(self, axes: Axes, shape: UnderShape, row: int) -> list[End]:
        """Draws a row; the height at which each line ends, with its name."""
        x = _places(self.found)
        if row == 0:
            ends = []
            for i, name in enumerate(self._analyses()):
                shares = [choice.shares[name] for choice in shape.choices]
                bounds = np.array([wilson(share.shown, share.of) for share in shares])
                panel = Panel(np.array([share.value for share in shares]) * 100, bounds[:, 0] * 100, bounds[:, 1] * 100)
                _line(axes, x, panel, look.OUTCOME_COLORS[i], look.OUTCOME_MARKERS[i])
                ends.append(End(float(panel.values[-1]), name_in_words(self.found.scenario, name), look.OUTCOME_COLORS[i], look.OUTCOME_MARKERS[i]))
            return ends
        if row == 1:
            screened, randomized = self._panel(shape, "screened"), self._panel(shape, "n")
            _line(axes, x, screened, look.CONTROL, "o", hollow=True)
            _line(axes, x, randomized, look.ACCENT, "s")
            self._beyond(axes, x, screened)
            top = axes.get_ylim()[1]
            ends = [End(min(_last(screened), top), "screened", look.CONTROL, "o", hollow=True)]
            return [*ends, End(min(_last(randomized), top), "randomized", look.ACCENT, "s")]
        panel = self._panel(shape, self._third())
        _line(axes, x, panel, look.ACCENT, "s")
        self._beyond(axes, x, panel)
        return [End(min(_last(panel), axes.get_ylim()[1]), self._third(), look.ACCENT, "s")]

    def _beyond(self, axes: Axes, x: np.ndarray, panel: Panel) -> None:
        """Values off the scale as arrows with their number, and values that reach nothing."""
        top, left = axes.get_ylim()[1], axes.get_xlim()[0]
        for place, value in zip(x, panel.values, strict=True):
            edge = place == x.min()
            at, side = (left + 0.15 * (x.min() - left), "left") if edge else (place, "center")
            if np.isnan(value):
                axes.annotate("none", (at, 0.04 * top), ha=side, va="bottom", fontsize=look.SMALLEST_PT, color=look.INK)
            elif value > top:
                axes.plot([place], [0.97 * top], marker="^", color=look.INK, ms=3.5, ls="none", clip_on=False)
                words = numbers.whole(float(f"{value:.3g}")) if value >= 100 else numbers.significant(float(value), 3)
                axes.annotate(words, (at, 0.9 * top), ha=side, va="top", fontsize=look.SMALLEST_PT, color=look.INK)

    def _panel(self, shape: UnderShape, name: str) -> Panel:
        """(V,) values and ranges of a quantity; money in millions or thousands."""
        unit, rows = (money_scale(self.found)[0] if name == "cost" else 1.0), []
        for choice in shape.choices:
            if choice.takes is None or choice.found.n is None:
                rows.append((np.nan, np.nan, np.nan))
            elif name == "n":
                rows.append((float(choice.found.n), float(choice.found.lower or 0), float(choice.found.upper or 0)))
            else:
                spread = getattr(choice.takes, name)
                rows.append((spread.value / unit, spread.lower / unit, spread.upper / unit))
        return Panel(*np.array(rows).T)

    def _scale(self, row: int) -> float:
        """The largest value that is drawn in a row, over all shapes."""
        name = "screened" if row == 1 else self._third()
        values = np.concatenate([self._panel(shape, name).values for shape in self.shapes])
        ends = np.concatenate([self._panel(shape, name).upper for shape in self.shapes])
        near = values <= FAR * np.nanmin(values) if np.isfinite(values).any() else np.zeros(values.size, dtype=bool)
        return float(max(ends[near].max(), values[near].max()) / 1.1) if near.any() else 1.0

    def _analyses(self) -> Sequence[str]:
        return self.found.analyses[:MOST_ANALYSES]


def _places(found: WhomToEnroll) -> np.ndarray:
    return np.array(found.values, dtype=np.float64) if _is_numeric(found) else np.arange(len(found.values), dtype=np.float64)


def _is_numeric(found: WhomToEnroll) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values)


def _spread(x: np.ndarray, width: float) -> list[float]:
    """Values as ticks, without those whose labels would touch."""
    kept: list[float] = []
    scale = width / (x[-1] - x[0])
    for value in x:
        if not kept or (value - kept[-1]) * scale > (text_width(numbers.plain(value)) + text_width(numbers.plain(kept[-1]))) / 2 + 1.0:
            kept.append(float(value))
    return kept


def _line(axes: Axes, x: np.ndarray, panel: Panel, color: str, marker: str, hollow: bool = False) -> None:
    order, top = np.argsort(x), axes.get_ylim()[1]
    inside = np.where(panel.values <= top, panel.values, np.nan)
    axes.vlines(x, np.where(np.isfinite(inside), panel.lower, np.nan), np.minimum(panel.upper, top), color=color, lw=2.6, alpha=0.35, zorder=2)
    axes.plot(x[order], inside[order], color=color, lw=0.9, zorder=3)
    axes.plot(x, inside, marker, color=color, ms=3.6, ls="none", mfc=look.WHITE if hollow else color, zorder=4)


def _last(panel: Panel) -> float:
    """The last value that there is."""
    known = panel.values[np.isfinite(panel.values)]
    return float(known[-1]) if known.size else 0.0


def _named(page: Sheet, ends: Sequence[End], top: float, bottom: float) -> None:
    """Lines by their names, to the right of the last column."""
    order = sorted(ends, key=lambda end: end.value)
    lines = [wrapped(end.name, RIGHT_MM - 5.0, look.NOTE_PT, most=2) for end in order]
    heights = [line_height(look.NOTE_PT) * len(words) for words in lines]
    places = apart([bottom + ROW_MM * end.value / top for end in order], heights, bottom - 2.0, bottom + ROW_MM + 2.0, 0.3)
    for end, words, place in zip(order, lines, places, strict=True):
        x, y = (look.WIDE_MM - RIGHT_MM + 2.2) / page.width, place / page.height
        fill = look.WHITE if end.hollow else end.color
        page.figure.add_artist(Line2D([x], [y], marker=end.marker, color=end.color, mfc=fill, ms=3.6, ls="none"))
        page.text(look.WIDE_MM - RIGHT_MM + 4.4, place, "\n".join(words), look.NOTE_PT)


def draw_enrollment(found: WhomToEnroll, path: str | Path | None) -> Any:
    """The figure, saved when a path is given."""
    with styled():
        figure = TradeOff(found).draw()
    if path is not None:
        save(figure, path)
    return figure
