"""Two arms compared by rank within strata: van Elteren's test, and a stratified probability index with its own standard error."""

from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status

OK, TOO_FEW_PATIENTS, NO_VARIATION = int(Status.OK), int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION)


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
def _walk(outcome: FloatArray, order: IntArray, arm: AnyArray, active: int, stratum: AnyArray, strata: FloatArray, value: FloatArray) -> None:
    """Walk up through the values of one replicate, ties stratum by stratum."""
    for place in range(order.size):
        p = order[place]
        if outcome[p] != outcome[p]:  # NaN is sorted to the end
            break
        if arm[p] == 0 or arm[p] == active:
            s = stratum[p]
            if outcome[p] != value[s]:
                _close(strata[s])
                value[s] = outcome[p]
            strata[s, TIED if arm[p] == 0 else TIED + 1] += 1.0


@kernel
def _compare(
    outcome: FloatArray, order: IntArray, arm: AnyArray, active: int, stratum: AnyArray, n_strata: int, equal: bool, found: FloatArray, status: IntArray
) -> None:
    """All arrays (replicate, patient); `found` (3, replicate) takes z, the index and its standard error."""
    strata, value = np.empty((n_strata, WIDTH)), np.empty(n_strata)
    for r in range(order.shape[0]):
        for s in range(n_strata):
            value[s] = np.nan
            for column in range(WIDTH):
                strata[s, column] = 0.0
        _walk(outcome[r], order[r], arm[r], active, stratum[r], strata, value)
        n_control, n_active, pairs, excess, null_variance, variance = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for s in range(n_strata):
            _close(strata[s])
            control, treated, won = strata[s, BELOW], strata[s, BELOW + 1], strata[s, WON]
            n_control += control
            n_active += treated
            if control > 0.0 and treated > 0.0:
                n = control + treated
                weight = 1.0 if equal else 1 / (n + 1)
                lost = control * treated - won
                pairs += weight * control * treated
                excess += weight * (won - control * treated / 2)
                null_variance += weight * weight * control * treated / 12 * (n + 1 - strata[s, CUBES] / (n * (n - 1)))
                of_control = control * strata[s, SQUARED_CONTROL] - lost_or_won(control, treated, won)
                variance += weight * weight * 0.0
        status[r] = OK


