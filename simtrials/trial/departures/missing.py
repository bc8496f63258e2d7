"""Missing observations: the value exists, and nobody records it."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.check import Probability, fault
from simtrials.core.rng import Streams
from simtrials.trial.departures.base import DEPARTURES, Departure, WithHazard, patient_luck


@DEPARTURES.register
class Dropout(WithHazard):
    """A patient is lost: no visit after it is seen. The chance depends on nothing, on what was seen, or on what would have been seen."""

    kind: Literal["dropout"] = "dropout"
    mechanism: Literal["mcar", "mar", "mnar"] = Field(
        default="mcar", description="mcar: depends on nothing; mar: on the last change seen; mnar: on the change at the visit that is missed"
    )

    @model_validator(mode="after")
    def _dependence_fits_the_mechanism(self) -> Self:
        if (self.mechanism == "mcar") != (self.log_odds_per_point == 0.0):
            raise fault("log_odds_per_point goes with mechanism 'mar' or 'mnar', and must not be 0 there")
        return self


@DEPARTURES.register
class Gaps(Departure):
    """Single visits are missed, each with the same chance, whatever came before."""

    kind: Literal["gaps"] = "gaps"
    probability: Probability = Field(description="chance of missing a visit")

    def luck(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_weeks: int) -> FloatArray:
        return patient_luck(path, streams, n_replicates, n_patients, n_weeks)

    def missed(self, luck: FloatArray) -> BoolArray:
        """(P, I, R) true where a visit is missed."""
        return np.asarray(luck < self.probability)
