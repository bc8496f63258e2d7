"""What every declaration of studies offers: for each place in a body of evidence, the plan of the study that fills it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.check import Component
from simtrials.core.errors import Problem
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams

CrpRule = Literal["unselected", "enriched", "stratified", "extracted"]
Risk = Literal["low", "some", "high"]
Funder = Literal["public", "industry"]
CRP_RULES, RISKS, FUNDERS = get_args(CrpRule), get_args(Risk), get_args(Funder)


@dataclass(frozen=True, slots=True)
class Variety:
    """Studies that are alike but for size and true effect: the week at which they end, and the rule on the biomarker."""

    weeks: float
    crp_rule: str


@dataclass(frozen=True, slots=True)
class Plans:
    """Plans of m studies for one place: the variety of each (m,), patients per arm n (m, 2) control first, drug class, role, funder and risk
    of bias as codes (m,), and which outcomes they measure, name -> (m,)."""

    variety: AnyArray
    n: FloatArray
    drug_class: AnyArray
    role: AnyArray
    risk: AnyArray
    funder: AnyArray
    measures: dict[str, BoolArray]

    def some(self, which: AnyArray) -> "Plans":
        """The plans of these studies, in this order, one as often as it is named."""
        rows = {name: getattr(self, name)[which] for name in ("variety", "n", "drug_class", "role", "risk", "funder")}
        return Plans(measures={name: measured[which] for name, measured in self.measures.items()}, **rows)

    @classmethod
    def joined(cls, parts: "list[Plans]") -> "Plans":
        """The plans of several lists, one after another."""
        rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("variety", "n", "drug_class", "role", "risk", "funder")}
        return cls(measures={name: np.concatenate([part.measures[name] for part in parts]) for name in parts[0].measures}, **rows)

    def of_variety(self) -> Iterator[tuple[int, AnyArray]]:
        """Each variety that occurs, with the places of its studies."""
        for variety in np.unique(self.variety):
            yield int(variety), np.flatnonzero(self.variety == variety)


class Studies(Component):
    """Declares how many studies there are, how large they are, and of what kind."""

    kind: str

    @property
    def varieties(self) -> tuple[Variety, ...]:
        """The kinds of study that can occur."""
        raise TypeError(f"studies of kind {self.kind!r} must define varieties")

    @property
    def n_places(self) -> int:
        """Places for studies in a body of evidence, at most."""
        raise TypeError(f"studies of kind {self.kind!r} must define n_places")

    @property
    def drug_classes(self) -> tuple[str, ...]:
        """Names of the drug classes, in the order of their codes."""
        raise TypeError(f"studies of kind {self.kind!r} must define drug_classes")

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the roles of the drug, in the order of their codes."""
        raise TypeError(f"studies of kind {self.kind!r} must define roles")

    def is_further(self) -> BoolArray:
        """(S,) places of studies that are added to the declared evidence."""
        return np.zeros(self.n_places, dtype=bool)

    def labels(self) -> tuple[str, ...]:
        """(S,) how figures call the places."""
        return tuple(f"trial {place + 1}" for place in range(self.n_places))

    def present(self, streams: Streams, n_replicates: int) -> BoolArray:
        """(R, S) places that are filled."""
        return np.ones((n_replicates, self.n_places), dtype=bool)

    def plans(self, place: int, streams: Streams, count: int, outcomes: tuple[str, ...]) -> Plans:
        """Plans of `count` studies for one place; `streams` are those of this place and attempt."""
        raise TypeError(f"studies of kind {self.kind!r} must define plans")

    def ends(self) -> Iterator[tuple[str, float]]:
        """Every week at which a study ends, with the place where that is declared."""
        raise TypeError(f"studies of kind {self.kind!r} must define ends")

    def unbalanced_strata(self) -> Iterator[str]:
        """Places where stratified studies with arms of different size are declared."""
        yield from ()

    def problems(self, outcomes: tuple[str, ...]) -> Iterator[Problem]:
        """What does not fit the outcomes of the review."""
        yield from ()


STUDIES = Registry("studies", "set of studies", Studies)
