"""What a review of real studies could have shown: the table of the terminal, and power over the true mean effect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simtrials.planning.evidence_power import AtTau, Detectable, EvidencePower
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import apart, finished, log_axis, number_axis, round_steps, save, sheet, styled
from simtrials.report.planning.text import in_percent
from simtrials.report.real_studies import effect_of, rule_in_words, trials_in_words
from simtrials.report.text import INDENT, aligned, paragraph

BODY_MM, LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM = 76.0, 13.0, 40.0, 12.5, 3.0
POINTS = 200
ENDS = {"estimate": "estimate", "lower": "lower limit", "upper": "upper limit", "common": "common effect"}


def evidence_power_summary(found: EvidencePower) -> str:
    """A row for each true mean effect, a column for each tau, and the effect that is shown with the target power."""
    review, effect = found.review, effect_of(found.review)
    head = f"What could {trials_in_words(review)} have shown, pooled by {rule_in_words(review)}?"
    places = max([effect.places, *(len(f"{one:g}".partition(".")[2]) for one in found.effects)])
    rows = [[f"true mean {effect.label}", *(f"{tau_in_words(found, row)}, %" for row in found.rows)]]
    rows += [[numbers.fixed(one, places), *(in_percent(row.power(found.oriented(one))) for row in found.rows)] for one in found.effects]
    rows.append([f"shown in {numbers.percent(found.target)} of 100", *(_detectable(found, row.detectable(found.target)) for row in found.rows)])
    notes = [
        "Shown: the 95% interval of the mean lies on the side of benefit.",
        _about_tau(found),
        f"Variances are those of the trials, taken as known. ±: 95% Monte Carlo interval, {numbers.whole(found.n_replicates)} simulated reviews, "
        f"all columns with the same luck. {numbers.whole(max(row.failed for row in found.rows))} failed.",
    ]
    table = aligned(rows, right=tuple(range(1, len(rows[0]))), flexible=(0,))
    return "\n".join([paragraph(head), table, paragraph(" ".join(note for note in notes if note), INDENT)])


def tau_in_words(found: EvidencePower, row: AtTau) -> str:
    """`tau 0.26`."""
    return ENDS["common"] if row.end == "common" else f"tau {numbers.fixed(row.tau, effect_of(found.review).places)}"


def _line_in_words(found: EvidencePower, row: AtTau) -> str:
    """`tau 0.26, estimate`."""
    return tau_in_words(found, row) if row.end == "common" else f"{tau_in_words(found, row)}, {ENDS[row.end]}"


def _about_tau(found: EvidencePower) -> str:
    ends = [row.end for row in found.rows]
    if ends == ["common"]:
        return ""
    if ends == ["estimate"]:
        return "tau is the estimate of the review."
    others = "the limits" if len(ends) == 3 else f"the {next(ENDS[end] for end in ends if end != 'estimate')}"
    return f"tau is the estimate of the review and {others} of its 95% interval."


def _detectable(found: EvidencePower, one: Detectable) -> str:
    if not math.isfinite(one.effect):
        return "no effect"
    effect = effect_of(found.review)
    margin = (abs(found.shown(one.upper) - found.shown(one.lower)) / 2) if math.isfinite(one.upper) else math.nan
    return numbers.rounded(found.shown(one.effect), margin, effect.places)


@dataclass(frozen=True, slots=True)
class PowerOverMean:
    """Power over the true mean effect, a line for each tau."""

    title: str
    x_label: str
    effects: Sequence[float]
    """(k,) as they are shown"""
    powers: Sequence[tuple[str, Sequence[float]]]
    """name of a line and its (k,) powers"""
    asked: Sequence[float]
    target: float
    ratio: bool
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        rows: list[tuple[str, ...]] = [("line", self.x_label, "power")]
        return rows + [(name, repr(float(x)), repr(float(y))) for name, powers in self.powers for x, y in zip(self.effects, powers, strict=True)]

    def draw(self) -> Figure:
        """Power in percent from 0 to 100 over the effect."""
        how = "Line: simulated reviews that show a benefit, by the spread of true effects between trials; thin vertical lines: effects asked about."
        page = sheet(BODY_MM, self.title, how)
        width, height = look.WIDE_MM - LEFT_MM - RIGHT_MM, BODY_MM - BOTTOM_MM - TOP_MM
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, height, sides="left bottom")
        low, high = min(self.effects), max(self.effects)
        if self.ratio:
            log_axis(axes, low, high, tuple(self.asked))
        else:
            axes.set_xlim(low, high)
            number_axis(axes.xaxis, round_steps(low, high))
        axes.set_ylim(0, 104)
        number_axis(axes.yaxis, [0, 20, 40, 60, 80, 100])
        axes.set_xlabel(self.x_label)
        axes.set_ylabel("reviews that show a benefit (%)")
        axes.axhline(100 * self.target, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        for effect in self.asked:
            axes.axvline(effect, color=look.RULE, lw=look.AXIS_PT, zorder=1)
        rising = self.powers[0][1][-1] > self.powers[0][1][0]
        ends = []
        for i, (_, powers) in enumerate(self.powers):
            axes.plot(self.effects, 100 * np.asarray(powers), color=look.LEVELS[i % len(look.LEVELS)], lw=look.DATA_PT, zorder=3)
            ends.append(100 * powers[-1])
        self._names(page, ends, height)
        target = f"target {numbers.percent(self.target)}"
        across = LEFT_MM + 1.0 if rising else LEFT_MM + width - 1.0
        page.text(across, BOTTOM_MM + height * self.target / 1.04 + 1.8, target, look.NOTE_PT, color=look.SECONDARY, ha="left" if rising else "right")
        return finished(page)

    def _names(self, page: Any, ends: list[float], height: float) -> None:
        order = np.lexsort((-np.arange(len(ends)), np.array(ends)))
        places = apart([BOTTOM_MM + height * ends[i] / 104 for i in order], [3.2] * len(ends), BOTTOM_MM, BOTTOM_MM + height, 0.6)
        for i, place in zip(order, places, strict=True):
            page.text(look.WIDE_MM - RIGHT_MM + 2.0, place, self.powers[i][0], look.NOTE_PT)


def evidence_power_drawing(found: EvidencePower) -> PowerOverMean:
    """The drawing of a review's power: from no effect to where the last line has passed the target, or to twice the largest effect asked about."""
    effect = effect_of(found.review)
    asked = [found.oriented(one) for one in found.effects]
    reached = [row.detectable(min(0.95, found.target + 0.1)).effect for row in found.rows]
    most = max([1.3 * max(asked), *(min(one, 3 * max(asked)) for one in reached if math.isfinite(one))])
    along = np.linspace(0.0, most, POINTS)
    shown = np.array([found.shown(float(one)) for one in along])
    order = np.argsort(shown)
    lines = [(_line_in_words(found, row), np.array([row.power(float(one)).value for one in along])[order].tolist()) for row in found.rows]
    row = next((one for one in found.rows if one.end == "estimate"), found.rows[0])
    known = row.detectable(found.target).effect
    sentence = (
        f"At {tau_in_words(found, row)} a true mean of {effect.label} {numbers.fixed(found.shown(known), effect.places)} is shown in "
        f"{numbers.percent(found.target)} of 100 such reviews."
        if math.isfinite(known)
        else f"No true mean effect is shown in {numbers.percent(found.target)} of 100 such reviews."
    )
    title = f"What could these trials have shown? {found.review.source}"
    label = f"true mean effect ({effect.label})"
    return PowerOverMean(title, label, shown[order].tolist(), lines, found.effects, found.target, effect.ratio, sentence)


def draw_evidence_power(found: EvidencePower, path: str | Path | None) -> Figure:
    """The figure, saved when a path is given."""
    with styled():
        figure = evidence_power_drawing(found).draw()
    if path is not None:
        save(figure, path)
    return figure
