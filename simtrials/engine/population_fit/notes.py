"""What a reader of a fit should know, in sentences."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from simtrials.core.expressions import Category, Column
from simtrials.engine.population_fit.declare import Kind
from simtrials.engine.population_fit.marginals import weighted_quantiles
from simtrials.engine.population_fit.sample import Request, Sample
from simtrials.engine.population_fit.survey import effective_size

FEW = 50


def notes_on(sample: Sample, request: Request, kind: Kind, remarks: Sequence[str], why_no_regression: str) -> tuple[str, ...]:
    """Sentences on the errors, the limit of detection, what is not in the population and how it was made."""
    return (*_errors(sample, request), *_biomarker(sample, request), *_people(sample, why_no_regression), *remarks, *_kind(kind, sample))


def counted_as(covariates: Mapping[str, Column]) -> list[str]:
    """How categories count in the table of correlations."""
    return [
        f"in the table of correlations {name} counts {', '.join(f'{level} {place}' for place, level in enumerate(column.levels))}"
        for name, column in covariates.items()
        if isinstance(column, Category)
    ]


def _errors(sample: Sample, request: Request) -> Iterator[str]:
    design = sample.design
    if request.strata is None and request.clusters is None:
        yield "standard errors take the people for a simple random sample; name strata and clusters if they come from a survey"
    else:
        units = f"{design.n_clusters:,} clusters" if request.clusters else f"{design.n_clusters:,} people"
        strata = f" in {design.n_strata:,} strata" if request.strata else ""
        yield f"standard errors: Taylor linearisation over {units}{strata}"
    if request.strata is not None and design.n_lonely:
        some = "strata have a single cluster, which is" if design.n_lonely > 1 else "stratum has a single cluster, which is"
        yield f"{design.n_lonely:,} {some} compared with the mean of all clusters; the standard errors err on the large side"
    size = effective_size(sample.weight)
    if size < FEW:
        yield f"these people carry the information of {size:.0f}: take every number here as a rough guide"


def _biomarker(sample: Sample, request: Request) -> Iterator[str]:
    crp = sample.crp
    yield f"{request.crp} is taken for one measured sample per person"
    if crp.limit is not None:
        share = 100 * float(sample.weight[crp.below].sum() / sample.weight.sum())
        yield f"{int(crp.below.sum()):,} values ({share:.1f}%) lie below the limit of detection, {crp.limit:g} mg/L, and count as censored"
    median = float(np.exp(weighted_quantiles(crp.logarithm, sample.weight, np.array([0.5]))[0]))
    if not 0.3 <= median <= 12:
        yield f"the median of {request.crp} is {median:.2g}; CRP in mg/L is usually 0.5 to 10 (1 mg/dL is 10 mg/L)"


def _people(sample: Sample, why_no_regression: str) -> Iterator[str]:
    yield from sample.dropped
    lost = 1 - sample.complete.sum() / sample.n
    if lost > 0.1:
        yield f"{100 * lost:.0f}% of the people lack a covariate; CRP is fitted to all, the rest to the others"
    if why_no_regression:
        yield f"no regression of ln CRP: {why_no_regression}"


def _kind(kind: Kind, sample: Sample) -> Iterator[str]:
    if kind == "gaussian_copula" and sample.covariates:
        yield "correlations of the copula are those of normal scores; by maximum likelihood where a column has categories or ties"
    if kind == "crp_regression":
        yield "CRP goes with other columns only through BMI, age and sex"
