"""Trials whose patients were enrolled in several goes, put together."""

from dataclasses import replace

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, replicate_major
from simtrials.core.data import Measurements, SimulatedTrial
from simtrials.core.expressions import Category, Column
from simtrials.trial.people import People
from simtrials.trial.screener import appended


def joined(parts: list[SimulatedTrial]) -> SimulatedTrial:
    """Trials whose patients were enrolled in several goes, as one."""
    data = [part.data for part in parts]
    whole = replace(
        data[0],
        arm=_joined([d.arm for d in data]),
        stratum=_joined([d.stratum for d in data]),
        columns={name: _joined_columns([d.columns[name] for d in data]) for name in data[0].columns},
        endpoints={name: _joined_measurements([d.endpoints[name] for d in data]) for name in data[0].endpoints},
        events={name: _joined([d.events[name] for d in data]) for name in data[0].events},
    )
    hidden = parts[0].hidden
    for part in parts[1:]:
        assert isinstance(hidden, People)
        assert isinstance(part.hidden, People)
        hidden = appended(hidden, part.hidden)
    happened = {name: _joined([part.happened[name] for part in parts]) for name in parts[0].happened}
    return SimulatedTrial(whole, hidden, parts[-1].screening, happened)


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
