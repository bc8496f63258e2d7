"""An estimand: the strategy for each intercurrent event. Population, treatments, variable and summary are those of the analysis that names it."""

from typing import Literal

from pydantic import Field

from simtrials.core.check import Component

Strategy = Literal["treatment_policy", "hypothetical", "composite", "while_on_treatment"]
STRATEGIES: dict[Strategy, str] = {
    "treatment_policy": "whatever happens: the outcome counts also after the event",
    "hypothetical": "had the event not happened",
    "composite": "the event is a failure: no response, no remission",
    "while_on_treatment": "until the event: the last value before it counts",
}
"""Strategies in words.

Source: ICH E9(R1) 2019, section A.3.2.
"""


class Estimand(Component):
    """Declares a strategy for every intercurrent event."""

    strategy: Strategy = Field(default="treatment_policy", description="strategy for every event that `events` does not name")
    events: dict[str, Strategy] = Field(default_factory=dict, description="strategy by the name of the event")
    label: str = Field(default="", description="how tables call it")

    def strategy_for(self, event: str) -> Strategy:
        """The strategy for an event."""
        return self.events.get(event, self.strategy)

    def events_with(self, strategy: Strategy, events: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the events that have this strategy."""
        return tuple(event for event in events if self.strategy_for(event) == strategy)


TREATMENT_POLICY = Estimand()
