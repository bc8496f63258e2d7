"""What happens in one trial: who is screened, enrolled, allocated and measured."""

from simtrials.trial.calibrate import prepare
from simtrials.trial.prepare import PreparedTrial
from simtrials.trial.simulate import Cohort, simulate
from simtrials.trial.trial import EndpointCorrelation, Trial

__all__ = ["Cohort", "EndpointCorrelation", "PreparedTrial", "Trial", "prepare", "simulate"]
