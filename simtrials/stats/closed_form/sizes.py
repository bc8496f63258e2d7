"""From power to patients: the continuous solution, and the smallest whole numbers that keep the allocation ratio."""

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.stats.closed_form.inputs import inside_unit, positive

MOST_PATIENTS = 1e9
FEWEST_PER_ARM = 2.0
ROUNDING = 1e-9
"""A continuous solution this little above a whole number is that number; the power at the whole number is checked."""


class TwoArmSize(NamedTuple):
    """Patients per arm that reach a power; inf, with NaN power, where no number of patients does.

    `n_active_exact` and `n_control_exact` solve the equation; `n_active` and `n_control` are the smallest whole numbers that reach the power
    with exactly the wanted ratio; `power` is the power at the whole numbers.
    """

    n_active_exact: FloatArray
    n_control_exact: FloatArray
    n_active: FloatArray
    n_control: FloatArray
    power: FloatArray

    @property
    def n_total_exact(self) -> FloatArray:
        return self.n_active_exact + self.n_control_exact

    @property
    def n_total(self) -> FloatArray:
        return self.n_active + self.n_control


class OneSampleSize(NamedTuple):
    """Patients (or pairs) that reach a power, as the solution of the equation and as a whole number; inf where no number does."""

    n_exact: FloatArray
    n: FloatArray
    power: FloatArray


def two_arm_size(power_at: Callable[..., FloatArray], power: ArrayLike, allocation_ratio: ArrayLike) -> TwoArmSize:
    """Sizes of two arms for which `power_at(n_active=, n_control=)` reaches `power`; `allocation_ratio` is active / control.

    Raises SimtrialsError when the ratio is not a ratio of whole numbers up to 100.
    """
    target, ratio = inside_unit("power", power), positive("allocation_ratio", allocation_ratio)
    fewest = np.maximum(FEWEST_PER_ARM, FEWEST_PER_ARM / ratio)
    n_control = least_n(lambda n: power_at(n_active=ratio * n, n_control=n), target, fewest)
    active, control = _whole_numbers(ratio)
    fewest_blocks = np.ceil(FEWEST_PER_ARM / np.minimum(active, control))
    blocks, reached = _whole(lambda k: power_at(n_active=k * active, n_control=k * control), target, n_control / control, fewest_blocks)
    return TwoArmSize(ratio * n_control, n_control, blocks * active, blocks * control, reached)


def one_sample_size(power_at: Callable[[FloatArray], FloatArray], power: ArrayLike, fewest: ArrayLike) -> OneSampleSize:
    """The number of patients for which `power_at(n)` reaches `power`."""
    target, low = inside_unit("power", power), np.asarray(fewest, dtype=np.float64)
    n_exact = least_n(power_at, target, low)
    n, reached = _whole(power_at, target, n_exact, np.ceil(low))
    return OneSampleSize(n_exact, n, reached)


def least_n(power_at: Callable[[FloatArray], FloatArray], target: FloatArray, fewest: FloatArray) -> FloatArray:
    """Where an increasing power function reaches its target, by doubling and bisection; inf beyond 1e9 patients."""
    shape = np.broadcast_shapes(target.shape, fewest.shape, np.shape(power_at(fewest)))
    low = high = np.broadcast_to(fewest, shape)
    while True:
        short = ~(power_at(high) >= target)
        grows = short & (high < MOST_PATIENTS)
        if not grows.any():
            break
        low, high = np.where(grows, high, low), np.where(grows, 2 * high, high)
    for _ in range(60):
        middle = (low + high) / 2
        enough = power_at(middle) >= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(short, np.inf, high)[()]


def _whole(power_at: Callable[[FloatArray], FloatArray], target: FloatArray, exact: FloatArray, fewest: FloatArray) -> tuple[FloatArray, FloatArray]:
    possible = np.isfinite(exact)
    n = np.where(possible, np.maximum(np.ceil(exact - ROUNDING), fewest), fewest)
    while (short := possible & (power_at(n) < target)).any():
        n = n + short
    return np.where(possible, n, np.inf)[()], np.where(possible, power_at(n), np.nan)[()]


def _whole_numbers(ratio: FloatArray) -> tuple[FloatArray, FloatArray]:
    fractions = [Fraction(float(value)).limit_denominator(100) for value in ratio.flat]
    active = np.array([float(fraction.numerator) for fraction in fractions]).reshape(ratio.shape)
    control = np.array([float(fraction.denominator) for fraction in fractions]).reshape(ratio.shape)
    odd = ~np.isclose(active / control, ratio, rtol=1e-6, atol=0)
    if odd.any():
        raise SimtrialsError(f"allocation_ratio must be a ratio of whole numbers up to 100, such as 2 or 2 / 3, got {ratio[odd].flat[0]:g}")
    return active, control
