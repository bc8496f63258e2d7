"""How well a fitted course reproduces a real trial: means by arm, patients still seen, SDs and correlations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from simtrials.engine.real_trial.outcome import Compared, CourseFit
from simtrials.report import look
from simtrials.report.figures import canvas
from simtrials.report.figures.course import arm_marks, stacked, weeks_apart
from simtrials.report.names import spoken
from simtrials.report.numbers import Z95, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_MM, AXIS_MM, TOP_MM, NAMES_MM = 66.0, 11.0, 4.0, 17.0
MEANS, SEEN, MOMENTS = (11.0, 54.0), (94.0, 30.0), (141.0, 31.0)
"""Left end and width of the three panels, millimetres."""


def draw(fit: CourseFit) -> Figure:
    """The figure: marks are the data, lines and the diagonal what is fitted."""
    with canvas.styled():
        page = canvas.sheet(HEIGHT_MM, f"{fit.scale.name}: {fit.source} and the course fitted to it", _how_to_read(fit))
        height = HEIGHT_MM - AXIS_MM - TOP_MM
        means = page.axes(MEANS[0], AXIS_MM, MEANS[1], height, sides="left bottom")
        _means(fit, means)
        _names(fit, page, means, height)
        _seen(fit, page.axes(SEEN[0], AXIS_MM, SEEN[1], height, sides="left bottom"))
        _moments(fit, page.axes(MOMENTS[0], AXIS_MM, MOMENTS[1], height, sides="left bottom"))
        return canvas.finished(page)


def image(fit: CourseFit, form: str) -> bytes:
    """The figure as the bytes of an SVG or PNG file, the same each time."""
    return canvas.image(draw(fit), form)


def _how_to_read(fit: CourseFit) -> str:
    rows = _rows(fit, "mean")
    away = max(abs(row.data - row.fitted) / max(float(np.hypot(row.std_error, row.mcse)), 1e-12) for row in rows)
    largest = plain(round(max(row.data for row in _rows(fit, "sd")), 1))
    told = "Marks: the data with 95% intervals, scores as if nobody had been lost; lines: simulated from the fit. Right: circles are correlations of"
    return (
        f"{told} scores, triangles SDs as a share of {largest} points; on the diagonal both agree. The worst mean is {away:.1f} standard errors off."
    )


def _rows(fit: CourseFit, part: str, arm: str | None = None) -> list[Compared]:
    return [row for row in fit.compared if row.part == part and (arm is None or row.arm == arm)]


def _by_arm(fit: CourseFit, axes: "Axes", part: str, factor: float, most: float = np.inf) -> None:
    """Marks with intervals up to `most`, and a line for each arm; arms lie a little apart in weeks."""
    shift = 0.012 * fit.weeks[-1]
    for i, arm in enumerate(fit.arms):
        rows = _rows(fit, part, arm)
        color, marker, face = arm_marks(i)
        weeks = np.array([row.week for row in rows]) + shift * (i - (len(fit.arms) - 1) / 2)
        data, errors = (factor * np.array([getattr(row, name) for row in rows]) for name in ("data", "std_error"))
        axes.plot([row.week for row in rows], [factor * row.fitted for row in rows], color=color, lw=look.DATA_PT, zorder=2)
        above = np.minimum(Z95 * errors, most - data)
        marks: dict[str, Any] = {"mfc": face, "mec": color, "ecolor": color, "elinewidth": look.AXIS_PT, "ms": look.MARKER_PT}
        axes.errorbar(weeks, data, [Z95 * errors, above], fmt=marker, zorder=3, clip_on=False, **marks)


def _means(fit: CourseFit, axes: "Axes") -> None:
    _by_arm(fit, axes, "mean", 1.0)
    rows = _rows(fit, "mean")
    low = min(min(row.data - Z95 * row.std_error, row.fitted) for row in rows)
    high = max(max(row.data + Z95 * row.std_error, row.fitted) for row in rows)
    pad = 0.06 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(-0.03 * fit.weeks[-1], 1.03 * fit.weeks[-1])
    canvas.number_axis(axes.xaxis, weeks_apart((0.0, *fit.weeks), MEANS[1]))
    canvas.number_axis(axes.yaxis, canvas.round_steps(low - pad, high + pad))
    axes.set_xlabel("weeks since randomization")
    axes.set_ylabel(f"mean {fit.scale.name} score (points)")


def _names(fit: CourseFit, page: canvas.Sheet, axes: "Axes", height: float) -> None:
    low, high = axes.get_ylim()
    words = [canvas.wrapped(spoken(arm), NAMES_MM - 2.0, most=2) for arm in fit.arms]
    talls = [canvas.line_height() * len(lines) + 0.6 for lines in words]
    places = [AXIS_MM + height * (_rows(fit, "mean", arm)[-1].fitted - low) / (high - low) for arm in fit.arms]
    order = sorted(range(len(places)), key=places.__getitem__)
    heights = dict(zip(order, stacked([places[i] for i in order], [talls[i] for i in order], AXIS_MM, AXIS_MM + height), strict=True))
    for i, lines in enumerate(words):
        page.text(MEANS[0] + MEANS[1] + 1.4, heights[i], "\n".join(lines))


def _seen(fit: CourseFit, axes: "Axes") -> None:
    _by_arm(fit, axes, "seen", 100.0, 100.0)
    lowest = min(min(row.data - Z95 * row.std_error, row.fitted) for row in _rows(fit, "seen"))
    low = 10.0 * np.floor(10.0 * max(lowest, 0.0))
    axes.set_ylim(low, 101.0)
    axes.set_xlim(0, 1.06 * fit.weeks[-1])
    canvas.number_axis(axes.xaxis, weeks_apart(fit.weeks, SEEN[1]))
    canvas.number_axis(axes.yaxis, canvas.round_steps(low, 100.0))
    axes.set_xlabel("weeks")
    axes.set_ylabel("patients seen at the visit (%)")


def _moments(fit: CourseFit, axes: "Axes") -> None:
    largest = max(row.data for row in _rows(fit, "sd"))
    pairs: Sequence[tuple[str, str, float]] = (("correlation", "o", 1.0), ("sd", "^", 1.0 / largest))
    every: list[float] = []
    for part, marker, factor in pairs:
        rows = _rows(fit, part)
        fitted, data, errors = (factor * np.array([getattr(row, name) for row in rows]) for name in ("fitted", "data", "std_error"))
        axes.errorbar(
            fitted, data, Z95 * errors, fmt=marker, mfc="none", mec=look.ACCENT, ecolor=look.PALE_ACCENT, elinewidth=0.8, ms=look.MARKER_PT - 0.5
        )
        every += [*(data - Z95 * errors), *(data + Z95 * errors), *fitted]
    low, high = min(every) - 0.02, max(every) + 0.02
    axes.plot([low, high], [low, high], color=look.SECONDARY, lw=look.AXIS_PT, zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    places = canvas.round_steps(low, high, 5)
    canvas.number_axis(axes.xaxis, places)
    canvas.number_axis(axes.yaxis, places)
    axes.set_xlabel("as fitted")
    axes.set_ylabel("correlation, or SD, in the data")
