"""What is measured on a patient: kinds of endpoint, one file each."""

from simtrials.trial.endpoints.adverse_event import AdverseEvent
from simtrials.trial.endpoints.base import ENDPOINTS, Course, Endpoint, Latent
from simtrials.trial.endpoints.binary import Binary
from simtrials.trial.endpoints.continuous import Continuous
from simtrials.trial.endpoints.scale import SymptomScale
from simtrials.trial.endpoints.scales import SCALES

__all__ = ["ENDPOINTS", "SCALES", "AdverseEvent", "Binary", "Continuous", "Course", "Endpoint", "Latent", "SymptomScale"]
