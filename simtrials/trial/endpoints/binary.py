"""Event or no event; the effect acts on the log-odds of the event."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit, logit, ndtri

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray
from simtrials.core.check import OpenProbability, PositiveWeeks
from simtrials.core.data import Improves, Measurements
from simtrials.trial.effects import Effect
from simtrials.trial.endpoints.base import ENDPOINTS, Benefit, Course, Endpoint, Latent, Profile, events_above, visits_first
from simtrials.trial.people import People


@ENDPOINTS.register
class Binary(Endpoint):
    """Event or no event per patient."""

    sizes: ClassVar[tuple[str, ...]] = ("log_odds_ratio", "odds_ratio", "risk")
    kind: Literal["binary"] = "binary"
    control_risk: OpenProbability = Field(description="probability of the event under control")
    event_is: Literal["good", "bad"] = Field(default="good", description="whether the event is what the patient wants")
    week: PositiveWeeks = Field(default=1.0, description="week by which the event is counted")
    domain_name: str = Field(default="event", description="what it measures, in a word")

    @property
    def visits(self) -> tuple[float, ...]:
        return (self.week,)

    @property
    def outcomes(self) -> tuple[str, ...]:
        return ("event",)

    @property
    def improves(self) -> Improves:
        return "up" if self.event_is == "good" else "down"

    @property
    def domain(self) -> str:
        return self.domain_name

    @property
    def unit(self) -> str:
        return "probability"

    def ending_at(self, week: float, every_visit: bool) -> Endpoint:
        return self.model_copy(update={"week": week})

    def latent(self) -> Latent:
        return Latent((self.week,), np.eye(1), np.zeros(1))

    def size(self, effect: Effect, mean_shape: float) -> float:
        if effect.risk is not None:  # reached at the week of the endpoint, whatever the onset
            gain = float(logit(effect.risk) - logit(self.control_risk)) / (1.0 if effect.at_week else effect.onset(self.week, self.week))
            return gain if self.event_is == "good" else -gain
        return effect.log_odds_ratio if effect.log_odds_ratio is not None else float(np.log(effect.odds_ratio or 1.0))

    def prepare(self, name: str, profile: Profile) -> Course:
        return BinaryCourse(self)


@dataclass(frozen=True, slots=True)
class BinaryCourse(Course):
    """The declaration is all it needs."""

    declared: Binary

    def values(self, deviation: FloatArray, arm: ArmArray, benefit: Benefit, people: People, visits: slice) -> FloatArray:
        made = self.declared
        sign, control = 1.0 if made.event_is == "good" else -1.0, logit(made.control_risk)
        if benefit.same_in_arm:
            return events_above(deviation[0], arm, ndtri(expit(control + sign * benefit.by_arm[:, 0])))[np.newaxis]
        event = deviation[0] > -ndtri(expit(control + sign * benefit.at(0, arm)))
        return np.asarray(event, dtype=np.float64)[np.newaxis]

    def packed(self, value: FloatArray, baseline: FloatArray | None, observed: BoolArray | None, people: People) -> Measurements:
        return Measurements((self.declared.week,), *visits_first(value, observed), improves=self.declared.improves, binary=True)
