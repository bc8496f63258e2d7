"""How the results of a study are made: from patients, or from the sampling distributions of its summaries."""

from simtrials.evidence.fidelities.base import FIDELITIES, Fidelity, Maker, Plan
from simtrials.evidence.fidelities.patients import Patients
from simtrials.evidence.fidelities.summaries import Summaries

__all__ = ["FIDELITIES", "Fidelity", "Maker", "Patients", "Plan", "Summaries"]
