"""What the terminal shows of a run of bodies of evidence. Plain text, 80 columns."""

from collections.abc import Sequence

from simtrials.engine.declared import SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.report import numbers
from simtrials.report.evidence.rows import leading, power_rows
from simtrials.report.evidence.sentences import (
    answer,
    null_pattern_sentence,
    pattern_sentences,
    selection_sentence,
    settling_sentences,
    telling_sentence,
)
from simtrials.report.rows import PowerRow, caution, failure_sentences
from simtrials.report.text import INDENT, aligned, head, paragraph, plugins, scenario_file, settings


def summary(run: EvidenceRun, headed: bool = True) -> str:
    """The terminal block: question (unless it was printed before), answer, table of powers, variants, notes, time, report."""
    rows = power_rows(run)
    blocks = [head(run.scenario) if headed else "", paragraph(caution(rows, "bodies of evidence")), paragraph(" ".join(answer(run)))]
    told = [*pattern_sentences(run)[:1], null_pattern_sentence(run), telling_sentence(run)]
    blocks += [paragraph(" ".join(part for part in told if part)), paragraph(" ".join(settling_sentences(run)))]
    blocks += [power_table(rows, run.scenario.target_power), _variants(run), _notes(run, rows), *_tail(run)]
    return "\n".join(block for block in blocks if block)


def power_table(rows: Sequence[PowerRow], target: float) -> str:
    """Power of every synthesis against the target."""
    table = [["outcome", "synthesis", "power, %", f"target {numbers.percent(target)}", "failed"]]
    for i, row in enumerate(rows):
        first = i == 0 or rows[i - 1].question != row.question
        table.append([row.question if first else "", row.label, row.count.power, row.verdict(target), numbers.whole(row.count.failed)])
    return aligned(table, right=(2, 4), flexible=(1, 0))


def _variants(run: EvidenceRun) -> str:
    """Power of the leading syntheses in every variant and point of the sweep."""
    cells = [*run.variant_cells().values(), *run.sweep_cells()]
    if not cells:
        return ""
    leads = leading(run, power_rows(run))
    table = [["power, %", *(row.question for row in leads)]]
    for cell in (SCENARIO, *cells):
        rows = {row.name: row for row in power_rows(run, cell)}
        table.append([run.cells[cell], *(rows[lead.name].count.power for lead in leads)])
    return aligned(table, right=tuple(range(1, len(leads) + 1)), flexible=(0,))


def _notes(run: EvidenceRun, rows: Sequence[PowerRow]) -> str:
    notes = [f"±: 95% Monte Carlo interval, {numbers.whole(run.n_replicates)} simulated bodies of evidence."]
    notes += list(failure_sentences(list(rows), "bodies of evidence"))
    notes += [selection_sentence(run)] if selection_sentence(run) else []
    notes += [f"Repaired: {note}." for note in run.record.get("repaired", ())]
    if "--mcse" in str(run.record.get("command", "")):
        notes.append(f"Stopped at {run.stopped}.")
    return "\n".join(paragraph(note, INDENT) for note in notes)


def _tail(run: EvidenceRun) -> list[str]:
    """Time, the report and what could come next."""
    seconds, workers = run.record["seconds"], run.record["workers"]
    lines = [f"{INDENT}{numbers.duration(seconds)}, {workers} worker{'s' if workers != 1 else ''}"]
    report = run.folder / "report.html"
    if not report.is_file():
        return [*lines, f"{INDENT}next    simtrials report {run.folder}"]
    more = f"simtrials{plugins(run)} run {scenario_file(run)}{settings(run)} --replicates {4 * run.n_replicates}"
    return [*lines, f"{INDENT}report  {report}", f"{INDENT}next    {more}"]
