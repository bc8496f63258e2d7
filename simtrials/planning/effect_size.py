"""Fields that hold the size of an effect, as places on a line: 0 is no effect, and power on the probit scale is nearly straight along it."""

import math
from dataclasses import dataclass
from typing import Any

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.engine.files import Readable
from simtrials.engine.scenario import Scenario
from simtrials.trial.effects.base import SIZES

LARGEST_SMD, LARGEST_LOG_ODDS_RATIO = 5.0, 5.0
"""Beyond these an effect is a slip: five standard deviations, an odds ratio of 148."""
DIGITS = 2
"""Places on the line are whole multiples of a unit that is at most 1 / 100 of the declared size."""


@dataclass(frozen=True, slots=True)
class SizeField:
    """A field of the size of an effect: its path, kind and declared value, the largest place on the line, and the risk under control."""

    path: str
    size: str
    declared: float
    largest: float
    control_risk: float = math.nan
    good: bool = True

    @property
    def unit(self) -> float:
        """Distance of neighboring places: a power of ten."""
        place = abs(self.place(self.declared))
        start = place if place > 0 else self.largest / 10
        return float(10.0 ** (math.floor(math.log10(start)) - DIGITS))

    def place(self, value: float) -> float:
        """Where a value lies on the line: logarithms of odds ratios, and risks by their odds ratio to control."""
        if self.size == "odds_ratio":
            return math.log(value)
        if self.size == "risk":
            return (1 if self.good else -1) * (_logit(value) - _logit(self.control_risk))
        return value

    def has(self, value: float) -> bool:
        """Whether a value has a place: odds ratios are positive, risks lie between 0 and 1."""
        return (self.size != "odds_ratio" or value > 0) and (self.size != "risk" or 0 < value < 1)

    def value(self, place: float) -> float:
        """The value at a place on the line."""
        if self.size == "odds_ratio":
            return math.exp(place)
        if self.size == "risk":
            return 1 / (1 + math.exp(-_logit(self.control_risk) - (place if self.good else -place)))
        return place

    def at(self, steps: int) -> float:
        """The value a whole number of units along the line, without digits of no meaning."""
        return float(f"{self.value(steps * self.unit):.10g}")


def _logit(risk: float) -> float:
    return math.log(risk / (1 - risk))


def size_field(scenario: Readable, analysis: str, over: str | None) -> SizeField:
    """The field of the size of the effect that an analysis, or a synthesis, is about; or the one that is named.

    Raises
    ------
    SimtrialsError
        When there is none, or it is not the size of an effect.
    """
    if over is not None:
        endpoint, arm = _parts(scenario, over)
        about, _ = endpoint_and_arm(scenario, analysis)
        if endpoint != about and not _is_touched(scenario, analysis, endpoint):
            raise SimtrialsError(f"{over}: {analysis} is about {about}, which an effect on {endpoint} does not change; leave --over out")
    else:
        endpoint, arm = endpoint_and_arm(scenario, analysis)
    effects = scenario.endpoints[endpoint].effects
    if arm not in effects:
        raise SimtrialsError(
            f"no effect of {arm!r} on {endpoint!r} is declared; declare endpoints.{endpoint}.effects.{arm}, or name a field with --over"
        )
    size = effects[arm].size_name
    path = f"endpoints.{endpoint}.effects.{arm}.{size}"
    if over is not None and over != path:
        raise SimtrialsError(f"{over}: the effect is stated as {size}; write --over {path}")
    declared = scenario.endpoints[endpoint]
    risk, good = getattr(declared, "control_risk", math.nan), getattr(declared, "event_is", "good") == "good"
    if size == "risk" and math.isnan(risk):
        raise SimtrialsError(f"{path}: a risk can be looked for where the endpoint has a control_risk; state the effect as log_odds_ratio")
    return SizeField(path, size, float(getattr(effects[arm], size)), _largest(declared, size, effects[arm]), risk, good)


def _is_touched(scenario: Readable, analysis: str, endpoint: str) -> bool:
    """Whether an effect on another endpoint can change the result: the analysis uses it too, or patients leave for what they score there."""
    if not isinstance(scenario, Scenario):
        return True
    leaves = any(getattr(one, "log_odds_per_point", 0) for one in scenario.departures.values())
    return leaves or endpoint in str(scenario.analyses[analysis].model_dump(mode="json", exclude={"endpoint"}))


def _parts(scenario: Readable, path: str) -> tuple[str, str]:
    parts = path.split(".")
    if len(parts) != 5 or parts[0] != "endpoints" or parts[2] != "effects" or parts[4] not in SIZES:
        raise SimtrialsError(f"--over must be the size of an effect, such as endpoints.NAME.effects.active.smd, got {path!r}")
    if parts[1] not in scenario.endpoints:
        raise SimtrialsError(f"no endpoint called {parts[1]!r}{did_you_mean(parts[1], scenario.endpoints)}")
    return parts[1], parts[3]


def endpoint_and_arm(scenario: Readable, name: str) -> tuple[str, str]:
    """Endpoint and arm of an analysis; of a synthesis, those of its outcome."""
    if isinstance(scenario, Scenario):
        analysis = scenario.analyses[name]
        return analysis.endpoint, analysis.arm or scenario.design.arms[1]
    outcome = scenario.outcomes[scenario.syntheses[name].outcome]
    return outcome.endpoint, "active"


def _largest(endpoint: Any, size: str, effect: Any) -> float:
    """The largest place on the line that makes sense: five standard deviations, the range of a scale, an odds ratio of 148."""
    if size in ("smd", "mean_smd"):
        return LARGEST_SMD
    if size in ("log_odds_ratio", "odds_ratio", "risk"):
        return LARGEST_LOG_ODDS_RATIO
    scale = endpoint.symptom_scale
    if scale is not None:
        return float(scale.maximum - scale.minimum)
    spread = getattr(endpoint, "sd", None)
    return LARGEST_SMD * float(spread) if spread is not None else 100 * abs(float(getattr(effect, size))) or 100.0
