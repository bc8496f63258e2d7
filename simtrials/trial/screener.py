"""The screening funnel: candidates are drawn until every replicate has enough who pass the rules."""

import numpy as np

from simtrials.core.arrays import AnyArray, patient_major, replicate_major
from simtrials.core.data import Screening
from simtrials.core.kernels import kernel
from simtrials.core.rng import Streams
from simtrials.trial.people import People
from simtrials.trial.prepare import PreparedTrial


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
            self.people = people if self.people is None else appended(self.people, people)
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


def appended(first: People, second: People) -> People:
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
