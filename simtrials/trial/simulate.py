"""A whole trial on one screen: screen, enrol, allocate, measure.

A `Cohort` is a block of trials under way. Enrolling 100 patients and then 100 more equals enrolling 200 to the bit, because every stream
goes on where it stopped.
"""

import numpy as np

from simtrials.core.arrays import ArmArray, FloatArray, patient_major
from simtrials.core.data import SimulatedTrial, TrialData
from simtrials.core.kernels import kernel
from simtrials.core.rng import BLOCK_SIZE, Streams
from simtrials.trial.endpoints.base import Benefit
from simtrials.trial.join import joined
from simtrials.trial.people import People
from simtrials.trial.prepare import PreparedTrial, SizedEffect, marker_of, stratum_codes
from simtrials.trial.screener import Screener


def simulate(
    trial: PreparedTrial, streams: Streams, n_replicates: int = BLOCK_SIZE, n_patients: int | None = None, force_arm: int | None = None
) -> SimulatedTrial:
    """A block of trials with all their patients; `force_arm` sends everybody to one arm, with the same luck."""
    cohort = Cohort(trial, streams, n_replicates, force_arm)
    cohort.enrol(n_patients or trial.trial.design.n_patients)
    return cohort.result()


class Cohort:
    """A block of trials to which patients can be added."""

    def __init__(self, trial: PreparedTrial, streams: Streams, n_replicates: int, force_arm: int | None = None) -> None:
        self.trial, self.streams, self.n_replicates, self.force_arm = trial, streams, n_replicates, force_arm
        self.screener = Screener(trial, streams, n_replicates)
        n_strata = int(np.prod([size for _, size in trial.strata])) if trial.strata else 1
        self.allocation = trial.trial.design.allocation.start(trial.trial.design.ratio, n_replicates, n_strata)
        self.n_patients = 0
        self._parts: list[SimulatedTrial] = []

    def enrol(self, n_more: int) -> None:
        """Screen until `n_more` patients are enrolled in every replicate, allocate and measure them."""
        people = self.screener.enrol(self.n_patients, n_more)
        shape = (self.n_replicates, n_more)
        stratum = stratum_codes(self.trial.strata, people) if self.trial.strata else np.broadcast_to(np.int16(0), shape)
        arm = self.allocation.assign(self.streams, stratum)
        if self.force_arm is not None:
            arm = np.full(arm.T.shape, self.force_arm, dtype=np.int8).T
        luck = self.trial.factor.draw(self.streams, *shape)
        for name, course in self.trial.courses.items():
            informed = course.baseline_luck(people, luck[name][:, 0].T)
            if informed is not None:
                luck[name][:, 0] = informed.T
        measured = {}
        for name, course in self.trial.courses.items():
            benefit = self._benefit(self.trial.effects[name], arm, people)
            deviation = self.trial.factor.deviations(name, luck)
            value = course.values(deviation, patient_major(arm), benefit, people, slice(None))
            measured[name] = course.packed(value, course.baseline(deviation), None, people)
        data = TrialData(self.trial.trial.design.arms, arm, stratum, {name: people[name] for name in self.trial.columns}, measured)
        self.n_patients += n_more
        self._parts.append(SimulatedTrial(data, people, self.screener.funnel(self.n_patients)))

    def _benefit(self, effects: tuple[SizedEffect, ...], arm: ArmArray, people: People) -> Benefit:
        """What the drug does to each patient in the patient's arm; luck is drawn whether or not the patient gets the drug."""
        n_visits = max((sized.onset.size for sized in effects), default=1)
        by_arm = np.zeros((len(self.trial.trial.design.arms), n_visits))
        layers, onsets = [], []
        for sized in effects:
            if not sized.effect.needs_biomarker:
                by_arm[sized.arm] = sized.size * sized.onset
                continue
            marker = marker_of(sized.effect, self.trial.laboratories, people)
            luck = sized.effect.draw(sized.path, self.streams, *marker.shape)
            shape = patient_major(sized.effect.shape(marker, luck.get(sized.path)))
            layers.append(_in_one_arm(patient_major(arm), sized.arm, sized.size, shape))
            onsets.append(sized.onset)
        if not layers:
            return Benefit(by_arm, np.zeros((0, arm.shape[1], arm.shape[0])), np.zeros((0, n_visits)))
        return Benefit(by_arm, layers[0][np.newaxis] if len(layers) == 1 else np.stack(layers), np.stack(onsets))

    def result(self) -> SimulatedTrial:
        """The trials with everybody enrolled so far."""
        return self._parts[0] if len(self._parts) == 1 else joined(self._parts)


@kernel
def _in_one_arm(arm: ArmArray, code: int, size: float, shape: FloatArray) -> FloatArray:
    """(P, R) size times shape for patients of one arm, 0 for others."""
    out = np.empty(shape.shape)
    for p in range(arm.shape[0]):
        for r in range(arm.shape[1]):
            out[p, r] = size * shape[p, r] if arm[p, r] == code else 0.0
    return out
