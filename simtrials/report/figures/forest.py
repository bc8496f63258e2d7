"""Forest plot: what every study says, their mean, and what a new trial may show. Takes arrays, of real or of simulated studies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from simtrials.core.arrays import FloatArray
from simtrials.report import look
from simtrials.report.effects import Effect
from simtrials.report.figures.canvas import Sheet, finished, line_height, sheet, text_width, wrapped
from simtrials.report.figures.effect_axis import directions, place_of_null, set_effect_axis
from simtrials.report.numbers import Z95, fixed

ROW_MM, HEAD_MM, FOOT_MM, GAP_MM, RULE_MM = 4.7, 5.0, 13.5, 3.2, 1.6
STUDY_MM, SHORTEST_AXIS_MM = 56.0, 46.0
LARGEST_PT, SMALLEST_PT = 7.5, 1.2
"""Sides of the squares: their areas are in proportion to weights, none is smaller than a dot."""
MARGIN = 0.75
"""The axis goes beyond the estimates by this share of their range before intervals are cut."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean effect with its interval, on the scale of the analysis; NaN limits where there are none."""

    label: str
    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Section:
    """Studies that stand together under a name, by their places, with their own mean."""

    name: str
    members: Sequence[int]
    mean: Mean | None = None


@dataclass(frozen=True, slots=True)
class Forest:
    """All that the figure shows. Effects `yi` and variances `vi` (study,) are on the scale of the analysis, `weights` (study,) add up to 1.

    `arms` are columns of texts between the names and the axis, by their heads. `note` says k, tau2, I2 and the method.
    """

    title: str
    names: Sequence[str]
    arms: Mapping[str, Sequence[str]]
    yi: FloatArray
    vi: FloatArray
    weights: FloatArray
    effect: Effect
    note: str
    sentence: str
    mean: Mean | None = None
    prediction: Mean | None = None
    sections: Sequence[Section] = ()

    @property
    def lower(self) -> FloatArray:
        """(study,) 95% limits, normal."""
        return np.asarray(self.yi - Z95 * np.sqrt(self.vi))

    @property
    def upper(self) -> FloatArray:
        """(study,) 95% limits, normal."""
        return np.asarray(self.yi + Z95 * np.sqrt(self.vi))

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure, as shown (ratios for logarithms)."""
        head = ("study", *self.arms, "estimate", "lower", "upper", "weight")
        rows = [head]
        for i, name in enumerate(self.names):
            numbers = self.effect.shown([self.yi[i], self.lower[i], self.upper[i]])
            rows.append(
                (name, *(cells[i] for cells in self.arms.values()), *(repr(float(number)) for number in numbers), repr(float(self.weights[i])))
            )
        blank = ("",) * len(self.arms)
        for mean in (*(section.mean for section in self.sections), self.mean, self.prediction):
            if mean is not None:
                numbers = self.effect.shown([mean.estimate, mean.lower, mean.upper])
                rows.append((mean.label, *blank, *(repr(float(number)) for number in numbers), ""))
        return rows

    def draw(self) -> Figure:
        """One row per study, squares by weight; diamonds for means, a pale bar for a new trial."""
        columns = Columns.of(self)
        rows = _rows(self, columns)
        foot = FOOT_MM + line_height(look.NOTE_PT) * len(_note(self))
        body = HEAD_MM + sum(row.height for row in rows) + foot
        page = sheet(body, self.title, self._how_to_read())
        low, high = axis_limits(self)
        axes = page.axes(columns.axis_left, foot, columns.axis_width, body - HEAD_MM - foot)
        axes.set_ylim(foot, body - HEAD_MM)
        set_effect_axis(axes, low, high, self.effect)
        axes.axvline(self.effect.null, color=look.SECONDARY, lw=look.AXIS_PT, zorder=1)
        _heads(page, self, columns, body)
        top = body - HEAD_MM
        for row in rows:
            _draw_row(page, axes, self, columns, row, top - row.height / 2, (low, high))
            top -= row.height
        _foot(page, axes, self, columns, foot)
        return finished(page)

    def _how_to_read(self) -> str:
        parts = ["Square: a study, its area the weight; line: 95% confidence interval, an arrow where it goes beyond the axis."]
        parts += ["Diamond: mean and its 95% interval."] if self.mean is not None or self.sections else []
        parts += ["Pale bar: where 95% of true effects in new trials are expected."] if self.prediction is not None else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns lie, in millimetres."""

    name_width: float
    arm_rights: tuple[float, ...]
    axis_left: float
    axis_width: float
    estimate_right: float
    weight_right: float

    @classmethod
    def of(cls, forest: Forest) -> "Columns":
        """Columns as wide as their words, names no wider than leaves room for the axis."""
        means = [mean for mean in (*(section.mean for section in forest.sections), forest.mean, forest.prediction) if mean is not None]
        estimates = [_estimate(forest, i) for i in range(len(forest.names))]
        estimates += [forest.effect.interval(mean.estimate, mean.lower, mean.upper) for mean in means]
        head = _estimate_head(forest)
        estimate = max(*(text_width(words, weight="bold") for words in estimates), *(text_width(line) for line in head))
        weight = text_width("Weight, %")
        arms = [max(text_width(name), *(text_width(cell) for cell in cells)) for name, cells in forest.arms.items()]
        weight_right = look.WIDE_MM - 0.5
        estimate_right = weight_right - weight - GAP_MM
        axis_right = estimate_right - estimate - GAP_MM - 1.0
        labels = [*forest.names, *(mean.label for mean in means), *(section.name for section in forest.sections)]
        wanted = min(max(text_width(label, weight="bold") for label in labels) + 1.0, STUDY_MM)
        arms_width = sum(width + GAP_MM for width in arms)
        name = min(wanted, axis_right - SHORTEST_AXIS_MM - arms_width - GAP_MM)
        rights, right = [], name
        for width in arms:
            right += width + GAP_MM
            rights.append(right)
        left = right + GAP_MM
        return cls(name, tuple(rights), left, axis_right - left, estimate_right, weight_right)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the figure: a study by its place, a mean, the interval of a new trial, or a name."""

    lines: tuple[str, ...]
    height: float
    study: int | None = None
    mean: Mean | None = None
    bar: bool = False


def _rows(forest: Forest, columns: Columns) -> list[Row]:
    def row(label: str, bold: bool, extra: float = 0.0, **what: object) -> Row:
        width = columns.name_width if what else columns.axis_left - GAP_MM
        lines = tuple(wrapped(label, width, weight="bold" if bold else "normal", most=3))
        return Row(lines, max(ROW_MM, len(lines) * line_height() + 1.2) + extra, **what)  # type: ignore[arg-type]

    rows = []
    sections = forest.sections or (Section("", range(len(forest.names))),)
    for section in sections:
        rows += [row(section.name, True)] if section.name else []
        rows += [row(forest.names[i], False, study=i) for i in section.members]
        rows += [row(section.mean.label, False, 0.6, mean=section.mean)] if section.mean is not None else []
    rows += [row(forest.mean.label, True, RULE_MM, mean=forest.mean)] if forest.mean is not None else []
    rows += [row(forest.prediction.label, False, mean=forest.prediction, bar=True)] if forest.prediction is not None else []
    return rows


def axis_limits(forest: Forest) -> tuple[float, float]:
    """The axis holds no effect, all estimates, and intervals as far as they are not much longer than the estimates lie apart."""
    estimates = [0.0, *forest.yi, *([forest.mean.estimate] if forest.mean is not None else [])]
    first, last = min(estimates), max(estimates)
    room = MARGIN * max(last - first, 2.6 * float(np.median(np.sqrt(forest.vi))))
    ends = [*forest.lower, *forest.upper]
    for mean in (forest.mean, forest.prediction, *(section.mean for section in forest.sections)):
        ends += [] if mean is None else [end for end in (mean.lower, mean.upper) if math.isfinite(end)]
    low, high = max(min(*ends, first), first - room), min(max(*ends, last), last + room)
    pad = 0.05 * (high - low)
    return low - pad, high + pad


def _estimate(forest: Forest, i: int) -> str:
    return forest.effect.interval(float(forest.yi[i]), float(forest.lower[i]), float(forest.upper[i]))


def _estimate_head(forest: Forest) -> list[str]:
    label = forest.effect.label
    return wrapped(f"{label[0].upper()}{label[1:]} (95% CI)", 44.0)


def _heads(page: Sheet, forest: Forest, columns: Columns, body: float) -> None:
    y = body - 2.0
    page.text(0.2, y, "Study", color=look.SECONDARY)
    for name, right in zip(forest.arms, columns.arm_rights, strict=True):
        page.text(right, y, name, ha="right", color=look.SECONDARY)
    page.text(columns.estimate_right, y, "\n".join(_estimate_head(forest)[:1]), ha="right", color=look.SECONDARY)
    page.text(columns.weight_right, y, "Weight, %", ha="right", color=look.SECONDARY)


def _draw_row(page: Sheet, axes: Axes, forest: Forest, columns: Columns, row: Row, middle: float, limits: tuple[float, float]) -> None:
    """Words of a row, and its mark."""
    whole = row.mean is not None and row.mean is forest.mean
    weight = "bold" if whole or (row.study is None and row.mean is None) else "normal"
    middle -= RULE_MM / 2 if whole else 0.0
    page.text(0.2, middle, "\n".join(row.lines), weight=weight)
    if row.study is not None:
        _study(page, axes, forest, columns, row.study, middle, limits)
    elif row.mean is not None:
        mean = row.mean
        page.text(columns.estimate_right, middle, forest.effect.interval(mean.estimate, mean.lower, mean.upper), ha="right", weight=weight)
        if whole:
            _rule(page, middle + (row.height - RULE_MM) / 2 + RULE_MM / 2)
        if row.bar:
            _bar(axes, forest.effect, mean, middle, limits)
        else:
            _diamond(axes, forest.effect, mean, middle, limits, 1.5 if whole else 1.1)


def _study(page: Sheet, axes: Axes, forest: Forest, columns: Columns, i: int, middle: float, limits: tuple[float, float]) -> None:
    for cells, right in zip(forest.arms.values(), columns.arm_rights, strict=True):
        page.text(right, middle, cells[i], ha="right")
    page.text(columns.estimate_right, middle, _estimate(forest, i), ha="right")
    page.text(columns.weight_right, middle, fixed(100 * float(forest.weights[i]), 1), ha="right")
    _line(axes, forest.effect, float(forest.lower[i]), float(forest.upper[i]), middle, limits, look.INK, 1.0)
    side = max(LARGEST_PT * math.sqrt(float(forest.weights[i] / forest.weights.max())), SMALLEST_PT)
    axes.plot(forest.effect.shown([forest.yi[i]]), [middle], "s", ms=side, mfc=look.ACCENT, mew=0, zorder=3)


def _line(axes: Axes, effect: Effect, lower: float, upper: float, middle: float, limits: tuple[float, float], color: str, width: float) -> None:
    """An interval, with an arrow at each end that is cut."""
    low, high = limits
    ends = effect.shown([max(lower, low), min(upper, high)])
    axes.plot(ends, [middle, middle], color=color, lw=width, solid_capstyle="butt", zorder=2)
    for cut, end, marker in ((lower < low, ends[0], "<"), (upper > high, ends[1], ">")):
        if cut:
            axes.plot([end], [middle], marker, ms=3.6, mfc=color, mew=0, zorder=3, clip_on=False)


def _diamond(axes: Axes, effect: Effect, mean: Mean, middle: float, limits: tuple[float, float], half: float) -> None:
    if math.isnan(mean.lower) or math.isnan(mean.upper):
        axes.plot(effect.shown([mean.estimate]), [middle], "D", ms=4.0, mfc=look.ACCENT, mew=0, zorder=3)
        return
    low, high = limits
    left, center, right = effect.shown([max(mean.lower, low), mean.estimate, min(mean.upper, high)])
    corners = [(left, middle), (center, middle + half), (right, middle), (center, middle - half)]
    axes.add_patch(Polygon(corners, closed=True, facecolor=look.ACCENT, edgecolor="none", zorder=3))
    for cut, end, marker in ((mean.lower < low, left, "<"), (mean.upper > high, right, ">")):
        if cut:
            axes.plot([end], [middle], marker, ms=4.6, mfc=look.ACCENT, mew=0, zorder=4, clip_on=False)


def _bar(axes: Axes, effect: Effect, mean: Mean, middle: float, limits: tuple[float, float]) -> None:
    _line(axes, effect, mean.lower, mean.upper, middle, limits, look.PALE_ACCENT, 5.0)


def _rule(page: Sheet, y: float) -> None:
    """A thin line across the page above the mean."""
    axes = page.axes(0.2, y, look.WIDE_MM - 0.7, 0.1, sides="")
    axes.set_xlim(0, 1)
    axes.plot([0, 1], [0, 0], color=look.RULE, lw=look.AXIS_PT)
    axes.set_ylim(-1, 1)
    axes.tick_params(bottom=False, labelbottom=False)


def _foot(page: Sheet, axes: Axes, forest: Forest, columns: Columns, foot: float) -> None:
    """Words on both sides of no effect, what the axis shows, and below all of it how the studies were pooled."""
    effect = forest.effect
    directions(page, columns.axis_left + columns.axis_width * place_of_null(axes, effect), foot - 7.0, effect)
    log = ", log axis" if effect.ratio else ""
    page.text(columns.axis_left + columns.axis_width / 2, foot - 10.8, f"{effect.label}{log}", ha="center")
    lines = _note(forest)
    page.text(0.2, line_height(look.NOTE_PT) * len(lines) / 2 + 0.4, "\n".join(lines), look.NOTE_PT, color=look.SECONDARY)


def _note(forest: Forest) -> list[str]:
    return wrapped(forest.note, look.WIDE_MM * 0.98, look.NOTE_PT) if forest.note else []
