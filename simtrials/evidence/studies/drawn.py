"""Studies whose number, sizes and kinds are drawn anew in every body of evidence."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.check import Component, Count, Many, OneOrOther, Positive, PositiveWeeks, Probability, Within, fault
from simtrials.core.rng import Streams
from simtrials.evidence.studies.base import CRP_RULES, FUNDERS, RISKS, STUDIES, Plans, Studies, Variety
from simtrials.evidence.studies.sizes import SIZES, ArmSizes

Shares = dict[str, Probability]
Places = Annotated[Count, Within(high=2000)]


class Between(Component):
    """A whole number from `lowest` to `highest`, each as likely."""

    lowest: Places = Field(description="fewest studies")
    highest: Places = Field(description="most studies")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.highest < self.lowest:
            raise fault(f"highest must be at least lowest, got {self.highest} and {self.lowest}")
        return self


@STUDIES.register
class Drawn(Studies):
    """Studies of many kinds and sizes, all drawn from the same laws."""

    kind: Literal["drawn"] = "drawn"
    number: Annotated[int | Between, OneOrOther(Places, Between)] = Field(
        description="studies in a body of evidence: a number, or lowest and highest"
    )
    n_per_arm: Annotated[ArmSizes, SIZES] = Field(description="law of the patients per arm")
    active_per_control: Positive = Field(default=1.0, description="patients in the active arm for each in the control arm")
    weeks: Many[PositiveWeeks] = Field(default=(1.0,), description="weeks until the end; each is as likely as it is frequent in the list")
    crp_rule: Shares = Field(default={"unselected": 1.0}, description="shares of studies by their rule on the biomarker; they add up to 1")
    drug_class: Shares = Field(default={"": 1.0}, description="shares of studies by drug class")
    role: Shares = Field(default={"": 1.0}, description="shares of studies by role of the drug")
    risk_of_bias: Shares = Field(default={"low": 1.0}, description="shares of studies by risk of bias")
    funder: Shares = Field(default={"public": 1.0}, description="shares by funder")
    measured: dict[str, Probability] = Field(default_factory=dict, description="share of studies that measure an outcome; default: all do")

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        for name in ("crp_rule", "drug_class", "role", "risk_of_bias", "funder"):
            shares = getattr(self, name)
            if not shares or abs(sum(shares.values()) - 1) > 1e-9:
                raise fault(f"{name}: the shares must add up to 1, got {sum(shares.values()):g}")
            known = {"crp_rule": CRP_RULES, "risk_of_bias": RISKS, "funder": FUNDERS}.get(name, tuple(shares))
            for word in shares:
                if word not in known:
                    raise fault(f"{name}: must be {', '.join(known)}, got {word!r}")
        if not self.weeks:
            raise fault("weeks must list at least one week")
        return self

    @property
    def varieties(self) -> tuple[Variety, ...]:
        return tuple(Variety(week, rule) for week in dict.fromkeys(self.weeks) for rule in self.crp_rule)

    @property
    def n_places(self) -> int:
        return self.number.highest if isinstance(self.number, Between) else self.number

    @property
    def drug_classes(self) -> tuple[str, ...]:
        return tuple(self.drug_class)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.role)

    def ends(self) -> Iterator[tuple[str, float]]:
        for i, week in enumerate(self.weeks):
            yield f"studies.weeks[{i}]", week

    def unbalanced_strata(self) -> Iterator[str]:
        if self.active_per_control != 1.0 and self.crp_rule.get("stratified", 0.0) > 0:
            yield "studies.active_per_control"

    def present(self, streams: Streams, n_replicates: int) -> BoolArray:
        if not isinstance(self.number, Between):
            return np.ones((n_replicates, self.number), dtype=bool)
        low, high = self.number.lowest, self.number.highest
        number = low + np.floor(streams["number"].random(n_replicates) * (high - low + 1))
        return np.arange(high) < number[:, np.newaxis]

    def plans(self, place: int, streams: Streams, count: int, outcomes: tuple[str, ...]) -> Plans:
        luck = streams["plan"].random((count, 7 + len(outcomes)))
        weeks = tuple(dict.fromkeys(self.weeks))
        week = _chosen({week: self.weeks.count(week) / len(self.weeks) for week in weeks}, luck[:, 0])
        variety = week * len(self.crp_rule) + _chosen(self.crp_rule, luck[:, 1])
        control = self.n_per_arm.quantile(luck[:, 2])
        n = np.stack([control, np.maximum(np.rint(control * self.active_per_control), 2.0)], axis=1)
        risk = _of_level(self.risk_of_bias, RISKS, luck[:, 5])
        funder = _of_level(self.funder, FUNDERS, luck[:, 6])
        measures = {name: luck[:, 7 + i] < self.measured.get(name, 1.0) for i, name in enumerate(outcomes)}
        return Plans(variety, n, _chosen(self.drug_class, luck[:, 3]), _chosen(self.role, luck[:, 4]), risk, funder, measures)


def _chosen(shares: dict[Any, float], luck: FloatArray) -> AnyArray:
    """Codes of what is chosen, in the order of the shares."""
    edges = np.cumsum(list(shares.values()))[:-1]
    return np.searchsorted(edges, luck, side="right").astype(np.int16)


def _of_level(shares: Any, levels: tuple[str, ...], luck: FloatArray) -> AnyArray:
    codes = np.array([levels.index(name) for name in shares], dtype=np.int16)
    return codes[_chosen(shares, luck)]
