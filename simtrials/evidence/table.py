"""What a reviewer has before the synthesis: one row per study, with numbers per arm of every outcome.

R bodies of evidence, S studies at most. Arms are in the order control, active.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.data import EffectScale
from simtrials.core.expressions import Category, Column

Question = tuple[str, str | None]
"""What a synthesis is about: an outcome, and the condition on studies, if any."""


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """What studies report of one outcome, (..., 2) with arms on the last axis; NaN where nothing is reported.

    mean and sd of a number, or of a yes-or-no outcome the share with the event and its SD.
    """

    n: FloatArray
    mean: FloatArray
    sd: FloatArray

    @property
    def known(self) -> BoolArray:
        """(...) whether both arms are reported."""
        return np.asarray(np.isfinite(self.n).all(axis=-1))

    @property
    def events(self) -> FloatArray:
        """(..., 2) patients with the event, of a yes-or-no outcome."""
        return np.rint(self.mean * self.n)

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "ArmNumbers":
        """Nothing reported."""
        return cls(*(np.full((*shape, 2), np.nan) for _ in range(3)))

    def where(self, mask: BoolArray, other: "ArmNumbers") -> "ArmNumbers":
        """The numbers of `other` in studies of the mask (...)."""
        arms = mask[..., np.newaxis]
        return ArmNumbers(np.where(arms, other.n, self.n), np.where(arms, other.mean, self.mean), np.where(arms, other.sd, self.sd))

    def put(self, place: tuple[AnyArray, int], found: "ArmNumbers") -> None:
        """Write the numbers of some studies into the arrays (R, S, 2)."""
        self.n[place], self.mean[place], self.sd[place] = found.n, found.mean, found.sd


@dataclass(frozen=True, slots=True)
class Measured:
    """How an outcome is compared: the effect size, whether it is yes or no, whether higher values are better (1) or worse (-1), its scale.

    Differences of means are turned so that a benefit is positive; effects on risks are active against control, so that `sign` is their benefit.
    """

    measure: str
    binary: bool
    sign: int
    scale: EffectScale
    variance: str = "LS"
    correction: str = "exact"
    add: float = 0.5
    zero_cells: str = "only0"
    drop_double_zero: bool = True

    @property
    def benefit(self) -> Literal[1, -1]:
        """Direction of the effect that is a benefit."""
        return -1 if self.binary and self.sign < 0 else 1


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects and sampling variances of the studies of one outcome, (R, S), NaN where a study has none; differences are benefits."""

    yi: FloatArray
    vi: FloatArray


@dataclass(frozen=True, slots=True)
class StudyTable:
    """Bodies of evidence as a reviewer has them.

    numbers : outcome -> ArmNumbers (R, S, 2)
    new_true : outcome and condition -> (R,) true effect of one more study that meets it, in the unit of its measure
    tau2 : the same -> variance of their true effects
    columns : what is known of the studies, (R, S) numbers or categories; included (R, S); n_run (R,) studies run for those that were published.
    """

    numbers: Mapping[str, ArmNumbers]
    measured: Mapping[str, Measured]
    columns: Mapping[str, Column]
    included: BoolArray
    new_true: Mapping[Question, FloatArray]
    n_run: FloatArray
    tau2: Mapping[Question, float] = field(default_factory=dict)
    _effects: dict[str, Effects] = field(default_factory=dict)

    @property
    def n_patients(self) -> FloatArray:
        """(R, S) patients of each study, as far as the reviewers know: the most that any outcome reports."""
        counts = [np.where(np.isfinite(numbers.n), numbers.n, 0.0).sum(axis=-1) for numbers in self.numbers.values()]
        return np.asarray(np.maximum.reduce(counts))

    def effects(self, outcome: str) -> Effects:
        """Effect sizes of the studies that are included."""
        if outcome not in self._effects:
            found = effects_of(self.numbers[outcome], self.measured[outcome])
            yi, vi = (np.where(self.included, values, np.nan) for values in (found.yi, found.vi))
            self._effects[outcome] = Effects(yi, vi)
        return self._effects[outcome]

    def with_numbers(self, numbers: Mapping[str, ArmNumbers]) -> "StudyTable":
        """The same studies with other numbers."""
        return replace(self, numbers=dict(numbers), _effects={})

    def only(self, mask: BoolArray) -> "StudyTable":
        """The same bodies without the studies outside the mask (R, S)."""
        return replace(self, included=self.included & mask, _effects={})


def effects_of(numbers: ArmNumbers, measured: Measured) -> Effects:
    """Effect size and sampling variance of each study, in the shape of the numbers without their last axis."""
    from simtrials.stats.effect_sizes import effect_sizes

    control, active = (..., 0), (..., 1)
    if measured.binary:
        events, n = numbers.events, numbers.n
        counts = {"events_active": events[active], "n_active": n[active], "events_control": events[control], "n_control": n[control]}
        zeros = {"add": measured.add, "to": measured.zero_cells, "drop00": measured.drop_double_zero}
        found = effect_sizes(measured.measure, **counts, **zeros)  # type: ignore[arg-type]
        return Effects(found.yi, found.vi)
    means = measured.sign * numbers.mean
    arms = {
        "mean_active": means[active],
        "sd_active": numbers.sd[active],
        "n_active": numbers.n[active],
        "mean_control": means[control],
        "sd_control": numbers.sd[control],
        "n_control": numbers.n[control],
    }
    options = {"variance": measured.variance, "correction": measured.correction}
    found = effect_sizes(measured.measure, **arms, **options)  # type: ignore[arg-type]
    return Effects(found.yi, found.vi)


def category(codes: AnyArray, levels: tuple[str, ...]) -> Category:
    """A column of words."""
    return Category(codes.astype(np.int32), levels)
