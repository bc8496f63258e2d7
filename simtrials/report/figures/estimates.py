"""Estimates of one analysis over all simulated trials, against the truth."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.measures import Judged, Measure
from simtrials.core.outcomes import OUTCOMES
from simtrials.engine.result import Run
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import Sheet, apart, finished, number_axis, round_steps, sheet, text_width
from simtrials.report.names import Unit, labels_of, outcome_of, question_of, unit_of
from simtrials.report.sentences import exaggeration_sentence, overstated, sentence_case

BODY_MM, AXIS_MM, HEAD_MM, SIDE_MM = 50.0, 9.5, 9.0, 4.0
REACH, BINS_PER_SE = 6, 4
"""Bins reach this many empirical SE to both sides of the truth; estimates beyond are counted."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bin: all estimates, those that show a benefit, those that are significant the other way; and how many lie beyond."""

    edges: FloatArray
    all: AnyArray
    benefit: AnyArray
    harm: AnyArray
    beyond: list[int]

    @classmethod
    def empty(cls, edges: FloatArray) -> "Histogram":
        """Nothing counted yet."""
        every, benefit, harm = (np.zeros(edges.size - 1, dtype=np.int64) for _ in range(3))
        return cls(edges, every, benefit, harm, [0, 0])

    def add(self, judged: Judged) -> None:
        """Count a block in."""
        known = (judged.status == 0) & ~np.isnan(judged.estimate)
        for counts, mask in ((self.all, known), (self.benefit, known & judged.benefit), (self.harm, known & judged.rejected & ~judged.benefit)):
            counts += np.histogram(judged.estimate[mask], self.edges)[0]
        self.beyond[0] += int((judged.estimate[known] < self.edges[0]).sum())
        self.beyond[1] += int((judged.estimate[known] > self.edges[-1]).sum())


@dataclass(frozen=True, slots=True)
class Estimates:
    """The histogram of one analysis with its truth and its means."""

    title: str
    unit: Unit
    histogram: Histogram | None
    truth: Measure | None
    mean: Measure
    significant: float
    benefit_side: str
    n_failed: int
    n: int
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """Counts per bin, in the unit of the estimate as stored."""
        if self.histogram is None:
            return [("from", "to", "estimates", "benefit", "harm")]
        h = self.histogram
        columns = (h.edges[:-1], h.edges[1:], h.all, h.benefit, h.harm)
        rows = [tuple(f"{value:.6g}" if i < 2 else str(int(value)) for i, value in enumerate(row)) for row in zip(*columns, strict=True)]
        return [("from", "to", "estimates", "benefit", "harm"), *rows]

    def draw(self) -> Figure:
        """Histogram of estimates, significant ones filled, with truth, mean, and mean of the significant ones."""
        page = sheet(BODY_MM, f"Estimates and truth: {self.title}", self._how_to_read())
        if self.histogram is None:
            page.text(page.width / 2, BODY_MM / 2, f"none of {numbers.whole(self.n)} trials could be estimated", ha="center", color=look.SECONDARY)
            return finished(page)
        axes = page.axes(SIDE_MM, AXIS_MM, page.width - 2 * SIDE_MM, BODY_MM - AXIS_MM - HEAD_MM)
        first, last = self._shown(self.histogram)
        self._bars(axes, self.histogram, first, last)
        axes.set_xlabel(f"estimate ({self.unit.name}); benefit is to the {self.benefit_side}")
        self._marks(page, axes)
        self._beyond(page, axes, self.histogram)
        return finished(page)

    def _how_to_read(self) -> str:
        failed = f" {numbers.whole(self.n_failed)} without an estimate." if self.n_failed else ""
        harm = self.histogram is not None and bool(self.histogram.harm.sum())
        colors = "green: statistically significant benefit; orange: significant the other way" if harm else "green: statistically significant"
        return f"Height: number of simulated trials, {numbers.whole(self.n)} in all; {colors}.{failed}"

    def _shown(self, histogram: Histogram) -> tuple[int, int]:
        """First and last bin worth showing: those with estimates, the truth and no effect."""
        filled = np.flatnonzero(histogram.all)
        wanted = [0.0, self.truth.value if self.truth else self.mean.value, self.mean.value]
        places = np.clip(np.searchsorted(histogram.edges, wanted) - 1, 0, histogram.all.size - 1)
        places = np.concatenate([places, filled])
        return int(places.min()), int(places.max()) + 1

    def _bars(self, axes: Axes, histogram: Histogram, first: int, last: int) -> None:
        edges = self.unit.factor * histogram.edges[first : last + 1]
        every, benefit, harm = (counts[first:last] for counts in (histogram.all, histogram.benefit, histogram.harm))
        axes.stairs(every, edges, fill=True, color=look.SCREENED_OUT, lw=0)
        axes.stairs(benefit, edges, fill=True, color=look.PALE_ACCENT, lw=0)
        axes.stairs(benefit + harm, edges, baseline=benefit, fill=True, color=look.THIRD, lw=0)
        pad = 0.02 * (edges[-1] - edges[0])
        axes.set_xlim(edges[0] - pad, edges[-1] + pad)
        axes.set_ylim(0, 1.04 * max(int(every.max()), 1))
        number_axis(axes.xaxis, round_steps(*axes.get_xlim(), most=9))

    def _marks(self, page: Sheet, axes: Axes) -> None:
        """Lines for truth (solid), mean (dashed) and mean of the significant (dotted), named above and joined to their names."""
        marks: list[tuple[float, str, Any, float]] = [(self.mean.value, "mean", (0, (4, 2.5)), self.mean.mcse)]
        marks += [(self.truth.value, "truth", "-", self.truth.mcse)] if self.truth else []
        marks += [(self.significant, "mean size of the significant", (0, (1, 1.2)), self.mean.mcse)] if np.isfinite(self.significant) else []
        marks.sort(key=lambda mark: mark[0])
        low, high = axes.get_xlim()
        width, factor = page.width - 2 * SIDE_MM, self.unit.factor
        words = [f"{name} {numbers.rounded(factor * value, factor * mcse, self.unit.digits)}" for value, name, _, mcse in marks]
        places = [SIDE_MM + width * (factor * value - low) / (high - low) for value, *_ in marks]
        labels = apart(places, [text_width(text, look.NOTE_PT) for text in words], 0.5, page.width - 0.5, 3.0)
        for (value, name, style, _), place, label, text in zip(marks, places, labels, words, strict=True):
            axes.axvline(factor * value, color=look.ACCENT if name.endswith("significant") else look.INK, lw=look.AXIS_PT * 1.4, ls=style, zorder=4)
            page.text(label, BODY_MM - 2.0, text, look.NOTE_PT, ha="center")
            _leader(page, place, label)

    def _beyond(self, page: Sheet, axes: Axes, histogram: Histogram) -> None:
        """How many estimates lie off the scale, with an arrow to the side."""
        y = AXIS_MM + 0.5 * (BODY_MM - AXIS_MM - HEAD_MM)
        below, above = histogram.beyond
        if below:
            page.text(SIDE_MM, y, f"← {numbers.whole(below)} beyond", look.NOTE_PT)
        if above:
            page.text(page.width - SIDE_MM, y, f"{numbers.whole(above)} beyond →", look.NOTE_PT, ha="right")


def _leader(page: Sheet, place: float, label: float) -> None:
    """A thin line from the end of a mark to its name."""
    from matplotlib.lines import Line2D

    top = BODY_MM - HEAD_MM
    x, y = [place / page.width, label / page.width], [top / page.height, (BODY_MM - 3.6) / page.height]
    page.figure.add_artist(Line2D(x, y, transform=page.figure.transFigure, color=look.SECONDARY, lw=0.5))


def histograms(run: Run, names: Iterable[str]) -> dict[str, Histogram]:
    """Bins fixed from the tallies, then one pass over the shards: memory does not grow with the replicates."""
    found = {name: Histogram.empty(edges) for name in names if (edges := _bins(run, name)) is not None}
    for columns in run.shards():
        for name, histogram in found.items():
            histogram.add(run.judged(name, columns))
    return found


def _bins(run: Run, name: str) -> FloatArray | None:
    """Bins over the truth and `REACH` empirical SE to both sides; where estimates come in steps (shares of equal arms), bins follow the steps."""
    mean, spread = run.measure(name, "mean_estimate").value, run.measure(name, "empirical_se").value
    truth = run.truths["scenario"][name].value
    center = truth if np.isfinite(truth) else mean
    if not np.isfinite(center):
        return None
    width = spread / BINS_PER_SE if np.isfinite(spread) and spread > 0 else max(abs(center), 1.0) / 100
    step = _step(run, name)
    if step:
        width = max(1.0, np.rint(width / step)) * step
        center = np.rint(center / step) * step
    half = int(np.ceil(REACH * max(spread, width) / width)) if np.isfinite(spread) else REACH * BINS_PER_SE
    return np.asarray(center + width * (np.arange(-half, half + 2) - 0.5))


def _step(run: Run, name: str) -> float | None:
    """The step in which a difference of two shares comes when the arms have about equal size."""
    scenario, analysis = run.scenario, run.scenario.analyses[name]
    if analysis.scale_of_effect != "risk_difference" or not OUTCOMES[outcome_of(scenario, analysis)].binary or analysis.where:
        return None
    sizes = {round(size) for size in (run.portrait["arms"][0], run.portrait["arms"][scenario.design.arms.index(analysis.arm) if analysis.arm else 1])}
    return 1 / sizes.pop() if len(sizes) == 1 else None


def gather(run: Run) -> Mapping[str, Estimates]:
    """One for each analysis."""
    found, labels = histograms(run, run.scenario.analyses), labels_of(run.scenario)
    return {name: _seen(run, name, labels[name], found.get(name)) for name in run.scenario.analyses}


def _seen(run: Run, name: str, label: str, histogram: Histogram | None) -> Estimates:
    tally, truth = run.tallies()[name], run.truths["scenario"][name]
    measures = {measure.name: measure for measure in tally.measures()}
    question = question_of(run.scenario, name)
    n_significant, total = int(tally.significant[0]), tally.truth.value if tally.truth else float("nan")
    exaggeration = measures["exaggeration"]
    return Estimates(
        title=f"{question}, {label}",
        unit=unit_of(run.scenario, name),
        histogram=histogram if tally.n_finite else None,
        truth=Measure("truth", truth.value, truth.std_error, tally.n) if np.isfinite(truth.value) else None,
        mean=measures["mean_estimate"],
        significant=exaggeration.value * abs(total) * np.sign(total) if n_significant else float("nan"),
        benefit_side="right" if run.meanings[name].benefit > 0 else "left",
        n_failed=tally.n_failed,
        n=tally.n,
        sentence=_sentence(run, name, measures),
    )


def _sentence(run: Run, name: str, measures: Mapping[str, Measure]) -> str:
    """Bias, as far as it is clear of its Monte Carlo error, and exaggeration."""
    unit, bias = unit_of(run.scenario, name), measures.get("bias")
    if bias is None or np.isnan(bias.value):
        return f"{sentence_case(measures['mean_estimate'].note or 'the truth is not known')}."
    value = f"{numbers.with_mcse(unit.factor * bias.value, unit.factor * bias.mcse, unit.digits + 1)} {unit.name}"
    said = f"Bias {value}." if abs(bias.value) > 3 * bias.mcse else f"No bias beyond Monte Carlo error: {value}."
    return f"{said} {exaggeration_sentence(measures['exaggeration'], overstated(run, name))}".strip()
