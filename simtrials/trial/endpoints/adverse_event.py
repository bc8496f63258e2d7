"""An adverse event, with its risk per arm over a time of exposure."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray
from simtrials.core.check import OpenProbability, PositiveWeeks, fault
from simtrials.core.data import Improves, Measurements
from simtrials.trial.endpoints.base import ENDPOINTS, Benefit, Course, Endpoint, Latent, Profile, events_above, visits_first
from simtrials.trial.people import People


@ENDPOINTS.register
class AdverseEvent(Endpoint):
    """Occurs or not during exposure; the hazard is constant, so a risk stated for some weeks holds for others too."""

    kind: Literal["adverse_event"] = "adverse_event"
    control_risk: OpenProbability = Field(description="probability of the event under control within risk_weeks")
    arm_risk: dict[str, OpenProbability] = Field(default_factory=dict, description="probability in other arms within risk_weeks; default: as control")
    risk_weeks: PositiveWeeks = Field(description="weeks of exposure for which the risks are stated")
    exposure_weeks: PositiveWeeks = Field(description="weeks that each patient is exposed and observed")

    @model_validator(mode="after")
    def _risks_not_effects(self) -> Self:
        if self.effects:
            raise fault("an adverse event takes arm_risk, not effects")
        return self

    @property
    def visits(self) -> tuple[float, ...]:
        return (self.exposure_weeks,)

    @property
    def outcomes(self) -> tuple[str, ...]:
        return ("event",)

    @property
    def improves(self) -> Improves:
        return "down"

    @property
    def domain(self) -> str:
        return "adverse event"

    @property
    def unit(self) -> str:
        return "probability"

    def without_effects(self) -> Endpoint:
        return self.model_copy(update={"arm_risk": {}})

    def ending_at(self, week: float, every_visit: bool) -> Endpoint:
        return self.model_copy(update={"exposure_weeks": week})

    def latent(self) -> Latent:
        return Latent((self.exposure_weeks,), np.eye(1), np.zeros(1))

    def prepare(self, name: str, profile: Profile) -> Course:
        stated = np.array([self.control_risk if arm == profile.arms[0] else self.arm_risk.get(arm, self.control_risk) for arm in profile.arms])
        return AdverseEventCourse(self, ndtri(-np.expm1(np.log1p(-stated) * self.exposure_weeks / self.risk_weeks)))


@dataclass(frozen=True, slots=True)
class AdverseEventCourse(Course):
    """A patient has the event when the latent normal is above the threshold of the arm."""

    declared: AdverseEvent
    quantile: FloatArray

    def values(self, deviation: FloatArray, arm: ArmArray, benefit: Benefit, people: People, visits: slice) -> FloatArray:
        return events_above(deviation[0], arm, self.quantile)[np.newaxis]

    def packed(self, value: FloatArray, baseline: FloatArray | None, observed: BoolArray | None, people: People) -> Measurements:
        return Measurements((self.declared.exposure_weeks,), *visits_first(value, observed), improves="down", binary=True)
