"""Intercurrent events: what happens to a patient after randomisation, and what it does to the benefit of the drug."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Finite, NonNegative, PositiveWeeks, Probability, fault
from simtrials.core.rng import Streams
from simtrials.trial.departures.base import DEPARTURES, Departure, WithHazard, patient_luck


class IntercurrentEvent(WithHazard):
    """An event of the kind that an estimand needs a strategy for."""

    effect: Literal["kept", "lost", "washed_out"] = Field(default="lost", description="what becomes of the drug's benefit after the event")
    half_life: PositiveWeeks | None = Field(default=None, description="weeks after which half of the benefit is left, for washed_out")
    followed_up: bool = Field(default=True, description="whether the patient is still seen after the event")

    @model_validator(mode="after")
    def _half_life_where_needed(self) -> Self:
        if (self.effect == "washed_out") != (self.half_life is not None):
            raise fault("half_life goes with effect 'washed_out', and only with it")
        return self

    def without_effects(self, control: str) -> Departure:
        rate = self.rate[control] if isinstance(self.rate, dict) else self.rate
        return self.model_copy(update={"rate": rate, "ratio": None})

    def kept(self, week: float, event: FloatArray) -> FloatArray | None:
        """(P, R) share of the drug's benefit that is left at `week`, None when all of it is."""
        if self.effect == "kept":
            return None
        since = week - event
        if self.effect == "lost":
            return np.asarray(since <= 0, dtype=np.float64)
        return np.asarray(np.exp2(-np.maximum(since, 0.0) / (self.half_life or 1.0)))

    def extra(self, endpoint: str, week: float, event: FloatArray) -> FloatArray | None:
        """(P, R) benefit from what follows the event, in the endpoint's unit; None when there is none."""
        return None


@DEPARTURES.register
class Discontinuation(IntercurrentEvent):
    """The patient stops the study drug."""

    kind: Literal["discontinuation"] = "discontinuation"


@DEPARTURES.register
class Rescue(IntercurrentEvent):
    """Another treatment is given or the antidepressant is changed; it may bring a benefit of its own, in either arm."""

    kind: Literal["rescue"] = "rescue"
    effect: Literal["kept", "lost", "washed_out"] = Field(default="kept", description="what becomes of the drug's benefit after the event")
    benefit: dict[str, Finite] = Field(
        default_factory=dict, description="benefit of the rescue treatment by endpoint, in points (log-odds for yes or no)"
    )
    time_constant: NonNegative = Field(default=2.0, description="weeks after which 63% of that benefit is reached")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (*super().endpoints, *self.benefit)

    def extra(self, endpoint: str, week: float, event: FloatArray) -> FloatArray | None:
        if not self.benefit.get(endpoint):
            return None
        since = np.maximum(week - event, 0.0)
        reached = (since > 0).astype(np.float64) if self.time_constant == 0 else -np.expm1(-since / self.time_constant)
        return np.asarray(self.benefit[endpoint] * reached)


@DEPARTURES.register
class NonAdherence(Departure):
    """A share of the patients takes only part of the drug from the start, and has that part of its benefit."""

    kind: Literal["non_adherence"] = "non_adherence"
    share: Probability = Field(description="share of patients who do not take the drug as planned")
    dose: Probability = Field(description="share of the benefit that they have")

    def luck(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_weeks: int) -> FloatArray:
        return patient_luck(path, streams, n_replicates, n_patients, 1)

    def factor(self, luck: FloatArray) -> FloatArray:
        """(P, R) share of the drug's benefit."""
        return np.where(luck[:, 0] < self.share, self.dose, 1.0)
