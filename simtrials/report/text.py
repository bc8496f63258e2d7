"""What the terminal shows of a run: question, answer, table of powers, notes. Plain text, 80 columns."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from simtrials.engine.declared import Declared
from simtrials.engine.result import Run
from simtrials.engine.results import Results
from simtrials.engine.scenario import Scenario
from simtrials.report import numbers
from simtrials.report.departures import loss_sentences
from simtrials.report.look import TERMINAL_COLUMNS
from simtrials.report.paragraph import paragraph as paragraph
from simtrials.report.rows import PowerRow, caution, failure_sentences, power_rows
from simtrials.report.sentences import answer, logistics_in_words, pattern_sentences, screened_per_enrolled

INDENT = "  "
MOST_EXTENDED = 20
"""A run is proposed to be extended to this many times its size at most."""


def summary(run: Run, headed: bool = True) -> str:
    """The terminal block: question (unless it was printed before), answer, table of powers, notes, screening, time, report, what comes next."""
    rows = power_rows(run)
    blocks = [head(run.scenario) if headed else "", paragraph(caution(rows)), paragraph(" ".join(answer(run)))]
    blocks += [_power_table(rows, run.scenario.target_power), _notes(run, rows), *_tail(run, rows)]
    return "\n".join(block for block in blocks if block)


def head(scenario: Declared) -> str:
    """Name and question."""
    return paragraph(f"{scenario.name}: {scenario.question}" if scenario.question else scenario.name)


def _power_table(rows: Sequence[PowerRow], target: float) -> str:
    table = [["question", "analysis", "power, %", f"target {numbers.percent(target)}", "failed"]]
    for row, first in zip(rows, _firsts(rows), strict=True):
        count = row.count
        table.append([row.question if first else "", row.label, count.power, row.verdict(target), numbers.whole(count.failed)])
    if any(row.closed_form is not None for row in rows):
        exact = [numbers.DASH if row.closed_form is None else numbers.fixed(100 * row.closed_form, 1) for row in rows]
        table = [[*line[:3], cell, *line[3:]] for line, cell in zip(table, ["closed form", *exact], strict=True)]
    return aligned(table, right=(2, *range(3, len(table[0]) - 2), len(table[0]) - 1), flexible=(1, 0))


def _firsts(rows: Sequence[PowerRow]) -> list[bool]:
    """Whether a row is the first of its question."""
    return [i == 0 or rows[i - 1].question != row.question for i, row in enumerate(rows)]


def aligned(lines: Sequence[Sequence[str]], right: tuple[int, ...] = (), flexible: tuple[int, ...] = ()) -> str:
    """Columns side by side within the terminal's width; `right` are aligned at the right, `flexible` give up room in this order."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for i in flexible:
        excess = len(INDENT) + sum(widths) + 2 * (len(widths) - 1) - TERMINAL_COLUMNS
        longest_word = max(len(word) for line in lines for word in [*line[i].split(), ""])
        widths[i] -= max(0, min(excess, widths[i] - min(longest_word, 24)))
    return "\n".join(text for line in lines for text in _lines(line, widths, right))


def _lines(line: Sequence[str], widths: Sequence[int], right: tuple[int, ...]) -> list[str]:
    """One row of a table; a cell that is too long goes on below, indented as it begins."""
    indents = [" " * (len(cell) - len(cell.lstrip())) for cell in line]
    cells = [
        textwrap.wrap(cell, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
        for cell, width, indent in zip(line, widths, indents, strict=True)
    ]
    made = []
    for k in range(max(len(cell) for cell in cells)):
        parts = zip((cell[k] if k < len(cell) else "" for cell in cells), widths, strict=True)
        made.append(INDENT + "  ".join(part.rjust(width) if i in right else part.ljust(width) for i, (part, width) in enumerate(parts)))
    return [text.rstrip() for text in made]


def _notes(run: Run, rows: Sequence[PowerRow]) -> str:
    notes = [f"±: 95% Monte Carlo interval, {numbers.whole(run.n_replicates)} simulated trials.", *failure_sentences(list(rows))]
    target = run.scenario.target_power
    notes += [
        f"{row.question}, {row.label}, against {numbers.percent(target)}: {numbers.cannot_tell(row.count.shown, row.count.of, target)}."
        for row in rows
        if row.verdict(target) == "cannot tell"
    ]
    notes += pattern_sentences(run)
    notes += loss_sentences(run.scenario)
    notes += [f"{note}." for note in run.portrait["notes"] if note.startswith("analysis ")]
    notes += [f"Repaired: {note}." for note in run.record.get("repaired", ())]
    if "--mcse" in str(run.record.get("command", "")):
        notes.append(f"Stopped at {run.stopped}.")
    return "\n".join(paragraph(note, INDENT) for note in notes)


def _tail(run: Run, rows: Sequence[PowerRow]) -> list[str]:
    """Screening, time, the report and what could come next."""
    seconds, workers = run.record["seconds"], run.record["workers"]
    time = f"{numbers.duration(seconds)}, {workers} worker{'s' if workers != 1 else ''}"
    if run.scenario.eligibility:
        measures = {measure.name: measure for measure in run.screening()}
        names = ("screened_per_enrolled", "screened_per_enrolled_q05", "screened_per_enrolled_q95")
        time = f"screened per enrolled {screened_per_enrolled(*(measures[name] for name in names))}   {time}"
    report = run.folder / "report.html"
    lines = [f"{INDENT}{time}"]
    lines += [paragraph(words, INDENT)] if (words := logistics_in_words(run)) else []
    lines += [f"{INDENT}report  {report}"] if report.is_file() else []
    return [*lines, f"{INDENT}next    {next_command(run, rows)}"]


def next_command(run: Run, rows: Sequence[PowerRow]) -> str:
    """The command that most likely comes next, among those that exist."""
    if not (run.folder / "report.html").is_file():
        return f"simtrials report {run.folder}"
    target = run.scenario.target_power
    unsure = [row.count for row in rows if row.verdict(target) == "cannot tell"]
    wanted = [
        more for count in unsure if (more := numbers.more_replicates(count.shown, count.of, target) or 0) and more <= MOST_EXTENDED * run.n_replicates
    ]
    if wanted:
        return f"simtrials{plugins(run)} run {scenario_file(run)}{settings(run)} --replicates {run.n_replicates + max(wanted)}"
    return f"simtrials{plugins(run)} patients {scenario_file(run)}{settings(run)} --trial 1 --out patients.csv"


def scenario_file(run: Results) -> str:
    """The scenario as the command named it, or the name of its file."""
    words = shlex.split(str(run.record.get("command", "")))
    named = [word for word in words if word.endswith(".toml") or word == run.name]
    return shlex.quote(named[0]) if named else f"{run.name}.toml"


def settings(run: Results) -> str:
    """The --set options of the command that made the run, so that another command means the same scenario."""
    words = shlex.split(str(run.record.get("command", "")))
    pairs = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--set"] + [word[6:] for word in words if word.startswith("--set=")]
    return "".join(f" --set {shlex.quote(pair)}" for pair in pairs)


def plugins(run: Results) -> str:
    """The --plugin options of that command, which come before the name of the command."""
    words = shlex.split(str(run.record.get("command", "")))
    return "".join(f" --plugin {shlex.quote(words[i + 1])}" for i, word in enumerate(words[:-1]) if word == "--plugin")


def check_text(scenario: Scenario, portrait: Mapping[str, Any], seconds: float | None = None) -> str:
    """What a scenario amounts to before it is run, for `simtrials check`."""
    from simtrials.report.checks import check_text as text

    return text(scenario, portrait, seconds)
