"""Kinds of questionable research practice."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.check import Count, Many, Positive, Within
from simtrials.core.data import TrialData
from simtrials.core.expressions import Category, parse
from simtrials.evidence.practices.base import PRACTICES, Attempt, Practice, first_of_each_arm


@PRACTICES.register
class OptionalStopping(Practice):
    """Enrol more patients and test again, until the test is significant or patience ends; then all patients are reported."""

    kind: Literal["optional_stopping"] = "optional_stopping"
    add_per_arm: Annotated[Count, Within(high=1000)] = Field(default=3, description="patients per arm that are added each time")
    times: Annotated[Count, Within(high=50)] = Field(default=3, description="how often patients are added at most")

    @property
    def extra_per_arm(self) -> int:
        return self.add_per_arm * self.times

    def attempts(self, data: TrialData, endpoint: str, value: FloatArray, planned: BoolArray) -> Iterator[Attempt]:
        start = np.stack([(planned & (data.arm == arm)).sum(axis=1) for arm in (0, 1)], axis=1)
        for step in range(1, self.times + 1):
            yield Attempt(kept=first_of_each_arm(data, start + step * self.add_per_arm), settles=step == self.times)


@PRACTICES.register
class OutlierRemoval(Practice):
    """Leave out patients who lie far from the mean of their arm."""

    kind: Literal["outlier_removal"] = "outlier_removal"
    beyond_sd: Positive = Field(default=2.0, description="SDs from the mean of the arm at which a patient becomes an outlier")

    def attempts(self, data: TrialData, endpoint: str, value: FloatArray, planned: BoolArray) -> Iterator[Attempt]:
        kept = planned.copy()
        for arm in (0, 1):
            here = planned & (data.arm == arm) & np.isfinite(value)
            count = np.maximum(here.sum(axis=1, keepdims=True), 2)
            mean = np.where(here, value, 0.0).sum(axis=1, keepdims=True) / count
            distance = np.where(here, value - mean, 0.0)
            sd = np.sqrt((distance**2).sum(axis=1, keepdims=True) / (count - 1))
            kept &= ~(here & (np.abs(distance) >= self.beyond_sd * sd))
        yield Attempt(kept=kept)


@PRACTICES.register
class OptionalModerator(Practice):
    """Look at subgroups, and report the one in which the outcome is significant."""

    kind: Literal["optional_moderator"] = "optional_moderator"
    by: Many[str] = Field(description="conditions on what was measured before randomisation; each gives two subgroups")

    @property
    def expressions(self) -> tuple[str, ...]:
        return self.by

    def attempts(self, data: TrialData, endpoint: str, value: FloatArray, planned: BoolArray) -> Iterator[Attempt]:
        for text in self.by:
            inside = parse(text).truth(_names(data))
            yield Attempt(kept=planned & inside)
            yield Attempt(kept=planned & ~inside)


@PRACTICES.register
class OptionalCovariate(Practice):
    """Adjust for a covariate where that makes the outcome significant."""

    kind: Literal["optional_covariate"] = "optional_covariate"
    covariates: Many[str] = Field(description="columns or formulas known before randomisation, or 'baseline' of the outcome's own endpoint")

    @property
    def expressions(self) -> tuple[str, ...]:
        return tuple(text for text in self.covariates if not text.endswith("baseline"))

    def attempts(self, data: TrialData, endpoint: str, value: FloatArray, planned: BoolArray) -> Iterator[Attempt]:
        for text in self.covariates:
            column = parse(f"{endpoint}.baseline" if text == "baseline" else text).evaluate(_names(data))
            number = column.codes if isinstance(column, Category) else column
            yield Attempt(kept=planned, covariate=np.asarray(number, dtype=np.float64))


def _names(data: TrialData) -> dict[str, Category | FloatArray]:
    names = dict(data.columns)
    for name, measured in data.endpoints.items():
        if measured.baseline is not None:
            names[f"{name}.baseline"] = measured.baseline
    return names
