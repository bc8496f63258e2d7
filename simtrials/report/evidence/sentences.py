"""The sentences about bodies of evidence, filled from numbers only."""

from collections.abc import Sequence

import numpy as np

from simtrials.core.measures import Measure
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.simulation import STUDIES_INCLUDED
from simtrials.report import numbers
from simtrials.report.evidence.rows import effect_in_words, leading, power_rows, question_of
from simtrials.report.names import spoken
from simtrials.report.rows import PowerRow
from simtrials.report.sentences import listed

MOST_QUESTIONS = 4


def size_in_words(run: EvidenceRun, cell: str = SCENARIO) -> str:
    """`11 trials with 321 patients`, the mean where bodies of evidence differ."""
    counts = {measure.name: measure for measure in run.counts(cell)}
    studies, patients = counts[STUDIES_INCLUDED.replace(" ", "_")], counts["patients_included"]
    about = "about " if studies.mcse > 0 or patients.mcse > 0 else ""
    return f"{about}{_count(studies)} trials with {_count(patients)} patients"


def _count(measure: Measure) -> str:
    return numbers.whole(round(measure.value)) if measure.mcse == 0 or measure.value >= 20 else numbers.fixed(measure.value, 1)


def answer(run: EvidenceRun) -> list[str]:
    """What a review of such trials shows if the drug works as assumed, and if it does nothing."""
    rows = leading(run, power_rows(run))[:MOST_QUESTIONS]
    told = [row for row in rows if not row.count.none_estimable]
    if not told:
        return ["No result: none of the simulated bodies of evidence could be synthesized."]
    works = run.scenario.null() != run.scenario
    condition = f"If the drug works as assumed ({_assumed(run, told)})" if works else "If the drug does nothing"
    parts = [f"{row.question} in {numbers.per_hundred(row.count.shown, row.count.of)}" for row in told]
    parts[0] = f"{parts[0]} of 100"
    sentences = [f"{condition}, reviews of {size_in_words(run)} show a benefit in {listed(parts)}."]
    if not works:
        return sentences
    if NULL not in run.cells:
        return [*sentences, "The same without any effect was not run."]
    shares = [(row.null.shown, row.null.of) for row in told if row.null is not None and not row.null.none_estimable]
    each = ", for each outcome" if len(shares) > 1 else ""
    return [*sentences, f"If it does nothing, {numbers.span_per_hundred(shares)} of 100 still do{each}."] if shares else sentences


def _assumed(run: EvidenceRun, rows: Sequence[PowerRow]) -> str:
    """`mean SMD 0.35 in severity and 0.40 in anhedonia`: of the outcomes whose effect is declared, not derived."""
    found, seen = [], set()
    for row in rows:
        synthesis = run.scenario.syntheses[row.name]
        endpoint = run.scenario.outcomes[synthesis.outcome].endpoint
        truth = run.truths[SCENARIO][row.name]
        if endpoint in seen or not np.isfinite(truth.value):
            continue
        seen.add(endpoint)
        found.append(f"{effect_in_words(run, row.name, truth.value, truth.std_error)} in {row.question}")
    return f"on average {listed(found)}"


def pattern_sentences(run: EvidenceRun, cell: str = SCENARIO) -> list[str]:
    """`In 13 of 100 reviews: severity and anhedonia shown, response and remission not.`, and how often given the first part."""
    found = []
    for name, measure in zip(run.scenario.patterns, run.patterns(cell), strict=True):
        pattern = run.scenario.patterns[name]
        count, of = round(measure.value * measure.n_replicates), measure.n_replicates
        sentence = f"In {numbers.per_hundred(count, of)} of 100 reviews: {pattern.label or spoken(name)}."
        shown = shows_all(run, pattern.shows, cell)
        if pattern.shows and shown >= 50 and len(pattern.names) > len(pattern.shows):
            questions = listed(list(dict.fromkeys(question_of(run.scenario, one) for one in pattern.shows)))
            sentence += f" Among reviews that show {questions}, that is {numbers.per_hundred(count, shown)} of 100."
        found.append(sentence)
    return found


def shows_all(run: EvidenceRun, names: Sequence[str], cell: str = SCENARIO) -> int:
    """Bodies of evidence in which all of these syntheses show a benefit."""
    if not names:
        return run.n_replicates
    return sum(int(np.logical_and.reduce([run.judged(name, columns).benefit for name in names]).sum()) for columns in run.shards(cell))


def settling_sentences(run: EvidenceRun) -> list[str]:
    """For each outcome the first of the declared additions with which reviews reach the target, or that none does."""
    cells = {name: cell for name, cell in run.variant_cells().items() if run.scenario.variants[name].answers}
    if not cells:
        return []
    target, sentences = run.scenario.target_power, []
    by_cell = {cell: {row.name: row for row in power_rows(run, cell)} for cell in cells.values()}
    for row in leading(run, power_rows(run))[:MOST_QUESTIONS]:
        if row.verdict(target) == "above":
            continue
        reached = [cell for cell in cells.values() if by_cell[cell][row.name].verdict(target) == "above"]
        if reached:
            count = by_cell[reached[0]][row.name].count
            often = numbers.per_hundred(count.shown, count.of)
            sentences.append(f"{row.question.capitalize()} is shown in {often} of 100 reviews {run.cells[reached[0]]}.")
        else:
            best = max(cells.values(), key=lambda cell: by_cell[cell][row.name].count.shown)
            count = by_cell[best][row.name].count
            often = numbers.per_hundred(count.shown, count.of)
            sentences.append(
                f"{row.question.capitalize()} stays below {numbers.percent(target)} of 100 with every addition looked at: {often} {run.cells[best]}."
            )
    return sentences


def selection_sentence(run: EvidenceRun, cell: str = SCENARIO) -> str:
    """`For 11 published trials 92 were run.`; empty where all are published."""
    counts = {measure.name: measure for measure in run.counts(cell)}
    made, published = counts["studies_run"], counts["studies_published"]
    if made.value == published.value:
        return ""
    return f"For {numbers.fixed(published.value, 0)} published trials {numbers.rounded(made.value, made.mcse, 1)} were run on average."
