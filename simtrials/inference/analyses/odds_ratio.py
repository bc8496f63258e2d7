"""Ratio of two odds."""

from typing import Literal

from simtrials.core.data import EffectScale
from simtrials.inference.analyses.base import ANALYSES
from simtrials.inference.analyses.risk_ratio import Ratio


@ANALYSES.register
class OddsRatio(Ratio):
    """Log odds ratio without covariates."""

    kind: Literal["odds_ratio"] = "odds_ratio"

    @property
    def scale_of_effect(self) -> EffectScale:
        return "log_odds_ratio"

    @property
    def method(self) -> str:
        return "odds ratio, Woolf" if self.test == "wald" else "odds ratio, score test"
