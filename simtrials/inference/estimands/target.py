"""What the truth of an estimand is read off: one outcome of one endpoint at one visit, in two arms of a population, and how they are contrasted."""

from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.data import EffectScale, TrialData
from simtrials.core.expressions import parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.inference.estimands.estimand import SCALE_OF, Estimand


@dataclass(frozen=True, slots=True)
class Target:
    """An estimand with all its attributes known."""

    endpoint: str
    outcome: str
    week: float
    arm: str
    population: str | None
    scale: EffectScale
    estimand: Estimand

    @classmethod
    def of(cls, estimand: Estimand, endpoint: str, outcome: str, week: float, arm: str, population: str | None, scale: EffectScale) -> "Target":
        """The attributes that the estimand declares; the others as given."""
        return cls(
            endpoint=estimand.endpoint or endpoint,
            outcome=estimand.outcome or outcome,
            week=estimand.week if estimand.week is not None else week,
            arm=estimand.arm or arm,
            population=estimand.population or population,
            scale=SCALE_OF[estimand.summary] if estimand.summary else scale,
            estimand=estimand,
        )

    def sums(self, data: TrialData) -> tuple[FloatArray, int]:
        """(2, R) sum of the outcome and number of patients in the population, everybody in one arm; and the direction of benefit."""
        measured, outcome = data.endpoints[self.endpoint], OUTCOMES[self.outcome]
        value = outcome.read(measured, self.week)
        here = (data.arm >= 0) & ~np.isnan(value)
        if self.population is not None:
            here &= parse(self.population).truth(data.columns)
        return np.stack([value.sum(axis=1, where=here), here.sum(axis=1)]), outcome.benefit_sign(measured)
