"""From published reports to the reviewers' table: steps of extraction, one class each."""

from simtrials.evidence.extraction.base import EXTRACTION, ExtractionStep, Reports
from simtrials.evidence.extraction.kinds import EndScores, MissingSds, Subgroup
from simtrials.evidence.extraction.readers import Readers

__all__ = ["EXTRACTION", "EndScores", "ExtractionStep", "MissingSds", "Readers", "Reports", "Subgroup"]
