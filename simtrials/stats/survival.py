"""Time to an event, such as the first response, that is looked for at scheduled visits: many patients share a time, and some are censored.

All functions take, besides the arms, `time` (replicate, patient), the week of the event or of the last visit without it, NaN for a patient who
is not analysed, and `event` (replicate, patient) bool, whether the event happened then. A patient who is censored at a visit was still at risk
there. Contrasts are active minus control or active / control: for a response, a hazard ratio above 1 is a benefit, while a higher share
without it, or a longer mean time without it, is harm.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import VISIT, AnyArray, ArmArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.ordinal import (
    MAX_ITERATIONS,
    accepted,
    add_share,
    covariate_rows,
    last_coefficient,
    linear_predictor,
    newton_step,
    take,
    verdict,
)
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.stratified_ranks import Ordered, ordered_by

OK, COLLINEAR, NOT_CONVERGED = int(Status.OK), int(Status.COLLINEAR), int(Status.NOT_CONVERGED)


class LogRank(NamedTuple):
    """The log-rank test; each (replicate,), NaN unless `status` is OK."""

    z: FloatArray
    """to be compared with a normal critical value; positive when the active arm has more events than expected"""
    excess: FloatArray
    """events in the active arm, observed less expected"""
    variance: FloatArray
    """of the excess, when the arms have the same hazard"""
    status: IntArray


class HazardFit(NamedTuple):
    """One coefficient of a proportional hazards model; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    """log hazard ratio"""
    std_error: FloatArray
    """from the observed information at the estimate"""
    statistic: FloatArray
    """Wald, or signed root of the likelihood ratio: to be compared with a normal critical value"""
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


@kernel
def _evaluate(
    x: FloatArray, event: BoolArray, start: IntArray, b: FloatArray, score: FloatArray, information: FloatArray, scale: FloatArray, work: FloatArray
) -> tuple[float, float]:
    """Efron's log partial likelihood and the range of the linear predictor; fills score and information (lower triangle).

    Walks from the last time to the first. In `at_risk` and `leaving` (those with an event now) stand sums of risk times (1, x, lower triangle of
    x x'); at the k-th of d tied events, k from 0, the sums are those at risk less k / d of those leaving. `scale` takes the diagonal of the
    information before the square of the mean is taken off.
    """
    q = b.size
    n = start[start.size - 1]
    linear_predictor(x, b, n, work[0])
    lowest, highest = np.inf, -np.inf
    for i in range(n):
        lowest, highest = min(lowest, work[0, i]), max(highest, work[0, i])
    at_risk, leaving = work[1], work[2]
    for m in range(1 + q + q * (q + 1) // 2):
        at_risk[m] = 0.0
    for m in range(q):
        score[m], scale[m] = 0.0, 0.0
        for k in range(m + 1):
            information[m, k] = 0.0
    log_likelihood = 0.0
    for t in range(start.size - 2, -1, -1):
        events = 0
        for m in range(1 + q + q * (q + 1) // 2):
            leaving[m] = 0.0
        for i in range(start[t], start[t + 1]):
            risk, line = np.exp(work[0, i] - highest), 1 + q
            into = 1.0 if event[i] else 0.0
            events += 1 if event[i] else 0
            log_likelihood += into * (work[0, i] - highest)
            at_risk[0] += risk
            leaving[0] += into * risk
            for m in range(q):
                score[m] += into * x[m, i]
                part = risk * x[m, i]
                at_risk[1 + m] += part
                leaving[1 + m] += into * part
                for k in range(m + 1):
                    at_risk[line] += part * x[k, i]
                    leaving[line] += into * part * x[k, i]
                    line += 1
        if events == 0:
            continue
        one, gone, one_2, gone_2, gone_gone = 0.0, 0.0, 0.0, 0.0, 0.0  # sums of 1 and k / d over the total risk, and of products over its square
        for k in range(events):
            share = k / events
            total = at_risk[0] - share * leaving[0]
            log_likelihood -= np.log(total)
            one += 1 / total
            gone += share / total
            one_2 += 1 / (total * total)
            gone_2 += share / (total * total)
            gone_gone += share * share / (total * total)
        line = 1 + q
        for m in range(q):
            score[m] -= at_risk[1 + m] * one - leaving[1 + m] * gone
            by_risk = at_risk[1 + m] * one_2 - leaving[1 + m] * gone_2
            by_leaving = at_risk[1 + m] * gone_2 - leaving[1 + m] * gone_gone
            for k in range(m + 1):
                square = at_risk[line] * one - leaving[line] * gone
                information[m, k] += square - by_risk * at_risk[1 + k] + by_leaving * leaving[1 + k]
                scale[m] += square if k == m else 0.0
                line += 1
    return log_likelihood, highest - lowest


@kernel
def _gains(x: FloatArray, event: BoolArray, start: IntArray, step: FloatArray, predictor: FloatArray) -> tuple[float, float]:
    """How far, at worst, patients with an event stay behind the highest at risk along a step, and the range of those at risk at any event."""
    linear_predictor(x, step, start[start.size - 1], predictor)
    highest, lowest, least, change = -np.inf, np.inf, 0.0, 0.0
    for t in range(start.size - 2, -1, -1):
        of_events = np.inf
        for i in range(start[t], start[t + 1]):
            highest, lowest = max(highest, predictor[i]), min(lowest, predictor[i])
            of_events = min(of_events, predictor[i] if event[i] else np.inf)
        if of_events < np.inf:
            least, change = min(least, of_events - highest), highest - lowest
    return least, change


@kernel
def _maximise(x: FloatArray, event: BoolArray, order: IntArray, starts: IntArray, n_times: IntArray, status: IntArray, found: FloatArray) -> None:
    """Maximise the partial likelihood of every replicate whose status is OK.

    `x` (replicate, column, patient); `found` (3, replicate) takes the last coefficient, its standard error and the log-likelihood.
    """
    q, n_patients = x.shape[1], order.shape[1]
    ordered, happened = np.empty((q, n_patients)), np.empty(n_patients, dtype=np.bool_)
    work = np.empty((3, max(n_patients, 1 + q + q * (q + 1) // 2)))
    information, vectors = np.empty((q, q)), np.zeros((5, q))
    b, b_next, step, score, scale = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    for r in range(order.shape[0]):
        if status[r] != OK:
            continue
        start = starts[r, : n_times[r] + 1]
        take(x[r], order[r], start[n_times[r]], ordered)
        for i in range(start[n_times[r]]):
            happened[i] = event[r, order[r, i]]
        for m in range(q):
            b[m], step[m] = 0.0, 0.0
        log_likelihood, reach, share = -np.inf, np.inf, 1.0
        status[r] = NOT_CONVERGED
        for iteration in range(MAX_ITERATIONS):
            add_share(b, share, step, b_next)
            reached, largest = _evaluate(ordered, happened, start, b_next, score, information, scale, work)
            if not accepted(reached, log_likelihood, largest, reach):
                share *= 0.5
                continue
            add_share(b, share, step, b)
            log_likelihood, reach, share = reached, largest, 1.0
            squared_length, left = newton_step(information, scale, score, step)
            if iteration == 0 and left < COLLINEAR_BELOW:
                status[r] = COLLINEAR
                break
            least, change = _gains(ordered, happened, start, step, work[0])
            status[r] = verdict(iteration, squared_length, left, least, change, change)
            if status[r] != NOT_CONVERGED:
                break
        found[2, r] = log_likelihood
        if q > 0:
            found[0, r], found[1, r] = b[q - 1] + step[q - 1], 1 / information[q - 1, q - 1]


def cox_regression(
    time: FloatArray,
    event: BoolArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    tested: int = 0,
    test: Literal["wald", "likelihood_ratio"] = "wald",
) -> HazardFit:
    """The log hazard ratio of the treatment, or of a covariate, in a proportional hazards model, with Efron's likelihood for ties.

    Parameters
    ----------
    time, event, arm, active : as for `log_rank`
    covariates, tested, test : as for `proportional_odds`

    Returns
    -------
    HazardFit; TOO_FEW_PATIENTS with fewer than two patients in an arm or no more patients than coefficients, NO_VARIATION when there are no
    events, EMPTY_CELL when an arm has none, COLLINEAR when a column is constant or follows from the others, among all or among those at risk
    at each event, SEPARATED when no maximum exists because in some direction every event is that of the patient at highest risk,
    NOT_CONVERGED when no maximum was found

    Source: Cox (1972), JRSS B 34, 187-220; Efron (1977), JASA 72, 557-565, section 6 (ties); Jacobsen (1989), Biometrika 76, 333-349
    (existence).
    """
    x, analysed, status = covariate_rows(time, arm, active, covariates, tested)
    by_time = ordered_by(np.where(analysed, time, np.nan))
    happened = event & analysed
    events, of_active = np.count_nonzero(happened, axis=1), np.count_nonzero(happened & (arm == active), axis=1)
    without = np.where(events == 0, Status.NO_VARIATION, Status.EMPTY_CELL)
    status = np.where((status == Status.OK) & (np.minimum(of_active, events - of_active) == 0), without, status)
    event = np.ascontiguousarray(event)
    estimate, std_error, statistic = last_coefficient(lambda x, found: _maximise(x, event, *by_time, status, found), x, status, test)
    return HazardFit(estimate, std_error, statistic, status)
