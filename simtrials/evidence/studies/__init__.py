"""How many studies there are, how large, of what kind: one file each."""

from simtrials.evidence.studies.base import STUDIES, Plans, Studies, Variety
from simtrials.evidence.studies.drawn import Drawn
from simtrials.evidence.studies.listed import Listed, Study

__all__ = ["STUDIES", "Drawn", "Listed", "Plans", "Studies", "Study", "Variety"]
