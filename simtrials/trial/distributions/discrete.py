"""Distributions of a category or of yes and no."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Probability, fault
from simtrials.core.expressions import Category
from simtrials.trial.distributions.base import DISTRIBUTIONS, Distribution


@DISTRIBUTIONS.register
class Bernoulli(Distribution):
    """1 with a probability, else 0."""

    kind: Literal["bernoulli"] = "bernoulli"
    probability: Probability = Field(description="probability of 1")

    def from_normal(self, z: FloatArray) -> FloatArray:
        return (z > ndtri(1 - self.probability)).astype(np.float64)


@DISTRIBUTIONS.register
class Categorical(Distribution):
    """Named levels with their shares, in the order written (a correlation acts on that order)."""

    kind: Literal["categorical"] = "categorical"
    shares: dict[str, Probability] = Field(description="share of each level; they add to 1")

    @model_validator(mode="after")
    def _adds_to_one(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            raise fault(f"shares must add to 1, got {total:g}")
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(self.shares)

    def from_normal(self, z: FloatArray) -> Category:
        cuts = ndtri(np.clip(np.cumsum(list(self.shares.values()))[:-1], 0, 1))
        codes = np.zeros_like(z, dtype=np.int8)
        for cut in cuts:
            codes += z >= cut
        return Category(codes, self.levels)
