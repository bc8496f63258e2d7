"""Patients drawn with replacement from the rows of a data file, with survey weights, a filter and optional smoothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import AnyArray, FloatArray, lookup, patient_major, replicate_major
from simtrials.core.check import Component, Many, Within, fault
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column, ExpressionError, parse
from simtrials.core.kernels import kernel
from simtrials.core.rng import Streams, normals, uniforms
from simtrials.trial.people import Luck
from simtrials.trial.populations.base import POPULATIONS, Candidates, Population, Transform


class Smoothing(Component):
    """Kernel jitter on chosen columns, so that the people of a small file do not repeat exactly; mean and SD are kept."""

    columns: Many[str] = Field(description="columns to jitter; ln(column) jitters on the log scale, as CRP should be")
    bandwidth: Annotated[float, Within(0, 1, open_low=True)] = Field(default=0.2, description="SD of the jitter in SDs of the column, 0 to 1")


@POPULATIONS.register
class Resampled(Population):
    """Rows of a data file, drawn with replacement."""

    kind: Literal["resampled"] = "resampled"
    data: str = Field(description="name of a shipped data set, or path of a CSV or Parquet file")
    where: str | None = Field(default=None, description="rows to keep, such as 'phq9_total >= 10 and 18 <= age_years <= 65'")
    weights: str | None = Field(default=None, description="column of sampling weights; without it every row weighs the same")
    covariates: dict[str, str] = Field(default_factory=dict, description="other names for columns of the file, as name = 'column'")
    smoothing: Smoothing | None = Field(default=None, description="kernel jitter on chosen columns")

    def files(self) -> tuple[str, ...]:
        return (self.data,)

    @model_validator(mode="after")
    def _filter_can_be_read(self) -> Self:
        if self.where is not None:
            try:
                parse(self.where)
            except ExpressionError as error:
                raise fault(f"where: {error}") from None
        return self

    def known_levels(self, tables: Mapping[str, Table]) -> Mapping[str, tuple[str, ...] | None]:
        columns = tables[self.data].columns
        named = {name: columns[source] for name, source in self.covariates.items() if source in columns}
        return {name: column.levels if isinstance(column, Category) else None for name, column in {**columns, **named}.items()}

    def prepare(self, tables: Mapping[str, Table], used: frozenset[str]) -> Candidates:
        table = tables[self.data]
        if table.n_rows == 0:
            raise _problem("data", f"{table.name} has no rows")
        columns = dict(table.columns)
        for name, source in self.covariates.items():
            if source not in table.columns:
                raise _problem(f"covariates.{name}", f"no column called {source!r} in {table.name}{did_you_mean(source, table.columns)}")
            columns[name] = table.columns[source]
        kept, notes = self._rows(table, columns, used)
        weight = self._weights(columns)[kept]
        if not np.isfinite(weight).all() or weight.sum() <= 0:
            raise _problem("weights", f"{self.weights!r} must hold finite numbers that are not all 0 in the rows that are kept")
        rows = {name: column[kept] for name, column in columns.items()}
        return Rows(rows, weight / weight.sum(), self._jitter(rows, weight), np.flatnonzero(kept), notes)

    def _rows(self, table: Table, columns: Mapping[str, Column], used: frozenset[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Rows that pass the filter and have every used column; how many were left out, and why."""
        keep = np.ones(table.n_rows, dtype=bool)
        if self.where is not None:
            try:
                condition = parse(self.where)
                for name in condition.names & columns.keys():
                    keep &= ~missing(columns[name])
                keep &= condition.truth(columns)
            except ExpressionError as error:
                raise _problem("where", str(error)) from None
        passed = int(keep.sum())
        needed = (used | {self.weights or ""}) & columns.keys()
        notes = [f"{passed:,} of {table.n_rows:,} rows of {table.name} pass the filter"] if self.where else []
        for name in sorted(needed):
            lacking = int((keep & missing(columns[name])).sum())
            if lacking:
                notes.append(f"{lacking:,} rows left out that lack {name}")
                keep &= ~missing(columns[name])
        if not keep.any():
            raise _problem("where", f"no row of {table.name} is left (of {table.n_rows:,}, {passed:,} pass the filter); widen it")
        return keep, tuple(notes)

    def _weights(self, columns: Mapping[str, Column]) -> FloatArray:
        if self.weights is None:
            return np.ones(next(iter(columns.values())).shape[0])
        if self.weights not in columns:
            raise _problem("weights", f"no column called {self.weights!r}{did_you_mean(self.weights, columns)}")
        weight = columns[self.weights]
        if isinstance(weight, Category) or np.nanmin(weight) < 0:
            raise _problem("weights", f"{self.weights!r} must hold numbers of at least 0")
        return np.asarray(weight)

    def _jitter(self, rows: Mapping[str, Column], weight: FloatArray) -> dict[str, "Jitter"]:
        jitters: dict[str, Jitter] = {}
        for text in self.smoothing.columns if self.smoothing else ():
            name, log = (text[3:-1], True) if text.startswith("ln(") else (text, False)
            values = rows.get(name)
            if values is None or isinstance(values, Category):
                raise _problem("smoothing.columns", f"no numeric column called {name!r}{did_you_mean(name, rows)}")
            if log and values.min() <= 0:
                raise _problem("smoothing.columns", f"{text}: the column has values of 0 or less, so jitter {name!r} itself")
            scale = np.log(values) if log else values
            mean = np.average(scale, weights=weight)
            sd = np.sqrt(np.average((scale - mean) ** 2, weights=weight))
            jitters[name] = Jitter(log, float(mean), float(sd), self.smoothing.bandwidth if self.smoothing else 0.0)
        return jitters


@dataclass(frozen=True, slots=True)
class Jitter:
    """x + h sd e, pulled back towards the mean so that the SD stays (Silverman 1986, Density Estimation, section 6.4.1)."""

    log: bool
    mean: float
    sd: float
    bandwidth: float

    def apply(self, values: FloatArray, luck: FloatArray) -> FloatArray:
        scale = np.log(values) if self.log else values
        smooth = self.mean + (scale - self.mean + self.bandwidth * self.sd * luck) / np.sqrt(1 + self.bandwidth**2)
        return np.asarray(np.exp(smooth) if self.log else smooth)


@dataclass(slots=True)
class Rows(Candidates):
    """Rows ready to be drawn: the columns, the probability of each row, and its place in the file."""

    rows: Mapping[str, Column]
    probability: FloatArray
    jitters: Mapping[str, Jitter]
    places: AnyArray
    notes: tuple[str, ...] = ()
    cumulative: FloatArray = field(init=False)
    guide: AnyArray = field(init=False)
    tables: dict[tuple[str, object], FloatArray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.cumulative = np.cumsum(self.probability)
        self.cumulative[-1] = 1.0
        self.guide = np.searchsorted(self.cumulative, np.arange(4 * len(self.probability)) / (4 * len(self.probability)), side="right")

    @property
    def levels(self) -> dict[str, tuple[str, ...] | None]:  # type: ignore[override]
        return {name: column.levels if isinstance(column, Category) else None for name, column in self.rows.items()}

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        shape = (n_replicates, n_candidates)
        place = uniforms(streams["population.row"], shape)
        luck: Luck = {"population.row": replicate_major(_rows(patient_major(place), self.cumulative, self.guide))}
        for name in self.jitters:
            luck[f"population.jitter.{name}"] = normals(streams[f"population.jitter.{name}"], shape)
        return luck

    def column(self, luck: Luck, name: str, transform: Transform | None = None) -> Column:
        row, values = luck["population.row"], self.rows[name]
        if isinstance(values, Category):
            return Category(lookup(values.codes, row), values.levels)
        if name in self.jitters:
            smooth = self.jitters[name].apply(lookup(values, row), luck[f"population.jitter.{name}"])
            return transform(smooth) if transform else smooth
        if transform is None:
            return lookup(values, row)
        key = (name, transform)
        if key not in self.tables:
            self.tables[key] = transform(values)
        return lookup(self.tables[key], row)

    def limits(self, name: str, streams: Streams) -> tuple[float, float]:
        values = self.rows[name]
        drawn = values[self.probability > 0] if isinstance(values, np.ndarray) else np.ones(1)
        return float(drawn.min()), float(drawn.max())

    def moments(self, name: str, transform: Transform, streams: Streams) -> tuple[float, float]:
        values = self.rows[name]
        if isinstance(values, Category):
            raise TypeError(f"{name} is a category")
        scale = transform(values)
        mean = float(np.average(scale, weights=self.probability))
        return mean, float(np.sqrt(np.average((scale - mean) ** 2, weights=self.probability)))


@kernel
def _rows(place: FloatArray, cumulative: FloatArray, guide: AnyArray) -> AnyArray:
    """(P, R) first row whose cumulative probability exceeds `place`, looked for near where the guide table points."""
    rows = np.empty(place.shape, dtype=np.int32)
    steps = guide.size
    for p in range(place.shape[0]):
        for r in range(place.shape[1]):
            row = guide[int(place[p, r] * steps)]
            while row > 0 and cumulative[row - 1] > place[p, r]:
                row -= 1
            while cumulative[row] <= place[p, r]:
                row += 1
            rows[p, r] = row
    return rows


def missing(column: Column) -> np.ndarray:
    """True where a cell is empty."""
    return column.codes < 0 if isinstance(column, Category) else np.isnan(column)


def _problem(place: str, sentence: str) -> DeclarationError:
    return DeclarationError([Problem(f"population.{place}", sentence)])
