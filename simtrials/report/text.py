"""What the terminal shows: the answer of a run, and what a scenario amounts to before it is run. Plain text, 80 columns."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from simtrials.engine.run import Run
from simtrials.engine.scenario import Scenario
from simtrials.report import numbers
from simtrials.report.assumed import biomarker_of, effects_of, shape_in_words, size_in_words, smd_in_words
from simtrials.report.look import TERMINAL_COLUMNS
from simtrials.report.names import rule_in_words, spoken, spoken_endpoint
from simtrials.report.rows import PowerRow, caution, failure_sentences, power_rows
from simtrials.report.sentences import answer, measured_sentence, screened_per_enrolled, screening_sentence

INDENT = "  "


def summary(run: Run) -> str:
    """The terminal block: question, answer, table of powers, notes, screening, time, report, and what could come next."""
    rows = power_rows(run)
    blocks = [_head(run.scenario), _paragraph(caution(rows)), _paragraph(" ".join(answer(run)))]
    blocks += [_power_table(rows, run.scenario.target_power), _notes(run, rows), *_tail(run, rows)]
    return "\n".join(block for block in blocks if block)


def _head(scenario: Scenario) -> str:
    return _paragraph(f"{scenario.name}: {scenario.question}" if scenario.question else scenario.name)


def _paragraph(text: str, indent: str = "", hanging: str | None = None) -> str:
    following = indent if hanging is None else hanging
    return textwrap.fill(text, TERMINAL_COLUMNS, initial_indent=indent, subsequent_indent=following, break_on_hyphens=False)


def _power_table(rows: Sequence[PowerRow], target: float) -> str:
    cells = [
        (row.question if first else "", row.label, row.count.power, row.verdict(target), numbers.whole(row.count.failed))
        for row, first in zip(rows, _firsts(rows), strict=True)
    ]
    head = ("question", "analysis", "power, %", f"target {numbers.percent(target)}", "failed")
    return aligned([head, *cells], right=(2, 4), flexible=(1, 0))


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
    """One row of a table; a cell that is too long goes on below."""
    cells = [textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(line, widths, strict=True)]
    made = []
    for k in range(max(len(cell) for cell in cells)):
        parts = [cell[k] if k < len(cell) else "" for cell in cells]
        made.append(INDENT + "  ".join(part.rjust(width) if i in right else part.ljust(width) for i, (part, width) in enumerate(zip(parts, widths, strict=True))))
    return [text.rstrip() for text in made]


def _notes(run: Run, rows: Sequence[PowerRow]) -> str:
    notes = [f"±: 95% Monte Carlo interval, {numbers.whole(run.n_replicates)} simulated trials.", *failure_sentences(list(rows))]
    target = run.scenario.target_power
    for row in rows:
        if row.verdict(target) == "cannot tell":
            notes.append(f"{row.question}, {row.label}: {numbers.cannot_tell(row.count.shown, row.count.of, target)}.")
    return "\n".join(_paragraph(note, INDENT) for note in notes)


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
    lines += [f"{INDENT}report  {report}"] if report.is_file() else []
    return [*lines, f"{INDENT}next    {next_command(run, rows)}"]


def next_command(run: Run, rows: Sequence[PowerRow]) -> str:
    """The command that most likely comes next, among those that exist."""
    if not (run.folder / "report.html").is_file():
        return f"simtrials report {run.folder}"
    unsure = [numbers.more_replicates(row.count.shown, row.count.of, run.scenario.target_power) for row in rows if row.verdict(run.scenario.target_power) == "cannot tell"]
    wanted = [more for more in unsure if more is not None]
    if wanted:
        return f"simtrials run {scenario_file(run)} --replicates {run.n_replicates + max(wanted)}"
    return f"simtrials patients {scenario_file(run)} --trial 1 --out patients.csv"


def scenario_file(run: Run) -> str:
    """The scenario as the command named it, or the name of its file."""
    words = str(run.record.get("command", "")).split()
    named = [word for word in words if word.endswith(".toml")]
    return named[0] if named else f"{run.scenario.name}.toml"


def check_text(scenario: Scenario, portrait: Mapping[str, Any], seconds: float | None = None) -> str:
    """What a scenario amounts to: whom it enrols, how large the effects are and for whom, and what response and remission follow."""
    blocks = [_head(scenario), _enrolled(scenario, portrait), _people(portrait)]
    for name in scenario.endpoints:
        blocks.append(_endpoint(scenario, portrait, name))
    blocks += [_paragraph(note, INDENT) for note in portrait["notes"]]
    if seconds is not None:
        blocks.append(f"{INDENT}{numbers.whole(scenario.n_replicates)} simulated trials need about {numbers.duration(seconds)}")
    return "\n".join(block for block in blocks if block)


def _enrolled(scenario: Scenario, portrait: Mapping[str, Any]) -> str:
    if not scenario.eligibility:
        return _paragraph("everybody who is screened is enrolled", INDENT)
    rate = portrait["pass_rate"]
    rules = "; ".join(rule_in_words(scenario, rule) for rule in scenario.eligibility)
    lines = [_paragraph(f"{screening_sentence(portrait)} Screened per enrolled {numbers.fixed(1 / rate, 1)}. Not enrolled: {rules}.", INDENT)]
    lines += [_paragraph(measured_sentence(portrait, assay), INDENT) for assay in portrait["assays"] if measured_sentence(portrait, assay)]
    return "\n".join(lines)


def people_rows(portrait: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Who is enrolled against who is screened: biomarkers and covariates, mean (SD) or share."""
    rows = []
    for name, about in portrait["assays"].items():
        screened, enrolled = (_mean_sd(*about[f"ln_usual_{who}"], 2) for who in ("screened", "enrolled"))
        rows.append((f"ln usual {spoken(name)}, mean (SD)", screened, enrolled))
    for name, about in portrait["covariates"].items():
        if "levels" in about:
            levels = zip(about["levels"], about["screened"], about["enrolled"], strict=True)
            rows += [(f"{spoken(name)} {level}, %", numbers.fixed(100 * a, 0), numbers.fixed(100 * b, 0)) for level, a, b in levels]
        else:
            rows.append((f"{spoken(name)}, mean (SD)", _mean_sd(*about["screened"], 1), _mean_sd(*about["enrolled"], 1)))
    return rows


def _mean_sd(mean: float, sd: float, places: int) -> str:
    return f"{numbers.fixed(mean, places)} ({numbers.fixed(sd, places)})"


def _people(portrait: Mapping[str, Any]) -> str:
    rows = people_rows(portrait)
    return aligned([("who", "screened", "enrolled"), *rows], right=(1, 2), flexible=(0,)) if rows else ""


def _endpoint(scenario: Scenario, portrait: Mapping[str, Any], name: str) -> str:
    about = portrait["endpoints"][name]
    blocks = [f"{spoken_endpoint(scenario, name)} ({about['domain']})"]
    for endpoint, arm, effect in effects_of(scenario):
        if endpoint != name:
            continue
        size = [size_in_words(scenario, portrait, name, arm), smd_in_words(scenario, portrait, name, arm)]
        shape = shape_in_words(effect, *biomarker_of(scenario, effect))
        said = f"{spoken(arm)}: {', '.join(part for part in size if part)} at week {numbers.plain(about['weeks'][-1])} over the enrolled; {shape}"
        blocks.append(_paragraph(said, INDENT))
        blocks += [_paragraph(line, INDENT) for line in (_realised(about, arm),) if line]
        blocks += [table for table in (_deciles(about, arm),) if table]
    table = outcome_rows(scenario, about)
    return "\n".join([*blocks, *([aligned(table, right=(1, 2, 3, 4), flexible=(0,))] if table else [])])


def _realised(about: Mapping[str, Any], arm: str) -> str:
    """What the effect comes to once scores are whole numbers within the scale."""
    if "g_enrolled" not in about:
        return ""
    effect, sd = about["effects"][arm], about["change_sd"]
    points, g = numbers.fixed(about["difference"][arm], 1), numbers.fixed(about["g_enrolled"][arm], 2)
    everybody = numbers.fixed(effect["mean_everybody"] / sd, 2)
    return f"in whole scores: {points} points, g {g} among the enrolled; about {everybody} in everybody who is screened"


def _deciles(about: Mapping[str, Any], arm: str) -> str:
    deciles = about["effects"][arm].get("deciles")
    if not deciles:
        return ""
    lines = [(f"{spoken(about['effects'][arm]['biomarker'])} of the enrolled, by tenths", "benefit")]
    lines += [(numbers.between(d["from"], d["to"], 1), numbers.fixed(d["benefit"], 1)) for d in deciles]
    return aligned(lines, right=(1,))


def outcome_rows(scenario: Scenario, about: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Response and remission by arm at the last visit, in percent, and each arm's ratio to control."""
    control, *active = scenario.design.arms
    if "arms" not in about or not active:
        return []
    table: list[tuple[str, ...]] = []
    for arm in active:
        if not table:
            table.append(("outcome", f"{spoken(control)}, %", f"{spoken(arm)}, %", "risk ratio", "difference"))
        for outcome in ("response", "remission"):
            if outcome in about["arms"][arm]:
                p, q = (float(about["arms"][which][outcome]) for which in (control, arm))
                ratio = numbers.fixed(q / p, 2) if p > 0 else numbers.DASH
                which = outcome if len(active) == 1 else f"{outcome}, {spoken(arm)}"
                table.append((which, numbers.fixed(100 * p, 1), numbers.fixed(100 * q, 1), ratio, numbers.fixed(100 * (q - p), 1)))
    return table
