"""The report on bodies of evidence: one HTML file that stands alone, with its figures as SVG and PNG and all measures as CSV beside it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.store import write_whole
from simtrials.evidence.studies import Listed
from simtrials.report import look, numbers
from simtrials.report.assumptions import Assumption, Point, source_of
from simtrials.report.departures import in_words
from simtrials.report.evidence import tables
from simtrials.report.evidence.figures import drawings
from simtrials.report.evidence.rows import leading, power_rows, question_of
from simtrials.report.evidence.sentences import (
    additions_note,
    answer,
    declared_effect,
    glossary,
    null_pattern_sentence,
    pattern_sentences,
    selection_sentence,
    settling_sentences,
    size_in_words,
    telling_sentence,
)
from simtrials.report.html import NAME, Picture, about_line, again, provenance, rendered, written
from simtrials.report.names import spoken
from simtrials.report.precision import precision_sentences
from simtrials.report.rows import PowerRow, caution, failure_sentences, widest_interval
from simtrials.report.sentences import benefit_in_words, sentence_case
from simtrials.report.toml import scenario_toml
from simtrials.trial.endpoints import SymptomScale


def write_report(run: EvidenceRun) -> Path:
    """Write report.html, measures.csv and the figures into the run's folder; the path of the report."""
    pictures = written(run, drawings(run))
    path = run.folder / NAME
    write_whole(path, rendered("evidence.html.j2", content(run, pictures)))
    return path


def content(run: EvidenceRun, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """Everything that the template shows."""
    rows = power_rows(run)
    command, hint = again(run)
    settling = {cell: run.cells[cell] for name, cell in run.variant_cells().items() if run.scenario.variants[name].answers}
    others = {cell: run.cells[cell] for name, cell in run.variant_cells().items() if not run.scenario.variants[name].answers}
    others |= {cell: run.cells[cell] for cell in run.sweep_cells()}
    first = {SCENARIO: "as declared"}
    levels = dict.fromkeys((synthesis.alpha, False) for synthesis in run.scenario.syntheses.values())
    return {
        "look": look,
        "run": run,
        "title": run.scenario.question or run.scenario.name,
        "about": about_line(run, "bodies of evidence"),
        "invented": invented(run),
        "caution": caution(rows, "bodies of evidence"),
        "answer": answer(run),
        "patterns": [" ".join([*pattern_sentences(run)[:1], null_pattern_sentence(run)]), telling_sentence(run)],
        "other_patterns": pattern_sentences(run)[1:],
        "explanations_table": tables.explanations_table(run),
        "glossary": glossary(run),
        "settling": settling_sentences(run),
        "settling_table": tables.cells_table(run, first | settling, "What would settle the question", additions_note(run)) if settling else None,
        "others_table": tables.cells_table(run, first | others, "Other settings and other explanations", "±: 95% Monte Carlo interval.")
        if others
        else None,
        "shows_a_benefit": benefit_in_words(list(levels)),
        "power": pictures["power"],
        "assumptions": list(assumptions(run)),
        "minded": [Point(sentence_case(point.words), point.strong) for point in minded(run, rows)],
        "command": command,
        "hint": hint,
        "pictures": {kind: [p for name, p in pictures.items() if name.partition("-")[0] == kind] for kind in ("zip", "methods", "forest", "funnel")},
        "studies_table": tables.studies_table(run),
        "judged_table": tables.judged_table(run),
        "truth_table": tables.truth_table(run),
        "estimates_table": tables.estimates_table(run),
        "sweep_table": tables.sweep_table(run),
        "differences_table": tables.differences_table(run),
        "level_table": tables.level_table(run) if NULL in run.cells else None,
        "failures_table": tables.failures_table(run),
        "ademp": ademp(run),
        "scenario_toml": scenario_toml(run.scenario),
        "provenance": provenance(run),
    }


def invented(run: EvidenceRun) -> str:
    """A label for lists of studies that are made up, wherever they are shown."""
    source = source_of(run.scenario, "studies")
    return f"The list of studies: {source}." if isinstance(run.scenario.studies, Listed) else ""


def assumptions(run: EvidenceRun) -> Iterator[Assumption]:
    """Studies, effects, their spread, the control arm as declared and as it comes out, what is published and extracted."""
    scenario = run.scenario
    yield Assumption("Studies", size_in_words(run), source_of(scenario, "studies"))
    for name in [name for name, endpoint in scenario.endpoints.items() if "active" in endpoint.effects][:2]:
        size = declared_effect(run, name) or "by drug class"
        yield Assumption(f"Mean effect on {_called(run, name)}", size, source_of(scenario, f"endpoints.{name}.effects.active"))
    taus = [f"tau {numbers.plain(tau)} in {_called(run, name)}" for name, tau in scenario.true_effects.tau.items()]
    yield Assumption("Spread between trials", ", ".join(taus) or "none", source_of(scenario, "true_effects.tau") if taus else "")
    for name, endpoint in list(scenario.endpoints.items())[:1]:
        if isinstance(endpoint, SymptomScale):
            course = endpoint.control_course
            value = f"change {numbers.plain(course.change)} {endpoint.symptom_scale.name} points by week {numbers.plain(course.at_week)}"
            yield Assumption("Under control", value, source_of(scenario, f"endpoints.{name}.control_course.change"))
    risks = [f"{_spoken_outcome(run, name)} {_range(*ends)}%" for name, ends in run.record.get("controls", {}).items() if _binary(run, name)]
    if risks:
        yield Assumption("Risks that follow", f"{', '.join(risks)} under control, by length of trial", "simulated")
    publication = scenario.reporting.publication
    value = "; ".join(in_words(one) for one in publication) if publication else "all studies"
    yield Assumption("Published", value, source_of(scenario, "reporting") if publication else "")
    steps = "; ".join(in_words(step) for step in scenario.extraction) if scenario.extraction else "without error"
    yield Assumption("Extracted", steps, source_of(scenario, "extraction") if scenario.extraction else "")


def _range(low: float, high: float) -> str:
    ends = list(dict.fromkeys(numbers.fixed(100 * value, 0) for value in (low, high)))
    return " to ".join(ends)


def _binary(run: EvidenceRun, outcome: str) -> bool:
    declared = run.scenario.outcomes[outcome]
    return declared.measured(run.scenario.endpoints[declared.endpoint]).binary


def _spoken_outcome(run: EvidenceRun, outcome: str) -> str:
    return run.scenario.outcomes[outcome].label or spoken(outcome)


def _called(run: EvidenceRun, endpoint: str) -> str:
    return next((question_of(run.scenario, name) for name, one in _syntheses(run) if one == endpoint), spoken(endpoint))


def _syntheses(run: EvidenceRun) -> list[tuple[str, str]]:
    return [(name, run.scenario.outcomes[one.outcome].endpoint) for name, one in run.scenario.syntheses.items()]


def minded(run: EvidenceRun, rows: list[PowerRow]) -> Iterator[Point]:
    """Failures, the widest interval, what was selected, what the scenario leaves out."""
    failed = list(failure_sentences(rows, "bodies of evidence"))
    yield from (Point(words, strong=True) for words in failed[:2])
    if not failed:
        yield Point("0 syntheses failed", strong=False)
    half, row = widest_interval(rows)
    yield Point(f"widest Monte Carlo interval: ± {numbers.fixed(half, 1)} percentage points ({row.question}, {row.label})", strong=False)
    if selection_sentence(run):
        yield Point(selection_sentence(run), strong=True)
    yield from _predictions(run, rows)
    scenario, left_out = run.scenario, []
    left_out += [] if scenario.reporting.publication else ["selective publication"]
    left_out += [] if scenario.extraction else ["errors of extraction"]
    left_out += [] if scenario.departures else ["loss to follow-up"]
    left_out += [] if scenario.practices or scenario.reporting.outcomes else ["choice of outcomes and analyses by their results"]
    if left_out:
        yield Point(f"left out of the scenario as declared: {', '.join(left_out)}", strong=False)
    if NULL not in run.cells:
        yield Point("the same without any effect was not run", strong=True)


def _law_in_words(run: EvidenceRun) -> str:
    """`mean SMD 0.35 in severity with tau 0.25; correlation 0.6 between endpoints of one study`."""
    scenario, law, parts = run.scenario, run.scenario.true_effects, []
    for name in scenario.endpoints:
        size, tau = declared_effect(run, name), numbers.plain(law.tau.get(name, 0.0))
        parts.append(f"{_called(run, name)}: {f'mean {size}' if size else 'by drug class, or none'}, normal with tau {tau} between studies")
    parts += [f"correlation {numbers.plain(law.correlation)} between the endpoints of one study"] if law.correlation else []
    parts += [f"mean in {drug or 'the class without a name'}: {_by_name(table)}" for drug, table in law.by_class.items()]
    parts += [f"studies with {level} risk of bias show beyond that {_by_name(table)}" for level, table in law.inflation.items()]
    return "; ".join(parts)


def _by_name(table: Mapping[str, float]) -> str:
    return ", ".join(f"{spoken(name)} {numbers.plain(value)}" for name, value in table.items())


def _predictions(run: EvidenceRun, rows: list[PowerRow]) -> Iterator[Point]:
    """How seldom, at worst, a prediction interval of the leading syntheses holds the effect of one more trial."""
    found = []
    for row in leading(run, rows):
        new = {measure.name: measure for measure in run.tallies(SCENARIO)[row.name].measures()}.get("prediction_coverage")
        if new is not None and np.isfinite(new.value):
            found.append((new.value, row, new))
    if found:
        value, row, new = min(found, key=lambda one: one[0])
        level = 1 - run.scenario.syntheses[row.name].alpha
        often = numbers.rounded(100 * value, 100 * new.mcse, 1)
        words = f"{numbers.percent(level)}% prediction intervals hold the true effect of one more trial in {often}%"
        yield Point(f"{words} of reviews at worst ({row.question}, {row.label})", strong=value < level - 0.05)


def ademp(run: EvidenceRun) -> list[tuple[str, list[str]]]:
    """Aims, data-generating mechanisms, estimands, methods, performance measures (Morris, White and Crowther 2019)."""
    scenario = run.scenario
    mechanism = [
        f"Studies: {in_words(scenario.studies)}; {in_words(scenario.fidelity)}." if not isinstance(scenario.studies, Listed) else "Studies as listed."
    ]
    mechanism += [f"True effects: {_law_in_words(run)}.", f"Cells: {'; '.join(run.cells.values())}."]
    mechanism += [f"Practices: {in_words(one)}." for one in scenario.practices]
    mechanism += [f"Publication: {in_words(one)}." for one in scenario.reporting.publication]
    mechanism += [f"Extraction: {in_words(one)}." for one in scenario.extraction]
    mechanism.append(f"{numbers.whole(run.n_replicates)} bodies of evidence in each cell, seed {scenario.seed}.")
    methods = [
        f"{question_of(scenario, row.name)}: {row.label}, alpha {numbers.plain(scenario.syntheses[row.name].alpha)}." for row in power_rows(run)
    ]
    measures = [
        "Power: share of all bodies of evidence whose interval (or test) shows a benefit; one without an estimate shows none.",
        *precision_sentences(power_rows(run), run.n_replicates, "bodies of evidence"),
        "Bias, mean squared error, coverage against the mean of the true effects of the studies, on the log scale for ratios.",
        "Coverage of a new trial: share of prediction intervals that hold the true effect of one more trial.",
    ]
    estimands = list(dict.fromkeys(f"{sentence_case(run.about(name)[0])}." for name in scenario.syntheses))
    return [
        ("Aims", [scenario.question or "Operating characteristics of the syntheses."]),
        ("Data-generating mechanisms", mechanism),
        ("Estimands", estimands),
        ("Methods", methods),
        ("Performance measures", measures),
    ]
