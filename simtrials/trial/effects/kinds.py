"""Shapes of benefit over a biomarker such as CRP. Every shape is relative to the stated size."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import NonNegative, Positive, Probability, Within, fault
from simtrials.core.rng import Streams, uniforms
from simtrials.trial.effects.base import EFFECTS, Effect
from simtrials.trial.people import Luck


@EFFECTS.register
class Constant(Effect):
    """The same benefit for everybody."""

    kind: Literal["constant"] = "constant"

    @model_validator(mode="after")
    def _depends_on_nothing(self) -> Self:
        if self.biomarker is not None or self.acts_on != "usual":
            raise fault("a constant effect depends on no biomarker; leave out biomarker and acts_on, or choose another kind")
        return self

    @property
    def needs_biomarker(self) -> bool:
        return False

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        return np.ones_like(biomarker)


@EFFECTS.register
class Threshold(Effect):
    """Full benefit at or above a cut, a share of it (none by default) below."""

    kind: Literal["threshold"] = "threshold"
    cut: Positive = Field(description="biomarker value from which the full benefit holds, mg/L for CRP")
    below: Annotated[float, Within(-1, 1)] = Field(default=0.0, description="share of the benefit below the cut; negative is harm")

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        return np.where(biomarker >= self.cut, 1.0, self.below)


@EFFECTS.register
class LogLinear(Effect):
    """Benefit per unit of the natural logarithm above a value where it is zero."""

    kind: Literal["log_linear"] = "log_linear"
    zero_at: Positive = Field(default=1.0, description="biomarker value without benefit, mg/L for CRP")
    harm_below: bool = Field(default=False, description="true: the line goes on below zero_at, as harm; false: no effect there")

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        line = np.log(biomarker / self.zero_at)
        return line if self.harm_below else np.maximum(line, 0.0)


@EFFECTS.register
class Emax(Effect):
    """Benefit that rises with the biomarker and levels off: x^hill / (half_at^hill + x^hill)."""

    kind: Literal["emax"] = "emax"
    half_at: Positive = Field(description="biomarker value with half of the largest benefit, mg/L for CRP")
    hill: Positive = Field(default=1.0, description="steepness")

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        return 1.0 / (1.0 + (self.half_at / biomarker) ** self.hill)


@EFFECTS.register
class Crossover(Effect):
    """Benefit above a value, harm below it: a straight line in ln biomarker through 0 at zero_at and 1 at full_at, level beyond."""

    kind: Literal["crossover"] = "crossover"
    zero_at: Positive = Field(description="biomarker value where benefit turns into harm, mg/L for CRP")
    full_at: Positive = Field(description="biomarker value from which the full benefit holds, mg/L for CRP")
    largest_harm: NonNegative = Field(default=1.0, description="harm at most, as a multiple of the full benefit")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.full_at <= self.zero_at:
            raise fault(f"full_at must be above zero_at, got {self.full_at:g} and {self.zero_at:g}")
        return self

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        return np.asarray(np.clip(np.log(biomarker / self.zero_at) / np.log(self.full_at / self.zero_at), -self.largest_harm, 1.0))


@EFFECTS.register
class ResponderMixture(Effect):
    """A fraction of the patients at or above a cut has the full benefit, all others have none."""

    kind: Literal["responder_mixture"] = "responder_mixture"
    cut: Positive = Field(description="biomarker value from which a patient can benefit, mg/L for CRP")
    fraction: Probability = Field(description="fraction of these patients who benefit")

    def draw(self, path: str, streams: Streams, n_replicates: int, n_patients: int) -> Luck:
        return {path: uniforms(streams[path], (n_replicates, n_patients))}

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        assert luck is not None
        return ((biomarker >= self.cut) & (luck < self.fraction)).astype(np.float64)
