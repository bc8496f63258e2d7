"""The fitted population simulated, and the same numbers taken from it and from the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.expressions import Category, Column
from simtrials.core.measures import share_mcse
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.population_fit.results import Association, Estimated, LogNormal, Prevalence, QuantilePlot
from simtrials.engine.population_fit.sample import Sample, is_missing
from simtrials.engine.population_fit.survey import correlation_with_error, effective_size, mean_with_error
from simtrials.trial.populations import Population

PEOPLE = 1024
"""Simulated people in each of the replicates of a block: 262,144 together."""


@dataclass(frozen=True, slots=True)
class People:
    """Simulated people, (N,) each."""

    crp: FloatArray
    covariates: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Prevalences, mean and SD of ln CRP, and correlations, in the data and simulated."""

    prevalences: tuple[Prevalence, ...]
    ln_mean: Estimated
    ln_sd: Estimated
    associations: tuple[Association, ...]


def simulated(population: Population, tables: Mapping[str, Table], crp: str, covariates: Sequence[str], seed: int) -> People:
    """People of the population, by the code that simulates trials."""
    candidates = population.prepare(tables, frozenset({crp}))
    luck = candidates.draw(Streams(seed, Purpose.PREPARE, 0), BLOCK_SIZE, PEOPLE)
    columns = {name: candidates.column(luck, name) for name in (crp, *covariates)}
    values = columns.pop(crp)
    assert isinstance(values, np.ndarray)
    return People(values.reshape(-1), {name: _flat(column) for name, column in columns.items()})


def _flat(column: Column) -> Column:
    return Category(column.codes.reshape(-1), column.levels) if isinstance(column, Category) else column.reshape(-1)


def comparison(sample: Sample, people: People, crp: str, cuts: Sequence[float], shape: LogNormal) -> Comparison:
    """The numbers of both, each with its error."""
    logs = np.log(people.crp)
    n, mean, sd = logs.size, float(logs.mean()), float(logs.std())
    fourth = float((((logs - mean) / sd) ** 4).mean())
    ln_mean = Estimated(shape.mean, shape.mean_error, mean, sd / np.sqrt(n))
    ln_sd = Estimated(shape.sd, shape.sd_error, sd, float(sd * np.sqrt((fourth - 1) / (4 * n))))
    prevalences = tuple(_prevalence(sample, people.crp, cut, shape) for cut in cuts)
    return Comparison(prevalences, ln_mean, ln_sd, _associations(sample, people, crp))


def _prevalence(sample: Sample, crp: FloatArray, cut: float, shape: LogNormal) -> Prevalence:
    count = int((crp >= cut).sum())
    share: float | None = None
    error: float | None = None
    if sample.crp.known_at(cut):
        reached = np.where(sample.crp.below, 0.0, sample.crp.as_stored >= cut)
        share, error = mean_with_error(reached, sample.weight, sample.design)
    beyond = float(ndtr((shape.mean - np.log(cut)) / shape.sd))
    return Prevalence(float(cut), Estimated(share, error, count / crp.size, share_mcse(count, crp.size)), beyond)


def _associations(sample: Sample, people: People, crp: str) -> tuple[Association, ...]:
    """Every pair of columns; CRP below the limit of detection counts as limit / sqrt(2) on both sides."""
    limit = sample.crp.limit
    made = people.crp if limit is None else np.where(people.crp < limit, limit / np.sqrt(2), people.crp)
    data = {f"ln {crp}": np.log(sample.crp.as_stored)}
    fitted = {f"ln {crp}": np.log(made)}
    for name, column in sample.covariates.items():
        other = people.covariates[name]
        data[name] = _numbers(column, other.levels if isinstance(other, Category) else ())
        fitted[name] = _numbers(other, other.levels if isinstance(other, Category) else ())
    names = [name for name in data if _varies(data[name][sample.complete]) and _varies(fitted[name])]
    return tuple(_association(first, second, data, fitted, sample) for first, second in combinations(names, 2))


def _varies(values: FloatArray) -> bool:
    """Whether a column can correlate with another: a resampled one may be constant where the others are known."""
    known = values[~np.isnan(values)]
    return known.size > 2 and bool(known.min() < known.max())


def _numbers(column: Column, levels: tuple[str, ...]) -> FloatArray:
    """Numbers, or the place of each category among `levels`; NaN where missing."""
    if not isinstance(column, Category):
        return column
    place = np.array([levels.index(level) if level in levels else -1 for level in column.levels])
    return np.where(is_missing(column), np.nan, place[column.codes].astype(np.float64))


def _association(first: str, second: str, data: Mapping[str, FloatArray], fitted: Mapping[str, FloatArray], sample: Sample) -> Association:
    r, error = correlation_with_error(data[first], data[second], sample.weight, sample.complete, sample.design)
    known = _known(fitted[first], fitted[second])
    made = float(np.corrcoef(fitted[first][known], fitted[second][known])[0, 1])
    return Association(first, second, Estimated(r, error, made, float((1 - made**2) / np.sqrt(known.sum()))))


def _known(first: FloatArray, second: FloatArray) -> BoolArray:
    return ~(np.isnan(first) | np.isnan(second))


def quantile_plot(sample: Sample, crp: FloatArray, shape: LogNormal) -> QuantilePlot:
    """Measured values against the quantiles of the population; the band is that of a sample of the effective size."""
    order = np.argsort(np.where(sample.crp.below, -np.inf, sample.crp.logarithm), kind="stable")
    weight = sample.weight[order] / sample.weight.sum()
    below = sample.crp.below[order]
    measured = ~below
    share = np.clip((np.cumsum(weight) - weight / 2)[measured], 1e-6, 1 - 1e-6)
    half = 1.959963984540054 * np.sqrt(share * (1 - share) / effective_size(sample.weight))
    return QuantilePlot(
        share,
        sample.crp.as_stored[order][measured],
        np.quantile(crp, share),
        np.quantile(crp, np.clip(share - half, 0, 1)),
        np.quantile(crp, np.clip(share + half, 0, 1)),
        np.exp(shape.mean + shape.sd * ndtri(share)),
    )
