"""Two samples compared by rank: the Wilcoxon-Mann-Whitney test, and the probability index with its own standard error."""

from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status


class RankComparison(NamedTuple):
    """Active arm against control by rank; each (replicate,), NaN unless `status` is OK.

    The test and the interval are two procedures: `wilcoxon_z` is standardised as if the arms had the same distribution, while the placement
    standard error allows them to differ, so that the two can disagree about the null hypothesis.
    """

    u: FloatArray
    """number of pairs in which the active patient is higher, plus half the ties"""
    probability_index: FloatArray
    """`u` over the number of pairs: P(active > control) + P(active = control) / 2"""
    wilcoxon_z: FloatArray
    """to be compared with a normal critical value; its variance under the null hypothesis is corrected for ties"""
    placement_std_error: FloatArray
    """of the probability index; NaN also where the arms do not overlap, for it cannot be estimated there"""
    placement_df: FloatArray
    """degrees of freedom of the t distribution for an interval with `placement_std_error`"""
    status: IntArray


@kernel
def _gather(outcome: FloatArray, arm: ArmArray, active: int, values: FloatArray, n: IntArray) -> None:
    """The outcomes of each arm side by side, in the order of the patients."""
    for p in range(outcome.shape[0]):
        for r in range(outcome.shape[1]):
            if outcome[p, r] == outcome[p, r] and (arm[p, r] == 0 or arm[p, r] == active):
                side = 0 if arm[p, r] == 0 else 1
                values[side, r, n[side, r]] = outcome[p, r]
                n[side, r] += 1


@kernel
def _walk(values: FloatArray, n: IntArray, sums: FloatArray) -> None:
    """Walk up through the sorted values of both arms, one set of ties after another; the sums are those that `_place` names."""
    for r in range(values.shape[1]):
        control, active = values[0, r], values[1, r]
        i, j = 0, 0
        while i < n[0, r] or j < n[1, r]:
            from_control = j == n[1, r] or (i < n[0, r] and control[i] <= active[j])
            value = control[i] if from_control else active[j]
            first_i, first_j = i, j
            while i < n[0, r] and control[i] == value:
                i += 1
            while j < n[1, r] and active[j] == value:
                j += 1
            in_control, in_active = float(i - first_i), float(j - first_j)
            tied = in_control + in_active
            controls_below = first_i + in_control / 2
            actives_below = first_j + in_active / 2
            sums[0, r] += in_active * controls_below
            sums[1, r] += in_control * actives_below * actives_below
            sums[2, r] += in_active * controls_below * controls_below
            sums[3, r] += tied * tied * tied - tied


def mann_whitney(outcome: FloatArray, arm: AnyArray, active: int, continuity: bool = False) -> RankComparison:
    """Wilcoxon rank-sum test by its normal approximation with correction for ties, and the probability index with its standard error.

    Exact p-values are left out: they hold without ties only, and scores on a scale are tied.

    Parameters
    ----------
    outcome : (replicate, patient) float, only its order matters; NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    continuity : move U by half a pair towards its expectation before it is standardised

    Returns
    -------
    RankComparison; TOO_FEW_PATIENTS with fewer than two patients in an arm, NO_VARIATION when all values are tied

    Source: test, Lehmann (1975), Nonparametrics: Statistical Methods Based on Ranks (variance with ties); standard error,
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837-845, which is that of Brunner and Munzel (2000), Biometrical Journal 42,
    17-25, from whom come the degrees of freedom.
    """
    n_replicates, n_patients = outcome.shape
    values = np.full((2, n_replicates, n_patients), np.nan)
    n = np.zeros((2, n_replicates), dtype=np.int64)
    sums = np.zeros((4, n_replicates))
    _gather(patient_major(outcome), patient_major(arm), active, values, n)
    values[..., : n.max(initial=0)].sort(axis=-1)  # NaN is sorted to the end
    _walk(values, n, sums)
    status = np.full(n_replicates, int(Status.OK))
    n_all = n.sum(axis=0).astype(np.float64)
    status[sums[3] == n_all**3 - n_all] = Status.NO_VARIATION
    status[n.min(axis=0) < 2] = Status.TOO_FEW_PATIENTS
    n_estimable = np.where(status == Status.OK, n, np.nan)
    u = np.where(status == Status.OK, sums[0], np.nan)
    return RankComparison(u, u / n_estimable.prod(axis=0), _wilcoxon_z(u, n_estimable, sums[3], continuity), *_placements(n_estimable, sums), status)


def _wilcoxon_z(u: FloatArray, n: FloatArray, ties: FloatArray, continuity: bool) -> FloatArray:
    n_pairs, n_all = n.prod(axis=0), n.sum(axis=0)
    excess = u - n_pairs / 2
    if continuity:
        excess -= np.sign(excess) / 2
    return np.asarray(excess / np.sqrt(n_pairs / 12 * (n_all + 1 - ties / (n_all * (n_all - 1)))))


def _placements(n: FloatArray, sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Standard error of the probability index and its degrees of freedom, from the variance of the placements in each arm."""
    total = np.stack([n.prod(axis=0) - sums[0], sums[0]])  # of placements: actives below a control, controls below an active
    variance = (n * sums[1:3] - total**2) / (n * (n - 1)) / n[::-1] ** 2  # the numerator is exact
    parts = variance / n
    squared = np.where(parts.sum(axis=0) > 0, parts.sum(axis=0), np.nan)
    return np.sqrt(squared), squared**2 / (parts**2 / (n - 1)).sum(axis=0)
