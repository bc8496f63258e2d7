"""Two risks compared within strata and pooled with the weights of Mantel and Haenszel, for many replicates at once.

Counts come first (`stratified_counts`), then a pooled contrast, active minus control or the logarithm of active / control, or the test of
Cochran, Mantel and Haenszel. A stratum in which an arm is empty, or that is empty itself, says nothing of the effect and counts for nothing,
as in R's metafor::rma.mh; so, in the odds ratio and the test, does one in which all patients have the same outcome (in the risk difference and
the risk ratio it counts, as it should). No count is ever corrected by a half.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, ArmArray, BoolArray, FloatArray, IntArray, patient_major
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.proportions import Contrast, Estimate, ZTest
from simtrials.stats.proportions_exact import StatusArray

ROUNDING = 1e-12  # share of the terms of a sum that remains where they cancel
ONE_HALF = 0.5 - 1e-9  # an excess of one half but for rounding is one half


class StratifiedCounts(NamedTuple):
    """Events and patients by arm and stratum, (replicate, stratum) each."""

    events_active: FloatArray
    n_active: FloatArray
    events_control: FloatArray
    n_control: FloatArray


@kernel
def _count(outcome: FloatArray, arm: ArmArray, stratum: IntArray, active: int, counts: FloatArray) -> None:
    for p in range(outcome.shape[0]):
        for r in range(outcome.shape[1]):
            y, s = outcome[p, r], stratum[p, r]
            if y == y and s >= 0:
                if arm[p, r] == active:
                    counts[0, s, r] += y
                    counts[1, s, r] += 1.0
                elif arm[p, r] == 0:
                    counts[2, s, r] += y
                    counts[3, s, r] += 1.0


def stratified_counts(outcome: FloatArray, arm: AnyArray, active: int, stratum: AnyArray) -> StratifiedCounts:
    """Events and patients in the active and in the control arm of every stratum.

    Parameters
    ----------
    outcome : (replicate, patient) 1 for the event, 0 without, NaN where unknown
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    stratum : (replicate, patient) whole numbers from 0 to the number of strata less 1, negative for a patient who is not analysed

    Raises
    ------
    TypeError where strata are not whole numbers
    """
    if stratum.dtype.kind not in "iub":
        raise TypeError(f"strata must be whole numbers from 0 on, got {stratum.dtype}")
    codes = patient_major(stratum).astype(np.int64, copy=False)
    counts = np.zeros((4, max(int(codes.max(initial=-1)) + 1, 1), outcome.shape[0]))
    _count(patient_major(outcome), patient_major(arm), codes, active, counts)
    return StratifiedCounts(*(count.T for count in counts))


class _Tables(NamedTuple):
    """Cells of the tables and their sizes, (stratum, replicate) each; all 0 in a stratum that lacks an arm."""

    active: FloatArray
    active_without: FloatArray
    control: FloatArray
    control_without: FloatArray
    n_active: FloatArray
    n_control: FloatArray
    n: FloatArray
    """1 instead of 0, to be divided by"""

    @classmethod
    def of(cls, counts: StratifiedCounts) -> "_Tables":
        both = (counts.n_active > 0) & (counts.n_control > 0)
        events_active, n_active, events_control, n_control = (np.where(both, count, 0.0).T for count in counts)
        n = np.where(both.T, n_active + n_control, 1.0)
        return cls(events_active, n_active - events_active, events_control, n_control - events_control, n_active, n_control, n)

    @property
    def weight(self) -> FloatArray:
        return self.n_active * self.n_control / self.n

    @property
    def absent(self) -> BoolArray:
        """(replicate,) whether no stratum has both arms."""
        return np.asarray(~(self.weight > 0).any(axis=0))


def _sum(terms: FloatArray) -> FloatArray:
    """Over strata, one after the other, so that empty ones change no digit."""
    return np.asarray(np.add.accumulate(terms, axis=0)[-1])


def _status(*reasons: tuple[BoolArray, Status]) -> StatusArray:
    """The first of the reasons that holds, else OK."""
    conditions, codes = zip(*reasons, strict=True)
    return np.asarray(np.select(conditions, codes, Status.OK), dtype=np.int8)


RiskDifferenceVariance = Literal["sato", "greenland_robins"]


def mantel_haenszel_risk_difference(counts: StratifiedCounts, variance: RiskDifferenceVariance = "sato") -> Estimate:
    """Pooled risk difference: the mean of those of the strata, weighted by n_active n_control / n.

    `variance` is "sato", consistent both for few large strata and for many small ones, or "greenland_robins", the binomial variances of the
    strata added up, for few large strata only and also where the difference varies between them. One stratum gives the crude difference with
    its unpooled standard error either way.

    Returns
    -------
    Estimate; TOO_FEW_PATIENTS where no stratum has both arms, NO_VARIATION with a standard error of 0 where the variance vanishes, as when
    nobody has the event

    Source: Greenland and Robins (1985), Biometrics 41, 55-68; Sato (1989), Biometrics 45, 1323-1324.
    """
    t = _Tables.of(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = _sum(t.weight)
        estimate = _sum((t.active * t.n_control - t.control * t.n_active) / t.n) / weight
        if variance == "sato":
            balance = t.control * t.n_active**2 - t.active * t.n_control**2 + t.n_active * t.n_control * (t.n_control - t.n_active) / 2
            discordant = t.active * t.control_without + t.control * t.active_without
            terms = np.stack([estimate * _sum(balance / t.n**2), _sum(discordant / t.n) / 2])
        else:
            within = [
                np.divide(t.active * t.active_without * t.n_control**3, t.n_active * t.n_control * t.n**2),
                np.divide(t.control * t.control_without * t.n_active**3, t.n_active * t.n_control * t.n**2),
            ]
            terms = np.stack([_sum(np.where(t.weight > 0, term, 0.0)) for term in within])
        scaled = terms.sum(axis=0)
        scaled = np.where(np.abs(scaled) <= ROUNDING * np.abs(terms).sum(axis=0), 0.0, scaled)
        std_error = np.sqrt(scaled) / weight
    return Estimate(estimate, std_error, _status((t.absent, Status.TOO_FEW_PATIENTS), (scaled == 0, Status.NO_VARIATION)))


def mantel_haenszel_log_risk_ratio(counts: StratifiedCounts) -> Estimate:
    """Logarithm of the pooled risk ratio, with the standard error for few large strata as for many small ones.

    Returns
    -------
    Estimate; TOO_FEW_PATIENTS where no stratum has both arms, NaN with EMPTY_CELL where an arm has no events in them, NO_VARIATION with a
    standard error of 0 where everybody has the event

    Source: Greenland and Robins (1985), Biometrics 41, 55-68, equation 13.
    """
    t = _Tables.of(counts)
    active, control = _sum(t.active * t.n_control / t.n), _sum(t.control * t.n_active / t.n)
    terms = (t.n_active * t.n_control * (t.active + t.control) - t.active * t.control * t.n) / t.n**2
    return _log_ratio(t, active, control, _sum(terms))


def mantel_haenszel_log_odds_ratio(counts: StratifiedCounts) -> Estimate:
    """Logarithm of the pooled odds ratio, with the standard error for few large strata as for many small ones.

    Returns
    -------
    Estimate; TOO_FEW_PATIENTS where no stratum has both arms, NaN with EMPTY_CELL where the estimate would be 0, infinite or 0 / 0. R's
    mantelhaen.test gives 0, Inf or NaN there, rma.mh gives NA.

    Source: Mantel and Haenszel (1959), Journal of the National Cancer Institute 22, 719-748; Robins, Breslow and Greenland (1986),
    Biometrics 42, 311-323.
    """
    t = _Tables.of(counts)
    alike, unlike = (t.active + t.control_without) / t.n, (t.active_without + t.control) / t.n
    above, below = t.active * t.control_without / t.n, t.active_without * t.control / t.n
    total_above, total_below = _sum(above), _sum(below)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = _sum(alike * above) / total_above**2 + _sum(unlike * below) / total_below**2
        variance += _sum(alike * below + unlike * above) / (total_above * total_below)
    return _log_ratio(t, total_above, total_below, total_above * total_below * variance / 2)


def _log_ratio(t: _Tables, above: FloatArray, below: FloatArray, variance: FloatArray) -> Estimate:
    """`variance` is that of the logarithm times both sums."""
    empty = (above == 0) | (below == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = np.where(empty, np.nan, np.log(above / below))
        std_error = np.where(empty, np.nan, np.sqrt(variance / (above * below)))
    reasons = (t.absent, Status.TOO_FEW_PATIENTS), (empty, Status.EMPTY_CELL), (std_error == 0, Status.NO_VARIATION)
    return Estimate(estimate, std_error, _status(*reasons))


MANTEL_HAENSZEL: dict[Contrast, Callable[[StratifiedCounts], Estimate]] = {
    "risk_difference": mantel_haenszel_risk_difference,
    "log_risk_ratio": mantel_haenszel_log_risk_ratio,
    "log_odds_ratio": mantel_haenszel_log_odds_ratio,
}


def cochran_mantel_haenszel_test(counts: StratifiedCounts, continuity_correction: bool = False) -> ZTest:
    """Test of no effect in any stratum: the excess of events under active over its standard deviation, given the margins of all tables.

    The square of the statistic is the chi-squared statistic of R's mantelhaen.test. The correction takes one half off the size of the excess,
    or nothing where the excess is smaller than that, as R does. For one stratum without correction the statistic is that of the pooled test
    times the root of (n - 1) / n.

    Returns
    -------
    ZTest; TOO_FEW_PATIENTS where no stratum has both arms, NO_VARIATION where in each of them all patients have the same outcome

    Source: Mantel and Haenszel (1959), Journal of the National Cancer Institute 22, 719-748, with their continuity correction.
    """
    t = _Tables.of(counts)
    events = t.active + t.control
    excess = _sum((t.active * t.n_control - t.control * t.n_active) / t.n)
    above = t.n_active * t.n_control * events * (t.n - events)
    variance = _sum(above / (t.n**2 * np.maximum(t.n - 1, 1)))
    size = np.abs(excess)
    if continuity_correction:
        size = np.where(size >= ONE_HALF, np.maximum(size - 0.5, 0.0), size)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.sign(excess) * size / np.sqrt(variance)
    return ZTest(statistic, _status((t.absent, Status.TOO_FEW_PATIENTS), (variance == 0, Status.NO_VARIATION)))
