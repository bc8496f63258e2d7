"""Bayesian comparison of two risks, conjugate."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.check import Component, Many, OpenProbability, Positive, Probability, fault
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES
from simtrials.inference.analyses.bayesian_means import Bayesian
from simtrials.stats.bayes import BetaMixture, beta_effect, beta_posterior, robust_beta_prior
from simtrials.stats.bayes_intervals import CredibleInterval, beta_interval
from simtrials.stats.counts import EventCounts


class BetaPart(Component):
    """One beta distribution of a prior of a risk, by its mean and the number of patients that it is worth."""

    weight: Probability = Field(default=1.0, description="share of the prior")
    mean: OpenProbability = Field(description="mean risk")
    n: Positive = Field(description="patients that it is worth; a = mean n, b = (1 - mean) n")


UNIFORM = (BetaPart(mean=0.5, n=2.0),)


@ANALYSES.register
class BayesianRisks(Bayesian):
    """Risk difference from conjugate beta posteriors, with a prior of the control arm (historical placebo response) if wanted."""

    needs_binary = True
    kind: Literal["bayesian_risks"] = "bayesian_risks"
    control_prior: Many[BetaPart] = Field(default=UNIFORM, description="prior of the risk under control: beta distributions with weights")
    active_prior: Many[BetaPart] = Field(default=UNIFORM, description="prior of the risk under the active arm")
    robust_weight: Probability = Field(default=0.0, description="weight of a further, uniform part of the control prior")
    interval: bool = Field(default=True, description="work out credible intervals, which take most of the time")

    @model_validator(mode="after")
    def _priors_are_whole(self) -> Self:
        for name, prior in (("control_prior", self.control_prior), ("active_prior", self.active_prior)):
            if abs(sum(part.weight for part in prior) - 1) > 1e-9:
                raise fault(f"{name}: the weights must add up to 1, got {sum(part.weight for part in prior):g}")
        if self.robust_weight == 1:
            raise fault("robust_weight must be below 1, or nothing is left of the control_prior")
        if not abs(self.threshold) < 1:
            raise fault(f"threshold: a risk difference lies between -1 and 1, got {self.threshold:g}")
        return self

    @property
    def scale_of_effect(self) -> EffectScale:
        return "risk_difference"

    @property
    def method(self) -> str:
        informed = self.control_prior != UNIFORM or self.active_prior != UNIFORM
        prior = ", robust prior" if self.robust_weight else ", prior" if informed else ""
        return f"Bayesian risks{prior}, P > {self.probability:g}"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        return self._decided(view.counts(), view.sign, self.interval)

    def tested(self, counts: EventCounts, sign: int) -> Estimates:
        """Posterior and decision of these tables, without interval."""
        return self._decided(counts, sign, False)

    def _decided(self, counts: EventCounts, sign: int, with_interval: bool) -> Estimates:
        active, control = _mixture(self.active_prior), _mixture(self.control_prior)
        if self.robust_weight:
            control = robust_beta_prior(control, self.robust_weight)
        effects = [beta_effect(*counts, active, control, limit) for limit in dict.fromkeys(self.thresholds())]
        few, none = np.minimum(counts.n_active, counts.n_control) < 1, np.full(counts.n_active.shape, np.nan)
        interval = CredibleInterval(none, none)
        if with_interval:
            of_active = beta_posterior(active, counts.events_active, counts.n_active)
            of_control = beta_posterior(control, counts.events_control, counts.n_control)
            interval = beta_interval(effects[0], of_active, of_control, 1 - self.two_sided_alpha)
        return self.decided((effects[0], effects[-1]), few, interval, sign, "risk_difference")


def _mixture(parts: tuple[BetaPart, ...]) -> BetaMixture:
    return BetaMixture.of(*((part.weight, part.mean * part.n, (1 - part.mean) * part.n) for part in parts))
