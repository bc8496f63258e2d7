"""The sample-size paragraph of a protocol, made from a scenario and what was simulated of it.

What it states: patients and arms, comparison and method, response under control, target difference with its SD and SMD, events, attrition and missing
values, level, power with its Monte Carlo error, software, seed, sources.

Source: SPIRIT 2013 item 14 and SPIRIT 2025 item 19; CONSORT 2010 item 7a and CONSORT 2025 item 16a (how sample size was determined, with all
assumptions); Cook et al. 2018 (DELTA2), BMJ 363, k3750 (target difference, SD, control response, level, power, allowance for loss).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from simtrials.core.measures import wilson
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Analysis, Bayesian
from simtrials.planning.points import Share
from simtrials.report import numbers
from simtrials.report.assumed import biomarker_of, course_in_words, mean_benefit, shape_in_words, size_in_words
from simtrials.report.checks import effect_in_words
from simtrials.report.look import MANY_FAILED
from simtrials.report.names import admitted_in_words, arm_of, labels_of, outcome_of, question_of, spoken, spoken_endpoint, unit_of, week_of
from simtrials.report.sentences import benefit_in_words, listed
from simtrials.report.words.basis import Basis
from simtrials.report.words.design import (
    attrition_in_words,
    comparison_in_words,
    missing_in_words,
    number_in_words,
    strategies_in_words,
    variable_of,
)
from simtrials.report.words.sources import sourced
from simtrials.trial.endpoints import AdverseEvent, Binary, Continuous, SymptomScale

Key = TypeVar("Key", bound=Hashable)
MOST_OTHERS = 6
"""Other analyses whose power the paragraph gives; the table of powers has all."""
CONTRASTS = {"difference": "difference in means", "slope": "difference in effect", "weeks": "difference in mean weeks"}


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sample-size paragraph: its sentences by what they are about, the sources of what it states, and what a reader must be warned of."""

    title: str
    analyses: tuple[str, ...]
    sentences: dict[str, str]
    sources: list[tuple[str, str]]
    warnings: list[str]

    @property
    def text(self) -> str:
        """The sentences, one after another."""
        return " ".join(sentence for sentence in self.sentences.values() if sentence)


def paragraph(basis: Basis, names: Sequence[str]) -> Paragraph:
    """The paragraph about one analysis, or about several that must all show a benefit in the same trial."""
    scenario = basis.scenario
    sources, without = sourced(scenario, names)
    sentences = {
        "number": _number(basis),
        "comparison": _each(comparison_in_words(scenario, name) for name in names),
        "control": _control(basis, names),
        "effect": _effect(basis, names),
        "truth": _each(_truth(basis, name) for name in names),
        "events": _each(strategies_in_words(scenario, name) for name in names),
        "attrition": attrition_in_words(scenario, basis.portrait, names),
        "missing": _each(missing_in_words(scenario, name) for name in names),
        "power": _power(basis, names),
        "type_one_error": _each(_level(basis, name) for name in names),
        "others": _others(basis, names),
        "screening": _screening(basis),
        "logistics": f"Time and cost as simulated: {basis.logistics}." if basis.logistics else "",
        "software": _software(basis),
    }
    return Paragraph(_title(scenario, names), tuple(names), sentences, sources, list(_warnings(basis, names, without)))


def _each(sentences: Iterator[str]) -> str:
    return " ".join(sentence for sentence in dict.fromkeys(sentences) if sentence)


def called(scenario: Scenario, name: str) -> str:
    """`severity, ANCOVA`."""
    return f"{question_of(scenario, name)}, {labels_of(scenario)[name]}"


def _title(scenario: Scenario, names: Sequence[str]) -> str:
    return listed([called(scenario, name) for name in names])


def _number(basis: Basis) -> str:
    if basis.search is None:
        return number_in_words(basis.scenario)
    found, scenario = basis.search.found, basis.scenario
    every = "all of " if len(basis.search.analyses) > 1 else ""
    asked = listed([called(scenario, name) for name in basis.search.analyses])
    interval = f"95% Monte Carlo interval {numbers.whole(found.lower or 0)} to {numbers.whole(found.upper or 0)}"
    answer = f"{numbers.whole(found.n or 0)} ({interval})"
    smallest = f"The smallest number of patients with a power of at least {numbers.percent(basis.search.target)}% for {every}{asked} is {answer}"
    return f"{smallest}, found by simulation. {number_in_words(scenario)}"


def _control(basis: Basis, names: Sequence[str]) -> str:
    """What happens under control in each endpoint, with the SD; for response and remission their share."""
    scenario = basis.scenario
    control, told = scenario.design.arms[0], []
    for endpoint, about in _grouped(names, lambda name: scenario.analyses[name].endpoint).items():
        declared, before, unequal = scenario.endpoints[endpoint], "", list[str]()
        if isinstance(declared, SymptomScale):
            before = f"{spoken_endpoint(scenario, endpoint)} at baseline mean {numbers.plain(declared.baseline.mean)}, "
            before += f"SD {numbers.plain(declared.baseline.sd)}; change "
        if isinstance(declared, Continuous):
            unequal = [f"SD {numbers.plain(sd)} under {spoken(arm)}" for arm, sd in declared.arm_sd.items()]
        parts = [before + course_in_words(scenario, endpoint), *unequal, *_shares(basis, about, control)]
        told.append(f"Assumed under {spoken(control)}: {'; '.join(parts)}.")
    return " ".join(told)


def _grouped(names: Sequence[str], key: Callable[[str], Key]) -> dict[Key, list[str]]:
    """Analyses by what they have in common, in their order."""
    found: dict[Key, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return found


def _shares(basis: Basis, names: Sequence[str], arm: str) -> list[str]:
    """`response in 28%`: what the assumed scores come to at the last visit if everybody is seen; empty for other outcomes."""
    found = []
    for name in names:
        outcome, arms = outcome_of(basis.scenario, basis.scenario.analyses[name]), _arms(basis, name)
        if outcome in ("response", "remission") and arm in arms:
            found.append(f"{outcome} in {numbers.fixed(100 * arms[arm][outcome], 0)}%")
    return list(dict.fromkeys(found))


def _arms(basis: Basis, name: str) -> dict[str, dict[str, float]]:
    """Response and remission by arm, where they are analyzed at the last visit."""
    analysis = basis.scenario.analyses[name]
    last = week_of(basis.scenario, analysis) == basis.scenario.endpoints[analysis.endpoint].visits[-1]
    return basis.portrait["endpoints"][analysis.endpoint].get("arms", {}) if last else {}


def _effect(basis: Basis, names: Sequence[str]) -> str:
    """The target difference in its unit and as an SMD, and how it depends on the biomarker, for each endpoint and arm."""
    scenario = basis.scenario
    groups = _grouped(names, lambda name: (scenario.analyses[name].endpoint, arm_of(scenario, scenario.analyses[name])))
    return " ".join(_effect_on(basis, endpoint, arm, about) for (endpoint, arm), about in groups.items())


def _effect_on(basis: Basis, endpoint: str, arm: str, names: Sequence[str]) -> str:
    scenario, declared = basis.scenario, basis.scenario.endpoints[endpoint]
    if isinstance(declared, AdverseEvent):
        size = size_in_words(scenario, basis.portrait, endpoint, arm)
        return f"Assumed risk of {spoken_endpoint(scenario, endpoint)} under {spoken(arm)}: {size}."
    if arm not in declared.effects:
        return f"No effect of {spoken(arm)} on {spoken_endpoint(scenario, endpoint)} is assumed."
    effect = declared.effects[arm]
    size = effect_in_words(scenario, basis.portrait, endpoint, arm)
    what = f"{spoken_endpoint(scenario, endpoint)} in {size}" if isinstance(declared, Binary) and not effect.needs_biomarker else size
    shape = shape_in_words(effect, *biomarker_of(scenario, effect))
    shares = _shares(basis, names, arm)
    follow = f"; this comes to {listed(shares)}" if shares else ""
    helps = mean_benefit(basis.portrait, endpoint, arm) > 0
    return f"{'Target difference for' if helps else 'Assumed effect of'} {spoken(arm)}: {what}, {shape}{follow}."


def _truth(basis: Basis, name: str) -> str:
    """The value of what the analysis estimates under these assumptions; ratios as ratios."""
    truth, unit = basis.truths[name], unit_of(basis.scenario, name)
    if not np.isfinite(truth.value):
        return ""
    if unit.name.startswith("log "):
        ratio = float(np.exp(truth.value))
        scale, value = unit.name.removeprefix("log "), _with_error(ratio, ratio * truth.std_error, 3, "")
    else:
        scale_of_effect = str(basis.scenario.analyses[name].scale_of_effect)
        scale = CONTRASTS.get(scale_of_effect, spoken(scale_of_effect))
        value = _with_error(unit.factor * truth.value, unit.factor * truth.std_error, unit.digits + 1, f" {unit.name}")
    return f"Under these assumptions the true {scale} in this comparison is {value}."


def _with_error(value: float, mcse: float, places: int, unit: str) -> str:
    """`2.823 MADRS points (Monte Carlo standard error 0.0016)`; without an error where the value is exact."""
    if mcse == 0:
        return f"{numbers.fixed(value, places)}{unit}"
    shown, _, error = numbers.with_mcse(value, mcse, places).partition(" (")
    return f"{shown}{unit} (Monte Carlo standard error {error}"


def _power(basis: Basis, names: Sequence[str]) -> str:
    """Power with its Monte Carlo error and interval, against the target, with trials that could not be analyzed and the closed form."""
    scenario = basis.scenario
    shown = benefit_in_words(*_levels([scenario.analyses[name] for name in names]))
    if basis.search is not None:
        found = basis.search.found
        value = f"{numbers.rounded(100 * found.power, 100 * found.mcse, 1)}% ({_error(found.mcse)})"
        trials = f"{numbers.whole(found.replicates)} simulated trials at {len(found.looks)} numbers of patients"
        how = f"from a line fitted on the probit scale to power near the target, in {trials}" if found.line else f"in {trials}"
        return f"Power at this number is {value}, {how}; a trial counts when it shows a benefit ({shown}).{_closed(basis, names)}"
    share = basis.shares[names[0]]
    if share.failed == share.of:
        return f"No power can be given: none of {numbers.whole(share.of)} simulated trials could be analyzed."
    places, (low, high) = numbers.decimals(100 * share.mcse, 1), (100 * limit for limit in wilson(share.shown, share.of))
    value = f"{numbers.in_percent(share.shown, share.of)} ({_error(share.mcse)}; 95% Monte Carlo interval {numbers.between(low, high, places)}%)"
    lost = f"; {numbers.whole(share.failed)} could not be analyzed and count as no benefit" if share.failed else "; all could be analyzed"
    of = f"the share of {numbers.whole(share.of)} simulated trials that show a benefit ({shown}){lost}"
    return f"Power is {value}, {of}.{_closed(basis, names)}{_against_target(scenario, share)}"


def _levels(analyses: Sequence[Analysis]) -> tuple[list[tuple[float, bool]], list[float]]:
    """Level of each analysis that tests and whether it is one-sided, and what Bayesian ones ask for."""
    tests = [analysis for analysis in analyses if not isinstance(analysis, Bayesian)]
    levels = [(one.alpha, False) if one.one_sided_alpha is None else (one.one_sided_alpha, True) for one in tests]
    return levels, [one.probability for one in analyses if isinstance(one, Bayesian)]


def _error(mcse: float) -> str:
    return f"Monte Carlo standard error {numbers.significant(100 * mcse, 2)} percentage points"


def _closed(basis: Basis, names: Sequence[str]) -> str:
    if len(names) > 1 or names[0] not in basis.closed_forms:
        return ""
    power, what = basis.closed_forms[names[0]]
    return f" A closed form ({what}) gives {numbers.fixed(100 * power, 1)}%."


def _against_target(scenario: Scenario, share: Share) -> str:
    words = {
        "above": "This is above the target of {}%.",
        "below": "This is below the target of {}%.",
        "cannot tell": "Whether this reaches the target of {}% cannot be told from so many simulated trials.",
    }
    return " " + words[numbers.verdict(share.shown, share.of, scenario.target_power)].format(numbers.percent(scenario.target_power))


def _level(basis: Basis, name: str) -> str:
    """How often a benefit is shown without any effect."""
    share = basis.nulls.get(name)
    if share is None:
        return "The same trials without any effect were not simulated."
    if share.failed == share.of:
        return ""
    nominal = numbers.percent(basis.scenario.analyses[name].nominal)
    found = f"{numbers.in_percent(share.shown, share.of)} ({_error(share.mcse)}), nominal {nominal}%"
    return f"Share of trials that show a benefit without any effect: {found}."


def _others(basis: Basis, names: Sequence[str]) -> str:
    """Power of the other analyses at the same number."""
    rest = {name: share for name, share in basis.shares.items() if [name] != list(names) and share.failed < share.of}
    if not rest:
        return ""
    parts = [f"{called(basis.scenario, name)} {numbers.share_detail(share.shown, share.of)}" for name, share in list(rest.items())[:MOST_OTHERS]]
    parts += [f"and {len(rest) - MOST_OTHERS} more analyses"] if len(rest) > MOST_OTHERS else []
    unadjusted = " Each analysis is tested at its own level."
    return f"Power of other analyses in the same trials, % (Monte Carlo standard error): {'; '.join(parts)}.{unadjusted}"


def _screening(basis: Basis) -> str:
    scenario = basis.scenario
    if not scenario.eligibility:
        return ""
    rules = "; ".join(admitted_in_words(rule, scenario) for rule in scenario.eligibility)
    return f"Enrolled: {rules}; screened per enrolled patient {basis.screened}."


def _software(basis: Basis) -> str:
    versions, scenario = basis.versions, basis.scenario
    software = f"simtrials {versions['simtrials']} (Python {versions['python']}, NumPy {versions['numpy']})"
    return f"Simulated with {software}; scenario {scenario.name}, digest {basis.digest}, seed {scenario.seed}."


def _warnings(basis: Basis, names: Sequence[str], without: Sequence[str]) -> Iterator[str]:
    """What is assumed without a source, and analyses that often fail."""
    if without:
        yield f"No source is declared for {listed(list(without))}. Name one under [sources] of the scenario, or justify the value here."
    for name in names:
        share = basis.shares.get(name)
        if share is not None and share.failed > MANY_FAILED * share.of:
            failed = f"{numbers.whole(share.failed)} of {numbers.whole(share.of)}"
            yield f"{variable_of(basis.scenario, name)} could not be analyzed in {failed} simulated trials, which count as no benefit."
