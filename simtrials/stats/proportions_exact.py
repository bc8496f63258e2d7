"""Two-by-two tables of counts: checked, evaluated once for each distinct table, and tested exactly.

The functions here and in `proportions` take the tables of the replicates as four arrays of shape (replicate,), or scalars: `events_active,
n_active, events_control, n_control`. Counts start at 0 and events do not exceed n, otherwise ValueError. Results have shape (replicate,).
Where an arm is empty or a count is NaN, numbers are NaN and the status is TOO_FEW_PATIENTS.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.status import Status

StatusArray = NDArray[np.int8]
F = TypeVar("F", bound=Callable[..., Any])

RELATIVE_TIE = 1e-7
"""Two tables are equally probable when their probabilities differ by less than this share, as in R's fisher.test."""

LARGEST_ARRAY = 250_000
"""Tables times replicates that Fisher's test holds in memory at once."""


class Table(NamedTuple):
    """Checked counts as floats, (replicate,) each, all NaN where an arm is empty."""

    events_active: FloatArray
    n_active: FloatArray
    events_control: FloatArray
    n_control: FloatArray

    @classmethod
    def checked(cls, events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike) -> "Table":
        arrays = (np.atleast_1d(np.asarray(counts, dtype=np.float64)) for counts in (events_active, n_active, events_control, n_control))
        table = cls(*np.broadcast_arrays(*arrays))
        if any(np.any(cell < 0) for cell in table.cells):
            raise ValueError("two proportions: events must lie between 0 and the number of patients in the arm")
        known = (table.n_active > 0) & (table.n_control > 0) & ~np.isnan(table.events)
        return cls(*(np.where(known, counts, np.nan) for counts in table))

    @property
    def cells(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Active with and without event, control with and without event."""
        return self.events_active, self.n_active - self.events_active, self.events_control, self.n_control - self.events_control

    @property
    def risks(self) -> tuple[FloatArray, FloatArray]:
        return self.events_active / self.n_active, self.events_control / self.n_control

    @property
    def events(self) -> FloatArray:
        return self.events_active + self.events_control

    @property
    def n(self) -> FloatArray:
        return self.n_active + self.n_control

    @property
    def has_zero(self) -> BoolArray:
        """Whether one of the four cells is zero."""
        return np.asarray(np.any([cell == 0 for cell in self.cells], axis=0))

    def corrected(self, correction: float) -> "Table":
        """`correction` added to all four cells of the tables in which a cell is zero."""
        added = np.where(self.has_zero, correction, 0.0)
        return Table(self.events_active + added, self.n_active + 2 * added, self.events_control + added, self.n_control + 2 * added)

    def status(self, *reasons: tuple[BoolArray, Status]) -> StatusArray:
        """TOO_FEW_PATIENTS where an arm is empty, else the first of the reasons that holds, else OK."""
        conditions, codes = zip((np.isnan(self.n), Status.TOO_FEW_PATIENTS), *reasons, strict=True)
        return np.asarray(np.select(conditions, codes, Status.OK), dtype=np.int8)


def per_distinct_table(function: F) -> F:
    """The same results, bit for bit, with `function` evaluated once for each distinct table among the replicates.

    `function` takes the four count arrays and returns a named tuple of (replicate,) arrays in which a replicate depends on its own table
    only; its further arguments are the same for all replicates.
    """

    @wraps(function)
    def evaluate(
        events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike, *options: object, **named_options: object
    ) -> Any:
        counts = np.stack(Table.checked(events_active, n_active, events_control, n_control))  # (4, R)
        order = np.lexsort(counts)
        counts = counts[:, order]
        first_of_its_kind = np.append(True, np.any(counts[:, 1:] != counts[:, :-1], axis=0))[: order.size]
        place = np.empty(order.size, dtype=np.intp)
        place[order] = np.cumsum(first_of_its_kind) - 1
        result = function(*counts[:, first_of_its_kind], *options, **named_options)
        return type(result)(*(column[place] for column in result))

    return cast(F, evaluate)


class ExactTest(NamedTuple):
    """P values given the margins of the table, (replicate,) each."""

    p_value: FloatArray
    """two-sided"""
    mid_p_value: FloatArray
    """two-sided"""
    upper: FloatArray
    """probability of as many events under active, or more"""
    own: FloatArray
    """probability of the table itself"""
    status: StatusArray

    def one_sided(self, more: bool, mid_p: bool) -> FloatArray:
        """The p value against more events under active, or against fewer; mid-p counts the table itself by half."""
        tail = self.upper if more else 1 - self.upper + self.own
        return tail - self.own / 2 if mid_p else tail


@per_distinct_table
def fisher_exact_test(events_active: ArrayLike, n_active: ArrayLike, events_control: ArrayLike, n_control: ArrayLike) -> ExactTest:
    """Fisher's exact test: the probability, given the margins, of all tables at most as probable as the observed one.

    The mid-p value counts tables as probable as the observed one by half: P(less probable) + P(equally probable) / 2. A table in which
    nobody or everybody has the event is alone with its margins: p is 1, mid-p 0.5. ValueError where counts are not whole numbers.

    Source: Irwin (1935), Metron 12:83-94, as in R's fisher.test; mid-p of Lancaster (1961), JASA 56:223-234, as the Fisher mid-P test
    (Fisher-Irwin) of Fagerland, Lydersen and Laake (2017), Statistical Analysis of Contingency Tables, chapter 4.
    """
    table = Table.checked(events_active, n_active, events_control, n_control)
    known = ~np.isnan(table.n)
    observed, n_active, events_control, n_control = (np.where(known, counts, 0).astype(np.int64) for counts in table)
    if any(np.any(known & (counts % 1 != 0)) for counts in table):
        raise ValueError("Fisher's exact test: counts must be whole numbers")
    at_most, equal, upper, own, total = _probability_sums(observed, n_active, observed + events_control, n_control)
    parts = [np.where(known, part / total, np.nan) for part in (at_most, at_most - equal / 2, upper, own)]
    return ExactTest(parts[0], parts[1], parts[2], parts[3], table.status())


def _probability_sums(observed: IntArray, n_active: IntArray, events: IntArray, n_control: IntArray) -> FloatArray:
    """Summed probability of the tables with the same margins that are at most as probable as the observed one, equally probable, with as many
    events under active or more, of the observed one, and of all.

    Shape (5, replicate), relative to the most probable table. Sums run from one table to the next, so that none depends on its neighbours.
    """
    log_factorial = gammaln(np.arange((n_active + n_control).max(initial=0) + 1) + 1.0)
    first, last = np.maximum(events - n_control, 0), np.minimum(n_active, events)
    most_probable = (n_active + 1) * (events + 1) // (n_active + n_control + 2)
    step = np.arange((last - first).max(initial=0) + 1)[:, np.newaxis]  # (table, replicate)

    def log_weight(count: IntArray, of: slice) -> FloatArray:
        cells = (count, n_active[of] - count, events[of] - count, n_control[of] - events[of] + count)
        return np.asarray(-sum(log_factorial[cell] for cell in cells))

    def sums(of: slice) -> FloatArray:
        weight = log_weight(np.minimum(first[of] + step, last[of]), of)
        excess = weight - log_weight(observed[of], of)
        probability = np.where(step <= last[of] - first[of], np.exp(weight - log_weight(most_probable[of], of)), 0.0)
        more = first[of] + step - observed[of]
        counted = (
            probability * (excess <= RELATIVE_TIE),
            probability * (np.abs(excess) <= RELATIVE_TIE),
            probability * (more >= 0),
            probability * (more == 0),
            probability,
        )
        return np.stack([np.add.accumulate(terms, axis=0)[-1] for terms in counted])

    size = max(LARGEST_ARRAY // step.size, 1)
    return np.concatenate([sums(slice(start, start + size)) for start in range(0, observed.size, size)] or [np.zeros((5, 0))], axis=1)
