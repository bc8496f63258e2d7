"""Analysis of covariance."""

from typing import Literal

from pydantic import Field

from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.inference.analyses.t_test import wald
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.regression import least_squares


@ANALYSES.register
class Ancova(Analysis):
    """Difference in means, adjusted for covariates by least squares."""

    needs_binary = False
    kind: Literal["ancova"] = "ancova"
    covariates: Many[str] = Field(
        default=("baseline",), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        return "ANCOVA"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        return wald(dropping_aliased(least_squares, view.value, view.arm, view.active, view.covariates(self.covariates)), view.sign, "difference")
