"""closed"""
from collections.abc import Sequence
import numpy as np
from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.means import NEGLIGIBLE_SPREAD
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.mmrm_iterative import *
from simtrials.stats.mmrm_iterative import Patterns, Trials, trials_of, empty_patterns, gather, TOO_FEW_PATIENTS, NO_VARIATION, COLLINEAR

@kernel
def _factor(total: FloatArray, n: float, centre: FloatArray, factor: FloatArray, size: int) -> int:
    """Cholesky factor of the leading `size` columns; returns the first column that is constant or follows from those before it, or `size`."""
    for i in range(size):
        spread = total[i, i]
        for j in range(i + 1):
            left = total[i, j]
            for k in range(j):
                left -= factor[i, k] * factor[j, k]
            if j < i:
                factor[i, j] = left / factor[j, j]
                if j == 0:
                    spread -= factor[i, 0] ** 2
            elif not left > max(COLLINEAR_BELOW * spread, n * (NEGLIGIBLE_SPREAD * centre[i]) ** 2):
                return i
            else:
                factor[i, i] = np.sqrt(left)
    return size

@kernel
def _regress(patterns: Patterns, count: int, last: int, m: int, work) -> int:
    """Sequential regressions: each visit up to `last` on the columns and on the earlier visits, among those observed at it."""
    total, factor = work.total, work.factor
    n_visits = patterns.seen.shape[1]
    total[:] = 0.0
    n = 0.0
    for t in range(n_visits - 1, -1, -1):
        for k in range(count):
            if patterns.visits[k] == 2 ** (t + 1) - 1:
                n += patterns.n[k]
                for i in range(m + t + 1):
                    for j in range(i + 1):
                        total[i, j] += patterns.moments[k, i, j]
        if t > last:
            continue
        if min(patterns.seen[0, t], patterns.seen[1, t]) < 2 or n - m - t < 1:
            return TOO_FEW_PATIENTS
        f = factor[t]
        absent = _factor(total, n, patterns.centre, f, m + t + 1)
        if absent <= m + t:
            return COLLINEAR if absent < m else NO_VARIATION
        beta = f[m + t, m - 1]
        for b in range(t - 1, -1, -1):
            slope = f[m + t, m + b]
            for c in range(b + 1, t):
                slope -= f[m + c, m + b] * work.phi[t, c]
            work.phi[t, b] = slope / f[m + b, m + b]
            beta -= work.phi[t, b] * f[m + b, m - 1]
        work.residual[t] = f[m + t, m + t] ** 2 / (n - m)
        work.df[t] = n - m
        work.beta[t] = beta / f[m - 1, m - 1]
        work.leverage[t] = 1 / f[m - 1, m - 1] ** 2
    return 0

@kernel
def _infer(weights: FloatArray, last: int, m: int, expected: bool, adjusted: bool, work, found: FloatArray) -> None:
    lower, reach, z = work.lower, work.reach, work.z
    for t in range(last + 1):
        for u in range(t + 1):
            lower[t, u] = 1.0 if t == u else 0.0
            for b in range(u, t):
                lower[t, u] += work.phi[t, b] * lower[b, u]
    estimate, variance = 0.0, 0.0
    for u in range(last + 1):
        reach[u] = 0.0
        for t in range(u, last + 1):
            reach[u] += weights[t] * lower[t, u]
        estimate += reach[u] * work.beta[u]
        variance += reach[u] ** 2 * work.residual[u] * work.leverage[u]
    spread, extra = 0.0, 0.0
    for t in range(last + 1):
        d, h = work.residual[t], work.leverage[t]
        spread += (reach[t] ** 2 * h) ** 2 * 2 * d**2 / work.df[t]
        f = work.factor[t]
        z[:] = 0.0
        for u in range(t):
            if expected:
                z[u, u] = 1 / np.sqrt(work.residual[u] * work.df[t])
            else:
                for b in range(u, t):
                    value = lower[b, u]
                    for c in range(u, b):
                        value -= f[m + b, m + c] * z[c, u]
                    z[b, u] = value / f[m + b, m + b]
        for b in range(t):
            slope = 0.0
            for u in range(b + 1):
                slope += reach[u] * work.residual[u] * work.leverage[u] * z[b, u]
                extra += 2 * reach[t] ** 2 * d * work.residual[u] * (h - work.leverage[u]) * z[b, u] ** 2
            spread += d * (2 * reach[t] * slope) ** 2
    found[0], found[1], found[2] = estimate, np.sqrt(variance + (extra if adjusted else 0.0)), 2 * variance**2 / spread

from typing import NamedTuple
class Work(NamedTuple):
    total: FloatArray
    factor: FloatArray
    phi: FloatArray
    residual: FloatArray
    df: FloatArray
    beta: FloatArray
    leverage: FloatArray
    lower: FloatArray
    reach: FloatArray
    z: FloatArray

@kernel
def _closed(trials: Trials, weights: FloatArray, expected: bool, adjusted: bool, patterns: Patterns, work, found: FloatArray, status: IntArray) -> None:
    m = trials.covariates.shape[1] + 2
    last = 0
    for v in range(weights.size):
        if weights[v] != 0:
            last = v
    for r in range(status.size):
        count = gather(trials, r, patterns)
        monotone = True
        for k in range(count):
            monotone &= (patterns.visits[k] & (patterns.visits[k] + 1)) == 0
        if not monotone:
            status[r] = -1
            continue
        status[r] = _regress(patterns, count, last, m, work)
        if status[r] == 0:
            _infer(weights, last, m, expected, adjusted, work, found[r])

def closed(outcome, arm, active, covariates, weights, expected=False, adjusted=False):
    trials = trials_of(outcome, arm, active, covariates)
    V = outcome.shape[2]; size = V + len(covariates) + 2
    w = Work(np.zeros((size, size)), np.zeros((V, size, size)), np.zeros((V, V)), *[np.zeros(V) for _ in range(4)], np.zeros((V, V)), np.zeros(V), np.zeros((V, V)))
    found = np.full((outcome.shape[0], 3), np.nan)
    status = np.zeros(outcome.shape[0], dtype=np.int64)
    _closed(trials, weights, expected, adjusted, empty_patterns(trials), w, found, status)
    return found, status
