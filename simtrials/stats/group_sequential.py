"""Repeated looks at accumulating evidence: the probability to cross boundaries, and boundaries that spend an error rate, by exact recursion.

At information I_1 < I_2 < ... the sum S_j = Z_j sqrt(I_j) is a random walk with independent normal steps of variance I_j - I_(j-1) and mean
drift times that. The density of S_j on paths that have not crossed is integrated from look to look by Gauss-Legendre quadrature; the number of
nodes follows the width of the continuation region in units of the next step, so that each step is resolved to about ten digits.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel

Spending = Literal["obrien_fleming", "pocock"]
Sides = Literal["two_sided", "one_sided"]
FARTHEST = 9.0
"""Standard deviations beyond which a normal has no mass that matters: 1e-19. Boundaries farther out are infinite."""
NODES_EACH = 16
PANEL = 3.0
"""Nodes of a panel and its width, in standard deviations of the next step: the error of 16 nodes for a normal density is below 1e-12."""
SQRT_HALF, INV_SQRT_2PI = float(np.sqrt(0.5)), float(1 / np.sqrt(2 * np.pi))
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(NODES_EACH)
LAST_STEP = 100


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
    final_at_last: bool = False,
) -> Boundaries:
    """Boundaries that spend an error rate as information accrues, for one sequence of looks (look,) or for many (..., look).

    Parameters
    ----------
    fractions : share of the planned information at each look, increasing; NaN for a look that is not taken. The first look at 1 or more is the
        final one: it spends what is left, and later looks have the boundary NaN
    alpha : error rate, of both sides together in two-sided designs, half of it in each
    spending : as for `spent`, the function of each side
    final_at_last : whether the last look spends what is left although its fraction is below 1

    Source: Lan and DeMets (1983), Biometrika 70, 659-663; recursion: Armitage, McPherson and Rowe (1969), JRSS A 132, 235-244; Jennison and
    Turnbull (2000), Group Sequential Methods, chapter 19. The design with five looks is that of Reboussin et al. (2000), Controlled Clinical
    Trials 21, 190-207.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"spending_boundaries: alpha must lie between 0 and 1, got {alpha!r}")
    if sides not in get_args(Sides):
        raise ValueError(f"spending_boundaries: sides = {sides!r} is not known{did_you_mean(str(sides), get_args(Sides))}")
    t = _increasing(fractions, "spending_boundaries", "fractions")
    two_sided = sides == "two_sided"
    each = alpha / 2 if two_sided else alpha
    used = np.where(t >= 1, each, spent(t, each, spending))
    if final_at_last:
        last = t == np.fmax.reduce(t, axis=-1)[:, np.newaxis]
        used = np.where(last, each, used)
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
    arrays = np.ascontiguousarray(looks), np.ascontiguousarray(limits), np.ascontiguousarray(drifts)
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
def _nodes(low: float, high: float, step: float, points: FloatArray, weights: FloatArray, at: FloatArray, weight: FloatArray) -> int:
    """Composite Gauss-Legendre nodes on (low, high), panels no wider than PANEL steps; their number."""
    panels = max(1, int(math.ceil((high - low) / (PANEL * step))))
    panels = min(panels, at.size // points.size)
    half = 0.5 * (high - low) / panels
    for panel in range(panels):
        center = low + (2 * panel + 1) * half
        for i in range(points.size):
            at[panel * points.size + i] = center + half * points[i]
            weight[panel * points.size + i] = half * weights[i]
    return panels * points.size
