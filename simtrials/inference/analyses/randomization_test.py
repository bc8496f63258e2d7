"""Randomisation test."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import ArmArray
from simtrials.core.check import Count, Many, Within
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.rerandomisation import adjusted_scores, linear_randomization_test, permuted, ranked_scores


@ANALYSES.register
class RandomizationTest(Analysis):
    """The arms are drawn again by the trial's own allocation, and the difference of means is compared with what it would then have been.

    With covariates the outcome is first adjusted for them, without regard to the arms. The estimate is that difference; there is no interval.
    With more than two arms the hypothesis is that none of them matters.
    """

    kind: Literal["randomization_test"] = "randomization_test"
    covariates: Many[str] = Field(default=(), description="'baseline', or expressions over measured columns; the outcome is adjusted for them")
    scores: Literal["outcome", "ranks"] = Field(default="outcome", description="what is compared: the outcome itself, or its ranks over both arms")
    n_draws: Annotated[Count, Within(low=19, high=100_000)] = Field(default=999, description="allocations that are drawn again for each trial")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "difference"

    @property
    def marginal(self) -> bool:
        return not self.covariates and self.scores == "outcome"

    @property
    def one_procedure(self) -> bool:
        return False

    @property
    def covariate_names(self) -> tuple[str, ...]:
        return self.covariates

    @property
    def method(self) -> str:
        parts = ["randomization test"]
        parts += ["ranks"] if self.scores == "ranks" else []
        parts += ["adjusted"] if self.covariates else []
        return ", ".join(parts)

    def estimate(self, data: TrialData) -> Estimates:
        return self.estimate_by_luck(data, np.random.Generator(np.random.SFC64(0)))

    def estimate_by_luck(self, data: TrialData, rng: np.random.Generator) -> Estimates:
        view = self.view(data)
        score = np.where(view.arm >= 0, view.value, np.nan)
        if self.scores == "ranks":
            score = ranked_scores(score)
        if self.covariates:
            score = adjusted_scores(score, view.covariates(self.covariates))
        redraw = data.redraw or permuted(data.arm)

        def drawn(generator: np.random.Generator, n: int) -> ArmArray:
            return redraw(generator, n, data.stratum)

        found = linear_randomization_test(score, data.arm, view.active, drawn, self.n_draws, rng)
        none = np.full(found.statistic.shape, np.nan)
        return Estimates(view.sign * found.statistic, none, none, none, found.status, "difference", lower=none, upper=none, p_value=found.p_value)
