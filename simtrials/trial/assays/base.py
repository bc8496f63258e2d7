"""What every assay offers: the usual value of a patient, and readings of samples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Positive
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.trial.people import Luck, People
from simtrials.trial.populations.base import Candidates

Rule = Literal["single", "mean", "all", "any"]


class Laboratory(ABC):
    """An assay that is ready to measure."""

    rule: Rule

    @abstractmethod
    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        """Luck of the samples, (R, C) each."""

    @abstractmethod
    def usual(self, people: People) -> FloatArray:
        """(R, C) the usual value."""

    @abstractmethod
    def reported(self, people: People) -> FloatArray:
        """(R, C) the value that the trial's data hold."""

    @abstractmethod
    def judged(self, people: People) -> Sequence[FloatArray]:
        """The values that an eligibility rule looks at: one of all samples, or each sample when the rule is all or any."""

    @abstractmethod
    def repeat(self, people: People, streams: Streams) -> FloatArray:
        """(R, C) what a rule would see of one more sample, taken so much later that only the usual value is shared."""


class Assay(Component):
    """Declares how a biomarker is measured."""

    kind: str
    unit: str = Field(default="mg/L", description="unit of the readings")
    largest: Positive = Field(default=300.0, description="largest plausible reading; a limit beyond it is taken for a slip of unit")

    @property
    def column(self) -> str:
        """The population's column that it starts from."""
        raise TypeError(f"an assay of kind {self.kind!r} must define column")

    def prepare(self, name: str, candidates: Candidates, streams: Streams) -> Laboratory:
        """Ready to measure what the population has."""
        raise TypeError(f"an assay of kind {self.kind!r} must define prepare")


ASSAYS = Registry("assays", "assay", Assay)
