"""The fitted population as the tables that declare it."""

from typing import Any, Literal

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import DeclarationError, Problem
from simtrials.core.expressions import Category, Column
from simtrials.engine.population_fit.latent import Scores, latent_correlation, normal_scores, ordered_levels, valid_correlation
from simtrials.engine.population_fit.marginals import biomarker_marginal, category_marginal, has_few_values, number_marginal, rounded
from simtrials.engine.population_fit.results import LogNormal, Regression
from simtrials.engine.population_fit.sample import Request, Sample
from simtrials.trial.populations import CrpRegression

Kind = Literal["gaussian_copula", "crp_regression", "resampled"]
Marginals = Literal["quantiles", "parametric"]


def declared_population(
    sample: Sample, request: Request, data: str, kind: Kind, marginals: Marginals, shape: LogNormal, regression: Regression | None
) -> tuple[dict[str, Any], list[str]]:
    """The table [population], and remarks on how it was made."""
    if kind == "resampled":
        optional = {"where": request.where, "weights": request.weights}
        return {"kind": kind, "data": data, **{key: value for key, value in optional.items() if value is not None}}, []
    columns, remarks = _in_order(sample)
    parametric = marginals == "parametric"
    weight = sample.weight[sample.complete]
    covariates = {name: _marginal(column, weight, parametric) for name, column in columns.items()}
    scores = {name: _scores(column, weight) for name, column in columns.items()}
    if kind == "crp_regression":
        assert regression is not None
        _needs(request, covariates)
        base, more = _copula(covariates, scores, weight)
        return _on_top(base, request, regression), remarks + more
    crp = sample.crp
    first = {request.crp: biomarker_marginal(crp, sample.weight, shape.mean, shape.sd, parametric)}
    complete = sample.complete
    crp_scores = normal_scores(np.where(crp.below, -np.inf, crp.logarithm)[complete], weight, below=crp.below[complete])
    declared, more = _copula({**first, **covariates}, {request.crp: crp_scores, **scores}, weight)
    return declared, remarks + more


def _in_order(sample: Sample) -> tuple[dict[str, Column], list[str]]:
    """The covariates of people who have all of them; the levels of a category of three or more rise with ln CRP."""
    complete = sample.complete
    weight, score = sample.weight[complete], sample.crp.logarithm[complete]
    columns: dict[str, Column] = {}
    remarks = []
    for name, column in sample.covariates.items():
        column = column[complete]
        if isinstance(column, Category):
            order = ordered_levels(column.codes, len(column.levels), score, weight)
            if len(order) == 2:
                order = np.sort(order)
            else:
                remarks.append(f"the levels of {name} stand in the order of their mean ln CRP; correlations act on that order")
            place = np.zeros(len(column.levels), dtype=np.int64)
            place[order] = np.arange(len(order))
            column = Category(place[column.codes], tuple(column.levels[i] for i in order))
        columns[name] = column
    return columns, remarks


def _marginal(column: Column, weight: FloatArray, parametric: bool) -> dict[str, Any]:
    return category_marginal(column, weight) if isinstance(column, Category) else number_marginal(column, weight, parametric)


def _scores(column: Column, weight: FloatArray) -> Scores:
    if isinstance(column, Category):
        return normal_scores(column.codes.astype(np.float64), weight, tied=True)
    return normal_scores(column, weight, tied=has_few_values(column))


def _copula(covariates: dict[str, Any], scores: dict[str, Scores], weight: FloatArray) -> tuple[dict[str, Any], list[str]]:
    names = list(covariates)
    matrix = np.eye(len(names))
    for i, first in enumerate(names):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = latent_correlation(scores[first], scores[names[j]], weight)
    if len(names) == 1:
        return {"kind": "gaussian_copula", "covariates": covariates}, []
    written, change = valid_correlation(matrix)
    remarks = [f"the correlations could not hold together; the nearest matrix that can differs by up to {change:.3f}"] if change > 5e-4 else []
    return {"kind": "gaussian_copula", "correlation": [[float(r) for r in row] for row in written], "covariates": covariates}, remarks


def _needs(request: Request, covariates: dict[str, Any]) -> None:
    problems = [
        Problem("columns", f"kind 'crp_regression' needs {name!r} among the columns, with more than one value")
        for name in (request.bmi, request.age, request.sex)
        if name not in covariates
    ]
    if problems:
        raise DeclarationError(problems, "the call of fit_population")


def _on_top(base: dict[str, Any], request: Request, regression: Regression) -> dict[str, Any]:
    """The regression on top of the copula; names that are the usual ones are left to the default."""
    numbers = {name: rounded(getattr(regression, name)) for name in ("intercept", "bmi_slope", "age_slope", "female", "residual_sd")}
    given = {"column": request.crp, "bmi": request.bmi, "age": request.age, "sex": request.sex}
    unusual = {field: value for field, value in given.items() if value != CrpRegression.model_fields[field].default}
    return {"kind": "crp_regression", **unusual, **numbers, "base": base}
