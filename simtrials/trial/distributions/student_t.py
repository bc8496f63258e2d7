"""Student's t around a center: what is believed of a number that was estimated with few degrees of freedom."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtr, stdtrit

from simtrials.core.arrays import FloatArray
from simtrials.core.check import Finite, Positive
from simtrials.trial.distributions.base import DISTRIBUTIONS, Distribution


@DISTRIBUTIONS.register
class StudentT(Distribution):
    """Student's t, moved and stretched: heavier tails than the normal with the same center and scale."""

    kind: Literal["student_t"] = "student_t"
    center: Finite = Field(description="median, and mean where df is above 1")
    scale: Positive = Field(description="what a standard t is multiplied by; the SD is larger, scale x sqrt(df / (df - 2)) where df is above 2")
    df: Positive = Field(description="degrees of freedom")

    def from_normal(self, z: FloatArray) -> FloatArray:
        lower_half = stdtrit(self.df, ndtr(-np.abs(z)))  # the lower tail keeps its digits
        return np.asarray(self.center - self.scale * np.sign(z) * lower_half)
