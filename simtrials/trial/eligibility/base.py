"""What every eligibility rule offers."""

from simtrials.core.arrays import BoolArray
from simtrials.core.check import Component
from simtrials.core.registry import Registry
from simtrials.core.rng import Streams
from simtrials.trial.people import Luck, People


class EligibilityRule(Component):
    """Declares a rule that a candidate must meet."""

    kind: str

    @property
    def label(self) -> str:
        """The rule in words, as the funnel names it."""
        raise TypeError(f"a rule of kind {self.kind!r} must define label")

    def draw(self, streams: Streams, n_replicates: int, n_candidates: int) -> Luck:
        """Luck that the rule itself needs."""
        return {}

    def met(self, people: People) -> BoolArray:
        """(R, C) true for candidates who meet the rule."""
        raise TypeError(f"a rule of kind {self.kind!r} must define met")


RULES = Registry("eligibility", "rule", EligibilityRule, default="limits")


def judged(name: str) -> str:
    """Name of the provider that gives what a rule looks at: a list of (R, C) readings, and whether all or any must meet it."""
    return f"judged:{name}"
