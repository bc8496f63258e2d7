"""Two means: moments of two arms and the t tests that follow from them, for many replicates at once."""

from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status

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
    for p in range(outcome.shape[0]):
        for r in range(outcome.shape[1]):
            y = outcome[p, r]
            control = (arm[p, r] == 0) & (y == y)
            treated = (arm[p, r] == active) & (y == y)
            n[0, r] += 1.0 if control else 0.0
            n[1, r] += 1.0 if treated else 0.0
            total[0, r] += y if control else 0.0
            total[1, r] += y if treated else 0.0


@kernel
def _square_by_arm(outcome: FloatArray, arm: ArmArray, active: int, mean: FloatArray, squares: FloatArray) -> None:
    for p in range(outcome.shape[0]):
        for r in range(outcome.shape[1]):
            y = outcome[p, r]
            control = y - mean[0, r] if (arm[p, r] == 0) & (y == y) else 0.0
            treated = y - mean[1, r] if (arm[p, r] == active) & (y == y) else 0.0
            squares[0, r] += control * control
            squares[1, r] += treated * treated


def two_arm_moments(outcome: FloatArray, arm: AnyArray, active: int) -> Moments:
    """Number, mean and sum of squared deviations of the outcome in the control arm and in one active arm.

    Two passes, so that an outcome with a large mean and a small spread keeps its digits.

    Parameters
    ----------
    outcome : (replicate, patient) float, any unit, NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control

    Source: Chan, Golub and LeVeque (1983), The American Statistician 37, 242-247, equation 1.1.
    """
    outcome, arm = patient_major(outcome), patient_major(arm)
    n, total, squares = np.zeros((3, 2, outcome.shape[1]))
    _sum_by_arm(outcome, arm, active, n, total)
    mean = total / np.where(n > 0, n, np.nan)
    _square_by_arm(outcome, arm, active, mean, squares)
    return Moments(n.T, mean.T, squares.T)


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
    Satterthwaite (1946), Biometrics Bulletin 2, equation 17.
    """
    n, mean, squares = two_arm_moments(outcome, arm, active)
    status = _status_of_moments(n, mean, squares)
    ok = status == Status.OK
    n = np.where(ok[:, np.newaxis], n, np.nan)
    if variance == "pooled":
        df = n.sum(axis=1) - 2
        variance_of_mean = squares.sum(axis=1) / df * (1 / n).sum(axis=1)
    else:
        parts = squares / (n - 1) / n  # (R, 2): the squared standard error of each mean
        variance_of_mean = parts.sum(axis=1)
        df = variance_of_mean**2 / (parts**2 / (n - 1)).sum(axis=1)
    return Contrast(np.where(ok, mean[:, 1] - mean[:, 0], np.nan), np.sqrt(variance_of_mean), df, status)


def _status_of_moments(n: FloatArray, mean: FloatArray, squares: FloatArray) -> IntArray:
    status = np.full(n.shape[0], int(Status.OK))
    rounding = NEGLIGIBLE_SPREAD * np.abs(np.nan_to_num(mean)).max(axis=1)
    status[squares.sum(axis=1) <= n.sum(axis=1) * rounding**2] = Status.NO_VARIATION
    status[n.min(axis=1) < 2] = Status.TOO_FEW_PATIENTS
    return status
