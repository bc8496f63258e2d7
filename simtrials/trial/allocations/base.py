"""What every allocation offers."""

from abc import ABC, abstractmethod

from simtrials.core.arrays import AnyArray, ArmArray
from simtrials.core.check import Component
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams


class AllocationState(ABC):
    """An allocation under way in a block of trials; asking for the next patients goes on where it stopped."""

    @abstractmethod
    def assign(self, streams: Streams, stratum: AnyArray) -> ArmArray:
        """(R, P) arms of the next patients, who belong to `stratum` (R, P)."""


class Allocation(Component):
    """Declares how arms are allocated."""

    kind: str

    @property
    def strata_expressions(self) -> tuple[str, ...]:
        """Expressions whose combined levels are the strata."""
        return ()

    def check(self, ratio: tuple[int, ...]) -> str | None:
        """A sentence when the allocation does not fit the ratio of arms."""
        return None

    def start(self, ratio: tuple[int, ...], n_replicates: int, n_strata: int) -> AllocationState:
        """Begin to allocate in a block of trials."""
        raise TypeError(f"an allocation of kind {self.kind!r} must define start")


ALLOCATIONS = Registry("allocations", "allocation", Allocation)
