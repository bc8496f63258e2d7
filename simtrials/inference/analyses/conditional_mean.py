"""Missing visits replaced by their conditional means, with jackknife standard errors."""

from typing import Literal

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES
from simtrials.inference.analyses.multiple_imputation import Imputation
from simtrials.inference.analyses.t_test import wald
from simtrials.stats.conditional_mean import conditional_mean_ancova


@ANALYSES.register
class ConditionalMean(Imputation):
    """What multiple imputation and analysis of covariance estimate with infinitely many imputations; the standard error leaves patients out."""

    needs_binary = False
    kind: Literal["conditional_mean"] = "conditional_mean"

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def way(self) -> str:
        return "conditional mean, jackknife"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        patients = self.patients(view)
        shift = self.shift(patients, view, self.delta) if self.delta else None
        return wald(conditional_mean_ancova(patients, self.assumption, self.regressions, view.visit, shift), view.sign, "difference")
