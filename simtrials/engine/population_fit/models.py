"""CRP as a log-normal, and its regression on BMI, age and sex."""

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import did_you_mean
from simtrials.core.expressions import Category
from simtrials.engine.population_fit.censored import fit_censored
from simtrials.engine.population_fit.results import LogNormal, Regression
from simtrials.engine.population_fit.sample import Request, Sample, is_missing

BMI, AGE = 28.0, 40.0
FEWEST_PER_SEX = 5


def log_normal(sample: Sample) -> LogNormal:
    """Mean and SD of ln CRP by weighted censored likelihood, over all who have CRP."""
    everybody = np.ones(sample.n, dtype=bool)
    fit = fit_censored(sample.crp.logarithm, sample.crp.below, np.ones((sample.n, 1)), sample.weight, everybody, sample.design)
    return LogNormal(float(fit.coefficients[0]), fit.sd, float(fit.std_errors[0]), float(fit.std_errors[1]))


def crp_regression(sample: Sample, request: Request) -> tuple[Regression | None, str]:
    """ln CRP on BMI, age and sex by weighted censored likelihood, or why there is none."""
    regressors, used, why_not = _regressors(sample, request)
    if regressors is None:
        return None, why_not
    fit = fit_censored(sample.crp.logarithm, sample.crp.below, regressors, sample.weight, used, sample.design)
    share = sample.weight[used] / sample.weight[used].sum()
    line = regressors[used] @ fit.coefficients
    between = float((share * (line - (share * line).sum()) ** 2).sum())
    names = ("intercept", "bmi_slope", "age_slope", "female")
    found = dict(zip(names, (float(value) for value in fit.coefficients), strict=True))
    errors = tuple(float(error) for error in fit.std_errors)
    explained = between / (between + fit.sd**2)
    return Regression(**found, residual_sd=fit.sd, std_errors=errors, explained=explained, n=int(used.sum())), ""


def _regressors(sample: Sample, request: Request) -> tuple[FloatArray | None, BoolArray, str]:
    """(n, 4) ones, BMI - 28, age - 40 and woman, with who has all three."""
    used = np.ones(sample.n, dtype=bool)
    names = (request.bmi, request.age, request.sex)
    for name in names:
        if name not in sample.regressors:
            return None, used, f"there is no column {name!r}{did_you_mean(name, sample.columns)}"
    bmi, age, sex = (sample.regressors[name] for name in names)
    if isinstance(bmi, Category) or isinstance(age, Category):
        return None, used, f"{request.bmi!r} and {request.age!r} must hold numbers"
    if not isinstance(sex, Category) or "female" not in sex.levels:
        return None, used, f"{request.sex!r} must be a category with a level 'female'"
    used = ~(is_missing(bmi) | is_missing(age) | is_missing(sex))
    woman = sex.codes == sex.levels.index("female")
    women, others = int((used & woman).sum()), int((used & ~woman).sum())
    if min(women, others) < FEWEST_PER_SEX:
        return None, used, f"it needs at least {FEWEST_PER_SEX} women and {FEWEST_PER_SEX} others, the rows used have {women} and {others}"
    regressors = np.column_stack([np.ones(sample.n), bmi - BMI, age - AGE, woman.astype(np.float64)])
    if not np.isfinite(regressors[used]).all():
        return None, used, f"{request.bmi!r} and {request.age!r} must be finite"
    scaled = regressors[used] / np.maximum(np.abs(regressors[used]).max(axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-8) < scaled.shape[1]:
        return None, used, f"{request.bmi!r}, {request.age!r} and {request.sex!r} do not vary independently"
    measured = int((used & ~sample.crp.below).sum())
    if measured < 2 * regressors.shape[1]:
        return None, used, f"only {measured} people have them and a CRP above the limit of detection"
    return regressors, used, ""
