"""Proportional odds."""

from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.ordinal import proportional_odds


@ANALYSES.register
class ProportionalOdds(Analysis):
    """Log odds ratio of a better outcome, at whichever cut, adjusted for covariates."""

    kind: Literal["proportional_odds"] = "proportional_odds"
    covariates: Many[str] = Field(default=(), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'")
    test: Literal["wald", "likelihood_ratio"] = Field(default="wald", description="test; the interval is always Wald's")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_odds_ratio"

    @property
    def marginal(self) -> bool:
        return False

    @property
    def one_procedure(self) -> bool:
        return self.test == "wald"

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        parts = ["proportional odds"]
        parts += ["covariates"] if self.covariates else []
        parts += ["likelihood ratio"] if self.test == "likelihood_ratio" else []
        return ", ".join(parts)

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        model = partial(proportional_odds, test=self.test)
        fit = dropping_aliased(model, view.value, view.arm, view.active, view.covariates(self.covariates))
        infinite = np.full(fit.estimate.shape, np.inf)
        return Estimates(view.sign * fit.estimate, fit.std_error, view.sign * fit.statistic, infinite, fit.status, "log_odds_ratio")
