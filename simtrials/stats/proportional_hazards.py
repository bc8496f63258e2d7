"""Proportional hazards: the log hazard ratio of a treatment for an event that is looked for at scheduled visits, with many tied times."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
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
from simtrials.stats.stratified_ranks import ordered_by

OK, COLLINEAR, NOT_CONVERGED = int(Status.OK), int(Status.COLLINEAR), int(Status.NOT_CONVERGED)


class HazardFit(NamedTuple):
    """One coefficient of a proportional hazards model; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    """log hazard ratio"""
    std_error: FloatArray
    """from the observed information at the estimate"""
    statistic: FloatArray
    """Wald, or signed root of the likelihood ratio: to be compared with a normal critical value"""
    status: IntArray


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
    time, event, arm, active : as for `log_rank` in `stats/survival.py`
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
