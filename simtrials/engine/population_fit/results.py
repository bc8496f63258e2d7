"""What a fit found: the numbers that are compared, each with its error."""

from dataclasses import dataclass

from simtrials.core.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Estimated:
    """A number of the data and its sampling error (None where the data cannot tell), and the same number in the simulated population."""

    data: float | None
    std_error: float | None
    fitted: float
    mcse: float


@dataclass(frozen=True, slots=True)
class Prevalence:
    """Share of people with CRP of `cut` mg/L or more; in the log-normal it is exact."""

    cut: float
    share: Estimated
    log_normal: float


@dataclass(frozen=True, slots=True)
class Association:
    """Correlation of two columns as they are stored: ln CRP, numbers, and positions of categories in their order."""

    first: str
    second: str
    correlation: Estimated


@dataclass(frozen=True, slots=True)
class LogNormal:
    """CRP as a log-normal, by censored likelihood: mean and SD of ln CRP with their standard errors."""

    mean: float
    sd: float
    mean_error: float
    sd_error: float


@dataclass(frozen=True, slots=True)
class Regression:
    """ln CRP on BMI, age and sex, in the fields of a population of kind crp_regression, with standard errors in the same order."""

    intercept: float
    bmi_slope: float
    age_slope: float
    female: float
    residual_sd: float
    std_errors: tuple[float, ...]
    explained: float
    n: int


@dataclass(frozen=True, slots=True)
class QuantilePlot:
    """Of each person measured, in rising order: share of the data below, value, and the population's quantile there with a 95% band."""

    share: FloatArray
    data: FloatArray
    fitted: FloatArray
    lower: FloatArray
    upper: FloatArray
    log_normal: FloatArray
