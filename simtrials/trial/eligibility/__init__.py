"""Who may be enrolled: kinds of rule."""

from simtrials.trial.eligibility.base import RULES, EligibilityRule
from simtrials.trial.eligibility.limits import Limits
from simtrials.trial.eligibility.other_reasons import OtherReasons

__all__ = ["RULES", "EligibilityRule", "Limits", "OtherReasons"]
