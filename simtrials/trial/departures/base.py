"""What every departure offers: luck, and one or more of the things that it can do to a patient under way."""

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit

from simtrials.core.arrays import ArmArray, FloatArray
from simtrials.core.check import Component, Finite, Many, NonNegative, Probability, fault
from simtrials.core.kernels import kernel
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams, uniforms


@dataclass(slots=True)
class Following:
    """A block of patients under way, (P, R) arrays: arm, events so far (week, infinite where it has not happened), and for each endpoint
    that drives something the last observed change in the direction of worse (points)."""

    weeks: tuple[float, ...]
    arm: ArmArray
    worse: dict[str, FloatArray] = field(default_factory=dict)
    adverse: dict[str, FloatArray] = field(default_factory=dict)
    events: dict[str, FloatArray] = field(default_factory=dict)

    def interval(self, i: int) -> tuple[float, float]:
        """Start and length, in weeks, of the interval that ends at the i-th visit week."""
        start = 0.0 if i == 0 else self.weeks[i - 1]
        return start, self.weeks[i] - start


class Departure(Component):
    """Declares one way of departing from the plan."""

    kind: str

    def luck(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_weeks: int) -> FloatArray:
        """(P, I, R) the uniform numbers that it needs of each patient: none, one, or one per interval between visits."""
        return np.zeros((n_patients, 0, n_replicates))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints that it names."""
        return ()

    def without_effects(self, control: str) -> "Departure":
        """The same departure when what happens to patients is the same in every arm as in control."""
        return self


DEPARTURES = Registry("departures", "departure", Departure)


def patient_luck(path: str, streams: Streams, n_replicates: int, n_patients: int, size: int) -> FloatArray:
    """(P, I, R) uniform numbers, drawn patient by patient."""
    return uniforms(streams[path], (n_replicates, n_patients, size)).transpose(1, 2, 0)


class WithHazard(Departure):
    """A departure whose chance in each interval is logistic in the arm, the last change seen, and an adverse event."""

    rate: Probability | dict[str, Probability] = Field(description="share of patients to whom it happens by the end: one number, or one per arm")
    ratio: float | None = Field(default=None, gt=0, description="rate in every active arm over the rate given for control")
    driver: str | None = Field(default=None, description="endpoint whose change counts; default: the first symptom scale")
    log_odds_per_point: Finite = Field(default=0.0, description="log odds of the event in an interval per point of change in the direction of worse")
    adverse_event: str | None = Field(default=None, description="adverse event endpoint that makes it more likely")
    adverse_event_log_odds: Finite = Field(default=0.0, description="log odds of the event in an interval for patients with that adverse event")
    timing: Literal["per_visit", "per_week"] = Field(
        default="per_visit", description="whether the odds are the same in every interval or in every week"
    )
    odds_by_visit: Many[NonNegative] | None = Field(
        default=None,
        description="odds of the event in the interval before each visit, relative to each other, where they differ; one per visit of the trial",
    )

    @model_validator(mode="after")
    def _odds_by_visit_alone(self) -> Self:
        if self.odds_by_visit is not None and self.timing == "per_week":
            raise fault("odds_by_visit says when it happens; leave out timing = 'per_week'")
        if self.odds_by_visit is not None and not any(self.odds_by_visit):
            raise fault("odds_by_visit must be above 0 at one visit at least")
        return self

    def luck(self, path: str, streams: Streams, n_replicates: int, n_patients: int, n_weeks: int) -> FloatArray:
        return patient_luck(path, streams, n_replicates, n_patients, n_weeks)

    def rates(self, arms: tuple[str, ...]) -> FloatArray:
        """(A,) the share aimed at in each arm.

        Raises
        ------
        ValueError
            When an arm is left out or not known, or a ratio leads beyond 1.
        """
        if isinstance(self.rate, dict):
            missing = [arm for arm in arms if arm not in self.rate]
            unknown = [arm for arm in self.rate if arm not in arms]
            if missing or unknown or self.ratio is not None:
                what = (
                    f"names no arm of the trial: {unknown[0]!r}" if unknown else f"says nothing about {missing[0]!r}" if missing else "needs no ratio"
                )
                raise ValueError(f"rate {what}; the arms are {', '.join(arms)}")
            return np.array([self.rate[arm] for arm in arms])
        found = np.array([self.rate, *[self.rate * (self.ratio or 1.0)] * (len(arms) - 1)])
        if found.max() > 1:
            raise ValueError(f"ratio leads to a rate of {found.max():.3g} in the active arms, above 1")
        return found

    @property
    def depends_on_outcome(self) -> bool:
        """Whether the chance depends on what happened to the patient before."""
        return self.log_odds_per_point != 0.0 or self.adverse_event_log_odds != 0.0

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(name for name in (self.driver, self.adverse_event) if name)

    def log_odds_by_visit(self, n_visits: int) -> FloatArray:
        """(I,) what is added to the log odds in each interval."""
        if self.odds_by_visit is None:
            return np.zeros(n_visits)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.odds_by_visit))


@dataclass(frozen=True, slots=True)
class Ready:
    """A departure with its name, the endpoint that drives it, and the log odds per interval (or week) in each arm, (A,)."""

    name: str
    declared: Departure
    driver: str | None
    intercept: FloatArray

    @property
    def path(self) -> str:
        """Name of its stream."""
        return f"departures.{self.name}"


def without_dependence(declared: WithHazard, rates: FloatArray, weeks: tuple[float, ...]) -> FloatArray:
    """(A,) log odds per interval (or per week) that lead to these rates by the last week, when nothing else matters."""
    if declared.odds_by_visit is not None:
        return np.array([_log_odds_of(rate, declared.log_odds_by_visit(len(weeks))) for rate in rates])
    steps = len(weeks) if declared.timing == "per_visit" else weeks[-1]
    with np.errstate(divide="ignore"):
        hazard = -np.expm1(np.log1p(-rates) / steps)
        return np.asarray(np.log(hazard) - np.log1p(-hazard))


def _log_odds_of(rate: float, by_visit: FloatArray) -> float:
    """What must be added to the log odds of each interval for this rate in the end."""
    from scipy.optimize import brentq

    if rate in (0.0, 1.0):
        return -np.inf if rate == 0.0 else np.inf

    def excess(log_odds: float) -> float:
        return float(np.log1p(-expit(log_odds + by_visit)).sum() - np.log1p(-rate))

    return float(brentq(excess, -700.0 - by_visit.max(), 30.0 - by_visit.max(), xtol=1e-12))


def occur(state: Following, i: int, ready: Ready, luck: FloatArray, event: FloatArray, worse: FloatArray | None) -> None:
    """Let the event happen, or not, in the i-th interval; `event` (P, R) receives the week, spread over the interval by the same luck."""
    declared = ready.declared
    assert isinstance(declared, WithHazard)
    nothing = np.zeros((0, 0))
    start, length = state.interval(i)
    exponent = length if declared.timing == "per_week" else 1.0
    moved = nothing if worse is None or declared.log_odds_per_point == 0.0 else worse
    ill = state.adverse.get(declared.adverse_event or "", nothing)
    intercept = ready.intercept + declared.log_odds_by_visit(len(state.weeks))[i]
    _occur(luck, state.arm, intercept, moved, declared.log_odds_per_point, ill, declared.adverse_event_log_odds, start, length, exponent, event)


@kernel
def _chance(odds: float, exponent: float) -> float:
    """1 - (1 - hazard)^exponent for a hazard given as log odds."""
    hazard = 1.0 / (1.0 + np.exp(-odds))
    return float(hazard if exponent == 1.0 else 1.0 - (1.0 - hazard) ** exponent)


@kernel
def _occur(
    luck: FloatArray,
    arm: ArmArray,
    intercept: FloatArray,
    worse: FloatArray,
    per_point: float,
    ill: FloatArray,
    when_ill: float,
    start: float,
    length: float,
    exponent: float,
    event: FloatArray,
) -> None:
    """The event happens where the luck is below the chance and it has not happened before.

    Chances take an exponential, so they are computed only for luck below the largest chance that anybody in the block can have.
    """
    largest = intercept.max()
    if worse.size > 0:
        largest += max(per_point * worse.max(), per_point * worse.min())
    if ill.size > 0:
        largest += max(when_ill, 0.0)
    bound = _chance(largest, exponent) * (1.0 + 1e-12)
    for p in range(luck.shape[0]):
        for r in range(luck.shape[1]):
            if luck[p, r] < bound and event[p, r] == np.inf:
                odds = intercept[arm[p, r]]
                if worse.size > 0:
                    odds += per_point * worse[p, r]
                if ill.size > 0:
                    odds += when_ill * ill[p, r]
                chance = _chance(odds, exponent)
                if luck[p, r] < chance:
                    event[p, r] = start + length * (luck[p, r] / chance)
