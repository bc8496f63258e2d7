"""Two means: moments of two arms and the t tests that follow from them, for many replicates at once."""

from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status

TOO_FEW_PATIENTS, NO_VARIATION = int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION)
NEGLIGIBLE_SPREAD = 1e-12  # a root mean square deviation below this share of the mean is rounding error


class Moments(NamedTuple):
    """Moments of the control arm (column 0) and of the active arm (column 1)."""

    n: FloatArray
    """(replicate, 2) number of patients with an outcome"""
    mean: FloatArray
    """(replicate, 2), NaN in an empty arm"""
    squares: FloatArray
    """(replicate, 2) sum of squared deviations from the mean"""


class Contrast(NamedTuple):
    """A difference between arms, or a coefficient; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    status: IntArray


@kernel
def _sum_by_arm(outcome: FloatArray, arm: ArmArray, active: int, n: FloatArray, total: FloatArray) -> None:
    n_control, n_active, control, treated = n[0], n[1], total[0], total[1]
    for p in range(outcome.shape[0]):
        value, code = outcome[p], arm[p]
        for r in range(outcome.shape[1]):
            y = value[r]
            in_control = (code[r] == 0) & (y == y)
            in_active = (code[r] == active) & (y == y)
            n_control[r] += 1.0 if in_control else 0.0
            n_active[r] += 1.0 if in_active else 0.0
            control[r] += y if in_control else 0.0
            treated[r] += y if in_active else 0.0


@kernel
def _square_by_arm(outcome: FloatArray, arm: ArmArray, active: int, mean: FloatArray, squares: FloatArray) -> None:
    mean_control, mean_active, control, treated = mean[0], mean[1], squares[0], squares[1]
    for p in range(outcome.shape[0]):
        value, code = outcome[p], arm[p]
        for r in range(outcome.shape[1]):
            y = value[r]
            from_control, from_active = y - mean_control[r], y - mean_active[r]
            control[r] += from_control * from_control if (code[r] == 0) & (y == y) else 0.0
            treated[r] += from_active * from_active if (code[r] == active) & (y == y) else 0.0


def two_arm_moments(outcome: FloatArray, arm: AnyArray, active: int) -> Moments:
    """Number, mean and sum of squared deviations of the outcome in the control arm and in one active arm.

    Two passes, so that an outcome with a large mean and a small spread keeps its digits.

    Parameters
    ----------
    outcome : (replicate, patient) float, any unit, NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control

    Source: Chan, Golub and LeVeque (1983), The American Statistician 37, 242-247 (two-pass algorithm).
    """
    return Moments(*(values.T for values in _moments(outcome, arm, active)))


def _moments(outcome: FloatArray, arm: AnyArray, active: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Number, mean and sum of squared deviations, (2, replicate) each: control, active."""
    outcome, arm = patient_major(outcome), patient_major(arm)
    n, total, squares = np.zeros((3, 2, outcome.shape[1]))
    _sum_by_arm(outcome, arm, active, n, total)
    mean = total / np.where(n > 0, n, np.nan)
    _square_by_arm(outcome, arm, active, mean, squares)
    return n, mean, squares


def t_test(outcome: FloatArray, arm: AnyArray, active: int, variance: Literal["pooled", "welch"] = "pooled") -> Contrast:
    """Difference in means, active minus control, with the standard error and the degrees of freedom of its t test.

    Parameters
    ----------
    outcome, arm, active : as for `two_arm_moments`
    variance : "pooled" when the arms share a variance (Student), "welch" when they need not

    Returns
    -------
    Contrast; TOO_FEW_PATIENTS with fewer than two patients in an arm, NO_VARIATION when nobody differs from the mean of the arm

    Source: Student (1908), Biometrika 6, 1-25; Welch (1938), Biometrika 29, 350-362; degrees of freedom as in
    Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    n, mean, squares = _moments(outcome, arm, active)
    found = np.empty((3, n.shape[1]))
    status = np.empty(n.shape[1], dtype=np.int64)
    _contrast(n, mean, squares, variance == "pooled", found, status)
    return Contrast(found[0], found[1], found[2], status)


@kernel
def _contrast(n: FloatArray, mean: FloatArray, squares: FloatArray, pooled: bool, found: FloatArray, status: IntArray) -> None:
    """Estimate, standard error and degrees of freedom, (3, replicate), and the status of each replicate."""
    for r in range(n.shape[1]):
        control, active = n[0, r], n[1, r]
        rounding = NEGLIGIBLE_SPREAD * max(abs(mean[0, r]), abs(mean[1, r]))
        spread = squares[0, r] + squares[1, r]
        status[r] = 0
        if min(control, active) < 2:
            status[r] = TOO_FEW_PATIENTS
        elif spread <= (control + active) * rounding * rounding:
            status[r] = NO_VARIATION
        if status[r] != 0:
            found[0, r], found[1, r], found[2, r] = np.nan, np.nan, np.nan
            continue
        df = control + active - 2
        variance = spread / df * (1 / control + 1 / active)
        if not pooled:
            of_control = squares[0, r] / (control - 1) / control  # squared standard errors of the two means
            of_active = squares[1, r] / (active - 1) / active
            variance = of_control + of_active
            df = variance**2 / (of_control**2 / (control - 1) + of_active**2 / (active - 1))
        found[0, r], found[1, r], found[2, r] = mean[1, r] - mean[0, r], np.sqrt(variance), df
