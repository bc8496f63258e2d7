"""Covariances of repeated measures as functions of a few parameters, with first and second derivatives, for many replicates at once.

V visits; S = V (V + 1) / 2 distinct entries of a covariance, its lower triangle row after row. Replicates come last here: arrays are
(parameter, R), (S, R), (parameter, S, R). Parameters have no bounds of their own; a value that gives no covariance is refused when the matrix
is factored.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from simtrials.core.arrays import FloatArray

Covariance = Literal["unstructured", "toeplitz", "ar1_heterogeneous", "ar1", "compound_symmetry"]
"""How measures of one patient vary together; the distance of two visits is the number of visits between them, whatever the weeks.

unstructured: anything; toeplitz: a variance for each visit, a correlation for each distance; ar1_heterogeneous: a variance for each visit,
correlation rho ** distance; ar1: the same with one variance; compound_symmetry: one variance, one covariance (which may be negative).
"""
Structure = Literal[Covariance, "random_slope"]

COVARIANCES: tuple[Covariance, ...] = get_args(Covariance)


def n_parameters(structure: Structure, n_visits: int) -> int:
    """Number of parameters of a covariance over `n_visits` visits."""
    numbers: dict[Structure, int] = {
        "unstructured": n_visits * (n_visits + 1) // 2,
        "toeplitz": 2 * n_visits - 1,
        "ar1_heterogeneous": n_visits + 1,
        "ar1": 2,
        "compound_symmetry": 2,
        "random_slope": 4,
    }
    return numbers[structure]


def lines(n_visits: int) -> Iterator[tuple[int, int, int]]:
    """Place of an entry in the lower triangle, its row and its column."""
    return ((i * (i + 1) // 2 + j, i, j) for i in range(n_visits) for j in range(i + 1))


def standard_times(weeks: FloatArray) -> FloatArray:
    """Times with mean 0 and root mean square 1, at which a random slope is as large as a random intercept."""
    centred = weeks - weeks.mean()
    return np.asarray(centred / np.sqrt((centred**2).mean()))


def _deviations(structure: Structure, theta: FloatArray, i: int, j: int) -> tuple[FloatArray, int, int]:
    """Product of the standard deviations at two visits, and the parameters that are their logarithms."""
    a, b = (0, 0) if structure == "ar1" else (i, j)
    return np.exp(theta[a] + theta[b]), a, b


def _correlation(structure: Structure, theta: FloatArray, n_visits: int, distance: int) -> tuple[int, FloatArray, FloatArray, FloatArray]:
    """The parameter that the correlation at a distance depends on, the correlation, and its first two derivatives."""
    place = 1 if structure == "ar1" else n_visits
    if structure == "toeplitz":
        place += distance - 1
        return place, theta[place], np.ones_like(theta[place]), np.zeros_like(theta[place])
    rho = theta[place]
    bend = distance * (distance - 1) * rho ** max(distance - 2, 0)
    return place, rho**distance, distance * rho ** (distance - 1), bend


def entries(structure: Structure, theta: FloatArray, times: FloatArray) -> FloatArray:
    """The covariance (S, R) of parameters (parameter, R).

    unstructured: the entries themselves; compound symmetry: error variance, covariance; random slope: Cholesky factor of the covariance of
    intercept and slope over `times`, row after row, then the logarithm of the error variance; else logarithms of the standard deviations and
    then correlations.
    """
    if structure == "unstructured":
        return theta.copy()
    sigma = np.empty((times.size * (times.size + 1) // 2, theta.shape[1]), dtype=theta.dtype)
    for line, i, j in lines(times.size):
        if structure == "compound_symmetry":
            sigma[line] = theta[1] + (theta[0] if i == j else 0.0)
        elif structure == "random_slope":
            of_i, of_j = theta[0] + theta[1] * times[i], theta[0] + theta[1] * times[j]
            sigma[line] = of_i * of_j + theta[2] ** 2 * times[i] * times[j] + (np.exp(theta[3]) if i == j else 0.0)
        else:
            sigma[line] = _deviations(structure, theta, i, j)[0]
            if i > j:
                sigma[line] *= _correlation(structure, theta, times.size, i - j)[1]
    return sigma


def slopes(structure: Structure, theta: FloatArray, times: FloatArray) -> FloatArray:
    """Derivatives (parameter, S, R) of `entries`."""
    n_entries = times.size * (times.size + 1) // 2
    slope = np.zeros((theta.shape[0], n_entries, theta.shape[1]), dtype=theta.dtype)
    for line, i, j in lines(times.size):
        if structure == "unstructured":
            slope[line, line] = 1.0
        elif structure == "compound_symmetry":
            slope[0, line] = float(i == j)
            slope[1, line] = 1.0
        elif structure == "random_slope":
            of_i, of_j = theta[0] + theta[1] * times[i], theta[0] + theta[1] * times[j]
            slope[0, line] = of_i + of_j
            slope[1, line] = of_i * times[j] + of_j * times[i]
            slope[2, line] = 2 * theta[2] * times[i] * times[j]
            slope[3, line] = np.exp(theta[3]) if i == j else 0.0
        else:
            scale, a, b = _deviations(structure, theta, i, j)
            place, rho, first, _ = _correlation(structure, theta, times.size, i - j) if i > j else (0, 1.0, 0.0, 0.0)
            slope[a, line] += scale * rho
            slope[b, line] += scale * rho
            slope[place, line] += scale * first
    return slope


def bend(structure: Structure, theta: FloatArray, times: FloatArray, weight: FloatArray) -> FloatArray:
    """Second derivatives of `entries`, each entry times its `weight` (S, R), added up: (parameter, parameter, R)."""
    total = np.zeros((theta.shape[0], *theta.shape))
    if structure in ("unstructured", "compound_symmetry"):
        return total
    for line, i, j in lines(times.size):
        if structure == "random_slope":
            total[0, 0] += 2 * weight[line]
            total[0, 1] += weight[line] * (times[i] + times[j])
            total[1, 1] += 2 * weight[line] * times[i] * times[j]
            total[2, 2] += 2 * weight[line] * times[i] * times[j]
            total[3, 3] += weight[line] * np.exp(theta[3]) * (i == j)
            total[1, 0] = total[0, 1]
            continue
        scale, a, b = _deviations(structure, theta, i, j)
        place, rho, first, second = _correlation(structure, theta, times.size, i - j) if i > j else (0, 1.0, 0.0, 0.0)
        for one in (a, b):
            for other in (a, b):
                total[one, other] += weight[line] * scale * rho
            total[one, place] += weight[line] * scale * first
            total[place, one] += weight[line] * scale * first
        total[place, place] += weight[line] * scale * second
    return total


def starting_values(structure: Structure, sigma: FloatArray, times: FloatArray) -> FloatArray:
    """Parameters (parameter, R) of a covariance that lies near `sigma` (S, R)."""
    n_visits = times.size
    variances = np.array([sigma[line] for line, i, j in lines(n_visits) if i == j])
    variance = variances.mean(axis=0)
    others = [sigma[line] for line, i, j in lines(n_visits) if i > j]
    shared = np.clip(np.mean(others, axis=0), 0.1 * variance, 0.9 * variance)
    neighbours = [sigma[line] / np.sqrt(variances[i] * variances[j]) for line, i, j in lines(n_visits) if i == j + 1]
    rho = np.clip(np.mean(neighbours, axis=0), 0.1, 0.9)
    if structure == "unstructured":
        return sigma.copy()
    if structure == "compound_symmetry":
        return np.stack([variance - shared, shared])
    if structure == "random_slope":
        alone = variance - shared
        return np.stack([np.sqrt(shared), np.zeros_like(alone), 0.5 * np.sqrt(alone), np.log(0.75 * alone)])
    if structure == "ar1":
        return np.stack([0.5 * np.log(variance), rho])
    n_correlations = n_parameters(structure, n_visits) - n_visits
    return np.concatenate([0.5 * np.log(variances), [rho**distance for distance in range(1, n_correlations + 1)]])
