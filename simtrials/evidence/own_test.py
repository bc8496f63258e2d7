"""The test that a study makes of its own results."""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.evidence.table import ArmNumbers, Measured
from simtrials.stats.quantiles import normal_p_value, t_p_value


class Tested(NamedTuple):
    """Two-sided p-value, and whether the active arm is better or worse, (m,) each; a study that cannot be tested has p-value NaN and is neither."""

    p_value: FloatArray
    better: BoolArray
    worse: BoolArray

    def benefit(self, alpha: float) -> BoolArray:
        """Significant in the direction of benefit."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.p_value < alpha) & self.better)


def own_result(numbers: ArmNumbers, measured: Measured, welch: bool = False) -> Tested:
    """Student's t test of two means (Welch's where variances may differ), or the pooled z test of two risks.

    Parameters
    ----------
    numbers : (..., 2) arms control and active
    """
    n, mean = numbers.n, numbers.mean
    difference = measured.sign * (mean[..., 1] - mean[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        if measured.binary:
            pooled = (n * mean).sum(axis=-1) / n.sum(axis=-1)
            error = np.sqrt(pooled * (1 - pooled) * (1 / n).sum(axis=-1))
            p_value = normal_p_value(difference / error)
        else:
            squares = numbers.sd**2
            df = n.sum(axis=-1) - 2
            if not welch:
                error = np.sqrt(((n - 1) * squares).sum(axis=-1) / df * (1 / n).sum(axis=-1))
            else:
                parts = squares / n
                error = np.sqrt(parts.sum(axis=-1))
                df = parts.sum(axis=-1) ** 2 / (parts**2 / (n - 1)).sum(axis=-1)
            p_value = t_p_value(difference / error, df)
        return Tested(p_value, np.asarray(difference > 0), np.asarray(difference < 0))
