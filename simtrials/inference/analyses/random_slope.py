"""Linear mixed model with random intercept and slope."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES
from simtrials.inference.analyses.mmrm import DF_WORDS, RepeatedMeasures
from simtrials.inference.analyses.t_test import wald
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.means import Contrast
from simtrials.stats.random_slope import random_slope


@ANALYSES.register
class RandomSlope(RepeatedMeasures):
    """Difference of two straight lines over the visits, at a week or in slope per week; patients have an intercept and a slope of their own.

    Where courses are not straight, it answers another question than a model with means by visit; its bias says so.
    """

    needs_visits = 3
    kind: Literal["random_slope"] = "random_slope"
    contrast: Literal["week", "slope"] = Field(default="week", description="week: the lines at the week of the analysis; slope: per week")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference" if self.contrast == "week" else "difference_per_week"

    @property
    def marginal(self) -> bool:
        return self.contrast == "week"

    @property
    def method(self) -> str:
        parts = ["random slope" if self.contrast == "week" else "random slope, difference of slopes"]
        return ", ".join(parts + ([DF_WORDS[self.df]] if self.df != "satterthwaite" else []))

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        week = view.week if self.contrast == "week" else None

        def fit(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int) -> Contrast:
            return random_slope(outcome, view.measured.weeks, arm, active, covariates, week, df=self.df, information=self.information)

        found = dropping_aliased(fit, view.course(), view.arm, view.active, view.covariates(self.covariates))
        return wald(found, view.sign, self.scale_of_effect)
