"""Faces of a pilot: what the terminal shows, and what becomes of 100 programs with and without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from simtrials.planning.hypercube import Mean
from simtrials.planning.pilot import Compared, PilotValue
from simtrials.report import look, numbers
from simtrials.report.figures.canvas import apart, finished, number_axis, save, sheet, styled, text_width
from simtrials.report.look import MANY_FAILED
from simtrials.report.names import unit_of
from simtrials.report.planning.text import (
    draws_in_words,
    in_percent,
    left_open,
    mean_in_percent,
    mean_per_hundred,
    name_in_words,
    with_interval,
)
from simtrials.report.text import INDENT, aligned, paragraph

BODY_MM, LEFT_MM, RIGHT_MM, BOTTOM_MM, TOP_MM = 58.0, 30.0, 4.0, 12.5, 8.0
GROUPS = ("drug works", "does nothing or harms")
WORDS = ("benefit shown", "not shown", "not run", "not run", "not shown", "benefit shown")


def pilot_sentence(found: PilotValue) -> str:
    """What the pilot changes, in one sentence."""
    name = next(iter(found.successes))
    compared = found.success(name)
    first, second = (mean_per_hundred(one.value, one.mcse) for one in (compared.at_once, compared.pilot_first))
    return (
        f"Averaged over what {left_open(found.scenario)}, {first} of 100 trials of {numbers.whole(found.scenario.design.n_patients)} patients show a "
        f"benefit in {name_in_words(found.scenario, name)}; with a pilot of {numbers.whole(found.pilot.n_patients)} patients first, "
        f"{mean_per_hundred(found.run.value, found.run.mcse)} of 100 trials are run and {second} show it."
    )


def spared_sentence(found: PilotValue) -> str:
    """Whom the pilot stops: drugs that do nothing or harm, and drugs that work."""
    share = numbers.fixed(100 * float(found.nothing_or_harm.mean()), 0)
    name = next(iter(found.successes))
    parts = []
    if found.avoided.n_draws:
        parts.append(f"In {share} of 100 draws the drug does nothing or harms: of these trials the pilot spares {_hundred(found.avoided)} of 100.")
    else:
        parts.append("No draw has a drug that does nothing or harms: nothing can be said of trials that the pilot would spare.")
    if found.not_run.n_draws:
        lost = _hundred(found.lost(name))
        parts.append(f"Where the drug works, {_hundred(found.not_run)} of 100 trials are not run; {lost} of 100 would have shown a benefit.")
    else:
        parts.append("No draw has a drug that works.")
    return " ".join(parts)


def _hundred(mean: Mean) -> str:
    return mean_per_hundred(mean.value, mean.mcse)


def pilot_summary(found: PilotValue) -> str:
    """The sentences, a table of the trial at once and the pilot first with the paired difference, and what is assumed."""
    table = [["", "trial at once", "pilot first", "difference"]]
    for name in found.successes:
        words = f"benefit shown in {name_in_words(found.scenario, name)}, %"
        compared = found.success(name)
        cells = [mean_in_percent(one, found.n_replicates) for one in (compared.at_once, compared.pilot_first)]
        table.append([words, *cells, with_interval(100 * compared.difference.value, 100 * compared.difference.mcse, 1)])
    table.append(["trial is run, %", "100", mean_in_percent(found.run, found.n_replicates), ""])
    table.append(_row("patients, mean", found.patients, 1))
    table += [_row("months, mean", found.spent(found.months), 1)] if found.months is not None else []
    currency = found.scenario.costs.currency if found.scenario.costs is not None else ""
    table += [_row(f"cost, thousand {currency}, mean", found.spent(found.cost), 0, 1e-3)] if found.cost is not None else []
    for name in found.successes:
        words = f"per benefit shown in {name_in_words(found.scenario, name)}"
        table.append(_row(f"patients {words}", found.patients_per_success(name), 0))
        cost = found.cost_per_success(name)
        table += [_row(f"cost, thousand {currency}, {words}", cost, 0, 1e-3)] if cost is not None else []
    declared = [f"{name_in_words(found.scenario, name)} {in_percent(share)}" for name, share in found.declared_trial.items()]
    notes = [
        f"At the declared values, %: trial is run {in_percent(found.declared_share)}; benefit shown in {'; '.join(declared)}.",
        "Assumed: the same design with fewer patients of its own, data not pooled, nothing of the trial changed by the pilot's result, the trial "
        "begins when the pilot is over, prices and sites of a trial.",
        f"±: 95% Monte Carlo interval; differences at the same draws. {draws_in_words(found.scenario, found.n_draws, found.n_replicates)}",
        _failures(found),
    ]
    head = f"{found.scenario.name}: a pilot of {numbers.whole(found.pilot.n_patients)} patients before the trial?"
    pilots = found.n_draws * found.n_replicates
    many = found.n_failed_pilots > MANY_FAILED * pilots
    share = f"{numbers.in_percent(found.n_failed_pilots, pilots)} of the pilots could not be analyzed, and count as consider"
    lines = [
        paragraph(head),
        *([paragraph(f"Caution: {share}.")] if many else []),
        paragraph(pilot_sentence(found)),
        paragraph(spared_sentence(found)),
    ]
    return "\n".join(
        [*lines, aligned(table, right=(1, 2, 3), flexible=(0, 1, 2)), paragraph(pilot_rule(found), INDENT), paragraph(" ".join(notes), INDENT)]
    )


def _failures(found: PilotValue) -> str:
    """`Could not be analyzed: 0 of 15,360 pilots, 0 of 15,360 trials.`"""
    of = found.n_draws * found.n_replicates
    parts = [f"{numbers.whole(found.n_failed_pilots)} of {numbers.whole(of)} pilots"]
    trials = of * len(found.successes)
    parts.append(f"{numbers.whole(found.n_failed)} of {numbers.whole(trials)} {'trials' if len(found.successes) == 1 else 'analyses of trials'}")
    return f"Could not be analyzed: {', '.join(parts)}."


def pilot_rule(found: PilotValue) -> str:
    """After which result of the pilot the trial is run."""
    rule, unit = found.rule, unit_of(found.scenario, found.deciding)
    low, high = (numbers.plain(round(unit.factor * value, 10)) for value in (rule.lower_reference, rule.target))
    go, stop = numbers.percent(1 - rule.false_go), numbers.percent(1 - rule.false_stop)
    what = name_in_words(found.scenario, found.deciding)
    upper = f"the upper one-sided {stop}% confidence limit of {what} is above {high} {unit.name}"
    if found.pilot.proceed == "go":
        return f"The trial is run where the lower one-sided {go}% limit is above {low} and {upper} (go)."
    return f"The trial is run where {upper} (not stop)."


def _row(words: str, compared: Compared, most: int, factor: float = 1.0) -> list[str]:
    cells = [with_interval(factor * one.value, factor * one.mcse, most) for one in (compared.at_once, compared.pilot_first, compared.difference)]
    return [words, *cells]


@dataclass(frozen=True, slots=True)
class Programs:
    """Of 100 programs with and without a pilot: the trial shows a benefit, does not, or is not run; by whether the drug works."""

    title: str
    rows: Sequence[tuple[str, Sequence[float]]]
    nothing: float
    sentence: str

    def table(self) -> list[tuple[str, ...]]:
        """The numbers behind the figure."""
        return [
            ("program", *(f"{GROUPS[i > 2]}: {word}" for i, word in enumerate(WORDS))),
            *((name, *(repr(float(value)) for value in values)) for name, values in self.rows),
        ]

    def draw(self) -> Figure:
        """Two bars of 100 programs; the parts that are wide enough have their words and numbers, and all of them are in the table."""
        how = "Bar: 100 programs, left those of a drug that works (green), right those of a drug that does nothing or harms (gray)."
        page = sheet(BODY_MM, self.title, how)
        width, span = look.WIDE_MM - LEFT_MM - RIGHT_MM, BODY_MM - BOTTOM_MM - TOP_MM
        axes = page.axes(LEFT_MM, BOTTOM_MM, width, span)
        axes.set_xlim(0, 100)
        axes.set_ylim(-0.6, 1.6)
        number_axis(axes.xaxis, [0, 20, 40, 60, 80, 100])
        axes.set_xlabel("programs (of 100)")
        for k, (name, values) in enumerate(self.rows):
            center = BOTTOM_MM + span * (1.6 - k) / 2.2
            page.text(LEFT_MM - 2.0, center, name, look.TEXT_PT, ha="right")
            left = 0.0
            for value, word, fill in zip(values, WORDS, FILLS, strict=True):
                axes.barh(1 - k, value, left=left, height=0.76, color=fill, edgecolor=look.WHITE, lw=0.6)
                page.text(LEFT_MM + width * (left + value / 2) / 100, center, _inside(word, value, width), look.NOTE_PT, ha="center", color=_on(fill))
                left += value
        works = 100 * (1 - self.nothing)
        shares = [(word, middle) for word, middle, share in zip(GROUPS, (works / 2, 50 + works / 2), (works, 100 - works), strict=True) if share > 0]
        words = [f"{word} {numbers.fixed(works if word == GROUPS[0] else 100 - works, 0)}" for word, _ in shares]
        at = [LEFT_MM + width * middle / 100 for _, middle in shares]
        places = apart(at, [text_width(word, look.NOTE_PT, "bold") for word in words], LEFT_MM, LEFT_MM + width, 3.0)
        for place, word in zip(places, words, strict=True):
            page.text(place, BOTTOM_MM + span + 2.0, word, look.NOTE_PT, ha="center", weight="bold")
        return finished(page)


FILLS = (look.ACCENT, look.PALE_ACCENT, look.ZONE, look.BAND, look.SCREENED_OUT, look.CONTROL)
"""Of a drug that works dark to pale, of one that does not pale to dark."""


def _on(fill: str) -> str:
    """Ink, or white on dark."""
    return look.WHITE if fill == look.ACCENT else look.INK


def _inside(word: str, value: float, width: float) -> str:
    """What there is room for in a part: word and number, the number, or nothing."""
    room, number = width * value / 100 - 1.5, numbers.fixed(value, 0)
    if text_width(word, look.NOTE_PT) <= room:
        return f"{word}\n{number}"
    return number if text_width(number, look.NOTE_PT) <= room else ""


def pilot_drawing(found: PilotValue) -> Programs:
    """The drawing of a pilot, by the first analysis."""
    name, shares = next(iter(found.successes.items()))
    harm, run = found.nothing_or_harm, found.proceeds
    rows = []
    for label, proceeds in (("trial at once", run * 0 + 1), (f"pilot of {found.pilot.n_patients} first", run)):
        shown, failed, skipped = proceeds * shares, proceeds * (1 - shares), 1 - proceeds
        parts = [(part * ~harm).mean() for part in (shown, failed, skipped)] + [(part * harm).mean() for part in (skipped, failed, shown)]
        rows.append((label, [100 * float(part) for part in parts]))
    title = f"What becomes of 100 programs, by {name_in_words(found.scenario, name)}: {found.scenario.name}"
    return Programs(title, rows, float(harm.mean()), pilot_sentence(found))


def draw_pilot(found: PilotValue, path: str | Path | None) -> Any:
    """The figure of a pilot, saved when a path is given."""
    with styled():
        figure = pilot_drawing(found).draw()
    if path is not None:
        save(figure, path)
    return figure
