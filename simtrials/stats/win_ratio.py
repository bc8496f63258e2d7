"""Pairwise comparisons by outcomes in order of importance: win ratio, net benefit and win odds, for many replicates at once.

Every patient of the active arm is compared with every patient of the control arm (of the same stratum): the first outcome on which they differ
by more than its margin decides who wins. An outcome that is missing in either decides nothing.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status


class Level(NamedTuple):
    """One outcome in the order of importance."""

    outcome: FloatArray
    """(replicate, patient), NaN where missing"""
    higher_wins: bool = True
    margin: float = 0.0
    """in the unit of the outcome; a difference of exactly the margin is a tie, as far as the numbers of a computer are exact"""


class Pairs(NamedTuple):
    """Shares of pairs that the active patient wins and loses, and their covariances; each (replicate,), NaN unless `status` is OK."""

    wins: FloatArray
    losses: FloatArray
    variance_of_wins: FloatArray
    variance_of_losses: FloatArray
    covariance: FloatArray
    null_variance: FloatArray
    """of the difference of wins and losses, as estimated when they are equally likely"""
    status: IntArray


class WinEstimate(NamedTuple):
    """A measure of who wins, above its null when the active arm does; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    null_std_error: FloatArray
    """for a test: as estimated when wins and losses are equally likely. Either error is NaN where its variance does not come out positive, which
    tiny arms can do."""
    status: IntArray


# Sums over the patients of an arm: their wins and losses (of the active arm), and the squares and products of these.
WINS, LOSSES, WIN_WIN, LOSS_LOSS, WIN_LOSS = 0, 1, 2, 3, 4
OK, TOO_FEW_PATIENTS, NO_VARIATION = int(Status.OK), int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION)


@kernel
def _split(values: FloatArray, arm: AnyArray, active: int, stratum: AnyArray, s: int, r: int, sides: FloatArray) -> tuple[int, int]:
    """Copy the outcomes (level, replicate, patient) of one stratum of a replicate to `sides` (arm, level, place); returns the sizes of the arms.

    A patient without any outcome is left out.
    """
    n_control, n_active = 0, 0
    for p in range(values.shape[2]):
        if stratum[r, p] != s or not (arm[r, p] == 0 or arm[r, p] == active):
            continue
        side = 0 if arm[r, p] == 0 else 1
        place, known = n_active if side else n_control, False
        for level in range(values.shape[0]):
            sides[side, level, place] = values[level, r, p]
            known |= values[level, r, p] == values[level, r, p]
        n_control += 1 if known and side == 0 else 0
        n_active += 1 if known and side == 1 else 0
    return n_control, n_active


@kernel
def _add(sums: FloatArray, wins: float, losses: float) -> None:
    sums[WINS] += wins
    sums[LOSSES] += losses
    sums[WIN_WIN] += wins * wins
    sums[LOSS_LOSS] += losses * losses
    sums[WIN_LOSS] += wins * losses


@kernel
def _compare(
    sides: FloatArray, n_control: int, n_active: int, margin: FloatArray, work: AnyArray, of_actives: FloatArray, of_controls: FloatArray
) -> None:
    """All pairs of a stratum, one active patient after another; `work` (3, control) holds who has won, and the wins and losses by control."""
    result, wins_by_control, losses_by_control = work[0], work[1], work[2]
    for i in range(5):
        of_actives[i], of_controls[i] = 0.0, 0.0
    for j in range(n_control):
        wins_by_control[j], losses_by_control[j] = 0.0, 0.0
    for i in range(n_active):
        for j in range(n_control):
            result[j] = 0.0
        for level in range(margin.size):
            own, enough = sides[1, level, i], margin[level]
            for j in range(n_control):
                ahead = own - sides[0, level, j]
                decided = (1.0 if ahead > enough else 0.0) - (1.0 if ahead < -enough else 0.0)
                result[j] = decided if result[j] == 0.0 else result[j]
        wins, losses = 0, 0
        for j in range(n_control):
            wins_by_control[j] += 1.0 if result[j] > 0.0 else 0.0
            losses_by_control[j] += 1.0 if result[j] < 0.0 else 0.0
            wins += 1 if result[j] > 0.0 else 0
            losses += 1 if result[j] < 0.0 else 0
        _add(of_actives, float(wins), float(losses))
    for j in range(n_control):
        _add(of_controls, wins_by_control[j], losses_by_control[j])


@kernel
def _add_stratum(n_control: int, n_active: int, weight: float, of_actives: FloatArray, of_controls: FloatArray, total: FloatArray) -> None:
    """Add a stratum to the weighted pairs, wins and losses, their variances and covariance, and the null variance of their difference, (7,).

    The number of wins is a sum over the patients of either arm, so its variance is the sum of n times the variance of their wins. The null
    variance estimates the expected product of the results of two pairs that share a patient, over all two such pairs.
    """
    n_pairs, wins, losses = float(n_control * n_active), of_actives[WINS], of_actives[LOSSES]
    total[0] += weight * n_pairs
    total[1] += weight * wins
    total[2] += weight * losses
    for n, other, sums in ((float(n_active), float(n_control), of_actives), (float(n_control), float(n_active), of_controls)):
        spread = weight * weight / (n - 1)
        total[3] += spread * (n * sums[WIN_WIN] - wins * wins)
        total[4] += spread * (n * sums[LOSS_LOSS] - losses * losses)
        total[5] += spread * (n * sums[WIN_LOSS] - wins * losses)
        squares = sums[WIN_WIN] + sums[LOSS_LOSS] - 2 * sums[WIN_LOSS]
        total[6] += weight * weight * (squares - wins - losses) * other / (other - 1)


@kernel
def _compare_strata(
    values: FloatArray, margin: FloatArray, arm: AnyArray, active: int, stratum: AnyArray, n_strata: int, equal: bool, total: FloatArray
) -> IntArray:
    """Status (replicate,); `total` (replicate, 7) takes what `_add_stratum` adds up."""
    n_patients = arm.shape[1]
    sides, work, sums = np.empty((2, margin.size, n_patients)), np.empty((3, n_patients)), np.empty((2, 5))
    status = np.empty(len(arm), dtype=np.int64)
    for r in range(len(arm)):
        smallest = 2
        for i in range(7):
            total[r, i] = 0.0
        for s in range(n_strata):
            n_control, n_active = _split(values, arm, active, stratum, s, r, sides)
            if n_control > 0 and n_active > 0:
                smallest = min(smallest, n_control, n_active)
                _compare(sides, n_control, n_active, margin, work, sums[1], sums[0])
                _add_stratum(n_control, n_active, 1.0 if equal else 1 / (n_control + n_active), sums[1], sums[0], total[r])
        status[r] = NO_VARIATION if total[r, 1] + total[r, 2] == 0.0 else OK
        if smallest < 2 or total[r, 0] == 0.0:
            status[r] = TOO_FEW_PATIENTS
    return status


def compare_pairs(
    levels: Sequence[Level],
    arm: AnyArray,
    active: int,
    stratum: AnyArray | None = None,
    weights: Literal["mantel_haenszel", "equal"] = "mantel_haenszel",
) -> Pairs:
    """Compare all pairs of an active and a control patient, of the same stratum when strata are given.

    Parameters
    ----------
    levels : outcomes, the most important first
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed; nor is one without any outcome
    active : code of the arm that is compared with control
    stratum : (replicate, patient) int codes from 0, or None; a patient whose code is negative is not analysed
    weights : of the pairs of a stratum with n patients, "mantel_haenszel" for 1 / n, or "equal"

    Returns
    -------
    Pairs; TOO_FEW_PATIENTS with fewer than two patients in an arm, when no stratum holds both arms, or when one that does has a single patient
    in one of them, NO_VARIATION when all pairs are tied. A stratum without patients in one of the arms says nothing and is passed over.

    Source: Buyse (2010), Statistics in Medicine 29, 3245-3257 (pairs); Bebu and Lachin (2016), Biostatistics 17, 178-187 (covariances, here by
    the unbiased variances of DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837-845); Dong et al. (2016), Pharmaceutical Statistics
    15, 430-437 (null variance); Dong et al. (2018), Journal of Biopharmaceutical Statistics 28, 778-796 (strata).
    """
    values = np.empty((len(levels), *arm.shape))
    for level, row in zip(levels, values, strict=True):
        np.multiply(level.outcome, 1.0 if level.higher_wins else -1.0, out=row)
    n_strata = 1 if stratum is None else max(int(stratum.max(initial=0)), 0) + 1
    stratum = np.zeros(arm.shape, dtype=np.int8) if stratum is None else np.ascontiguousarray(stratum)
    margin = np.array([level.margin for level in levels], dtype=np.float64)
    total = np.empty((len(arm), 7))
    status = _compare_strata(values, margin, np.ascontiguousarray(arm), active, stratum, n_strata, weights == "equal", total)
    n_pairs = np.where(status == Status.OK, total[:, 0], np.nan)
    wins, losses = total[:, 1] / n_pairs, total[:, 2] / n_pairs
    of_wins, of_losses, covariance, null = total[:, 3:].T / n_pairs**2
    return Pairs(wins, losses, of_wins, of_losses, covariance, null, status)


def win_ratio(pairs: Pairs) -> WinEstimate:
    """Logarithm of wins over losses, ties left out. EMPTY_CELL where an arm has no wins.

    Source: Pocock et al. (2012), European Heart Journal 33, 176-182; Bebu and Lachin (2016); null variance, Dong et al. (2016).
    """
    wins, losses, of_wins, of_losses, covariance, null, status = pairs
    some = (wins > 0) & (losses > 0)
    wins, losses = np.where(some, wins, np.nan), np.where(some, losses, np.nan)
    variance = of_wins / wins**2 + of_losses / losses**2 - 2 * covariance / (wins * losses)
    return _estimate(np.log(wins / losses), variance, null * 4 / (wins + losses) ** 2, _unless(some, Status.EMPTY_CELL, status))


def net_benefit(pairs: Pairs) -> WinEstimate:
    """Share of wins less share of losses, the proportion in favour of treatment. NO_VARIATION where one arm wins every pair.

    Source: Buyse (2010); Bebu and Lachin (2016).
    """
    benefit, variance = pairs.wins - pairs.losses, pairs.variance_of_wins + pairs.variance_of_losses - 2 * pairs.covariance
    return _estimate(benefit, variance, pairs.null_variance, _unless(np.abs(benefit) < 1, Status.NO_VARIATION, pairs.status))


def win_odds(pairs: Pairs) -> WinEstimate:
    """Logarithm of the odds of a win, a tie being half a win and half a loss. EMPTY_CELL where one arm wins every pair.

    Source: Dong et al. (2020), Statistics in Biopharmaceutical Research 12, 99-106.
    """
    benefit, std_error, null_std_error, status = net_benefit(pairs)
    status = np.where(status == pairs.status, status, Status.EMPTY_CELL)
    return WinEstimate(2 * np.arctanh(benefit), std_error * 2 / (1 - benefit**2), 2 * null_std_error, status)


def _unless(possible: AnyArray, reason: Status, status: IntArray) -> IntArray:
    return np.where((status == Status.OK) & ~possible, reason, status)


def _estimate(estimate: FloatArray, variance: FloatArray, null_variance: FloatArray, status: IntArray) -> WinEstimate:
    ok = status == Status.OK
    std_error, null_std_error = (np.sqrt(np.where(ok & (squared > 0), squared, np.nan)) for squared in (variance, null_variance))
    return WinEstimate(np.where(ok, estimate, np.nan), std_error, null_std_error, status)
