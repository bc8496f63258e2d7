"""Who could be enrolled: kinds of population, one file each."""

from simtrials.trial.populations.base import POPULATIONS, Population
from simtrials.trial.populations.crp_regression import CrpRegression
from simtrials.trial.populations.gaussian_copula import GaussianCopula
from simtrials.trial.populations.resampled import Resampled

__all__ = ["POPULATIONS", "CrpRegression", "GaussianCopula", "Population", "Resampled"]
