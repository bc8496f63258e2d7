"""Studies that are listed one by one."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, BoolArray
from simtrials.core.check import Component, Many, PositiveWeeks, Within, fault
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.rng import Streams
from simtrials.evidence.studies.base import FUNDERS, RISKS, STUDIES, CrpRule, Funder, Plans, Risk, Studies, Variety

ArmSize = Annotated[int, Within(2, 100_000)]


class Study(Component):
    """Declares one study."""

    n_active: ArmSize = Field(description="patients in the active arm")
    n_control: ArmSize = Field(description="patients in the control arm")
    weeks: PositiveWeeks = Field(description="weeks until its end, where outcomes are measured")
    drug_class: str = Field(default="", description="class of the drug")
    role: str = Field(default="", description="monotherapy or add-on, or other words")
    crp_rule: CrpRule = Field(
        default="unselected",
        description="enriched: only candidates at or above crp_cut; extracted: the subgroup at or above it of an unselected trial; "
        "stratified: allocation in strata at the cut; unselected: no rule",
    )
    outcomes: Many[str] | None = Field(default=None, description="outcomes of the review that it measures; default: all")
    risk_of_bias: Risk = Field(default="low", description="low, some or high")
    funder: Funder = Field(default="public", description="public or industry")
    label: str = Field(default="", description="how figures call it")
    copies: Annotated[int, Within(1, 1000)] = Field(default=1, description="how many such studies there are")


@STUDIES.register
class Listed(Studies):
    """Every body of evidence has the same studies; their patients and true effects differ."""

    kind: Literal["listed"] = "listed"
    trials: Many[Study] = Field(description="the studies")
    further: Many[Study] = Field(default=(), description="studies that are added to them, such as the next trial")

    @model_validator(mode="after")
    def _has_studies(self) -> Self:
        if not self.trials:
            raise fault("trials must list at least one study")
        return self

    @property
    def all(self) -> tuple[Study, ...]:
        """The listed studies, then those that are added."""
        return tuple(study for study in (*self.trials, *self.further) for _ in range(study.copies))

    @property
    def varieties(self) -> tuple[Variety, ...]:
        return tuple(dict.fromkeys(Variety(study.weeks, study.crp_rule) for study in self.all))

    @property
    def n_places(self) -> int:
        return len(self.all)

    @property
    def drug_classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(study.drug_class for study in self.all))

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(study.role for study in self.all))

    def is_further(self) -> BoolArray:
        return np.arange(self.n_places) >= sum(study.copies for study in self.trials)

    def labels(self) -> tuple[str, ...]:
        return tuple(study.label or f"trial {place + 1}" for place, study in enumerate(self.all))

    def plans(self, place: int, streams: Streams, count: int, outcomes: tuple[str, ...]) -> Plans:
        study = self.all[place]

        def code(value: str, levels: tuple[str, ...]) -> AnyArray:
            return np.full(count, levels.index(value), dtype=np.int16)

        variety = np.full(count, self.varieties.index(Variety(study.weeks, study.crp_rule)), dtype=np.int16)
        n = np.tile(np.array([study.n_control, study.n_active], dtype=np.float64), (count, 1))
        measures = {name: np.full(count, study.outcomes is None or name in study.outcomes) for name in outcomes}
        labels = code(study.drug_class, self.drug_classes), code(study.role, self.roles)
        return Plans(variety, n, *labels, code(study.risk_of_bias, RISKS), code(study.funder, FUNDERS), measures)

    def ends(self) -> Iterator[tuple[str, float]]:
        for place, study in self._declared():
            yield f"{place}.weeks", study.weeks

    def unbalanced_strata(self) -> Iterator[str]:
        for place, study in self._declared():
            if study.crp_rule == "stratified" and study.n_active != study.n_control:
                yield f"{place}.n_active"

    def problems(self, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        for place, study in self._declared():
            for name in study.outcomes or ():
                if name not in outcomes:
                    yield Problem(f"{place}.outcomes", f"no outcome called {name!r}{did_you_mean(name, outcomes)}")

    def _declared(self) -> Iterator[tuple[str, Study]]:
        for part, studies in (("trials", self.trials), ("further", self.further)):
            for i, study in enumerate(studies):
                yield f"studies.{part}[{i}]", study
