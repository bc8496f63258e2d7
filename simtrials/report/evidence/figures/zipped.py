"""Do intervals cover? Intervals of all simulated reviews, ranked by how far they lie from the truth, the worst fifth shown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.measures import wilson
from simtrials.engine.declared import SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.report import look, numbers
from simtrials.report.evidence.rows import leading, power_rows, unit_of
from simtrials.report.figures.canvas import finished, number_axis, round_steps, sheet

BODY_MM, BOTTOM_MM, LEFT_MM, RIGHT_MM, TOP_MM = 78.0, 10.0, 16.0, 4.0, 3.0
SHOWN, MOST = 0.2, 2_000
"""The worst fifth of the intervals is shown, at most so many of them, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Zip:
    """Percentiles and limits of the intervals that are shown, which of them miss the truth, and how many of all cover it."""

    title: str
    unit: str
    level: float
    truth: float
    percentile: FloatArray
    lower: FloatArray
    upper: FloatArray
    misses: BoolArray
    covered: int
    of: int
    failed: int
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The intervals that are shown."""
        rows = zip(self.percentile, self.lower, self.upper, self.misses, strict=True)
        return [("percentile", "lower", "upper", "misses"), *((f"{p:.4g}", f"{a:.6g}", f"{b:.6g}", "yes" if m else "no") for p, a, b, m in rows)]

    def draw(self) -> Figure:
        """Intervals stacked by rank; those that miss the truth are dark."""
        page = sheet(BODY_MM, self.title, self._how_to_read())
        axes = page.axes(LEFT_MM, BOTTOM_MM, page.width - LEFT_MM - RIGHT_MM, BODY_MM - BOTTOM_MM - TOP_MM, sides="left bottom")
        for mask, color, width in ((~self.misses, look.PALE_ACCENT, 0.5), (self.misses, look.INK, 0.7)):
            lines = [[(a, p), (b, p)] for p, a, b in zip(self.percentile[mask], self.lower[mask], self.upper[mask], strict=True)]
            axes.add_collection(LineCollection(lines, colors=color, linewidths=width))
        self._frame(axes)
        return finished(page)

    def _how_to_read(self) -> str:
        low, high = (100 * limit for limit in wilson(self.covered, self.of))
        covered = numbers.share(self.covered, self.of)
        failed = f" {numbers.whole(self.failed)} without an interval." if self.failed else ""
        return (
            f"The {numbers.percent(SHOWN)}% of {numbers.whole(self.of)} intervals that lie farthest from the truth in units of their own error; "
            f"dark: misses it. {covered}% cover ({numbers.fixed(low, 1)} to {numbers.fixed(high, 1)}); dashed: {numbers.percent(self.level)}.{failed}"
        )

    def _frame(self, axes: Axes) -> None:
        low, high = float(min(self.lower.min(), self.truth)), float(max(self.upper.max(), self.truth))
        pad = 0.03 * (high - low)
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(100 * (1 - SHOWN), 100.15)
        axes.axvline(self.truth, color=look.ACCENT, lw=look.DATA_PT, zorder=3)
        axes.axhline(100 * self.level, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=3)
        number_axis(axes.xaxis, round_steps(low - pad, high + pad, most=8))
        number_axis(axes.yaxis, [80, 85, 90, 95, 100])
        axes.set_xlabel(f"interval of the mean effect ({self.unit}); green line: truth")
        axes.set_ylabel("percentile of |estimate − truth| / SE")


def gather(run: EvidenceRun) -> Mapping[str, Zip]:
    """One for the leading synthesis of each outcome that has intervals and a truth."""
    return {row.name: made for row in leading(run, power_rows(run)) if (made := _zip(run, row.name, f"{row.question}, {row.label}")) is not None}


def _zip(run: EvidenceRun, name: str, what: str) -> Zip | None:
    truth, unit, n = run.truths[SCENARIO][name].value, unit_of(run, name), run.n_replicates
    if not np.isfinite(truth):
        return None
    kept = [run.judged(name, columns) for columns in _first(run)]
    lower, upper, estimate, error = (np.concatenate([getattr(one, part) for one in kept]) for part in ("lower", "upper", "estimate", "std_error"))
    known = np.isfinite(lower) & np.isfinite(upper)
    if known.sum() < 50:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(estimate - truth) / np.where(error > 0, error, (upper - lower) / 4)
    lower, upper, distance = lower[known], upper[known], np.nan_to_num(distance[known], nan=np.inf)
    misses = (lower > truth) | (upper < truth)
    order = np.argsort(distance, kind="stable")
    percentile = 100 * (np.arange(order.size) + 0.5) / order.size
    top = np.flatnonzero(percentile > 100 * (1 - SHOWN))
    top = top[np.linspace(0, top.size - 1, min(MOST, top.size)).astype(np.int64)]
    place = order[top]
    level = 1 - run.scenario.syntheses[name].alpha
    tally = run.tallies(SCENARIO)[name]
    sentence = f"{numbers.share(tally.n_covered, tally.n_intervals)}% of the intervals of {what} cover the mean true effect."
    limits = unit.factor * lower[place], unit.factor * upper[place], misses[place]
    title = f"Coverage: {what}"
    return Zip(
        title, unit.name, level, unit.factor * truth, percentile[top], *limits, tally.n_covered, tally.n_intervals, n - tally.n_intervals, sentence
    )


def _first(run: EvidenceRun) -> Iterator[Mapping[str, AnyArray]]:
    """Shards until enough replicates are read."""
    seen = 0
    for columns in run.shards(SCENARIO):
        yield columns
        seen += next(iter(columns.values())).size
        if seen >= 100_000:
            return
