"""What every allocation offers."""

from abc import ABC, abstractmethod

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray
from simtrials.core.check import Component
from simtrials.core.registry import Registry
from simtrials.core.rng import uniforms


class AllocationState(ABC):
    """An allocation under way in a block of trials; asking for the next patients goes on where it stopped."""

    @abstractmethod
    def assign(self, luck: FloatArray, stratum: AnyArray) -> ArmArray:
        """(R, P) arms of the next patients, who belong to `stratum` (R, P); `luck` is one uniform number for each of them."""


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

    def redraw(self, rng: np.random.Generator, n_draws: int, stratum: AnyArray, ratio: tuple[int, ...], n_strata: int) -> ArmArray:
        """(draw, R, P) arms drawn anew for patients who belong to `stratum` (R, P), by the same scheme."""
        together = np.tile(stratum.T, n_draws).T
        arms = self.start(ratio, len(together), n_strata).assign(uniforms(rng, together.shape), together)
        return arms.T.reshape(stratum.shape[1], n_draws, stratum.shape[0]).transpose(1, 2, 0)


ALLOCATIONS = Registry("allocations", "allocation", Allocation)
