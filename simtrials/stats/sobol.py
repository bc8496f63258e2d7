"""Sobol' indices of a share that is itself simulated: how much of its variance each assumption accounts for.

The points are those of SciPy's scrambled Sobol' sequences, the indices SciPy's `sobol_indices` (Saltelli et al. 2010). Several sets of points,
each with a scrambling and with trials of its own, give the interval; what the trials add to the variance is deducted.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray

SETS = 4
"""Independent sets of points; their spread gives the interval."""
MOST_NOISE = 0.5
"""Share of the variance of simulated power that may come from the trials rather than from the assumptions."""


@dataclass(frozen=True, slots=True)
class Indices:
    """Shares of variance (d,) with standard errors (d,), and all the estimates from halves of the sets, (h, d); NaN where hardly any variance."""

    first_order: FloatArray
    total_order: FloatArray
    first_order_se: FloatArray
    total_order_se: FloatArray
    halves: FloatArray
    sd: float
    noise: float

    def clearly_larger(self, i: int, k: int) -> bool:
        """Whether the total index of i is larger than that of k, by a one-sided t test at 2.5% on the halves of the sets."""
        se = _spread(self.halves[:, i] - self.halves[:, k])
        return bool(self.total_order[i] - self.total_order[k] > t_quantile() * se)


def t_quantile() -> float:
    """97.5% quantile of Student's t with a degree of freedom less than there are sets."""
    from scipy.special import stdtrit

    return float(stdtrit(SETS - 1, 0.975))


def sobol_design(n_fields: int, n_points: int, rng: np.random.Generator) -> FloatArray:
    """Points at which a function is needed for its Sobol' indices.

    Parameters
    ----------
    n_fields : d, at least 1
    n_points : n, a power of 2

    Returns
    -------
    (d + 2, n, d) uniform numbers above 0 and below 1: the points of A, those of B, and for each field those of A with that field from B

    Source: Saltelli et al. (2010), Computer Physics Communications 181, 259-270, section 5.
    """
    from scipy.stats import qmc

    both = qmc.Sobol(d=2 * n_fields, bits=64, seed=rng).random(n_points)
    both = np.clip(both, 1e-12, 1 - 1e-12)
    a, b = both[:, :n_fields], both[:, n_fields:]
    mixed = np.repeat(a[np.newaxis], n_fields, axis=0)
    fields = np.arange(n_fields)
    mixed[fields, :, fields] = b.T
    return np.concatenate([a[np.newaxis], b[np.newaxis], mixed])


def share_indices(shown: BoolArray) -> Indices:
    """Sobol' indices of a share from the trials in which something was shown.

    Within a set all points have the same trials (common random numbers), between sets all is independent. Products of simulated shares are on average
    too large by the covariance of their errors, which is estimated from the trials and deducted, so that more trials at a point make the indices
    more precise and not different. The standard errors are those of the delete-half jackknife over sets: they hold the error of the points and of
    the trials.

    Parameters
    ----------
    shown : (SETS, d + 2, n, replicate) bool, at the points of `sobol_design`; at least 2 replicates, n a power of 2

    Returns
    -------
    Indices; all NaN where power varies so little that more than half of its variance comes from the trials

    Source: Saltelli et al. (2010), Computer Physics Communications 181, 259-270, table 2 (b) and (f), as in `scipy.stats.sobol_indices`;
    deduction of noise: Clements et al. (2024), arXiv 2403.06106 (variance deconvolution), here with errors that are correlated;
    jackknife: Shao and Wu (1989), Annals of Statistics 17, 1176-1197.
    """
    noise = _noise(shown)
    share = shown.mean(axis=-1)
    every = np.arange(SETS)[np.newaxis]
    first, total, variance, lost = (one[0] for one in _indices(share, noise, every))
    if variance <= 0 or lost > MOST_NOISE * (variance + lost):
        unknown = np.full(shown.shape[1] - 2, np.nan)
        return Indices(unknown, unknown, unknown, unknown, unknown[np.newaxis], 0.0, 1.0)
    first_half, total_half, *_ = _indices(share, noise, np.array(list(combinations(range(SETS), SETS // 2))))
    return Indices(first, total, _spread(first_half), _spread(total_half), total_half, float(np.sqrt(variance)), float(lost / (variance + lost)))


def _spread(halves: FloatArray) -> FloatArray:
    """Standard error from the estimates of all halves of the sets (h, ...): the delete-half jackknife."""
    return np.asarray(np.sqrt(((halves - halves.mean(axis=0)) ** 2).mean(axis=0)))


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the errors of simulated shares add on average to products of them, by set (K,) and field (K, d)."""

    square: FloatArray
    center_square: FloatArray
    first: FloatArray
    center_first: FloatArray
    total: FloatArray


def _noise(shown: BoolArray) -> _Noise:
    """Covariances of the errors of simulated shares, from the trials: (mean of products - product of means) / (replicates - 1)."""
    rest = shown.shape[-1] - 1
    share = shown.mean(axis=-1)
    a, b, mixed = shown[:, :1], shown[:, 1:2], shown[:, 2:]
    share_a, share_b, share_mixed = share[:, :1], share[:, 1:2], share[:, 2:]
    centers = shown[:, :2].mean(axis=(1, 2))  # K, R
    moved = mixed.mean(axis=2) - a.mean(axis=2)  # K, d, R
    product = (centers[:, np.newaxis] * moved).mean(axis=-1) - centers.mean(axis=-1)[:, np.newaxis] * moved.mean(axis=-1)
    first = (b & mixed).mean(axis=-1) - (b & a).mean(axis=-1) - share_b * (share_mixed - share_a)
    total = ((a ^ mixed).mean(axis=-1) - (share_a - share_mixed) ** 2) / 2
    return _Noise(
        (share[:, :2] * (1 - share[:, :2])).mean(axis=(1, 2)) / rest,
        centers.var(axis=-1) / rest,
        first.mean(axis=-1) / rest,
        product / rest,
        total.mean(axis=-1) / rest,
    )


def _indices(share: FloatArray, noise: _Noise, sets: AnyArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """First-order and total indices (s, d), variance (s,) and what was deducted from it, from these sets (s, m) together."""
    from scipy.stats import sobol_indices

    n_sub, m = sets.shape
    values = np.moveaxis(share[sets], 2, 0).reshape(share.shape[1], n_sub, -1)  # d + 2, s, m n
    found = sobol_indices(func={"f_A": values[0], "f_B": values[1], "f_AB": values[2:]}, n=values.shape[-1])
    raw = values[:2].var(axis=(0, -1))
    lost = noise.square[sets].mean(axis=1) - noise.center_square[sets].mean(axis=1) / m
    variance = raw - lost
    first = np.reshape(found.first_order, (n_sub, -1)) * raw[:, np.newaxis]
    first = first - noise.first[sets].mean(axis=1) + noise.center_first[sets].mean(axis=1) / m
    total = np.reshape(found.total_order, (n_sub, -1)) * raw[:, np.newaxis] - noise.total[sets].mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return first / variance[:, np.newaxis], total / variance[:, np.newaxis], variance, lost
