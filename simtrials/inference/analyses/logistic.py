"""Logistic regression."""

from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.logistic import logistic_regression


@ANALYSES.register
class Logistic(Analysis):
    """Log odds ratio, active over control, adjusted for covariates; a fit that separates is reported as such and shows no benefit."""

    needs_binary = True
    kind: Literal["logistic"] = "logistic"
    covariates: Many[str] = Field(default=(), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'")
    test: Literal["wald", "likelihood_ratio"] = Field(default="wald", description="test; the interval is always Wald's")
    penalty: Literal["none", "firth"] = Field(
        default="none", description="firth: penalised likelihood, which has an estimate also when data separate"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_odds_ratio"

    @property
    def marginal(self) -> bool:
        return not self.covariates

    @property
    def one_procedure(self) -> bool:
        return self.test == "wald"

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        parts = ["Firth logistic" if self.penalty == "firth" else "logistic"]
        parts += ["covariates"] if self.covariates else []
        parts += ["likelihood ratio"] if self.test == "likelihood_ratio" else []
        return ", ".join(parts)

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        columns = view.covariates(self.covariates)
        model = partial(logistic_regression, test=self.test, penalty=self.penalty)
        fit = dropping_aliased(model, view.value, view.arm, view.active, columns)
        benefit: Literal[1, -1] = 1 if view.sign > 0 else -1
        infinite = np.full(fit.estimate.shape, np.inf)
        return Estimates(fit.estimate, fit.std_error, fit.statistic, infinite, fit.status, "log_odds_ratio", benefit)
