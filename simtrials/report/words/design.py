"""The trial of a sample-size paragraph in words: patients and arms, what is compared and how, events, departures, missing values."""

from collections.abc import Sequence

from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import SETS, Analysis
from simtrials.inference.analyses.mmrm import RepeatedMeasures
from simtrials.inference.analyses.time_to_event import TimeToEvent
from simtrials.inference.estimands import STRATEGIES
from simtrials.report import numbers
from simtrials.report.ademp import level_in_words
from simtrials.report.assumed import Portrait
from simtrials.report.departures import in_words, other_departures
from simtrials.report.names import arm_of, outcome_of, spoken, spoken_endpoint, spoken_in, week_of, week_words
from simtrials.report.sentences import listed, sentence_case
from simtrials.trial.allocations import Blocks, Complete, StratifiedBlocks
from simtrials.trial.departures import Dropout
from simtrials.trial.designs import Fixed
from simtrials.trial.endpoints import AdverseEvent, Binary

MISSING = {
    "excluded": "patients without the outcome are left out",
    "non_response": "patients without the outcome count as failures",
    "locf": "missing values are replaced by the last value seen",
    "bocf": "missing values are replaced by the baseline",
}
MECHANISMS = {"mcar": "completely at random", "mar": "at random given what was seen", "mnar": "not at random"}


def number_in_words(scenario: Scenario) -> str:
    """`In total 200 patients are to be randomized to placebo or active in the ratio 1:1 (100 and 100) in permuted blocks of 4.`"""
    design = scenario.design
    arms, ratio = " or ".join(spoken(arm) for arm in design.arms), ":".join(str(part) for part in design.ratio)
    sizes = [design.n_patients * part / sum(design.ratio) for part in design.ratio]
    exact = isinstance(design.allocation, Blocks) and design.n_patients % design.allocation.block_size == 0
    shown = f"{'' if exact else 'about '}{listed([numbers.whole(size) for size in sizes])}"
    how = f"in the ratio {ratio} ({shown}) {_allocation(scenario)}"
    other = f" The design is {in_words(design)}." if not isinstance(design, Fixed) else ""
    return f"In total {numbers.whole(design.n_patients)} patients are to be randomized to {arms} {how}.{other}"


def _allocation(scenario: Scenario) -> str:
    allocation = scenario.design.allocation
    if isinstance(allocation, Blocks):
        return f"in permuted blocks of {numbers.whole(allocation.block_size)}"
    if isinstance(allocation, StratifiedBlocks):
        strata = listed([spoken_in(text, scenario) for text in allocation.strata])
        return f"in permuted blocks of {numbers.whole(allocation.block_size)} within strata of {strata}"
    return "by simple randomization" if isinstance(allocation, Complete) else f"by {in_words(allocation)}"


def comparison_in_words(scenario: Scenario, name: str) -> str:
    """`Active is compared with placebo in change of MADRS at week 8 by ANCOVA (covariates ...; all randomized; two-sided alpha .05).`"""
    analysis = scenario.analyses[name]
    details = [f"covariates {listed([spoken_in(text, scenario) for text in analysis.covariate_names])}"] if analysis.covariate_names else []
    details += [f"patients: {SETS[analysis.analysis_set]}" + (f", {spoken_in(analysis.where, scenario)}" if analysis.where else "")]
    details.append(level_in_words(analysis))
    arms = f"{sentence_case(spoken(arm_of(scenario, analysis)))} is compared with {spoken(scenario.design.arms[0])}"
    return f"{arms} in {variable_of(scenario, name)}; method: {method_in_words(scenario, analysis)} ({'; '.join(details)})."


def method_in_words(scenario: Scenario, analysis: Analysis) -> str:
    """The method by name; that it has covariates is said where they are named."""
    method = spoken_in(analysis.method, scenario)
    return method.replace(", covariates", "") if analysis.covariate_names else method


def variable_of(scenario: Scenario, name: str) -> str:
    """`change of MADRS at week 8`, `time to response of MADRS up to week 8`, or what a benefit depends on."""
    analysis = scenario.analyses[name]
    what, week = _outcome(scenario, analysis), _week(scenario, analysis)
    if isinstance(analysis, TimeToEvent):
        return f"time to {what}{week.replace(' at ', ' up to ')}"
    scale = analysis.scale_of_effect
    if scale == "slope":
        modifier = spoken_in(str(getattr(analysis, "modifier", "the biomarker")), scenario)
        return f"how the benefit in {what}{week} depends on {modifier}"
    if scale == "difference_per_week":
        return f"change of {what} per week{week.replace(' at ', ' up to ')}"
    if scale in ("log_win_ratio", "log_win_odds", "net_benefit"):
        return f"pairs of patients{week}"
    return f"{what}{week}"


def _outcome(scenario: Scenario, analysis: Analysis) -> str:
    called, outcome = spoken_endpoint(scenario, analysis.endpoint), outcome_of(scenario, analysis)
    if isinstance(scenario.endpoints[analysis.endpoint], Binary | AdverseEvent) or outcome == "value":
        return called
    return f"{spoken(outcome)} of {called}"


def _week(scenario: Scenario, analysis: Analysis) -> str:
    return week_words(scenario, analysis.endpoint) if analysis.week is None else f" at week {numbers.plain(week_of(scenario, analysis))}"


def strategies_in_words(scenario: Scenario, name: str) -> str:
    """What intercurrent events mean for the question (ICH E9(R1)); empty where the scenario has none."""
    if not scenario.intercurrent:
        return ""
    estimand = scenario.estimand_of(name)
    parts = []
    for event in scenario.intercurrent:
        strategy = estimand.strategy_for(event)
        parts.append(f"{spoken(event)}: {spoken(strategy)} ({STRATEGIES[strategy]})")
    return f"Intercurrent events in {variable_of(scenario, name)}: {'; '.join(parts)}."


def attrition_in_words(scenario: Scenario, portrait: Portrait, names: Sequence[str]) -> str:
    """Who departs from the plan and who is seen at the analyzed visit, by arm, as simulated."""
    if not scenario.departures:
        return "No dropout and no missing visits are assumed; the number is not inflated for attrition."
    about = portrait["departures"]
    parts = [f"{spoken(event)} in {_by_arm(scenario, shares)}{_mechanism(scenario, event)}" for event, shares in about["events"].items()]
    parts += [f"also {listed(others)}"] if (others := other_departures(scenario, portrait)) else []
    seen = []
    for endpoint, week in dict.fromkeys((scenario.analyses[name].endpoint, week_of(scenario, scenario.analyses[name])) for name in names):
        visit = scenario.endpoints[endpoint].visits.index(week)
        shares = {arm: values[visit] for arm, values in about["seen"][endpoint].items()}
        at = "" if week_words(scenario, endpoint) == "" else f" at week {numbers.plain(week)}"
        seen.append(f"{spoken_endpoint(scenario, endpoint)} is then seen{at} in {_by_arm(scenario, shares)}")
    sentence = f"Assumed departures from the plan: {'; '.join(parts)}; {'; '.join(seen)}"
    return f"{sentence}. Power is with these losses, for the simulated trials lose patients in this way; the number is not inflated any further."


def _by_arm(scenario: Scenario, shares: dict[str, float]) -> str:
    """`12% of either arm`, or each arm with its share."""
    shown = [numbers.fixed(100 * shares[arm], 0) for arm in scenario.design.arms]
    if len(set(shown)) == 1:
        return f"{shown[0]}% of {'either' if len(shown) == 2 else 'every'} arm"
    return listed([f"{share}% under {spoken(arm)}" for share, arm in zip(shown, scenario.design.arms, strict=True)])


def _mechanism(scenario: Scenario, event: str) -> str:
    departure = scenario.departures.get(event)
    return f" ({MECHANISMS[departure.mechanism]})" if isinstance(departure, Dropout) else ""


def missing_in_words(scenario: Scenario, name: str) -> str:
    """How an analysis deals with missing values."""
    analysis = scenario.analyses[name]
    if analysis.imputes:
        rule = f"missing values are imputed ({spoken_in(analysis.method, scenario)})"
    elif isinstance(analysis, TimeToEvent):
        rule = "patients who are not seen any more are censored at the last visit before"
    elif isinstance(analysis, RepeatedMeasures):
        rule = "every visit that was observed enters the model, and missing ones are taken as missing at random"
    elif analysis.fills_gaps:
        rule = "the method uses every visit that was observed"
    else:
        rule = MISSING[analysis.missing]
    return f"In the analysis of {variable_of(scenario, name)} {rule}."
