"""Marginal effects after logistic regression (g-computation)."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.marginal import ResidualVariance, logistic_coefficients, marginal_effect, risks_given, standardized_risks
from simtrials.stats.proportions import Contrast

MEASURE_WORDS: dict[Contrast, str] = {"risk_difference": "risk difference", "log_risk_ratio": "risk ratio", "log_odds_ratio": "odds ratio"}
RiskMeasure = Literal["risk_difference", "risk_ratio", "odds_ratio"]
SCALES: dict[RiskMeasure, Contrast] = {"risk_difference": "risk_difference", "risk_ratio": "log_risk_ratio", "odds_ratio": "log_odds_ratio"}


@ANALYSES.register
class Standardization(Analysis):
    """Risks if all patients were in either arm, from a logistic model with covariates, and their difference or ratio."""

    needs_binary = True
    kind: Literal["standardization"] = "standardization"
    covariates: Many[str] = Field(
        default=("baseline",), description="known before randomisation; the stratification factors belong among them for the superpopulation variance"
    )
    measure: RiskMeasure = Field(default="risk_difference", description="contrast of the two mean risks")
    variance: Literal["superpopulation", "conditional"] = Field(
        default="superpopulation",
        description="superpopulation (Ye 2023): the effect in the population; conditional (Ge 2011): in patients with the covariates of this trial",
    )
    residual_variance: ResidualVariance = Field(
        default="within_arm", description="how the superpopulation variance takes the spread around the fitted risks; the two agree in large trials"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return SCALES[self.measure]

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        return f"standardized {MEASURE_WORDS[SCALES[self.measure]]}" + (", conditional variance" if self.variance == "conditional" else "")

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        risks = standardized_risks(view.value, view.arm, view.active, view.covariates(self.covariates), self.residual_variance)
        effect = marginal_effect(risks, SCALES[self.measure])
        std_error = effect.superpopulation_std_error if self.variance == "superpopulation" else effect.conditional_std_error
        return event_contrast(effect.estimate, std_error, effect.status, SCALES[self.measure], view.sign)

    @property
    def has_own_truth(self) -> bool:
        return self.variance == "conditional"

    def reference(self, data: TrialData) -> FloatArray:
        """The coefficients of the model: with covariates held fixed, the effect is that in patients with the covariates of the trial."""
        view = self.view(data)
        return logistic_coefficients(view.value, view.arm, view.active, view.covariates(self.covariates))

    def own_truth(self, data: TrialData, reference: FloatArray) -> FloatArray:
        view = self.view(data)
        analysed = ((view.arm == 0) | (view.arm == view.active)) & ~np.isnan(view.value)
        active, control = risks_given(reference, analysed, view.covariates(self.covariates))
        if self.measure == "risk_difference":
            return view.sign * (active - control)
        if self.measure == "risk_ratio":
            return np.asarray(np.log(active / control))
        return np.asarray(np.log(active / (1 - active)) - np.log(control / (1 - control)))


def event_contrast(estimate: np.ndarray, std_error: np.ndarray, status: np.ndarray, scale: Contrast, sign: int) -> Estimates:
    """A contrast of two risks: a difference in the direction of benefit, a ratio active over control with its direction beside it."""
    infinite = np.full(estimate.shape, np.inf)
    if scale == "risk_difference":
        return Estimates(sign * estimate, std_error, sign * estimate / std_error, infinite, status, scale)
    return Estimates(estimate, std_error, estimate / std_error, infinite, status, scale, 1 if sign > 0 else -1)
