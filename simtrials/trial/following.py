"""Patients under way: visit by visit their values, what happens to them, and what of it is seen.

Intercurrent events change what comes after them, so a course is followed from visit to visit: first what happens in the interval, then the
value at its end. What is not observed is decided afterwards; the value exists all the same, so the truth of an estimand can be read off it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, BoolArray, FloatArray
from simtrials.core.data import Measurements
from simtrials.core.rng import Streams
from simtrials.trial.departures import BaselineInflation, Departure, Dropout, Gaps, IntercurrentEvent, NonAdherence, RaterNoise, Ready, Unblinding
from simtrials.trial.departures.base import Following, WithHazard, occur
from simtrials.trial.departures.sites import SiteEffects
from simtrials.trial.endpoints import AdverseEvent, Course, Endpoint, SymptomScale
from simtrials.trial.endpoints.base import Benefit
from simtrials.trial.people import People
from simtrials.trial.trial import Trial

Values = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Patients who were enrolled and allocated: latent deviations (M, P, R), noise of raters and benefit of each endpoint, site (P, R)."""

    people: People
    arms: tuple[str, ...]
    arm: ArmArray
    deviations: Mapping[str, FloatArray]
    noise: Mapping[str, FloatArray]
    benefits: Mapping[str, Benefit]
    site: AnyArray | None = None
    sites: SiteEffects | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """Measurements, and the week of each event, (R, P): as far as it was seen, and as it happened. Infinite where it did not."""

    measured: Mapping[str, Measurements]
    seen: Mapping[str, FloatArray]
    happened: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is followed how: the trial with its endpoints, their courses, all visit weeks, and the departures that are ready."""

    trial: Trial
    courses: Mapping[str, Course]
    departures: tuple[Ready, ...]
    weeks: tuple[float, ...]

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints by name."""
        return self.trial.endpoints


def follow(plan: Plan, admitted: Admitted, streams: Streams, without: Collection[str] = (), complete: bool = False) -> Followed:
    """Follow a block of patients to the end.

    `without` names departures that do not happen. With `complete` everything is observed, and without faults of measurement; what happens to
    patients is still driven by what was recorded, faults and all. Luck is the same in every case.
    """
    if not plan.departures:
        values = {name: _all_values(plan, admitted, name) for name in plan.endpoints}
        return Followed(_packed(plan, admitted, values, _baselines(plan, admitted), {}), {}, {})
    n_patients, n_replicates = admitted.arm.shape
    luck = {ready.name: ready.declared.luck(ready.path, streams, n_replicates, n_patients, len(plan.weeks)) for ready in plan.departures}
    active = tuple(ready for ready in plan.departures if ready.name not in without)
    noisy = {name: part + admitted.noise[name] for name, part in admitted.deviations.items() if name in admitted.noise}
    recorded = replace(admitted, deviations={**admitted.deviations, **noisy})
    baselines = {name: _recorded_baseline(plan, recorded, name) for name in plan.courses}
    state = Following(plan.weeks, admitted.arm)
    values = _course(active, plan, recorded, baselines, luck, state)
    lost, missed = _missing(active, plan, baselines, values, luck, state)
    happened = dict(state.events)
    if complete:
        true_values = _without_faults(active, plan, admitted, luck, state)
        return Followed(_packed(plan, admitted, true_values, _baselines(plan, admitted), {}), _flat(happened), _flat(happened))
    seen = {name: np.where(week <= lost, week, np.inf) for name, week in happened.items()}
    observed = {name: _observed(plan, endpoint.visits, lost, missed) for name, endpoint in plan.endpoints.items()}
    return Followed(_packed(plan, recorded, values, baselines, observed), _flat(seen), _flat(happened))


def _flat(events: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """(R, P) views."""
    return {name: week.T for name, week in events.items()}


def _all_values(plan: Plan, admitted: Admitted, name: str) -> FloatArray:
    return plan.courses[name].values(admitted.deviations[name], admitted.arm, admitted.benefits[name], admitted.people, slice(None))


def _baselines(plan: Plan, admitted: Admitted) -> dict[str, FloatArray | None]:
    return {name: course.baseline(admitted.deviations[name]) for name, course in plan.courses.items()}


def _recorded_baseline(plan: Plan, recorded: Admitted, name: str) -> FloatArray | None:
    course = plan.courses[name]
    if course.baseline(recorded.deviations[name]) is None:
        return None
    return recorded_baseline(plan.trial, course, name, recorded.deviations[name], recorded.people)


def _packed(
    plan: Plan, admitted: Admitted, values: Values, baselines: Mapping[str, FloatArray | None], observed: Mapping[str, BoolArray]
) -> dict[str, Measurements]:
    return {name: course.packed(values[name], baselines[name], observed.get(name), admitted.people) for name, course in plan.courses.items()}


def noise_of_raters(departures: Mapping[str, Departure], deviations: Mapping[str, FloatArray], streams: Streams) -> dict[str, FloatArray]:
    """(M, P, R) what raters add to the readings of each endpoint, in points."""
    noise: dict[str, FloatArray] = {}
    for key, departure in departures.items():
        if isinstance(departure, RaterNoise):
            size, patients, replicates = deviations[departure.endpoint].shape
            drawn = departure.noise(f"departures.{key}", streams, replicates, patients, size)
            noise[departure.endpoint] = drawn + noise.get(departure.endpoint, 0.0)
    return noise


def recorded_baseline(trial: Trial, course: Course, name: str, deviation: FloatArray, people: People) -> FloatArray:
    """(P, R) the baseline as it is written down: from latent deviations with the noise of raters, raised by those who want to enrol."""
    reading, scale = course.baseline(deviation), trial.endpoints[name].symptom_scale
    assert reading is not None
    for key, departure in trial.departures.items():
        if isinstance(departure, BaselineInflation) and departure.endpoint == name:
            assert scale is not None
            worse = 1.0 if scale.improves == "down" else -1.0
            reading = departure.inflated(reading, people.luck[f"departures.{key}"].T, worse, scale.minimum, scale.maximum)
    return reading


def _course(
    active: tuple[Ready, ...],
    plan: Plan,
    admitted: Admitted,
    baselines: Mapping[str, FloatArray | None],
    luck: Mapping[str, FloatArray],
    state: Following,
) -> Values:
    """Recorded values of all endpoints, (V, P, R) each; at once when nothing changes them on the way, else visit by visit."""
    events, shifts, dose = _events(active), [ready for ready in active if isinstance(ready.declared, Unblinding)], _dose(active, luck)
    _adverse(active, plan, admitted, state)
    if not events and not shifts and isinstance(dose, float) and admitted.sites is None:
        return {name: _all_values(plan, admitted, name) for name in plan.endpoints}
    values = {name: np.empty((len(endpoint.visits), *admitted.arm.shape)) for name, endpoint in plan.endpoints.items()}
    for ready in events:
        state.events[ready.name] = np.full(admitted.arm.shape, np.inf)
    for i, week in enumerate(plan.weeks):
        for ready in events:
            occur(state, i, ready, luck[ready.name][:, i], state.events[ready.name], state.worse.get(ready.driver or ""))
        kept = _kept(events, state, week, dose)
        for name, endpoint in plan.endpoints.items():
            if week in endpoint.visits:
                visit = endpoint.visits.index(week)
                extra = _extra(name, endpoint, week, events, shifts, luck, state, admitted)
                values[name][visit] = _value(plan, admitted, name, visit, kept, extra)
                _note_change(state, name, endpoint, baselines[name], values[name][visit])
    return values


def _without_faults(active: tuple[Ready, ...], plan: Plan, admitted: Admitted, luck: Mapping[str, FloatArray], state: Following) -> Values:
    """Values as they truly are, (V, P, R), after the events that happened in `state`."""
    events, dose = _events(active), _dose(active, luck)
    if not events and isinstance(dose, float) and admitted.sites is None:
        return {name: _all_values(plan, admitted, name) for name in plan.endpoints}
    values = {name: np.empty((len(endpoint.visits), *admitted.arm.shape)) for name, endpoint in plan.endpoints.items()}
    for name, endpoint in plan.endpoints.items():
        for visit, week in enumerate(endpoint.visits):
            extra = _extra(name, endpoint, week, events, [], luck, state, admitted)
            values[name][visit] = _value(plan, admitted, name, visit, _kept(events, state, week, dose), extra)
    return values


def _events(active: tuple[Ready, ...]) -> list[Ready]:
    return [ready for ready in active if isinstance(ready.declared, IntercurrentEvent)]


def _dose(active: tuple[Ready, ...], luck: Mapping[str, FloatArray]) -> FloatArray | float:
    """(P, R) share of the drug's benefit that patients have from the start; 1 where everybody takes the drug as planned."""
    dose: FloatArray | float = 1.0
    for ready in active:
        if isinstance(ready.declared, NonAdherence):
            dose = dose * ready.declared.factor(luck[ready.name])
    return dose


def _value(plan: Plan, admitted: Admitted, name: str, visit: int, kept: FloatArray | None, extra: FloatArray | None) -> FloatArray:
    """(P, R) one endpoint at one visit."""
    here = slice(visit, visit + 1)
    benefit = admitted.benefits[name].at_visits(here, kept, extra)
    return np.asarray(plan.courses[name].values(admitted.deviations[name], admitted.arm, benefit, admitted.people, here)[0])


def _kept(events: list[Ready], state: Following, week: float, dose: FloatArray | float) -> FloatArray | None:
    """(1, P, R) share of the drug's benefit that is left at a week."""
    kept: FloatArray | float = dose
    for ready in events:
        assert isinstance(ready.declared, IntercurrentEvent)
        share = ready.declared.kept(week, state.events[ready.name])
        if share is not None:
            kept = kept * share
    return None if isinstance(kept, float) else kept[np.newaxis]


def _extra(
    name: str,
    endpoint: Endpoint,
    week: float,
    events: list[Ready],
    shifts: list[Ready],
    luck: Mapping[str, FloatArray],
    state: Following,
    admitted: Admitted,
) -> FloatArray | None:
    """(1, P, R) benefit that does not come from the drug."""
    parts: list[FloatArray | None] = []
    for ready in events:
        assert isinstance(ready.declared, IntercurrentEvent)
        parts.append(ready.declared.extra(name, week, state.events[ready.name]))
    for ready in shifts:
        assert isinstance(ready.declared, Unblinding)
        if ready.declared.endpoint == name:
            parts.append(ready.declared.shift(luck[ready.name], admitted.arm, admitted.arms, week))
    if admitted.sites is not None and isinstance(endpoint, SymptomScale):
        parts.append(_of_site(admitted, endpoint, week))
    known = [part for part in parts if part is not None]
    return np.stack(known).sum(axis=0)[np.newaxis] if known else None


def _of_site(admitted: Admitted, endpoint: SymptomScale, week: float) -> FloatArray:
    """(P, R) the site's level, as a benefit in points."""
    assert admitted.sites is not None
    assert admitted.site is not None
    return np.asarray(admitted.sites.of_patients(admitted.sites.level, admitted.site) * endpoint.score_sds[endpoint.visits.index(week)])


def _note_change(state: Following, name: str, endpoint: Endpoint, baseline: FloatArray | None, value: FloatArray) -> None:
    """Remember the change in the direction of worse."""
    if baseline is not None:
        state.worse[name] = value - baseline if endpoint.improves == "down" else baseline - value


def _adverse(active: tuple[Ready, ...], plan: Plan, admitted: Admitted, state: Following) -> None:
    """Adverse events that make others more likely are known from the start; nothing else changes them."""
    for ready in active:
        name = ready.declared.adverse_event if isinstance(ready.declared, WithHazard) else None
        if name is not None and name not in state.adverse and isinstance(plan.endpoints[name], AdverseEvent):
            state.adverse[name] = _all_values(plan, admitted, name)[0]


def _missing(
    active: tuple[Ready, ...],
    plan: Plan,
    baselines: Mapping[str, FloatArray | None],
    values: Values,
    luck: Mapping[str, FloatArray],
    state: Following,
) -> tuple[FloatArray, BoolArray | None]:
    """(P, R) week from which a patient is no longer seen, and (I, P, R) visits that are missed in between."""
    lost = np.full(state.arm.shape, np.inf)
    missed: BoolArray | None = None
    for ready in active:
        if isinstance(ready.declared, Gaps):
            gaps = ready.declared.missed(luck[ready.name]).swapaxes(0, 1)
            missed = gaps if missed is None else np.logical_or(missed, gaps)
        elif isinstance(ready.declared, IntercurrentEvent) and not ready.declared.followed_up:
            lost = np.minimum(lost, state.events[ready.name])
    for ready in active:
        if isinstance(ready.declared, Dropout):
            state.events[ready.name] = _dropout(ready, plan, baselines, values, luck[ready.name], state, missed)
            lost = np.minimum(lost, state.events[ready.name])
    return lost, missed


def _dropout(
    ready: Ready,
    plan: Plan,
    baselines: Mapping[str, FloatArray | None],
    values: Values,
    luck: FloatArray,
    state: Following,
    missed: BoolArray | None,
) -> FloatArray:
    """(P, R) week of the dropout."""
    declared = ready.declared
    assert isinstance(declared, Dropout)
    event = np.full(state.arm.shape, np.inf)
    driver = ready.driver or ""
    baseline, endpoint = baselines.get(driver), plan.endpoints.get(driver)
    worse: FloatArray | None = np.zeros(state.arm.shape) if declared.mechanism != "mcar" else None
    for i, week in enumerate(plan.weeks):
        change = None
        if worse is not None and endpoint is not None and baseline is not None and week in endpoint.visits:
            value = values[driver][endpoint.visits.index(week)]
            change = value - baseline if endpoint.improves == "down" else baseline - value
        if declared.mechanism == "mnar" and change is not None:
            worse = change
        occur(state, i, ready, luck[:, i], event, worse)
        if declared.mechanism == "mar" and change is not None:
            worse = change if missed is None else np.asarray(np.where(missed[i], worse, change))
    return event


def _observed(plan: Plan, visits: tuple[float, ...], lost: FloatArray, missed: BoolArray | None) -> BoolArray:
    """(V, P, R) true where the visit is seen."""
    seen = np.stack([lost > week for week in visits])
    if missed is not None:
        seen &= ~missed[[plan.weeks.index(week) for week in visits]]
    return seen
