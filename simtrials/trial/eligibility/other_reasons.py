"""Everything else that keeps candidates out, as one probability."""

from typing import Literal

from pydantic import Field

from simtrials.core.arrays import BoolArray
from simtrials.core.check import Probability
from simtrials.core.rng import Streams, uniforms
from simtrials.trial.eligibility.base import RULES, EligibilityRule
from simtrials.trial.people import Luck, People


@RULES.register
class OtherReasons(EligibilityRule):
    """A share of candidates fails for reasons that are not modelled."""

    kind: Literal["other_reasons"] = "other_reasons"
    failure_probability: Probability = Field(description="probability that a candidate fails for any other reason")
    name: str = Field(default="other reasons", description="how the funnel calls them")

    @property
    def label(self) -> str:
        return self.name

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        path = f"eligibility.{self.name}"
        return {path: uniforms(streams[path], (n_replicates, n_candidates))}

    def met(self, people: People) -> BoolArray:
        return people.luck[f"eligibility.{self.name}"] >= self.failure_probability
