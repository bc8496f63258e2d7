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
from simtrials.stats.small_matrices import between, cross, entries_of, inner, invert, inverted, over_patterns, places, sandwiched, traced
from simtrials.stats.visit_sums import Patterns

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


@kernel
def _invert_observed(sigma: FloatArray, observed: FloatArray, inverse: FloatArray, log_determinant: FloatArray) -> None:
    """Inverse covariance (K, V, V, R) of the visits observed in each pattern, 0 elsewhere, and logarithms of determinants (K, R)."""
    for k in range(observed.shape[0]):
        line = 0
        for i in range(observed.shape[1]):
            for j in range(i + 1):
                for r in range(sigma.shape[1]):
                    inverse[k, i, j, r] = sigma[line, r] * observed[k, i, r] * observed[k, j, r]
                line += 1
    invert(inverse, COLLINEAR_BELOW, False, log_determinant)


@kernel
def _normal_equations(inverse: FloatArray, moments: FloatArray, information: FloatArray, right: FloatArray) -> None:
    """X' V^-1 X (N, N, R) and X' V^-1 y (N, 1, R), added up over patterns."""
    n_visits = inverse.shape[1]
    m = moments.shape[1] - n_visits
    for k in range(inverse.shape[0]):
        for s in range(n_visits):
            for t in range(n_visits):
                for i in range(m):
                    for r in range(right.shape[2]):
                        right[s * m + i, 0, r] += inverse[k, s, t, r] * moments[k, m + t, i, r]
            for t in range(s + 1):
                for i in range(m):
                    for j in range(m):
                        for r in range(right.shape[2]):
                            information[s * m + i, t * m + j, r] += inverse[k, s, t, r] * moments[k, i, j, r]
    for i in range(information.shape[0]):
        for j in range(i):
            for r in range(right.shape[2]):
                information[j, i, r] = information[i, j, r]


@kernel
def _residuals(moments: FloatArray, beta: FloatArray, outcome: float, products: FloatArray, crossed: FloatArray) -> None:
    n_visits = products.shape[1]
    m = crossed.shape[1]
    for k in range(moments.shape[0]):
        for t in range(n_visits):
            for i in range(m):
                for r in range(beta.shape[1]):
                    crossed[k, i, t, r] = outcome * moments[k, m + t, i, r]
                for j in range(m):
                    for r in range(beta.shape[1]):
                        crossed[k, i, t, r] -= moments[k, i, j, r] * beta[t * m + j, r]
        for s in range(n_visits):
            for t in range(s + 1):
                for r in range(beta.shape[1]):
                    products[k, s, t, r] = outcome * outcome * moments[k, m + s, m + t, r]
                for j in range(m):
                    for r in range(beta.shape[1]):
                        fitted = outcome * moments[k, m + s, j, r] * beta[t * m + j, r] + beta[s * m + j, r] * crossed[k, j, t, r]
                        products[k, s, t, r] -= fitted
                for r in range(beta.shape[1]):
                    products[k, t, s, r] = products[k, s, t, r]


def residuals(moments: FloatArray, beta: FloatArray, outcome: float, n_visits: int) -> tuple[FloatArray, FloatArray]:
    """Products of `outcome` y - X beta with itself (K, V, V, R) and with the columns (K, m, V, R); `outcome` 0 takes the fitted values."""
    n_patterns, size, _, n_replicates = moments.shape
    products = np.empty((n_patterns, n_visits, n_visits, n_replicates))
    crossed = np.empty((n_patterns, size - n_visits, n_visits, n_replicates))
    _residuals(moments, beta, outcome, products, crossed)
    return products, crossed


def climb_to(sigma: FloatArray, patterns: Patterns, design: FloatArray | None) -> Climb:
    """The restricted likelihood at covariances `sigma` (S, R), up to a constant, and the means that go with them.

    `design` (N, q) maps q coefficients to the means; None where each mean is a coefficient.

    Source: Patterson and Thompson (1971), Biometrika 58, 545-554; Harville (1977), Journal of the American Statistical Association 72, 320-338.
    """
    observed, moments = patterns
    n_patterns, n_visits, n_replicates = observed.shape
    n_means = n_visits * (moments.shape[1] - n_visits)
    inverse, log_determinant = np.empty((n_patterns, n_visits, n_visits, n_replicates)), np.zeros((n_patterns, n_replicates))
    _invert_observed(sigma, observed, inverse, log_determinant)
    information, right = np.zeros((n_means, n_means, n_replicates)), np.zeros((n_means, 1, n_replicates))
    _normal_equations(inverse, moments, information, right)
    if design is None:
        phi, of_means = inverted(information)
    else:
        spread = np.repeat(design[:, :, np.newaxis], n_replicates, axis=2)
        phi, of_means = inverted(between(information, spread))
        phi = between(phi, spread.swapaxes(0, 1))
    beta = cross(phi, right)[:, 0]
    products, crossed = residuals(moments, beta, 1.0, n_visits)
    of_visits = inner(np.ascontiguousarray(moments[:, :1, :1]), log_determinant[:, np.newaxis, np.newaxis])
    deviance = of_visits + of_means + inner(inverse, products)
    return Climb(sigma, -0.5 * deviance, inverse, phi, beta, products, crossed)


# ---- its derivatives


class Slopes(NamedTuple):
    """Derivatives of the restricted likelihood in the entries of the covariance, and what second derivatives are made of."""

    score: FloatArray
    """(S, R)"""
    residual: FloatArray
    """(K, V, V, R) V^-1 e e' V^-1 summed over the patients of each pattern, e being residuals"""
    shared: FloatArray
    """(K, V, V, R) V^-1 X Phi X' V^-1 likewise"""
    of_means: FloatArray
    """(S, S, R) e' V^-1 A V^-1 X Phi X' V^-1 B V^-1 e"""


@kernel
def _spread_of_means(moments: FloatArray, phi: FloatArray, middle: FloatArray) -> None:
    """X Phi X' summed over the patients of each pattern, (K, V, V, R)."""
    n_visits = middle.shape[1]
    m = moments.shape[1] - n_visits
    for k in range(moments.shape[0]):
        for s in range(n_visits):
            for t in range(s + 1):
                for i in range(m):
                    for j in range(m):
                        for r in range(phi.shape[2]):
                            middle[k, s, t, r] += moments[k, i, j, r] * phi[s * m + i, t * m + j, r]
                for r in range(phi.shape[2]):
                    middle[k, t, s, r] = middle[k, s, t, r]


@kernel
def _gap(residual: FloatArray, shared: FloatArray, inverse: FloatArray, moments: FloatArray, gap: FloatArray) -> None:
    """Derivatives of the likelihood in the entries of the covariance, added up over patterns."""
    for k in range(inverse.shape[0]):
        line = 0
        for s in range(inverse.shape[1]):
            for t in range(s + 1):
                weight = 0.5 if s == t else 1.0
                for r in range(gap.shape[1]):
                    gap[line, r] += weight * (residual[k, s, t, r] + shared[k, s, t, r] - moments[k, 0, 0, r] * inverse[k, s, t, r])
                line += 1


@kernel
def _reach(every: FloatArray, at: IntArray, along: FloatArray) -> None:
    """X' V^-1 A V^-1 e for each entry (N, S, R), from `every` (S, V m, R), products of V^-1 with V^-1 e' X."""
    n_visits = at.shape[0]
    m = every.shape[1] // n_visits
    line = 0
    for s in range(n_visits):
        for t in range(s + 1):
            weight = 0.5 if s == t else 1.0
            for v in range(n_visits):
                for i in range(m):
                    for r in range(along.shape[2]):
                        along[v * m + i, line, r] = weight * (every[at[v, s], t * m + i, r] + every[at[v, t], s * m + i, r])
            line += 1


def along_means(inverse: FloatArray, phi: FloatArray, crossed: FloatArray) -> FloatArray:
    """e' V^-1 A V^-1 X Phi X' V^-1 B V^-1 e (S, S, R), from X' e (K, m, V, R)."""
    n_patterns, n_visits, _, n_replicates = inverse.shape
    at, n_means = places(n_visits), len(phi)
    n_entries = at[-1, -1] + 1
    every, along = np.zeros((n_entries, n_means, n_replicates)), np.empty((n_means, n_entries, n_replicates))
    over_patterns(inverse, cross(inverse, crossed.swapaxes(1, 2)).reshape(n_patterns, n_means, n_replicates), every)
    _reach(every, at, along)
    return between(phi, along)


def slopes_at(climb: Climb, patterns: Patterns) -> Slopes:
    """First derivatives, and what second derivatives are made of.

    Source: Gilmour, Thompson and Cullis (1995), Biometrics 51, 1440-1450.
    """
    middle, score = np.zeros_like(climb.inverse), np.zeros(climb.sigma.shape)
    _spread_of_means(patterns.moments, climb.phi, middle)
    shared, residual = sandwiched(climb.inverse, middle), sandwiched(climb.inverse, climb.products)
    _gap(residual, shared, climb.inverse, patterns.moments, score)
    return Slopes(score, residual, shared, along_means(climb.inverse, climb.phi, climb.crossed))


@kernel
def _half_of_expected(shared: FloatArray, inverse: FloatArray, moments: FloatArray, taken_off: FloatArray, middle: FloatArray) -> None:
    for k in range(inverse.shape[0]):
        for s in range(inverse.shape[1]):
            for t in range(inverse.shape[2]):
                for r in range(inverse.shape[3]):
                    middle[k, s, t, r] = 0.5 * (moments[k, 0, 0, r] * inverse[k, s, t, r] - shared[k, s, t, r]) - taken_off[k, s, t, r]


def average_information(climb: Climb, at: Slopes) -> FloatArray:
    """y' P A P B P y / 2: (S, S, R)."""
    return 0.5 * (traced(at.residual, climb.inverse) - at.of_means)


def observed_information(climb: Climb, patterns: Patterns, at: Slopes, between_means: FloatArray) -> FloatArray:
    """Minus the second derivatives (S, S, R), twice the average information less the expected one, for V is linear in its entries.

    `between_means` is that of `between_means`, or 0 in its place: with nobody missing it is 0, and with few missing it is small.
    """
    middle = np.empty_like(climb.inverse)
    _half_of_expected(at.shared, climb.inverse, patterns.moments, at.residual, middle)
    return between_means - traced(middle, climb.inverse) - at.of_means


def expected_information(climb: Climb, patterns: Patterns, at: Slopes, between_means: FloatArray) -> FloatArray:
    """tr(P A P B) / 2: (S, S, R)."""
    middle = np.empty_like(climb.inverse)
    _half_of_expected(at.shared, climb.inverse, patterns.moments, np.zeros_like(climb.inverse), middle)
    return traced(middle, climb.inverse) - between_means


def between_means(climb: Climb, patterns: Patterns, at: Slopes, which: IntArray) -> FloatArray:
    """The part of the information that takes all pairs of means, and much of the time, in some replicates: (S, S, n).

    With C and D being X' V^-1 A V^-1 X and X' V^-1 B V^-1 X: half of tr(A V^-1 X Phi X' V^-1 B V^-1) less tr(Phi C Phi D). Both are the same
    where nobody is missing.
    """
    needed = (climb.inverse, patterns.moments, climb.phi, at.shared)
    inverse, moments, phi, shared = needed if which.size == len(climb.value) else (part.take(which, axis=-1) for part in needed)
    n_visits, n_means, n_entries = inverse.shape[1], len(phi), len(climb.sigma)
    m = n_means // n_visits
    pairs = np.zeros((n_entries, n_entries, m * (m + 1) // 2, which.size))
    _pairs(entries_of(inverse), moments, np.empty(which.size), pairs)
    change, traces = np.empty((n_entries, n_means, n_means, which.size)), np.zeros((n_entries, n_entries, which.size))
    _change(pairs, places(n_visits), change)
    _trace_of_products(cross(phi, change), traces)
    return 0.5 * (traced(shared, inverse) - traces)


@kernel
def _pairs(entries: FloatArray, moments: FloatArray, both: FloatArray, pairs: FloatArray) -> None:
    """Products of two entries of the inverse covariance with those of the columns, summed over patterns: (S, S, m (m + 1) / 2, R)."""
    for p in range(pairs.shape[0]):
        for q in range(p + 1):
            for k in range(entries.shape[0]):
                for r in range(both.size):
                    both[r] = entries[k, p, r] * entries[k, q, r]
                i = j = 0
                for line in range(pairs.shape[2]):
                    for r in range(both.size):
                        pairs[p, q, line, r] += both[r] * moments[k, i, j, r]
                    i, j = (i, j + 1) if j < i else (i + 1, 0)
            for line in range(pairs.shape[2]):
                for r in range(both.size):
                    pairs[q, p, line, r] = pairs[p, q, line, r]


@kernel
def _change(pairs: FloatArray, at: IntArray, change: FloatArray) -> None:
    """X' V^-1 A V^-1 X for each entry of the covariance: (S, N, N, R)."""
    n_visits = at.shape[0]
    m = change.shape[1] // n_visits
    a = 0
    for s in range(n_visits):
        for u in range(s + 1):
            once = 0.5 if s == u else 1.0
            for t in range(n_visits):
                for v in range(t + 1):
                    one, two = pairs[at[t, s], at[u, v]], pairs[at[t, u], at[s, v]]
                    i = j = 0
                    for line in range(pairs.shape[2]):
                        for r in range(change.shape[3]):
                            value = once * (one[line, r] + two[line, r])
                            change[a, t * m + i, v * m + j, r] = value
                            change[a, t * m + j, v * m + i, r] = value
                            change[a, v * m + i, t * m + j, r] = value
                            change[a, v * m + j, t * m + i, r] = value
                        i, j = (i, j + 1) if j < i else (i + 1, 0)
            a += 1


@kernel
def _trace_of_products(matrices: FloatArray, total: FloatArray) -> None:
    """tr(A B) for all pairs of matrices (S, N, N, R)."""
    size = matrices.shape[1]
    for a in range(matrices.shape[0]):
        for b in range(a + 1):
            for i in range(size):
                for j in range(0, size - 3, 4):
                    for r in range(total.shape[2]):
                        one = matrices[a, i, j, r] * matrices[b, j, i, r] + matrices[a, i, j + 1, r] * matrices[b, j + 1, i, r]
                        two = matrices[a, i, j + 2, r] * matrices[b, j + 2, i, r] + matrices[a, i, j + 3, r] * matrices[b, j + 3, i, r]
                        total[a, b, r] += one + two
                for j in range(size - size % 4, size):
                    for r in range(total.shape[2]):
                        total[a, b, r] += matrices[a, i, j, r] * matrices[b, j, i, r]
            for r in range(total.shape[2]):
                total[b, a, r] = total[a, b, r]
