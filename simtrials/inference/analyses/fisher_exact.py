"""Fisher's exact test."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.stats import proportions
from simtrials.stats.counts import EventCounts
from simtrials.stats.proportions_exact import fisher_exact_test


@ANALYSES.register
class FisherExact(Analysis):
    """Exact test of equal risks; estimate and interval are those of the risk difference (Newcombe), another procedure than the test."""

    needs_binary = True
    kind: Literal["fisher_exact"] = "fisher_exact"
    mid_p: bool = Field(default=False, description="count tables as probable as the observed one by half")

    @property
    def scale_of_effect(self) -> EffectScale:
        return "risk_difference"

    @property
    def one_procedure(self) -> bool:
        return False

    @property
    def method(self) -> str:
        return "Fisher mid-p test" if self.mid_p else "Fisher exact test"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        counts = view.counts()
        limits = proportions.risk_difference_newcombe_interval(*counts, 1 - self.two_sided_alpha)
        lower, upper = (limits.lower, limits.upper) if view.sign > 0 else (-limits.upper, -limits.lower)
        return replace(self.tested(counts, view.sign), lower=lower, upper=upper)

    def tested(self, counts: EventCounts, sign: int) -> Estimates:
        """Estimate and test of these tables, without interval."""
        estimate, std_error, _ = proportions.risk_difference(*counts)
        tested = fisher_exact_test(*counts)
        if self.one_sided_alpha is not None:  # twice the tail, for it is compared with twice the level
            p_value = 2 * tested.one_sided(sign > 0, self.mid_p)
        else:
            p_value = tested.mid_p_value if self.mid_p else tested.p_value
        none = np.full(estimate.shape, np.nan)
        return Estimates(sign * estimate, std_error, none, none, tested.status, "risk_difference", lower=none, upper=none, p_value=p_value)
