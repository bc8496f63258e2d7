"""Errors of extraction: readers who misread reports, alone or in pairs, and an adjudicator who decides where they differ."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.check import Component, Probability
from simtrials.core.errors import Problem
from simtrials.core.rng import Streams
from simtrials.evidence.extraction.base import EXTRACTION, ExtractionStep, Reports
from simtrials.evidence.table import ArmNumbers, Measured, StudyTable

KINDS = ("swapped_arms", "se_for_sd", "sign", "wrong_n", "wrong_time_point", "digit")


class ErrorRates(Component):
    """Probability of each kind of error per study and outcome, for one reader."""

    swapped_arms: Probability = Field(default=0.01, description="the arms are exchanged")
    se_for_sd: Probability = Field(default=0.02, description="a standard error is taken for a standard deviation (numbers only)")
    sign: Probability = Field(default=0.01, description="the sign of the active arm's mean is lost (numbers only)")
    wrong_n: Probability = Field(default=0.03, description="the number randomised before exclusions is taken: both arms a tenth too large")
    wrong_time_point: Probability = Field(default=0.0, description="the visit before the last is read")
    digit: Probability = Field(default=0.02, description="a digit is misread: the active arm's mean, or its events, by a fifth too high or too low")

    @property
    def of_kinds(self) -> FloatArray:
        """Probabilities in the order of KINDS."""
        return np.array([getattr(self, kind) for kind in KINDS])


@EXTRACTION.register
class Readers(ExtractionStep):
    """One or two readers extract each number; where two differ an adjudicator decides, and equal errors stay undetected.

    Single extraction had 21.7 % more errors than double extraction, relative (Buscemi and colleagues 2006, Journal of Clinical Epidemiology
    59, 697-703); up to half of all reviews have extraction errors (Mathes and colleagues 2017, BMC Medical Research Methodology 17, 152).
    With the default rates a study and outcome is misread by one reader in 9 of 100 cases.
    """

    stage: ClassVar[int] = 3
    kind: Literal["readers"] = "readers"
    readers: Literal[1, 2] = Field(default=2, description="1: single extraction; 2: double extraction with adjudication")
    errors: ErrorRates = Field(default_factory=ErrorRates, description="probability of each kind of error")
    shared: Probability = Field(
        default=0.8, description="share of errors that come from the report itself, and that every reader makes; the others are made independently"
    )
    adjudicator_errs: Probability = Field(default=0.05, description="probability that the adjudicator decides for the wrong value")

    @property
    def views(self) -> frozenset[str]:
        return frozenset({"earlier"}) if self.errors.wrong_time_point > 0 else frozenset()

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> tuple[StudyTable, Reports]:
        earlier = reports.views.get("earlier", {})
        numbers = {}
        for name, true in table.numbers.items():
            kind = self._errors(table.included.shape, streams.below(name))
            numbers[name] = misread(true, table.measured[name], kind, earlier.get(name, true), streams[f"{name}.upwards"].random(kind.shape) < 0.5)
        return table.with_numbers(numbers), reports

    def _errors(self, shape: tuple[int, ...], streams: Streams) -> IntArray:
        """(R, S) kind of error that ends up in the table, as an index into KINDS; -1 for none."""
        rates = self.errors.of_kinds
        common = _kind(streams["report"].random(shape), self.shared * rates)
        alone = (1 - self.shared) * rates / (1 - self.shared * rates.sum())
        first = np.where(common >= 0, common, _kind(streams["reader.1"].random(shape), alone))
        if self.readers == 1:
            return first
        second = np.where(common >= 0, common, _kind(streams["reader.2"].random(shape), alone))
        wrong = streams["adjudicator"].random(shape) < self.adjudicator_errs
        return np.where(first == second, first, np.where(wrong, np.maximum(first, second), -1))

    def problems(self, place: str, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        total = self.errors.of_kinds.sum()
        if total >= 1:
            yield Problem(f"{place}.errors", f"the probabilities must add up to less than 1, got {total:g}")


def _kind(luck: FloatArray, rates: FloatArray) -> IntArray:
    """Which of exclusive events happens, -1 for none."""
    place = np.searchsorted(np.cumsum(rates), luck, side="right")
    return np.where(place < len(rates), place, -1)


def misread(true: ArmNumbers, measured: Measured, kind: IntArray, earlier: ArmNumbers, upwards: BoolArray) -> ArmNumbers:
    """The numbers (R, S, 2) as they are read with these errors (R, S)."""
    n, mean, sd = true.n.copy(), true.mean.copy(), true.sd.copy()
    swapped = kind == KINDS.index("swapped_arms")
    for new, old in ((n, true.n), (mean, true.mean), (sd, true.sd)):
        new[swapped] = old[swapped][:, ::-1]
    if not measured.binary:
        standard_error = kind == KINDS.index("se_for_sd")
        sd[standard_error] = (true.sd / np.sqrt(true.n))[standard_error]
        mean[..., 1] = np.where(kind == KINDS.index("sign"), -true.mean[..., 1], mean[..., 1])
    before = (kind == KINDS.index("wrong_time_point")) & true.known & earlier.known
    n[before], mean[before], sd[before] = earlier.n[before], earlier.mean[before], earlier.sd[before]
    digit = kind == KINDS.index("digit")
    factor = np.where(upwards, 1.2, 0.8)
    if measured.binary:
        events = np.clip(np.rint(true.events[..., 1] * factor), 0, true.n[..., 1])
        mean[..., 1] = np.where(digit & (true.n[..., 1] > 0), events / true.n[..., 1], mean[..., 1])
    else:
        mean[..., 1] = np.where(digit, true.mean[..., 1] * factor, mean[..., 1])
    larger = kind == KINDS.index("wrong_n")
    events = true.events
    n[larger] = np.rint(1.1 * true.n)[larger]
    if measured.binary:
        mean[larger] = (events / np.rint(1.1 * true.n))[larger]
    return ArmNumbers(n, mean, sd)
