"""What every way of making the results of a study offers: numbers per arm for given true effects and sizes, and the true effects themselves."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.check import Component
from simtrials.core.data import Table
from simtrials.core.errors import Problem
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.evidence.outcomes import ReviewedOutcome, TrueEffects
from simtrials.evidence.practices.base import Practice
from simtrials.evidence.studies import Variety
from simtrials.evidence.table import ArmNumbers, Measured
from simtrials.evidence.template import Template

REPORTED, SUBGROUP, END_SCORES, EARLIER = "reported", "subgroup", "end_scores", "earlier"
Results = dict[str, dict[str, ArmNumbers]]
"""view of a study (reported, subgroup, end_scores, earlier) -> outcome -> numbers per arm (m, 2)"""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to make results: the trials, what is collected, the law of true effects, practices, and which views are wanted."""

    template: Template
    outcomes: Mapping[str, ReviewedOutcome]
    measured: Mapping[str, Measured]
    law: TrueEffects
    varieties: tuple[Variety, ...]
    practices: tuple[Practice, ...]
    views: frozenset[str]
    subgroup: str | None
    tables: Mapping[str, Table]
    seed: int

    def endpoint_of(self, outcome: str) -> str:
        """The endpoint of an outcome."""
        return self.outcomes[outcome].endpoint

    def name_of(self, outcome: str) -> str:
        """What is read off the endpoint."""
        return self.outcomes[outcome].outcome_name(self.template.endpoints[self.endpoint_of(outcome)])

    @property
    def all_views(self) -> tuple[str, ...]:
        """The views, and what else is read off a report also of the subgroup."""
        return (*self.views, *(f"{view}.{SUBGROUP}" for view in self.views & {END_SCORES, EARLIER} if SUBGROUP in self.views))

    def names_in(self, view: str) -> tuple[str, ...]:
        """The outcomes of a view; end scores are those of changes."""
        return tuple(name for name in self.outcomes if not view.startswith(END_SCORES) or self.name_of(name) == "change")

    def range_of(self, endpoint: str) -> tuple[float, float]:
        """Between which values nearly all effects that studies show on an endpoint lie, with 0."""
        means = [0.0, self.template.mean(endpoint), *(by.get(endpoint, 0.0) for by in self.law.by_class.values())]
        added = [0.0, *(by.get(endpoint, 0.0) for by in self.law.inflation.values())]
        reach = 4.5 * self.law.tau.get(endpoint, 0.0)
        return min(means) + min(added) - reach, max(means) + max(added) + reach


class Maker(ABC):
    """Results of studies, ready to be drawn."""

    @abstractmethod
    def results(self, variety: int, effects: Mapping[str, FloatArray], n: FloatArray, measures: Mapping[str, BoolArray], streams: Streams) -> Results:
        """Results of m studies of one variety: true effects by endpoint (m,), patients per arm (m, 2) control first, and which outcomes each of
        them measures (m,); the numbers of others are left for the reader to drop."""

    @abstractmethod
    def true(self, variety: int, outcome: str, effect: FloatArray, view: str, share_active: FloatArray) -> FloatArray:
        """The true effect of studies of a variety in the unit of the outcome's measure, for true effects on the endpoint in its own unit."""

    @abstractmethod
    def control(self, variety: int, outcome: str, view: str) -> float:
        """Mean, or risk, of an outcome in the control arm."""

    @abstractmethod
    def error(self, variety: int, outcome: str, view: str, effect: FloatArray) -> FloatArray:
        """(m,) standard errors of true effects in the unit of the measure; 0 where a formula gives them."""


class Fidelity(Component):
    """Declares how the results of a study are made."""

    kind: str

    def prepare(self, plan: Plan) -> Maker:
        """Ready to make results."""
        raise TypeError(f"a fidelity of kind {self.kind!r} must define prepare")

    def problems(self, views: frozenset[str], practices: tuple[Practice, ...], departures: Collection[str]) -> Iterator[Problem]:
        """What it cannot do."""
        yield from ()


FIDELITIES = Registry("fidelities", "fidelity", Fidelity)


def effect_of_means(
    measured: Measured, control: ArrayLike, active: FloatArray, variance_control: ArrayLike, variance_active: FloatArray, share_active: FloatArray
) -> FloatArray:
    """True effects in the unit of a measure, from means (or risks) and variances in both arms and the share of patients in the active arm."""
    p0, p1 = np.asarray(control, dtype=np.float64), active
    with np.errstate(divide="ignore", invalid="ignore"):
        if measured.measure == "RR":
            return np.asarray(np.log(p1 / p0))
        if measured.measure == "OR":
            return np.asarray(np.log(p1 / (1 - p1) / (p0 / (1 - p0))))
        if measured.measure == "AS":
            return np.asarray(np.arcsin(np.sqrt(p1)) - np.arcsin(np.sqrt(p0)))
        if measured.binary:
            return np.asarray(p1 - p0)
        difference, v0 = measured.sign * (p1 - p0), np.asarray(variance_control, dtype=np.float64)
        variances = {
            "MD": np.ones(()),
            "SMD": share_active * variance_active + (1 - share_active) * v0,
            "SMDH": (v0 + variance_active) / 2,
            "SMD1": v0,
        }
        return np.asarray(difference / np.sqrt(variances[measured.measure]))
