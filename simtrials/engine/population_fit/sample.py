"""The people of a data file on whom a population is fitted: who is left out and why, weights, survey design."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category, Column, ExpressionError, parse
from simtrials.engine.population_fit.readings import Biomarker, Readings, biomarker_of, read_readings
from simtrials.engine.population_fit.survey import SurveyDesign

MOST_LEVELS = 20
"""A text column with more different texts is taken for names or comments."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be read from which columns."""

    crp: str
    below_limit: str | None
    limit_of_detection: float | None
    where: str | None
    weights: str | None
    columns: tuple[str, ...] | None
    strata: str | None
    clusters: str | None
    bmi: str
    age: str
    sex: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many rows are left out for a reason; each row counts once, under its first reason."""

    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The people used, (n,): their biomarker, weights, covariates and place in the survey; `complete` have every covariate."""

    crp: Biomarker
    weight: FloatArray
    covariates: Mapping[str, Column]
    complete: BoolArray
    regressors: Mapping[str, Column]
    columns: tuple[str, ...]
    design: SurveyDesign
    n_rows: int
    left_out: tuple[LeftOut, ...]
    lacking: tuple[LeftOut, ...]
    dropped: tuple[str, ...]
    stored_oddly: int

    @property
    def n(self) -> int:
        return self.weight.size


def sample_of(table: Table, request: Request) -> Sample:
    """The people who pass the filter and have a biomarker value, a weight and a place in the survey.

    Raises
    ------
    DeclarationError
        With every column that does not exist, then with every value that cannot be used.
    """
    source = source_of(table)
    _raise(_unknown(table, request), source)
    flags = table.columns[request.below_limit] if request.below_limit else None
    readings, problems = read_readings(table.columns[request.crp], request.crp, flags, request.below_limit)
    _raise(problems, source)
    keep, left_out = _rows_used(table, request, readings)
    if not keep.any():
        told = "; ".join(f"{reason.n:,} {reason.reason}" for reason in left_out) or "the file has no rows"
        _raise([Problem("where" if request.where else "data", f"no row of {file_name(table)} is left of {table.n_rows:,}: {told}")], source)
    crp, problems = biomarker_of(readings[keep], request.crp, request.limit_of_detection, request.below_limit is not None)
    names = _wanted_columns(table, request)
    rows = {name: table.columns[name][keep] for name in names}
    kept, dropped, more = _usable_columns(rows, request)
    design, worse = _design(table, request, keep)
    _raise([*problems, *more, *worse], source)
    assert crp is not None
    complete, lacking = _complete(kept, int(keep.sum()))
    regressors = {name: table.columns[name][keep] for name in (request.bmi, request.age, request.sex) if name in table.columns}
    weight = _weight(table, request)[keep]
    stored = readings.value[keep]
    odd = int((crp.below & ~(stored > 0)).sum())
    return Sample(crp, weight, kept, complete, regressors, tuple(table.columns), design, table.n_rows, left_out, lacking, dropped, odd)


def file_name(table: Table) -> str:
    """The file without its folder."""
    return Path(table.name).name


def source_of(table: Table) -> str:
    """What an error is about."""
    return f"the fit to {file_name(table)}"


def _raise(problems: Iterable[Problem], source: str) -> None:
    told = list(problems)
    if told:
        raise DeclarationError(told, source)


def _unknown(table: Table, request: Request) -> list[Problem]:
    """Arguments that name a column which the file does not have, and a filter that cannot be read."""
    wanted = {field: getattr(request, field) for field in ("crp", "below_limit", "weights", "strata", "clusters")}
    wanted |= {f"columns[{i}]": name for i, name in enumerate(request.columns or ())}
    missing = {field: name for field, name in wanted.items() if name is not None and name not in table.columns}
    problems = [_no_column(field, name, table) for field, name in missing.items()]
    if request.where is not None:
        try:
            unknown = sorted(parse(request.where).names - table.columns.keys())
            problems += [_no_column("where", name, table) for name in unknown]
        except ExpressionError as error:
            problems.append(Problem("where", str(error)))
    return problems


def _no_column(place: str, name: str, table: Table) -> Problem:
    return Problem(place, f"no column called {name!r} in {file_name(table)}{did_you_mean(name, table.columns)}")


def _rows_used(table: Table, request: Request, readings: Readings) -> tuple[BoolArray, tuple[LeftOut, ...]]:
    """Rows that stay, and how many go for which reason."""
    keep = np.ones(table.n_rows, dtype=bool)
    left_out: list[LeftOut] = []

    def drop(gone: AnyArray, reason: str) -> None:
        n = int((keep & gone).sum())
        if n:
            left_out.append(LeftOut(reason, n))
            keep[gone] = False

    if request.where is not None:
        columns = {**table.columns, request.crp: readings.as_numbers}
        condition = parse(request.where)
        for name in sorted(condition.names):
            drop(is_missing(columns[name]), f"lack {name}, which the filter looks at")
        try:
            drop(~condition.truth(columns), "do not pass the filter")
        except ExpressionError as error:
            _raise([Problem("where", str(error))], source_of(table))
    drop(~readings.present, f"lack {request.crp}")
    weight = _weight(table, request)
    drop(np.isnan(weight), f"lack {request.weights}")
    wrong = keep & ((weight < 0) | np.isinf(weight))
    if wrong.any():
        sentence = f"{request.weights!r} must hold finite numbers of at least 0; {int(wrong.sum()):,} rows do not, the first has {weight[wrong][0]:g}"
        _raise([Problem("weights", sentence)], source_of(table))
    drop(weight == 0, f"have a {request.weights} of 0")
    for column in (request.strata, request.clusters):
        if column is not None:
            drop(is_missing(table.columns[column]), f"lack {column}")
    return keep, tuple(left_out)


def _weight(table: Table, request: Request) -> FloatArray:
    if request.weights is None:
        return np.ones(table.n_rows)
    weight = table.columns[request.weights]
    if isinstance(weight, Category):
        _raise([Problem("weights", f"{request.weights!r} must hold numbers, found texts such as {weight.levels[0]!r}")], source_of(table))
    assert isinstance(weight, np.ndarray)
    return weight


def _wanted_columns(table: Table, request: Request) -> list[str]:
    """Covariates of the copula: as asked for, or those of BMI, age and sex that the file has."""
    if request.columns is not None:
        return [name for name in dict.fromkeys(request.columns) if name != request.crp]
    return [name for name in (request.bmi, request.age, request.sex) if name in table.columns]


def _usable_columns(rows: Mapping[str, Column], request: Request) -> tuple[dict[str, Column], tuple[str, ...], list[Problem]]:
    """Columns that vary; one that does not is left out with a note when nobody asked for it, else it is a problem."""
    kept: dict[str, Column] = {}
    dropped: list[str] = []
    problems: list[Problem] = []
    for name, column in rows.items():
        fault = unusable(column)
        place = f"columns[{request.columns.index(name)}]" if request.columns is not None else "columns"
        if fault is None:
            kept[name] = column
        elif request.columns is None:
            dropped.append(f"{name} is not part of the population: it {fault}")
        else:
            problems.append(Problem(place, f"{name!r} {fault}; leave it out"))
    return kept, tuple(dropped), problems


def unusable(column: Column, among: str = "in the rows used") -> str | None:
    """Why a column cannot be part of a population, or None."""
    if isinstance(column, Category):
        present = np.unique(column.codes[column.codes >= 0])
        if present.size > MOST_LEVELS:
            return f"has {present.size:,} different texts, and a category has at most {MOST_LEVELS}"
        if present.size == 1:
            return f"has only the level {column.levels[present[0]]!r} {among}"
        return f"is empty {among}" if present.size == 0 else None
    values = column[~np.isnan(column)]
    if not np.isfinite(values).all():
        return "has infinite values"
    if values.size == 0:
        return f"is empty {among}"
    return f"has only the value {values[0]:g} {among}" if np.unique(values).size == 1 else None


def _complete(columns: Mapping[str, Column], n: int) -> tuple[BoolArray, tuple[LeftOut, ...]]:
    """People who have every covariate, and how many lack which."""
    complete = np.ones(n, dtype=bool)
    lacking = []
    for name, column in columns.items():
        gone = complete & is_missing(column)
        if gone.any():
            lacking.append(LeftOut(f"lack {name}", int(gone.sum())))
            complete &= ~gone
    return complete, tuple(lacking)


def _design(table: Table, request: Request, keep: BoolArray) -> tuple[SurveyDesign, list[Problem]]:
    """Strata and clusters of the whole file, and the place in it of the people used."""
    known = np.ones(table.n_rows, dtype=bool)
    for name in (request.strata, request.clusters):
        known &= ~is_missing(table.columns[name]) if name else True
    if request.strata is None and request.clusters is None:
        known = keep
    stratum = _codes(table.columns[request.strata])[known] if request.strata else np.zeros(int(known.sum()), dtype=np.int64)
    cluster = _codes(table.columns[request.clusters])[known] if request.clusters else np.arange(int(known.sum()))
    pairs, place = np.unique(np.column_stack([stratum, cluster]), axis=0, return_inverse=True)
    _, of_cluster = np.unique(pairs[:, 0], return_inverse=True)
    design = SurveyDesign(place.reshape(-1)[keep[known]], of_cluster)
    if design.n_clusters < 2:
        place_of_fault = "clusters" if request.clusters else "data"
        what = f"{request.clusters!r} has one cluster" if request.clusters else f"one row of {file_name(table)} is left"
        return design, [Problem(place_of_fault, f"{what}; a sampling error needs at least two")]
    return design, []


def _codes(column: Column) -> IntArray:
    if isinstance(column, Category):
        return column.codes.astype(np.int64)
    return np.unique(column, return_inverse=True)[1].reshape(-1)


def is_missing(column: Column) -> BoolArray:
    """True where a cell is empty."""
    return np.asarray(column.codes < 0 if isinstance(column, Category) else np.isnan(column))
