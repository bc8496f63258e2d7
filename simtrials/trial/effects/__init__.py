"""How a drug acts over the biomarker and over time: kinds of effect."""

from simtrials.trial.effects.base import EFFECTS, Effect
from simtrials.trial.effects.kinds import Constant, Crossover, Emax, LogLinear, ResponderMixture, Threshold

__all__ = ["EFFECTS", "Constant", "Crossover", "Effect", "Emax", "LogLinear", "ResponderMixture", "Threshold"]
