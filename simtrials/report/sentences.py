"""The sentences of the faces, filled from numbers only.

*Assumed* is said for inputs, *simulated* for trials, *shows a benefit* for a test that is significant in the direction of benefit.
"""

from collections.abc import Sequence

from simtrials.core.measures import Measure
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Bayesian
from simtrials.report import numbers
from simtrials.report.assumed import Portrait, size_in_words
from simtrials.report.names import arm_of, question_of, spoken, spoken_assay, spoken_endpoint, spoken_in, week_words
from simtrials.report.rows import PowerRow, leading, power_rows
from simtrials.trial.endpoints import AdverseEvent, Binary

MOST_QUESTIONS = 4
"""Questions that the answer names; the table has all."""


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence_case(text: str) -> str:
    """The same with a capital at the start."""
    return text[:1].upper() + text[1:]


def answer(run: Run) -> list[str]:
    """The answer: what a trial shows if the drug works as assumed, and if it does nothing."""
    rows = power_rows(run)
    asked = [row for row in leading(run, rows) if _about_benefit(run.scenario, row)]
    slopes = [row for row in leading(run, rows) if run.scenario.analyses[row.name].scale_of_effect == "slope"]
    found = [power_sentence(run, rows, asked)] if asked else []
    found += slope_sentences(run.scenario, [row for row in slopes[:MOST_QUESTIONS] if not row.count.none_estimable])
    return [sentence for sentence in [*found, null_sentence(asked[:MOST_QUESTIONS] or slopes, NULL in run.cells)] if sentence]


def _about_benefit(scenario: Scenario, row: PowerRow) -> bool:
    analysis = scenario.analyses[row.name]
    return analysis.scale_of_effect != "slope" and not isinstance(scenario.endpoints[analysis.endpoint], AdverseEvent)


def power_sentence(run: Run, rows: Sequence[PowerRow], asked: Sequence[PowerRow]) -> str:
    """`If the drug works as assumed (3.4 MADRS points at week 8), a trial of 200 patients shows a benefit in severity in 84 of 100 trials.`"""
    told = [row for row in asked[:MOST_QUESTIONS] if not row.count.none_estimable]
    lost = [row.question for row in asked[:MOST_QUESTIONS] if row.count.none_estimable]
    several = {row.question for row in rows if sum(other.question == row.question for other in rows) > 1}
    parts: list[str] = []
    for row in told:
        method = f" ({row.label})" if row.question in several else ""
        unit = " of 100 trials" if not parts else ""
        parts.append(f"in {row.question} in {numbers.per_hundred(row.count.shown, row.count.of)}{unit}{method}")
    trial = f"a trial of {numbers.whole(run.scenario.design.n_patients)} patients"
    if not parts:
        return f"No result: none of the simulated trials could be analyzed for {listed(lost)}."
    sentence = f"{_condition(run, told)}, {trial} shows a benefit {', '.join(parts)}."
    return sentence + (f" None of the simulated trials could be analyzed for {listed(lost)}." if lost else "")


def _condition(run: Run, rows: Sequence[PowerRow]) -> str:
    """`If the drug works as assumed (3.4 MADRS points at week 8)`."""
    effects = assumed_effects(run.scenario, run.portrait, rows)
    return f"If the drug works as assumed ({effects})" if effects else "Under the assumed scenario, in which the drug does nothing"


def assumed_effects(scenario: Scenario, portrait: Portrait, rows: Sequence[PowerRow]) -> str:
    """`2.9 MADRS points and 2.9 SHAPS points at week 8`: what is assumed of the endpoints that are asked about; empty without any effect."""
    analyses = [scenario.analyses[row.name] for row in rows]
    pairs = dict.fromkeys((analysis.endpoint, arm_of(scenario, analysis)) for analysis in analyses)
    by_week: dict[str, list[str]] = {}
    for endpoint, arm in pairs:
        if arm not in scenario.endpoints[endpoint].effects:
            continue
        size = size_in_words(scenario, portrait, endpoint, arm)
        if isinstance(scenario.endpoints[endpoint], Binary):
            size = f"{spoken_endpoint(scenario, endpoint)} in {size}"
        name = f"{spoken(arm)} " if len(scenario.design.arms) > 2 else ""
        by_week.setdefault(week_words(scenario, endpoint), []).append(name + size)
    return "; ".join(f"{listed(sizes)}{week}" for week, sizes in by_week.items())


def slope_sentences(scenario: Scenario, rows: Sequence[PowerRow]) -> list[str]:
    """`The benefit in severity is shown to rise with ln(CRP) in 7 of 100 trials, to be larger where CRP >= 3 in 9.`"""
    parts: dict[str, list[str]] = {}
    for row in rows:
        modifier = spoken_in(str(getattr(scenario.analyses[row.name], "modifier", "the biomarker")), scenario)
        told = parts.setdefault(row.question.partition(" by ")[0], [])
        verb = "be larger where" if any(sign in modifier for sign in "<>=") else "rise with"
        unit = "" if told else " of 100 trials"
        told.append(f"to {verb} {modifier} in {numbers.per_hundred(row.count.shown, row.count.of)}{unit}")
    return [f"The benefit in {question} is shown {', '.join(told)}." for question, told in parts.items()]


def null_sentence(rows: Sequence[PowerRow], was_run: bool) -> str:
    """`If it does nothing, 2 to 3 of 100 still do.`"""
    if not was_run:
        return "The same trials without any effect were not run."
    shares = [(row.null.shown, row.null.of) for row in rows if row.null is not None and not row.null.none_estimable]
    if not shares:
        return ""
    each = ", for each question" if len(shares) > 1 else ""
    return f"If it does nothing, {numbers.span_per_hundred(shares)} of 100 still do{each}."


def pattern_sentences(run: Run) -> list[str]:
    """`In 14 of 100 trials: severity and anhedonia shown, response and remission not.`"""
    found = []
    for name, measure in zip(run.scenario.patterns, run.patterns(), strict=True):
        often = numbers.per_hundred(round(measure.value * measure.n_replicates), measure.n_replicates)
        found.append(f"In {often} of 100 trials: {run.scenario.patterns[name].label or spoken(name)}.")
    return found


def exaggeration_sentence(measure: Measure, what: str) -> str:
    """`Trials that reach statistical significance overstate the benefit in severity 1.4 times on average.`; empty unless clear of its error."""
    if not measure.value - numbers.Z95 * measure.mcse > 1:
        return ""
    text = numbers.rounded(measure.value, measure.mcse, 1)
    often = "by less than 5%" if text in ("1", "1.0") else f"{text} times"
    return f"Trials that reach statistical significance overstate {what} {often} on average."


def overstated(run: Run, name: str) -> str:
    """What an analysis may overstate: `the benefit in severity`, the harm where the truth is harm, or how a benefit depends on something."""
    question, truth = question_of(run.scenario, name), run.truths[SCENARIO][name].value
    if run.scenario.analyses[name].scale_of_effect == "slope":
        benefit, _, modifier = question.partition(" by ")
        return f"how much the benefit in {benefit} depends on {modifier}"
    return f"the {'benefit' if truth * run.meanings[name].benefit > 0 else 'harm'} in {question}"


def screening_sentence(portrait: Portrait) -> str:
    """`Of 1,000 screened, 388 are enrolled.`"""
    if portrait["pass_rate"] == 1.0:
        return "Everybody who is screened is enrolled."
    return f"Of 1,000 screened, {numbers.fixed(1000 * portrait['pass_rate'], 0)} are enrolled."


def measured_sentence(portrait: Portrait, assay: str) -> str:
    """`19 of 100 enrolled patients usually have CRP below 2 mg/L; a second sample would be below it in 31 of 100.`"""
    about = portrait["assays"][assay]
    if "usual_at_least" not in about:
        return ""
    usual, repeat = (_hundred(1 - about[key][0]) for key in ("usual_at_least", "repeat_at_least"))
    limit = f"{spoken_assay(assay)} below {numbers.plain(about['at_least'])} {about['unit']}"
    return f"{usual} of 100 enrolled patients usually have {limit}; a second sample would be below it in {repeat} of 100."


def _hundred(share: float) -> str:
    """Of 100, for a share that very many patients have told."""
    text = numbers.fixed(100 * share, 0)
    return {"0": "fewer than 1", "100": "more than 99"}.get(text, text) if 0 < share < 1 else text


def logistics_in_words(run: Run) -> str:
    """`18 months to the last visit (90% of trials 15 to 22); cost 4.6 M EUR (4.4 to 4.9)`; empty where neither is declared."""
    measures = {measure.name: measure for measure in run.logistics()}
    parts = []
    if "months" in measures:
        low, high = (measures[f"months_{end}"].value for end in ("q05", "q95"))
        parts.append(f"{numbers.fixed(measures['months'].value, 0)} months to the last visit (90% of trials {numbers.between(low, high, 0)})")
    if "cost" in measures and run.scenario.costs is not None:
        mean, least, most = (numbers.money(measures[name].value) for name in ("cost", "cost_q05", "cost_q95"))
        parts.append(f"cost {mean} {run.scenario.costs.currency}" + (f" ({least} to {most})" if least != most else ""))
    return "; ".join(parts)


def screened_per_enrolled(mean: Measure, low: Measure, high: Measure) -> str:
    """`2.6 (90% of trials 2.4 to 2.8)`."""
    if low.value == high.value:
        return numbers.fixed(mean.value, 1)
    return f"{numbers.rounded(mean.value, mean.mcse, 1)} (90% of trials {numbers.between(low.value, high.value, 1)})"


def benefit_in_words(levels: Sequence[tuple[float, bool]], probabilities: Sequence[float] = ()) -> str:
    """What 'shows a benefit' means: `two-sided P < .05 in the direction of benefit`, from levels and whether they are one-sided, and from the
    posterior probabilities that Bayesian analyses ask for."""
    tests = [f"{'one' if one_sided else 'two'}-sided P < {numbers.probability(level)}" for level, one_sided in dict.fromkeys(levels)]
    parts = [f"{' or '.join(tests)} in the direction of benefit"] if tests else []
    parts += [f"a posterior probability of benefit above {numbers.plain(probability)}" for probability in dict.fromkeys(probabilities)]
    return ", or ".join(parts)


def levels_of(scenario: Scenario) -> list[tuple[float, bool]]:
    """Level of each analysis that tests, and whether it is one-sided."""
    tests = (analysis for analysis in scenario.analyses.values() if not isinstance(analysis, Bayesian))
    return [(analysis.alpha, False) if analysis.one_sided_alpha is None else (analysis.one_sided_alpha, True) for analysis in tests]


def probabilities_of(scenario: Scenario) -> list[float]:
    """The posterior probability that each Bayesian analysis asks for."""
    return [analysis.probability for analysis in scenario.analyses.values() if isinstance(analysis, Bayesian)]
