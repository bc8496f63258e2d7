"""Two arms compared by rank within strata: van Elteren's test, and a stratified probability index with its own standard error."""

from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status

FEW = 16  # distinct values that are quickly counted
OK, TOO_FEW_PATIENTS, NO_VARIATION = int(Status.OK), int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION)


class Ordered(NamedTuple):
    """The patients of each replicate, sorted by a value."""

    order: IntArray
    """(replicate, place) patients from the lowest value to the highest; what follows, for patients with NaN, means nothing"""
    start: IntArray
    """(replicate, k) the place where the k-th distinct value begins, k from 0; at k = `n` all places with a value end"""
    n: IntArray
    """(replicate,) number of distinct values"""


def ordered_by(values: FloatArray) -> Ordered:
    """Sort the patients of each replicate by `values` (replicate, patient)."""
    values = np.ascontiguousarray(values)
    start = np.empty((values.shape[0], values.shape[1] + 1), dtype=np.int64)
    n = np.empty(len(values), dtype=np.int64)
    order = np.empty(values.shape, dtype=np.int64)
    _count_few(values, order, start, n)
    many = np.flatnonzero(n > FEW)
    if many.size == n.size:
        order = np.argsort(values, axis=-1)  # NaN is sorted to the end
    elif many.size:
        order[many] = np.argsort(values[many], axis=-1)
    _mark_starts(values, order, start, n)
    return Ordered(order, start, n)


@kernel
def _count_few(values: FloatArray, order: IntArray, start: IntArray, n: IntArray) -> None:
    """Sort by counting the replicates with few distinct values, which is faster than comparing; `n` is FEW + 1 where there are more."""
    kept, above = np.empty(FEW), np.empty(values.shape[1], dtype=np.int64)
    following = np.empty(FEW, dtype=np.int64)
    for r in range(values.shape[0]):
        n[r] = 0
        for p in range(values.shape[1]):
            value, known = values[r, p], values[r, p] != values[r, p]
            for k in range(n[r]):
                known |= kept[k] == value
            if not known:
                n[r] += 1
                if n[r] > FEW:
                    break
                place = n[r] - 1
                while place > 0 and kept[place - 1] > value:
                    kept[place] = kept[place - 1]
                    place -= 1
                kept[place] = value
        if n[r] > FEW:
            continue
        for p in range(values.shape[1]):
            above[p] = -1
        start[r, 0] = 0
        for k in range(n[r]):
            following[k], start[r, k + 1] = 0, 0
            for p in range(values.shape[1]):
                above[p] += 1 if values[r, p] >= kept[k] else 0
        for p in range(values.shape[1]):
            if above[p] >= 0:
                start[r, above[p] + 1] += 1
        for k in range(n[r]):
            following[k] = start[r, k]
            start[r, k + 1] += start[r, k]
        for p in range(values.shape[1]):
            if above[p] >= 0:
                order[r, following[above[p]]] = p
                following[above[p]] += 1


@kernel
def _mark_starts(values: FloatArray, order: IntArray, start: IntArray, n: IntArray) -> None:
    """Where distinct values begin, in the replicates that have many."""
    for r in range(values.shape[0]):
        if n[r] <= FEW:
            continue
        count, last, end = 0, np.nan, 0
        for place in range(values.shape[1]):
            value = values[r, order[r, place]]
            known = value == value
            start[r, count] = place  # until a further value begins
            count += 1 if known & (value != last) else 0
            end += 1 if known else 0
            last = value
        start[r, count] = end
        n[r] = count


class StratifiedRankComparison(NamedTuple):
    """Active arm against control by rank within strata; each (replicate,), NaN unless `status` is OK.

    As in `ranks.RankComparison`, the test is standardised as if the arms had the same distribution in each stratum, while the standard error
    of the index allows them to differ.
    """

    z: FloatArray
    """van Elteren's statistic, to be compared with a normal critical value; its variance under the null hypothesis is corrected for ties"""
    probability_index: FloatArray
    """the mean over strata of P(active > control) + P(active = control) / 2, with the weights of the test"""
    placement_std_error: FloatArray
    """of the index; NaN also where it cannot be estimated: a stratum with both arms has one patient in one of them, or the arms nowhere overlap"""
    status: IntArray


# Of one stratum while its values are walked up: patients below the current set of ties and in it, control before active, and the sums over
# sets of ties that `ranks` explains: pairs won, squared placements in control, squared placements in active, cubes of ties less their sizes.
BELOW, TIED, WON, SQUARED_CONTROL, SQUARED_ACTIVE, CUBES, WIDTH = 0, 2, 4, 5, 6, 7, 8


@kernel
def _close(stratum: FloatArray) -> None:
    """Count a set of ties that is complete."""
    in_control, in_active = stratum[TIED], stratum[TIED + 1]
    controls_below, actives_below = stratum[BELOW] + in_control / 2, stratum[BELOW + 1] + in_active / 2
    tied = in_control + in_active
    stratum[WON] += in_active * controls_below
    stratum[SQUARED_CONTROL] += in_control * actives_below * actives_below
    stratum[SQUARED_ACTIVE] += in_active * controls_below * controls_below
    stratum[CUBES] += tied * tied * tied - tied
    stratum[BELOW] += in_control
    stratum[BELOW + 1] += in_active
    stratum[TIED], stratum[TIED + 1] = 0.0, 0.0


@kernel
def _walk(order: IntArray, start: IntArray, n: int, arm: AnyArray, active: int, stratum: AnyArray, strata: FloatArray, latest: IntArray) -> None:
    """Walk up through the values of one replicate; a set of ties is closed when a higher value appears in its stratum."""
    for s in range(latest.size):
        latest[s] = 0
        for column in range(WIDTH):
            strata[s, column] = 0.0
    for k in range(n):
        for place in range(start[k], start[k + 1]):
            p = order[place]
            s = stratum[p]
            if s >= 0 and (arm[p] == 0 or arm[p] == active):
                if latest[s] != k:
                    _close(strata[s])
                    latest[s] = k
                strata[s, TIED + (1 if arm[p] == active else 0)] += 1.0
    for s in range(latest.size):
        _close(strata[s])


@kernel
def _combine(strata: FloatArray, equal: bool, found: FloatArray) -> int:
    """Statistic, index and standard error, (3,), of one replicate; returns its status."""
    controls, actives, pairs, won, excess, null_variance, variance = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for s in range(strata.shape[0]):
        control, treated = strata[s, BELOW], strata[s, BELOW + 1]
        controls += control
        actives += treated
        if control > 0.0 and treated > 0.0:
            n, product = control + treated, control * treated
            weight = 1.0 if equal else 1 / (n + 1)
            lost = product - strata[s, WON]
            pairs += weight * product
            won += weight * strata[s, WON]
            excess += weight * (strata[s, WON] - product / 2)
            null_variance += weight * weight * product / 12 * (n + 1 - strata[s, CUBES] / (n * (n - 1)))
            of_controls = (control * strata[s, SQUARED_CONTROL] - lost * lost) / (control - 1)
            of_actives = (treated * strata[s, SQUARED_ACTIVE] - strata[s, WON] * strata[s, WON]) / (treated - 1)
            variance += weight * weight * (of_controls + of_actives)
    if min(controls, actives) < 2.0 or pairs == 0.0:
        return TOO_FEW_PATIENTS
    if null_variance == 0.0:
        return NO_VARIATION
    found[0] = excess / np.sqrt(null_variance)
    found[1] = won / pairs
    found[2] = np.sqrt(variance) / pairs if variance > 0.0 else np.nan
    return OK


@kernel
def _compare(
    order: IntArray, start: IntArray, n: IntArray, arm: AnyArray, active: int, stratum: AnyArray, equal: bool, strata: FloatArray, found: FloatArray
) -> IntArray:
    """Status (replicate,); arrays are (replicate, patient), and `found` (replicate, 3) takes statistic, index and standard error."""
    status, latest = np.empty(len(order), dtype=np.int64), np.empty(len(strata), dtype=np.int64)
    for r in range(len(order)):
        _walk(order[r], start[r], n[r], arm[r], active, stratum[r], strata, latest)
        status[r] = _combine(strata, equal, found[r])
    return status


def van_elteren(
    outcome: FloatArray, arm: AnyArray, active: int, stratum: AnyArray, weights: Literal["van_elteren", "equal"] = "van_elteren"
) -> StratifiedRankComparison:
    """Van Elteren's test: Wilcoxon rank sums within strata, added up with weights, by the normal approximation with correction for ties.

    Parameters
    ----------
    outcome : (replicate, patient) float, only its order within a stratum matters; NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    stratum : (replicate, patient) int codes from 0; a patient whose code is negative is not analysed
    weights : of the rank sum of a stratum with n patients, "van_elteren" for 1 / (n + 1), which has the most power when the shift is the same
        in all strata, or "equal" for 1, so that every pair of patients counts the same. The index of a stratum thus has the weight
        n_control n_active / (n + 1), or n_control n_active.

    Returns
    -------
    StratifiedRankComparison; TOO_FEW_PATIENTS with fewer than two patients in an arm, or when no stratum holds both arms; NO_VARIATION when
    all values are tied in every stratum that does. A stratum without patients in one of the arms says nothing and is passed over.

    Source: van Elteren (1960), Bulletin of the International Statistical Institute 37, 351-361; Lehmann (1975), Nonparametrics: Statistical
    Methods Based on Ranks, sections 1.4 (ties) and 3.3 (blocks); standard error by stratum, DeLong, DeLong and Clarke-Pearson (1988),
    Biometrics 44, 837-845.
    """
    arm, stratum = np.ascontiguousarray(arm), np.ascontiguousarray(stratum)
    found = np.full((len(outcome), 3), np.nan)
    strata = np.empty((max(int(stratum.max(initial=-1)), 0) + 1, WIDTH))
    status = _compare(*ordered_by(outcome), arm, active, stratum, weights == "equal", strata, found)
    z, index, std_error = found.T.copy()
    return StratifiedRankComparison(z, index, std_error, status)
