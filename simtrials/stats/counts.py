"""Counting events by arm, for many replicates at once."""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, patient_major
from simtrials.core.kernels import kernel


class EventCounts(NamedTuple):
    """Events and patients by arm, (replicate,) each, in the order that the functions of `proportions` take them."""

    events_active: FloatArray
    n_active: FloatArray
    events_control: FloatArray
    n_control: FloatArray


@kernel
def _count(outcome: FloatArray, arm: ArmArray, active: int, counts: FloatArray) -> None:
    for p in range(outcome.shape[0]):
        for r in range(outcome.shape[1]):
            y = outcome[p, r]
            treated = (arm[p, r] == active) & (y == y)
            control = (arm[p, r] == 0) & (y == y)
            counts[0, r] += y if treated else 0.0
            counts[1, r] += 1.0 if treated else 0.0
            counts[2, r] += y if control else 0.0
            counts[3, r] += 1.0 if control else 0.0


def event_counts(outcome: FloatArray, arm: AnyArray, active: int) -> EventCounts:
    """Events and patients in the active and in the control arm.

    Parameters
    ----------
    outcome : (replicate, patient) 1 for the event, 0 without, NaN where unknown
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    """
    counts = np.zeros((4, outcome.shape[0]))
    _count(patient_major(outcome), patient_major(arm), active, counts)
    return EventCounts(*counts)
