"""Student's and Welch's t test."""

from typing import Literal

from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.means import Contrast, t_test


@ANALYSES.register
class TTest(Analysis):
    """Difference in means, without covariates."""

    needs_binary = False
    kind: Literal["t_test"] = "t_test"
    variance: Literal["pooled", "welch"] = Field(default="pooled", description="one variance for both arms (Student), or one for each (Welch)")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def method(self) -> str:
        return "t test" if self.variance == "pooled" else "Welch t test"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        return wald(t_test(view.value, view.arm, view.active, self.variance), view.sign, "difference")


def wald(contrast: Contrast, sign: int, scale: EffectScale) -> Estimates:
    """A contrast, active minus control, as estimates in which a benefit is positive."""
    estimate = sign * contrast.estimate
    return Estimates(estimate, contrast.std_error, estimate / contrast.std_error, contrast.df, contrast.status, scale)
