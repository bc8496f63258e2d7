"""An estimand: population, treatments, variable, strategy for each intercurrent event, and summary measure."""

from typing import Literal

from pydantic import Field

from simtrials.core.check import Component, PositiveWeeks
from simtrials.core.data import EffectScale

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

Summary = Literal["difference_in_means", "risk_difference", "risk_ratio", "odds_ratio"]
SCALE_OF: dict[Summary, EffectScale] = {
    "difference_in_means": "difference",
    "risk_difference": "risk_difference",
    "risk_ratio": "log_risk_ratio",
    "odds_ratio": "log_odds_ratio",
}


class Estimand(Component):
    """Declares the five attributes of a question. What is left out is taken from the analysis that names the estimand.

    With a summary measure the true value is that contrast of the two arms over the whole population, whatever the analysis estimates.
    """

    population: str | None = Field(
        default=None, description="condition on what was measured before randomisation, such as 'crp >= 3'; default: everybody enrolled"
    )
    arm: str | None = Field(default=None, description="treatment compared with control")
    endpoint: str | None = Field(default=None, description="endpoint of the variable")
    outcome: str | None = Field(default=None, description="variable: change, response, remission ...")
    week: PositiveWeeks | None = Field(default=None, description="visit of the variable")
    summary: Summary | None = Field(default=None, description="summary measure of the two arms")
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
