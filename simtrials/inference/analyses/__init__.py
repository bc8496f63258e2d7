"""Analyses that a protocol names: kinds, one file each."""

from simtrials.inference.analyses.ancova import Ancova
from simtrials.inference.analyses.base import ANALYSES, SETS, Analysis
from simtrials.inference.analyses.fisher_exact import FisherExact
from simtrials.inference.analyses.interaction import Interaction
from simtrials.inference.analyses.logistic import Logistic
from simtrials.inference.analyses.mann_whitney import MannWhitney
from simtrials.inference.analyses.odds_ratio import OddsRatio
from simtrials.inference.analyses.risk_difference import RiskDifference
from simtrials.inference.analyses.risk_ratio import RiskRatio
from simtrials.inference.analyses.t_test import TTest

__all__ = [
    "ANALYSES",
    "SETS",
    "Analysis",
    "Ancova",
    "FisherExact",
    "Interaction",
    "Logistic",
    "MannWhitney",
    "OddsRatio",
    "RiskDifference",
    "RiskRatio",
    "TTest",
]
