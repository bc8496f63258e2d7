"""What every endpoint offers: latent normals that can be correlated with those of other endpoints, and values measured from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray
from simtrials.core.check import Component
from simtrials.core.data import Improves, Measurements, Scale
from simtrials.core.kernels import kernel
from simtrials.core.outcomes import OUTCOMES, Outcome
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.trial.effects import EFFECTS, Effect
from simtrials.trial.people import Luck, People


@dataclass(frozen=True, slots=True)
class Latent:
    """The M latent normals of one patient: their weeks (0 is baseline), covariance (M, M) in the control arm, and the part of it that
    comes from the biomarker: `loading` (M,) per unit of ln usual value."""

    weeks: tuple[float, ...]
    covariance: FloatArray
    loading: FloatArray


class Course(ABC):
    """An endpoint that is ready to be measured."""

    def draw_screening(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        """Luck of the screening reading, for an endpoint that has one."""
        return {}

    def screening(self, people: People, added: FloatArray | float = 0.0) -> FloatArray:
        """(R, C) the reading at screening, with what a rater adds to it."""
        raise TypeError("this endpoint has no screening reading")

    def baseline_luck(self, people: People, luck: FloatArray) -> FloatArray | None:
        """(R, P) luck of the baseline reading given what was read at screening, made from fresh `luck`; None without a screening reading."""
        return None

    def baseline(self, deviation: FloatArray) -> FloatArray | None:
        """(P, R) the baseline reading from the latent deviations (M, P, R), None without one."""
        return None

    @abstractmethod
    def values(self, deviation: FloatArray, arm: ArmArray, benefit: "Benefit", people: People, visits: slice) -> FloatArray:
        """(V, P, R) values at some of the visits, from the latent deviations (M, P, R) and what the drug does at these visits."""

    @abstractmethod
    def packed(self, value: FloatArray, baseline: FloatArray | None, observed: BoolArray | None, people: People) -> Measurements:
        """Measurements of all visits, from values (V, P, R), baseline (P, R) and what was observed (V, P, R); None: everything."""


@dataclass(frozen=True, slots=True)
class Benefit:
    """What the drug does to each patient in the arm the patient is in: what the arm gives to everybody, and what depends on the patient.

    by_arm : (A, V) benefit of everybody in the arm at each visit.
    size : (K, P, R) one layer per arm with an effect that depends on the patient, 0 for patients of other arms; onset : (K, V) share of it
    reached at each visit.
    kept : (V, P, R) share of the drug's benefit that is left after intercurrent events; None: all of it.
    extra : (V, P, R) benefit from elsewhere, such as rescue treatment; None: none.
    """

    by_arm: FloatArray
    size: FloatArray
    onset: FloatArray
    kept: FloatArray | None = None
    extra: FloatArray | None = None

    def at(self, visit: int, arm: ArmArray) -> FloatArray:
        """(P, R) benefit at a visit, in the endpoint's unit."""
        benefit = self.by_arm[:, visit][arm]
        for size, share in zip(self.size, self.onset[:, visit], strict=True):
            benefit += size * share
        if self.kept is not None:
            benefit *= self.kept[visit]
        if self.extra is not None:
            benefit += self.extra[visit]
        return benefit

    @property
    def same_in_arm(self) -> bool:
        """Whether everybody in an arm has the same benefit."""
        return len(self.size) == 0 and self.kept is None and self.extra is None

    def at_visits(self, visits: slice, kept: FloatArray | None, extra: FloatArray | None) -> "Benefit":
        """What is done at some of the visits, after intercurrent events."""
        return Benefit(self.by_arm[:, visits], self.size, self.onset[:, visits], kept, extra)


class Endpoint(Component):
    """Declares one endpoint."""

    sizes: ClassVar[tuple[str, ...]] = ()
    kind: str
    effects: dict[str, Annotated[Effect, EFFECTS]] = Field(default_factory=dict, description="effect of each active arm, by the arm's name")

    @property
    def visits(self) -> tuple[float, ...]:
        """Weeks of the visits after baseline."""
        raise TypeError(f"an endpoint of kind {self.kind!r} must define visits")

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcomes that can be read off it."""
        raise TypeError(f"an endpoint of kind {self.kind!r} must define outcomes")

    @property
    def symptom_scale(self) -> Scale | None:
        """The symptom scale, if it is one."""
        return None

    @property
    def improves(self) -> Improves:
        """Direction of the value that is better for the patient."""
        return "up"

    @property
    def has_baseline(self) -> bool:
        """Whether there is a baseline reading."""
        return False

    @property
    def domain(self) -> str:
        """What it measures, in a word for the report."""
        return self.kind.replace("_", " ")

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return "points"

    @property
    def biomarkers(self) -> frozenset[str | None]:
        """Assays that effects or prognosis look at; None stands for the only one."""
        return frozenset(effect.biomarker for effect in self.effects.values() if effect.needs_biomarker)

    def without_effects(self) -> "Endpoint":
        """The same endpoint when the drug does nothing."""
        return self.model_copy(update={"effects": {}})

    def ending_at(self, week: float, every_visit: bool) -> "Endpoint":
        """The same endpoint in a trial that ends at `week`: its last visit, or every visit until then.

        Raises
        ------
        ValueError
            When it says nothing about that week.
        """
        raise TypeError(f"an endpoint of kind {self.kind!r} must define ending_at")

    def latent(self) -> Latent:
        """Its latent normals."""
        raise TypeError(f"an endpoint of kind {self.kind!r} must define latent")

    def size(self, effect: Effect, mean_shape: float) -> float:
        """The size of an effect in the endpoint's own unit (points, or log-odds), where the shape is 1."""
        raise TypeError(f"an endpoint of kind {self.kind!r} must define size")

    def prepare(self, name: str, profile: "Profile") -> Course:
        """Ready to be measured on patients like those of the profile."""
        raise TypeError(f"an endpoint of kind {self.kind!r} must define prepare")

    def outcome(self, name: str) -> Outcome:
        """The outcome of that name."""
        return OUTCOMES[name]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known before the run: the arms; of the enrolled, mean and variance of ln usual biomarker by assay; and for each endpoint
    with a screening reading the limits of what is admitted, as a function of the score."""

    arms: tuple[str, ...]
    ln_usual_mean: Mapping[str, float]
    ln_usual_variance: Mapping[str, float]
    admitted: Mapping[str, Callable[[FloatArray], BoolArray]]


ENDPOINTS = Registry("endpoints", "endpoint", Endpoint)


def visits_first(value: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, BoolArray]:
    """Values and mask as (R, P, V) views of (V, P, R); NaN where not observed. Without a mask everything is observed, which takes no memory."""
    if observed is None:
        everything = np.broadcast_to(np.True_, value.shape)
        return value.transpose(2, 1, 0), everything.transpose(2, 1, 0)
    return np.where(observed, value, np.nan).transpose(2, 1, 0), observed.transpose(2, 1, 0)


@kernel
def events_above(deviation: FloatArray, arm: ArmArray, quantile: FloatArray) -> FloatArray:
    """(P, R) 1 where the latent normal lies above minus the normal quantile of the risk in the patient's arm, else 0."""
    out = np.empty(deviation.shape)
    for p in range(deviation.shape[0]):
        for r in range(deviation.shape[1]):
            out[p, r] = 1.0 if deviation[p, r] > -quantile[arm[p, r]] else 0.0
    return out
