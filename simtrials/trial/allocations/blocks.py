"""Permuted blocks, over all patients or within strata.

A patient's arm is drawn with the chance that is left: places of the arm over all places in the block that is open in the patient's stratum.
So one uniform number per patient is enough, and the first patients of a longer trial are those of a shorter one.
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, patient_major, replicate_major
from simtrials.core.check import Count, Many, Within, fault
from simtrials.core.kernels import kernel
from simtrials.trial.allocations.base import ALLOCATIONS, Allocation, AllocationState


@ALLOCATIONS.register
class Blocks(Allocation):
    """Permuted blocks of one size over all patients."""

    kind: Literal["blocks"] = "blocks"
    block_size: Annotated[Count, Within(high=10_000)] = Field(description="patients per block, a multiple of the sum of the allocation ratio")

    def check(self, ratio: tuple[int, ...]) -> str | None:
        return _misfit(self.block_size, ratio)

    def start(self, ratio: tuple[int, ...], n_replicates: int, n_strata: int) -> AllocationState:
        return OpenBlocks(self.block_size, ratio, n_replicates, 1)


@ALLOCATIONS.register
class StratifiedBlocks(Allocation):
    """Permuted blocks within each combination of strata."""

    kind: Literal["stratified_blocks"] = "stratified_blocks"
    strata: Many[str] = Field(description="categories or conditions known before randomisation, such as ['sex', 'crp >= 3']")
    block_size: Annotated[Count, Within(high=10_000)] = Field(description="patients per block, a multiple of the sum of the allocation ratio")

    @model_validator(mode="after")
    def _has_strata(self) -> Self:
        if not self.strata:
            raise fault("strata must name at least one category or condition; use kind 'blocks' without strata")
        return self

    @property
    def strata_expressions(self) -> tuple[str, ...]:
        return self.strata

    def check(self, ratio: tuple[int, ...]) -> str | None:
        return _misfit(self.block_size, ratio)

    def start(self, ratio: tuple[int, ...], n_replicates: int, n_strata: int) -> AllocationState:
        return OpenBlocks(self.block_size, ratio, n_replicates, n_strata)


def _misfit(block_size: int, ratio: tuple[int, ...]) -> str | None:
    total = sum(ratio)
    if block_size % total == 0:
        return None
    above = (block_size // total + 1) * total
    return f"must be a multiple of {total} (the sum of the allocation ratio), got {block_size}; the next is {above}"


class OpenBlocks(AllocationState):
    """Places left per stratum, arm and replicate, (S, A, R)."""

    __slots__ = ("full", "left", "n_strata")

    def __init__(self, block_size: int, ratio: tuple[int, ...], n_replicates: int, n_strata: int) -> None:
        self.full: FloatArray = np.array(ratio, dtype=np.float64) * (block_size // sum(ratio))
        self.left: FloatArray = np.zeros((n_strata, len(ratio), n_replicates))
        self.n_strata = n_strata

    def assign(self, luck: FloatArray, stratum: AnyArray) -> ArmArray:
        luck = patient_major(luck)
        if self.n_strata == 1 and self.full.size == 2:
            arm = _assign_two(luck, self.left[0, 0], self.left[0, 1], self.full)
        else:
            arm = _assign_in_strata(luck, patient_major(stratum), self.left, self.full)
        return replicate_major(arm)


@kernel
def _assign_two(luck: FloatArray, first: FloatArray, second: FloatArray, full: FloatArray) -> ArmArray:
    """(P, R) arms of a trial with two arms and one stratum; the places left in each arm, (R,), are used up in place.

    No branch and no second axis in the innermost loop, so that it runs on vectors.
    """
    patients, replicates = luck.shape
    arm = np.empty((patients, replicates), dtype=np.int8)
    full_first, full_second = full[0], full[1]
    for p in range(patients):
        row, out = luck[p], arm[p]
        for r in range(replicates):
            left = first[r] + second[r]
            a = full_first if left == 0.0 else first[r]
            b = full_second if left == 0.0 else second[r]
            chosen = 1.0 if row[r] * (a + b) >= a else 0.0
            first[r] = a - (1.0 - chosen)
            second[r] = b - chosen
            out[r] = np.int8(chosen)
    return arm


@kernel
def _assign_in_strata(luck: FloatArray, stratum: AnyArray, left: FloatArray, full: FloatArray) -> ArmArray:
    """(P, R) arms; `left` (S, A, R) is used up in place."""
    patients, replicates = luck.shape
    arms = full.size
    arm = np.empty((patients, replicates), dtype=np.int8)
    for p in range(patients):
        for r in range(replicates):
            s = stratum[p, r]
            total = 0.0
            for a in range(arms):
                total += left[s, a, r]
            if total == 0.0:
                for a in range(arms):
                    left[s, a, r] = full[a]
                    total += full[a]
            place, edge, chosen = luck[p, r] * total, 0.0, 0
            for a in range(arms - 1):
                edge += left[s, a, r]
                chosen += 1 if place >= edge else 0
            left[s, chosen, r] -= 1.0
            arm[p, r] = chosen
    return arm
