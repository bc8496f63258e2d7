"""Multiple imputation of missing visits, at random or by reference."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.check import Count, Finite, Many, Within, fault
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.core.outcomes import OUTCOMES
from simtrials.inference.analyses.base import ANALYSES, Analysis, View
from simtrials.stats.imputation import Cohort, Regressions, cohort, draw_luck, posterior_draws
from simtrials.stats.quantiles import t_critical
from simtrials.stats.reference_based import Assumption, Imputed, delta_shift, impute
from simtrials.stats.rubin import Pooled, ancova_over_deltas, pool, responders

ASSUMPTION_WORDS: dict[Assumption, str] = {
    "missing_at_random": "missing at random",
    "jump_to_reference": "jump to reference",
    "copy_increments": "copy increments",
    "copy_reference": "copy reference",
}


class Imputation(Analysis):
    """What ways of imputation share."""

    fills_gaps = True
    imputes = True
    covariates: Many[str] = Field(
        default=("baseline",), description="known before randomisation; in the models of imputation and in the analysis of covariance"
    )
    assumption: Assumption = Field(default="missing_at_random", description="what is assumed of visits after the deviation; reference is control")
    regressions: Regressions = Field(default="by_arm", description="imputation models of each arm, or one shared by both but for its intercepts")
    deviation: str | None = Field(
        default=None, description="intercurrent event after which the assumption holds; default: it holds after the last visit that was seen"
    )
    delta: Finite = Field(default=0.0, description="points by which imputed values are made worse")
    delta_arms: Literal["active", "both"] = Field(default="active", description="arms whose imputed values are made worse")

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        worse = [f"delta {self.delta:g}"] if self.delta else []
        return ", ".join([self.way, ASSUMPTION_WORDS[self.assumption], *worse])

    @property
    def way(self) -> str:
        """How gaps are filled, in words."""
        raise TypeError(f"an analysis of kind {self.kind!r} must define way")

    def patients(self, view: View) -> Cohort:
        """The patients with their scores at all visits, ready for imputation."""
        deviation = None if self.deviation is None else _first_visit_after(view, self.deviation)
        return cohort(view.measured.value, view.arm, view.active, view.covariates(self.covariates), deviation)

    def shift(self, patients: Cohort, view: View, delta: float = 1.0) -> FloatArray:
        """(R, P) what `delta` points in the direction of worse add to the score that is analysed."""
        worse = 1.0 if view.measured.improves == "down" else -1.0
        return delta_shift(patients, worse * delta, arms=(1,) if self.delta_arms == "active" else (0, 1), visit=view.visit)


def _first_visit_after(view: View, event: str) -> IntArray:
    """(R, P) the first visit after an event, or after the last one seen where that is earlier."""
    week, observed = view.data.events.get(event), ~np.isnan(view.measured.value)
    n_visits = observed.shape[2]
    end = np.where(observed.any(axis=2), n_visits - observed[:, :, ::-1].argmax(axis=2), 0)
    if week is None:
        return np.asarray(end)
    before = np.stack([week >= visit for visit in view.measured.weeks], axis=2).sum(axis=2)
    return np.where(np.isfinite(week), before, end)


@ANALYSES.register
class MultipleImputation(Imputation):
    """Missing scores imputed from their posterior many times, each completed trial analysed, results pooled by Rubin's rules.

    A number is analysed by analysis of covariance; response or remission is read off the completed scores and its risks are compared.
    """

    kind: Literal["multiple_imputation"] = "multiple_imputation"
    n_imputations: Annotated[Count, Within(low=2, high=1000)] = Field(default=20, description="completed copies of each trial")
    ratio: bool = Field(default=False, description="for response and remission: log risk ratio instead of the risk difference")
    deltas: Many[Finite] = Field(
        default=(), description="tipping-point sweep: how often a benefit is still shown when imputed values are worse by each of these, in points"
    )

    @model_validator(mode="after")
    def _sweeps_a_number(self) -> Self:
        if self.deltas and self.outcome is not None and self.outcome in OUTCOMES and OUTCOMES[self.outcome].binary:
            raise fault("deltas sweep the analysis of covariance of a number, not response or remission; give delta instead")
        return self

    @property
    def scale_of_effect(self) -> EffectScale:
        if self.outcome is None or self.outcome not in OUTCOMES or not OUTCOMES[self.outcome].binary:
            return "difference"
        return "log_risk_ratio" if self.ratio else "risk_difference"

    @property
    def way(self) -> str:
        return "multiple imputation"

    def estimate(self, data: TrialData) -> Estimates:
        return self.estimate_by_luck(data, np.random.Generator(np.random.SFC64(0)))

    def estimate_by_luck(self, data: TrialData, rng: np.random.Generator) -> Estimates:
        view = self.view(data)
        patients = self.patients(view)
        luck = draw_luck(rng, view.measured.value.shape, self.n_imputations, patients.covariates.shape[2])
        imputed = impute(patients, posterior_draws(patients, luck, self.regressions), self.assumption, view.visit)
        shift = self.shift(patients, view)
        if view.outcome.binary:
            return self._of_events(view, Imputed(imputed.outcome + self.delta * shift[:, :, np.newaxis], imputed.status))
        deltas = np.array([self.delta, *self.deltas])
        completed = Imputed(_derived(view, imputed.outcome), imputed.status)
        pooled = pool(ancova_over_deltas(completed, shift, deltas, view.arm, view.active, view.covariates(self.covariates)))
        shown = _shows_benefit(pooled, view.sign, self.two_sided_alpha)
        flags = {f"benefit shown at delta {delta:g}": shown[:, place] for place, delta in enumerate(self.deltas, start=1)}
        return _estimates(pooled, view.sign, "difference", 1).counting(flags)

    def _of_events(self, view: View, imputed: Imputed) -> Estimates:
        """The risks of an event that is read off completed scores."""
        events = Imputed(_derived(view, imputed.outcome), imputed.status)
        contrast: Literal["log_risk_ratio", "risk_difference"] = "log_risk_ratio" if self.ratio else "risk_difference"
        found = responders(events, np.zeros(view.arm.shape), lambda event, _: event > 0.5, view.arm, view.active, contrast)
        if self.ratio:
            return _estimates(pool(found), 1, contrast, 1 if view.sign > 0 else -1)
        return _estimates(pool(found), view.sign, contrast, 1)


def _derived(view: View, score: FloatArray) -> FloatArray:
    """(R, P, imputation) the outcome of completed scores; for an event, of scores that are rounded and kept within the scale."""
    measured, baseline = view.measured, view.measured.baseline
    if view.outcome.binary and measured.scale is not None:
        score = np.clip(np.rint(score), measured.scale.minimum, measured.scale.maximum)
    return view.outcome.of(measured, score, None if baseline is None else baseline[:, :, np.newaxis])


def _shows_benefit(pooled: Pooled, sign: int, alpha: float) -> BoolArray:
    """(R, delta) significant in the direction of benefit."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sign * pooled.estimate / pooled.std_error > t_critical(pooled.df, alpha))


def _estimates(pooled: Pooled, sign: int, scale: EffectScale, benefit: Literal[1, -1]) -> Estimates:
    """Estimates from pooled results, (R,), or (R, delta) of which the first delta is taken."""
    estimate, std_error, df = (part.reshape(len(part), -1)[:, 0] for part in pooled[:3])
    status = pooled.status.reshape(len(estimate), -1)[:, 0]
    with np.errstate(invalid="ignore"):
        statistic = sign * estimate / np.where(std_error > 0, std_error, np.nan)
    return Estimates(sign * estimate, std_error, statistic, df, status, scale, benefit)
