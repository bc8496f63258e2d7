"""What reviewers get out of the reports of published studies, and what they get wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simtrials.core.arrays import AnyArray
from simtrials.core.check import Component
from simtrials.core.errors import Problem
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.evidence.table import ArmNumbers, StudyTable


@dataclass(frozen=True, slots=True)
class Reports:
    """All that stands in the reports: the views of each study beside the one that is in the table, (R, S, 2) per outcome, and the variety of
    each study (R, S)."""

    views: Mapping[str, Mapping[str, ArmNumbers]]
    variety: AnyArray


class ExtractionStep(Component):
    """Declares one step from the reports to the reviewers' table. Steps are taken in the order in which they are declared."""

    kind: str

    @property
    def views(self) -> frozenset[str]:
        """Views of a study that it needs: subgroup, end_scores, earlier."""
        return frozenset()

    def extract(self, table: StudyTable, reports: Reports, streams: Streams) -> StudyTable:
        """The table after this step."""
        raise TypeError(f"an extraction step of kind {self.kind!r} must define extract")

    def problems(self, place: str, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        """What does not fit the outcomes of the review."""
        yield from ()


EXTRACTION = Registry("extraction", "extraction step", ExtractionStep)
