"""Mixed model for repeated measures."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.check import Many, fault
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.inference.analyses.t_test import wald
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.covariances import Covariance
from simtrials.stats.means import Contrast
from simtrials.stats.mmrm import mmrm
from simtrials.stats.mmrm_iterative import DegreesOfFreedom, Information, RepeatedContrast

COVARIANCE_WORDS: dict[Covariance, str] = {
    "unstructured": "unstructured",
    "toeplitz": "Toeplitz",
    "ar1_heterogeneous": "heterogeneous AR(1)",
    "ar1": "AR(1)",
    "compound_symmetry": "compound symmetry",
}
DF_WORDS: dict[DegreesOfFreedom, str] = {"satterthwaite": "Satterthwaite", "kenward_roger": "Kenward-Roger"}


class RepeatedMeasures(Analysis):
    """What models of all visits share."""

    needs_binary = False
    fills_gaps = True
    covariates: Many[str] = Field(
        default=("baseline",), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'"
    )
    df: DegreesOfFreedom = Field(default="satterthwaite", description="degrees of freedom; kenward_roger also enlarges the standard error")
    information: Information = Field(
        default="observed", description="information on the covariance parameters that the degrees of freedom use: observed or expected"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates


@ANALYSES.register
class Mmrm(RepeatedMeasures):
    """Difference in means at a visit, from all visits of all patients, by restricted maximum likelihood.

    Means differ by visit and arm, and covariates have a slope at each visit unless they are said to share one.
    """

    kind: Literal["mmrm"] = "mmrm"
    covariance: Covariance = Field(default="unstructured", description="how the visits of a patient vary together")
    fallback: Many[Covariance] = Field(default=(), description="covariances that are tried in this order where the first cannot be fitted; counted")
    common_slope: bool = Field(default=False, description="one slope of each covariate for all visits, instead of one at each")

    @model_validator(mode="after")
    def _falls_back_to_another(self) -> Self:
        order = (self.covariance, *self.fallback)
        twice = [name for name in order if order.count(name) > 1]
        if twice:
            raise fault(f"fallback: {twice[0]!r} has been tried before; name other covariances")
        return self

    @property
    def method(self) -> str:
        parts = ["MMRM"]
        parts += [COVARIANCE_WORDS[self.covariance]] if self.covariance != "unstructured" else []
        parts += [DF_WORDS[self.df]] if self.df != "satterthwaite" else []
        parts += ["one slope for all visits"] if self.common_slope else []
        return ", ".join(parts)

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)

        def fit(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int) -> RepeatedContrast:
            return mmrm(
                outcome,
                arm,
                active,
                covariates,
                view.visit,
                df=self.df,
                information=self.information,
                covariance=self.covariance,
                fallback=self.fallback,
                common_slope=self.common_slope,
            )

        found = dropping_aliased(fit, view.course(), view.arm, view.active, view.covariates(self.covariates))
        used = {f"{COVARIANCE_WORDS[name]} covariance used": found.covariance == place for place, name in enumerate(self.fallback, start=1)}
        return wald(Contrast(found.estimate, found.std_error, found.df, found.status), view.sign, "difference").counting(used)
