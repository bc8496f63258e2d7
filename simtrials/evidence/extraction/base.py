"""What reviewers get out of the reports of published studies, and what they get wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from simtrials.core.arrays import BoolArray
from simtrials.core.check import Component
from simtrials.core.errors import Problem
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.evidence.table import ArmNumbers, StudyTable


@dataclass(frozen=True, slots=True)
class Reports:
    """All that stands in the reports: the views of each study beside the one that is in the table, (R, S, 2) per outcome, and whether all patients
    of a study lie at or above the cut (R, S)."""

    views: Mapping[str, Mapping[str, ArmNumbers]]
    selected: BoolArray

    def with_view(self, name: str, numbers: Mapping[str, ArmNumbers]) -> "Reports":
        """The same reports where a view of some outcomes reads otherwise; nothing changes where there is no such view."""
        return Reports({**self.views, name: {**self.views[name], **numbers}}, self.selected) if name in self.views else self

    def in_subgroup(self, had: BoolArray) -> "Reports":
        """The same reports where the subgroup is read instead of the whole trial."""
        views = {name: dict(numbers) for name, numbers in self.views.items()}
        for name in (name for name in views if f"{name}.{SUBGROUP}" in views):
            below = self.views[f"{name}.{SUBGROUP}"]
            views[name] = {outcome: numbers.where(had, below[outcome]) for outcome, numbers in views[name].items()}
        return Reports(views, self.selected)


class ExtractionStep(Component):
    """Declares one step from the reports to the reviewers' table. Steps are taken in the order in which they are declared."""

    stage: ClassVar[int] = 0
    """Steps of a lower stage come first, so that none undoes another."""
    kind: str

    @property
    def views(self) -> frozenset[str]:
        """Views of a study that it needs: subgroup, end_scores, earlier."""
        return frozenset()

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> tuple[StudyTable, Reports]:
        """The table after this step, and the reports as later steps read them."""
        raise TypeError(f"an extraction step of kind {self.kind!r} must define extract")

    def problems(self, place: str, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        """What does not fit the outcomes of the review."""
        yield from ()


SUBGROUP = "subgroup"
EXTRACTION = Registry("extraction", "extraction step", ExtractionStep)
