"""Ratio of two risks."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import NonNegative
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats import proportions
from simtrials.stats.counts import EventCounts


class Ratio(Analysis):
    """A ratio of two arms on the log scale, active over control; `benefit` says which direction is good for the patient."""

    needs_binary = True
    test: Literal["wald", "score"] = Field(default="wald", description="wald: log ratio over its standard error; score: Miettinen-Nurminen")
    correction: NonNegative = Field(default=0.0, description="added to all four cells where one is zero (wald); 0 leaves such trials not estimable")

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        counts, scale = view.counts(), self.scale_of_effect
        found = self.tested(counts, view.sign)
        if self.test == "wald":
            return found
        limits = proportions.score_interval(*counts, _ratio(scale), 1 - self.two_sided_alpha)
        return replace(found, lower=limits.lower, upper=limits.upper)

    def tested(self, counts: EventCounts, sign: int) -> Estimates:
        """Estimate and test of these tables, without the interval of the score test."""
        scale = _ratio(self.scale_of_effect)
        ratio = proportions.log_risk_ratio if scale == "log_risk_ratio" else proportions.log_odds_ratio
        estimate, std_error, status = ratio(*counts, self.correction)
        benefit: Literal[1, -1] = 1 if sign > 0 else -1
        infinite = np.full(estimate.shape, np.inf)
        if self.test == "wald":
            known = np.where(std_error > 0, std_error, np.nan)
            return Estimates(estimate, known, estimate / known, infinite, status, scale, benefit)
        estimate = np.where(np.isnan(estimate), _infinite(counts, scale), estimate)
        tested = proportions.score_test(*counts, scale)
        return Estimates(estimate, std_error, tested.statistic, infinite, tested.status, scale, benefit)


def _ratio(scale: EffectScale) -> Literal["log_risk_ratio", "log_odds_ratio"]:
    assert scale in ("log_risk_ratio", "log_odds_ratio")
    return scale


def _infinite(counts: EventCounts, scale: str) -> FloatArray:
    """The log ratio of a table with an empty cell: minus or plus infinity, NaN where nothing tells the arms apart."""
    active, control = counts.events_active, counts.events_control
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = active / counts.n_active, control / counts.n_control
        ratio = above / below if scale == "log_risk_ratio" else (active * (counts.n_control - control)) / ((counts.n_active - active) * control)
        return np.asarray(np.log(ratio))


@ANALYSES.register
class RiskRatio(Ratio):
    """Log risk ratio."""

    kind: Literal["risk_ratio"] = "risk_ratio"

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_risk_ratio"

    @property
    def method(self) -> str:
        return "risk ratio, log-Wald" if self.test == "wald" else "risk ratio, score test"
