"""Outcomes under an estimand: as they truly were, and as an analysis may use them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import Measurements, TrialData
from simtrials.inference.estimands.estimand import Estimand


def as_it_was(data: TrialData, happened: Mapping[str, FloatArray], estimand: Estimand) -> TrialData:
    """Completely observed trials in which every event is treated as the estimand says.

    Events with the hypothetical strategy must not have happened in `data`: that is a simulation of its own, with the same luck.
    """
    events = {name: week for name, week in happened.items() if np.isfinite(week).any()}
    return _under(data, events, estimand)


def as_analysed(data: TrialData, estimand: Estimand, intercurrent: tuple[str, ...]) -> TrialData:
    """What an analysis for the estimand uses: values after an event with the hypothetical strategy are set aside, as if they were missing."""
    events = {name: data.events[name] for name in intercurrent if name in data.events}
    data = _under(data, events, estimand)
    set_aside = [week for name, week in events.items() if estimand.strategy_for(name) == "hypothetical"]
    if not set_aside:
        return data
    first = np.minimum.reduce(set_aside)
    return replace(data, endpoints={name: _seen_before(measured, first) for name, measured in data.endpoints.items()})


def _under(data: TrialData, events: Mapping[str, FloatArray], estimand: Estimand) -> TrialData:
    """Composite and while-on-treatment strategies applied to every endpoint."""
    failed = [week for name, week in events.items() if estimand.strategy_for(name) == "composite"]
    stopped = [week for name, week in events.items() if estimand.strategy_for(name) == "while_on_treatment"]
    endpoints = dict(data.endpoints)
    if stopped:
        first = np.minimum.reduce(stopped)
        endpoints = {name: _last_before(measured, first) for name, measured in endpoints.items()}
    if failed:
        first = np.minimum.reduce(failed)
        endpoints = {name: _failure_after(measured, first) for name, measured in endpoints.items()}
    return replace(data, endpoints=endpoints) if failed or stopped else data


def _after(measured: Measurements, week: FloatArray) -> BoolArray:
    """(V, P, R) true at visits after the event: visits are slow in memory, and replicates fast."""
    return np.stack([visit > week.T for visit in measured.weeks])


def _changed(measured: Measurements, after: BoolArray, value: float, observed: BoolArray) -> Measurements:
    """With another value after the event."""
    changed = np.where(after, value, measured.value.transpose(2, 1, 0))
    return replace(measured, value=changed.transpose(2, 1, 0), observed=observed.transpose(2, 1, 0))


def _failure_after(measured: Measurements, week: FloatArray) -> Measurements:
    """The worst value at visits after the event: no response and no remission, and for a yes-or-no endpoint the bad outcome; all of it known."""
    if measured.scale is not None:
        worst = measured.scale.maximum if measured.improves == "down" else measured.scale.minimum
    elif measured.binary:
        worst = 0.0 if measured.improves == "up" else 1.0
    else:
        return measured
    after = _after(measured, week)
    return _changed(measured, after, worst, measured.observed.transpose(2, 1, 0) | after)


def _last_before(measured: Measurements, week: FloatArray) -> Measurements:
    """At visits after the event the last value before it, or the baseline."""
    if measured.baseline is None:
        return measured
    value, observed = measured.value.copy(), measured.observed.copy()
    last, known = measured.baseline, np.ones(week.shape, dtype=bool)
    for visit, when in enumerate(measured.weeks):
        after = week < when
        value[:, :, visit] = np.where(after, last, value[:, :, visit])
        observed[:, :, visit] = np.where(after, known, observed[:, :, visit])
        seen = ~after & ~np.isnan(value[:, :, visit])
        last = np.where(seen, value[:, :, visit], last)
    return replace(measured, value=value, observed=observed)


def _seen_before(measured: Measurements, week: FloatArray) -> Measurements:
    """Values after the event are not used."""
    after = _after(measured, week)
    return _changed(measured, after, np.nan, measured.observed.transpose(2, 1, 0) & ~after)
