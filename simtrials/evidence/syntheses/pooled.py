"""Common-effect and random-effects meta-analysis."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.check import fault
from simtrials.core.data import Estimates
from simtrials.core.errors import did_you_mean
from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis, estimates, held
from simtrials.evidence.table import Effects, Measured, StudyTable
from simtrials.stats.intervals import PredictionRule
from simtrials.stats.meta_analysis import CI_RULES, TAU2_METHODS, meta_analysis
from simtrials.stats.meta_status import MetaStatus

SPOKEN = {
    "wald": "Wald",
    "t": "t",
    "hartung_knapp": "Hartung-Knapp",
    "kenward_roger": "Kenward-Roger",
    "profile_likelihood": "profile likelihood",
    "henmi_copas": "Henmi-Copas",
}


@SYNTHESES.register
class Pooled(Synthesis):
    """Studies pooled with inverse-variance weights, true effects equal or spread with variance tau2."""

    kind: Literal["pooled"] = "pooled"
    tau2: str = Field(default="REML", description="common, or the estimator of tau2: DL, HE, HS, HSk, SJ, ML, REML, EB, PM, PMM")
    ci: str = Field(default="hartung_knapp", description="rule of test and interval: wald, t, hartung_knapp, ... profile_likelihood, henmi_copas")
    prediction: PredictionRule = Field(default="as_interval", description="rule of the prediction interval; as_interval is that of R's metafor")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        for name, value, known in (("tau2", self.tau2, TAU2_METHODS), ("ci", self.ci, CI_RULES)):
            if value not in known:
                raise fault(f"{name}: no rule called {value!r}{did_you_mean(value, known)}")
        needed = {"profile_likelihood": "ML", "henmi_copas": "DL", "kenward_roger": "REML"}.get(self.ci)
        if needed and self.tau2 != needed:
            raise fault(f"ci {self.ci!r} goes with tau2 = {needed!r}, got {self.tau2!r}")
        return self

    @property
    def method(self) -> str:
        name = "common effect" if self.tau2 == "common" else self.tau2
        return f"{name}, {SPOKEN.get(self.ci, self.ci.replace('_', ' '))}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        found = meta_analysis(
            effects.yi,
            effects.vi,
            tau2=self.tau2,  # type: ignore[arg-type]
            ci=self.ci,  # type: ignore[arg-type]
            level=1 - self.alpha,
            prediction=self.prediction,
            tau2_ci="none",
        )
        alone = found.status == MetaStatus.SINGLE_STUDY
        status = np.where(alone | (found.status == MetaStatus.NO_VARIATION), 0, found.status)
        numbers = {"n_studies": found.n_studies.astype(np.float64)}
        flags = {}
        if self.tau2 != "common":
            numbers |= {"tau2": found.tau2, "tau2_error": found.tau2 - table.tau2[self.question], "i2": found.i2}
            new = table.new_true[self.question]
            flags["prediction_coverage"] = held(found.prediction_lower, found.prediction_upper, new)
        return estimates(measured, found.estimate, found.std_error, found.lower, found.upper, status, found.df, flags, numbers)
