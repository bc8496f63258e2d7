"""Risks compared within randomisation strata."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.core.status import Status
from simtrials.inference.analyses.base import ANALYSES, Analysis
from simtrials.inference.analyses.standardization import MEASURE_WORDS, SCALES, RiskMeasure, event_contrast
from simtrials.stats.stratified import MANTEL_HAENSZEL, cochran_mantel_haenszel_test, stratified_counts


@ANALYSES.register
class MantelHaenszel(Analysis):
    """Mantel-Haenszel estimate over the strata of the allocation, with its own test or with that of Cochran, Mantel and Haenszel."""

    needs_binary = True
    kind: Literal["mantel_haenszel"] = "mantel_haenszel"
    measure: RiskMeasure = Field(default="risk_difference", description="pooled over strata")
    test: Literal["wald", "cmh"] = Field(default="wald", description="wald: estimate over its standard error; cmh: Cochran-Mantel-Haenszel")
    continuity_correction: bool = Field(default=False, description="of the Cochran-Mantel-Haenszel test")

    @property
    def scale_of_effect(self) -> EffectScale:
        return SCALES[self.measure]

    @property
    def marginal(self) -> bool:
        return self.measure == "risk_difference"

    @property
    def one_procedure(self) -> bool:
        return self.test == "wald"

    @property
    def method(self) -> str:
        name = f"Mantel-Haenszel {MEASURE_WORDS[SCALES[self.measure]]}"
        return name if self.test == "wald" else f"{name}, CMH test"

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        counts, scale = stratified_counts(view.value, view.arm, view.active, np.where(view.arm >= 0, data.stratum, -1)), SCALES[self.measure]
        estimate, std_error, status = MANTEL_HAENSZEL[scale](counts)
        std_error = np.where(std_error > 0, std_error, np.nan)
        if self.test == "wald":
            return event_contrast(estimate, std_error, status, scale, view.sign)
        tested = cochran_mantel_haenszel_test(counts, self.continuity_correction)
        empty = (status == Status.EMPTY_CELL) & (tested.statistic != 0)
        estimate = np.where(empty, np.copysign(np.inf, tested.statistic), estimate)  # a test is possible where a ratio is 0 or infinite
        sign = view.sign if scale == "risk_difference" else 1
        return event_contrast(estimate, std_error, tested.status, scale, view.sign).tested_by(sign * tested.statistic, tested.status)
