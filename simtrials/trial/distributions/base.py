"""What every marginal distribution offers."""

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Component
from simtrials.core.expressions import Column
from simtrials.core.registry import Registry


class Distribution(Component):
    """Declares the distribution of one covariate."""

    kind: str

    @property
    def levels(self) -> tuple[str, ...] | None:
        """Names of the categories, None for a number."""
        return None

    def from_normal(self, z: FloatArray) -> Column:
        """The quantile at Phi(z), for standard normal z of any shape."""
        raise TypeError(f"a distribution of kind {self.kind!r} must define from_normal")


DISTRIBUTIONS = Registry("distributions", "distribution", Distribution)
