"""The report on bodies of evidence: one HTML file that stands alone, with its figures as SVG and PNG and all measures as CSV beside it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.store import write_whole
from simtrials.evidence.studies import Listed
from simtrials.report import look, numbers
from simtrials.report.assumptions import Assumption, Point, source_of
from simtrials.report.departures import in_words
from simtrials.report.evidence import tables
from simtrials.report.evidence.figures import drawings
from simtrials.report.evidence.rows import power_rows, question_of
from simtrials.report.evidence.sentences import (
    answer,
    null_pattern_sentence,
    pattern_sentences,
    selection_sentence,
    settling_sentences,
    size_in_words,
)
from simtrials.report.html import NAME, Picture, about_line, again, provenance, rendered, written
from simtrials.report.names import spoken
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
        "patterns": [*pattern_sentences(run)[:1], null_pattern_sentence(run), *pattern_sentences(run)[1:]],
        "settling": settling_sentences(run),
        "settling_table": tables.cells_table(run, first | settling, "What would settle the question") if settling else None,
        "others_table": tables.cells_table(run, first | others, "Other settings and other explanations") if others else None,
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
    """At most seven rows: studies, effects, their spread, the control arm, what is published and extracted, level."""
    scenario = run.scenario
    yield Assumption("Studies", size_in_words(run), source_of(scenario, "studies"))
    for name, endpoint in list(scenario.endpoints.items())[:2]:
        effect = endpoint.effects.get("active")
        if effect is not None:
            size = f"{effect.size_name.replace('_', ' ')} {numbers.plain(getattr(effect, effect.size_name))}"
            tau = f", tau {numbers.plain(scenario.true_effects.tau.get(name, 0.0))} between studies"
            yield Assumption(
                f"Effect on {_called(run, name)}", size.replace("smd", "SMD") + tau, source_of(scenario, f"endpoints.{name}.effects.active")
            )
    for name, endpoint in list(scenario.endpoints.items())[:1]:
        if isinstance(endpoint, SymptomScale):
            course = endpoint.control_course
            value = f"change {numbers.plain(course.change)} {endpoint.symptom_scale.name} points by week {numbers.plain(course.at_week)}"
            yield Assumption("Under control", value, source_of(scenario, f"endpoints.{name}.control_course.change"))
    publication = scenario.reporting.publication
    value = "; ".join(in_words(one) for one in publication) if publication else "all studies"
    yield Assumption("Published", value, source_of(scenario, "reporting") if publication else "")
    steps = "; ".join(in_words(step) for step in scenario.extraction) if scenario.extraction else "without error"
    yield Assumption("Extracted", steps, source_of(scenario, "extraction") if scenario.extraction else "")


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
    scenario, left_out = run.scenario, []
    left_out += [] if scenario.reporting.publication else ["selective publication"]
    left_out += [] if scenario.extraction else ["errors of extraction"]
    left_out += [] if scenario.departures else ["loss to follow-up"]
    left_out += [] if scenario.practices or scenario.reporting.outcomes else ["choice of outcomes and analyses by their results"]
    if left_out:
        yield Point(f"left out of the scenario as declared: {', '.join(left_out)}", strong=False)
    if NULL not in run.cells:
        yield Point("the same without any effect was not run", strong=True)


def ademp(run: EvidenceRun) -> list[tuple[str, list[str]]]:
    """Aims, data-generating mechanism, estimands, methods, performance measures (Morris, White and Crowther 2019)."""
    scenario = run.scenario
    mechanism = [
        f"Studies: {in_words(scenario.studies)}; {in_words(scenario.fidelity)}." if not isinstance(scenario.studies, Listed) else "Studies as listed."
    ]
    mechanism += [f"True effects: {in_words(scenario.true_effects)}.", f"Cells: {'; '.join(run.cells.values())}."]
    mechanism += [f"Practices: {in_words(one)}." for one in scenario.practices]
    mechanism += [f"Publication: {in_words(one)}." for one in scenario.reporting.publication]
    mechanism += [f"Extraction: {in_words(one)}." for one in scenario.extraction]
    mechanism.append(f"{numbers.whole(run.n_replicates)} bodies of evidence in each cell, seed {scenario.seed}.")
    methods = [
        f"{question_of(scenario, row.name)}: {row.label}, alpha {numbers.plain(scenario.syntheses[row.name].alpha)}." for row in power_rows(run)
    ]
    measures = [
        "Power: share of all bodies of evidence whose interval (or test) shows a benefit; one without an estimate shows none.",
        "Bias, mean squared error, coverage against the mean of the true effects of the studies, on the log scale for ratios.",
        "Coverage of a new trial: share of prediction intervals that hold the true effect of one more trial.",
    ]
    estimands = list(dict.fromkeys(f"{sentence_case(run.about(name)[0])}." for name in scenario.syntheses))
    return [
        ("Aims", [scenario.question or "Operating characteristics of the syntheses."]),
        ("Data-generating mechanism", mechanism),
        ("Estimands", estimands),
        ("Methods", methods),
        ("Performance measures", measures),
    ]
