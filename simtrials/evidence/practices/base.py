"""Questionable research practices: what investigators try, one after another, until the main outcome of their study is significant."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.check import Component, Probability
from simtrials.core.data import TrialData
from simtrials.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Attempt:
    """Another analysis of the same study: of the patients in `kept` (m, P), or adjusted for a covariate (m, P). With `settles` it stands
    as the result when nothing later is significant either."""

    kept: BoolArray | None = None
    covariate: FloatArray | None = None
    settles: bool = False


class Practice(Component):
    """Declares a practice."""

    kind: str
    outcome: str | None = Field(default=None, description="the outcome that must become significant; default: the first of the review")
    share: Probability = Field(default=1.0, description="share of studies whose investigators do it")

    @property
    def extra_per_arm(self) -> int:
        """Patients per arm beyond the plan that it may enrol."""
        return 0

    @property
    def expressions(self) -> tuple[str, ...]:
        """Expressions over measured columns that it needs."""
        return ()

    def attempts(self, data: TrialData, endpoint: str, value: FloatArray, planned: BoolArray) -> Iterator[Attempt]:
        """What is tried in turn; `value` (m, P) is the outcome, `planned` (m, P) the patients that are reported so far."""
        raise TypeError(f"a practice of kind {self.kind!r} must define attempts")


PRACTICES = Registry("practices", "practice", Practice)


def first_of_each_arm(data: TrialData, per_arm: FloatArray) -> BoolArray:
    """(m, P) the first `per_arm` (m, 2) patients of each arm, in the order of enrolment."""
    kept = np.zeros(data.arm.shape, dtype=bool)
    for arm in (0, 1):
        here = data.arm == arm
        kept |= here & (np.cumsum(here, axis=1) <= per_arm[:, arm : arm + 1])
    return kept
