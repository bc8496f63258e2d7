"""One normal number per patient, with or without a baseline reading; closed forms exist, so tests lean on it."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray
from simtrials.core.check import Component, Correlation, Finite, Positive, PositiveWeeks, fault
from simtrials.core.data import Improves, Measurements
from simtrials.core.kernels import kernel
from simtrials.trial.effects import Effect
from simtrials.trial.endpoints.base import ENDPOINTS, Benefit, Course, Endpoint, Latent, Profile, visits_first
from simtrials.trial.people import People


class BaselineReading(Component):
    """The same quantity before treatment."""

    mean: Finite = Field(description="mean, in the endpoint's unit")
    sd: Positive = Field(description="SD, in the endpoint's unit")
    correlation: Correlation = Field(description="correlation with the value at the end, in one arm")


@ENDPOINTS.register
class Continuous(Endpoint):
    """A normal outcome; the effect shifts its mean."""

    sizes: ClassVar[tuple[str, ...]] = ("points", "mean_points", "smd", "mean_smd")
    kind: Literal["continuous"] = "continuous"
    mean: Finite = Field(default=0.0, description="mean under control, in the endpoint's unit")
    sd: Positive = Field(default=1.0, description="SD under control, in the endpoint's unit")
    arm_sd: dict[str, Positive] = Field(default_factory=dict, description="SD in arms where it differs from control")
    week: PositiveWeeks = Field(default=1.0, description="week of the measurement")
    better: Improves = Field(default="up", description="direction that is better for the patient")
    baseline: BaselineReading | None = Field(default=None, description="the same quantity before treatment")
    unit_name: str = Field(default="points", description="unit of the value, for reports")
    domain_name: str = Field(default="outcome", description="what it measures, in a word")

    @model_validator(mode="after")
    def _smd_has_its_sd(self) -> Self:
        for arm, effect in self.effects.items():
            if effect.smd_sd in ("baseline", "change") and self.baseline is None:
                raise fault(f"effects.{arm}.smd_sd: {effect.smd_sd!r} needs a baseline; use 'score'")
        return self

    @property
    def visits(self) -> tuple[float, ...]:
        return (self.week,)

    @property
    def outcomes(self) -> tuple[str, ...]:
        return ("change", "value") if self.baseline else ("value",)

    @property
    def improves(self) -> Improves:
        return self.better

    @property
    def has_baseline(self) -> bool:
        return self.baseline is not None

    @property
    def domain(self) -> str:
        return self.domain_name

    @property
    def unit(self) -> str:
        return self.unit_name

    def ending_at(self, week: float, every_visit: bool) -> Endpoint:
        return self.model_copy(update={"week": week})

    def latent(self) -> Latent:
        if self.baseline is None:
            return Latent((self.week,), np.array([[self.sd**2]]), np.zeros(1))
        shared = self.baseline.correlation * self.baseline.sd * self.sd
        covariance = np.array([[self.baseline.sd**2, shared], [shared, self.sd**2]])
        return Latent((0.0, self.week), covariance, np.zeros(2))

    def size(self, effect: Effect, mean_shape: float) -> float:
        value = getattr(effect, effect.size_name)
        sd = 1.0
        if effect.smd_sd is not None:
            latent = self.latent()
            sds = {"score": self.sd}
            if self.baseline is not None:
                c = latent.covariance
                sds |= {"baseline": self.baseline.sd, "change": float(np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1]))}
            sd = sds[effect.smd_sd]
        return float(value * sd / (mean_shape if effect.size_name.startswith("mean_") else 1.0))

    def prepare(self, name: str, profile: Profile) -> Course:
        ratio = np.array([self.arm_sd.get(arm, self.sd) / self.sd for arm in profile.arms]) if self.arm_sd else None
        return ContinuousCourse(self, ratio)


@dataclass(frozen=True, slots=True)
class ContinuousCourse(Course):
    """The declaration, and the SD of each arm relative to control where they differ."""

    declared: Continuous
    sd_ratio: FloatArray | None

    def baseline(self, deviation: FloatArray) -> FloatArray | None:
        return None if self.declared.baseline is None else self.declared.baseline.mean + deviation[0]

    def values(self, deviation: FloatArray, arm: ArmArray, benefit: Benefit, people: People, visits: slice) -> FloatArray:
        made = self.declared
        spread = deviation[-1] if self.sd_ratio is None else deviation[-1] * self.sd_ratio[arm]
        sign = 1.0 if made.better == "up" else -1.0
        if benefit.same_in_arm:
            return _values(spread, arm, made.mean + sign * benefit.by_arm[:, 0])[np.newaxis]
        return np.asarray(made.mean + spread + sign * benefit.at(0, arm))[np.newaxis]

    def packed(self, value: FloatArray, baseline: FloatArray | None, observed: BoolArray | None, people: People) -> Measurements:
        made = self.declared
        start = None if baseline is None else baseline.T
        return Measurements((made.week,), *visits_first(value, observed), start, improves=made.better)


@kernel
def _values(spread: FloatArray, arm: ArmArray, means: FloatArray) -> FloatArray:
    """(P, R) mean of the arm + spread."""
    out = np.empty(spread.shape)
    for p in range(spread.shape[0]):
        for r in range(spread.shape[1]):
            out[p, r] = means[arm[p, r]] + spread[p, r]
    return out
