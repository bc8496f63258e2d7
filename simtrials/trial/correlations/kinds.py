"""Kinds of visit correlation."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Correlation, Finite, Many, fault
from simtrials.core.matrices import not_a_correlation
from simtrials.trial.correlations.base import CORRELATIONS, VisitCorrelation


@CORRELATIONS.register
class Unstructured(VisitCorrelation):
    """Every pair of visits has its own correlation."""

    kind: Literal["unstructured"] = "unstructured"
    values: Many[Many[Finite]] = Field(description="correlation matrix, one row per visit in the order of weeks")
    includes_baseline: bool = Field(default=True, description="true: the first row is the baseline")
    with_baseline: Many[Correlation] | None = Field(
        default=None, description="correlation of each visit with baseline, when the matrix leaves it out"
    )

    @model_validator(mode="after")
    def _says_baseline(self) -> Self:
        if self.includes_baseline == (self.with_baseline is not None):
            raise fault("needs with_baseline when includes_baseline is false, and only then")
        return self

    def matrix(self, weeks: tuple[float, ...]) -> FloatArray:
        lengths = {len(row) for row in self.values}
        given = np.array(self.values) if len(lengths) == 1 else np.empty((len(self.values), 0))
        names = [week_name(week) for week in weeks]
        if self.with_baseline is not None and given.shape == (len(self.with_baseline),) * 2:
            edge = np.array([self.with_baseline])
            given = np.block([[np.ones((1, 1)), edge], [edge.T, given]])
        why = not_a_correlation(given, names)
        if why:
            raise ValueError(why)
        return given


@CORRELATIONS.register
class AutoRegressive(VisitCorrelation):
    """The correlation of two scores falls with the weeks between them: per_week to the power of the distance."""

    kind: Literal["ar1"] = "ar1"
    per_week: Correlation = Field(description="correlation of two scores one week apart")

    def matrix(self, weeks: tuple[float, ...]) -> FloatArray:
        return self.between(weeks, weeks, weeks)

    def between(self, visits: tuple[float, ...], weeks: tuple[float, ...], other_weeks: tuple[float, ...]) -> FloatArray:
        apart = np.abs(np.subtract.outer(np.array(weeks), np.array(other_weeks)))
        if self.per_week <= 0 and (apart > 0).any():
            raise ValueError(f"per_week must be greater than 0, got {self.per_week:g}; write a small number for nearly none")
        return np.asarray(np.power(self.per_week, apart))


@CORRELATIONS.register
class Toeplitz(VisitCorrelation):
    """The correlation of two scores depends on how many visits lie between them."""

    kind: Literal["toeplitz"] = "toeplitz"
    values: Many[Correlation] = Field(description="correlations of scores 1, 2, ... visits apart, baseline counted as a visit")

    def matrix(self, weeks: tuple[float, ...]) -> FloatArray:
        if len(self.values) != len(weeks) - 1:
            raise ValueError(f"needs {len(weeks) - 1} values, one for each distance between visits, got {len(self.values)}")
        row = np.array([1.0, *self.values])
        place = np.arange(len(weeks))
        matrix = row[np.abs(place[:, None] - place)]
        why = not_a_correlation(matrix, [week_name(week) for week in weeks])
        if why:
            raise ValueError(why)
        return np.asarray(matrix)


@CORRELATIONS.register
class CompoundSymmetry(VisitCorrelation):
    """Every pair of scores has the same correlation."""

    kind: Literal["compound_symmetry"] = "compound_symmetry"
    rho: Correlation = Field(description="correlation of any two scores")

    def matrix(self, weeks: tuple[float, ...]) -> FloatArray:
        return self.between(weeks, weeks, weeks)

    def between(self, visits: tuple[float, ...], weeks: tuple[float, ...], other_weeks: tuple[float, ...]) -> FloatArray:
        same = np.equal.outer(np.array(weeks), np.array(other_weeks))
        matrix = np.where(same, 1.0, self.rho)
        everywhere = np.where(np.eye(len(visits), dtype=bool), 1.0, self.rho)
        why = not_a_correlation(everywhere, [week_name(week) for week in visits])
        if why:
            raise ValueError(why)
        return matrix


def week_name(week: float) -> str:
    return "baseline" if week == 0 else f"week {week:g}"
