"""Bayesian comparison of two means, conjugate."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, BoolArray
from simtrials.core.check import Component, Finite, Many, OpenProbability, Positive, Probability, fault
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.core.status import Status
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.bayes import NormalMixture, PosteriorEffect, normal_effect, normal_posterior, robust_normal_prior, student_effect
from simtrials.stats.bayes_intervals import CredibleInterval, normal_interval, student_interval
from simtrials.stats.means import two_arm_moments

FLAT = NormalMixture.of((1.0, 0.0, np.inf))


class Bayesian(Analysis):
    """What Bayesian analyses share: they decide by the posterior probability that the benefit exceeds a threshold."""

    probability: OpenProbability = Field(
        default=0.975, description="a benefit is shown where the posterior probability that it exceeds the threshold is above this"
    )
    threshold: Finite = Field(default=0.0, description="benefit that must be exceeded, in the unit of the effect")

    @model_validator(mode="after")
    def _decides_by_probability(self) -> Self:
        if self.one_sided_alpha is not None:
            raise fault("one_sided_alpha has no say in a Bayesian analysis, which decides by posterior probability; give probability instead")
        return self

    @property
    def nominal(self) -> float:
        return 1 - self.probability

    @property
    def one_procedure(self) -> bool:
        return False

    def decided(self, effects: Sequence[PosteriorEffect], few: BoolArray, interval: CredibleInterval, sign: int, scale: EffectScale) -> Estimates:
        """Estimates from posteriors of active minus control, whose probabilities are those of exceeding the threshold and minus the threshold."""
        above, below = effects[0].probability, 1 - effects[1].probability
        benefit, harm = (above, below) if sign > 0 else (below, above)
        status = np.where(few, int(Status.TOO_FEW_PATIENTS), effects[0].status)
        known = status == Status.OK
        with np.errstate(invalid="ignore"):
            decision: AnyArray = np.where(known, (benefit > self.probability).astype(np.int8) - (harm > self.probability).astype(np.int8), np.int8(0))
        mean, sd, lower, upper = (np.where(known, part, np.nan) for part in (effects[0].mean, effects[0].sd, interval.lower, interval.upper))
        if sign < 0:
            mean, lower, upper = -mean, -upper, -lower
        none = np.full(mean.shape, np.nan)
        return Estimates(mean, sd, none, none, status, scale, lower=lower, upper=upper, decision=decision)

    def thresholds(self) -> tuple[float, float]:
        """What active minus control must exceed, and what it must fall short of: the threshold and minus the threshold."""
        return self.threshold, -self.threshold


class NormalPart(Component):
    """One normal distribution of a prior of a mean."""

    weight: Probability = Field(default=1.0, description="share of the prior")
    mean: Finite = Field(description="mean of the arm, in the unit of the outcome that is analyzed")
    sd: Positive = Field(description="standard deviation of what is known of that mean")


@ANALYSES.register
class BayesianMeans(Bayesian):
    """Difference in means from conjugate normal posteriors.

    Without priors the variance is unknown, with the reference prior, and the decision is that of a one-sided t test. With a prior of the control
    arm (historical controls) or of the active one the patients' standard deviation is taken as known.
    """

    needs_binary = False
    kind: Literal["bayesian_means"] = "bayesian_means"
    control_prior: Many[NormalPart] = Field(default=(), description="prior of the control arm's mean: normal distributions with weights")
    active_prior: Many[NormalPart] = Field(default=(), description="prior of the active arm's mean; default: flat")
    robust_weight: Probability = Field(default=0.0, description="weight of a further part of the control prior that is worth one patient")
    patient_sd: Positive | None = Field(default=None, description="standard deviation of patients in an arm, taken as known; needed with a prior")

    @model_validator(mode="after")
    def _priors_are_whole(self) -> Self:
        for name, prior in (("control_prior", self.control_prior), ("active_prior", self.active_prior)):
            if prior and abs(sum(part.weight for part in prior) - 1) > 1e-9:
                raise fault(f"{name}: the weights must add up to 1, got {sum(part.weight for part in prior):g}")
        if (self.control_prior or self.active_prior) and self.patient_sd is None:
            raise fault("patient_sd is needed with a prior")
        if not (self.control_prior or self.active_prior) and self.patient_sd is not None:
            raise fault("patient_sd goes with a prior; without one the variance is estimated")
        if self.robust_weight and not self.control_prior:
            raise fault("robust_weight goes with a control_prior")
        if self.robust_weight == 1:
            raise fault("robust_weight must be below 1, or nothing is left of the control_prior")
        return self

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def method(self) -> str:
        prior = ", robust prior" if self.robust_weight else ", prior" if self.control_prior or self.active_prior else ""
        return f"Bayesian means{prior}, P > {self.probability:g}"

    def estimate(self, data: TrialData) -> Estimates:
        view, level, sd = self.view(data), 1 - self.two_sided_alpha, self.patient_sd
        moments = two_arm_moments(view.value, view.arm, view.active)
        if sd is None:
            effects = [student_effect(moments, threshold=limit) for limit in self.thresholds()]
            interval = student_interval(effects[0], moments.n.sum(axis=1) - 2, level)
        else:
            control = normal_posterior(self._control(sd), moments.mean[:, 0], moments.n[:, 0], sd)
            active = normal_posterior(_mixture(self.active_prior), moments.mean[:, 1], moments.n[:, 1], sd)
            effects = [normal_effect(active, control, limit) for limit in self.thresholds()]
            interval = normal_interval(effects[0], active, control, level)
        return self.decided(effects, moments.n.min(axis=1) < 2, interval, view.sign, "difference")

    def _control(self, sd: float) -> NormalMixture:
        prior = _mixture(self.control_prior)
        return robust_normal_prior(prior, self.robust_weight, float(prior.moments[0]), sd) if self.robust_weight else prior


def _mixture(parts: tuple[NormalPart, ...]) -> NormalMixture:
    return NormalMixture.of(*((part.weight, part.mean, part.sd) for part in parts)) if parts else FLAT
