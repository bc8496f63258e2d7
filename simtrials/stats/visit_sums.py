"""Repeated measures as sums over the patients with the same visits observed: all that a normal model needs of them.

V visits; m columns: one, the covariates, the arm; R replicates, last here, for they are the fast axis in memory.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel


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
    """Sums over the patients of a trial with the same visits observed; at most K patterns, an unused one is 0."""

    observed: FloatArray
    """(K, V, R) 1 where the visit was observed"""
    moments: FloatArray
    """(K, m + V, m + V, R) products of ones, columns and outcomes, 0 for a visit that was not observed"""


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
    side[arm.T == 0], side[active == arm.T] = 0.0, 1.0
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


def add_up(block: Block, place: IntArray, of_complete: int, n_patterns: int) -> FloatArray:
    """Products of ones, columns and outcomes over the patients at each place: (pattern, line, R), lower triangle row after row."""
    n_visits, _, n_replicates = block.outcome.shape
    size = block.columns.shape[0] + 1 + n_visits
    n_lines = size * (size + 1) // 2
    complete, others = np.zeros((n_lines, n_replicates)), np.zeros((n_replicates, n_patterns, n_lines))
    _add_complete(block.outcome, block.columns, block.visits, block.centre, np.empty((4, size, n_replicates)), complete)
    _add_incomplete(block.outcome, block.columns, block.visits, place, block.centre, np.empty(size), others)
    sums = np.ascontiguousarray(others.transpose(1, 2, 0))
    sums[of_complete] = complete
    return sums


@kernel
def _number(visits: IntArray, complete: int, known: IntArray, place: IntArray) -> None:
    """Number the patterns of each replicate in the order met; the complete one is 0 and has no place."""
    for p in range(visits.shape[0]):
        for r in range(visits.shape[1]):
            if visits[p, r] == 0 or visits[p, r] == complete:
                continue
            k = 1
            while known[k, r] != 0 and known[k, r] != visits[p, r]:
                k += 1
            known[k, r] = visits[p, r]
            place[p, r] = k


def in_fours(n_patterns: int) -> int:
    """The next multiple of four: kernels sum patterns by fours, and the order of a sum must not depend on other replicates."""
    return -(-int(n_patterns) // 4) * 4


def patterns_of(block: Block) -> Patterns:
    """The sums of each pattern of observed visits, the complete one first."""
    n_visits, n_patients, n_replicates = block.outcome.shape
    complete = (1 << n_visits) - 1
    known = np.zeros((in_fours(min(n_patients, complete) + 2), n_replicates), dtype=np.int64)
    place = np.full(block.visits.shape, -1)
    _number(block.visits, complete, known, place)
    known[0] = complete
    known = known[: in_fours(np.count_nonzero(known, axis=0).max())]
    sums = add_up(block, place, of_complete=0, n_patterns=len(known))
    rows, columns = np.indices((block.columns.shape[0] + 1 + n_visits,) * 2)
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    observed = (known[:, np.newaxis] >> np.arange(n_visits)[:, np.newaxis]) & 1
    return Patterns(observed.astype(np.float64), sums[:, high * (high + 1) // 2 + low])
