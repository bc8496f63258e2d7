"""The restricted likelihood of repeated measures, and its derivatives in the entries of their covariance.

V visits; K patterns of visits observed; m columns: one, the covariates, the arm; N = V m means, column j at visit s being mean s m + j;
S = V (V + 1) / 2 entries of the covariance, its lower triangle row after row; R replicates, which come last: every step of the algebra of
small matrices is taken for all of them at once. V is the covariance of all observations, X their columns, P the projection
V^-1 - V^-1 X Phi X' V^-1, A and B derivatives of V in two entries.
"""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.visit_sums import Patterns

FEW = 32
"""Replicates taken together where there is a matrix of all means for every entry of the covariance: they stay near the processor."""

# ---- algebra of small matrices


@kernel
def _multiply(first: FloatArray, second: FloatArray, product: FloatArray) -> None:
    size = first.shape[1]
    for n in range(product.shape[0]):
        a, b = first[n % first.shape[0]], second[n % second.shape[0]]
        for i in range(product.shape[1]):
            for j in range(product.shape[2]):
                for r in range(product.shape[3]):
                    product[n, i, j, r] = 0.0
                for k in range(0, size - 3, 4):
                    for r in range(product.shape[3]):
                        one = a[k, i, r] * b[k, j, r] + a[k + 1, i, r] * b[k + 1, j, r]
                        two = a[k + 2, i, r] * b[k + 2, j, r] + a[k + 3, i, r] * b[k + 3, j, r]
                        product[n, i, j, r] += one + two
                for k in range(size - size % 4, size):
                    for r in range(product.shape[3]):
                        product[n, i, j, r] += a[k, i, r] * b[k, j, r]


def cross(first: FloatArray, second: FloatArray) -> FloatArray:
    """A'B of matrices (..., k, i, R) and (..., k, j, R); one of them may lack the leading axis."""
    a, b = (np.ascontiguousarray(x).reshape(-1, *x.shape[-3:]) for x in (first, second))
    product = np.empty((max(len(a), len(b)), a.shape[2], b.shape[2], a.shape[3]))
    _multiply(a, b, product)
    return product if max(first.ndim, second.ndim) == 4 else product[0]


def between(matrix: FloatArray, outer: FloatArray) -> FloatArray:
    """B'AB for symmetric A."""
    return cross(outer, cross(matrix, outer))


@kernel
def _invert(matrices: FloatArray, least: float, drop: bool, log_determinant: FloatArray) -> None:
    size, n_replicates = matrices.shape[1], matrices.shape[3]
    diagonal, row, share = np.empty((size, n_replicates)), np.empty((size, n_replicates)), np.empty(n_replicates)
    for n in range(matrices.shape[0]):
        a = matrices[n]
        for v in range(size):
            for r in range(n_replicates):
                diagonal[v, r] = a[v, v, r]
        for v in range(size):
            for r in range(n_replicates):
                pivot, limit = a[v, v, r], least * diagonal[v, r]
                absent = diagonal[v, r] == 0.0 or (drop and abs(pivot) <= limit)
                share[r] = 0.0 if absent else 1.0 / pivot
                log_determinant[n, r] += 0.0 if absent else np.log(pivot) if pivot > limit else np.nan
            for j in range(size):
                for r in range(n_replicates):
                    row[j, r] = a[v, j, r]
            for i in range(size):
                for j in range(size):
                    for r in range(n_replicates):
                        a[i, j, r] -= row[i, r] * share[r] * row[j, r]
            for j in range(size):
                for r in range(n_replicates):
                    a[v, j, r] = row[j, r] * share[r]
                    a[j, v, r] = a[v, j, r]
            for r in range(n_replicates):
                a[v, v, r] = -share[r]
        for i in range(size):
            for j in range(size):
                for r in range(n_replicates):
                    a[i, j, r] = -a[i, j, r]


def inverted(matrices: FloatArray, drop: bool = False) -> tuple[FloatArray, FloatArray]:
    """Inverses of positive matrices (..., n, n, R) by sweeps, and logarithms of determinants (..., R), NaN where one is not positive.

    A row whose diagonal is 0 stays 0. A pivot below a small share of its diagonal is not positive; with `drop` it is 0 and its row stays out.

    Source: Goodnight (1979), The American Statistician 33, 149-158 (the sweep operator).
    """
    inverse = np.array(matrices, order="C")
    log_determinant = np.zeros((*inverse.shape[:-3], inverse.shape[-1]))
    _invert(inverse.reshape(-1, *inverse.shape[-3:]), COLLINEAR_BELOW, drop, log_determinant.reshape(-1, inverse.shape[-1]))
    return inverse, log_determinant


def places(n_visits: int) -> IntArray:
    """(V, V) place of each element of a symmetric matrix among its S entries."""
    rows, columns = np.indices((n_visits, n_visits))
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    return np.asarray(high * (high + 1) // 2 + low)


def lower_slopes(matrix: FloatArray) -> FloatArray:
    """(S, R) derivatives in the entries of a symmetric matrix, from the derivatives (V, V, R) in its elements."""
    rows, columns = np.tril_indices(len(matrix))
    return np.asarray(matrix[rows, columns] * np.where(rows == columns, 1.0, 2.0)[:, np.newaxis])


# ---- the likelihood


class Climb(NamedTuple):
    """Where the restricted likelihood was evaluated, and what was found there."""

    sigma: FloatArray
    """(S, R) the covariance"""
    value: FloatArray
    """(R,) logarithm of the likelihood, NaN where sigma is no covariance or the means cannot be told apart"""
    inverse: FloatArray
    """(K, V, V, R) inverse covariance of the visits observed, 0 elsewhere"""
    phi: FloatArray
    """(N, N, R) covariance of the means"""
    beta: FloatArray
    """(N, R) the means: coefficients of the columns at each visit"""
    products: FloatArray
    """(K, V, V, R) products of residuals; of no meaning at visits not observed"""
    crossed: FloatArray
    """(K, m, V, R) products of columns and residuals, likewise"""


def _entries(matrices: FloatArray) -> FloatArray:
    """(K, S, R) entries of symmetric matrices (K, V, V, R)."""
    rows, columns = np.tril_indices(matrices.shape[1])
    return matrices[:, rows, columns]


def _summed(first: FloatArray, second: FloatArray) -> FloatArray:
    """Products summed over patterns: (i, ..., R) from (K, i, R) and (K, ..., R)."""
    other = second.reshape(len(second), -1, second.shape[-1])
    return cross(first, other).reshape(first.shape[1], *second.shape[1:])


def residuals(moments: FloatArray, beta: FloatArray, outcome: float, n_visits: int) -> tuple[FloatArray, FloatArray]:
    """Products of `outcome` y - X beta with itself (K, V, V, R) and with the columns (K, m, V, R); `outcome` 0 takes the fitted values."""
    m = moments.shape[1] - n_visits
    weights = np.zeros((m + n_visits, n_visits, beta.shape[-1]))
    weights[:m] = -beta.reshape(n_visits, m, -1).swapaxes(0, 1)
    weights[np.arange(m, m + n_visits), np.arange(n_visits)] = outcome
    half = cross(moments, weights)
    return cross(weights, half), half[:, :m]


def climb_to(sigma: FloatArray, patterns: Patterns, design: FloatArray | None) -> Climb:
    """The restricted likelihood at covariances `sigma` (S, R), up to a constant, and the means that go with them.

    `design` (N, q) maps q coefficients to the means; None where each mean is a coefficient.

    Source: Patterson and Thompson (1971), Biometrika 58, 545-554; Harville (1977), Journal of the American Statistical Association 72, 320-338.
    """
    observed, moments = patterns
    n_visits, n_replicates = observed.shape[1:]
    m = moments.shape[1] - n_visits
    everywhere = places(n_visits)
    inverse, log_determinant = inverted(sigma[everywhere] * observed[:, :, np.newaxis] * observed[:, np.newaxis])
    normal = _summed(_entries(inverse), moments[:, :m])[everywhere]  # V^-1 (x) X' (X, y): (V, V, m, m + V, R)
    information = normal[:, :, :, :m].swapaxes(1, 2).reshape(n_visits * m, n_visits * m, n_replicates)
    visits = np.arange(n_visits)
    right = normal[:, visits, :, m + visits].sum(axis=0).reshape(n_visits * m, 1, n_replicates)
    if design is None:
        phi, of_means = inverted(information)
    else:
        spread = np.repeat(design[:, :, np.newaxis], n_replicates, axis=2)
        phi, of_means = inverted(between(information, spread))
        phi = between(phi, spread.swapaxes(0, 1))
    beta = cross(phi, right)[:, 0]
    products, crossed = residuals(moments, beta, 1.0, n_visits)
    deviance = (moments[:, 0, 0] * log_determinant).sum(axis=0) + of_means + (inverse * products).sum(axis=(0, 1, 2))
    return Climb(sigma, -0.5 * deviance, inverse, phi, beta, products, crossed)


# ---- its derivatives


class Slopes(NamedTuple):
    """Derivatives of the restricted likelihood in the entries of the covariance."""

    score: FloatArray
    """(S, R)"""
    average: FloatArray
    """(S, S, R) average information, y' P A P B P y / 2"""
    shared: FloatArray
    """(K, V, V, R) V^-1 X Phi X' V^-1 summed over the patients of each pattern"""


def sandwiched(climb: Climb, middle: FloatArray) -> FloatArray:
    """V^-1 M V^-1 of each pattern."""
    return cross(climb.inverse, cross(middle, climb.inverse))


def _traced(outer: FloatArray, inverse: FloatArray) -> FloatArray:
    """Sum over patterns of tr(M A V^-1 B), M being `outer`: (S, S, R)."""
    c, d = np.tril_indices(outer.shape[1])
    a, b, at = c[:, np.newaxis], d[:, np.newaxis], places(outer.shape[1])
    every = _summed(_entries(outer), _entries(inverse))
    total = every[at[d, a], at[b, c]] + every[at[c, a], at[b, d]] + every[at[d, b], at[a, c]] + every[at[c, b], at[a, d]]
    once = np.where(c == d, 0.5, 1.0)
    return np.asarray(total * np.outer(once, once)[:, :, np.newaxis])


def quadratic(climb: Climb, outer: FloatArray, crossed: FloatArray) -> FloatArray:
    """e' V^-1 A P B V^-1 e (S, S, R), from sums over patients: `outer` of V^-1 e e' V^-1, and `crossed` of X' e."""
    s, t = np.tril_indices(outer.shape[1])
    at, visits = places(outer.shape[1]), np.arange(outer.shape[1])[:, np.newaxis]
    every = _summed(_entries(climb.inverse), cross(climb.inverse, crossed.swapaxes(1, 2)))  # V^-1 (x) V^-1 e' X: (S, V, m, R)
    along = (every[at[visits, s], t] + every[at[visits, t], s]).swapaxes(1, 2)  # X' V^-1 A V^-1 e: (V, m, S, R)
    along = along.reshape(-1, *along.shape[2:]) * np.where(s == t, 0.5, 1.0)[:, np.newaxis]
    return np.asarray(_traced(outer, climb.inverse) - between(climb.phi, along))


def slopes_at(climb: Climb, patterns: Patterns) -> Slopes:
    """First derivatives, and the average information.

    Source: Gilmour, Thompson and Cullis (1995), Biometrics 51, 1440-1450.
    """
    n_patterns, n_visits, n_replicates = patterns.observed.shape
    m = patterns.moments.shape[1] - n_visits
    by_columns = patterns.moments[:, :m, :m].transpose(1, 2, 0, 3).reshape(m * m, n_patterns, n_replicates)
    rows, columns = np.tril_indices(n_visits)
    by_visits = climb.phi.reshape(n_visits, m, n_visits, m, -1)[rows, :, columns].transpose(1, 2, 0, 3).reshape(m * m, -1, n_replicates)
    shared = sandwiched(climb, cross(by_columns, by_visits)[:, places(n_visits)])
    residual = sandwiched(climb, climb.products)
    gap = (residual + shared - patterns.moments[:, :1, :1] * climb.inverse).sum(axis=0)
    return Slopes(0.5 * lower_slopes(gap), 0.5 * quadratic(climb, residual, climb.crossed), shared)


@kernel
def _change(inverse: FloatArray, moments: FloatArray, weight: FloatArray, total: FloatArray) -> None:
    """X' V^-1 A V^-1 X for each entry of the covariance: (S, N, N, R)."""
    n_visits = inverse.shape[1]
    m = moments.shape[1] - n_visits
    for k in range(inverse.shape[0]):
        w = inverse[k]
        a = 0
        for s in range(n_visits):
            for u in range(s + 1):
                for t in range(n_visits):
                    for v in range(t + 1):
                        for r in range(weight.size):
                            both = w[t, s, r] * w[u, v, r] + w[t, u, r] * w[s, v, r]
                            weight[r] = 0.5 * both if s == u else both
                        for j in range(m):
                            for i in range(m):
                                for r in range(weight.size):
                                    total[a, t * m + j, v * m + i, r] += weight[r] * moments[k, j, i, r]
                a += 1
    for a in range(total.shape[0]):
        for j in range(total.shape[1]):
            for i in range(j):
                for r in range(weight.size):
                    total[a, i, j, r] = total[a, j, i, r]


@kernel
def _trace_of_products(matrices: FloatArray, total: FloatArray) -> None:
    for a in range(matrices.shape[0]):
        for b in range(a + 1):
            for i in range(matrices.shape[1]):
                for j in range(matrices.shape[2]):
                    for r in range(matrices.shape[3]):
                        total[a, b, r] += matrices[a, i, j, r] * matrices[b, j, i, r]
            for r in range(matrices.shape[3]):
                total[b, a, r] = total[a, b, r]


def expected_information(climb: Climb, patterns: Patterns, shared: FloatArray) -> FloatArray:
    """tr(P A P B) / 2: (S, S, R); the observed information is twice the average one less this, for V is linear in its entries."""
    n_means, n_replicates = climb.beta.shape
    n_entries = len(climb.sigma)
    of_means = np.empty((n_entries, n_entries, n_replicates))
    for first in range(0, n_replicates, FEW):
        some = np.arange(first, min(first + FEW, n_replicates))
        change, traces = np.zeros((n_entries, n_means, n_means, some.size)), np.zeros((n_entries, n_entries, some.size))
        _change(climb.inverse.take(some, axis=-1), patterns.moments.take(some, axis=-1), np.empty(some.size), change)
        _trace_of_products(cross(climb.phi.take(some, axis=-1), change), traces)
        of_means[..., some] = traces
    outer = 0.5 * patterns.moments[:, :1, :1] * climb.inverse - shared
    return np.asarray(_traced(outer, climb.inverse) + 0.5 * of_means)
