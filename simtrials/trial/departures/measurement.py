"""Faults of measurement: raters who want to enrol, patients who guess their arm, readings with noise."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import ArmArray, FloatArray
from simtrials.core.check import Finite, NonNegative, Positive, Probability
from simtrials.core.rng import Streams, normals
from simtrials.trial.departures.base import DEPARTURES, Departure, patient_luck


@DEPARTURES.register
class BaselineInflation(Departure):
    """For a share of the candidates the screening and the baseline score are recorded higher than they are; later scores are not.

    Mean and SD declared under `baseline` describe scores without inflation.
    """

    kind: Literal["baseline_inflation"] = "baseline_inflation"
    endpoint: str = Field(description="the symptom scale")
    points: Positive = Field(description="points that are added in the direction of worse")
    probability: Probability = Field(default=1.0, description="share of candidates for whom they are added")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (self.endpoint,)

    def inflated(self, reading: FloatArray, luck: FloatArray, worse: float, minimum: float, maximum: float) -> FloatArray:
        """The recorded reading; `worse` is +1 on a scale that falls when patients improve."""
        return np.clip(reading + worse * self.points * (luck < self.probability), minimum, maximum)


@DEPARTURES.register
class Unblinding(Departure):
    """Patients who come to believe that they get the drug report a benefit that the drug does not cause."""

    kind: Literal["unblinding"] = "unblinding"
    endpoint: str = Field(description="the endpoint whose value is shifted")
    share: dict[str, Probability] = Field(description="share of patients of each arm who believe that they get the drug")
    points: Finite = Field(description="benefit that they report, in the endpoint's unit")
    from_week: NonNegative = Field(default=0.0, description="week after which they believe it")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (self.endpoint,)

    def luck(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_weeks: int) -> FloatArray:
        return patient_luck(path, streams, n_replicates, n_patients, 1)

    def shift(self, luck: FloatArray, arm: ArmArray, arms: tuple[str, ...], week: float) -> FloatArray | None:
        """(P, R) reported benefit at `week`."""
        if week <= self.from_week:
            return None
        shares = np.array([self.share.get(name, 0.0) for name in arms])
        return np.where(luck[:, 0] < shares[arm], self.points, 0.0)


@DEPARTURES.register
class RaterNoise(Departure):
    """Every reading of a scale, baseline and screening among them, varies by the rater, on top of the declared SDs.

    Mean and SD declared under `baseline` describe scores without noise, of patients who are chosen without it.
    """

    kind: Literal["rater_noise"] = "rater_noise"
    endpoint: str = Field(description="the endpoint that is rated")
    sd: Positive = Field(description="SD of the noise of one reading, in the endpoint's unit")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (self.endpoint,)

    def noise(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_readings: int) -> FloatArray:
        """(M, P, R) what is added to each reading after enrolment."""
        return self.sd * normals(streams[path], (n_replicates, n_patients, n_readings)).transpose(2, 1, 0)

    def screening_luck(self, path: str, streams: Streams, n_replicates: int, n_candidates: int) -> FloatArray:
        """(R, C) luck of the reading at screening; `sd` times it is added."""
        return normals(streams[f"{path}.screening"], (n_replicates, n_candidates))
