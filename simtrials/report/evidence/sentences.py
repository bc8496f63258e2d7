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
from simtrials.report.sentences import listed, sentence_case

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


def null_pattern_sentence(run: EvidenceRun) -> str:
    """How often the first pattern occurs without any effect, and in the settings without effect in which something else is at work."""
    if not run.scenario.patterns:
        return ""
    without: list[str] = run.record["without_effect"]
    parts = [f"in {_often(run, NULL)} of 100 reviews if the drug does nothing"] if NULL in run.cells else []
    parts += [f"in {_often(run, cell)} with {run.cells[cell]}" for cell in run.variant_cells().values() if cell in without]
    return f"The same pattern occurs {'; '.join(parts)}." if parts and SCENARIO not in without else ""


def _often(run: EvidenceRun, cell: str) -> str:
    measure = run.patterns(cell)[0]
    return numbers.per_hundred(round(measure.value * measure.n_replicates), measure.n_replicates)


def settling_sentences(run: EvidenceRun) -> list[str]:
    """The first of the declared additions with which reviews reach the target, for each outcome, or that none does."""
    cells = [cell for name, cell in run.variant_cells().items() if run.scenario.variants[name].answers]
    if not cells:
        return []
    target = run.scenario.target_power
    by_cell = {cell: {row.name: row for row in power_rows(run, cell)} for cell in cells}
    reached, best = dict[str, list[str]](), dict[str, list[str]]()
    for row in leading(run, power_rows(run))[:MOST_QUESTIONS]:
        if row.verdict(target) == "above":
            continue
        enough = [cell for cell in cells if by_cell[cell][row.name].verdict(target) == "above"]
        cell = enough[0] if enough else max(cells, key=lambda one: by_cell[one][row.name].count.shown)
        count = by_cell[cell][row.name].count
        (reached if enough else best).setdefault(run.cells[cell], []).append(f"{row.question} in {numbers.per_hundred(count.shown, count.of)}")
    parts = [f"{label}, reviews show {listed(found)} of 100" for label, found in reached.items()]
    sentences = [f"{sentence_case('; '.join(parts))}."] if parts else []
    for label, found in best.items():
        sentences.append(
            f"{sentence_case(label)}, the most that was looked at, reviews show {listed(found)} of 100, fewer than {numbers.percent(target)}."
        )
    return sentences


def selection_sentence(run: EvidenceRun, cell: str = SCENARIO) -> str:
    """`For 11 published trials 92 were run.`; empty where all are published."""
    counts = {measure.name: measure for measure in run.counts(cell)}
    made, published = counts["studies_run"], counts["studies_published"]
    if made.value == published.value:
        return ""
    return f"For {numbers.fixed(published.value, 0)} published trials {numbers.rounded(made.value, made.mcse, 1)} were run on average."
