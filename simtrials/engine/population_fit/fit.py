"""Fit a population: read the people, fit marginals, correlations and the regression of CRP, simulate the population, compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category
from simtrials.engine.files import read_table
from simtrials.engine.population_fit.compare import comparison, quantile_plot, simulated
from simtrials.engine.population_fit.declare import Kind, Marginals, declared_population
from simtrials.engine.population_fit.models import crp_regression, log_normal
from simtrials.engine.population_fit.notes import counted_as, notes_on
from simtrials.engine.population_fit.outcome import PopulationFit
from simtrials.engine.population_fit.sample import Request, Sample, sample_of, source_of, unusable
from simtrials.engine.population_fit.survey import effective_size
from simtrials.trial.populations import POPULATIONS

CUTS = (1.0, 2.0, 3.0, 5.0, 10.0)
FEWEST = 20
"""People below which no copula and no regression is fitted."""


def fit_population(
    data: str | Path,
    *,
    crp: str = "crp_mg_l",
    below_limit: str | None = None,
    limit_of_detection: float | None = None,
    where: str | None = None,
    weights: str | None = None,
    columns: str | Sequence[str] | None = None,
    strata: str | None = None,
    clusters: str | None = None,
    kind: Kind = "gaussian_copula",
    marginals: Marginals = "quantiles",
    bmi: str = "bmi_kg_m2",
    age: str = "age_years",
    sex: str = "sex",
    cuts: Sequence[float] = CUTS,
    seed: int = 1,
    name: str | None = None,
) -> PopulationFit:
    """Fit a population to patients of a CSV or Parquet file, or of a shipped data set.

    Parameters
    ----------
    data : path of a file, or name of a shipped data set
    crp : column of measured CRP, mg/L; cells such as '<0.2' lie below the limit of detection
    below_limit : column that holds 1 where CRP is below the limit of detection, else 0
    limit_of_detection : mg/L; values below it (and equal to it, without `below_limit`) are taken for censored
    where : rows to keep, such as 'phq9_total >= 10 and 18 <= age_years <= 65'
    weights : column of sampling weights
    columns : covariates of the population beside CRP; without it those of BMI, age and sex that the file has
    strata, clusters : columns of the survey design, for standard errors; a cluster is numbered within its stratum
    kind : 'gaussian_copula', 'crp_regression' (CRP from BMI, age and sex on top of a copula of the covariates) or 'resampled' (the rows themselves)
    marginals : 'quantiles', or 'parametric': log-normal CRP, and normal, log-normal, gamma or beta for other numbers
    bmi, age, sex : columns of the regression of ln CRP (kg/m2, years, a category with a level 'female')
    cuts : values of CRP, mg/L, at which data and population are compared
    seed : seed of the simulated population

    Notes
    -----
    CRP is fitted to all who have it, everything else to those who have every column. Values below the limit of detection are censored: by
    maximum likelihood in the log-normal, the regression and the correlations; among quantiles they follow a log-normal tail that joins at the
    limit. Correlations belong to the normals behind the columns: those of normal scores for numbers; for categories and columns with ties by
    maximum likelihood (biserial, tetrachoric, polychoric), so that the simulated association is that of the data. The levels of a category of
    three or more are put in the order of their mean ln CRP. Correlations that cannot hold together become the nearest that can, with a note.
    A stratum with a single cluster is compared with the mean of all clusters.

    Raises
    ------
    DeclarationError
        With what is wrong, where, and the nearest remedy, when the call or the data cannot be used.
    """
    asked = (columns,) if isinstance(columns, str) else None if columns is None else tuple(str(column) for column in columns)
    request = Request(crp, below_limit, limit_of_detection, where, weights, asked, strata, clusters, bmi, age, sex)
    _check_call(request, kind, marginals, cuts, seed)
    table = read_table(str(data))
    sample = sample_of(table, request)
    _check_size(table, sample, request, kind)
    shape = log_normal(sample)
    regression, why_not = crp_regression(sample, request)
    if regression is None and kind == "crp_regression":
        raise DeclarationError([Problem("kind", f"no regression of ln CRP: {why_not}")], source_of(table))
    declared, remarks = declared_population(sample, request, table.name, kind, marginals, shape, regression)
    population = POPULATIONS[kind].model_validate(declared)
    people = simulated(population, {table.name: table}, request.crp, tuple(sample.covariates), seed)
    found = comparison(sample, people, request.crp, cuts, shape)
    return PopulationFit(
        name=name or Path(table.name).stem,
        data=table.name,
        checksum=table.checksum,
        request=request,
        population=population,
        declared=declared,
        n_rows=table.n_rows,
        left_out=sample.left_out,
        n=sample.n,
        lacking=sample.lacking,
        n_complete=int(sample.complete.sum()),
        effective_size=effective_size(sample.weight),
        n_below=int(sample.crp.below.sum()),
        limit=sample.crp.limit,
        prevalences=found.prevalences,
        ln_mean=found.ln_mean,
        ln_sd=found.ln_sd,
        log_normal=shape,
        regression=regression,
        associations=found.associations,
        qq=quantile_plot(sample, people.crp, shape),
        seed=seed,
        n_simulated=people.crp.size,
        notes=notes_on(sample, request, kind, [*remarks, *counted_as(people.covariates)], why_not),
    )


def _check_call(request: Request, kind: str, marginals: str, cuts: Sequence[float], seed: int) -> None:
    """Everything that is wrong with the call itself."""
    problems = []
    for place, word, words in (("kind", kind, get_args(Kind)), ("marginals", marginals, get_args(Marginals))):
        if word not in words:
            problems.append(Problem(place, f"nothing is called {word!r}{did_you_mean(word, words)}"))
    limit = request.limit_of_detection
    if limit is not None and not 0 < limit < np.inf:
        problems.append(Problem("limit_of_detection", f"must be a finite number of mg/L greater than 0, got {limit:g}"))
    if not cuts or not all(0 < cut < np.inf for cut in cuts):
        problems.append(Problem("cuts", f"must be numbers of mg/L greater than 0, got {list(cuts)}"))
    if seed < 0:
        problems.append(Problem("seed", f"must be at least 0, got {seed}"))
    if problems:
        raise DeclarationError(problems, "the call of fit_population")


def _check_size(table: Table, sample: Sample, request: Request, kind: Kind) -> None:
    """Whether there are people enough, and whether rows can be drawn as they stand."""
    problems = []
    n_complete = int(sample.complete.sum())
    if kind == "resampled":
        texts = isinstance(table.columns[request.crp], Category)
        if texts or sample.stored_oddly:
            what = f"{request.crp!r} holds texts" if texts else f"{sample.stored_oddly:,} of the values below the limit are 0 or empty"
            sentence = f"'resampled' draws the rows as they stand, and {what}; use kind = 'gaussian_copula', or store limit / sqrt(2) in the file"
            problems.append(Problem("kind", sentence))
    elif sample.n < FEWEST:
        sentence = f"{sample.n} rows are left, too few to fit a {kind} (at least {FEWEST}); use kind = 'resampled', which draws the rows themselves"
        problems.append(Problem("data" if request.where is None else "where", sentence))
    elif n_complete < FEWEST:
        gaps = ", ".join(f"{reason.n:,} {reason.reason}" for reason in sample.lacking)
        complete = f"{n_complete} {'row has' if n_complete == 1 else 'rows have'} every column"
        problems.append(Problem("columns", f"{complete}, at least {FEWEST} are needed ({gaps}); leave out the emptiest"))
    else:
        columns = {request.crp: sample.crp.logarithm, **sample.covariates}
        faults = {name: unusable(column[sample.complete], f"in the {n_complete} rows that have every column") for name, column in columns.items()}
        problems += [Problem("columns", f"{name!r} {fault}; leave out it or the emptiest column") for name, fault in faults.items() if fault]
    if problems:
        raise DeclarationError(problems, source_of(table))
