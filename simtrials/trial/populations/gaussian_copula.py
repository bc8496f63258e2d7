"""Patients from marginal distributions joined by a Gaussian copula."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Finite, Many, fault
from simtrials.core.data import Table
from simtrials.core.expressions import Category, Column
from simtrials.core.matrices import cholesky, not_a_correlation
from simtrials.core.rng import Streams, normals
from simtrials.trial.distributions import DISTRIBUTIONS, Distribution
from simtrials.trial.people import Luck
from simtrials.trial.populations.base import POPULATIONS, Candidates, Population, Transform


@POPULATIONS.register
class GaussianCopula(Population):
    """Any marginals, and one correlation matrix of the normals behind them."""

    kind: Literal["gaussian_copula"] = "gaussian_copula"
    covariates: dict[str, Annotated[Distribution, DISTRIBUTIONS]] = Field(min_length=1, description="distribution of each covariate, by name")
    correlation: Many[Many[Finite]] | None = Field(
        default=None, description="correlation matrix of the normals, in the order of the covariates; without it they are independent"
    )

    @model_validator(mode="after")
    def _is_a_correlation(self) -> Self:
        if self.correlation is not None:
            lengths = {len(row) for row in self.correlation}
            matrix = np.array(self.correlation) if len(lengths) == 1 else np.empty((len(self.correlation), 0))
            why = not_a_correlation(matrix, tuple(self.covariates))
            if why:
                raise fault(f"correlation {why}")
        return self

    def known_levels(self, tables: Mapping[str, Table]) -> Mapping[str, tuple[str, ...] | None]:
        return {name: marginal.levels for name, marginal in self.covariates.items()}

    def prepare(self, tables: Mapping[str, Table], used: frozenset[str]) -> Candidates:
        size = len(self.covariates)
        matrix = np.eye(size) if self.correlation is None else np.array(self.correlation)
        return Copula(dict(self.covariates), cholesky(matrix))


@dataclass(slots=True)
class Copula(Candidates):
    """Marginals and the lower factor of the correlation matrix."""

    marginals: Mapping[str, Distribution]
    factor: FloatArray
    notes: tuple[str, ...] = ()

    @property
    def levels(self) -> dict[str, tuple[str, ...] | None]:  # type: ignore[override]
        return {name: marginal.levels for name, marginal in self.marginals.items()}

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        return {f"population.{name}": normals(streams[f"population.{name}"], (n_replicates, n_candidates)) for name in self.marginals}

    def column(self, luck: Luck, name: str, transform: Transform | None = None) -> Column:
        names = list(self.marginals)
        row = self.factor[names.index(name)]
        z = sum(weight * luck[f"population.{other}"] for other, weight in zip(names, row, strict=True) if weight != 0.0)
        value = self.marginals[name].from_normal(np.asarray(z))
        if isinstance(value, Category) or transform is None:
            return value
        return transform(value)
