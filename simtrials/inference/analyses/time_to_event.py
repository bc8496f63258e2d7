"""Time to the first visit with response, remission or another event."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.check import Many
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis, View
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.proportional_hazards import HazardFit, cox_regression
from simtrials.stats.survival import kaplan_meier_difference, log_rank, restricted_mean_difference, time_to_first


def _cox(
    signed_time: FloatArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray],
    tested: int,
    test: Literal["wald", "likelihood_ratio"],
) -> HazardFit:
    """Cox regression of times that are negative where they are censored, so that one array says both."""
    return cox_regression(np.abs(signed_time), signed_time > 0, arm, active, covariates, tested, test)


class TimeToEvent(Analysis):
    """What analyses of the time to the first event share: visits count up to the week of the analysis, missing ones censor."""

    needs_binary = True
    fills_gaps = True

    @property
    def marginal(self) -> bool:
        return False

    def times(self, view: View) -> tuple[FloatArray, BoolArray]:
        """(R, P) week of the first event or of the last visit seen, and whether it happened."""
        weeks = view.measured.weeks[: view.visit + 1]
        seen = view.course()[:, :, : len(weeks)]
        return time_to_first(seen > 0.5, ~np.isnan(seen), weeks)


@ANALYSES.register
class LogRank(TimeToEvent):
    """Log-rank test; the estimate is the log hazard ratio of one step from no effect (Peto), which goes with it."""

    kind: Literal["log_rank"] = "log_rank"
    stratified: bool = Field(default=False, description="within the strata of the allocation")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_hazard_ratio"

    @property
    def method(self) -> str:
        return "log-rank test, stratified" if self.stratified else "log-rank test"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        stratum = np.where(view.arm >= 0, data.stratum, -1) if self.stratified else None
        found = log_rank(*self.times(view), view.arm, view.active, stratum)
        infinite = np.full(found.z.shape, np.inf)
        estimate, std_error = found.excess / found.variance, 1 / np.sqrt(found.variance)
        return Estimates(estimate, std_error, found.z, infinite, found.status, "log_hazard_ratio", 1 if view.sign > 0 else -1)


@ANALYSES.register
class Cox(TimeToEvent):
    """Log hazard ratio, active over control, with covariates; Efron's likelihood for ties, of which scheduled visits make many."""

    kind: Literal["cox"] = "cox"
    covariates: Many[str] = Field(default=(), description="'baseline', or expressions over measured columns such as 'ln(crp)', 'sex', 'crp >= 3'")
    test: Literal["wald", "likelihood_ratio"] = Field(default="wald", description="test; the interval is always Wald's")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_hazard_ratio"

    @property
    def one_procedure(self) -> bool:
        return self.test == "wald"

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        parts = ["Cox regression"]
        parts += ["covariates"] if self.covariates else []
        parts += ["likelihood ratio"] if self.test == "likelihood_ratio" else []
        return ", ".join(parts)

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        time, event = self.times(view)
        model = partial(_cox, test=self.test)
        fit = dropping_aliased(model, np.where(event, time, -time), view.arm, view.active, view.covariates(self.covariates))
        infinite = np.full(fit.estimate.shape, np.inf)
        return Estimates(fit.estimate, fit.std_error, fit.statistic, infinite, fit.status, "log_hazard_ratio", 1 if view.sign > 0 else -1)


@ANALYSES.register
class KaplanMeier(TimeToEvent):
    """Difference of Kaplan-Meier curves at the week of the analysis: in the share with the event, or in mean weeks without it until then."""

    kind: Literal["kaplan_meier"] = "kaplan_meier"
    feature: Literal["share", "restricted_mean"] = Field(
        default="share", description="share: patients with the event by the week; restricted_mean: mean weeks without it until the week"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return "risk_difference" if self.feature == "share" else "weeks"

    @property
    def method(self) -> str:
        return "Kaplan-Meier difference" if self.feature == "share" else "restricted mean time difference"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        difference = kaplan_meier_difference if self.feature == "share" else restricted_mean_difference
        found = difference(*self.times(view), view.arm, view.active, view.week)
        estimate, infinite = -view.sign * found.estimate, np.full(found.estimate.shape, np.inf)
        return Estimates(estimate, found.std_error, estimate / found.std_error, infinite, found.status, self.scale_of_effect)
