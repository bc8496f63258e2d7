"""What every design offers."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from simtrials.core.check import Component, Count, Many, PositiveWeeks, Within, fault
from simtrials.core.registry import Registry
from simtrials.trial.allocations import ALLOCATIONS, Allocation


class Design(Component):
    """Declares arms, sample size and allocation."""

    kind: str
    arms: Many[str] = Field(default=("control", "active"), description="names of the arms, control first")
    n_patients: Annotated[Count, Within(2, 1_000_000)] = Field(description="patients randomised, all arms together")
    allocation_ratio: Many[Annotated[Count, Within(high=20)]] | None = Field(
        default=None, description="whole numbers, one per arm; default: equal arms"
    )
    allocation: Annotated[Allocation, ALLOCATIONS] = Field(description="how arms are allocated")
    weeks: PositiveWeeks | None = Field(default=None, description="weeks of treatment; no visit may lie after; default: the last visit")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms):
            raise fault(f"arms must name at least two different arms, control first, got {list(self.arms)}")
        if len(self.arms) > 100:
            raise fault(f"at most 100 arms, got {len(self.arms)}")
        if self.allocation_ratio is not None and len(self.allocation_ratio) != len(self.arms):
            raise fault(f"allocation_ratio must have one whole number per arm ({len(self.arms)}), got {list(self.allocation_ratio)}")
        misfit = self.allocation.check(self.ratio)
        if misfit:
            raise fault(f"allocation.block_size {misfit}")
        return self

    @property
    def ratio(self) -> tuple[int, ...]:
        """The allocation ratio, one whole number per arm."""
        return self.allocation_ratio or (1,) * len(self.arms)


DESIGNS = Registry("designs", "design", Design)
