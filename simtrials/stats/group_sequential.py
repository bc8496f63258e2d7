"""Repeated looks at accumulating evidence: the probability to cross boundaries, and boundaries that spend an error rate, by exact recursion.

At information I_1 < I_2 < ... the sum S_j = Z_j sqrt(I_j) is a random walk with independent normal steps of variance I_j - I_(j-1) and mean
drift times that. The density of S_j on paths that have not crossed is integrated from look to look by Gauss-Legendre quadrature; the number of
nodes follows the width of the continuation region in units of the next step, so that boundaries have about eight digits.
"""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray, for_kernel
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel

Spending = Literal["obrien_fleming", "pocock"]
Sides = Literal["two_sided", "one_sided"]
FARTHEST = 9.0
"""Standard deviations beyond which a normal has no mass that matters: 1e-19. Boundaries farther out are infinite."""
NODES_EACH = 16
PANEL = 8.0
"""Nodes of a panel and its width, in standard deviations of a step: boundaries within 2e-8 of those with ten times the nodes."""
SQRT_HALF, INV_SQRT_2PI = float(np.sqrt(0.5)), float(1 / np.sqrt(2 * np.pi))
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(NODES_EACH)
LAST_STEP = 100
MOST_PANELS = 4096


def spent(fractions: ArrayLike, alpha: float, spending: Spending = "obrien_fleming") -> FloatArray:
    """One-sided error rate that may be spent up to a fraction of the planned information; all of `alpha` from 1 on.

    "obrien_fleming": 2 - 2 Phi(z_(1 - alpha / 2) / sqrt(t)); "pocock": alpha ln(1 + (e - 1) t).

    Source: Lan and DeMets (1983), Biometrika 70, 659-663.
    """
    if spending not in get_args(Spending):
        raise ValueError(f"spent: spending = {spending!r} is not known{did_you_mean(str(spending), get_args(Spending))}")
    t = np.clip(np.asarray(fractions, dtype=np.float64), 0.0, 1.0)
    if spending == "pocock":
        return np.asarray(alpha * np.log1p((np.e - 1) * t))
    with np.errstate(divide="ignore"):
        return np.asarray(2 * ndtr(ndtri(alpha / 2) / np.sqrt(t)))


class Boundaries(NamedTuple):
    """Boundaries of z statistics, (..., look)."""

    bound: FloatArray
    """upper boundary, infinite where (almost) nothing is spent; the lower one is its negative in two-sided designs, and absent in one-sided ones"""
    spent: FloatArray
    """cumulative error rate, of both sides together in two-sided designs"""


def spending_boundaries(
    fractions: ArrayLike,
    *,
    alpha: float = 0.05,
    sides: Sides = "two_sided",
    spending: Spending = "obrien_fleming",
) -> Boundaries:
    """Boundaries that spend an error rate as information accrues, for one sequence of looks (look,) or for many (..., look).

    Parameters
    ----------
    fractions : share of the planned information at each look, increasing; NaN for a look that is not taken. The first look at 1 or more is the
        final one: it spends what is left, and later looks have the boundary NaN
    alpha : error rate, of both sides together in two-sided designs, half of it in each
    spending : as for `spent`, the function of each side

    Source: Lan and DeMets (1983), Biometrika 70, 659-663; recursion: Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244; Jennison and
    Turnbull (2000), Group Sequential Methods, chapter 19.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"spending_boundaries: alpha must lie between 0 and 1, got {alpha!r}")
    if sides not in get_args(Sides):
        raise ValueError(f"spending_boundaries: sides = {sides!r} is not known{did_you_mean(str(sides), get_args(Sides))}")
    t = _increasing(fractions, "spending_boundaries", "fractions")
    two_sided = sides == "two_sided"
    each = alpha / 2 if two_sided else alpha
    used = np.where(t >= 1, each, spent(t, each, spending))
    earlier_final = np.cumsum(t >= 1, axis=-1) - (t >= 1) > 0
    t, used = np.where(earlier_final, np.nan, t), np.where(earlier_final, np.nan, used)
    bound = np.full(t.shape, np.nan)
    _boundaries(np.ascontiguousarray(t), np.ascontiguousarray(used), two_sided, _POINTS, _WEIGHTS, bound)
    shape = np.shape(fractions)
    return Boundaries(bound.reshape(shape), (used * (2 if two_sided else 1)).reshape(shape))


def crossing_probabilities(bounds: ArrayLike, information: ArrayLike, *, drift: ArrayLike = 0.0, sides: Sides = "two_sided") -> FloatArray:
    """Cumulative probability to have crossed a boundary at each look, (look,) or (..., look).

    Parameters
    ----------
    bounds : of z statistics, upper; crossed from below, and in two-sided designs its negative from above; infinite where nothing can be crossed
    information : increasing, in any unit
    drift : effect, in 1 / sqrt(unit of information): z has the mean drift sqrt(information). One number or (...,)

    Returns
    -------
    probability of any crossing, both sides together; NaN where the bound or the information is NaN (no look)

    Source: Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244.
    """
    if sides not in get_args(Sides):
        raise ValueError(f"crossing_probabilities: sides = {sides!r} is not known{did_you_mean(str(sides), get_args(Sides))}")
    shape = np.broadcast_shapes(np.shape(bounds), np.shape(information))
    information = _increasing(np.broadcast_to(information, shape), "crossing_probabilities", "information")
    limits = np.broadcast_to(np.asarray(bounds, dtype=np.float64), shape).reshape(information.shape)
    if (limits < 0).any():
        raise ValueError("crossing_probabilities: bounds must not be negative")
    drifts = np.broadcast_to(np.asarray(drift, dtype=np.float64), shape[:-1]).reshape(-1)
    crossed = np.full(information.shape, np.nan)
    looks = np.where(np.isnan(limits), np.nan, information)
    arrays = for_kernel(looks), for_kernel(limits), for_kernel(drifts)
    _crossings(*arrays, sides == "two_sided", _POINTS, _WEIGHTS, crossed)
    return crossed.reshape(shape)


def _increasing(values: ArrayLike, function: str, name: str) -> FloatArray:
    """(sequence, look), checked: positive and increasing where there is a look."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{function}: {name} must have at least one look")
    rows = array.reshape(-1, array.shape[-1])
    reached = np.fmax.accumulate(np.where(np.isnan(rows), 0.0, rows), axis=-1)
    before = np.concatenate([np.zeros((len(rows), 1)), reached[:, :-1]], axis=-1)
    if (rows <= before).any():
        raise ValueError(f"{function}: {name} must be positive and increase from look to look")
    return rows


@kernel
def _normal_tail(x: float) -> float:
    """Probability that a standard normal exceeds x."""
    return 0.5 * math.erfc(x * SQRT_HALF)


@kernel
def _state(n_points: int) -> tuple[FloatArray, FloatArray]:
    """Room for nodes and their masses before and after a step, with all mass at 0 before the first."""
    at, mass = np.zeros((2, MOST_PANELS * n_points)), np.zeros((2, MOST_PANELS * n_points))
    mass[0, 0] = 1.0
    return at, mass


@kernel
def _advance(
    at: FloatArray,
    mass: FloatArray,
    n: int,
    low: float,
    high: float,
    mean: float,
    step: float,
    following: float,
    points: FloatArray,
    weights: FloatArray,
) -> int:
    """Carry the mass on the nodes over a step and keep what lies between `low` and `high`; the number of new nodes.

    Panels are no wider than PANEL standard deviations of this step and the following one; nodes farther than FARTHEST of them do not matter.
    """
    finest = min(step, following)
    panels = max(1, min(MOST_PANELS, math.ceil((high - low) / (PANEL * finest))))
    half = 0.5 * (high - low) / panels
    first = 0
    new = 0
    for panel in range(panels):
        center = low + (2 * panel + 1) * half
        for i in range(points.size):
            place = center + half * points[i]
            while first < n and at[0, first] + mean < place - FARTHEST * step:
                first += 1
            density = 0.0
            for s in range(first, n):
                u = (place - at[0, s] - mean) / step
                if u < -FARTHEST:
                    break
                density += mass[0, s] * math.exp(-0.5 * u * u)
            at[1, new], mass[1, new] = place, density * INV_SQRT_2PI / step * half * weights[i]
            new += 1
    at[0, :new], mass[0, :new] = at[1, :new], mass[1, :new]
    return new


@kernel
def _beyond(at: FloatArray, mass: FloatArray, n: int, limit: float, mean: float, step: float) -> tuple[float, float]:
    """Mass above `limit` after a step, and its density there."""
    total, density = 0.0, 0.0
    for s in range(n - 1, -1, -1):
        u = (limit - at[0, s] - mean) / step
        if u > FARTHEST:
            break
        total += mass[0, s] * _normal_tail(u)
        density += mass[0, s] * math.exp(-0.5 * u * u) * INV_SQRT_2PI / step
    return total, density


@kernel
def _bound(at: FloatArray, mass: FloatArray, n: int, root: float, step: float, target: float) -> float:
    """The z above which the mass `target` lies, by Newton's method on its logarithm inside a bracket; infinite where it is too small."""
    low, high = -FARTHEST, FARTHEST
    if not _beyond(at, mass, n, high * root, 0.0, step)[0] < target:
        return np.inf
    z = 2.0
    for _ in range(LAST_STEP):
        total, density = _beyond(at, mass, n, z * root, 0.0, step)
        if total > target:
            low = z
        else:
            high = z
        move = (np.log(total) - np.log(target)) * total / (density * root) if total > 0.0 and density > 0.0 else np.inf
        if abs(move) < 1e-12:
            break
        z = z + move if low < z + move < high else 0.5 * (low + high)
        if high - low < 1e-14:
            break
    return z


@kernel
def _next_step(information: FloatArray, look: int) -> float:
    """Standard deviation of the step from a look to the next one that is taken, infinite after the last."""
    for other in range(look + 1, information.size):
        if information[other] == information[other]:
            return float(np.sqrt(information[other] - information[look]))
    return np.inf


@kernel
def _boundaries(t: FloatArray, used: FloatArray, two_sided: bool, points: FloatArray, weights: FloatArray, bound: FloatArray) -> None:
    at, mass = _state(points.size)
    for sequence in range(t.shape[0]):
        at[0, 0], mass[0, 0] = 0.0, 1.0
        n, before, spent_before = 1, 0.0, 0.0
        for look in range(t.shape[1]):
            now = t[sequence, look]
            if np.isnan(now):
                continue
            root, step = np.sqrt(now), np.sqrt(now - before)
            z = _bound(at, mass, n, root, step, used[sequence, look] - spent_before) if used[sequence, look] > spent_before else np.inf
            bound[sequence, look] = z
            following = _next_step(t[sequence], look)
            if z == np.inf or following == np.inf:
                continue  # nothing is cut off, and the next step starts where this one did
            spent_before = used[sequence, look]
            low = -z * root if two_sided else -FARTHEST * root
            n = _advance(at, mass, n, low, z * root, 0.0, step, following, points, weights)
            before = now


@kernel
def _crossings(
    information: FloatArray, bound: FloatArray, drift: FloatArray, two_sided: bool, points: FloatArray, weights: FloatArray, crossed: FloatArray
) -> None:
    at, mass = _state(points.size)
    for sequence in range(information.shape[0]):
        at[0, 0], mass[0, 0] = 0.0, 1.0
        n, before, total = 1, 0.0, 0.0
        for look in range(information.shape[1]):
            now, z = information[sequence, look], bound[sequence, look]
            if np.isnan(now):
                continue
            root, step, mean = np.sqrt(now), np.sqrt(now - before), drift[sequence] * (now - before)
            if z < np.inf:
                total += _beyond(at, mass, n, z * root, mean, step)[0]
                if two_sided:
                    inside = 0.0
                    for s in range(n):
                        inside += mass[0, s] * _normal_tail((z * root + at[0, s] + mean) / step)
                    total += inside
            crossed[sequence, look] = total
            following = _next_step(information[sequence], look)
            if z == np.inf or following == np.inf:
                continue
            lowest = drift[sequence] * now - FARTHEST * root
            low = -z * root if two_sided else min(lowest, z * root - step)
            high = z * root
            n = _advance(at, mass, n, low, high, mean, step, following, points, weights)
            before = now
