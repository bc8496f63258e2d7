"""Syntheses that model selection by p-values, or ask what it could do."""

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.check import Finite, Many, OpenProbability, Within, fault
from simtrials.core.data import Estimates
from simtrials.evidence.syntheses.base import SYNTHESES, Synthesis, benefit_side, estimates_from
from simtrials.evidence.table import Effects, Measured, StudyTable
from simtrials.stats.p_curve import p_curve
from simtrials.stats.p_uniform import p_uniform
from simtrials.stats.p_uniform_star import p_uniform_star
from simtrials.stats.publication_bias_sensitivity import publication_bias_sensitivity, worst_case
from simtrials.stats.selection_models import step_selection


@SYNTHESES.register
class StepSelection(Synthesis):
    """Random effects with a chance of publication that steps down with the one-sided p-value: one step is 3PSM, two are 4PSM."""

    adjusts: ClassVar[bool] = True
    kind: Literal["step_selection"] = "step_selection"
    steps: Many[OpenProbability] = Field(default=(0.025,), description="one-sided p-values at which the chance of publication changes, rising")

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if not self.steps or any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise fault(f"steps must be rising p-values, at least one, got {list(self.steps)}")
        return self

    @property
    def method(self) -> str:
        return f"{2 + len(self.steps)}-parameter selection model"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        found = step_selection(effects.yi, effects.vi, self.steps, benefit_side(measured), level=1 - self.alpha)
        return estimates_from(found, measured, weight=found.weight[..., -1])


@SYNTHESES.register
class PUniform(Synthesis):
    """Effects of significant and other studies, each conditional on being on its side of significance (p-uniform*); or of significant ones only."""

    adjusts: ClassVar[bool] = True
    kind: Literal["p_uniform"] = "p_uniform"
    star: bool = Field(default=True, description="true: p-uniform*, with non-significant studies and tau2; false: p-uniform of 2015")
    zero_if_barely_significant: bool = Field(default=False, description="p-uniform only: estimate 0 where significant p-values are mostly large")

    @property
    def method(self) -> str:
        return "p-uniform*" if self.star else "p-uniform"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        arguments = effects.yi, effects.vi, benefit_side(measured)
        if self.star:
            return estimates_from(p_uniform_star(*arguments, level=1 - self.alpha), measured)
        found = p_uniform(*arguments, level=1 - self.alpha, zero_if_barely_significant=self.zero_if_barely_significant)
        return estimates_from(found, measured)


@SYNTHESES.register
class PCurve(Synthesis):
    """The effect under which significant p-values look most uniform; shows a benefit where they are right-skewed. Gives no interval."""

    adjusts: ClassVar[bool] = True
    kind: Literal["p_curve"] = "p_curve"
    lowest: Finite = Field(default=-10.0, description="lowest benefit that is looked at, in the unit of the effect size")
    highest: Finite = Field(default=10.0, description="largest benefit that is looked at")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lowest >= self.highest:
            raise fault(f"lowest must be below highest, got {self.lowest:g} and {self.highest:g}")
        return self

    @property
    def method(self) -> str:
        return "p-curve"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        found = p_curve(effects.yi, effects.vi, benefit_side(measured))
        nothing = np.full(found.estimate.shape, np.nan)
        estimate = measured.benefit * np.clip(measured.benefit * found.estimate, self.lowest, self.highest)
        with np.errstate(invalid="ignore"):
            decision = np.asarray(found.has_evidential_value, dtype=np.int8)
        made = Estimates(estimate, nothing, nothing, nothing, found.status, measured.scale, measured.benefit, nothing, nothing, decision=decision)
        return made.averaging({"n_studies": found.n_significant.astype(np.float64)})


@SYNTHESES.register
class WorstCase(Synthesis):
    """Studies without a significant benefit only, as if those with one were infinitely more likely to be published; or weighted by a ratio."""

    adjusts: ClassVar[bool] = True
    kind: Literal["worst_case"] = "worst_case"
    selection_ratio: Annotated[float, Within(low=1)] | None = Field(
        default=None, description="how many times more likely significant benefits are published; default: infinitely"
    )

    @property
    def method(self) -> str:
        return "worst case" if self.selection_ratio is None else f"selection ratio {self.selection_ratio:g}"

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        side, level = benefit_side(measured), 1 - self.alpha
        if self.selection_ratio is None:
            return estimates_from(worst_case(effects.yi, effects.vi, side, level=level), measured)
        return estimates_from(publication_bias_sensitivity(effects.yi, effects.vi, self.selection_ratio, side, level=level), measured)
