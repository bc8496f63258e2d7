"""Questionable research practices, one class each."""

from simtrials.evidence.practices.base import PRACTICES, Practice
from simtrials.evidence.practices.kinds import OptionalCovariate, OptionalModerator, OptionalStopping, OutlierRemoval

__all__ = ["PRACTICES", "OptionalCovariate", "OptionalModerator", "OptionalStopping", "OutlierRemoval", "Practice"]
