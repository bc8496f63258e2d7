"""Algebra of small matrices, of many at once: the replicates are the last axis, and every step is taken for all of them.

K matrices of n rows; symmetric ones of V rows have S = V (V + 1) / 2 entries, their lower triangle row after row; R replicates.
"""

from functools import cache

import numpy as np

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.stats.regression import COLLINEAR_BELOW

LEAST_PRODUCT = 1e-100
"""Of pivots, before its logarithm is taken: far from what a number can hold, whatever the next pivot."""


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


@kernel
def _multiply_symmetric(first: FloatArray, second: FloatArray, product: FloatArray) -> None:
    """A'B where it is known to be symmetric, from its lower triangle."""
    size = first.shape[0]
    for i in range(product.shape[0]):
        for j in range(i + 1):
            for r in range(product.shape[2]):
                product[i, j, r] = 0.0
            for k in range(0, size - 3, 4):
                for r in range(product.shape[2]):
                    one = first[k, i, r] * second[k, j, r] + first[k + 1, i, r] * second[k + 1, j, r]
                    two = first[k + 2, i, r] * second[k + 2, j, r] + first[k + 3, i, r] * second[k + 3, j, r]
                    product[i, j, r] += one + two
            for k in range(size - size % 4, size):
                for r in range(product.shape[2]):
                    product[i, j, r] += first[k, i, r] * second[k, j, r]
            for r in range(product.shape[2]):
                product[j, i, r] = product[i, j, r]


def between(matrix: FloatArray, outer: FloatArray) -> FloatArray:
    """B'AB for symmetric A (n, n, R), B (n, i, R)."""
    product = np.empty((outer.shape[1], outer.shape[1], outer.shape[2]))
    _multiply_symmetric(np.ascontiguousarray(outer), cross(matrix, outer), product)
    return product


@kernel
def invert(matrices: FloatArray, least: float, drop: bool, log_determinant: FloatArray) -> None:
    size, n_replicates = matrices.shape[1], matrices.shape[3]
    diagonal, row, scaled = np.empty((size, n_replicates)), np.empty((size, n_replicates)), np.empty((size, n_replicates))
    share, running = np.empty(n_replicates), np.empty(n_replicates)
    for n in range(matrices.shape[0]):
        a = matrices[n]
        running[:] = 1.0
        for v in range(size):
            for r in range(n_replicates):
                diagonal[v, r] = a[v, v, r]
        for v in range(size):
            for r in range(n_replicates):
                pivot, limit = a[v, v, r], least * diagonal[v, r]
                absent = diagonal[v, r] == 0.0 or (drop and abs(pivot) <= limit)
                share[r] = 0.0 if absent else 1.0 / pivot
                running[r] *= 1.0 if absent else pivot if pivot > limit else np.nan
            for r in range(n_replicates):
                if not LEAST_PRODUCT < running[r] < 1.0 / LEAST_PRODUCT:  # logarithms are dear, and so are taken of products
                    log_determinant[n, r] += np.log(running[r])
                    running[r] = 1.0
            for j in range(size):
                for r in range(n_replicates):
                    row[j, r] = a[max(v, j), min(v, j), r]
                    scaled[j, r] = row[j, r] * share[r]
            for i in range(size):
                for j in range(i + 1):
                    for r in range(n_replicates):
                        a[i, j, r] -= scaled[i, r] * row[j, r]
            for j in range(size):
                for r in range(n_replicates):
                    a[max(v, j), min(v, j), r] = scaled[j, r] if j != v else -share[r]
        for r in range(n_replicates):
            log_determinant[n, r] += np.log(running[r])
        for i in range(size):
            for j in range(i + 1):
                for r in range(n_replicates):
                    a[i, j, r] = -a[i, j, r]
                    a[j, i, r] = a[i, j, r]


def inverted(matrices: FloatArray, drop: bool = False) -> tuple[FloatArray, FloatArray]:
    """Inverses of positive matrices (..., n, n, R) by sweeps, and logarithms of determinants (..., R), NaN where one is not positive.

    A row whose diagonal is 0 stays 0. A pivot below a small share of its diagonal is not positive; with `drop` it is 0 and its row stays out.

    Source: Goodnight (1979), The American Statistician 33, 149-158 (the sweep operator).
    """
    inverse = np.array(matrices, order="C")
    log_determinant = np.zeros((*inverse.shape[:-3], inverse.shape[-1]))
    invert(inverse.reshape(-1, *inverse.shape[-3:]), COLLINEAR_BELOW, drop, log_determinant.reshape(-1, inverse.shape[-1]))
    return inverse, log_determinant


@cache
def lower(n_visits: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the lower triangle, row after row; shared by all callers."""
    rows, columns = np.tril_indices(n_visits)
    return rows, columns


@cache
def places(n_visits: int) -> IntArray:
    """(V, V) place of each element of a symmetric matrix among its S entries; shared by all callers."""
    rows, columns = np.indices((n_visits, n_visits))
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    return np.asarray(high * (high + 1) // 2 + low)


def lower_slopes(matrix: FloatArray) -> FloatArray:
    """(S, R) derivatives in the entries of a symmetric matrix, from the derivatives (V, V, R) in its elements."""
    rows, columns = lower(len(matrix))
    return np.asarray(matrix[rows, columns] * np.where(rows == columns, 1.0, 2.0)[:, np.newaxis])


@kernel
def inner(first: FloatArray, second: FloatArray) -> FloatArray:
    """(R,) sum of the products of all elements of matrices (K, i, j, R)."""
    total = np.zeros(first.shape[3])
    for k in range(first.shape[0]):
        for i in range(first.shape[1]):
            for j in range(first.shape[2]):
                for r in range(total.size):
                    total[r] += first[k, i, j, r] * second[k, i, j, r]
    return total


@kernel
def _sandwich(inverse: FloatArray, middle: FloatArray, half: FloatArray, total: FloatArray) -> None:
    for n in range(inverse.shape[0]):
        _multiply(middle[n : n + 1], inverse[n : n + 1], half)
        _multiply_symmetric(inverse[n], half[0], total[n])


def sandwiched(inverse: FloatArray, middle: FloatArray) -> FloatArray:
    """V^-1 M V^-1 of each pattern, for symmetric M (K, V, V, R)."""
    total = np.empty_like(inverse)
    _sandwich(inverse, np.ascontiguousarray(middle), np.empty((1, *inverse.shape[1:])), total)
    return total


@kernel
def over_patterns(first: FloatArray, second: FloatArray, total: FloatArray) -> None:
    """Products of the entries of symmetric matrices (K, V, V, R) with `second` (K, j, R), summed over patterns: (S, j, R)."""
    n_patterns, line = first.shape[0], 0
    for s in range(first.shape[1]):
        for t in range(s + 1):
            for j in range(second.shape[1]):
                for k in range(0, n_patterns - 3, 4):
                    for r in range(total.shape[2]):
                        one = first[k, s, t, r] * second[k, j, r] + first[k + 1, s, t, r] * second[k + 1, j, r]
                        two = first[k + 2, s, t, r] * second[k + 2, j, r] + first[k + 3, s, t, r] * second[k + 3, j, r]
                        total[line, j, r] += one + two
                for k in range(n_patterns - n_patterns % 4, n_patterns):
                    for r in range(total.shape[2]):
                        total[line, j, r] += first[k, s, t, r] * second[k, j, r]
            line += 1


@kernel
def _trace_of(every: FloatArray, at: IntArray, total: FloatArray) -> None:
    """tr(M A W B) for the derivatives A, B in all pairs of entries, from `every` (S, S, R), products of entries of M and W."""
    p = 0
    for a in range(at.shape[0]):
        for b in range(a + 1):
            q = 0
            for c in range(a + 1):
                for d in range(c + 1):
                    if q <= p:
                        weight = (0.5 if a == b else 1.0) * (0.5 if c == d else 1.0)
                        for r in range(total.shape[2]):
                            one = every[at[d, a], at[b, c], r] + every[at[c, a], at[b, d], r]
                            two = every[at[d, b], at[a, c], r] + every[at[c, b], at[a, d], r]
                            total[p, q, r] = weight * (one + two)
                            total[q, p, r] = total[p, q, r]
                    q += 1
            p += 1


def traced(outer: FloatArray, inverse: FloatArray) -> FloatArray:
    """Sum over patterns of tr(M A V^-1 B), M being `outer`: (S, S, R)."""
    at = places(outer.shape[1])
    every = np.zeros((at[-1, -1] + 1, at[-1, -1] + 1, outer.shape[-1]))
    over_patterns(outer, entries_of(inverse), every)
    total = np.empty_like(every)
    _trace_of(every, at, total)
    return total


def entries_of(matrices: FloatArray) -> FloatArray:
    """(K, S, R) entries of symmetric matrices (K, V, V, R)."""
    rows, columns = lower(matrices.shape[1])
    return matrices[:, rows, columns]
