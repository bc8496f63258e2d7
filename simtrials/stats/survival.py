"""Time to an event, such as the first response, that is looked for at scheduled visits: many patients share a time, and some are censored.

All functions take, besides the arms, `time` (replicate, patient), the week of the event or of the last visit without it, NaN for a patient who
is not analysed, and `event` (replicate, patient) bool, whether the event happened then. A patient who is censored at a visit was still at risk
there. Contrasts are active minus control or active / control: for a response, a hazard ratio above 1 is a benefit, while a higher share
without it, or a longer mean time without it, is harm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simtrials.core.arrays import VISIT, AnyArray, ArmArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.stratified_ranks import Ordered, ordered_by


class LogRank(NamedTuple):
    """The log-rank test; each (replicate,), NaN unless `status` is OK."""

    z: FloatArray
    """to be compared with a normal critical value; positive when the active arm has more events than expected"""
    excess: FloatArray
    """events in the active arm, observed less expected"""
    variance: FloatArray
    """of the excess, when the arms have the same hazard"""
    status: IntArray


class SurvivalDifference(NamedTuple):
    """Active less control in a feature of the Kaplan-Meier curve; each (replicate,), estimate and error NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    active: FloatArray
    """the feature itself; NaN where the curve ends too early"""
    control: FloatArray
    status: IntArray


def time_to_first(happened: BoolArray, observed: BoolArray, weeks: Sequence[float]) -> tuple[FloatArray, BoolArray]:
    """Time and event, (replicate, patient) each: the first visit at which it was seen to have happened, else the last one observed.

    `happened` and `observed` are (replicate, patient, visit), `weeks` those of the visits. Time is NaN for a patient who was never observed.
    """
    seen = happened & observed
    event = np.asarray(seen.any(axis=VISIT))
    last = len(weeks) - 1 - observed[:, :, ::-1].argmax(axis=VISIT)
    time = np.asarray(weeks, dtype=np.float64)[np.where(event, seen.argmax(axis=VISIT), last)]
    time[~observed.any(axis=VISIT)] = np.nan
    return time, event


def _sorted(
    time: FloatArray, event: BoolArray, arm: AnyArray, active: int, stratum: AnyArray | None = None
) -> tuple[Ordered, FloatArray, ArmArray, BoolArray, BoolArray]:
    """The patients analysed, by time; their times, side (1 for active) and event, (replicate, patient), and whether an arm has fewer than two."""
    treated = arm == active
    analysed = (treated | (arm == 0)) & (time == time)
    if stratum is not None:
        analysed &= stratum >= 0
    time = np.ascontiguousarray(np.where(analysed, time, np.nan))
    n_active = np.count_nonzero(analysed & treated, axis=1)
    too_few = np.minimum(n_active, np.count_nonzero(analysed, axis=1) - n_active) < 2
    return ordered_by(time), time, np.ascontiguousarray(treated.view(np.int8)), np.ascontiguousarray(event), too_few


@kernel
def _log_rank(
    order: IntArray, start: IntArray, n_times: IntArray, side: ArmArray, event: BoolArray, stratum: AnyArray, n_strata: int, found: FloatArray
) -> None:
    """Excess of events in the active arm and its variance, (2, replicate): sums over times and strata, from the last time to the first."""
    at_risk, events = np.empty((n_strata, 2)), np.empty((n_strata, 2))
    for r in range(order.shape[0]):
        excess, variance = 0.0, 0.0
        for s in range(n_strata):
            at_risk[s, 0], at_risk[s, 1], events[s, 0], events[s, 1] = 0.0, 0.0, 0.0, 0.0
        for t in range(n_times[r] - 1, -1, -1):
            for place in range(start[r, t], start[r, t + 1]):
                p = order[r, place]
                at_risk[stratum[r, p], side[r, p]] += 1.0
                events[stratum[r, p], side[r, p]] += 1.0 if event[r, p] else 0.0
            for s in range(n_strata):
                happened, n = events[s, 0] + events[s, 1], at_risk[s, 0] + at_risk[s, 1]
                if happened > 0.0:
                    share = at_risk[s, 1] / n
                    excess += events[s, 1] - happened * share
                    variance += happened * share * (1 - share) * (n - happened) / (n - 1) if n > 1.0 else 0.0
                    events[s, 0], events[s, 1] = 0.0, 0.0
        found[0, r], found[1, r] = excess, variance


def log_rank(time: FloatArray, event: BoolArray, arm: AnyArray, active: int, stratum: AnyArray | None = None) -> LogRank:
    """Log-rank test with the hypergeometric variance, which holds with ties; within strata when these are given.

    Parameters
    ----------
    time, event : as for the module
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    stratum : (replicate, patient) int codes from 0, or None; a patient whose code is negative is not analysed

    Returns
    -------
    LogRank; TOO_FEW_PATIENTS with fewer than two patients in an arm, NO_VARIATION when there are no events, or none while patients of both arms
    were at risk and one of them went on without

    Source: Mantel (1966), Cancer Chemotherapy Reports 50, 163-170; Kalbfleisch and Prentice (2002), The Statistical Analysis of Failure Time
    Data, second edition, equations 1.22 to 1.24 and section 1.4.3 (strata).
    """
    by_time, _, side, happened, too_few = _sorted(time, event, arm, active, stratum)
    n_strata = 1 if stratum is None else max(int(stratum.max(initial=0)), 0) + 1
    stratum = np.zeros(time.shape, dtype=np.int8) if stratum is None else np.ascontiguousarray(stratum)
    found = np.empty((2, len(time)))
    _log_rank(*by_time, side, happened, stratum, n_strata, found)
    status = np.where(too_few, Status.TOO_FEW_PATIENTS, np.where(found[1] > 0, Status.OK, Status.NO_VARIATION))
    excess, variance = np.where(status == Status.OK, found, np.nan)
    return LogRank(excess / np.sqrt(variance), excess, variance, status)


@kernel
def _curve(time: FloatArray, leaving: FloatArray, events: FloatArray, week: float, found: FloatArray) -> None:
    """Of the curve of one arm: its height at the week, the area below it until then, and their variances, (4,).

    NaN where the curve ends above 0 before the week. With the whole area A and the area until t, what an event at t takes is (A - until).
    """
    last, whole, known = 0.0, 0.0, False
    for _ in range(2):  # the variance needs the whole area
        at_risk, height, until, before, greenwood, variance = 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
        for t in range(time.size):
            at_risk += leaving[t]
            last = time[t] if leaving[t] > 0.0 else last
        for t in range(time.size):
            if time[t] > week:
                break
            until += height * (time[t] - before)
            before = time[t]
            if events[t] > 0.0:
                height *= (at_risk - events[t]) / at_risk
                part = events[t] / (at_risk * (at_risk - events[t])) if at_risk > events[t] else 0.0
                greenwood += part
                variance += part * (whole - until) * (whole - until)
            at_risk -= leaving[t]
        whole = until + height * (week - before)
        known = height == 0.0 or last >= week
        found[0], found[1] = height if known else np.nan, height * height * greenwood
        found[2], found[3] = whole if known else np.nan, variance


@kernel
def _curves(
    order: IntArray, start: IntArray, n_times: IntArray, time: FloatArray, side: ArmArray, event: BoolArray, week: float, found: FloatArray
) -> None:
    """What `_curve` finds, (replicate, arm, 4)."""
    counts, times = np.empty((2, 2, order.shape[1])), np.empty(order.shape[1])  # leaving and having the event, by arm and time
    for r in range(order.shape[0]):
        for t in range(n_times[r]):
            times[t] = time[r, order[r, start[r, t]]]
            counts[0, 0, t], counts[0, 1, t], counts[1, 0, t], counts[1, 1, t] = 0.0, 0.0, 0.0, 0.0
            for place in range(start[r, t], start[r, t + 1]):
                p = order[r, place]
                counts[0, side[r, p], t] += 1.0
                counts[1, side[r, p], t] += 1.0 if event[r, p] else 0.0
        for arm in range(2):
            _curve(times[: n_times[r]], counts[0, arm], counts[1, arm], week, found[r, arm])


def _difference(time: FloatArray, event: BoolArray, arm: AnyArray, active: int, week: float, feature: int) -> SurvivalDifference:
    """Of the `feature` that `_curve` finds: 0 or 2, with its variance in the next place."""
    by_time, times, side, happened, too_few = _sorted(time, event, arm, active)
    found = np.empty((len(time), 2, 4))
    _curves(*by_time, times, side, happened, week, found)
    control, treated = found[:, 0, feature], found[:, 1, feature]
    variance = found[:, :, feature + 1].sum(axis=1)
    status = np.where(variance > 0, Status.OK, Status.NO_VARIATION)
    status[too_few | np.isnan(control + treated)] = Status.TOO_FEW_PATIENTS
    estimate, std_error = np.where(status == Status.OK, [treated - control, np.sqrt(variance)], np.nan)
    return SurvivalDifference(estimate, std_error, treated, control, status)


def kaplan_meier_difference(time: FloatArray, event: BoolArray, arm: AnyArray, active: int, week: float) -> SurvivalDifference:
    """Difference of the Kaplan-Meier shares that are without the event after `week`, with Greenwood's variance in each arm.

    An event at `week` itself counts. Where everybody had the event by then an arm adds nothing to the variance.

    Parameters
    ----------
    time, event, arm, active : as for `log_rank`
    week : after randomisation

    Returns
    -------
    SurvivalDifference; TOO_FEW_PATIENTS with fewer than two patients in an arm, or when everybody without event in an arm is censored before
    the week; NO_VARIATION when in each arm all or none had the event

    Source: Kaplan and Meier (1958), JASA 53, 457-481; Greenwood (1926), Reports on Public Health and Medical Subjects 33, appendix 1.
    """
    return _difference(time, event, arm, active, week, feature=0)


def restricted_mean_difference(time: FloatArray, event: BoolArray, arm: AnyArray, active: int, week: float) -> SurvivalDifference:
    """Difference of the mean times without the event until `week`, in weeks: areas below the Kaplan-Meier curves.

    Parameters, returned statuses : as for `kaplan_meier_difference`; NO_VARIATION when no event before the week leaves the curves uncertain.

    Source: Royston and Parmar (2013), BMC Medical Research Methodology 13:152; variance, Klein and Moeschberger (2003), Survival Analysis,
    second edition, equation 4.5.2.
    """
    return _difference(time, event, arm, active, week, feature=2)
