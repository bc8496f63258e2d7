"""The sentences about bodies of evidence, filled from numbers only."""

from collections.abc import Sequence

import numpy as np

from simtrials.core.measures import Measure
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.simulation import STUDIES_INCLUDED
from simtrials.report import numbers
from simtrials.report.evidence.rows import effect_in_words, leading, power_rows, question_of
from simtrials.report.look import RATIO_DIGITS
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
    """`on average SMD 0.35 in severity and 0.40 in anhedonia`: as declared; the truth where classes differ."""
    found, seen = [], set()
    for row in rows:
        endpoint = run.scenario.outcomes[run.scenario.syntheses[row.name].outcome].endpoint
        truth = run.truths[SCENARIO][row.name]
        if endpoint in seen or not np.isfinite(truth.value):
            continue
        seen.add(endpoint)
        words = declared_effect(run, endpoint) or effect_in_words(run, row.name, truth.value, truth.std_error)
        found.append(f"{words} in {row.question}")
    return f"on average {listed(found)}"


def declared_effect(run: EvidenceRun, endpoint: str) -> str:
    """`SMD 0.35` as it is declared; empty where drug classes differ, or nothing is declared."""
    effect = run.scenario.endpoints[endpoint].effects.get("active")
    if effect is None or any(endpoint in table for table in run.scenario.true_effects.by_class.values()):
        return ""
    value = float(getattr(effect, effect.size_name))
    if effect.size_name == "log_odds_ratio":
        return f"odds ratio {numbers.fixed(float(np.exp(value)), RATIO_DIGITS)}"
    if effect.size_name.endswith("smd"):
        return f"SMD {numbers.fixed(value, RATIO_DIGITS)}"
    return f"{numbers.plain(value)} {run.scenario.endpoints[endpoint].unit}"


def pattern_sentences(run: EvidenceRun, cell: str = SCENARIO) -> list[str]:
    """`In 13 of 100 reviews: severity and anhedonia shown, response and remission not.`"""
    found = []
    for name, measure in zip(run.scenario.patterns, run.patterns(cell), strict=True):
        often = numbers.per_hundred(round(measure.value * measure.n_replicates), measure.n_replicates)
        found.append(f"In {often} of 100 reviews: {run.scenario.patterns[name].label or spoken(name)}.")
    return found


def shows_all(run: EvidenceRun, names: Sequence[str], cell: str = SCENARIO) -> int:
    """Bodies of evidence in which all of these syntheses show a benefit."""
    if not names:
        return run.n_replicates
    return sum(int(np.logical_and.reduce([run.judged(name, columns).benefit for name in names]).sum()) for columns in run.shards(cell))


def without_effect(run: EvidenceRun) -> list[str]:
    """The cells in which the drug does nothing on average: the null, and variants in which something else is at work."""
    declared: list[str] = run.record["without_effect"]
    return [NULL] * (NULL in run.cells) + [cell for cell in run.variant_cells().values() if cell in declared]


def telling_sentence(run: EvidenceRun) -> str:
    """How much it tells that the first pattern's second part is missing: its share among reviews that show the first part, effect or not."""
    if not run.scenario.patterns:
        return ""
    pattern = next(iter(run.scenario.patterns.values()))
    if not pattern.shows or len(pattern.names) == len(pattern.shows):
        return ""
    shares = {cell: missing_among(run, cell) for cell in (SCENARIO, *without_effect(run))}
    known = {cell: share for cell, share in shares.items() if share[1] >= FEWEST_SHOWN}
    if SCENARIO not in known or len(known) < 2 or SCENARIO in run.record["without_effect"]:
        return ""
    first = listed(list(dict.fromkeys(question_of(run.scenario, one) for one in pattern.shows)))
    second = listed(list(dict.fromkeys(question_of(run.scenario, one) for one in (*pattern.does_not_show, *pattern.not_significant))))
    others = [share for cell, share in known.items() if cell != SCENARIO]
    return (
        f"Among reviews that show {first}, {second} are missing in {numbers.per_hundred(*known[SCENARIO])} of 100 if the drug works as assumed, "
        f"and in {numbers.span_per_hundred(others)} if it does nothing."
    )


FEWEST_SHOWN = 50
"""A share among fewer simulated reviews is not told."""


def missing_among(run: EvidenceRun, cell: str) -> tuple[int, int]:
    """How often the first pattern occurs, and how many reviews show what it shows."""
    measure = run.patterns(cell)[0]
    return round(measure.value * measure.n_replicates), shows_all(run, next(iter(run.scenario.patterns.values())).shows, cell)


def null_pattern_sentence(run: EvidenceRun) -> str:
    """How often the first pattern occurs without any effect, and in the settings without effect in which something else is at work."""
    if not run.scenario.patterns or SCENARIO in run.record["without_effect"]:
        return ""
    cells = without_effect(run)
    parts = [f"in {_often(run, NULL)} of 100 if the drug does nothing"] if NULL in cells else []
    selected = [cell for cell in cells if cell != NULL]
    if selected:
        counts = [(round(m.value * m.n_replicates), m.n_replicates) for m in (run.patterns(cell)[0] for cell in selected)]
        parts.append(f"in {numbers.span_per_hundred(counts)} of 100 if it does nothing and trials are selected by their results")
    return f"The same is seen {', '.join(parts)}." if parts else ""


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


def additions_note(run: EvidenceRun) -> str:
    """What the additions that could settle the question have in common, and what one large trial weighs."""
    answers = [variant for variant in run.scenario.variants.values() if variant.answers]
    added = [study for variant in answers for study in variant.set.get("studies.further", ())]
    if not added:
        return ""
    weeks = {numbers.plain(study["weeks"]) for study in added}
    rules = {str(study.get("crp_rule", "unselected")) for study in added}
    every = all(study.get("outcomes") is None for study in added)
    parts = [
        f"{weeks.pop()} weeks long" if len(weeks) == 1 else "",
        spoken(rules.pop()) if len(rules) == 1 else "",
        "measure all outcomes" if every else "",
    ]
    told = f"Added trials: {', '.join(part for part in parts if part)}; the drug works in them as assumed." if any(parts) else ""
    apart = any(tau > 0 for tau in run.scenario.true_effects.tau.values())
    return f"{told} Where true effects differ between trials, a large trial weighs little more in the mean than a small one." if apart else told


GLOSSARY = {
    "SMD": "SMD: standardized mean difference, corrected for small samples (Hedges' g)",
    "DL": "DL: spread of true effects as estimated by DerSimonian and Laird",
    "REML": "REML: spread of true effects estimated by restricted likelihood",
    "Wald": "Wald: interval from the standard error alone",
    "Hartung-Knapp": "Hartung-Knapp: interval that allows for few trials",
    "Mantel-Haenszel": "Mantel-Haenszel: risk ratio pooled from the tables, one common effect",
}


def glossary(run: EvidenceRun) -> str:
    """The terms of the first page that occur, in a few words."""
    words = " ".join(one.method for one in run.scenario.syntheses.values()).replace(",", " ").split()
    words += ["SMD"] * any(meaning.scale == "standardized_mean_difference" for meaning in run.meanings.values())
    known = [text for term, text in GLOSSARY.items() if term in words]
    return f"{'. '.join(known)}." if known else ""
