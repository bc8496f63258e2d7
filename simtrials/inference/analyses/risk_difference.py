"""Difference of two risks."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats import proportions
from simtrials.stats.counts import EventCounts
from simtrials.stats.proportions import Interval


@ANALYSES.register
class RiskDifference(Analysis):
    """Risk difference with its tests and intervals; a benefit is positive."""

    needs_binary = True
    kind: Literal["risk_difference"] = "risk_difference"
    test: Literal["score", "miettinen_nurminen", "wald"] = Field(
        default="score", description="score: pooled z; miettinen_nurminen: the same with N/(N-1); wald: unpooled z"
    )
    interval: Literal["mee", "miettinen_nurminen", "newcombe", "wald"] = Field(
        default="mee", description="mee goes with the score test, miettinen_nurminen and wald with theirs; newcombe goes with none"
    )

    @property
    def scale_of_effect(self) -> EffectScale:
        return "risk_difference"

    @property
    def one_procedure(self) -> bool:
        return (self.test, self.interval) in {("score", "mee"), ("miettinen_nurminen", "miettinen_nurminen"), ("wald", "wald")}

    @property
    def method(self) -> str:
        names = {"score": "score test", "miettinen_nurminen": "Miettinen-Nurminen test", "wald": "Wald test"}
        return f"risk difference, {names[self.test]}"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        counts = view.counts()
        limits = self._interval(counts)
        lower, upper = (limits.lower, limits.upper) if view.sign > 0 else (-limits.upper, -limits.lower)
        return replace(self.tested(counts, view.sign), lower=lower, upper=upper)

    def tested(self, counts: EventCounts, sign: int) -> Estimates:
        """Estimate and test of these tables, without interval."""
        estimate, std_error, _ = proportions.risk_difference(*counts)
        tested = self._test(counts)
        return Estimates(sign * estimate, std_error, sign * tested.statistic, np.full(estimate.shape, np.inf), tested.status, "risk_difference")

    def _test(self, counts: EventCounts) -> proportions.ZTest:
        if self.test == "score":
            return proportions.risk_difference_pooled_test(*counts)
        if self.test == "wald":
            return proportions.risk_difference_wald_test(*counts)
        return proportions.score_test(*counts, "risk_difference")

    def _interval(self, counts: EventCounts) -> Interval:
        level = 1 - self.two_sided_alpha
        if self.interval == "wald":
            return proportions.wald_interval(proportions.risk_difference(*counts), level)
        if self.interval == "newcombe":
            return proportions.risk_difference_newcombe_interval(*counts, level)
        return proportions.score_interval(*counts, "risk_difference", level, self.interval == "miettinen_nurminen")
