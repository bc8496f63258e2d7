"""What every population offers: luck for candidates, and columns that follow from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from pydantic import Field

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Many
from simtrials.core.data import Table
from simtrials.core.expressions import Category, Column
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.trial.people import Luck, People

Transform = Callable[[FloatArray], FloatArray]


class Candidates(ABC):
    """A population that is ready to draw from."""

    levels: Mapping[str, tuple[str, ...] | None]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        """Luck of the next candidates, (R, C) for each stream."""

    @abstractmethod
    def column(self, luck: Luck, name: str, transform: Transform | None = None) -> Column:
        """(R, C) values of a column, passed through `transform`, which a population of rows applies once to each row."""

    def moments(self, name: str, transform: Transform, streams: Streams) -> tuple[float, float]:
        """Mean and SD of a transformed numeric column over the population, from 262,144 draws unless a population knows better."""
        values = self.column(self.draw(streams, 256, 1024), name, transform)
        if isinstance(values, Category):
            raise TypeError(f"{name} is a category")
        return float(np.mean(values)), float(np.std(values))

    def limits(self, name: str, streams: Streams) -> tuple[float, float]:
        """Lowest and highest value of a numeric column of data. Of one that is drawn: the lowest of 262,144 draws, and nothing of the highest."""
        values = self.column(self.draw(streams, 256, 1024), name)
        return (float(values.min()) if isinstance(values, np.ndarray) else np.nan), -np.inf


class Population(Component):
    """Declares who could be enrolled."""

    kind: str
    describe: Many[str] = Field(
        default=(), description="columns of which the report compares the enrolled with the screened, beside those that the scenario uses"
    )

    def files(self) -> tuple[str, ...]:
        """Names or paths of the data files it is made from."""
        return ()

    def prepare(self, tables: Mapping[str, Table], used: frozenset[str]) -> Candidates:
        """Ready to draw; `used` are the columns that the scenario needs, so that rows which lack one can be left out and counted."""
        raise TypeError(f"a population of kind {self.kind!r} must define prepare")

    def known_levels(self, tables: Mapping[str, Table]) -> Mapping[str, tuple[str, ...] | None]:
        """Every column, with the levels of categories, as far as it can be told before the population is ready."""
        return {}


POPULATIONS = Registry("populations", "population", Population)


def providers_of(candidates: Candidates) -> dict[str, Callable[[People], Column]]:
    """A provider for each column of the population."""
    return {name: partial(_column, candidates, name) for name in candidates.levels}


def _column(candidates: Candidates, name: str, people: People) -> Column:
    return candidates.column(people.luck, name)
