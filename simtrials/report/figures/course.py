"""The mean course of a symptom scale by arm, and the patients at the last visit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import FloatArray
from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, finished, line_height, number_axis, round_steps, sheet, text_width, wrapped
from simtrials.report.names import scales_of, spoken

BODY_MM, AXIS_MM, LEFT_MM, TOP_MM = 64.0, 11.0, 11.0, 5.0
COURSE_MM, PATIENTS_MM, NAMES_MM = 78.0, 52.0, 20.0
MOST_BINS = 64


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: mean score at baseline and visits, the range of trial means, scores of patients at the last visit."""

    name: str
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    histogram: FloatArray
    remission: float | None


@dataclass(frozen=True, slots=True)
class Course:
    """All arms on one scale."""

    scale: str
    limits: tuple[float, float]
    remission_cut: float | None
    falls: bool
    weeks: tuple[float, ...]
    all_seen: bool
    arms: tuple[Arm, ...]
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Means and ranges by arm and week."""
        rows = []
        for arm in self.arms:
            for week, mean, low, high in zip(self.weeks, arm.mean, arm.low, arm.high, strict=True):
                rows.append((arm.name, numbers.plain(week), f"{mean:.6g}", f"{low:.6g}", f"{high:.6g}"))
        return [("arm", "week", "mean", "trial_means_5_percent", "trial_means_95_percent"), *rows]

    def draw(self) -> Figure:
        """Left: means over the weeks with the range of trial means; right: patients at the last visit, remission dark."""
        page = sheet(BODY_MM, f"{self.scale}: mean course by arm, and patients at week {numbers.plain(self.weeks[-1])}", self._how_to_read())
        height = BODY_MM - AXIS_MM - TOP_MM
        axes = page.axes(LEFT_MM, AXIS_MM, COURSE_MM, height, sides="left bottom")
        self._means(axes)
        self._names(page, axes, height)
        patients = page.axes(page.width - PATIENTS_MM - 11.0, AXIS_MM, PATIENTS_MM, height, sides="right")
        self._patients(page, patients)
        return finished(page)

    def _how_to_read(self) -> str:
        low, high = (numbers.plain(limit) for limit in self.limits)
        side = "at or below" if self.falls else "at or above"
        dark = "" if self.remission_cut is None else f" Dark: remission, {side} {numbers.plain(self.remission_cut)}."
        missing = "" if self.all_seen else " All patients, seen or not."
        return (
            f"Left: mean score; band: 90% of the means of simulated trials; the scale runs from {low} to {high}. "
            f"Right: share of patients at each score, if all were in that arm.{dark}{missing}"
        )

    def _means(self, axes: Axes) -> None:
        for i, arm in enumerate(self.arms):
            color, marker, face = arm_marks(i)
            axes.fill_between(self.weeks, arm.low, arm.high, color=look.ARM_FILLS[i % 4], alpha=0.55, lw=0, zorder=1)
            above = 3 + i if i or not self._close() else 3 + len(self.arms)  # control lies on top of an arm that would hide it
            line = (0, (3, 2)) if i == 0 and self._close() else "-"
            axes.plot(self.weeks, arm.mean, color=color, marker=marker, mfc=face, mec=color, lw=look.DATA_PT, ls=line, zorder=above, clip_on=False)
        low, high = min(float(arm.low.min()) for arm in self.arms), max(float(arm.high.max()) for arm in self.arms)
        pad = 0.06 * (high - low)
        axes.set_ylim(low - pad, high + pad)
        axes.set_xlim(0, self.weeks[-1])
        number_axis(axes.xaxis, weeks_apart(self.weeks, COURSE_MM))
        number_axis(axes.yaxis, round_steps(low - pad, high + pad))
        axes.spines["bottom"].set_position(("outward", 3))
        axes.set_xlabel("weeks since randomization")
        axes.set_ylabel(f"mean {self.scale} score (points)")

    def _close(self) -> bool:
        """Whether an arm's line would cover that of control."""
        spread = max(float(arm.high.max()) for arm in self.arms) - min(float(arm.low.min()) for arm in self.arms)
        return any(float(np.abs(arm.mean - self.arms[0].mean).max()) < 0.02 * spread for arm in self.arms[1:])

    def _names(self, page: Sheet, axes: Axes, height: float) -> None:
        """The arms' names at the end of their lines, moved apart where they are close."""
        low, high = axes.get_ylim()
        lines = [wrapped(spoken(arm.name), NAMES_MM - 2.0, most=2) for arm in self.arms]
        talls = [line_height() * len(words) + 0.6 for words in lines]
        places = [AXIS_MM + height * (float(arm.mean[-1]) - low) / (high - low) for arm in self.arms]
        order = sorted(range(len(places)), key=places.__getitem__)
        heights = dict(zip(order, stacked([places[i] for i in order], [talls[i] for i in order], AXIS_MM, AXIS_MM + height), strict=True))
        for i, words in enumerate(lines):
            page.text(LEFT_MM + COURSE_MM + 2.6, heights[i], "\n".join(words))

    def _patients(self, page: Sheet, axes: Axes) -> None:
        """Two arms stand back to back, more of them side by side; one bar per score."""
        edges = self._edges()
        shares = [_shares(arm.histogram, self.limits, edges) for arm in self.arms]
        widest = max(float(values.max()) for values in shares)
        back_to_back = len(self.arms) == 2
        starts = [0.0, 0.0] if back_to_back else [1.12 * widest * i for i in range(len(self.arms))]
        for i, (values, start) in enumerate(zip(shares, starts, strict=True)):
            outline = start + (-values if back_to_back and i == 0 else values)
            axes.stairs(outline, edges, baseline=start, orientation="horizontal", fill=True, color=look.ARM_FILLS[i % 4], lw=0)
            remit = self._remission(edges)
            if remit is not None:
                first, last = remit
                ends, dark = edges[first : last + 1], outline[first:last]
                axes.stairs(dark, ends, baseline=start, orientation="horizontal", fill=True, color=arm_marks(i)[0], lw=0)
        span = (-1.25 * widest, 1.25 * widest) if back_to_back else (-0.02 * widest, starts[-1] + 1.2 * widest)
        axes.set_xlim(*span)
        axes.set_ylim(edges[0], edges[-1])
        self._labels(page, axes, starts, widest)
        axes.yaxis.set_label_position("right")
        axes.tick_params(axis="y", right=True, labelright=True, left=False, labelleft=False)
        number_axis(axes.yaxis, round_steps(*self.limits))
        axes.set_ylabel(f"{self.scale} score at week {numbers.plain(self.weeks[-1])} (points)")

    def _remission(self, edges: FloatArray) -> tuple[int, int] | None:
        """First and last bin of remission; None for a scale without a cut."""
        if self.remission_cut is None:
            return None
        split = int(np.searchsorted(edges, self.remission_cut))
        return (0, split) if self.falls else (split - 1, edges.size - 1)

    def _edges(self) -> FloatArray:
        """Bins of whole scores that end half-way between two scores, one of them at the remission cut."""
        low, high = self.limits[0] - 0.5, self.limits[1] + 0.5
        width = max(1, int(np.ceil((high - low) / MOST_BINS)))
        cut = self.remission_cut
        anchor = low if cut is None else cut + (0.5 if self.falls else -0.5)
        inner = np.arange(anchor - width * np.floor((anchor - low) / width), high + 1e-9, width)
        return np.unique(np.concatenate([[low], inner, [high]]))

    def _labels(self, page: Sheet, axes: Axes, starts: Sequence[float], widest: float) -> None:
        """Names above, share in remission beside the dark bars."""
        back_to_back = len(self.arms) == 2
        room = PATIENTS_MM / len(self.arms) - 2.0
        for i, (arm, start) in enumerate(zip(self.arms, starts, strict=True)):
            middle = start + (-0.62 if back_to_back and i == 0 else 0.62 if back_to_back else 0.45) * widest
            name = wrapped(spoken(arm.name), room, look.NOTE_PT, most=1)[0]
            axes.text(middle, 1.01, name, transform=axes.get_xaxis_transform(), size=look.NOTE_PT, ha="center", va="bottom")
        if self.remission_cut is None:
            return
        line = self.remission_cut + (0.5 if self.falls else -0.5)
        axes.axhline(line, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=4)
        for i, (arm, start) in enumerate(zip(self.arms, starts, strict=True)):
            words = f"{numbers.fixed(100 * (arm.remission or 0.0), 0)}%"
            x = start + (-1.23 * widest if back_to_back and i == 0 else 1.23 * widest if back_to_back else 0.9 * widest)
            side = "left" if back_to_back and i == 0 else "right"
            axes.annotate(
                words,
                (x, line),
                (0, -2 if self.falls else 2),
                textcoords="offset points",
                size=look.NOTE_PT,
                ha=side,
                va="top" if self.falls else "bottom",
            )


def arm_marks(i: int) -> tuple[str, str, str]:
    """Color, marker and fill of the marker of an arm; control is hollow."""
    color = look.ARM_COLORS[i % 4]
    return color, look.ARM_MARKERS[i % 4], look.WHITE if i == 0 else color


def weeks_apart(weeks: Sequence[float], width: float) -> list[float]:
    """Baseline and visits on an axis of this width in mm, without those whose numbers would touch the one before; the last stays."""
    kept: list[float] = [weeks[-1]]
    for week in weeks[:-1]:
        gaps = [abs(week - other) / weeks[-1] * width - text_width(numbers.plain(other), look.TICK_PT) for other in kept]
        if min(gaps) > 2.0:
            kept.append(week)
    return sorted(kept)


def stacked(places: Sequence[float], talls: Sequence[float], low: float, high: float) -> list[float]:
    """Heights of labels in rising order, moved so that none touches another."""
    from simtrials.report.figures.canvas import apart

    return apart(list(places), list(talls), low - 2.0, high + 2.0, 0.0)


def _shares(histogram: FloatArray, limits: tuple[float, float], edges: FloatArray) -> FloatArray:
    """Share of patients per score within each bin."""
    total = np.concatenate([[0.0], np.cumsum(histogram)])
    places = np.rint(edges + 0.5 - limits[0]).astype(int)
    return np.asarray(np.diff(total[places]) / np.diff(places))


def gather(run: Run) -> Mapping[str, Course]:
    """One for each symptom scale."""
    return {name: _seen(run, name) for name in scales_of(run.scenario)}


def _seen(run: Run, name: str) -> Course:
    about = run.portrait["endpoints"][name]
    scale = about["scale"]
    arms = tuple(_arm(arm, values) for arm, values in about["arms"].items())
    return Course(
        scale=scale["name"],
        limits=(scale["minimum"], scale["maximum"]),
        remission_cut=scale["remission_cut"],
        falls=scale["improves"] == "down",
        weeks=(0.0, *about["weeks"]),
        all_seen=not run.scenario.departures,
        arms=arms,
        sentence=_sentence(scale["name"], about["weeks"][-1], arms),
    )


def _arm(name: str, values: Mapping[str, Any]) -> Arm:
    mean, low, high, histogram = (np.asarray(values[key], dtype=np.float64) for key in ("mean", "low", "high", "histogram"))
    return Arm(name, mean, low, high, histogram, values.get("remission"))


def _sentence(scale: str, week: float, arms: Sequence[Arm]) -> str:
    ends = ", ".join(f"{spoken(arm.name)} {numbers.fixed(float(arm.mean[-1]), 1)}" for arm in arms)
    start = numbers.fixed(float(arms[0].mean[0]), 1)
    said = f"The mean {scale} score goes from {start} points to {ends} at week {numbers.plain(week)}."
    if arms[0].remission is None:
        return said
    remit = ", ".join(f"{spoken(arm.name)} {numbers.fixed(100 * (arm.remission or 0.0), 0)}" for arm in arms)
    return f"{said} In remission, of 100: {remit}."
