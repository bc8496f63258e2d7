"""Distributions of a number."""

import itertools
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import betaincinv, gammaincinv, ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Finite, Many, OpenProbability, Positive, fault
from simtrials.trial.distributions.base import DISTRIBUTIONS, Distribution

QUARTILE = float(ndtri(0.75))


def exactly_one(model: Distribution, *choices: tuple[str, ...]) -> None:
    """Raise unless the fields of exactly one of `choices` are given, all of them."""
    given = [names for names in choices if any(getattr(model, name) is not None for name in names)]
    if len(given) != 1 or any(getattr(model, name) is None for name in given[0]):
        raise fault("give exactly one of: " + "; ".join(" and ".join(names) for names in choices))


MISFIT = 0.05
"""Share of the distance between the quartiles by which a distribution may miss one of them."""


def near_quartiles(name: str, median: float, quartiles: tuple[float, float], log: bool) -> None:
    """Raise unless a symmetric distribution (of the logarithm when `log`) with this median has these quartiles, or nearly so."""
    if not quartiles[0] < median < quartiles[1]:
        raise fault(f"median must lie between the quartiles {quartiles[0]:g} and {quartiles[1]:g}, got {median:g}")
    middle, low, high = (float(np.log(value)) if log else value for value in (median, *quartiles))
    half = (high - low) / 2
    if max(abs(middle - half - low), abs(middle + half - high)) > 2 * MISFIT * half:
        implied = [float(np.exp(value)) if log else value for value in (middle - half, middle + half)]
        stated = f"{quartiles[0]:g} and {quartiles[1]:g}"
        raise fault(
            f"a {name} with this median has quartiles {implied[0]:.3g} and {implied[1]:.3g}, not {stated}; use kind = 'quantiles', which has them"
        )


def rising(values: tuple[float, ...] | None, name: str) -> None:
    if values is not None and any(b <= a for a, b in itertools.pairwise(values)):
        raise fault(f"{name} must rise, got {list(values)}")


@DISTRIBUTIONS.register
class Normal(Distribution):
    """Normal, from mean and SD, or from median and quartiles."""

    kind: Literal["normal"] = "normal"
    mean: Finite | None = Field(default=None, description="mean")
    sd: Positive | None = Field(default=None, description="standard deviation")
    median: Finite | None = Field(default=None, description="median")
    iqr: tuple[Finite, Finite] | None = Field(default=None, strict=False, description="lower and upper quartile")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        exactly_one(self, ("mean", "sd"), ("median", "iqr"))
        rising(self.iqr, "iqr")
        if self.median is not None and self.iqr is not None:
            near_quartiles("normal", self.median, self.iqr, log=False)
        return self

    def from_normal(self, z: FloatArray) -> FloatArray:
        if self.iqr is not None and self.median is not None:
            return self.median + z * (self.iqr[1] - self.iqr[0]) / (2 * QUARTILE)
        return (self.mean or 0.0) + (self.sd or 0.0) * z


@DISTRIBUTIONS.register
class Lognormal(Distribution):
    """Log-normal, from mean and SD of the logarithm, from median and quartiles, or from mean and SD of the value itself."""

    kind: Literal["lognormal"] = "lognormal"
    mean_log: Finite | None = Field(default=None, description="mean of the natural logarithm")
    sd_log: Positive | None = Field(default=None, description="SD of the natural logarithm")
    median: Positive | None = Field(default=None, description="median")
    iqr: tuple[Positive, Positive] | None = Field(default=None, strict=False, description="lower and upper quartile")
    mean: Positive | None = Field(default=None, description="mean of the value")
    sd: Positive | None = Field(default=None, description="SD of the value")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        exactly_one(self, ("mean_log", "sd_log"), ("median", "iqr"), ("mean", "sd"))
        rising(self.iqr, "iqr")
        if self.median is not None and self.iqr is not None:
            near_quartiles("log-normal", self.median, self.iqr, log=True)
        return self

    def logarithm(self) -> tuple[float, float]:
        """Mean and SD of the natural logarithm."""
        if self.median is not None and self.iqr is not None:
            return float(np.log(self.median)), float(np.log(self.iqr[1] / self.iqr[0]) / (2 * QUARTILE))
        if self.mean is not None and self.sd is not None:
            variance = np.log1p((self.sd / self.mean) ** 2)
            return float(np.log(self.mean) - variance / 2), float(np.sqrt(variance))
        return self.mean_log or 0.0, self.sd_log or 0.0

    def from_normal(self, z: FloatArray) -> FloatArray:
        mean, sd = self.logarithm()
        return np.exp(mean + sd * z)


@DISTRIBUTIONS.register
class Truncated(Distribution):
    """Another distribution between two limits; what lies outside is not drawn."""

    kind: Literal["truncated"] = "truncated"
    of: Annotated[Distribution, DISTRIBUTIONS] = Field(description="the distribution that is cut, any other kind for a number")
    minimum: Finite | None = Field(default=None, description="lowest value")
    maximum: Finite | None = Field(default=None, description="highest value")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.of.levels is not None or self.of.kind in ("truncated", "bernoulli"):
            raise fault(f"cannot cut a distribution of kind {self.of.kind!r}")
        if self.minimum is None and self.maximum is None:
            raise fault("give minimum, maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise fault(f"minimum must be below maximum, got {self.minimum:g} and {self.maximum:g}")
        low, high = self._shares()
        if high - low < 1e-6:
            raise fault("hardly any of the distribution lies between these limits")
        return self

    def _shares(self) -> tuple[float, float]:
        """Share of the whole distribution below the lower and below the upper limit, by bisection on its quantiles."""
        return self._share(self.minimum, 0.0), self._share(self.maximum, 1.0)

    def _share(self, limit: float | None, without: float) -> float:
        if limit is None:
            return without
        low, high = -9.0, 9.0
        for _ in range(60):
            middle = (low + high) / 2
            value = self.of.from_normal(np.array([middle]))
            low, high = (middle, high) if isinstance(value, np.ndarray) and value[0] < limit else (low, middle)
        return float(ndtr((low + high) / 2))

    def from_normal(self, z: FloatArray) -> FloatArray:
        low, high = self._shares()
        value = self.of.from_normal(ndtri(low + (high - low) * ndtr(z)))
        assert isinstance(value, np.ndarray)
        return np.clip(value, self.minimum, self.maximum)


@DISTRIBUTIONS.register
class Gamma(Distribution):
    """Gamma, from mean and SD."""

    kind: Literal["gamma"] = "gamma"
    mean: Positive = Field(description="mean")
    sd: Positive = Field(description="standard deviation")

    def from_normal(self, z: FloatArray) -> FloatArray:
        shape = (self.mean / self.sd) ** 2
        return np.asarray(gammaincinv(shape, ndtr(z)) * self.mean / shape)


@DISTRIBUTIONS.register
class Beta(Distribution):
    """Beta between two limits, from mean and SD."""

    kind: Literal["beta"] = "beta"
    mean: Finite = Field(description="mean")
    sd: Positive = Field(description="standard deviation")
    minimum: Finite = Field(default=0.0, description="lowest value")
    maximum: Finite = Field(default=1.0, description="highest value")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.minimum < self.mean < self.maximum:
            raise fault(f"mean must lie between {self.minimum:g} and {self.maximum:g}, got {self.mean:g}")
        largest = np.sqrt((self.mean - self.minimum) * (self.maximum - self.mean))
        if self.sd >= largest:
            raise fault(f"sd must be below {largest:.3g} with this mean and these limits, got {self.sd:g}")
        return self

    def from_normal(self, z: FloatArray) -> FloatArray:
        width = self.maximum - self.minimum
        mean, variance = (self.mean - self.minimum) / width, (self.sd / width) ** 2
        size = mean * (1 - mean) / variance - 1
        return np.asarray(self.minimum + width * betaincinv(mean * size, (1 - mean) * size, ndtr(z)))


@DISTRIBUTIONS.register
class Quantiles(Distribution):
    """Through given quantiles: straight lines on the normal scale (of the logarithm when `log`), continued beyond the outermost."""

    kind: Literal["quantiles"] = "quantiles"
    probabilities: Many[OpenProbability] = Field(description="rising shares, such as [0.25, 0.5, 0.75]")
    values: Many[Finite] = Field(description="the quantiles at these shares")
    log: bool = Field(default=False, description="interpolate the logarithm, for a positive and skewed quantity such as CRP")
    minimum: Finite | None = Field(default=None, description="lowest value")
    maximum: Finite | None = Field(default=None, description="highest value")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.probabilities) != len(self.values) or len(self.values) < 2:
            raise fault(f"needs as many values as probabilities, at least two, got {len(self.values)} and {len(self.probabilities)}")
        rising(self.probabilities, "probabilities")
        if any(b < a for a, b in itertools.pairwise(self.values)):
            raise fault(f"values must not fall, got {list(self.values)}")
        if self.log and self.values[0] <= 0:
            raise fault("values must be greater than 0 on the log scale")
        low = -np.inf if self.minimum is None else self.minimum
        high = np.inf if self.maximum is None else self.maximum
        if low >= high:
            raise fault(f"minimum must be below maximum, got {low:g} and {high:g}")
        if not any(low <= value <= high for value in self.values):
            raise fault(f"some values must lie between minimum and maximum, {low:g} and {high:g}, got {list(self.values)}")
        return self

    def from_normal(self, z: FloatArray) -> FloatArray:
        knots, values = ndtri(np.array(self.probabilities)), np.array(self.values)
        heights = np.log(values) if self.log else values
        inside = np.interp(z, knots, heights)
        first = (heights[1] - heights[0]) / (knots[1] - knots[0])
        last = (heights[-1] - heights[-2]) / (knots[-1] - knots[-2])
        line = inside + first * np.minimum(z - knots[0], 0.0) + last * np.maximum(z - knots[-1], 0.0)
        value = np.asarray(np.exp(line) if self.log else line)
        return value if self.minimum is None and self.maximum is None else np.clip(value, self.minimum, self.maximum)
