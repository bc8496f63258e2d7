"""Van Elteren's test."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.quantiles import normal_critical
from simtrials.stats.stratified_ranks import van_elteren


@ANALYSES.register
class VanElteren(Analysis):
    """Ranks compared within the strata of the allocation; the estimate is the probability of a better outcome, less 0.5.

    The interval has its own standard error (placements), so test and interval are two procedures.
    """

    kind: Literal["van_elteren"] = "van_elteren"
    weights: Literal["van_elteren", "equal"] = Field(default="van_elteren", description="van_elteren: 1 / (n + 1) for each rank sum; equal: 1")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "probability_index"

    @property
    def marginal(self) -> bool:
        return False

    @property
    def one_procedure(self) -> bool:
        return False

    @property
    def method(self) -> str:
        return "van Elteren test" if self.weights == "van_elteren" else "stratified rank test, equal weights"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        found = van_elteren(view.value, view.arm, view.active, np.where(view.arm >= 0, data.stratum, -1), self.weights)
        estimate = view.sign * (found.probability_index - 0.5)
        margin = normal_critical(self.two_sided_alpha) * found.placement_std_error
        infinite = np.full(estimate.shape, np.inf)
        return Estimates(
            estimate,
            found.placement_std_error,
            view.sign * found.z,
            infinite,
            found.status,
            "probability_index",
            lower=estimate - margin,
            upper=estimate + margin,
        )
