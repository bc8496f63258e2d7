"""Steps of extraction that lose or replace numbers: subgroups, end scores, missing standard deviations."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import BoolArray
from simtrials.core.check import OpenProbability, Probability
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.rng import Streams
from simtrials.evidence.extraction.base import EXTRACTION, ExtractionStep, Reports
from simtrials.evidence.own_test import own_result
from simtrials.evidence.table import ArmNumbers, StudyTable


@EXTRACTION.register
class Subgroup(ExtractionStep):
    """Of unselected and stratified trials, the results of patients at or above the cut are used where the report or its authors give them."""

    kind: Literal["subgroup"] = "subgroup"
    available: Probability = Field(description="probability that a trial's subgroup results can be had")
    when_significant: Probability | None = Field(
        default=None, description="the same where the subgroup shows a significant benefit in `outcome`; default: as available"
    )
    outcome: str | None = Field(default=None, description="the outcome that when_significant looks at; default: the first of the review")
    otherwise: Literal["left_out", "whole_trial"] = Field(default="left_out", description="what is done with a trial whose subgroup cannot be had")
    alpha: OpenProbability = Field(default=0.05, description="two-sided level at which a result is significant")

    @property
    def views(self) -> frozenset[str]:
        return frozenset({"subgroup"})

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> tuple[StudyTable, Reports]:
        subgroup, whole = reports.views["subgroup"], reports.selected
        main = self.outcome or next(iter(table.numbers))
        chance = np.full(whole.shape, self.available)
        if self.when_significant is not None:
            chance = np.where(own_result(subgroup[main], table.measured[main]).benefit(self.alpha), self.when_significant, chance)
        had = (streams["available"].random(whole.shape) < chance) & ~whole
        numbers = {name: numbers.where(had, subgroup[name]) for name, numbers in table.numbers.items()}
        extracted = table.with_numbers(numbers)
        return extracted if self.otherwise == "whole_trial" else extracted.only(had | whole), reports.in_subgroup(had)

    def problems(self, place: str, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        if self.outcome is not None and self.outcome not in outcomes:
            yield Problem(f"{place}.outcome", f"no outcome called {self.outcome!r}{did_you_mean(self.outcome, outcomes)}")


@EXTRACTION.register
class EndScores(ExtractionStep):
    """Some trials report scores at the end instead of changes; they are pooled with the others, or left out."""

    stage: ClassVar[int] = 1
    kind: Literal["end_scores"] = "end_scores"
    share: Probability = Field(description="share of trials that report end scores only")
    pooled: Literal["mixed", "left_out"] = Field(
        default="left_out", description="mixed: standardized by the SD of scores and pooled with changes; left_out: such trials have no effect size"
    )

    @property
    def views(self) -> frozenset[str]:
        return frozenset({"end_scores"})

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> tuple[StudyTable, Reports]:
        numbers, earlier = dict(table.numbers), dict(reports.views.get("earlier", {}))
        nothing = ArmNumbers.empty(table.included.shape)
        for name, scores in reports.views["end_scores"].items():
            concerned = streams[f"end_scores.{name}"].random(table.included.shape) < self.share
            numbers[name] = numbers[name].where(concerned, scores if self.pooled == "mixed" else nothing)
            earlier |= {name: earlier[name].where(concerned, nothing)} if name in earlier else {}
        return table.with_numbers(numbers), reports.with_view("earlier", earlier)


@EXTRACTION.register
class MissingSds(ExtractionStep):
    """Some trials report no standard deviations; they take the root mean square of the others' in the same body, or have no effect size."""

    stage: ClassVar[int] = 2
    kind: Literal["missing_sds"] = "missing_sds"
    share: Probability = Field(description="share of trials without standard deviations")
    imputed: Literal["mean_of_others", "left_out"] = Field(default="mean_of_others", description="what stands in for them")

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> tuple[StudyTable, Reports]:
        numbers, earlier = dict(table.numbers), dict(reports.views.get("earlier", {}))
        for name, measured in table.measured.items():
            if measured.binary:
                continue
            missing = streams[f"sds.{name}"].random(table.included.shape) < self.share
            numbers[name] = self._without(numbers[name], missing, table.included)
            if name in earlier:
                sd = np.where(missing[..., np.newaxis], numbers[name].sd, earlier[name].sd)
                earlier[name] = ArmNumbers(earlier[name].n, earlier[name].mean, sd)
        return table.with_numbers(numbers), reports.with_view("earlier", earlier)

    def _without(self, numbers: ArmNumbers, missing: BoolArray, included: BoolArray) -> ArmNumbers:
        sd = np.where(missing[..., np.newaxis], np.nan, numbers.sd)
        if self.imputed == "left_out":
            return ArmNumbers(numbers.n, numbers.mean, sd)
        known = np.isfinite(sd) & included[..., np.newaxis]
        count = known.sum(axis=(1, 2), keepdims=True)
        with np.errstate(invalid="ignore"):
            typical = np.sqrt((np.where(known, sd, 0.0) ** 2).sum(axis=(1, 2), keepdims=True) / np.where(count > 0, count, np.nan))
        return ArmNumbers(numbers.n, numbers.mean, np.where(missing[..., np.newaxis] & np.isfinite(numbers.n), typical, sd))
