"""How the faces call things: questions, analyses, units, biomarkers and rules."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from simtrials.core.data import EffectScale
from simtrials.core.outcomes import OUTCOMES
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Analysis
from simtrials.report.look import POINT_DIGITS, RATIO_DIGITS
from simtrials.report.numbers import plain
from simtrials.trial.eligibility import EligibilityRule, Limits
from simtrials.trial.endpoints import Continuous, Endpoint, SymptomScale

BY_OUTCOME = ("response", "remission", "sustained_response")
GENERIC = ("event", "outcome", "adverse event")
"""Domains that say less than the name of the endpoint."""

INTERVALS = {
    "mee": "Mee",
    "miettinen_nurminen": "Miettinen-Nurminen",
    "newcombe": "Newcombe",
    "wald": "Wald",
    "fisher_exact": "Newcombe",
    "van_elteren": "Wald on placements",
    "mantel_haenszel": "Wald",
    "proportional_odds": "Wald",
    "cox": "Wald",
    "win_ratio": "Wald",
    "bayesian_means": "credible interval",
    "bayesian_risks": "credible interval",
    "randomization_test": "none",
    "mann_whitney": "Wald on placements",
    "logistic": "Wald",
}


def spoken(name: str) -> str:
    """A name of the file in running text: `high_dose` is high dose."""
    return name.replace("_", " ")


WORDS = ("age", "sex", "site", "arm")
"""Short names that are words."""
UNITS = {"_years": "years", "_kg_m2": "kg/m2", "_mg_l": "mg/L", "_weeks": "weeks"}


def spoken_column(name: str) -> str:
    """A column with its unit: `bmi_kg_m2` is BMI (kg/m2)."""
    for ending, unit in UNITS.items():
        if name.endswith(ending) and name != ending:
            return f"{spoken_assay(name.removesuffix(ending))} ({unit})"
    return spoken(name)


def spoken_assay(name: str) -> str:
    """An assay in running text: short names are abbreviations, `crp` is CRP."""
    return name.upper() if name.isalnum() and name.islower() and len(name) <= 4 and name not in WORDS else spoken(name)


def spoken_in(text: str, scenario: Scenario) -> str:
    """An expression with its assays spoken: `ln(CRP)`."""
    for name in scenario.assays:
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", spoken_assay(name), text)
    return text


def week_of(scenario: Scenario, analysis: Analysis) -> float:
    """The visit that is analyzed."""
    return analysis.week if analysis.week is not None else scenario.endpoints[analysis.endpoint].visits[-1]


def week_words(scenario: Scenario, endpoint: str) -> str:
    """` at week 8`, the last visit; nothing for an endpoint whose only week is left at its default."""
    declared = scenario.endpoints[endpoint]
    week = type(declared).model_fields.get("week")
    by_default = week is not None and week.default == declared.visits[-1]
    return "" if by_default else f" at week {plain(declared.visits[-1])}"


def outcome_of(scenario: Scenario, analysis: Analysis) -> str:
    """The outcome that is analyzed, by name."""
    return analysis.outcome or scenario.endpoints[analysis.endpoint].outcomes[0]


def arm_of(scenario: Scenario, analysis: Analysis) -> str:
    """The arm that is compared with control."""
    return analysis.arm or scenario.design.arms[1]


def domain_of(scenario: Scenario, endpoint: str) -> str:
    """What an endpoint measures, in a word: its domain, or its own name where the domain says nothing."""
    domain = scenario.endpoints[endpoint].domain
    return spoken_endpoint(scenario, endpoint) if domain in GENERIC else domain


def spoken_endpoint(scenario: Scenario, endpoint: str) -> str:
    """MADRS for a scale, else the endpoint's own name."""
    scale = scenario.endpoints[endpoint].symptom_scale
    return scale.name if scale else spoken(endpoint)


def question_of(scenario: Scenario, name: str) -> str:
    """What an analysis asks about: response, remission, or the domain of its endpoint; the arm where there are several."""
    analysis = scenario.analyses[name]
    outcome = outcome_of(scenario, analysis)
    question = outcome.replace("_", " ") if outcome in BY_OUTCOME else domain_of(scenario, analysis.endpoint)
    if outcome in BY_OUTCOME and _scales_asking(scenario, outcome) > 1:
        question += f" ({spoken_endpoint(scenario, analysis.endpoint)})"
    if analysis.scale_of_effect == "slope":
        question += f" by {spoken_in(str(getattr(analysis, 'modifier', 'biomarker')), scenario)}"
    return question if len(scenario.design.arms) == 2 else f"{question} ({spoken(arm_of(scenario, analysis))})"


def _scales_asking(scenario: Scenario, outcome: str) -> int:
    """Number of endpoints that are analyzed for an outcome."""
    return len({analysis.endpoint for analysis in scenario.analyses.values() if outcome_of(scenario, analysis) == outcome})


FILLED: dict[str, str] = {"non_response": "missing = failure", "locf": "LOCF", "bocf": "BOCF"}  # how labels name a way to fill missing values


def labels_of(scenario: Scenario) -> dict[str, str]:
    """The label of each analysis: its own, or its method with what tells it from the others of its question."""
    labels = {name: analysis.label or _label(scenario, analysis) for name, analysis in scenario.analyses.items()}
    places = {name: (question_of(scenario, name), label) for name, label in labels.items()}
    twice = {place for place in places.values() if list(places.values()).count(place) > 1}
    return {name: f"{label} ({name})" if places[name] in twice else label for name, label in labels.items()}


def _label(scenario: Scenario, analysis: Analysis) -> str:
    endpoint, outcome = scenario.endpoints[analysis.endpoint], outcome_of(scenario, analysis)
    parts = [spoken_in(analysis.method, scenario)]
    if outcome not in BY_OUTCOME and outcome != endpoint.outcomes[0]:
        parts.append(outcome.replace("_", " "))
    if week_of(scenario, analysis) != endpoint.visits[-1]:
        parts.append(f"week {plain(week_of(scenario, analysis))}")
    if analysis.where:
        parts.append(spoken_in(analysis.where, scenario))
    return ", ".join([*parts, *patients_in_words(analysis.analysis_set, analysis.missing)])


def patients_in_words(analysis_set: str, missing: str) -> list[str]:
    """Whom an analysis takes, and how it fills what is missing, where that is not the usual way."""
    chosen = [] if analysis_set == "all_randomised" else [analysis_set.replace("_", " ")]
    return chosen + ([FILLED[missing]] if missing in FILLED else [])


@dataclass(frozen=True, slots=True)
class Unit:
    """How the effect of an analysis is printed: times `factor`, with at most so many decimals in tables, in this unit."""

    factor: float
    digits: int
    name: str


def unit_of(scenario: Scenario, name: str) -> Unit:
    """The unit of the effect of an analysis."""
    analysis = scenario.analyses[name]
    if analysis.scale_of_effect == "slope":
        return _unit_of_slope(scenario, analysis)
    return unit_of_scale(scenario, analysis.endpoint, outcome_of(scenario, analysis), analysis.scale_of_effect)


def unit_of_scale(scenario: Scenario, name: str, outcome: str, scale: EffectScale) -> Unit:
    """The unit of an effect on one outcome of an endpoint."""
    endpoint = scenario.endpoints[name]
    if scale == "difference":
        return _unit_of_difference(endpoint, outcome)
    units: dict[str, Unit] = {
        "risk_difference": Unit(100.0, 1, "percentage points"),
        "log_risk_ratio": Unit(1.0, RATIO_DIGITS, "log risk ratio"),
        "log_odds_ratio": Unit(1.0, RATIO_DIGITS, "log odds ratio"),
        "log_hazard_ratio": Unit(1.0, RATIO_DIGITS, "log hazard ratio"),
        "log_win_ratio": Unit(1.0, RATIO_DIGITS, "log win ratio"),
        "log_win_odds": Unit(1.0, RATIO_DIGITS, "log win odds"),
        "net_benefit": Unit(100.0, 1, "percentage points of pairs won less lost"),
        "weeks": Unit(1.0, 1, "weeks"),
        "difference_per_week": Unit(1.0, RATIO_DIGITS, f"{endpoint.unit} per week"),
        "probability_index": Unit(1.0, RATIO_DIGITS, "probability of a better outcome, minus 0.5"),
    }
    return units[scale]


def _unit_of_difference(endpoint: Endpoint, outcome: str) -> Unit:
    if outcome == "percent_change":
        return Unit(1.0, POINT_DIGITS + 1, "percent of baseline")
    return Unit(1.0, digits_of(endpoint) + 1, endpoint.unit)


def digits_of(endpoint: Endpoint) -> int:
    """Decimals that are useful for a value of an endpoint: one for scores, two digits below the SD for other numbers."""
    if isinstance(endpoint, Continuous):
        return max(POINT_DIGITS, 2 - math.floor(math.log10(endpoint.sd)))
    return POINT_DIGITS


def _unit_of_slope(scenario: Scenario, analysis: Analysis) -> Unit:
    modifier = spoken_in(str(getattr(analysis, "modifier", "biomarker")), scenario)
    per = f"per unit of {modifier}" if not any(sign in modifier for sign in "<>=") else f"where {modifier}"
    if not OUTCOMES[outcome_of(scenario, analysis)].binary:
        return Unit(1.0, RATIO_DIGITS, f"{scenario.endpoints[analysis.endpoint].unit} {per}")
    if getattr(analysis, "model", "linear") == "logistic":
        return Unit(1.0, RATIO_DIGITS, f"log odds ratio {per}")
    return Unit(100.0, 1, f"percentage points {per}")


def interval_name(analysis: Analysis) -> str:
    """Whose interval it is, where it belongs to another procedure than the test; else empty."""
    if analysis.one_procedure:
        return ""
    declared = getattr(analysis, "interval", analysis.kind)
    if not isinstance(declared, str):
        declared = analysis.kind
    return INTERVALS.get(str(declared), "another procedure")


def rule_in_words(scenario: Scenario, rule: EligibilityRule) -> str:
    """Why a candidate is not enrolled: `CRP below 2 or above 10 mg/L`."""
    if not isinstance(rule, Limits):
        return spoken_in(rule.label, scenario)
    unit = scenario.assays[rule.variable].unit if rule.variable in scenario.assays else ""
    return f"{spoken_variable(scenario, rule.variable)}{rule.label.removeprefix(rule.variable)} {unit}".strip()


def spoken_variable(scenario: Scenario, variable: str) -> str:
    """An assay, a covariate, or the screening reading of an endpoint."""
    endpoint, _, reading = variable.rpartition(".")
    return (
        f"{spoken_endpoint(scenario, endpoint)} at {reading}"
        if endpoint in scenario.endpoints
        else spoken_assay(variable)
        if variable in scenario.assays
        else spoken(variable)
    )


def rules_in_words(scenario: Scenario) -> dict[str, str]:
    """The rules in words, by the label under which failures are counted."""
    return {rule.label: rule_in_words(scenario, rule) for rule in scenario.eligibility}


def admitted_in_words(rule: EligibilityRule, scenario: Scenario) -> str:
    """Whom a rule admits: `CRP 2 to 10 mg/L`."""
    if not isinstance(rule, Limits):
        return f"{rule_in_words(scenario, rule)} keep candidates out"
    name = spoken_variable(scenario, rule.variable)
    unit = f" {scenario.assays[rule.variable].unit}" if rule.variable in scenario.assays else ""
    if rule.one_of is not None:
        return f"{name} {' or '.join(rule.one_of)}"
    if rule.at_least is None or rule.at_most is None:
        limit = rule.at_least if rule.at_most is None else rule.at_most
        return f"{name} {'at least' if rule.at_most is None else 'at most'} {plain(limit or 0.0)}{unit}"
    return f"{name} {plain(rule.at_least)} to {plain(rule.at_most)}{unit}"


def scales_of(scenario: Scenario) -> Mapping[str, SymptomScale]:
    """The endpoints that are symptom scales."""
    return {name: endpoint for name, endpoint in scenario.endpoints.items() if isinstance(endpoint, SymptomScale)}
