"""Covariances of repeated measures as functions of a few parameters, with first and second derivatives.

V visits, S = V (V + 1) / 2 distinct entries of the covariance: its lower triangle, row after row. Parameters have no bounds of their own; a
value that gives no covariance is refused when the matrix is factored.
"""

from typing import Literal, get_args

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.kernels import kernel

Covariance = Literal["unstructured", "toeplitz", "ar1_heterogeneous", "ar1", "compound_symmetry"]
"""How measures of one patient vary together; the distance of two visits is the number of visits between them, whatever the weeks.

unstructured: anything; toeplitz: a variance for each visit, a correlation for each distance; ar1_heterogeneous: a variance for each visit,
correlation rho ** distance; ar1: the same with one variance; compound_symmetry: one variance, one covariance (which may be negative).
"""

UNSTRUCTURED, TOEPLITZ, AR1_HETEROGENEOUS, AR1, COMPOUND_SYMMETRY, RANDOM_SLOPE = range(6)
CODES: dict[Covariance, int] = {name: code for code, name in enumerate(get_args(Covariance))}


def n_parameters(code: int, n_visits: int) -> int:
    """Number of parameters of a covariance over `n_visits` visits."""
    return (n_visits * (n_visits + 1) // 2, 2 * n_visits - 1, n_visits + 1, 2, 2, 4)[code]


def standard_times(weeks: FloatArray) -> FloatArray:
    """Times with mean 0 and root mean square 1, on which a random slope is as large as a random intercept."""
    centred = weeks - weeks.mean()
    return np.asarray(centred / np.sqrt((centred**2).mean()))


@kernel
def _correlation(code: int, theta: FloatArray, first: int, distance: int, order: int) -> float:
    """Correlation at a distance, or its derivative of the given order in the one parameter it depends on."""
    if distance == 0:
        return 1.0 if order == 0 else 0.0
    if code == TOEPLITZ:
        return (theta[first + distance - 1], 1.0, 0.0)[order]
    rho = theta[first]
    if order == 0:
        return rho**distance  # type: ignore[no-any-return]
    if order == 1:
        return distance * rho ** (distance - 1)  # type: ignore[no-any-return]
    return distance * (distance - 1) * rho ** (distance - 2) if distance > 1 else 0.0


@kernel
def _place(code: int, first: int, distance: int) -> int:
    """The parameter that the correlation at a distance depends on."""
    return first + distance - 1 if code == TOEPLITZ else first


@kernel
def covariance_matrix(code: int, theta: FloatArray, times: FloatArray, sigma: FloatArray) -> None:
    """Fill `sigma` (S,) from the parameters.

    unstructured: the entries themselves; compound symmetry: error variance, covariance; random slope: Cholesky factor of the covariance of
    intercept and slope over `times`, row after row, then the logarithm of the error variance; else logarithms of the standard deviations and
    then correlations.
    """
    line = 0
    for i in range(times.size):
        for j in range(i + 1):
            if code == UNSTRUCTURED:
                sigma[line] = theta[line]
            elif code == COMPOUND_SYMMETRY:
                sigma[line] = theta[1] + (theta[0] if i == j else 0.0)
            elif code == RANDOM_SLOPE:
                of_i, of_j = theta[0] + theta[1] * times[i], theta[0] + theta[1] * times[j]
                sigma[line] = of_i * of_j + theta[2] ** 2 * times[i] * times[j] + (np.exp(theta[3]) if i == j else 0.0)
            else:
                first = 1 if code == AR1 else times.size
                log_sd = 2 * theta[0] if code == AR1 else theta[i] + theta[j]
                sigma[line] = np.exp(log_sd) * _correlation(code, theta, first, i - j, 0)
            line += 1


@kernel
def covariance_slopes(code: int, theta: FloatArray, times: FloatArray, sigma: FloatArray, slopes: FloatArray) -> None:
    """Fill `slopes` (parameter, S) with the derivatives of `sigma`."""
    slopes[:] = 0.0
    line = 0
    for i in range(times.size):
        for j in range(i + 1):
            if code == UNSTRUCTURED:
                slopes[line, line] = 1.0
            elif code == COMPOUND_SYMMETRY:
                slopes[0, line] = 1.0 if i == j else 0.0
                slopes[1, line] = 1.0
            elif code == RANDOM_SLOPE:
                of_i, of_j = theta[0] + theta[1] * times[i], theta[0] + theta[1] * times[j]
                slopes[0, line] = of_i + of_j
                slopes[1, line] = of_i * times[j] + of_j * times[i]
                slopes[2, line] = 2 * theta[2] * times[i] * times[j]
                slopes[3, line] = np.exp(theta[3]) if i == j else 0.0
            else:
                first = 1 if code == AR1 else times.size
                slopes[0 if code == AR1 else i, line] += sigma[line]
                slopes[0 if code == AR1 else j, line] += sigma[line]
                if i > j:
                    log_sd = 2 * theta[0] if code == AR1 else theta[i] + theta[j]
                    slopes[_place(code, first, i - j), line] = np.exp(log_sd) * _correlation(code, theta, first, i - j, 1)
            line += 1


@kernel
def add_bend(
    code: int, theta: FloatArray, times: FloatArray, sigma: FloatArray, slopes: FloatArray, weight: FloatArray, total: FloatArray
) -> None:
    """Add to `total` (parameter, parameter) the second derivatives of the entries of sigma, each times its `weight` (S,)."""
    if code in (UNSTRUCTURED, COMPOUND_SYMMETRY):
        return
    line = 0
    for i in range(times.size):
        for j in range(i + 1):
            if code == RANDOM_SLOPE:
                total[0, 0] += 2 * weight[line]
                total[0, 1] += weight[line] * (times[i] + times[j])
                total[1, 0] += weight[line] * (times[i] + times[j])
                total[1, 1] += 2 * weight[line] * times[i] * times[j]
                total[2, 2] += 2 * weight[line] * times[i] * times[j]
                total[3, 3] += weight[line] * slopes[3, line]
            else:
                first = 1 if code == AR1 else times.size
                place = _place(code, first, i - j) if i > j else 0
                log_sd = 2 * theta[0] if code == AR1 else theta[i] + theta[j]
                for a in (0 if code == AR1 else i, 0 if code == AR1 else j):
                    for b in (0 if code == AR1 else i, 0 if code == AR1 else j):
                        total[a, b] += weight[line] * sigma[line]
                    if i > j:
                        total[a, place] += weight[line] * slopes[place, line]
                        total[place, a] += weight[line] * slopes[place, line]
                if i > j:
                    total[place, place] += weight[line] * np.exp(log_sd) * _correlation(code, theta, first, i - j, 2)
            line += 1


@kernel
def starting_values(code: int, sigma: FloatArray, times: FloatArray, theta: FloatArray) -> None:
    """Fill `theta` with parameters whose covariance lies near `sigma` (S,)."""
    n_visits = times.size
    variance, covariance, neighbours = 0.0, 0.0, 0.0
    for i in range(n_visits):
        variance += sigma[i * (i + 3) // 2] / n_visits
        for j in range(i):
            covariance += sigma[i * (i + 1) // 2 + j] / (n_visits * (n_visits - 1) / 2)
        if i > 0:
            scale = np.sqrt(sigma[i * (i + 3) // 2] * sigma[(i - 1) * (i + 2) // 2])
            neighbours += sigma[i * (i + 1) // 2 + i - 1] / scale / (n_visits - 1)
    shared = min(max(covariance, 0.1 * variance), 0.9 * variance)
    rho = min(max(neighbours, 0.1), 0.9)
    if code == UNSTRUCTURED:
        theta[:] = sigma
    elif code == COMPOUND_SYMMETRY:
        theta[0], theta[1] = variance - shared, shared
    elif code == RANDOM_SLOPE:
        theta[0], theta[1], theta[2], theta[3] = np.sqrt(shared), 0.0, 0.5 * np.sqrt(variance - shared), np.log(0.75 * (variance - shared))
    elif code == AR1:
        theta[0], theta[1] = 0.5 * np.log(variance), rho
    else:
        for i in range(n_visits):
            theta[i] = 0.5 * np.log(sigma[i * (i + 3) // 2])
        for k in range(1, theta.size - n_visits + 1):
            theta[n_visits + k - 1] = rho**k
