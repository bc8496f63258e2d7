"""Correlation of a patient's scores over visits: kinds, one small class each."""

from simtrials.trial.correlations.base import CORRELATIONS, VisitCorrelation
from simtrials.trial.correlations.kinds import AutoRegressive, CompoundSymmetry, Toeplitz, Unstructured

__all__ = ["CORRELATIONS", "AutoRegressive", "CompoundSymmetry", "Toeplitz", "Unstructured", "VisitCorrelation"]
