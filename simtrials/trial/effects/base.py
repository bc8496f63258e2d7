"""What every effect offers: a shape over the biomarker, a size, and an onset over weeks. A benefit is positive."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Finite, NonNegative, OpenProbability, Positive, PositiveWeeks, Within, fault
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.trial.people import Luck

Smd = Annotated[float, Within(-5, 5)]
"""An effect of five standard deviations is a slip."""
SIZES = ("points", "mean_points", "smd", "mean_smd", "log_odds_ratio", "odds_ratio", "risk")


class Effect(Component):
    """Declares the benefit of one arm over control. Give its size in exactly one way."""

    kind: str
    points: Finite | None = Field(
        default=None, description="benefit in points where the shape is 1 (at the asymptote of its onset unless at_week is given)"
    )
    mean_points: Finite | None = Field(default=None, description="mean benefit in points over the enrolled, at at_week")
    smd: Smd | None = Field(default=None, description="benefit in SDs where the shape is 1 (at the asymptote unless at_week is given)")
    mean_smd: Smd | None = Field(default=None, description="mean benefit in SDs over the enrolled, at at_week")
    smd_sd: Literal["change", "score", "baseline"] | None = Field(default=None, description="which SD of the control arm an smd is in, latent scale")
    log_odds_ratio: Finite | None = Field(default=None, description="benefit on the log-odds where the shape is 1 (for yes-or-no endpoints)")
    odds_ratio: Positive | None = Field(default=None, description="odds ratio where the shape is 1; above 1 is a benefit (for yes-or-no endpoints)")
    risk: OpenProbability | None = Field(default=None, description="probability of the event in this arm by the endpoint's week, for kind constant")
    at_week: PositiveWeeks | None = Field(default=None, description="week at which the size holds; default for mean sizes: the last visit")
    time_constant: NonNegative = Field(default=0.0, description="weeks after which 63% of the asymptote is reached; 0 is at once")
    acts_on: Literal["usual", "measured"] = Field(default="usual", description="whether usual or measured biomarker decides on the benefit")
    biomarker: str | None = Field(default=None, description="the assay that decides on the benefit; default: the only one")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        given = [name for name in SIZES if getattr(self, name) is not None]
        if len(given) != 1:
            raise fault(f"give exactly one of {', '.join(SIZES)}; got {' and '.join(given) if given else 'none'}")
        if (self.smd is not None or self.mean_smd is not None) != (self.smd_sd is not None):
            raise fault("smd_sd says which SD an smd or mean_smd is in (change, score or baseline): give both or neither")
        if self.risk is not None and self.kind != "constant":
            raise fault("risk can only be given for kind 'constant'")
        return self

    @property
    def size_name(self) -> str:
        """The field that states the size."""
        return next(name for name in SIZES if getattr(self, name) is not None)

    @property
    def needs_biomarker(self) -> bool:
        """Whether the benefit depends on a biomarker."""
        return True

    def draw(self, path: str, streams: Streams, n_replicates: int, n_patients: int) -> Luck:
        """Luck that the effect itself needs."""
        return {}

    def shape(self, biomarker: FloatArray, luck: FloatArray | None) -> FloatArray:
        """(R, P) the benefit relative to its stated size."""
        raise TypeError(f"an effect of kind {self.kind!r} must define shape")

    def onset(self, week: float, last_week: float) -> float:
        """Share of the stated size that is reached at `week`."""
        if self.time_constant == 0.0:
            return 1.0
        reached = -np.expm1(-week / self.time_constant)
        reference = self.at_week if self.at_week is not None else last_week if self.size_name.startswith("mean_") else None
        return float(reached if reference is None else reached / -np.expm1(-reference / self.time_constant))


EFFECTS = Registry("effects", "effect", Effect)
