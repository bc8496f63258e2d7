"""Complete randomisation: a coin for every patient."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray
from simtrials.trial.allocations.base import ALLOCATIONS, Allocation, AllocationState


@ALLOCATIONS.register
class Complete(Allocation):
    """Every patient's arm is drawn independently; arms may come out unequal."""

    kind: Literal["complete"] = "complete"

    def start(self, ratio: tuple[int, ...], n_replicates: int, n_strata: int) -> AllocationState:
        return Coins(tuple(np.cumsum(ratio)[:-1] / sum(ratio)))


@dataclass(frozen=True, slots=True)
class Coins(AllocationState):
    """Shares at which the arms change."""

    cuts: tuple[float, ...]

    def assign(self, luck: FloatArray, stratum: AnyArray) -> ArmArray:
        arm = np.zeros(luck.T.shape, dtype=np.int8)
        for cut in self.cuts:
            arm += cut <= luck.T
        return arm.T
