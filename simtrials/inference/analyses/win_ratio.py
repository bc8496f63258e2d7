"""Pairwise comparison by outcomes in order of importance."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.check import Component, Many, NonNegative, PositiveWeeks, fault
from simtrials.core.data import EffectScale, Estimates, TrialData
from simtrials.core.outcomes import OUTCOMES
from simtrials.inference.analyses.base import ANALYSES, Analysis, View
from simtrials.stats.win_ratio import Level, WinEstimate, compare_pairs, net_benefit, win_odds, win_ratio

WinMeasure = Literal["win_ratio", "win_odds", "net_benefit"]
SCALES: dict[WinMeasure, EffectScale] = {"win_ratio": "log_win_ratio", "win_odds": "log_win_odds", "net_benefit": "net_benefit"}
WORDS: dict[WinMeasure, str] = {"win_ratio": "win ratio", "win_odds": "win odds", "net_benefit": "net benefit"}


class WinLevel(Component):
    """One outcome by which two patients are compared."""

    outcome: str = Field(description="response, remission, change ...")
    endpoint: str | None = Field(default=None, description="endpoint; default: that of the analysis")
    week: PositiveWeeks | None = Field(default=None, description="visit; default: that of the analysis, or the last of another endpoint")
    margin: NonNegative = Field(default=0.0, description="difference up to which two patients are tied, in the unit of the outcome")


@ANALYSES.register
class WinRatio(Analysis):
    """Every patient on active against every one on control: the first outcome on which they differ decides who wins."""

    kind: Literal["win_ratio"] = "win_ratio"
    levels: Many[WinLevel] = Field(
        default=(WinLevel(outcome="response"), WinLevel(outcome="change")), description="outcomes, the most important first"
    )
    measure: WinMeasure = Field(default="win_ratio", description="wins over losses; win_odds and net_benefit count ties")
    stratified: bool = Field(default=False, description="compare only patients of the same stratum of the allocation")
    test: Literal["wald", "null"] = Field(default="wald", description="standard error of the test: wald as in the interval; null: without any effect")

    @model_validator(mode="after")
    def _compares_something(self) -> Self:
        if not self.levels:
            raise fault("levels: name at least one outcome")
        unknown = [level.outcome for level in self.levels if level.outcome not in OUTCOMES]
        if unknown:
            raise fault(f"levels: no outcome called {unknown[0]!r}; known: {', '.join(OUTCOMES)}")
        return self

    @property
    def scale_of_effect(self) -> EffectScale:
        return SCALES[self.measure]

    @property
    def marginal(self) -> bool:
        return False

    @property
    def one_procedure(self) -> bool:
        return self.test == "wald"

    @property
    def method(self) -> str:
        over = ", then ".join(level.outcome.replace("_", " ") for level in self.levels)
        return f"{WORDS[self.measure]} by {over}" + (", stratified" if self.stratified else "")

    def estimate(self, data: TrialData) -> Estimates:
        view = self.view(data)
        levels = [_level(self, view, level) for level in self.levels]
        stratum = np.where(view.arm >= 0, data.stratum, -1) if self.stratified else None
        pairs = compare_pairs(levels, view.arm, view.active, stratum)
        measure = {"win_ratio": win_ratio, "win_odds": win_odds, "net_benefit": net_benefit}[self.measure]
        found: WinEstimate = measure(pairs)
        infinite = np.full(found.estimate.shape, np.inf)
        spread = found.std_error if self.test == "wald" else found.null_std_error
        return Estimates(found.estimate, found.std_error, found.estimate / spread, infinite, found.status, self.scale_of_effect)


def _level(analysis: WinRatio, view: View, level: WinLevel) -> Level:
    """The values of a level, treated as the analysis treats its own outcome."""
    week = level.week or (analysis.week if level.endpoint in (None, analysis.endpoint) else None)
    changes = {"endpoint": level.endpoint or analysis.endpoint, "outcome": level.outcome, "week": week}
    other = analysis.model_copy(update=changes).view(view.data)
    return Level(other.value, other.sign > 0, level.margin)
