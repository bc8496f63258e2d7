"""How patients and ratings depart from the plan: intercurrent events, missing observations, and faults of measurement, one file each.

What happens to a patient (an intercurrent event) and what is not recorded (a missing observation) are kept apart.
"""

from simtrials.trial.departures.base import DEPARTURES, Departure, Ready
from simtrials.trial.departures.events import Discontinuation, IntercurrentEvent, NonAdherence, Rescue
from simtrials.trial.departures.measurement import BaselineInflation, RaterNoise, Unblinding
from simtrials.trial.departures.missing import Dropout, Gaps
from simtrials.trial.departures.sites import Sites

__all__ = [
    "DEPARTURES",
    "BaselineInflation",
    "Departure",
    "Discontinuation",
    "Dropout",
    "Gaps",
    "IntercurrentEvent",
    "NonAdherence",
    "RaterNoise",
    "Ready",
    "Rescue",
    "Sites",
    "Unblinding",
]
