"""What the first page says is assumed, with its sources, and what a reader should mind."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from simtrials.engine.declared import SCENARIO, Declared
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.report import numbers
from simtrials.report.assumed import biomarker_of, course_in_words, effects_of, shape_in_words, size_in_words
from simtrials.report.checks import effect_in_words
from simtrials.report.departures import departures_in_words, loss_sentences
from simtrials.report.names import admitted_in_words, domain_of, labels_of, question_of, spoken, spoken_assay, spoken_endpoint
from simtrials.report.rows import PowerRow, failure_sentences, widest_interval
from simtrials.report.sentences import levels_of, probabilities_of
from simtrials.report.tables import against_nominal, cell_in_words
from simtrials.trial.endpoints import AdverseEvent

NO_SOURCE = "assumed, no source"
EFFECT_ROWS = 2
MOST_SENTENCES = 2


@dataclass(frozen=True, slots=True)
class Assumption:
    """One row: what, its value, and where the value comes from."""

    what: str
    value: str
    source: str


def assumptions(run: Run) -> list[Assumption]:
    """At most seven rows: effects, their course over the biomarker, the control arm, dropout, who is enrolled, level."""
    scenario = run.scenario
    rows = _effects(run)
    shape = _shape(scenario)
    rows += [shape] if shape else []
    rows.append(course_assumption(scenario))
    rows.append(_departures(run))
    rows.append(screening_assumption(scenario))
    rows.append(level_assumption(scenario))
    return rows


def source_of(scenario: Declared, *paths: str) -> str:
    """The source of the first of these fields that has one; a source of a table holds for all that is in it."""
    for path in paths:
        keys = [key for key in scenario.sources if path == key or path.startswith(f"{key}.")]
        if keys:
            return scenario.sources[max(keys, key=len)]
    return NO_SOURCE


def _joined(parts: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Values and sources of several endpoints in one row each; a source that all share is said once."""
    pairs = list(parts)
    values, sources = [value for value, _ in pairs], list(dict.fromkeys(source for _, source in pairs))
    return "; ".join(dict.fromkeys(values)), "; ".join(sources)


def _effects(run: Run) -> list[Assumption]:
    """One row per effect; one row for all of them where there are many."""
    scenario, found = run.scenario, []
    for endpoint, arm, _ in effects_of(scenario):
        value = effect_in_words(scenario, run.portrait, endpoint, arm)
        found.append((endpoint, arm, value, source_of(scenario, f"endpoints.{endpoint}.effects.{arm}")))
    for endpoint, declared in scenario.endpoints.items():
        if isinstance(declared, AdverseEvent):
            for arm in declared.arm_risk:
                value = size_in_words(scenario, run.portrait, endpoint, arm)
                found.append((endpoint, arm, value, source_of(scenario, f"endpoints.{endpoint}.arm_risk.{arm}")))
    if not found:
        return [Assumption("Effect", "none", "")]
    several_arms = len(scenario.design.arms) > 2
    names = [domain_of(scenario, endpoint) + (f", {spoken(arm)}" if several_arms else "") for endpoint, arm, *_ in found]
    if len(found) <= EFFECT_ROWS:
        return [Assumption(f"Effect on {name}", value, source) for name, (*_, value, source) in zip(names, found, strict=True)]
    value, source = _joined((f"{name} {value}", source) for name, (*_, value, source) in zip(names, found, strict=True))
    return [Assumption("Effects", value, source)]


def _shape(scenario: Scenario) -> Assumption | None:
    """How the benefit depends on the biomarker; its size has another source."""
    shaped = [(endpoint, arm, effect) for endpoint, arm, effect in effects_of(scenario) if effect.needs_biomarker]
    if not shaped:
        return None
    places = [f"endpoints.{endpoint}.effects.{arm}" for endpoint, arm, _ in shaped]
    fields = ("kind", "cut", "zero_at", "half_at", "full_at", "fraction")
    known = [scenario.sources[f"{place}.{field}"] for place in places for field in fields if f"{place}.{field}" in scenario.sources]
    marker = biomarker_of(scenario, shaped[0][2])[0]
    words = dict.fromkeys(shape_in_words(effect, *biomarker_of(scenario, effect)) for *_, effect in shaped)
    return Assumption(f"Effect by {marker}", "; ".join(words), "; ".join(dict.fromkeys(known)) or NO_SOURCE)


def course_assumption(scenario: Scenario) -> Assumption:
    """What happens under control."""
    parts = []
    for endpoint in scenario.endpoints:
        place = f"endpoints.{endpoint}"
        source = source_of(scenario, f"{place}.control_course.change", f"{place}.control_risk", f"{place}.mean")
        which = f"{spoken_endpoint(scenario, endpoint)}: " if len(scenario.endpoints) > 1 else ""
        parts.append((course_in_words(scenario, endpoint), f"{which}{source}"))
    return Assumption(f"Under {spoken(scenario.design.arms[0])}", *_joined(parts))


def _departures(run: Run) -> Assumption:
    """Who is lost and what else happens; nobody and nothing when no departure is declared."""
    names = run.scenario.departures
    if not names:
        return Assumption("Dropout", "nobody", NO_SOURCE)
    known = [(name, source_of(run.scenario, f"departures.{name}.rate", f"departures.{name}")) for name in names]
    told = dict.fromkeys(source if len(names) == 1 else f"{spoken(name)}: {source}" for name, source in known)
    return Assumption("Departures", departures_in_words(run.scenario, run.portrait), "; ".join(told))


def screening_assumption(scenario: Scenario) -> Assumption:
    """Who is enrolled, and how noisy the measurement is."""
    if not scenario.eligibility:
        return Assumption("Enrolled", "everybody who is screened", source_of(scenario, "eligibility"))
    rules = "; ".join(admitted_in_words(rule, scenario) for rule in scenario.eligibility)
    noise = []
    for name, assay in scenario.assays.items():
        samples, sd = getattr(assay, "samples", 1), getattr(assay, "within_person_sd", None)
        many = "one sample" if samples == 1 else f"{samples} samples"
        noise.append(f"{spoken_assay(name)} from {many}" + (f", within-person SD {numbers.plain(sd)} of ln" if sd is not None else ""))
    sources = [source_of(scenario, "eligibility")]
    sources += [f"SD: {source}" for name in scenario.assays if (source := source_of(scenario, f"assays.{name}.within_person_sd")) != NO_SOURCE]
    return Assumption("Enrolled", "; ".join([rules, *noise]), "; ".join(sources))


def level_assumption(scenario: Scenario) -> Assumption:
    """The level of the tests."""
    levels = dict.fromkeys(levels_of(scenario))
    parts = [f"{'one' if one_sided else 'two'}-sided alpha {numbers.probability(level)}" for level, one_sided in levels]
    parts += [f"posterior probability above {numbers.plain(probability)}" for probability in dict.fromkeys(probabilities_of(scenario))]
    words = " or ".join(parts)
    each = " for each analysis" if len(scenario.analyses) > 1 else ""
    return Assumption("Level", f"{words}{each}", "convention")


@dataclass(frozen=True, slots=True)
class Point:
    """Something to mind; failures are strong."""

    words: str
    strong: bool = False


def minded(run: Run, rows: Sequence[PowerRow]) -> list[Point]:
    """What a reader should mind, most important first: failures are always said, also when there are none."""
    others = [
        *_unsure(run, rows),
        _widest(rows),
        *_levels(run),
        *loss_sentences(run.scenario),
        "Sensitivity to the assumptions: not examined.",
        left_out(run.scenario),
    ]
    return [*_failures(rows), *(Point(words) for words in others if words)]


def _failures(rows: Sequence[PowerRow]) -> list[Point]:
    told = list(failure_sentences(list(rows)))
    if not told:
        return [Point(f"Failed: 0 of {numbers.whole(sum(row.count.of for row in rows))} estimates.")]
    more = len(told) - MOST_SENTENCES
    points = [Point(words, strong=True) for words in told[:MOST_SENTENCES]]
    others = f"{more} more analyses" if more > 1 else "one more analysis"
    return [*points, Point(f"Some trials failed in {others}, see Failures.", strong=True)] if more > 0 else points


def _unsure(run: Run, rows: Sequence[PowerRow]) -> list[str]:
    """Analyses whose power cannot be told from the target."""
    target = run.scenario.target_power
    told = [
        f"{row.question}, {row.label}, against {numbers.percent(target)}: {numbers.cannot_tell(row.count.shown, row.count.of, target)}."
        for row in rows
        if row.verdict(target) == "cannot tell"
    ]
    return told[:MOST_SENTENCES]


def _widest(rows: Sequence[PowerRow]) -> str:
    half, row = widest_interval(list(rows))
    return f"Widest Monte Carlo interval of a power: ± {numbers.fixed(max(half, 0.1), 1)} percentage points ({row.question}, {row.label})."


def _levels(run: Run) -> Iterator[str]:
    """Analyses that are significant more often than nominal without any effect."""
    labels = labels_of(run.scenario)
    found = []
    for cell, label in run.cells.items():
        for name, tally in run.tallies(cell).items() if cell != SCENARIO else ():
            analysis = run.scenario.analyses[name]
            nominal = analysis.nominal_either_way
            if against_nominal(tally.n_rejected, tally.n, nominal) == "above":
                share = numbers.share(tally.n_rejected, tally.n)
                found.append(
                    f"{question_of(run.scenario, name)}, {labels[name]}: {share}%, nominal {numbers.percent(nominal)} ({cell_in_words(label)})"
                )
    if found:
        yield f"Significant more often than nominal without effect: {'; '.join(found[:MOST_SENTENCES])}."


def left_out(scenario: Scenario) -> str:
    """What the scenario does not contain."""
    parts = [] if scenario.departures else ["nobody drops out and no visit is missed"]
    if len(scenario.analyses) > 1:
        parts.append(f"the powers of the {len(scenario.analyses)} analyses are each at their own alpha, not adjusted for multiplicity")
    return f"Left out: {'; '.join(parts)}." if parts else ""
