"""What a laboratory reports of a patient's usual biomarker value: kinds of assay, one file each."""

from simtrials.trial.assays.base import ASSAYS, Assay
from simtrials.trial.assays.serial import Serial

__all__ = ["ASSAYS", "Assay", "Serial"]
