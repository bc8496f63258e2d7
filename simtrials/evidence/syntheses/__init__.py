"""From the reviewers' table to a conclusion: methods of synthesis, one file per family."""

from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis
from simtrials.evidence.syntheses.pooled import Pooled

__all__ = ["SYNTHESES", "Pooled", "Synthesis"]
