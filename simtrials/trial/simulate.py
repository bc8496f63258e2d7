"""A whole trial on one screen: screen, enrol, allocate, follow.

A `Cohort` is a block of trials under way. Enrolling 100 patients and then 100 more equals enrolling 200 to the bit, because every stream
goes on where it stopped.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, patient_major, replicate_major
from simtrials.core.data import SimulatedTrial, TrialData
from simtrials.core.kernels import kernel
from simtrials.core.rng import BLOCK_SIZE, Streams, uniforms
from simtrials.trial.endpoints import SymptomScale
from simtrials.trial.endpoints.base import Benefit
from simtrials.trial.following import Admitted, follow, noise_of_raters, recorded_baseline
from simtrials.trial.join import joined
from simtrials.trial.people import People
from simtrials.trial.prepare import PreparedTrial, SizedEffect, marker_of, stratum_codes
from simtrials.trial.screener import Screener


def simulate(
    trial: PreparedTrial,
    streams: Streams,
    n_replicates: int = BLOCK_SIZE,
    n_patients: int | None = None,
    force_arm: int | None = None,
    without: Collection[str] = (),
    complete: bool = False,
    assigned: ArmArray | None = None,
    strength: Mapping[str, FloatArray] | None = None,
) -> SimulatedTrial:
    """A block of trials with all their patients, all with the same luck whatever is asked for.

    `force_arm` sends everybody to one arm; `without` names departures that do not happen; with `complete` everything is observed.
    `assigned` (R, P) are arms given in advance, -1 for nobody; `strength` (R,) multiplies the effects on an endpoint, by its name, in each trial.
    """
    cohort = Cohort(trial, streams, n_replicates, force_arm, without, complete, assigned, strength)
    cohort.enrol(n_patients or trial.trial.design.n_patients)
    return cohort.result()


class Cohort:
    """A block of trials to which patients can be added."""

    def __init__(
        self,
        trial: PreparedTrial,
        streams: Streams,
        n_replicates: int,
        force_arm: int | None = None,
        without: Collection[str] = (),
        complete: bool = False,
        assigned: ArmArray | None = None,
        strength: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self.trial, self.streams, self.n_replicates = trial, streams, n_replicates
        self.force_arm, self.without, self.complete = force_arm, without, complete
        self.assigned, self.strength = assigned, strength or {}
        self.screener = Screener(trial, streams, n_replicates)
        scheme, ratio = trial.trial.design.allocation, trial.trial.design.ratio
        n_strata = int(np.prod([size for _, size in trial.strata])) if trial.strata else 1
        self.allocation = scheme.start(ratio, n_replicates, n_strata)
        self.redraw = partial(scheme.redraw, ratio=ratio, n_strata=n_strata)
        self.sites = trial.sites[1].start(f"departures.{trial.sites[0]}", streams, n_replicates) if trial.sites else None
        self.n_patients = 0
        self._parts: list[SimulatedTrial] = []

    def enrol(self, n_more: int) -> None:
        """Screen until `n_more` patients are enrolled in every replicate, allocate them, and follow them to the end."""
        admitted, stratum = self.admit(n_more)
        followed = follow(self.trial.plan, admitted, self.streams, self.without, self.complete)
        people, arms = admitted.people, self.trial.trial.design.arms
        columns = {name: people[name] for name in self.trial.columns}
        data = TrialData(arms, replicate_major(admitted.arm), stratum, columns, followed.measured, followed.seen, self.redraw)
        self._parts.append(SimulatedTrial(data, people, self.screener.funnel(self.n_patients), followed.happened))

    def admit(self, n_more: int) -> tuple[Admitted, AnyArray]:
        """The next patients, screened and allocated, with their stratum (R, P); what becomes of them is not worked out yet."""
        people = self.screener.enrol(self.n_patients, n_more)
        shape = (self.n_replicates, n_more)
        self.n_patients += n_more
        site = None
        if self.sites is not None and self.trial.sites is not None:
            name, declared = self.trial.sites
            site = declared.assign(f"departures.{name}", self.sites, self.streams, n_more)
            people.luck["site"] = site
        luck = self.trial.factor.draw(self.streams, *shape)
        for name, course in self.trial.courses.items():
            informed = course.baseline_luck(people, luck[name][:, 0].T)
            if informed is not None:
                luck[name][:, 0] = informed.T
        deviations = {name: self.trial.factor.deviations(name, luck) for name in self.trial.courses}
        noise = noise_of_raters(self.trial.trial.departures, deviations, self.streams)
        for name in self.trial.baselines_in_strata:
            baseline = recorded_baseline(self.trial.trial, self.trial.courses[name], name, deviations[name] + noise.get(name, 0.0), people)
            people.luck[f"{name}.baseline"] = replicate_major(baseline)
        stratum = stratum_codes(self.trial.strata, people) if self.trial.strata else np.broadcast_to(np.int16(0), shape)
        if self.force_arm is not None:
            arm = np.full(shape[::-1], self.force_arm, dtype=np.int8).T
        elif self.assigned is not None:
            arm = replicate_major(patient_major(self.assigned[:, self.n_patients - n_more : self.n_patients]))
        else:
            arm = self.allocation.assign(uniforms(self.streams["allocation"], shape), stratum)
        benefits = {name: self._benefit(name, arm, people, site) for name in self.trial.courses}
        return Admitted(people, self.trial.trial.design.arms, patient_major(arm), deviations, noise, benefits, site, self.sites), stratum

    def _benefit(self, endpoint: str, arm: ArmArray, people: People, site: AnyArray | None) -> Benefit:
        """What the drug does to each patient in the patient's arm; luck is drawn whether or not the patient gets the drug."""
        effects, strength = self.trial.effects[endpoint], self.strength.get(endpoint)
        n_visits = max((sized.onset.size for sized in effects), default=1)
        by_arm = np.zeros((len(self.trial.trial.design.arms), n_visits))
        layers, onsets = [], []
        for sized in effects:
            if not sized.effect.needs_biomarker:
                if strength is None:
                    by_arm[sized.arm] = sized.size * sized.onset
                    continue
                shape = np.broadcast_to(strength, arm.T.shape)
            else:
                marker = marker_of(sized.effect, self.trial.laboratories, people)
                luck = sized.effect.draw(sized.path, self.streams, *marker.shape)
                shape = patient_major(sized.effect.shape(marker, luck.get(sized.path)))
                shape = shape if strength is None else shape * strength
            layers.append(_in_one_arm(patient_major(arm), sized.arm, sized.size, shape))
            onsets.append(sized.onset)
        for size, onset in self._added_by_sites(endpoint, effects, arm, site):
            layers.append(size)
            onsets.append(onset)
        if not layers:
            return Benefit(by_arm, np.zeros((0, arm.shape[1], arm.shape[0])), np.zeros((0, n_visits)))
        return Benefit(by_arm, layers[0][np.newaxis] if len(layers) == 1 else np.stack(layers), np.stack(onsets))

    def _added_by_sites(
        self, endpoint: str, effects: tuple[SizedEffect, ...], arm: ArmArray, site: AnyArray | None
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Layers (P, R) of what sites add to the benefit of each active arm of a symptom scale, with the onset of the arm's own effect."""
        scale = self.trial.trial.endpoints[endpoint]
        if self.sites is None or site is None or not isinstance(scale, SymptomScale) or not self.sites.effect.any():
            return
        added = self.sites.of_patients(self.sites.effect, site) * scale.score_sds[-1]
        for sized in effects:
            yield _in_one_arm(patient_major(arm), sized.arm, 1.0, added), sized.onset

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
