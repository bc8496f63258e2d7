"""Least squares: one coefficient of a linear model, or all of them, for many replicates at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.means import NEGLIGIBLE_SPREAD, Contrast

COLLINEAR_BELOW = 1e-10
"""A column is collinear when this share of its variance, or less, is left by the columns before it (1 - R squared).

The cross-products carry a relative error near 1e-15, so that the variance of an estimate keeps four digits at this limit.
"""


class CrossProducts(NamedTuple):
    """What least squares needs of the data: regressors, the tested one last, and then the outcome, all centred."""

    triangle: FloatArray
    """(line, replicate) sums over patients of the products of two columns: lower triangle, row after row"""
    mean: FloatArray
    """(column, replicate) what was taken off"""
    n: FloatArray
    """(2, replicate) patients analysed under control and under the active arm"""


@kernel
def _add_up(rows: FloatArray, total: FloatArray) -> None:
    """Sums over the patients analysed; row 0, which says who is, becomes 0 where another row is NaN."""
    present = np.empty(rows.shape[2])
    for p in range(rows.shape[0]):
        for r in range(rows.shape[2]):
            present[r] = rows[p, 0, r]
        for m in range(1, rows.shape[1]):
            for r in range(rows.shape[2]):
                present[r] = present[r] if rows[p, m, r] == rows[p, m, r] else 0.0
        for r in range(rows.shape[2]):
            rows[p, 0, r] = present[r]
        for m in range(rows.shape[1]):
            for r in range(rows.shape[2]):
                value = rows[p, m, r]
                total[m, r] += value if present[r] > 0.0 else 0.0


@kernel
def _centre(rows: FloatArray, mean: FloatArray) -> None:
    present = np.empty(rows.shape[2])
    for p in range(rows.shape[0]):
        for r in range(rows.shape[2]):
            present[r] = rows[p, 0, r]
        for m in range(1, rows.shape[1]):
            for r in range(rows.shape[2]):
                deviation = rows[p, m, r] - mean[m, r]
                rows[p, m, r] = deviation if present[r] > 0.0 else 0.0


@kernel
def _accumulate_products(rows: FloatArray, products: FloatArray) -> None:
    for p in range(0, rows.shape[0], 4):
        line = 0
        for i in range(1, rows.shape[1]):
            for j in range(1, i + 1):
                for r in range(rows.shape[2]):
                    first = rows[p, i, r] * rows[p, j, r] + rows[p + 1, i, r] * rows[p + 1, j, r]
                    second = rows[p + 2, i, r] * rows[p + 2, j, r] + rows[p + 3, i, r] * rows[p + 3, j, r]
                    products[line, r] += first + second
                line += 1


@kernel
def cholesky(triangle: FloatArray, left: FloatArray) -> None:
    """Replace a packed lower triangle (line, replicate) by its Cholesky factor.

    `left` (column, replicate) becomes the share of each column that the columns before it leave unexplained, 0 for a column of zeros;
    the factor is meaningless from a column on of which nothing is left.
    """
    for i in range(left.shape[0]):
        row = i * (i + 1) // 2
        for r in range(left.shape[1]):
            left[i, r] = triangle[row + i, r]
        for j in range(i + 1):
            column = j * (j + 1) // 2
            for k in range(j):
                for r in range(left.shape[1]):
                    triangle[row + j, r] -= triangle[row + k, r] * triangle[column + k, r]
            if j < i:
                for r in range(left.shape[1]):
                    triangle[row + j, r] /= triangle[column + j, r]
        for r in range(left.shape[1]):
            left[i, r] = triangle[row + i, r] / left[i, r] if left[i, r] > 0.0 else 0.0
        for r in range(left.shape[1]):
            triangle[row + i, r] = np.sqrt(triangle[row + i, r])


def centred_rows(
    outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The columns of a model as the kernels take them, centred over the patients analysed.

    Returns
    -------
    rows : (patient, row, replicate); row 0 is 1 for a patient who is analysed, then come the regressors, the tested one last, and the
        outcome; all are 0 for a patient who is not analysed. Such patients are added to fill the last four, for kernels take patients by fours.
    mean : (row, replicate), what was taken off
    n : (2, replicate), patients analysed under control and under the active arm
    """
    arm = patient_major(arm)
    regressors = [arm == active, *(patient_major(column) for column in covariates)]
    regressors.append(regressors.pop(tested))
    n_patients, n_replicates = arm.shape
    rows = np.empty((n_patients + -n_patients % 4, len(regressors) + 2, n_replicates))
    rows[n_patients:] = 0.0
    for m, column in enumerate([(arm == 0) | (arm == active), *regressors, patient_major(outcome)]):
        rows[:n_patients, m] = column
    total = np.zeros(rows.shape[1:])
    _add_up(rows, total)
    mean = total / np.where(total[0] > 0, total[0], np.nan)
    _centre(rows, mean)
    n_active = total[1 if tested else -2]
    return rows, mean, np.stack([total[0] - n_active, n_active])


def cross_products(rows: FloatArray, mean: FloatArray, n: FloatArray) -> CrossProducts:
    """Sums of squares and products of the rows made by `centred_rows`."""
    size = rows.shape[1] - 1
    triangle = np.zeros((size * (size + 1) // 2, rows.shape[2]))
    _accumulate_products(rows, triangle)
    return CrossProducts(triangle, mean[1:], n)


def factor_and_status(products: CrossProducts) -> tuple[FloatArray, IntArray]:
    """Cholesky factor of the cross-products, and why a replicate has no least squares fit; the first of these that holds:

    TOO_FEW_PATIENTS (an arm with fewer than two, or no degree of freedom left), COLLINEAR (regressors), NO_VARIATION (the outcome is constant
    or is fitted without error). The factor is valid up to the first column that is absent.
    """
    factor, absent = _factor(products)
    size, n_replicates = products.mean.shape
    n = products.n
    status = np.full(n_replicates, int(Status.OK))
    status[absent[-1]] = Status.NO_VARIATION
    status[absent[:-1].any(axis=0)] = Status.COLLINEAR
    status[(n.min(axis=0) < 2) | (n.sum(axis=0) <= size)] = Status.TOO_FEW_PATIENTS
    return factor, status


def _factor(products: CrossProducts) -> tuple[FloatArray, BoolArray]:
    """Cholesky factor of the cross-products, and (column, replicate) whether a column is constant or follows from those before it."""
    triangle, mean, n = products
    size, n_replicates = mean.shape
    diagonal = np.arange(size) * (np.arange(size) + 3) // 2
    constant = triangle[diagonal] <= n.sum(axis=0) * (NEGLIGIBLE_SPREAD * mean) ** 2
    factor, left = triangle.copy(), np.empty((size, n_replicates))
    cholesky(factor, left)
    return factor, constant | ~(left > COLLINEAR_BELOW)


def aliased_regressor(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int = 0) -> IntArray:
    """(replicate,) the first regressor, other than the tested one, that is constant or follows from those before it; -1 where none does.

    0 is the treatment, k the k-th covariate; the tested regressor comes after all others. Arguments as for `least_squares`.
    """
    absent = _factor(cross_products(*centred_rows(outcome, arm, active, covariates, tested)))[1][:-2]
    order = np.array([k for k in range(len(covariates) + 1) if k != tested] + [-1])
    first = np.where(absent.any(axis=0), absent.argmax(axis=0) if len(absent) else 0, order.size - 1)
    return np.asarray(order[first])


def least_squares(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = (), tested: int = 0) -> Contrast:
    """One coefficient of the regression of the outcome on an intercept, the treatment and covariates.

    The variance is the classical one: residual mean square times the inverse of the cross-products.

    Parameters
    ----------
    outcome : (replicate, patient) float, any unit, NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns, each (replicate, patient), NaN where missing; a product with the indicator ``arm == active`` makes an interaction.
        A patient with any value missing is not analysed.
    tested : 0 for the treatment, k for the k-th covariate

    Returns
    -------
    Contrast; TOO_FEW_PATIENTS with fewer than two patients in an arm or no degree of freedom for the residual, COLLINEAR when a column is
    constant or follows from the others, NO_VARIATION when the outcome is constant or fitted without error

    Source: Seber and Lee (2003), Linear Regression Analysis, second edition, chapters 3 (estimation, centring) and 11 (Cholesky decomposition).
    """
    return _last_coefficient(cross_products(*centred_rows(outcome, arm, active, covariates, tested)))


def least_squares_coefficients(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = ()) -> list[Contrast]:
    """All coefficients of the model of `least_squares` but the intercept: the treatment first, then the covariates in their order."""
    products = cross_products(*centred_rows(outcome, arm, active, covariates, tested=len(covariates)))
    regressors = range(len(covariates) + 1)
    orders = [[other for other in regressors if other != tested] + [tested, len(regressors)] for tested in regressors]
    return [_last_coefficient(_reordered(products, order)) for order in orders]


def _reordered(products: CrossProducts, order: list[int]) -> CrossProducts:
    lines = [max(i, j) * (max(i, j) + 1) // 2 + min(i, j) for place, i in enumerate(order) for j in order[: place + 1]]
    return CrossProducts(products.triangle[lines], products.mean[order], products.n)


def _last_coefficient(products: CrossProducts) -> Contrast:
    """The coefficient of the last regressor: below its diagonal in the factor stands the outcome's part along it, and then what is left."""
    factor, status = factor_and_status(products)
    factor[:, status != Status.OK] = np.nan
    size = products.mean.shape[0]
    scale, along, residual = factor[-size - 1], factor[-2], factor[-1]
    df = np.where(status == Status.OK, products.n.sum(axis=0) - size, np.nan)
    return Contrast(along / scale, residual / np.sqrt(df) / scale, df, status)
