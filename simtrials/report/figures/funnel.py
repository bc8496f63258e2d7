"""Contour funnel plot: do small studies say something else? Takes arrays, of real or of simulated studies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.report import look
from simtrials.report.effects import Effect
from simtrials.report.figures.canvas import Sheet, apart, finished, number_axis, round_steps, sheet, text_width
from simtrials.report.figures.effect_axis import directions, set_effect_axis

BODY_MM, LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM = 92.0, 13.0, 4.0, 13.5, 5.0
CONTOURS = ((1.6448536269514722, ".10"), (1.959963984540054, ".05"), (2.5758293035489004, ".01"))
"""Where a two-sided P is .10, .05 and .01, in standard errors."""
SAME_LINE_MM = 4.0
"""Labels of contours that are no farther apart stand on one line."""
FILLS = (look.RULE, look.BAND)
"""Between .10 and .05, between .05 and .01; white elsewhere."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """Effects `yi` and variances `vi` (study,) on the scale of the analysis, and `published` (study,) for simulated studies."""

    title: str
    yi: FloatArray
    vi: FloatArray
    effect: Effect
    sentence: str
    mean: float | None = None
    published: BoolArray | None = None
    names: Sequence[str] = ()
    mean_word: str = "mean"

    @property
    def seen(self) -> BoolArray:
        """(study,) studies that a reviewer can find."""
        return np.ones(len(self.yi), dtype=bool) if self.published is None else self.published

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure: effects on the scale of the analysis."""
        names = self.names or [str(i + 1) for i in range(len(self.yi))]
        rows: list[tuple[str, ...]] = [("study", "effect", "std_error", "published")]
        rows += [
            (name, repr(float(y)), repr(math.sqrt(v)), "yes" if seen else "no")
            for name, y, v, seen in zip(names, self.yi, self.vi, self.seen, strict=True)
        ]
        return rows

    def draw(self) -> Figure:
        """Effects against standard errors, the most exact on top, on contours of P."""
        page = sheet(BODY_MM, self.title, self._how_to_read())
        width = look.WIDE_MM - LEFT_MM - RIGHT_MM
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, BODY_MM - BOTTOM_MM - TOP_MM, sides="left bottom")
        deepest = 1.08 * float(np.sqrt(self.vi).max())
        low, high = self._limits(deepest)
        set_effect_axis(axes, low, high, self.effect)
        axes.set_ylim(deepest, 0.0)
        number_axis(axes.yaxis, round_steps(0.0, deepest))
        axes.set_ylabel(f"standard error{' (log scale)' if self.effect.ratio else ''}")
        self._contours(axes, deepest, (low, high))
        for line in (0.0, *(() if self.mean is None else (self.mean,))):
            axes.axvline(float(self.effect.shown(line)), color=look.SECONDARY if line == 0.0 else look.INK, lw=look.AXIS_PT, zorder=2)
        _points(axes, self)
        self._words(page, (low, high), deepest, width)
        return finished(page)

    def _how_to_read(self) -> str:
        parts = ["Mark: a study, small ones at the bottom. Shaded: its own two-sided P is between .10 and .05 (darker), between .05 and .01 (paler)."]
        parts += ["Ring: another study at the same place."] if _coinciding(self).size else []
        parts += ["Hollow: not published (known in simulations only)."] if not self.seen.all() else []
        return " ".join(parts)

    def _limits(self, deepest: float) -> tuple[float, float]:
        """All studies, and the contours of .05 at the depth of most studies."""
        reach = CONTOURS[1][0] * deepest
        marks = [*self.yi, *(() if self.mean is None else (self.mean,))]
        low, high = min(*marks, -reach), max(*marks, reach)
        pad = 0.04 * (high - low)
        return low - pad, high + pad

    def _contours(self, axes: Axes, deepest: float, limits: tuple[float, float]) -> None:
        depth = np.linspace(0.0, deepest, 200)
        for (inner, _), (outer, _), fill in zip(CONTOURS[:-1], CONTOURS[1:], FILLS, strict=True):
            for side in (-1.0, 1.0):
                near, far = (np.clip(side * z * depth, *limits) for z in (inner, outer))
                axes.fill_betweenx(depth, self.effect.shown(near), self.effect.shown(far), color=fill, lw=0, zorder=0)

    def _words(self, page: Sheet, limits: tuple[float, float], deepest: float, width: float) -> None:
        """Contours by their P, no effect and the mean by name, what the axis shows."""
        low, high = limits
        height = BODY_MM - BOTTOM_MM - TOP_MM

        def across(value: float) -> float:
            return LEFT_MM + width * (value - low) / (high - low)

        for side in (-1.0, 1.0):
            edge = low if side < 0 else high
            depths = [min(0.97 * deepest, 0.97 * edge / (side * z)) for z, _ in CONTOURS]
            below = [i for i, depth in enumerate(depths) if (0.97 * deepest - depth) / deepest * height < SAME_LINE_MM]
            depths = [0.97 * deepest if i in below else depth for i, depth in enumerate(depths)]
            xs = [across(min(max(side * z * depth, low), high)) for (z, _), depth in zip(CONTOURS, depths, strict=True)]
            order = below[:: int(side)]
            widths = [text_width(CONTOURS[i][1], look.SMALLEST_PT) for i in order]
            for i, x in zip(order, apart([xs[i] for i in order], widths, LEFT_MM + 0.5, LEFT_MM + width - 0.5, 1.0), strict=True):
                xs[i] = x
            for x, depth, (_, name) in zip(xs, depths, CONTOURS, strict=True):
                page.text(x, BOTTOM_MM + height * (1 - depth / deepest), name, look.SMALLEST_PT, ha="center", color=look.SECONDARY)
        told = [(0.0, f"no effect, {self.effect.null_in_words}")]
        told += [(self.mean, f"{self.mean_word} {self.effect.text(self.mean)}")] if self.mean is not None else []
        told.sort()
        centers = [across(value) for value, _ in told]
        widths = [text_width(words, look.NOTE_PT) for _, words in told]
        for x, (_, words) in zip(apart(centers, widths, LEFT_MM, LEFT_MM + width), told, strict=True):
            page.text(x, BODY_MM - 2.3, words, look.NOTE_PT, ha="center", color=look.SECONDARY)
        log = ", log axis" if self.effect.ratio else ""
        page.text(LEFT_MM + width / 2, BOTTOM_MM - 10.8, f"{self.effect.label}{log}", ha="center")
        directions(page, across(0.0), BOTTOM_MM - 7.0, self.effect)


def _coinciding(funnel: Funnel) -> IntArray:
    """Places of studies whose effect and variance an earlier study has too."""
    places = np.round(np.column_stack([funnel.yi, funnel.vi]), 9)
    first = np.unique(places, axis=0, return_index=True)[1]
    return np.setdiff1d(np.arange(len(places)), first)


def _points(axes: Axes, funnel: Funnel) -> None:
    x, y = funnel.effect.shown(funnel.yi), np.sqrt(funnel.vi)
    seen = funnel.seen
    axes.plot(x[seen], y[seen], "o", ms=look.MARKER_PT, mfc=look.ACCENT, mec=look.WHITE, mew=0.5, zorder=4)
    for place in np.unique(np.column_stack([x, y])[_coinciding(funnel)], axis=0):
        axes.plot(*place[:, np.newaxis], "o", ms=look.MARKER_PT + 3.5, mfc="none", mec=look.ACCENT, mew=0.8, zorder=3)
    if not seen.all():
        axes.plot(x[~seen], y[~seen], "o", ms=look.MARKER_PT - 0.5, mfc="none", mec=look.CONTROL, mew=0.9, zorder=3)
