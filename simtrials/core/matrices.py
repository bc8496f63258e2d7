"""Correlation matrices: is it one, which pair is at fault, and the nearest one that is."""

from collections.abc import Sequence

import numpy as np

from simtrials.core.arrays import FloatArray


def not_a_correlation(matrix: FloatArray, names: Sequence[str]) -> str | None:
    """What follows the word 'correlation' in a sentence that says why `matrix` is none of `names`; None when it is one."""
    size = len(names)
    if matrix.shape != (size, size):
        found = "rows of different length" if matrix.shape[1] == 0 else " by ".join(str(n) for n in matrix.shape)
        return f"must have one row and one column for each of {', '.join(names)} ({size} by {size}), got {found}"
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1 + 1e-12:
        i, j = _largest(np.where(np.isfinite(matrix), np.abs(matrix), np.inf))
        return f"of {names[i]} and {names[j]} must be in [-1, 1], got {matrix[i, j]:g}"
    if not np.allclose(np.diag(matrix), 1.0, atol=1e-12):
        i = int(np.argmax(np.abs(np.diag(matrix) - 1.0)))
        return f"of {names[i]} with itself must be 1, got {matrix[i, i]:g}"
    gap = np.abs(matrix - matrix.T)
    if gap.max() > 1e-9:
        i, j = sorted(_largest(gap))
        return f"must be symmetric: {names[i]} with {names[j]} is {matrix[i, j]:g} above and {matrix[j, i]:g} below the diagonal"
    if np.linalg.eigvalsh(matrix)[0] < -1e-10:
        near = nearest_correlation(matrix)
        i, j = sorted(_largest(np.abs(near - matrix)))
        rows = ", ".join("[" + ", ".join(f"{value:.3f}" for value in row) + "]" for row in near)
        return (
            f"is no correlation matrix: these values cannot hold together; the pair most at fault is {names[i]} and {names[j]} "
            f"({matrix[i, j]:g}, nearest valid {near[i, j]:.3f}). The nearest valid matrix is [{rows}]"
        )
    return None


def _largest(matrix: FloatArray) -> tuple[int, int]:
    """Row and column of the largest entry."""
    row, column = divmod(int(np.argmax(matrix)), matrix.shape[1])
    return row, column


def nearest_correlation(matrix: FloatArray, smallest: float = 1e-6, max_iterations: int = 1000) -> FloatArray:
    """The correlation matrix nearest to a symmetric matrix, by alternating projections with Dykstra's correction.

    Its smallest eigenvalue is at least about `smallest`, so that the printed three digits still factorise.

    Source: Higham 2002, IMA Journal of Numerical Analysis 22:329, algorithm 3.3.
    """
    near, correction = matrix.copy(), np.zeros_like(matrix)
    for _ in range(max_iterations):
        shifted = near - correction
        values, vectors = np.linalg.eigh(shifted)
        positive = (vectors * np.maximum(values, smallest)) @ vectors.T
        correction = positive - shifted
        previous, near = near, positive.copy()
        np.fill_diagonal(near, 1.0)
        if np.abs(near - previous).max() < 1e-10:
            break
    return near


def cholesky(covariance: FloatArray) -> FloatArray:
    """Lower factor of a covariance matrix that may be singular: a direction without variance gets a column of zeros."""
    size = len(covariance)
    factor = np.zeros((size, size))
    for j in range(size):
        pivot = covariance[j, j] - factor[j, :j] @ factor[j, :j]
        if pivot > 1e-12 * max(covariance[j, j], 1e-300):
            factor[j, j] = np.sqrt(pivot)
            factor[j + 1 :, j] = (covariance[j + 1 :, j] - factor[j + 1 :, :j] @ factor[j, :j]) / factor[j, j]
    return factor
