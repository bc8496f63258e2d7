"""What is assumed, in words: the effect of each arm in the endpoint's own unit and as an SMD, its course over the biomarker, and the control arm."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from simtrials.engine.scenario import Scenario
from simtrials.report.look import RATIO_DIGITS
from simtrials.report.names import digits_of, scales_of, spoken_assay, spoken_endpoint
from simtrials.report.numbers import fixed, percent, plain
from simtrials.trial.effects import Effect
from simtrials.trial.endpoints import AdverseEvent, Binary, Continuous, Endpoint, SymptomScale

Portrait = Mapping[str, Any]

SD_WORDS = {"change": "the change", "score": "the value", "baseline": "the baseline"}


def effects_of(scenario: Scenario) -> Iterator[tuple[str, str, Effect]]:
    """Endpoint, arm and effect of everything that is assumed to act."""
    for name, endpoint in scenario.endpoints.items():
        for arm, effect in endpoint.effects.items():
            yield name, arm, effect


def mean_benefit(portrait: Portrait, endpoint: str, arm: str) -> float:
    """Mean benefit over the enrolled at the last visit, in the unit in which the effect acts."""
    return float(portrait["endpoints"][endpoint]["effects"][arm]["mean_enrolled"])


def size_in_words(scenario: Scenario, portrait: Portrait, endpoint: str, arm: str) -> str:
    """`2.9 MADRS points`, or `50% against 30%` for an event."""
    declared = scenario.endpoints[endpoint]
    if isinstance(declared, AdverseEvent):
        return f"{percent(declared.arm_risk.get(arm, declared.control_risk))}% against {percent(declared.control_risk)}%"
    if arm not in declared.effects:
        return "no effect"
    benefit = mean_benefit(portrait, endpoint, arm)
    if isinstance(declared, Binary):
        return _risk_in_words(declared, declared.effects[arm], benefit)
    return f"{fixed(abs(benefit), digits_of(declared))} {declared.unit}{' of harm' if benefit < 0 else ''}"


def _risk_in_words(declared: Binary, effect: Effect, benefit: float) -> str:
    if effect.needs_biomarker:
        return f"odds ratio {fixed(float(np.exp(benefit)), RATIO_DIGITS)}"
    odds = declared.control_risk / (1 - declared.control_risk) * np.exp(benefit if declared.event_is == "good" else -benefit)
    risk = fixed(100 * float(odds / (1 + odds)), 0 if effect.risk is not None else 1)
    return f"{risk}% against {percent(declared.control_risk)}%"


def benefit_unit(declared: Endpoint) -> tuple[str, int]:
    """Unit in which an effect acts, and its useful decimals: log odds for an event."""
    return ("log odds ratio", RATIO_DIGITS) if isinstance(declared, Binary) else (declared.unit, digits_of(declared))


def smd_in_words(scenario: Scenario, portrait: Portrait, endpoint: str, arm: str) -> str:
    """`SMD 0.35, SD of the change`, at the last visit, in the SD that the effect names (else of the change); empty for events."""
    declared = scenario.endpoints[endpoint]
    which = declared.effects[arm].smd_sd or ("change" if declared.has_baseline else "score")
    sd = latent_sd(declared, which)
    return f"SMD {fixed(mean_benefit(portrait, endpoint, arm) / sd, RATIO_DIGITS)}, SD of {SD_WORDS[which]}" if sd else ""


def latent_sd(declared: Endpoint, which: str) -> float | None:
    """SD in the control arm at the last visit before rounding and bounds, of change, score or baseline; None for events."""
    if not isinstance(declared, SymptomScale | Continuous):
        return None
    covariance = declared.latent().covariance
    last = float(covariance[-1, -1])
    if which == "score":
        return float(np.sqrt(last))
    first = float(covariance[0, 0])
    return float(np.sqrt(first if which == "baseline" else first + last - 2 * float(covariance[0, -1])))


def shape_in_words(effect: Effect, biomarker: str, unit: str) -> str:
    """How the benefit depends on the biomarker: `full from usual CRP 2 mg/L, none below`."""
    marker = f"{effect.acts_on} {biomarker}"
    values = {name: value for name, value in effect.model_dump(exclude_none=True).items() if isinstance(value, int | float)}
    kinds = {
        "constant": "the same for everybody",
        "threshold": "full from {marker} {cut} {unit}, {below} below",
        "log_linear": "proportional to ln({marker} / {zero_at} {unit}), {beyond} below {zero_at}",
        "emax": "rises with {marker}, half of the largest at {half_at} {unit} (Hill {hill})",
        "crossover": "from none at {marker} {zero_at} {unit} to full at {full_at} {unit}, straight in ln; harm below {zero_at}",
        "responder_mixture": "full in {share}% of the patients from {marker} {cut} {unit}, none in all others",
    }
    words = {name: plain(float(value)) for name, value in values.items()}
    words |= {"marker": marker, "unit": unit, "below": _below(float(values.get("below", 0.0)))}
    words |= {"beyond": "harm" if values.get("harm_below") else "none", "share": percent(float(values.get("fraction", 0.0)))}
    return kinds.get(effect.kind, f"{effect.kind.replace('_', ' ')} in {{marker}}").format(**words)


def _below(share: float) -> str:
    if share == 0:
        return "none"
    return f"{percent(share)}% of it" if share > 0 else f"harm ({percent(-share)}% of it)"


def biomarker_of(scenario: Scenario, effect: Effect) -> tuple[str, str]:
    """The biomarker that an effect looks at, spoken, and its unit."""
    name = effect.biomarker or next(iter(scenario.assays), "")
    return spoken_assay(name), scenario.assays[name].unit if name else ""


def course_in_words(scenario: Scenario, endpoint: str) -> str:
    """What happens under control: `−11.0 MADRS points by week 8 (SD of change 8.4)`, or the risk of an event."""
    declared = scenario.endpoints[endpoint]
    if endpoint in scales_of(scenario):
        fall = scales_of(scenario)[endpoint].control_course
        sd = latent_sd(declared, "change") or 0.0
        return f"{fixed(fall.change, 1)} {declared.unit} by week {plain(fall.at_week)} (SD of the change {fixed(sd, 1)})"
    if isinstance(declared, Continuous):
        return f"mean {plain(declared.mean)}, SD {plain(declared.sd)} {declared.unit}"
    risk = getattr(declared, "control_risk", None)
    return f"{spoken_endpoint(scenario, endpoint)} in {percent(risk)}%" if risk is not None else spoken_endpoint(scenario, endpoint)
