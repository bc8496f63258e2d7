"""Kinds of outcome selection: which scale, time point or outcome is reported under one name."""

from typing import Literal

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.check import OpenProbability
from simtrials.core.rng import Streams
from simtrials.evidence.reporting.base import OUTCOME_SELECTIONS, OutcomeSelection


@OUTCOME_SELECTIONS.register
class FirstSignificant(OutcomeSelection):
    """The outcome of the protocol if it is significant, else the first other one that is, else that of the protocol."""

    kind: Literal["first_significant"] = "first_significant"
    alpha: OpenProbability = Field(default=0.05, description="two-sided level at which a result is significant")

    def chosen(self, tests: FloatArray, better: AnyArray, streams: Streams) -> AnyArray:
        with np.errstate(invalid="ignore"):
            shows = (tests < self.alpha) & better
        return np.where(shows.any(axis=0), shows.argmax(axis=0), 0)


@OUTCOME_SELECTIONS.register
class MostFavorable(OutcomeSelection):
    """The outcome with the smallest one-sided p-value, significant or not."""

    kind: Literal["most_favorable"] = "most_favorable"

    def chosen(self, tests: FloatArray, better: AnyArray, streams: Streams) -> AnyArray:
        one_sided = np.where(better, tests / 2, 1 - tests / 2)
        return np.asarray(np.where(np.isnan(one_sided), np.inf, one_sided).argmin(axis=0))
