"""Repeated measures by iteration: any missing visits, any covariance, means that need not be saturated in visits.

A trial is reduced to sums over the patients with the same visits observed (K patterns), and the restricted likelihood is climbed from them.
V visits; m columns: one, the covariates, the arm; N = V m means, column j at visit s being mean s m + j; S entries of the covariance.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.covariances import Structure, bend, entries, slopes, starting_values
from simtrials.stats.means import NEGLIGIBLE_SPREAD
from simtrials.stats.regression import COLLINEAR_BELOW

DegreesOfFreedom = Literal["satterthwaite", "kenward_roger"]
Information = Literal["observed", "expected"]

MAX_ITERATIONS = 50
MAX_HALVINGS = 20
SHORT_STEP = 1e-16
"""The climb ends with the step whose squared length, in standard errors of the parameters, is below this: the next one would be far shorter."""
NO_DESCENT = 1e-8
"""A step may lower the log-likelihood by this much, for near the top it changes by less than its rounding error."""


class Block(NamedTuple):
    """Patients as the kernels read them: patients slow, replicates fast in memory."""

    outcome: FloatArray
    """(V, patient, replicate)"""
    columns: FloatArray
    """(m - 1, patient, replicate) the covariates, and then 1 under active, 0 under control, NaN for a patient who is not analysed"""
    visits: IntArray
    """(patient, replicate) bit v is set when visit v was observed; 0 for a patient who is not analysed"""
    seen: FloatArray
    """(2, V, replicate) patients observed under control and active"""
    centre: FloatArray
    """(m + 1, replicate) what is taken off: nothing from the ones, the mean from columns and from the outcome (one for all visits)"""


class Patterns(NamedTuple):
    """Sums over the patients of a trial with the same visits observed."""

    observed: FloatArray
    """(replicate, K, V) 1 where the visit was observed"""
    n: FloatArray
    """(replicate, K) patients"""
    moments: FloatArray
    """(replicate, K, m + V, m + V) products of columns and outcomes, 0 for a visit that was not observed"""


class Climb(NamedTuple):
    """Where the restricted likelihood was evaluated, and what was found there, for each replicate."""

    value: FloatArray
    """(replicate,) its logarithm, NaN where the parameters give no covariance"""
    inverse: FloatArray
    """(replicate, K, V, V) inverse covariance of the visits observed, 0 elsewhere"""
    phi: FloatArray
    """(replicate, N, N) covariance of the means"""
    beta: FloatArray
    """(replicate, N) the means: coefficients of the columns at each visit"""
    products: FloatArray
    """(replicate, K, V, V) products of residuals"""
    crossed: FloatArray
    """(replicate, K, V, m) products of residuals and columns"""


# ---- sums over patients


@kernel
def _observe(outcome: FloatArray, arm: FloatArray, visits: IntArray, seen: FloatArray, total: FloatArray) -> None:
    for p in range(outcome.shape[1]):
        for v in range(outcome.shape[0]):
            bit = 1 << v
            for r in range(outcome.shape[2]):
                y, side = outcome[v, p, r], arm[p, r]
                there = (y == y) & (side == side)
                visits[p, r] += bit if there else 0
                total[r] += y if there else 0.0
                seen[0, v, r] += 1.0 - side if there else 0.0
                seen[1, v, r] += side if there else 0.0


def block_of(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray]) -> Block:
    """Arrange a block; nothing but the covariates and arms is copied when the outcome lies visit by visit, then patient by patient."""
    outcome = np.ascontiguousarray(outcome.transpose(2, 1, 0), dtype=np.float64)
    n_visits, n_patients, n_replicates = outcome.shape
    columns = np.empty((len(covariates) + 1, n_patients, n_replicates))
    side = np.full(arm.shape[::-1], np.nan)
    side[arm.T == 0], side[arm.T == active] = 0.0, 1.0
    for c, column in enumerate(covariates):
        columns[c] = column.T
        side[np.isnan(columns[c])] = np.nan
    columns[-1] = side
    visits = np.zeros((n_patients, n_replicates), dtype=np.int64)
    seen, total = np.zeros((2, n_visits, n_replicates)), np.zeros(n_replicates)
    _observe(outcome, side, visits, seen, total)
    there = visits > 0
    n_patients_seen, n_values = np.maximum(there.sum(axis=0), 1), np.maximum(seen.sum(axis=(0, 1)), 1)
    means = [np.where(there, column, 0.0).sum(axis=0) / n_patients_seen for column in columns]
    return Block(outcome, columns, visits, seen, np.stack([np.zeros(n_replicates), *means, total / n_values]))


@kernel
def _add_complete(outcome: FloatArray, columns: FloatArray, visits: IntArray, centre: FloatArray, rows: FloatArray, sums: FloatArray) -> None:
    """Add the patients with every visit, four at a time, all replicates at once."""
    n_columns, n_visits, n_patients = columns.shape[0], outcome.shape[0], visits.shape[0]
    complete = (1 << n_visits) - 1
    for first in range(0, n_patients, 4):
        for q in range(4):
            p, row = min(first + q, n_patients - 1), rows[q]
            counted = first + q < n_patients
            for r in range(visits.shape[1]):
                row[0, r] = 1.0 if (visits[p, r] == complete) & counted else 0.0
            for i in range(n_columns):
                for r in range(visits.shape[1]):
                    row[i + 1, r] = columns[i, p, r] - centre[i + 1, r] if row[0, r] > 0.0 else 0.0
            for v in range(n_visits):
                for r in range(visits.shape[1]):
                    row[n_columns + 1 + v, r] = outcome[v, p, r] - centre[n_columns + 1, r] if row[0, r] > 0.0 else 0.0
        line = 0
        for i in range(rows.shape[1]):
            for j in range(i + 1):
                for r in range(rows.shape[2]):
                    one = rows[0, i, r] * rows[0, j, r] + rows[1, i, r] * rows[1, j, r]
                    two = rows[2, i, r] * rows[2, j, r] + rows[3, i, r] * rows[3, j, r]
                    sums[line, r] += one + two
                line += 1


@kernel
def _add_incomplete(
    outcome: FloatArray, columns: FloatArray, visits: IntArray, place: IntArray, centre: FloatArray, row: FloatArray, sums: FloatArray
) -> None:
    """Add every other patient to the pattern at `place`, -1 for none."""
    n_columns, n_visits = columns.shape[0], outcome.shape[0]
    row[0] = 1.0
    for p in range(visits.shape[0]):
        for r in range(visits.shape[1]):
            k = place[p, r]
            if k < 0:
                continue
            for i in range(n_columns):
                row[i + 1] = columns[i, p, r] - centre[i + 1, r]
            for v in range(n_visits):
                row[n_columns + 1 + v] = outcome[v, p, r] - centre[n_columns + 1, r] if (visits[p, r] >> v) & 1 else 0.0
            for i in range(row.size):
                if row[i] != 0.0:
                    for j in range(i + 1):
                        sums[r, k, i * (i + 1) // 2 + j] += row[i] * row[j]


def add_up(block: Block, place: IntArray, n_patterns: int) -> tuple[FloatArray, FloatArray]:
    """Products of ones, columns and outcomes, lower triangle row after row: of complete patients (line, R), of the others (R, K, line)."""
    n_visits, _, n_replicates = block.outcome.shape
    size = block.columns.shape[0] + 1 + n_visits
    n_lines = size * (size + 1) // 2
    complete, others = np.zeros((n_lines, n_replicates)), np.zeros((n_replicates, n_patterns, n_lines))
    _add_complete(block.outcome, block.columns, block.visits, block.centre, np.empty((4, size, n_replicates)), complete)
    _add_incomplete(block.outcome, block.columns, block.visits, place, block.centre, np.empty(size), others)
    return complete, others


@kernel
def _number(visits: IntArray, complete: int, known: IntArray, place: IntArray) -> None:
    """Number the patterns of each replicate in the order met; the complete one is 0 and has no place."""
    for p in range(visits.shape[0]):
        for r in range(visits.shape[1]):
            if visits[p, r] == 0 or visits[p, r] == complete:
                continue
            k = 1
            while known[r, k] != 0 and known[r, k] != visits[p, r]:
                k += 1
            known[r, k] = visits[p, r]
            place[p, r] = k


def patterns_of(block: Block) -> Patterns:
    """The sums of each pattern of observed visits, the complete one first."""
    n_visits, n_patients, n_replicates = block.outcome.shape
    complete = (1 << n_visits) - 1
    known = np.zeros((n_replicates, min(n_patients, complete) + 2), dtype=np.int64)
    place = np.full(block.visits.shape, -1)
    _number(block.visits, complete, known, place)
    known = known[:, : 1 + np.count_nonzero(known, axis=1).max()]
    known[:, 0] = complete
    of_complete, sums = add_up(block, place, known.shape[1])
    sums[:, 0] = of_complete.T
    rows, columns = np.indices((block.columns.shape[0] + 1 + n_visits,) * 2)
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    observed = (known[:, :, np.newaxis] >> np.arange(n_visits)) & 1
    return Patterns(observed.astype(np.float64), sums[:, :, 0].copy(), sums[:, :, high * (high + 1) // 2 + low])


# ---- the restricted likelihood and its derivatives


@kernel
def _invert(matrices: FloatArray, least: float, drop: bool, log_determinant: FloatArray) -> None:
    """Invert symmetric matrices in place by sweeps; a row whose diagonal is 0 stays 0. NaN in `log_determinant` for one that is not positive.

    A pivot below `least` times its diagonal is not positive; with `drop` its row and column are left out instead, unless it is negative.
    """
    size = matrices.shape[1]
    diagonal, row = np.empty(size), np.empty(size)
    for r in range(matrices.shape[0]):
        a = matrices[r]
        total = 0.0
        for v in range(size):
            diagonal[v] = a[v, v]
        for v in range(size):
            if diagonal[v] == 0.0:
                continue
            pivot = a[v, v]
            small = not pivot > least * diagonal[v]
            if small and not (drop and pivot > -least * diagonal[v]):
                total = np.nan
                break
            share = 0.0 if small else 1.0 / pivot
            for j in range(size):
                row[j] = a[v, j]
            for i in range(size):
                factor = row[i] * share
                for j in range(size):
                    a[i, j] -= factor * row[j]
            for j in range(size):
                a[v, j] = row[j] * share
                a[j, v] = row[j] * share
            a[v, v] = -share
            total += 0.0 if small else np.log(pivot)
        for i in range(size):
            for j in range(size):
                a[i, j] = -a[i, j]
        log_determinant[r] = total


def inverted(matrices: FloatArray, drop: bool = False) -> tuple[FloatArray, FloatArray]:
    """Inverses of positive matrices (..., n, n), and the logarithms of their determinants, NaN where one is not positive."""
    inverse = np.ascontiguousarray(matrices).copy()
    log_determinant = np.empty(inverse.shape[:-2])
    _invert(inverse.reshape(-1, *inverse.shape[-2:]), COLLINEAR_BELOW, drop, log_determinant.reshape(-1))
    return inverse, log_determinant


@kernel
def _normal_equations(inverse: FloatArray, moments: FloatArray, information: FloatArray, right: FloatArray) -> None:
    """X' V^-1 X and X' V^-1 y over all means."""
    n_visits = inverse.shape[2]
    m = moments.shape[2] - n_visits
    for r in range(inverse.shape[0]):
        for k in range(inverse.shape[1]):
            for s in range(n_visits):
                for u in range(n_visits):
                    w = inverse[r, k, s, u]
                    if w != 0.0:
                        for j in range(m):
                            right[r, s * m + j] += w * moments[r, k, j, m + u]
                            for i in range(m):
                                information[r, s * m + j, u * m + i] += w * moments[r, k, j, i]


@kernel
def _residuals(observed: FloatArray, moments: FloatArray, beta: FloatArray, outcome: float, products: FloatArray, crossed: FloatArray) -> None:
    """Products of `outcome` y - X beta with itself and with the columns; `outcome` is 1, or 0 for the fitted values alone."""
    n_visits = observed.shape[2]
    m = moments.shape[2] - n_visits
    for r in range(beta.shape[0]):
        for k in range(observed.shape[1]):
            for s in range(n_visits):
                if observed[r, k, s] == 0.0:
                    continue
                for j in range(m):
                    left = outcome * moments[r, k, j, m + s]
                    for i in range(m):
                        left -= moments[r, k, j, i] * beta[r, s * m + i]
                    crossed[r, k, s, j] = left
                for u in range(s + 1):
                    if observed[r, k, u] != 0.0:
                        left = outcome * moments[r, k, m + s, m + u]
                        for j in range(m):
                            left -= outcome * beta[r, u * m + j] * moments[r, k, j, m + s] + beta[r, s * m + j] * crossed[r, k, u, j]
                        products[r, k, s, u] = left
                        products[r, k, u, s] = left


def _full(entry: FloatArray, n_visits: int) -> FloatArray:
    """(R, V, V) matrices of their lower triangles (S, R)."""
    rows, columns = np.tril_indices(n_visits)
    matrix = np.empty((entry.shape[1], n_visits, n_visits))
    matrix[:, rows, columns] = matrix[:, columns, rows] = entry.T
    return matrix


def _lower(matrix: FloatArray) -> FloatArray:
    """(S, R) derivatives in the entries of a symmetric matrix, from the derivatives (R, V, V) in its elements."""
    rows, columns = np.tril_indices(matrix.shape[-1])
    return np.asarray((matrix[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)).T)


def climb_to(sigma: FloatArray, patterns: Patterns, design: FloatArray | None) -> Climb:
    """The restricted likelihood at covariances `sigma` (S, R).

    `design` (N, q) maps q coefficients to the means; None where each mean is a coefficient.
    """
    observed, moments = patterns.observed, patterns.moments
    n_replicates, n_patterns, n_visits = observed.shape
    m = moments.shape[-1] - n_visits
    within = observed[:, :, :, np.newaxis] * observed[:, :, np.newaxis]
    inverse, log_determinant = inverted(_full(sigma, n_visits)[:, np.newaxis] * within)
    information, right = np.zeros((n_replicates, n_visits * m, n_visits * m)), np.zeros((n_replicates, n_visits * m))
    _normal_equations(inverse, moments, information, right)
    phi, of_means = inverted(information if design is None else design.T @ information @ design)
    if design is not None:
        phi = design @ phi @ design.T
    beta = (phi @ right[:, :, np.newaxis])[:, :, 0]
    products, crossed = np.zeros_like(inverse), np.zeros((n_replicates, n_patterns, n_visits, m))
    _residuals(observed, moments, beta, 1.0, products, crossed)
    deviance = (patterns.n * log_determinant).sum(axis=1) + of_means + (inverse * products).sum(axis=(1, 2, 3))
    return Climb(-0.5 * deviance, inverse, phi, beta, products, crossed)


@kernel
def _sandwich(inverse: FloatArray, middle: FloatArray, total: FloatArray) -> None:
    """V^-1 M V^-1 for each pattern."""
    n_visits = inverse.shape[2]
    half = np.empty((n_visits, n_visits))
    for r in range(inverse.shape[0]):
        for k in range(inverse.shape[1]):
            for i in range(n_visits):
                for j in range(n_visits):
                    half[i, j] = 0.0
                    for s in range(n_visits):
                        half[i, j] += inverse[r, k, i, s] * middle[r, k, s, j]
            for i in range(n_visits):
                for j in range(i + 1):
                    value = 0.0
                    for s in range(n_visits):
                        value += half[i, s] * inverse[r, k, j, s]
                    total[r, k, i, j] = value
                    total[r, k, j, i] = value


@kernel
def _pairs(outer: FloatArray, inverse: FloatArray, total: FloatArray) -> None:
    """Sum over patterns of tr(M A V^-1 B) for M = `outer`, A and B going through the entries of the covariance: (replicate, S, S)."""
    n_visits = inverse.shape[2]
    for r in range(inverse.shape[0]):
        for k in range(inverse.shape[1]):
            m, w = outer[r, k], inverse[r, k]
            a = 0
            for s in range(n_visits):
                for u in range(s + 1):
                    b = 0
                    for t in range(s + 1):
                        for v in range(t + 1):
                            value = m[v, s] * w[u, t] + m[t, s] * w[u, v] + m[v, u] * w[s, t] + m[t, u] * w[s, v]
                            total[r, a, b] += value * (0.5 if s == u else 1.0) * (0.5 if t == v else 1.0)
                            b += 1
                    a += 1


@kernel
def _columns(inverse: FloatArray, crossed: FloatArray, total: FloatArray) -> None:
    """X' V^-1 A V^-1 e for each entry of the covariance, from the products `crossed` of e and X: (replicate, S, N)."""
    n_visits, m = crossed.shape[2], crossed.shape[3]
    weighted = np.empty((n_visits, m))
    for r in range(inverse.shape[0]):
        for k in range(inverse.shape[1]):
            omega = inverse[r, k]
            for s in range(n_visits):
                for j in range(m):
                    weighted[s, j] = 0.0
                    for u in range(n_visits):
                        weighted[s, j] += omega[s, u] * crossed[r, k, u, j]
            line = 0
            for s in range(n_visits):
                for u in range(s + 1):
                    twice = 0.5 if s == u else 1.0
                    for t in range(n_visits):
                        for j in range(m):
                            total[r, line, t * m + j] += twice * (omega[t, s] * weighted[u, j] + omega[t, u] * weighted[s, j])
                    line += 1


@kernel
def _information_slopes(inverse: FloatArray, moments: FloatArray, total: FloatArray) -> None:
    """X' V^-1 A V^-1 X for each entry of the covariance: (replicate, S, N, N)."""
    n_visits = inverse.shape[2]
    m = moments.shape[2] - n_visits
    for r in range(inverse.shape[0]):
        for k in range(inverse.shape[1]):
            omega = inverse[r, k]
            line = 0
            for s in range(n_visits):
                for u in range(s + 1):
                    twice = 0.5 if s == u else 1.0
                    for t in range(n_visits):
                        for v in range(n_visits):
                            w = twice * (omega[t, s] * omega[u, v] + omega[t, u] * omega[s, v])
                            if w != 0.0:
                                for j in range(m):
                                    for i in range(m):
                                        total[r, line, t * m + j, v * m + i] += w * moments[r, k, j, i]
                    line += 1


def _sandwiched(inverse: FloatArray, middle: FloatArray) -> FloatArray:
    total = np.empty_like(inverse)
    _sandwich(inverse, middle, total)
    return total


def _paired(outer: FloatArray, inverse: FloatArray) -> FloatArray:
    size = inverse.shape[-1] * (inverse.shape[-1] + 1) // 2
    total = np.zeros((inverse.shape[0], size, size))
    _pairs(outer, inverse, total)
    rows, columns = np.tril_indices(size, -1)
    total[:, columns, rows] = total[:, rows, columns]
    return total


def _quadratic(climb: Climb, outer: FloatArray, crossed: FloatArray) -> FloatArray:
    """e' V^-1 A P B V^-1 e for all pairs of entries, (R, S, S), from the products of vectors e: V^-1 e e' V^-1 summed, and e with X."""
    total = _paired(outer, climb.inverse)
    along = np.zeros((total.shape[0], total.shape[1], climb.phi.shape[1]))
    _columns(climb.inverse, crossed, along)
    return np.asarray(total - along @ climb.phi @ along.transpose(0, 2, 1))


class Slopes(NamedTuple):
    """First and second derivatives of the restricted likelihood in the entries of the covariance."""

    score: FloatArray
    """(S, R)"""
    average: FloatArray
    """(R, S, S) average information"""
    shared: FloatArray
    """(R, K, V, V) V^-1 X Phi X' V^-1 of each pattern"""


def _slopes_at(climb: Climb, patterns: Patterns) -> Slopes:
    n_replicates, n_patterns, n_visits = patterns.observed.shape
    m = patterns.moments.shape[-1] - n_visits
    by_visits = climb.phi.reshape(-1, n_visits, m, n_visits, m).transpose(0, 2, 4, 1, 3).reshape(n_replicates, m * m, n_visits**2)
    fitted = patterns.moments[:, :, :m, :m].reshape(n_replicates, n_patterns, m * m) @ by_visits
    shared = _sandwiched(climb.inverse, fitted.reshape(climb.inverse.shape))
    residual = _sandwiched(climb.inverse, climb.products)
    gap = (residual + shared - patterns.n[:, :, np.newaxis, np.newaxis] * climb.inverse).sum(axis=1)
    return Slopes(0.5 * _lower(gap), 0.5 * _quadratic(climb, residual, climb.crossed), shared)


def _expected(climb: Climb, patterns: Patterns, shared: FloatArray) -> FloatArray:
    """Expected information on the entries of the covariance, tr(P A P B) / 2: (R, S, S)."""
    total = _paired(0.5 * patterns.n[:, :, np.newaxis, np.newaxis] * climb.inverse - shared, climb.inverse)
    n_replicates, n_means, _ = climb.phi.shape
    changes = np.zeros((*total.shape[:2], n_means, n_means))
    _information_slopes(climb.inverse, patterns.moments, changes)
    moved = climb.phi[:, np.newaxis] @ changes
    flat = moved.reshape(n_replicates, -1, n_means**2)
    return np.asarray(total + 0.5 * flat @ moved.transpose(0, 3, 2, 1).reshape(n_replicates, n_means**2, -1))


def _in_parameters(matrix: FloatArray, slope: FloatArray | None) -> FloatArray:
    """(R, p, p) from (R, S, S) by the derivatives `slope` (R, p, S); None where the parameters are the entries."""
    return matrix if slope is None else np.asarray(slope @ matrix @ slope.transpose(0, 2, 1))


def subset(of, which):
    return type(of)(*(part[which] for part in of))

def start_at(patterns, design):
    n_replicates, _, n_visits = patterns.observed.shape
    m = patterns.moments.shape[-1] - n_visits
    rows, columns = np.tril_indices(n_visits)
    one = np.repeat((rows == columns).astype(float)[:, None], n_replicates, axis=1)
    c = climb_to(one, patterns, design)
    pairs = (patterns.n[:, :, None] * patterns.observed[:, :, rows] * patterns.observed[:, :, columns]).sum(1).T
    sigma = c.products.sum(1)[:, rows, columns].T / np.maximum(pairs - m, 1)
    for _ in range(20):
        bad = np.isnan(inverted(_full(sigma, n_visits))[1])
        if not bad.any(): break
        sigma[np.ix_(rows != columns, bad)] *= 0.8
    return c, sigma

def maximise(structure, patterns, times, design, newton=False, log=None):
    R, _, V = patterns.observed.shape
    _, sigma = start_at(patterns, design)
    theta = starting_values(structure, sigma, times)
    climb = climb_to(entries(structure, theta, times), patterns, design)
    converged = np.zeros(R, bool); which = np.arange(R)
    iters = np.zeros(R, int); evals=np.zeros(R,int)
    for it in range(MAX_ITERATIONS):
        cl, pt, th = subset(climb, which), subset(patterns, which), theta[:, which]
        sl = _slopes_at(cl, pt)
        J = slopes(structure, th, times).transpose(2, 0, 1)
        score = (J @ sl.score.T[:, :, None])[:, :, 0]
        ai = _in_parameters(sl.average, J)
        w, ld = inverted(ai, drop=True)
        if newton:
            ob = _in_parameters(2 * sl.average - _expected(cl, pt, sl.shared), J) - bend(structure, th, times, sl.score).transpose(2, 0, 1)
            w2, ld2 = inverted(ob)
            good = ~np.isnan(ld2)
            w[good] = w2[good]
        step = (w @ score[:, :, None])[:, :, 0]
        dec = (step * score).sum(1)
        if log is not None: log.append((which.size, np.median(dec), dec.max()))
        factor = np.ones(which.size); pending = np.arange(which.size)
        for h in range(MAX_HALVINGS):
            t = th[:, pending] + factor[pending] * step[pending].T
            new = climb_to(entries(structure, t, times), subset(pt, pending), design)
            evals[which[pending]] += 1
            ok = new.value >= cl.value[pending] - NO_DESCENT
            gone = which[pending[ok]]
            theta[:, gone] = t[:, ok]
            for a, b in zip(climb, new): a[gone] = b[ok]
            pending = pending[~ok]
            if pending.size == 0: break
            factor[pending] *= 0.5
        iters[which] += 1
        done = (dec < SHORT_STEP); done[pending] = False
        stuck = np.zeros(which.size, bool); stuck[pending] = True
        converged[which[done]] = True
        which = which[~(done | stuck)]
        if which.size == 0: break
    return theta, climb, converged, iters, evals
