"""A measured variable must lie between limits or belong to named categories."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import BoolArray
from simtrials.core.check import Finite, Many, fault
from simtrials.core.expressions import Category
from simtrials.trial.eligibility.base import RULES, EligibilityRule, judged
from simtrials.trial.people import People


@RULES.register
class Limits(EligibilityRule):
    """at_least <= variable <= at_most, or variable one of named levels."""

    kind: Literal["limits"] = "limits"
    variable: str = Field(description="an assay, a covariate, or <endpoint>.screening")
    at_least: Finite | None = Field(default=None, description="lowest value admitted, in the variable's unit")
    at_most: Finite | None = Field(default=None, description="highest value admitted, in the variable's unit")
    one_of: Many[str] | None = Field(default=None, description="categories admitted")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        numeric = self.at_least is not None or self.at_most is not None
        if numeric == (self.one_of is not None):
            raise fault("give at_least, at_most or both for a number, or one_of for a category")
        return self

    @property
    def label(self) -> str:
        if self.one_of is not None:
            return f"{self.variable} not {' or '.join(self.one_of)}"
        low = f"below {self.at_least:g}" if self.at_least is not None else ""
        high = f"above {self.at_most:g}" if self.at_most is not None else ""
        return f"{self.variable} {' or '.join(part for part in (low, high) if part)}"

    def met(self, people: People) -> BoolArray:
        readings, combine = people[judged(self.variable)]
        return np.asarray(combine.reduce([self._within(reading) for reading in readings])) if len(readings) > 1 else self._within(readings[0])

    def _within(self, reading: object) -> BoolArray:
        if isinstance(reading, Category):
            admitted = [reading.levels.index(level) for level in self.one_of or ()]
            return np.asarray(np.isin(reading.codes, admitted))
        assert isinstance(reading, np.ndarray)
        if self.at_least is None:
            return np.asarray(reading <= self.at_most)
        return reading >= self.at_least if self.at_most is None else (reading >= self.at_least) & (reading <= self.at_most)
