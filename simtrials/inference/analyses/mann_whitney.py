"""The Wilcoxon-Mann-Whitney test."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats.quantiles import t_critical
from simtrials.stats.ranks import mann_whitney


@ANALYSES.register
class MannWhitney(Analysis):
    """Probability that a patient on active does better than one on control (ties count half), less 0.5; the test is by ranks.

    The interval has its own standard error (placements), so test and interval are two procedures.
    """

    kind: Literal["mann_whitney"] = "mann_whitney"
    continuity_correction: bool = Field(default=False, description="move U by half a pair towards its expectation before it is standardised")

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
        return "Mann-Whitney test"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        found = mann_whitney(view.value, view.arm, view.active, self.continuity_correction)
        estimate = view.sign * (found.probability_index - 0.5)
        margin = t_critical(found.placement_df, self.two_sided_alpha) * found.placement_std_error
        statistic = view.sign * found.wilcoxon_z
        infinite = np.full(estimate.shape, np.inf)
        return Estimates(
            estimate,
            found.placement_std_error,
            statistic,
            infinite,
            found.status,
            "probability_index",
            lower=estimate - margin,
            upper=estimate + margin,
        )
