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
    """A derived outcome: what it is `of` measured values, (R, P) or with further axes, and their baseline; NaN where it is missing.

    With `visits` 2 it must hold at the visit and at the one before it.
    """

    name: str
    of: Callable[[Measurements, FloatArray, FloatArray | None], FloatArray]
    binary: bool = False
    needs_baseline: bool = False
    needs_remission_cut: bool = False
    needs_scale: bool = False
    higher_is_better: bool | None = None
    visits: int = 1

    def read(self, measured: Measurements, week: float) -> FloatArray:
        """(R, P) the outcome at the visit of `week`."""
        now = self.of(measured, measured.at(week), measured.baseline)
        for before in range(1, self.visits):
            earlier = measured.weeks[measured.visit(week) - before]
            now = now * self.of(measured, measured.at(earlier), measured.baseline)
        return now

    def benefit_sign(self, measured: Measurements) -> int:
        """+1 when a higher outcome is better for the patient, else -1."""
        better = self.higher_is_better if self.higher_is_better is not None else measured.improves == "up"
        return 1 if better else -1


def score(measured: Measurements, value: FloatArray, baseline: FloatArray | None) -> FloatArray:
    """The value as measured."""
    return value


def change(measured: Measurements, value: FloatArray, baseline: FloatArray | None) -> FloatArray:
    """Value minus baseline."""
    return value - _known(baseline)


def percent_change(measured: Measurements, value: FloatArray, baseline: FloatArray | None) -> FloatArray:
    """Change in severity in percent of baseline severity; NaN where that is 0. A fall is negative on every scale."""
    before, now = _severity(measured, _known(baseline)), _severity(measured, value)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, 100.0 * (now - before) / before, np.nan)


def response(measured: Measurements, value: FloatArray, baseline: FloatArray | None) -> FloatArray:
    """1 where severity has fallen to half of its baseline or less."""
    return _flag(2.0 * _severity(measured, value) <= _severity(measured, _known(baseline)), value)


def remission(measured: Measurements, value: FloatArray, baseline: FloatArray | None) -> FloatArray:
    """1 where the score is at or below the scale's cut-off of remission (at or above it for a scale that rises)."""
    if measured.scale is None or measured.scale.remission_cut is None:
        raise ValueError("remission needs a scale with a cut-off")
    cut = measured.scale.remission_cut
    return _flag(value <= cut if measured.improves == "down" else value >= cut, value)


def _flag(reached: np.ndarray, value: FloatArray) -> FloatArray:
    flags = reached.astype(np.float64)
    flags[np.isnan(value)] = np.nan
    return flags


def _known(baseline: FloatArray | None) -> FloatArray:
    if baseline is None:
        raise ValueError("this endpoint has no baseline")
    return baseline


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
        Outcome("sustained_response", response, binary=True, needs_baseline=True, needs_scale=True, higher_is_better=True, visits=2),
    )
}
