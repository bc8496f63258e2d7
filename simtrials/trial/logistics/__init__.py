"""What a trial takes besides patients: time and money. Neither changes what is measured."""

from simtrials.trial.logistics.costs import Costs
from simtrials.trial.logistics.recruitment import MONTH, Recruitment

__all__ = ["MONTH", "Costs", "Recruitment"]
