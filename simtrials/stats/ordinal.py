"""Proportional odds regression of an ordered outcome with any number of categories, for many replicates at once.

The categories of a replicate are the values that occur among its patients, whatever the scale could have offered. Between them lie cuts: the
log odds of being above a cut are the height of the cut plus the linear predictor. With F the logistic function, u and v the log odds of being
above the lower and the upper cut of a patient's category,

    F(u) - F(v) = F(u) (1 - F(v)) (1 - exp(v - u)),

so that the likelihood is that of two binary outcomes per patient, times a term that depends on the heights alone. Its second derivative has
the shape of an arrow: tridiagonal in the cuts, with a border for the coefficients, and costs no more per cut than per patient.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.regression import centred_rows, cross_products, factor_and_status
from simtrials.stats.stratified_ranks import ordered_by

OK, SEPARATED, NOT_CONVERGED = int(Status.OK), int(Status.SEPARATED), int(Status.NOT_CONVERGED)
MAX_ITERATIONS = 60
CONVERGED_BELOW = 1e-12  # squared length of a step in standard errors: six digits of a standard error, and more of an estimate
SINGULAR_BELOW = 1e-12  # share left of a column of the information
REACH = 8.0  # a step may double the largest log odds and add this much: from where all weights vanish no step leads back
ROUNDING_OF_SUM = 1e-12  # of a log-likelihood, as a share of it
LOOK_FOR_SEPARATION_FROM = 8  # iterations; a maximum that exists has nearly always been found by then
ROUNDING_OF_MARGIN = 1e-7  # share of the largest gain that another may fall short of 0 by in a direction that separates
SMALL_CHANGE = 0.5  # of any log odds in the last step; below 1 proves that the maximum exists


class OrdinalFit(NamedTuple):
    """One coefficient of a proportional odds model; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    """log odds ratio of a higher category, at whichever cut"""
    std_error: FloatArray
    """from the observed information at the estimate"""
    statistic: FloatArray
    """Wald, or signed root of the likelihood ratio: to be compared with a normal critical value"""
    status: IntArray


@kernel
def take(x: FloatArray, order: IntArray, n: int, out: FloatArray) -> None:
    """Columns x (column, patient) of the first `n` patients of an order."""
    for m in range(x.shape[0]):
        for i in range(n):
            out[m, i] = x[m, order[i]]


@kernel
def add_share(now: FloatArray, share: float, step: FloatArray, out: FloatArray) -> None:
    """out = now + share * step"""
    for m in range(step.size):
        out[m] = now[m] + share * step[m]


@kernel
def linear_predictor(x: FloatArray, coefficients: FloatArray, n: int, out: FloatArray) -> None:
    """Sum of coefficient times column for the first `n` patients of x (column, patient)."""
    for i in range(n):
        out[i] = 0.0
    for m in range(coefficients.size):
        for i in range(n):
            out[i] += coefficients[m] * x[m, i]


@kernel
def newton_step(information: FloatArray, scale: FloatArray, score: FloatArray, step: FloatArray) -> tuple[float, float]:
    """Solve information times step = score; the lower triangle of the information becomes its Cholesky factor, the score is used up.

    Returns the squared length of the step in standard errors, and the smallest pivot as a share of `scale` (0 when there is none).
    """
    squared_length, left = 0.0, 1.0
    for i in range(score.size):
        for j in range(i + 1):
            for k in range(j):
                information[i, j] -= information[i, k] * information[j, k]
            if j < i:
                information[i, j] /= information[j, j]
                score[i] -= information[i, j] * score[j]
        left = min(left, information[i, i] / scale[i]) if information[i, i] > 0.0 else 0.0
        information[i, i] = np.sqrt(information[i, i])
        score[i] /= information[i, i]
        squared_length += score[i] * score[i]
    for i in range(score.size - 1, -1, -1):
        step[i] = score[i]
        for k in range(i + 1, score.size):
            step[i] -= information[k, i] * step[k]
        step[i] /= information[i, i]
    return squared_length, left


@kernel
def accepted(log_likelihood: float, before: float, largest: float, reach: float) -> bool:
    """Whether a step is an improvement and no leap: it may double the largest log odds and add to it, so that no weight vanishes."""
    return log_likelihood >= before - ROUNDING_OF_SUM * (1 - before) and largest <= 2 * reach + REACH


@kernel
def verdict(iteration: int, squared_length: float, left: float, least: float, gain: float, change: float) -> int:
    """OK where the next step is so small that the maximum exists and is found, SEPARATED where none exists, else NOT_CONVERGED.

    A likelihood of differences has no maximum when some direction lets none of them fall and one rise for ever. At the end of a step, the
    score less the information times the step, which is zero, is a sum of the gradients of the differences; where the step has changed none of
    them by 1, its weights are positive, which no such direction allows. Data that are separated never get there: their steps keep adding 1 to
    some difference, and turn to a direction that separates.

    Parameters
    ----------
    squared_length, left : of the step, as from `newton_step`
    least, gain, change : smallest and largest gain of a difference, and the largest change in size
    """
    if squared_length < CONVERGED_BELOW and left > SINGULAR_BELOW and change < SMALL_CHANGE:
        return OK
    if iteration >= LOOK_FOR_SEPARATION_FROM and gain > 0.0 and least >= -ROUNDING_OF_MARGIN * gain:
        return SEPARATED
    return NOT_CONVERGED


# Of one replicate. Patients are sorted by category, and category c begins at start[c]. The heights h of the cuts are padded: cut c lies below
# category c, h[0] is inf and h[K] is -inf. `sums` has a row for every cut: score, diagonal, what lies beside it, and the border.
SCORE, DIAGONAL, BESIDE, BORDER = 0, 1, 2, 3


@kernel
def _evaluate(
    x: FloatArray, start: IntArray, h: FloatArray, b: FloatArray, sums: FloatArray, score: FloatArray, corner: FloatArray, work: FloatArray
) -> tuple[float, float]:
    """Log-likelihood and largest log odds; fills the score and the information of cuts (`sums`) and coefficients (`score`, `corner`).

    Heights that do not fall have no likelihood.
    """
    n_categories, q = h.size - 1, b.size
    n = start[n_categories]
    for c in range(n_categories):
        if not h[c] > h[c + 1]:
            return -np.inf, np.inf
    above, below, missed, wrong, weight_above, weight_below = work[0], work[1], work[2], work[3], work[4], work[5]
    linear_predictor(x, b, n, work[6])
    for c in range(n_categories):
        for i in range(start[c], start[c + 1]):
            above[i] = h[c] + work[6, i]
            below[i] = h[c + 1] + work[6, i]
    log_likelihood, product, largest = 0.0, 1.0, 0.0
    for i in range(n):
        tail, other = np.exp(-abs(above[i])), np.exp(-abs(below[i]))
        product *= (1 + tail) * (1 + other)
        log_likelihood += min(above[i], 0.0) - max(below[i], 0.0)
        if product > 1e250:
            log_likelihood -= np.log(product)
            product = 1.0
        largest = max(largest, abs(above[i]) if tail > 0.0 else 0.0)
        largest = max(largest, abs(below[i]) if other > 0.0 else 0.0)
        missed[i] = (tail if above[i] > 0.0 else 1.0) / (1 + tail)
        wrong[i] = (1.0 if below[i] > 0.0 else other) / (1 + other)
        weight_above[i] = tail / ((1 + tail) * (1 + tail))
        weight_below[i] = other / ((1 + other) * (1 + other))
    log_likelihood -= np.log(product)
    for c in range(n_categories + 1):
        for column in range(BORDER + q):
            sums[c, column] = 0.0
    for c in range(n_categories):
        for i in range(start[c], start[c + 1]):
            sums[c, SCORE] += missed[i]
            sums[c + 1, SCORE] -= wrong[i]
            sums[c, DIAGONAL] += weight_above[i]
            sums[c + 1, DIAGONAL] += weight_below[i]
            for m in range(q):
                sums[c, BORDER + m] += weight_above[i] * x[m, i]
                sums[c + 1, BORDER + m] += weight_below[i] * x[m, i]
    for m in range(q):
        score[m] = 0.0
        for i in range(n):
            score[m] += (missed[i] - wrong[i]) * x[m, i]
        for k in range(m + 1):
            corner[m, k] = 0.0
            for i in range(n):
                corner[m, k] += (weight_above[i] + weight_below[i]) * x[m, i] * x[k, i]
    for c in range(1, n_categories - 1):  # the term of the heights
        count = start[c + 1] - start[c]
        inside = -np.expm1(h[c + 1] - h[c])
        log_likelihood += count * np.log(inside)
        slope = count * (1 - inside) / inside
        sums[c, SCORE] += slope
        sums[c + 1, SCORE] -= slope
        sums[c, DIAGONAL] += slope / inside
        sums[c + 1, DIAGONAL] += slope / inside
        sums[c, BESIDE] = -slope / inside
    return log_likelihood, largest


@kernel
def _eliminate_cuts(sums: FloatArray, score: FloatArray, corner: FloatArray, scale: FloatArray) -> float:
    """Take from the corner and its score what the cuts explain; returns their part of the squared length, and the old diagonal in `scale`."""
    squared_length = 0.0
    for m in range(score.size):
        scale[m] = corner[m, m]
    for c in range(1, sums.shape[0] - 1):
        if c > 1:
            ratio = sums[c - 1, BESIDE] / sums[c - 1, DIAGONAL]
            sums[c, DIAGONAL] -= ratio * sums[c - 1, BESIDE]
            sums[c, SCORE] -= ratio * sums[c - 1, SCORE]
            for m in range(score.size):
                sums[c, BORDER + m] -= ratio * sums[c - 1, BORDER + m]
        squared_length += sums[c, SCORE] * sums[c, SCORE] / sums[c, DIAGONAL]
        for m in range(score.size):
            part = sums[c, BORDER + m] / sums[c, DIAGONAL]
            score[m] -= part * sums[c, SCORE]
            for k in range(m + 1):
                corner[m, k] -= part * sums[c, BORDER + k]
    return squared_length


@kernel
def _raise_cuts(sums: FloatArray, step: FloatArray, rise: FloatArray) -> None:
    """The step of the heights that goes with the step of the coefficients, after `_eliminate_cuts`."""
    rise[rise.size - 1] = 0.0
    for c in range(rise.size - 2, 0, -1):
        right = sums[c, SCORE] - sums[c, BESIDE] * rise[c + 1]
        for m in range(step.size):
            right -= sums[c, BORDER + m] * step[m]
        rise[c] = right / sums[c, DIAGONAL]


@kernel
def _gains(x: FloatArray, start: IntArray, h: FloatArray, rise: FloatArray, step: FloatArray, predictor: FloatArray) -> tuple[float, float, float]:
    """Smallest and largest gain of a step in the log odds of what was observed, and its largest change of any difference that matters.

    The first two are over patients and cuts. The third also compares the change between neighbouring cuts with their distance.
    """
    n_categories = h.size - 1
    linear_predictor(x, step, start[n_categories], predictor)
    least, most, change = np.inf, -np.inf, 0.0
    for c in range(n_categories):
        for i in range(start[c], start[c + 1]):
            if c > 0:
                gain = rise[c] + predictor[i]
                least, most = min(least, gain), max(most, gain)
            if c < n_categories - 1:
                gain = -rise[c + 1] - predictor[i]
                least, most = min(least, gain), max(most, gain)
        if 0 < c < n_categories - 1:
            change = max(change, abs(rise[c + 1] - rise[c]) / -np.expm1(h[c + 1] - h[c]))
    return least, most, max(change, abs(least), abs(most))


@kernel
def _start(start: IntArray, h: FloatArray, rise: FloatArray, b: FloatArray, step: FloatArray) -> None:
    """Begin where nothing has an effect: the heights are the log odds of the shares above each cut."""
    n = start[h.size - 1]
    for c in range(h.size):
        h[c] = np.log((n - start[c]) / start[c]) if start[c] > 0 else np.inf
        rise[c] = 0.0
    for m in range(b.size):
        b[m], step[m] = 0.0, 0.0


@kernel
def _maximise(x: FloatArray, order: IntArray, starts: IntArray, n_categories: IntArray, status: IntArray, found: FloatArray) -> None:
    """Maximise the likelihood of every replicate whose status is OK in its heights and its coefficients.

    `x` (replicate, column, patient); `found` (3, replicate) takes the last coefficient, its standard error and the log-likelihood.
    """
    q, n_patients = x.shape[1], order.shape[1]
    ordered, work, heights = np.empty((q, n_patients)), np.empty((7, n_patients)), np.empty((3, n_patients + 2))
    table, corner, vectors = np.empty((n_patients + 2, BORDER + q)), np.empty((q, q)), np.empty((5, q))
    b, b_next, step, score, scale = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    for r in range(order.shape[0]):
        if status[r] != OK:
            continue
        size = n_categories[r] + 1
        start, sums = starts[r, :size], table[:size]
        h, h_next, rise = heights[0, :size], heights[1, :size], heights[2, :size]
        take(x[r], order[r], start[size - 1], ordered)
        _start(start, h, rise, b, step)
        log_likelihood, reach, share = -np.inf, np.inf, 1.0
        status[r] = NOT_CONVERGED
        for iteration in range(MAX_ITERATIONS):
            add_share(h, share, rise, h_next)
            add_share(b, share, step, b_next)
            reached, largest = _evaluate(ordered, start, h_next, b_next, sums, score, corner, work)
            if not accepted(reached, log_likelihood, largest, reach):
                share *= 0.5
                continue
            add_share(h, share, rise, h)
            add_share(b, share, step, b)
            log_likelihood, reach, share = reached, largest, 1.0
            squared_length = _eliminate_cuts(sums, score, corner, scale)
            of_coefficients, left = newton_step(corner, scale, score, step)
            _raise_cuts(sums, step, rise)
            least, gain, change = _gains(ordered, start, h, rise, step, work[6])
            status[r] = verdict(iteration, squared_length + of_coefficients, left, least, gain, change)
            if status[r] != NOT_CONVERGED:
                break
        found[2, r] = log_likelihood
        if q > 0:
            found[0, r], found[1, r] = b[q - 1] + step[q - 1], 1 / corner[q - 1, q - 1]


def proportional_odds(
    outcome: FloatArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    tested: int = 0,
    test: Literal["wald", "likelihood_ratio"] = "wald",
) -> OrdinalFit:
    """The log odds ratio of the treatment, or of a covariate, in a proportional odds model with the treatment and the covariates.

    It is positive when the active arm leans to higher categories. A category that nobody is in changes nothing and needs no care.

    Parameters
    ----------
    outcome : (replicate, patient) float, only its order matters; NaN where a patient has none
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns, each (replicate, patient), NaN where missing; a product with the indicator ``arm == active`` makes an interaction.
        A patient with any value missing is not analysed.
    tested : 0 for the treatment, k for the k-th covariate
    test : "wald", or "likelihood_ratio" against the model in which the tested coefficient is 0

    Returns
    -------
    OrdinalFit; TOO_FEW_PATIENTS with fewer than two patients in an arm or no more patients than coefficients, COLLINEAR when a column is
    constant or follows from the others, NO_VARIATION when all patients have the same outcome, SEPARATED when some direction fits every
    patient ever better, so that no maximum exists, NOT_CONVERGED when no maximum was found

    Source: McCullagh (1980), JRSS B 42, 109-142 (model); Pratt (1981), JASA 76, 103-106 (the log-likelihood is concave); Albert and
    Anderson (1984), Biometrika 71, 1-10 (existence, here for two binary outcomes per patient).
    """
    x, analysed, status = covariate_rows(outcome, arm, active, covariates, tested)
    by_outcome = ordered_by(np.where(analysed, outcome, np.nan))
    status[(status == Status.OK) & (by_outcome.n < 2)] = Status.NO_VARIATION
    estimate, std_error, statistic = last_coefficient(lambda x, found: _maximise(x, *by_outcome, status, found), x, status, test)
    return OrdinalFit(estimate, std_error, statistic, status)


def last_coefficient(maximise: Callable[[FloatArray, FloatArray], None], x: FloatArray, status: IntArray, test: str) -> FloatArray:
    """Estimate, standard error and statistic, (3, replicate), of the last column of a model.

    `maximise` takes the columns and an array for the last coefficient, its standard error and the log-likelihood; it updates `status`.
    """
    full, null = np.full((2, 3, len(status)), np.nan)
    maximise(x, full)
    statistic = full[0] / full[1]
    if test == "likelihood_ratio":
        maximise(x[:, :-1].copy(), null)
        statistic = np.sign(full[0]) * np.sqrt(2 * np.maximum(full[2] - null[2], 0.0))
    return np.where(status == Status.OK, [full[0], full[1], statistic], np.nan)


def covariate_rows(
    outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int
) -> tuple[FloatArray, BoolArray, IntArray]:
    """The columns of a model without intercept whose outcome is not a number to be fitted; arguments as for `proportional_odds`.

    Returns
    -------
    x : (replicate, column, patient) the treatment and the covariates, the tested one last, centred over the patients analysed
    analysed : (replicate, patient), of the compared arms and with no value missing
    status : (replicate,) TOO_FEW_PATIENTS, COLLINEAR or OK
    """
    rows, _, n = centred_rows(np.where(np.isnan(outcome), np.nan, 0.0), arm, active, covariates, tested)
    status = factor_and_status(cross_products(rows, np.zeros(rows.shape[1:]), n))[1]
    status[status == Status.NO_VARIATION] = Status.OK  # the outcome was replaced by 0
    rows = rows[: outcome.shape[1]]
    return np.ascontiguousarray(rows[:, 1:-1].transpose(2, 1, 0)), rows[:, 0].T > 0, status
