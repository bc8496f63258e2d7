"""What decides whether a study is published, and which of its outcomes are reported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.check import Component, Many, Probability
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.evidence.own_test import Tested, own_result
from simtrials.evidence.table import ArmNumbers, Measured


@dataclass(frozen=True, slots=True)
class Finished:
    """m studies that are finished: numbers of each outcome (m, 2), and the code of the funder (m,)."""

    numbers: Mapping[str, ArmNumbers]
    measured: Mapping[str, Measured]
    funder: AnyArray

    def test(self, outcome: str, welch: bool) -> Tested:
        """The study's own test of an outcome; NaN where it was not measured."""
        return own_result(self.numbers[outcome], self.measured[outcome], welch)


class Publication(Component):
    """Declares how likely a study is to be published. Several together multiply."""

    kind: str
    outcomes: Many[str] = Field(default=(), description="outcomes whose results count; the most favorable one does. Default: the first of the review")

    @property
    def by_welch(self) -> bool:
        """Whether means are tested by Welch's test instead of Student's."""
        return False

    def probability(self, studies: Finished) -> FloatArray:
        """(m,) probability of publication; a study that measures none of the outcomes has nothing to be selected by and is published."""
        chances = []
        for name in self.outcomes or tuple(studies.numbers)[:1]:
            measured = np.isfinite(studies.numbers[name].n).all(axis=-1)
            chances.append(np.where(measured, self.of_result(studies.test(name, self.by_welch), studies.funder), np.nan))
        best = np.fmax.reduce(chances)
        return np.where(np.isnan(best), 1.0, best)

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        """(m,) probability for the result of one outcome."""
        raise TypeError(f"a publication of kind {self.kind!r} must define of_result")

    def problems(self, place: str, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        """Outcomes that the review does not have."""
        for name in self.outcomes:
            if name not in outcomes:
                yield Problem(f"{place}.outcomes", f"no outcome called {name!r}{did_you_mean(name, outcomes)}")


class OutcomeSelection(Component):
    """Declares which of several outcomes a study reports under the name of one."""

    kind: str
    reported: str = Field(description="the outcome of the review under whose name it is reported")
    among: Many[str] = Field(description="outcomes of the review that it is chosen from; the first is the one in the protocol")
    share: Probability = Field(default=1.0, description="share of studies that choose")

    def chosen(self, tests: FloatArray, better: AnyArray, streams: Streams) -> AnyArray:
        """(m,) index into `among`, from two-sided p-values and directions (K, m); NaN where an outcome was not measured."""
        raise TypeError(f"a selection of kind {self.kind!r} must define chosen")


class ByTest(Publication):
    """A publication that looks at the study's own test."""

    welch: bool = Field(default=False, description="test means by Welch's test instead of Student's")

    @property
    def by_welch(self) -> bool:
        return self.welch


PUBLICATIONS = Registry("publications", "publication", Publication)
OUTCOME_SELECTIONS = Registry("outcome_selections", "outcome selection", OutcomeSelection)
