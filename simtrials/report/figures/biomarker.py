"""The biomarker at screening: who gets in, and what the enrolled usually have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import FloatArray
from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, apart, finished, log_axis, sheet, text_width
from simtrials.report.names import spoken_assay
from simtrials.report.sentences import measured_sentence, screening_sentence

BODY_MM, AXIS_MM, HEAD_MM, SIDE_MM = 36.0, 9.5, 5.0, 1.5
SMOOTHEST = 0.45
"""Least width of the bins of usual values, in ln: a small population has few different usual values."""
HEADROOM = 1.06


@dataclass(frozen=True, slots=True)
class Biomarker:
    """Histograms of one assay: measured in all screened and in the enrolled, usual in the enrolled."""

    name: str
    about: Mapping[str, Any]
    pass_rate: float
    sentence: str

    @property
    def edges(self) -> FloatArray:
        """Ends of the bins; rules lie on them."""
        return np.asarray(self.about["edges"], dtype=np.float64)

    def table(self) -> list[tuple[str, ...]]:
        """Shares of the screened and of the enrolled in each bin."""
        head = ("from", "to", "screened_measured", "enrolled_measured", "enrolled_usual")
        columns = (self.edges[:-1], self.edges[1:], *(self.about[key] for key in ("screened", "enrolled", "usual_enrolled")))
        return [head, *(tuple(f"{value:.6g}" for value in row) for row in zip(*columns, strict=True))]

    def draw(self) -> Figure:
        """A strip: gray for all screened, pale accent for the enrolled, a line for their usual values."""
        page = sheet(BODY_MM, f"{self.name} at screening: who is enrolled", self._how_to_read())
        axes = page.axes(SIDE_MM, AXIS_MM, page.width - 2 * SIDE_MM, BODY_MM - AXIS_MM - HEAD_MM)
        log_axis(axes, float(self.edges[0]), float(self.edges[-1]), self._rules())
        axes.set_xlabel(f"{self.name} ({self.about['unit']}, logarithmic)")
        axes.set_ylim(0, HEADROOM * self._histograms(axes))
        for rule in self._drawn_rules():
            axes.axvline(rule, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=3)
        self._counts(page, axes)
        self._name_line(page)
        return finished(page)

    def _how_to_read(self) -> str:
        return (
            f"Gray: measured {self.name} of all screened{self._samples()}; green: of the enrolled; line: usual {self.name} of the enrolled. "
            "Numbers: of 1,000 screened."
        )

    def _samples(self) -> str:
        """What is drawn where there are several samples of which a rule may look at each."""
        n = self.about.get("samples", 1)
        return f", mean of {n} samples" if n > 1 else ""

    def _rules(self) -> tuple[float, ...]:
        low, high = self._limits()
        return tuple(limit for limit in (low, high) if limit is not None)

    def _limits(self) -> tuple[float | None, float | None]:
        """Limits of the rules that lie within what can be measured."""
        low, high = self.about["at_least"], self.about["at_most"]
        return (low if low is not None and low > self.edges[0] else None), (high if high is not None and high < self.edges[-1] else None)

    def _drawn_rules(self) -> list[float]:
        """The ends of bins nearest to the rules: half a step of the assay away from them."""
        return [float(self.edges[np.abs(np.log(self.edges / rule)).argmin()]) for rule in self._rules()]

    def _histograms(self, axes: Axes) -> float:
        """Draw the three; the height of the highest."""
        edges, coarse = self.edges, merged(self.edges, self._drawn_rules())
        measured = _density(self.about["screened"], edges, edges)
        enrolled = self.pass_rate * _density(self.about["enrolled"], edges, edges)
        usual = self.pass_rate * _density(self.about["usual_enrolled"], edges, coarse)
        axes.stairs(measured, edges, fill=True, color=look.SCREENED_OUT, lw=0)
        axes.stairs(enrolled, edges, fill=True, color=look.PALE_ACCENT, lw=0)
        axes.stairs(usual, coarse, color=look.ACCENT, lw=look.DATA_PT * 0.8, baseline=None)
        return float(max(measured.max(), enrolled.max(), usual.max()))

    def _counts(self, page: Sheet, axes: Axes) -> None:
        """Of 1,000 screened: below, enrolled, above."""
        labels = self.counts()
        low, high = np.log(axes.get_xlim())
        width = page.width - 2 * SIDE_MM
        centers = [SIDE_MM + width * (np.log(middle) - low) / (high - low) for middle, _ in labels]
        widths = [text_width(words) for _, words in labels]
        for x, (_, words) in zip(apart(centers, widths, 0.5, page.width - 0.5), labels, strict=True):
            page.text(x, BODY_MM - HEAD_MM / 2 + 0.2, words, ha="center")

    def counts(self) -> list[tuple[float, str]]:
        """Where on the axis, and how many of 1,000 screened: those below, the enrolled, those above."""
        edges, screened, unit = self.edges, np.asarray(self.about["screened"]), self.about["unit"]
        limits = [float(edges[0]), *self._drawn_rules(), float(edges[-1])]
        low, high = self._limits()
        below = float(screened[edges[1:] <= limits[1]].sum()) if low is not None else 0.0
        above = float(screened[edges[:-1] >= limits[-2]].sum()) if high is not None else 0.0
        enrolled = round(1000 * self.pass_rate)
        within = 1000 * (1 - below - above)
        only_rule = abs(within - enrolled) <= 2
        n_below = round(1000 * below)
        n_above = 1000 - enrolled - n_below if only_rule and low is not None and high is not None else round(1000 * above)
        words = f"{numbers.whole(enrolled)} enrolled" if only_rule else f"{numbers.whole(enrolled)} enrolled of {numbers.whole(within)} within"
        first, last = (limits[1] if low is not None else limits[0]), (limits[-2] if high is not None else limits[-1])
        found = [(float(np.sqrt(first * last)), words)]
        if low is not None:
            found.insert(0, (float(np.sqrt(limits[0] * first)), f"{numbers.whole(n_below)} below {numbers.plain(low)} {unit}"))
        if high is not None:
            found.append((float(np.sqrt(last * limits[-1])), f"{numbers.whole(n_above)} above {numbers.plain(high)} {unit}"))
        return found

    def _name_line(self, page: Sheet) -> None:
        """The line's name at the right, where few are."""
        words = f"usual {self.name} of the enrolled"
        y, right = AXIS_MM + 0.72 * (BODY_MM - AXIS_MM - HEAD_MM), page.width - SIDE_MM
        page.text(right, y, words, look.NOTE_PT, ha="right")
        start = right - text_width(words, look.NOTE_PT) - 6.5
        axes = page.axes(start, y - 1, 5, 2, sides="")
        axes.plot([0, 1], [0.5, 0.5], color=look.ACCENT, lw=look.DATA_PT * 0.8, clip_on=False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)


def merged(edges: FloatArray, keep: Sequence[float]) -> FloatArray:
    """Fewer ends of bins, evenly spread at about `SMOOTHEST` in ln between those in `keep`, the first and the last."""
    fixed = sorted({float(edges[0]), float(edges[-1]), *keep})
    chosen = set(fixed)
    for low, high in pairwise(fixed):
        places = np.linspace(np.log(low), np.log(high), max(1, round(np.log(high / low) / SMOOTHEST)) + 1)
        chosen |= {float(edges[np.abs(np.log(edges) - place).argmin()]) for place in places}
    return np.array(sorted(chosen))


def _density(shares: Sequence[float], edges: FloatArray, coarse: FloatArray) -> FloatArray:
    """Share per unit of ln in bins that are unions of the finer ones."""
    total = np.concatenate([[0.0], np.cumsum(shares)])
    within = np.diff(total[np.searchsorted(edges, coarse)])
    return np.asarray(within / np.diff(np.log(coarse)))


def gather(run: Run) -> Mapping[str, Biomarker]:
    """One for each assay."""
    found = {}
    for name, about in run.portrait["assays"].items():
        said = (screening_sentence(run.portrait), measured_sentence(run.portrait, name))
        found[name] = Biomarker(spoken_assay(name), about, run.portrait["pass_rate"], " ".join(part for part in said if part))
    return found
