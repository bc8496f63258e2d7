"""Regression for the risk ratio."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.inference.analyses.standardization import event_contrast
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.log_binomial import log_binomial_regression, modified_poisson_regression


@ANALYSES.register
class LogBinomial(Analysis):
    """Log risk ratio, active over control, adjusted for covariates: log-binomial, or Poisson with a robust variance."""

    needs_binary = True
    kind: Literal["log_binomial"] = "log_binomial"
    model: Literal["log_binomial", "modified_poisson"] = Field(
        default="log_binomial", description="modified_poisson converges where log_binomial meets a fitted risk of 1"
    )
    covariates: Many[str] = Field(default=(), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_risk_ratio"

    @property
    def marginal(self) -> bool:
        return not self.covariates

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        return ("log-binomial" if self.model == "log_binomial" else "modified Poisson") + (", covariates" if self.covariates else "")

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        model = log_binomial_regression if self.model == "log_binomial" else modified_poisson_regression
        fit = dropping_aliased(model, view.value, view.arm, view.active, view.covariates(self.covariates))
        return event_contrast(fit.estimate, np.where(fit.std_error > 0, fit.std_error, np.nan), fit.status, "log_risk_ratio", view.sign)
