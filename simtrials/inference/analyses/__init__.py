"""Analyses that a protocol names: kinds, one file each."""

from simtrials.inference.analyses.ancova import Ancova
from simtrials.inference.analyses.base import ANALYSES, SETS, Analysis
from simtrials.inference.analyses.bayesian_means import Bayesian, BayesianMeans
from simtrials.inference.analyses.bayesian_risks import BayesianRisks
from simtrials.inference.analyses.conditional_mean import ConditionalMean
from simtrials.inference.analyses.fisher_exact import FisherExact
from simtrials.inference.analyses.interaction import Interaction
from simtrials.inference.analyses.log_binomial import LogBinomial
from simtrials.inference.analyses.logistic import Logistic
from simtrials.inference.analyses.mann_whitney import MannWhitney
from simtrials.inference.analyses.mantel_haenszel import MantelHaenszel
from simtrials.inference.analyses.mmrm import Mmrm
from simtrials.inference.analyses.multiple_imputation import MultipleImputation
from simtrials.inference.analyses.odds_ratio import OddsRatio
from simtrials.inference.analyses.proportional_odds import ProportionalOdds
from simtrials.inference.analyses.random_slope import RandomSlope
from simtrials.inference.analyses.randomization_test import RandomizationTest
from simtrials.inference.analyses.risk_difference import RiskDifference
from simtrials.inference.analyses.risk_ratio import RiskRatio
from simtrials.inference.analyses.standardization import Standardization
from simtrials.inference.analyses.t_test import TTest
from simtrials.inference.analyses.time_to_event import Cox, KaplanMeier, LogRank
from simtrials.inference.analyses.van_elteren import VanElteren
from simtrials.inference.analyses.win_ratio import WinRatio

__all__ = [
    "ANALYSES",
    "SETS",
    "Analysis",
    "Ancova",
    "Bayesian",
    "BayesianMeans",
    "BayesianRisks",
    "ConditionalMean",
    "Cox",
    "FisherExact",
    "Interaction",
    "KaplanMeier",
    "LogBinomial",
    "LogRank",
    "Logistic",
    "MannWhitney",
    "MantelHaenszel",
    "Mmrm",
    "MultipleImputation",
    "OddsRatio",
    "ProportionalOdds",
    "RandomSlope",
    "RandomizationTest",
    "RiskDifference",
    "RiskRatio",
    "Standardization",
    "TTest",
    "VanElteren",
    "WinRatio",
]
