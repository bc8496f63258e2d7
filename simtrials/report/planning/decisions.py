"""Faces of decisions: what the terminal shows, and go and stop drawn over the true effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from simtrials.planning.decisions import CLASSES, OUTCOMES, Decisions
from simtrials.planning.hypercube import Mean
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import apart, finished, number_axis, round_steps, save, sheet, styled, text_width
from simtrials.report.names import Unit, unit_of
from simtrials.report.planning.labels import field_with_unit
from simtrials.report.planning.text import (
    draws_in_words,
    in_percent,
    left_open,
    mean_in_percent,
    mean_per_hundred,
    name_in_words,
)
from simtrials.report.sentences import listed
from simtrials.report.text import INDENT, aligned, paragraph

BODY_MM, LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM = 78.0, 13.0, 22.0, 12.5, 6.0


def shown(found: Decisions, value: float) -> str:
    """A reference value in the reader's unit, without it: `0.5`, `10`."""
    return numbers.plain(round(unit_of(found.scenario, found.analysis).factor * value, 10))


def rule_in_words(found: Decisions) -> str:
    """When it is go, when stop."""
    rule, unit = found.rule, unit_of(found.scenario, found.analysis)
    low, high = shown(found, rule.lower_reference), shown(found, rule.target)
    go, stop = numbers.percent(1 - rule.false_go), numbers.percent(1 - rule.false_stop)
    return (
        f"Go: lower one-sided {go}% confidence limit above {low} and upper {stop}% limit above {high} {unit.name}. "
        f"Stop: that upper limit at most {high}. Consider: neither."
    )


def class_in_words(found: Decisions, name: str) -> str:
    """`true effect at least 0.5`."""
    low, high = shown(found, found.rule.lower_reference), shown(found, found.rule.target)
    words = {"at_target": f"at least {high}", "between": f"from {low} to {high}", "at_lower_reference": f"at most {low}"}
    return f"true effect {words[name]}"


def decisions_sentence(found: Decisions) -> str:
    """How often it is go, and how often wrongly."""
    go, stop = found.average("go"), found.average("stop")
    average = f"Averaged over what {left_open(found.scenario)}, {mean_per_hundred(go.value, go.mcse)} of 100 such trials end in go"
    parts = [f"{average} and {mean_per_hundred(stop.value, stop.mcse)} in stop"]
    false_go, false_stop = found.given("go", "at_lower_reference"), found.given("stop", "at_target")
    low, high = shown(found, found.rule.lower_reference), shown(found, found.rule.target)
    unit = unit_of(found.scenario, found.analysis).name
    parts += [_wrong(false_go, "go", f"at most {low} {unit}"), _wrong(false_stop, "stop", f"at least {high} {unit}")]
    return "; ".join(part for part in parts if part) + "."


def _wrong(mean: Mean, outcome: str, where: str) -> str:
    return f"where the true effect is {where}, {mean_per_hundred(mean.value, mean.mcse)} of 100 end in {outcome}" if mean.n_draws else ""


def decisions_summary(found: Decisions) -> str:
    """The sentence, the rule, and a table of decisions overall, by the true effect and at the declared values."""
    opened = listed([field_with_unit(found.scenario, path) for path in found.priors])
    head = f"{found.scenario.name}: go, consider or stop by {name_in_words(found.scenario, found.analysis)}, over what is left open of {opened}"
    table = [["", "draws, %", *(f"{outcome}, %" for outcome in OUTCOMES)]]
    table.append(["all draws", "100", *(mean_in_percent(found.average(outcome), found.n_replicates) for outcome in OUTCOMES)])
    empty = []
    for name in CLASSES:
        mask, words = found.members[name], class_in_words(found, name)
        if not mask.any():
            empty.append(words)
            continue
        given = [mean_in_percent(found.given(outcome, name), found.n_replicates) for outcome in OUTCOMES]
        table.append([words, numbers.fixed(100 * float(mask.mean()), 1), *given])
    declared = [in_percent(found.declared.share(outcome)) for outcome in OUTCOMES]
    table.append([f"declared: true effect {_truth(found)}", "", *declared])
    notes = [f"No draw has a {words}: nothing can be said of it." for words in empty]
    if found.n_unsure:
        near = "1 true effect is" if found.n_unsure == 1 else f"{numbers.whole(found.n_unsure)} true effects are"
        notes.append(f"{near} too near a reference value to be told from it.")
    notes.append(f"{numbers.whole(found.n_failed)} of all trials could not be analyzed and count as consider.")
    notes.append(f"±: 95% Monte Carlo interval. {draws_in_words(found.scenario, found.n_draws, found.n_replicates)}")
    lines = [paragraph(head), paragraph(decisions_sentence(found)), aligned(table, right=(1, 2, 3, 4), flexible=(0, 3, 2, 4))]
    return "\n".join([*lines, paragraph(rule_in_words(found), INDENT), paragraph(" ".join(notes), INDENT)])


def _truth(found: Decisions) -> str:
    unit = unit_of(found.scenario, found.analysis)
    return numbers.fixed(unit.factor * found.declared_truth, unit.digits)


@dataclass(frozen=True, slots=True)
class DecisionsByEffect:
    """Share of trials that end in go, and in stop, by the true effect at each draw, with the two reference values."""

    title: str
    unit: Unit
    truths: Sequence[float]
    go: Sequence[float]
    stop: Sequence[float]
    lower_reference: float
    target: float
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        rows = zip(self.truths, self.go, self.stop, strict=True)
        head = ("draw", f"true effect ({self.unit.name})", "go", "stop")
        return [head, *((str(i + 1), *(repr(float(value)) for value in row)) for i, row in enumerate(rows))]

    def draw(self) -> Figure:
        """Shares in percent over the true effect; the lines end in the words go and stop."""
        how = "Two marks for each draw of the priors: share of simulated trials that end in go (square) and in stop (circle); the rest: consider."
        page = sheet(BODY_MM, self.title, how)
        width, height = look.WIDE_MM - LEFT_MM - RIGHT_MM, BODY_MM - BOTTOM_MM - TOP_MM
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, height, sides="left bottom")
        references = (self.lower_reference, self.target)
        every = [*self.truths, *references]
        pad = 0.04 * (max(every) - min(every))
        low, high = min(every) - pad, max(every) + pad
        axes.set_xlim(low, high)
        axes.set_ylim(-3, 103)
        number_axis(axes.xaxis, round_steps(low, high))
        number_axis(axes.yaxis, [0, 20, 40, 60, 80, 100])
        axes.set_xlabel(f"true effect ({self.unit.name}, benefit positive)")
        axes.set_ylabel("simulated trials (%)")
        for value in references:
            axes.axvline(value, color=look.INK, lw=look.AXIS_PT, ls=(0, (4, 2.5)), zorder=1)
        axes.plot(self.truths, [100 * value for value in self.stop], "o", ms=3.2, mec=look.CONTROL, mfc=look.WHITE, mew=0.8, zorder=2)
        axes.plot(self.truths, [100 * value for value in self.go], "s", ms=3.0, color=look.ACCENT, mec=look.ACCENT, zorder=3)
        words = [f"lower reference {numbers.plain(round(references[0], 10))}", f"target {numbers.plain(round(references[1], 10))}"]
        at = [LEFT_MM + width * (value - low) / (high - low) for value in references]
        places = apart(at, [text_width(one, look.NOTE_PT) for one in words], LEFT_MM, LEFT_MM + width, 2.5)
        for place, one in zip(places, words, strict=True):
            page.text(place, BOTTOM_MM + height + 2.4, one, look.NOTE_PT, ha="center")
        last = max(range(len(self.truths)), key=lambda i: self.truths[i])
        heights = sorted((("go", self.go[last]), ("stop", self.stop[last])), key=lambda pair: pair[1])
        ends = apart([BOTTOM_MM + height * (100 * value + 3) / 106 for _, value in heights], [3.4, 3.4], BOTTOM_MM, BOTTOM_MM + height, 0.4)
        for (word, _), end in zip(heights, ends, strict=True):
            page.text(LEFT_MM + width + 1.5, end, word, look.TEXT_PT, weight="bold" if word == "go" else "normal")
        return finished(page)


def decisions_drawing(found: Decisions) -> DecisionsByEffect:
    """The drawing of decisions."""
    unit = unit_of(found.scenario, found.analysis)
    title = f"Go or stop by {name_in_words(found.scenario, found.analysis)}: {found.scenario.name}"
    references = unit.factor * found.rule.lower_reference, unit.factor * found.rule.target
    shares = found.shares["go"].tolist(), found.shares["stop"].tolist()
    return DecisionsByEffect(title, unit, (unit.factor * found.truths).tolist(), *shares, *references, decisions_sentence(found))


def draw_decisions(found: Decisions, path: str | Path | None) -> Any:
    """The figure of decisions, saved when a path is given."""
    with styled():
        figure = decisions_drawing(found).draw()
    if path is not None:
        save(figure, path)
    return figure
