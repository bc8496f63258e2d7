"""Power curves: dots with their Monte Carlo intervals, the fitted line thin, a closed form dotted, target and chosen number marked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.measures import wilson
from simtrials.planning.assurance import Assurance
from simtrials.planning.points import Share
from simtrials.planning.power_curve import PowerCurve
from simtrials.planning.sample_size import SampleSize
from simtrials.planning.saw_tooth import SawTooth
from simtrials.planning.search import Found
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, apart, finished, number_axis, round_steps, save, sheet, styled, text_width, wrapped
from simtrials.report.planning.contours import Contours, beside, contour_drawing, has_contours
from simtrials.report.planning.fitted import HOW_DRAWN, fitted
from simtrials.report.planning.labels import axis_label, field_with_unit
from simtrials.report.planning.text import assurance_sentence, field_in_words, name_in_words

BODY_MM, LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM = 84.0, 13.0, 46.0, 12.5, 5.0
MARKERS = ("o", "s", "^", "D", "v", "P")
MOST_LINES = len(MARKERS)


@dataclass(frozen=True, slots=True)
class Curve:
    """One analysis: where it was simulated, its shares there, and what a closed form says; `beside` is how many are there beside a number of
    patients or further studies, None for other fields."""

    label: str
    x: Sequence[float]
    shares: Sequence[Share]
    exact: Mapping[float, float]
    beside: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a search: where it lies with its 95% interval, in words, and the power that was fitted between two limits of the axis."""

    at: float
    limits: tuple[float, float]
    words: str
    curve: Callable[[float, float], tuple[FloatArray, FloatArray]] | None
    has_teeth: bool = False
    of: str = "number"


@dataclass(frozen=True, slots=True)
class PowerCurves:
    """Several curves over one field; `answer` marks the answer of a search, and points of a search are not `joined`."""

    title: str
    x_label: str
    curves: Sequence[Curve]
    target: float
    sentence: str
    answer: Answer | None = None
    joined: bool = True
    left_out: int = 0
    """analyses for which there is no room; the table has them"""

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        rows: list[tuple[str, ...]] = [("analysis", self.x_label, "power", "mcse", "n_replicates", "closed_form")]
        for curve in self.curves:
            for x, share in zip(curve.x, curve.shares, strict=True):
                exact = repr(curve.exact[x]) if x in curve.exact else ""
                rows.append((curve.label, repr(x), repr(share.value), repr(share.mcse), str(share.of), exact))
        return rows

    def draw(self) -> Figure:
        """Power in percent from 0 to 100 over the field."""
        page = sheet(BODY_MM, self.title, self._how_to_read())
        width, height = look.WIDE_MM - LEFT_MM - RIGHT_MM, BODY_MM - BOTTOM_MM - TOP_MM
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, height, sides="left bottom")
        every = [x for curve in self.curves for x in curve.x]
        pad = 0.05 * (max(every) - min(every)) or 1.0
        low, high = min(every) - pad, max(every) + pad
        axes.set_xlim(low, high)
        axes.set_ylim(0, 104)
        number_axis(axes.xaxis, round_steps(low, high) if min(every) < max(every) else every[:1])
        number_axis(axes.yaxis, [0, 20, 40, 60, 80, 100])
        axes.set_xlabel(self.x_label)
        axes.set_ylabel("power (%)")
        axes.axhline(100 * self.target, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        self._answer(axes)
        ends = [self._curve(axes, i, curve, (low, high)) for i, curve in enumerate(self.curves)]
        self._names(page, ends, height)
        if self.answer is not None:
            across = LEFT_MM + width * (self.answer.at - low) / (high - low)
            page.text(across, BOTTOM_MM + height + 2.0, self.answer.words, look.NOTE_PT, ha="center", weight="bold")
        target = f"target {numbers.percent(self.target)}"
        page.text(LEFT_MM + 1.0, BOTTOM_MM + height * self.target / 1.04 + 1.8, target, look.NOTE_PT, color=look.SECONDARY)
        return finished(page)

    def _how_to_read(self) -> str:
        parts = ["Mark: simulated power with its 95% Monte Carlo interval."]
        if self.answer is not None:
            fit = "fitted, with the teeth of the exact test" if self._has_teeth else "fitted on the probit scale"
            parts.append(f"Line: {fit}; shaded: 95% interval of the {self.answer.of}.")
        elif self.joined:
            parts.append(HOW_DRAWN[frozenset(fitted(curve.x, curve.shares, curve.beside) is not None for curve in self.curves)])
        if any(curve.exact for curve in self.curves):
            parts.append("Cross: exact power." if self._has_teeth else "Dotted: closed form.")
        parts += [f"{self.left_out} more analyses are in the table."] if self.left_out else []
        return " ".join(parts)

    @property
    def _has_teeth(self) -> bool:
        return self.answer is not None and self.answer.has_teeth

    def _answer(self, axes: Axes) -> None:
        if self.answer is None or self.answer.curve is None:
            return
        axes.axvspan(*self.answer.limits, color=look.ZONE, lw=0, zorder=0)
        axes.axvline(self.answer.at, color=look.ACCENT, lw=look.AXIS_PT, zorder=1)
        x, power = self.answer.curve(*axes.get_xlim())
        axes.plot(x, 100 * power, color=look.ACCENT, lw=0.8, zorder=2)

    def _curve(self, axes: Axes, i: int, curve: Curve, limits: tuple[float, float]) -> float:
        """Draws a curve; the height at which it ends, in percent."""
        x = np.array(curve.x, dtype=np.float64)
        order = np.argsort(x)
        y = np.array([100 * share.value for share in curve.shares])
        ends = np.array([wilson(share.shown, share.of) for share in curve.shares])
        color = self._color(i)
        axes.vlines(x, 100 * ends[:, 0], 100 * ends[:, 1], color=look.PALE_ACCENT, lw=3.0, zorder=2)
        if self.joined:
            line = fitted(curve.x, curve.shares, curve.beside)
            across = x[order] if line is None else np.linspace(x.min(), x.max(), 200)
            axes.plot(across, y[order] if line is None else 100 * line(across), color=color, lw=0.8, zorder=3)
        axes.plot(x, y, MARKERS[i], color=color, ms=look.MARKER_PT, ls="none", zorder=4)
        if curve.exact:
            known = sorted(curve.exact)
            exact = [100 * curve.exact[one] for one in known]
            if self._has_teeth:
                axes.plot(known, exact, "x", color=look.INK, ms=look.MARKER_PT + 1.5, mew=look.AXIS_PT, ls="none", zorder=5)
            else:
                axes.plot(known, exact, color=look.INK, lw=look.AXIS_PT, ls=(0, (1, 1.6)), zorder=3)
        return float(y[order][-1])

    def _color(self, i: int) -> str:
        return look.ACCENT if len(self.curves) == 1 else look.LEVELS[i % len(look.LEVELS)]

    def _names(self, page: Sheet, ends: Sequence[float], height: float) -> None:
        """Each curve by its name at its right end."""
        order = np.argsort(ends)
        heights = [3.2 * len(wrapped(self.curves[i].label, RIGHT_MM - 5.0, look.NOTE_PT, most=2)) for i in order]
        places = apart([BOTTOM_MM + height * ends[i] / 104 for i in order], heights, BOTTOM_MM, BOTTOM_MM + height, 0.6)
        for i, place in zip(order, places, strict=True):
            lines = wrapped(self.curves[i].label, RIGHT_MM - 5.0, look.NOTE_PT, most=2)
            page.text(look.WIDE_MM - RIGHT_MM + 4.0, place, "\n".join(lines), look.NOTE_PT)
            at = ([(look.WIDE_MM - RIGHT_MM + 2.0) / page.width], [place / page.height])
            page.figure.add_artist(Line2D(*at, marker=MARKERS[i], color=self._color(i), ms=0.8 * look.MARKER_PT, ls="none"))


def curve_drawing(curve: PowerCurve) -> PowerCurves:
    """The drawing of a power curve over one field of numbers."""
    (path, values), *more = curve.over.items()
    if more or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise SimtrialsError("a power curve is drawn over one field of numbers; see the table for others")
    curves = []
    for name in curve.analyses[:MOST_LINES]:
        exact = {float(point.values[0]): point.closed_form[name] for point in curve.points if name in point.closed_form}
        x = [float(point.values[0]) for point in curve.points]
        curves.append(
            Curve(name_in_words(curve.scenario, name), x, [point.shares[name] for point in curve.points], exact, beside(curve.scenario, path))
        )
    words = field_with_unit(curve.scenario, path)
    title, label = f"Power over {words}: {curve.scenario.name}", axis_label(curve.scenario, path)
    return PowerCurves(
        title,
        label,
        curves,
        curve.scenario.target_power,
        f"Power of {len(curves)} analyses over {words}.",
        left_out=len(curve.analyses) - len(curves),
    )


def size_drawing(size: SampleSize) -> PowerCurves:
    """The drawing of a search."""
    words = field_in_words(size.feasible.path)
    looks = size.found.looks
    label = ", ".join(name_in_words(size.scenario, name) for name in size.analyses)
    exact = {float(n): power for n, power in size.closed_form.items()}
    curve = Curve(label, [float(n) for n, _ in looks], [share for _, share in looks], exact)
    title, axis = f"How many {words}? {size.scenario.name}", "patients randomized" if words == "patients" else words
    sentence = f"{size.found.n} {words} reach {numbers.percent(size.target)}%." if size.found.n is not None else f"{size.found.reason}."
    return PowerCurves(title, axis, [curve], size.target, sentence, _answer_of(size.found), joined=False)


def _answer_of(found: Found) -> Answer | None:
    if found.n is None or found.lower is None or found.upper is None:
        return None
    words = f"{numbers.whole(found.n)} ({numbers.whole(found.lower)} to {numbers.whole(found.upper)})"
    if found.line is None:
        return Answer(found.n, (found.lower, found.upper), words, None)
    return Answer(found.n, (found.lower, found.upper), words, found.line.curve, isinstance(found.line, SawTooth))


@dataclass(frozen=True, slots=True)
class PowerOverPriors:
    """Histogram of power over draws of the priors, those without benefit apart, with the average and what the declared values suggest."""

    title: str
    powers: Sequence[float]
    harmful: Sequence[bool]
    average: float
    declared: float
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        rows = zip(self.powers, self.harmful, strict=True)
        head = ("draw", "power", "nothing or harm")
        return [head, *((str(i + 1), repr(float(power)), "yes" if harm else "no") for i, (power, harm) in enumerate(rows))]

    def draw(self) -> Figure:
        """Draws in bins of five percent."""
        how = "Bar: draws of the priors by the power of a trial there; solid line: average; dashed: at the declared values."
        if any(self.harmful):
            how += f" Gray: draws in which the drug does nothing or harms, {self._lost} of 100, which no number of patients wins."
        page = sheet(62.0, self.title, how)
        width, height = look.WIDE_MM - 2 * LEFT_MM, 62.0 - BOTTOM_MM - 9.0
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, height, sides="left bottom")
        powers, harmful = 100 * np.asarray(self.powers), np.asarray(self.harmful, dtype=bool)
        edges = np.arange(0.0, 105.0, 5.0)
        lost, rest = (np.histogram(powers[mask], bins=edges)[0] for mask in (harmful, ~harmful))
        axes.bar(edges[:-1], lost, width=5.0, align="edge", color=look.CONTROL, edgecolor=look.WHITE, lw=0.6)
        axes.bar(edges[:-1], rest, bottom=lost, width=5.0, align="edge", color=look.PALE_ACCENT, edgecolor=look.WHITE, lw=0.6)
        most = float((lost + rest).max())
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 1.05 * most)
        number_axis(axes.xaxis, [0, 20, 40, 60, 80, 100])
        number_axis(axes.yaxis, round_steps(0, most, most=4))
        axes.set_xlabel("power at a draw (%)")
        axes.set_ylabel("draws")
        marks = {"average": 100 * self.average, "declared": 100 * self.declared}
        for name, value in marks.items():
            axes.axvline(value, color=look.INK, lw=look.DATA_PT, ls="-" if name == "average" else (0, (4, 2.5)))
        words = [(value, f"{name} {numbers.fixed(value, 0)}") for name, value in marks.items()] + (
            [(2.5, f"nothing or harm {self._lost}")] if harmful.any() else []
        )
        words.sort()
        widths = [text_width(text, look.NOTE_PT) for _, text in words]
        places = apart([LEFT_MM + width * value / 100 for value, _ in words], widths, LEFT_MM, LEFT_MM + width, 2.0)
        for (_, text), place in zip(words, places, strict=True):
            page.text(place, BOTTOM_MM + height + 3.0, text, look.NOTE_PT, ha="center")
        return finished(page)

    @property
    def _lost(self) -> str:
        return numbers.fixed(100 * float(np.mean(self.harmful)), 0)


def assurance_drawing(found: Assurance) -> PowerOverPriors:
    """The drawing of an assurance: of its first analysis."""
    name, one = next(iter(found.analyses.items()))
    title = f"What to expect of {name_in_words(found.scenario, name)}: {found.scenario.name}"
    harmful = [False] * found.n_draws if found.harmful is None else found.harmful.tolist()
    return PowerOverPriors(title, one.powers.tolist(), harmful, one.value, one.declared.value, assurance_sentence(found, name))


def draw_assurance(found: Assurance, path: str | Path | None) -> Any:
    """The figure of an assurance, saved when a path is given."""
    return drawn_and_saved(assurance_drawing(found), path)


def draw_curve(curve: PowerCurve, path: str | Path | None) -> Any:
    """The figure of a power curve, saved when a path is given: contours over two fields of numbers."""
    return drawn_and_saved(contour_drawing(curve) if has_contours(curve) else curve_drawing(curve), path)


def draw_size(size: SampleSize, path: str | Path | None) -> Any:
    """The figure of a search, saved when a path is given."""
    return drawn_and_saved(size_drawing(size), path)


def drawn_and_saved(drawing: PowerCurves | PowerOverPriors | Contours, path: str | Path | None) -> Figure:
    with styled():
        figure = drawing.draw()
    if path is not None:
        save(figure, path)
    return figure
