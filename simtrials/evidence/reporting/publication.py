"""Kinds of publication: by p-value in steps or smoothly, by sign, by funder, and the settings of a published simulation study."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.check import NonNegative, OpenProbability, Positive, Probability
from simtrials.evidence.own_test import Tested
from simtrials.evidence.reporting.base import PUBLICATIONS, ByTest, Publication
from simtrials.evidence.studies.base import FUNDERS


@PUBLICATIONS.register
class ByPValue(ByTest):
    """Significant results in the direction of benefit are published; others with a probability."""

    kind: Literal["by_p_value"] = "by_p_value"
    alpha: OpenProbability = Field(default=0.05, description="two-sided level at which a result is significant")
    significant: Probability = Field(default=1.0, description="probability when significant in the direction of benefit")
    not_significant: Probability = Field(description="probability when not significant, or significant harm")
    harm: Probability | None = Field(default=None, description="probability when significant in the direction of harm; default: as not_significant")

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        chance = np.where(result.benefit(self.alpha), self.significant, self.not_significant)
        if self.harm is None:
            return chance
        with np.errstate(invalid="ignore"):
            return np.where((result.p_value < self.alpha) & ~result.better, self.harm, chance)


@PUBLICATIONS.register
class Smooth(ByTest):
    """The probability falls with the one-sided p-value p: exp(-decline p^shape), never below a floor."""

    kind: Literal["smooth"] = "smooth"
    decline: NonNegative = Field(description="how steeply it falls; 0 is no selection")
    shape: Positive = Field(default=1.0, description="power of the p-value")
    floor: Probability = Field(default=0.0, description="lowest probability")

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        p = np.where(result.better, result.p_value / 2, 1 - result.p_value / 2)
        p = np.where(np.isnan(p), 1.0, p)
        return np.maximum(np.exp(-self.decline * p**self.shape), self.floor)


@PUBLICATIONS.register
class BySign(Publication):
    """Results that favor control are published with a probability, all others for certain."""

    kind: Literal["by_sign"] = "by_sign"
    unfavorable: Probability = Field(description="probability when the estimate favors control")

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        return np.where(result.worse, self.unfavorable, 1.0)


@PUBLICATIONS.register
class ByFunder(ByTest):
    """Results that show no benefit are published with a probability that depends on who paid."""

    kind: Literal["by_funder"] = "by_funder"
    alpha: OpenProbability = Field(default=0.05, description="two-sided level at which a result is significant")
    not_significant: dict[Literal["public", "industry"], Probability] = Field(description="probability by funder; who is not named publishes all")

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        chances = np.array([self.not_significant.get(name, 1.0) for name in FUNDERS])
        return np.where(result.benefit(self.alpha), 1.0, chances[funder])


@PUBLICATIONS.register
class Carter2019(ByTest):
    """The publication bias of Carter and colleagues 2019: certain below p = .05, falling until .10; wrong signs rarely.

    Source: Carter, Schonbrodt, Gervais and Hilgard (2019), Advances in Methods and Practices in Psychological Science 2, 115-144, and its code.
    """

    kind: Literal["carter_2019"] = "carter_2019"
    strength: Literal["medium", "strong"] = Field(description="their medium or strong publication bias")

    def of_result(self, result: Tested, funder: AnyArray) -> FloatArray:
        not_significant, wrong, counter = {"medium": (0.20, 0.05, 0.50), "strong": (0.05, 0.0, 0.20)}[self.strength]
        p = np.where(np.isnan(result.p_value), 1.0, result.p_value)
        right = np.where(p < 0.05, 1.0, np.where(p < 0.10, _eased(p, 0.05, 0.10, 1.0, not_significant), not_significant))
        against = np.where(p < 0.001, counter, np.where(p < 0.01, _eased(p, 0.001, 0.01, counter, wrong), wrong))
        return np.where(result.better, right, against)


def _eased(p: FloatArray, start: float, end: float, before: float, after: float) -> FloatArray:
    """From one level to another, fast at first: before + (after - before) (1 - 2^(-10 u))."""
    return np.asarray(before + (after - before) * (1 - 2.0 ** (-10 * (p - start) / (end - start))))
