"""From the reviewers' table to a conclusion: methods of synthesis, one file per family."""

from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis
from simtrials.evidence.syntheses.others import Bayesian, Bivariate, Clustered, Counts, Moderated, Permutation, Sequential
from simtrials.evidence.syntheses.pooled import Pooled
from simtrials.evidence.syntheses.selection import PCurve, PUniform, StepSelection, WorstCase
from simtrials.evidence.syntheses.small_study import Asymmetry, LimitMetaAnalysis, PetPeese, TrimAndFill, UnrestrictedWls

__all__ = [
    "SYNTHESES",
    "Asymmetry",
    "Bayesian",
    "Bivariate",
    "Clustered",
    "Counts",
    "LimitMetaAnalysis",
    "Moderated",
    "PCurve",
    "PUniform",
    "Permutation",
    "PetPeese",
    "Pooled",
    "Sequential",
    "StepSelection",
    "Synthesis",
    "TrimAndFill",
    "UnrestrictedWls",
    "WorstCase",
]
