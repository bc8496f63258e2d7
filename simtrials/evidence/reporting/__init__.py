"""From finished studies to published ones: kinds of publication and of outcome selection."""

from simtrials.evidence.reporting.base import OUTCOME_SELECTIONS, PUBLICATIONS, Finished, OutcomeSelection, Publication
from simtrials.evidence.reporting.outcomes import FirstSignificant, MostFavorable
from simtrials.evidence.reporting.publication import ByFunder, ByPValue, BySign, Carter2019, Smooth

__all__ = [
    "OUTCOME_SELECTIONS",
    "PUBLICATIONS",
    "ByFunder",
    "ByPValue",
    "BySign",
    "Carter2019",
    "Finished",
    "FirstSignificant",
    "MostFavorable",
    "OutcomeSelection",
    "Publication",
    "Smooth",
]
