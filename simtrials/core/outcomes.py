"""What is read off a measured endpoint: score, change, response, remission. Used alike by analyses, reports and truth.

Severity is the distance from the healthy end of the scale (score minus minimum; for a scale that rises, maximum minus score). Response is
a fall of severity by half or more; remission a score at or below the scale's cut-off. All are read off the same whole-number scores.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.data import Measurements


@dataclass(frozen=True, slots=True)
class Outcome:
    """A derived outcome: `read` gives (R, P) from the measurements and a week, NaN where it is missing."""

    name: str
    read: Callable[[Measurements, float], FloatArray]
    binary: bool = False
    needs_baseline: bool = False
    needs_remission_cut: bool = False
    needs_scale: bool = False
    higher_is_better: bool | None = None

    def benefit_sign(self, measured: Measurements) -> int:
        """+1 when a higher outcome is better for the patient, else -1."""
        better = self.higher_is_better if self.higher_is_better is not None else measured.improves == "up"
        return 1 if better else -1


def score(measured: Measurements, week: float) -> FloatArray:
    """The value as measured."""
    return measured.at(week)


def change(measured: Measurements, week: float) -> FloatArray:
    """Value minus baseline."""
    return measured.at(week) - _baseline(measured)


def percent_change(measured: Measurements, week: float) -> FloatArray:
    """Change in severity in percent of baseline severity; NaN where that is 0. A fall is negative on every scale."""
    before, now = _severity(measured, _baseline(measured)), _severity(measured, measured.at(week))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, 100.0 * (now - before) / before, np.nan)


def response(measured: Measurements, week: float) -> FloatArray:
    """1 where severity has fallen to half of its baseline or less."""
    value = measured.at(week)
    return _flag(2.0 * _severity(measured, value) <= _severity(measured, _baseline(measured)), value)


def remission(measured: Measurements, week: float) -> FloatArray:
    """1 where the score is at or below the scale's cut-off of remission (at or above it for a scale that rises)."""
    if measured.scale is None or measured.scale.remission_cut is None:
        raise ValueError("remission needs a scale with a cut-off")
    value, cut = measured.at(week), measured.scale.remission_cut
    return _flag(value <= cut if measured.improves == "down" else value >= cut, value)


def sustained_response(measured: Measurements, week: float) -> FloatArray:
    """1 where there is response at `week` and at the visit before it."""
    before = measured.weeks[measured.visit(week) - 1]
    return response(measured, week) * response(measured, before)


def _flag(reached: np.ndarray, value: FloatArray) -> FloatArray:
    flags = reached.astype(np.float64)
    flags[np.isnan(value)] = np.nan
    return flags


def _baseline(measured: Measurements) -> FloatArray:
    if measured.baseline is None:
        raise ValueError("this endpoint has no baseline")
    return measured.baseline


def _severity(measured: Measurements, value: FloatArray) -> FloatArray:
    """Points away from the healthy end of the scale."""
    if measured.scale is None:
        return value
    return value - measured.scale.minimum if measured.improves == "down" else measured.scale.maximum - value


OUTCOMES = {
    outcome.name: outcome
    for outcome in (
        Outcome("score", score),
        Outcome("value", score),
        Outcome("event", score, binary=True),
        Outcome("change", change, needs_baseline=True),
        Outcome("percent_change", percent_change, needs_baseline=True, higher_is_better=False),
        Outcome("response", response, binary=True, needs_baseline=True, needs_scale=True, higher_is_better=True),
        Outcome("remission", remission, binary=True, needs_remission_cut=True, needs_scale=True, higher_is_better=True),
        Outcome("sustained_response", sustained_response, binary=True, needs_baseline=True, needs_scale=True, higher_is_better=True),
    )
}
