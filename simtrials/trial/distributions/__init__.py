"""Marginal distributions of covariates, each as the quantile function of one standard normal draw."""

from simtrials.trial.distributions.base import DISTRIBUTIONS, Distribution
from simtrials.trial.distributions.continuous import Beta, Gamma, Lognormal, Normal, Quantiles, Truncated
from simtrials.trial.distributions.discrete import Bernoulli, Categorical
from simtrials.trial.distributions.student_t import StudentT

__all__ = ["DISTRIBUTIONS", "Bernoulli", "Beta", "Categorical", "Distribution", "Gamma", "Lognormal", "Normal", "Quantiles", "StudentT", "Truncated"]
