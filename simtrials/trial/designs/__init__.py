"""How a trial runs: kinds of design, one file each."""

from simtrials.trial.designs.base import DESIGNS, Design
from simtrials.trial.designs.fixed import Fixed

__all__ = ["DESIGNS", "Design", "Fixed"]
