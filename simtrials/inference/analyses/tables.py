"""Analyses that see nothing but events and patients by arm, so that their power can be summed over all tables."""

from typing import Protocol, runtime_checkable

from simtrials.core.data import Estimates
from simtrials.stats.counts import EventCounts


@runtime_checkable
class OfTables(Protocol):
    """An analysis whose conclusion is a function of the two-by-two table."""

    def tested(self, counts: EventCounts, sign: int) -> Estimates:
        """Estimate and test of tables (R,), without interval; `sign` is +1 where the event is good for the patient, else -1."""
