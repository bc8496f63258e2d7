"""Whether the benefit depends on something measured before randomisation."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.core.expressions import ExpressionError
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.inference.analyses.t_test import wald
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.logistic import logistic_regression
from simtrials.stats.regression import least_squares


@ANALYSES.register
class Interaction(Analysis):
    """Change of the benefit per unit of a modifier (or between its two strata), by least squares or logistic regression."""

    kind: Literal["interaction"] = "interaction"
    modifier: str = Field(default="ln(crp)", description="a number such as 'ln(crp)', or a condition such as 'crp >= 3'")
    covariates: Many[str] = Field(default=(), description="further covariates; the modifier itself is always in the model")
    model: Literal["linear", "logistic"] = Field(default="linear", description="linear: difference in means or risks; logistic: log odds ratio")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "slope"

    @property
    def wants_binary(self) -> bool | None:
        return True if self.model == "logistic" else None

    @property
    def marginal(self) -> bool:
        return False

    @property
    def expressions(self) -> tuple[str, ...]:
        return (*super().expressions, self.modifier)

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        return f"treatment by {self.modifier}" + (", logistic" if self.model == "logistic" else "")

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        modifier, *others = view.covariates((self.modifier,))
        if others:
            raise ExpressionError(f"modifier {self.modifier!r} has {len(others) + 2} levels; make it a condition, as in \"{self.modifier} == '...'\"")
        columns = [modifier, modifier * (view.arm == view.active), *view.covariates(self.covariates)]
        if self.model == "linear":
            return wald(dropping_aliased(least_squares, view.value, view.arm, view.active, columns, tested=2), view.sign, "slope")
        fit = dropping_aliased(logistic_regression, view.value, view.arm, view.active, columns, tested=2)
        infinite = np.full(fit.estimate.shape, np.inf)
        estimate = view.sign * fit.estimate
        return Estimates(estimate, fit.std_error, estimate / fit.std_error, infinite, fit.status, "slope")
