"""How large studies are: laws of the number of patients per arm, as quantiles of one uniform number."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import betainc, ndtr, ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component, Finite, Many, Positive, Within, fault
from simtrials.core.registry import Registry

ArmSize = Annotated[int, Within(2, 100_000)]


class ArmSizes(Component):
    """Declares the law of the number of patients per arm."""

    kind: str

    def quantile(self, luck: FloatArray) -> FloatArray:
        """Whole numbers of patients per arm at these probabilities."""
        raise TypeError(f"sizes of kind {self.kind!r} must define quantile")


SIZES = Registry("sizes", "law of sizes", ArmSizes)


@SIZES.register
class FixedSize(ArmSizes):
    """All studies are of one size."""

    kind: Literal["fixed"] = "fixed"
    n: ArmSize = Field(description="patients per arm")

    def quantile(self, luck: FloatArray) -> FloatArray:
        return np.full(luck.shape, float(self.n))


@SIZES.register
class OneOf(ArmSizes):
    """Each size of a list is as likely as it is frequent in the list."""

    kind: Literal["one_of"] = "one_of"
    values: Many[ArmSize] = Field(description="patients per arm of the studies that sizes are drawn from")

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if not self.values:
            raise fault("values must list at least one size")
        return self

    def quantile(self, luck: FloatArray) -> FloatArray:
        values = np.sort(np.array(self.values, dtype=np.float64))
        return np.asarray(values[np.minimum((luck * values.size).astype(np.int64), values.size - 1)])


@SIZES.register
class LogNormalSize(ArmSizes):
    """The logarithm of the size is normal; rounded, and kept between two limits by leaving out what lies beyond them."""

    kind: Literal["log_normal"] = "log_normal"
    mean_log: Finite = Field(description="mean of ln patients per arm")
    sd_log: Positive = Field(description="SD of ln patients per arm")
    at_least: ArmSize = Field(default=5, description="fewest patients per arm")
    at_most: ArmSize = Field(default=1000, description="most patients per arm")

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.at_most < self.at_least:
            raise fault(f"at_most must be at least at_least, got {self.at_most} and {self.at_least}")
        return self

    def quantile(self, luck: FloatArray) -> FloatArray:
        low, high = (ndtr((np.log(edge) - self.mean_log) / self.sd_log) for edge in (self.at_least - 0.5, self.at_most + 0.5))
        value = np.exp(self.mean_log + self.sd_log * ndtri(low + luck * (high - low)))
        return np.asarray(np.clip(np.rint(value), self.at_least, self.at_most))


@SIZES.register
class NegativeBinomialSize(ArmSizes):
    """Counts more spread than Poisson: variance mean + mean^2 / dispersion above the smallest size."""

    kind: Literal["negative_binomial"] = "negative_binomial"
    mean: Positive = Field(description="mean of patients per arm")
    dispersion: Positive = Field(description="shape; small values spread more")
    at_least: ArmSize = Field(default=2, description="fewest patients per arm, to which the count is added")

    @model_validator(mode="after")
    def _mean_above_the_least(self) -> Self:
        if self.mean <= self.at_least:
            raise fault(f"mean must be above at_least, got {self.mean:g} and {self.at_least}")
        return self

    def quantile(self, luck: FloatArray) -> FloatArray:
        beyond = self.mean - self.at_least
        share = self.dispersion / (self.dispersion + beyond)
        counts = np.arange(int(beyond + 40 * np.sqrt(beyond + beyond**2 / self.dispersion)) + 2)
        below = betainc(self.dispersion, counts + 1.0, share)
        return np.asarray(self.at_least + np.searchsorted(below, luck, side="left"), dtype=np.float64)
