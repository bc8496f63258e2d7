"""An exponential curve, size x (1 - exp(-week / time constant)) scaled to 1 at the last visit, through correlated estimates."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc

from simtrials.core.arrays import FloatArray

SLOWEST = 10.0
"""Longest time constant, as a multiple of the last week: nearly a straight line."""


@dataclass(frozen=True, slots=True)
class Curve:
    """`size` at the last visit, `time_constant` in weeks (0 is at once); the probability of a worse fit where there are visits to tell, and the
    visit where it is worst, in standard errors."""

    size: float
    time_constant: float
    p_value: float | None
    worst: float
    worst_week: float


def fitted_curve(weeks: FloatArray, values: FloatArray, covariance: FloatArray) -> Curve:
    """Generalised least squares; `values` (V,) with their covariance (V, V)."""
    from scipy.optimize import minimize_scalar

    if weeks.size == 1:
        return Curve(float(values[0]), 0.0, None, 0.0, float(weeks[0]))
    precision = np.linalg.inv(covariance)

    def at(time_constant: float) -> tuple[float, float, FloatArray]:
        share = _share(weeks, time_constant)
        size = float(share @ precision @ values / (share @ precision @ share))
        rest = values - size * share
        return float(rest @ precision @ rest), size, rest

    grid = np.concatenate([[0.0], np.geomspace(0.05 * weeks[0], SLOWEST * weeks[-1], 200)])
    costs = [at(tau)[0] for tau in grid]
    best = int(np.argmin(costs))
    time_constant = float(grid[best])
    if 0 < best < len(grid) - 1:
        time_constant = float(minimize_scalar(lambda tau: at(tau)[0], bounds=(grid[best - 1], grid[best + 1]), method="bounded").x)
    time_constant = round(time_constant, 2)
    cost, size, rest = at(time_constant)
    errors = np.sqrt(np.diag(covariance))
    worst = int(np.argmax(np.abs(rest) / errors))
    p_value = float(gammaincc((weeks.size - 2) / 2, cost / 2)) if weeks.size > 2 else None
    return Curve(size, time_constant, p_value, float(-rest[worst]), float(weeks[worst]))


def _share(weeks: FloatArray, time_constant: float) -> FloatArray:
    if time_constant == 0.0:
        return np.ones(weeks.size)
    return np.asarray(np.expm1(-weeks / time_constant) / np.expm1(-weeks[-1] / time_constant))
