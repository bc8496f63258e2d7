"""How patients get their arm: kinds of allocation."""

from simtrials.trial.allocations.base import ALLOCATIONS, Allocation, AllocationState
from simtrials.trial.allocations.blocks import Blocks, StratifiedBlocks
from simtrials.trial.allocations.complete import Complete

__all__ = ["ALLOCATIONS", "Allocation", "AllocationState", "Blocks", "Complete", "StratifiedBlocks"]
