"""How patients depart from the plan, in words and in numbers: events, who is still seen, and faults of measurement."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from simtrials.engine.scenario import Scenario
from simtrials.report.names import spoken, spoken_endpoint
from simtrials.report.numbers import fixed, plain
from simtrials.report.toml import values_of
from simtrials.trial.departures import Dropout

Portrait = Mapping[str, Any]
LONGEST_VALUE = 60


def in_words(component: BaseModel) -> str:
    """A component by its kind and its short values: `serial (observed crp_mg_l, resolution 0.1)`."""
    values = {name: value for name, value in values_of(component).items() if name != "kind"}
    parts = [f"{spoken(name)} {words}" for name, value in values.items() if len(words := _words(value)) <= LONGEST_VALUE]
    kind = spoken(str(getattr(component, "kind", "")))
    return f"{kind} ({', '.join(parts)})" if parts else kind


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " and ".join(_words(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_words(item)}" for key, item in value.items() if key != "kind")
    return plain(value) if isinstance(value, int | float) else str(value)


def departure_rows(scenario: Scenario, portrait: Portrait) -> list[tuple[str, ...]]:
    """Share of patients by arm, in percent: each event by the end, and who is seen at the last visit of each endpoint; head first."""
    about = portrait.get("departures")
    if not about:
        return []
    arms = scenario.design.arms
    rows = [("patients", *(f"{spoken(arm)}, %" for arm in arms))]
    rows += [(spoken(name), *(fixed(100 * shares[arm], 0) for arm in arms)) for name, shares in about["events"].items()]
    for endpoint, seen in about["seen"].items():
        week = plain(scenario.endpoints[endpoint].visits[-1])
        rows.append((f"{spoken_endpoint(scenario, endpoint)} seen at week {week}", *(fixed(100 * seen[arm][-1], 0) for arm in arms)))
    return rows


def other_departures(scenario: Scenario, portrait: Portrait) -> list[str]:
    """Departures that are no event of a patient, such as unblinding or noise of raters."""
    events = portrait.get("departures", {}).get("events", {})
    return [spoken(name) for name in scenario.departures if name not in events]


def departures_in_words(scenario: Scenario, portrait: Portrait) -> str:
    """`dropout 19 and 22%, MADRS seen at week 8 76 and 74% (control, active); also rater noise`; empty without any."""
    shares = [f"{name} {' and '.join(cells)}%" for name, *cells in departure_rows(scenario, portrait)[1:]]
    parts = [f"{', '.join(shares)} ({', '.join(spoken(arm) for arm in scenario.design.arms)})"] if shares else []
    others = other_departures(scenario, portrait)
    return "; ".join([*parts, *([f"also {', '.join(others)}"] if others else [])])


def seen_at_the_end(portrait: Portrait, arm: str) -> float:
    """Share of an arm that is seen at the last visit, of the endpoint that is seen least."""
    seen = portrait.get("departures", {}).get("seen", {})
    return min((float(shares[arm][-1]) for shares in seen.values()), default=1.0)


def loss_sentences(scenario: Scenario) -> list[str]:
    """What the way in which patients are lost means for the analyses."""
    said = []
    for name, departure in scenario.departures.items():
        if not isinstance(departure, Dropout) or departure.mechanism == "mcar":
            continue
        rates = departure.rates(scenario.design.arms)
        apart = " and differs between the arms" if np.ptp(rates) > 0 else ""
        if departure.mechanism == "mar":
            rest = "analyses of all visits (mixed models, imputation) allow for it, those of completers and of values carried forward do not"
            said.append(f"{_first(spoken(name))}: loss depends on what was last seen (missing at random){apart}; {rest}.")
        else:
            rest = "no analysis here corrects for it" + ("; what it does without any effect stands beside the power" if apart else "")
            said.append(f"{_first(spoken(name))}: loss depends on what nobody sees (missing not at random){apart}; {rest}.")
    return said


def _first(words: str) -> str:
    return words[:1].upper() + words[1:]
