"""Correlations of the normals behind columns, also where a column is a category, has few values or lies below a limit of detection."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.matrices import nearest_correlation

TIED_SHARE = 0.05
"""A value that several people share and that holds more than this part of the weight is an interval on the normal scale."""
LARGEST = 0.98
SMALLEST_EIGENVALUE = 0.01
"""So much room that three digits of every correlation are still a correlation matrix."""
_NODE, _SHARE = np.polynomial.legendre.leggauss(32)


@dataclass(frozen=True, slots=True)
class Scores:
    """A column on the normal scale, (n,): the middle of each value's step, its two ends, and whether the middle says enough."""

    middle: FloatArray
    low: FloatArray
    high: FloatArray
    exact: BoolArray


def normal_scores(values: FloatArray, weight: FloatArray, tied: bool = False, below: BoolArray | None = None) -> Scores:
    """Scores of a column of numbers, or of ordered codes; `tied` when every value stands for an interval, `below` marks one that does."""
    distinct, place, count = np.unique(values, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    mass = np.bincount(place, weight) / weight.sum()
    top = np.minimum(np.cumsum(mass), 1.0)
    top[-1] = 1.0
    bottom = np.concatenate([[0.0], top[:-1]])
    exact = np.zeros(distinct.size, dtype=bool) if tied else (count == 1) | (mass <= TIED_SHARE)
    of_row = exact[place] if below is None else exact[place] & ~below
    middle = ndtri((bottom + top) / 2)[place]
    with np.errstate(divide="ignore"):
        return Scores(middle, np.clip(ndtri(bottom), -9, 9)[place], np.clip(ndtri(top), -9, 9)[place], of_row)


def latent_correlation(first: Scores, second: Scores, weight: FloatArray) -> float:
    """Correlation of the normals behind two columns.

    Two columns of numbers: the weighted Pearson correlation of their normal scores. Otherwise weighted maximum likelihood with the margins
    kept at the data's: polychoric (tetrachoric) for two columns of intervals, polyserial (biserial) for one, and the same likelihood where
    only some values are intervals.

    Source: Olsson 1979, Psychometrika 44:443; Olsson, Drasgow and Dorans 1982, Psychometrika 47:337 (the two-step estimators).
    """
    from scipy.optimize import minimize_scalar

    share = weight / weight.sum()
    if first.exact.all() and second.exact.all():
        return float((share * _standard(first.middle, share) * _standard(second.middle, share)).sum())
    x, y = (_standard(side.middle, share) if side.exact.all() else side.middle for side in (first, second))
    cells, cell_share = _cells(first, second, share)
    only_first, only_second, both = first.exact & ~second.exact, second.exact & ~first.exact, first.exact & second.exact

    def misfit(rho: float) -> float:
        rest = np.sqrt(1 - rho**2)
        total = 0.0
        if both.any():
            a, b = x[both], y[both]
            density = -np.log(rest) - (a**2 - 2 * rho * a * b + b**2) / (2 * rest**2) + (a**2 + b**2) / 2
            total += float((share[both] * density).sum())
        for mask, known, other in ((only_first, x, second), (only_second, y, first)):
            inside = ndtr((other.high[mask] - rho * known[mask]) / rest) - ndtr((other.low[mask] - rho * known[mask]) / rest)
            total += float((share[mask] * np.log(np.maximum(inside, 1e-300))).sum())
        if cell_share.size:
            inside = rectangle(cells[:, 0], cells[:, 1], cells[:, 2], cells[:, 3], rho)
            total += float((cell_share * np.log(np.maximum(inside, 1e-300))).sum())
        return -total

    found = minimize_scalar(misfit, bounds=(-LARGEST, LARGEST), method="bounded", options={"xatol": 1e-6})
    return float(found.x)


def _standard(values: FloatArray, share: FloatArray) -> FloatArray:
    centered = values - (share * values).sum()
    return np.asarray(centered / np.sqrt((share * centered**2).sum()))


def _cells(first: Scores, second: Scores, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rectangles (cells, 4) of the people whose two values are intervals, and the weight in each."""
    mask = ~first.exact & ~second.exact
    ends = np.column_stack([first.low, first.high, second.low, second.high])[mask]
    cells, place = np.unique(ends, axis=0, return_inverse=True)
    return cells, np.bincount(place.reshape(-1), share[mask], cells.shape[0]).astype(np.float64)


def rectangle(low_x: FloatArray, high_x: FloatArray, low_y: FloatArray, high_y: FloatArray, rho: float) -> FloatArray:
    """Probability that two standard normals with correlation `rho` fall into rectangles."""
    upper = both_below(high_x, high_y, rho) - both_below(low_x, high_y, rho)
    return np.asarray(upper - both_below(high_x, low_y, rho) + both_below(low_x, low_y, rho))


def both_below(x: FloatArray, y: FloatArray, rho: float) -> FloatArray:
    """Distribution function of two standard normals with correlation `rho`, to about 1e-9 for correlations up to 0.98.

    Source: Drezner and Wesolowsky 1990, Journal of Statistical Computation and Simulation 35:101, equation 1 (32 Gauss-Legendre nodes).
    """
    end = np.arcsin(rho)
    angle = end * (_NODE + 1) / 2
    sine, square = np.sin(angle), np.cos(angle) ** 2
    inner = np.exp(((x * y)[..., np.newaxis] * sine - ((x**2 + y**2) / 2)[..., np.newaxis]) / square)
    return np.asarray(ndtr(x) * ndtr(y) + end / (4 * np.pi) * (inner @ _SHARE))


def valid_correlation(matrix: FloatArray) -> tuple[FloatArray, float]:
    """The matrix, or the nearest correlation matrix, with three digits; the largest change that this took."""
    near = matrix if np.linalg.eigvalsh(matrix)[0] >= SMALLEST_EIGENVALUE else nearest_correlation(matrix, smallest=SMALLEST_EIGENVALUE)
    written = np.round((near + near.T) / 2, 3)
    np.fill_diagonal(written, 1.0)
    return written, float(np.abs(near - matrix).max())


def ordered_levels(codes: AnyArray, n_levels: int, score: FloatArray, weight: FloatArray) -> AnyArray:
    """Positions of the levels that occur, from the lowest to the highest mean score."""
    present = [level for level in range(n_levels) if (codes == level).any()]
    mean = {level: float(np.average(score[codes == level], weights=weight[codes == level])) for level in present}
    return np.array(sorted(present, key=lambda level: mean[level]))
