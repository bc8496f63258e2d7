"""A whole trial on one screen: screen, enrol, allocate, measure.

A `Cohort` is a block of trials under way. Enrolling 100 patients and then 100 more equals enrolling 200 to the bit, because every stream
goes on where it stopped.
"""

from dataclasses import replace

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, patient_major, replicate_major
from simtrials.core.data import Measurements, Screening, SimulatedTrial, TrialData
from simtrials.core.expressions import Category, Column
from simtrials.core.kernels import kernel
from simtrials.core.rng import BLOCK_SIZE, Streams
from simtrials.trial.endpoints.base import Benefit
from simtrials.trial.people import People
from simtrials.trial.prepare import PreparedTrial, SizedEffect, marker_of, stratum_codes


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
            measured[name] = course.measure(self.trial.factor.deviations(name, luck), patient_major(arm), benefit, people)
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


class Screener:
    """Draws candidates until every replicate has enough who pass, and remembers who they were."""

    def __init__(self, trial: PreparedTrial, streams: Streams, n_replicates: int) -> None:
        self.trial, self.streams, self.n_replicates = trial, streams, n_replicates
        self.people: People | None = None
        self.reason = np.zeros((0, n_replicates), dtype=np.int8)
        self.n_passed = 0

    def enrol(self, start: int, n_more: int) -> People:
        """The patients enrolled `start`-th to `start + n_more`-th, (R, n_more)."""
        if not self.trial.trial.eligibility:
            return self.trial.draw(self.streams, self.n_replicates, n_more)
        self._screen_until(start + n_more)
        place = _places(self.reason, start, n_more)
        assert self.people is not None
        return self.people.take(lambda values: replicate_major(np.take_along_axis(patient_major(values), place, axis=0)))

    def _screen_until(self, needed: int) -> None:
        rate = self.trial.pass_rate
        while self.n_passed < needed:
            missing = needed - self.n_passed
            n_candidates = int(np.ceil(missing / rate + 4 * np.sqrt(missing * (1 - rate)) / rate)) + 8
            people = self.trial.draw(self.streams, self.n_replicates, n_candidates)
            self.reason = np.concatenate([self.reason, patient_major(self._reasons(people, n_candidates))])
            self.people = people if self.people is None else _appended(self.people, people)
            self.n_passed = int((self.reason == 0).sum(axis=0).min())

    def _reasons(self, people: People, n_candidates: int) -> AnyArray:
        """(R, C) 0 for candidates who pass, else the number of the first rule they fail."""
        reason: AnyArray = np.zeros((n_candidates, self.n_replicates), dtype=np.int8).T
        for i, rule in reversed(list(enumerate(self.trial.trial.eligibility, start=1))):
            reason = np.where(rule.met(people), reason, np.int8(i))
        return reason

    def funnel(self, n_patients: int) -> Screening:
        """How many were screened for the first `n_patients` enrolled, and who failed which rule."""
        rules = self.trial.trial.eligibility
        if not rules:
            return Screening(np.full(self.n_replicates, n_patients), {})
        counts = _funnel(self.reason, n_patients, len(rules))
        return Screening(counts.sum(axis=0), {rule.label: counts[i + 1] for i, rule in enumerate(rules)})


def _appended(first: People, second: People) -> People:
    luck = {name: np.concatenate([values.T, second.luck[name].T]).T for name, values in first.luck.items()}
    return People(luck, first.providers)


@kernel
def _places(reason: AnyArray, start: int, n_more: int) -> AnyArray:
    """(n_more, R) positions of the candidates (C, R) who are the start-th to the (start + n_more)-th to pass."""
    replicates = reason.shape[1]
    place = np.empty((n_more, replicates), dtype=np.int64)
    seen = np.zeros(replicates, dtype=np.int64)
    for c in range(reason.shape[0]):
        for r in range(replicates):
            if reason[c, r] == 0:
                rank = seen[r] - start
                if 0 <= rank < n_more:
                    place[rank, r] = c
                seen[r] += 1
    return place


@kernel
def _funnel(reason: AnyArray, n_patients: int, n_rules: int) -> AnyArray:
    """(n_rules + 1, R) candidates by reason, up to the one who fills the sample; row 0 are the enrolled."""
    replicates = reason.shape[1]
    counts = np.zeros((n_rules + 1, replicates), dtype=np.int64)
    for c in range(reason.shape[0]):
        for r in range(replicates):
            if counts[0, r] < n_patients:
                counts[reason[c, r], r] += 1
    return counts


def joined(parts: list[SimulatedTrial]) -> SimulatedTrial:
    """Trials whose patients were enrolled in several goes, as one."""
    data = [part.data for part in parts]
    whole = replace(
        data[0],
        arm=_joined([d.arm for d in data]),
        stratum=_joined([d.stratum for d in data]),
        columns={name: _joined_columns([d.columns[name] for d in data]) for name in data[0].columns},
        endpoints={name: _joined_measurements([d.endpoints[name] for d in data]) for name in data[0].endpoints},
    )
    hidden = parts[0].hidden
    for part in parts[1:]:
        assert isinstance(hidden, People)
        assert isinstance(part.hidden, People)
        hidden = _appended(hidden, part.hidden)
    return SimulatedTrial(whole, hidden, parts[-1].screening)


def _joined(arrays: list[AnyArray]) -> AnyArray:
    """(R, P, ...) arrays one after another along the patients, kept patient by patient in memory."""
    return replicate_major(np.concatenate([array.swapaxes(0, 1) for array in arrays]))


def _joined_columns(columns: list[Column]) -> Column:
    first = columns[0]
    if isinstance(first, Category):
        return Category(_joined([column.codes for column in columns if isinstance(column, Category)]), first.levels)
    return _joined([column for column in columns if not isinstance(column, Category)])


def _joined_measurements(parts: list[Measurements]) -> Measurements:
    return replace(
        parts[0],
        value=_joined([part.value for part in parts]),
        observed=_joined([part.observed for part in parts]),
        baseline=_joined_readings([part.baseline for part in parts]),
        screening=_joined_readings([part.screening for part in parts]),
    )


def _joined_readings(readings: list[FloatArray | None]) -> FloatArray | None:
    known = [reading for reading in readings if reading is not None]
    return _joined(known) if known else None
