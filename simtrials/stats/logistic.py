"""Logistic regression by maximum likelihood or by Firth's penalised likelihood, for many replicates at once.

Rows are laid out as by `regression.centred_rows`, but the last holds +1 for an event, -1 for none and 0 for a patient who is not analysed:
a margin, which is this sign times the linear predictor, is positive when the fit leans to what was observed.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.regression import CrossProducts, centred_rows, cholesky, cross_products, factor_and_status

MAX_ITERATIONS = 50
CONVERGED_BELOW = 1e-12  # squared length of a step in standard errors: six digits of a standard error, and more of a maximum likelihood estimate
LARGEST_MARGIN = 44.0  # exp(-44) < 1e-19
SINGULAR_BELOW = 1e-12  # share left of a column of the information: below, patients with margins above the largest would decide
REACH = 8.0  # a step may double the largest margin and add this much: from where all weights vanish no step leads back
ROUNDING_OF_SUM = 1e-12  # of a log-likelihood, as a share of it
LOOK_FOR_SEPARATION_FROM = 8  # iterations; a maximum that exists has nearly always been found by then
ROUNDING_OF_MARGIN = 1e-7  # share of the largest margin that another may be negative by in a direction that separates


class LogisticFit(NamedTuple):
    """One coefficient of a logistic model; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    """log odds ratio"""
    std_error: FloatArray
    """from the expected information at the estimate"""
    statistic: FloatArray
    """Wald, or signed root of the likelihood ratio: to be compared with a normal critical value"""
    status: IntArray


class _Point(NamedTuple):
    """The likelihood, with its penalty, at some coefficients."""

    log_likelihood: FloatArray
    score: FloatArray
    factor: FloatArray
    """of the expected information"""
    left: FloatArray
    """the smallest share of a column in the information that those before it leave over"""
    largest_margin: FloatArray
    """in size"""


class _Search(NamedTuple):
    """Replicates whose maximum is looked for; the last axis of every array is the replicate."""

    rows: FloatArray
    replicate: IntArray
    """their places among all"""
    coefficients: FloatArray
    """the best so far"""
    step: FloatArray
    """to be tried from there"""
    log_likelihood: FloatArray
    score: FloatArray
    reach: FloatArray
    """largest margin in size"""
    moved: FloatArray
    """the last step that was taken"""
    bent: FloatArray
    """the fall of the score along that step"""


class _Maximum(NamedTuple):
    coefficient: FloatArray
    """the last one"""
    std_error: FloatArray
    log_likelihood: FloatArray
    status: IntArray


@kernel
def _exp(x: float) -> float:
    """exp(x) for x <= 0, to 3e-14: a series at x / 128, squared seven times, which compiles to vectors."""
    s = max(x, -LARGEST_MARGIN) / 128
    s2 = s * s
    low = (1 + s) + (1 / 2 + s * (1 / 6)) * s2
    high = (1 / 24 + s * (1 / 120)) + (1 / 720 + s * (1 / 5040)) * s2
    power = low + high * (s2 * s2)
    for _ in range(7):
        power *= power
    return power


@kernel
def _fit_patients(
    rows: FloatArray, coefficients: FloatArray, residual: FloatArray, weight: FloatArray, loss: FloatArray, largest: FloatArray
) -> None:
    """Residual y - p and weight p (1 - p) of each patient, minus the log-likelihood, and the largest margin in size."""
    n_patients, n_rows, n_replicates = rows.shape
    margin, tail, likely, product = np.empty(n_replicates), np.empty(n_replicates), np.empty(n_replicates), np.ones(n_replicates)
    for p in range(n_patients):
        for r in range(n_replicates):
            margin[r] = coefficients[0, r] * rows[p, 0, r]
        for m in range(1, n_rows - 1):
            for r in range(n_replicates):
                margin[r] += coefficients[m, r] * rows[p, m, r]
        for r in range(n_replicates):
            margin[r] *= rows[p, n_rows - 1, r]
            tail[r] = _exp(-abs(margin[r]))
        for r in range(n_replicates):
            largest[r] = max(largest[r], abs(margin[r]))
            loss[r] += max(-margin[r], 0.0)  # log(1 + exp(-margin)) is this, and the logarithm of a factor of the product
        for r in range(n_replicates):
            product[r] *= 1 + rows[p, 0, r] * tail[r]
            likely[r] = 1 / (1 + tail[r])
        for r in range(n_replicates):
            unlikely = tail[r] * likely[r]
            missed = unlikely if margin[r] > 0 else likely[r]
            residual[p, r] = rows[p, n_rows - 1, r] * missed
        for r in range(n_replicates):
            weight[p, r] = rows[p, 0, r] * tail[r] * likely[r] * likely[r]
        if p % 512 == 511 or p == n_patients - 1:
            for r in range(n_replicates):
                loss[r] += np.log(product[r])
                product[r] = 1.0


@kernel
def _add_score_and_information(rows: FloatArray, residual: FloatArray, weight: FloatArray, score: FloatArray, triangle: FloatArray) -> None:
    weighted = np.empty((4, rows.shape[2]))
    for p in range(0, rows.shape[0], 4):
        line = 0
        for i in range(rows.shape[1] - 1):
            for r in range(rows.shape[2]):
                first = residual[p, r] * rows[p, i, r] + residual[p + 1, r] * rows[p + 1, i, r]
                second = residual[p + 2, r] * rows[p + 2, i, r] + residual[p + 3, r] * rows[p + 3, i, r]
                score[i, r] += first + second
            for q in range(4):
                for r in range(rows.shape[2]):
                    weighted[q, r] = weight[p + q, r] * rows[p + q, i, r]
            for j in range(i + 1):
                for r in range(rows.shape[2]):
                    first = weighted[0, r] * rows[p, j, r] + weighted[1, r] * rows[p + 1, j, r]
                    second = weighted[2, r] * rows[p + 2, j, r] + weighted[3, r] * rows[p + 3, j, r]
                    triangle[line, r] += first + second
                line += 1


@kernel
def _add_score_of_penalty(rows: FloatArray, residual: FloatArray, weight: FloatArray, factor: FloatArray, score: FloatArray) -> None:
    """The score of the Jeffreys prior: sum of leverage times (1/2 - p) times the row of the patient."""
    n_patients, n_rows, n_replicates = rows.shape
    solved, leverage = np.empty((n_rows - 1, n_replicates)), np.empty(n_replicates)
    for p in range(n_patients):
        for r in range(n_replicates):
            leverage[r] = 0.0
        line = 0
        for i in range(n_rows - 1):
            for r in range(n_replicates):
                solved[i, r] = rows[p, i, r]
            for j in range(i):
                for r in range(n_replicates):
                    solved[i, r] -= factor[line, r] * solved[j, r]
                line += 1
            for r in range(n_replicates):
                solved[i, r] /= factor[line, r]
            for r in range(n_replicates):
                leverage[r] += solved[i, r] * solved[i, r]
            line += 1
        for r in range(n_replicates):
            leverage[r] *= weight[p, r] * (residual[p, r] - rows[p, n_rows - 1, r] / 2)
        for i in range(n_rows - 1):
            for r in range(n_replicates):
                score[i, r] += leverage[r] * rows[p, i, r]


@kernel
def _solve_forward(factor: FloatArray, right: FloatArray) -> None:
    """Replace `right` by the solution z of L z = right, for a packed lower triangle L."""
    for i in range(right.shape[0]):
        row = i * (i + 1) // 2
        for j in range(i):
            for r in range(right.shape[1]):
                right[i, r] -= factor[row + j, r] * right[j, r]
        for r in range(right.shape[1]):
            right[i, r] /= factor[row + i, r]


@kernel
def _solve_backward(factor: FloatArray, right: FloatArray, n_free: int) -> None:
    """Replace `right` by the solution x of L' x = right in the first `n_free` unknowns, the others being 0."""
    for i in range(right.shape[0] - 1, -1, -1):
        for r in range(right.shape[1]):
            right[i, r] = right[i, r] / factor[i * (i + 3) // 2, r] if i < n_free else 0.0
        for j in range(i):
            for r in range(right.shape[1]):
                right[j, r] -= factor[i * (i + 1) // 2 + j, r] * right[i, r]


def _diagonal(size: int) -> IntArray:
    return np.arange(size) * (np.arange(size) + 3) // 2


def _evaluate(rows: FloatArray, coefficients: FloatArray, penalised: bool) -> _Point:
    n_patients, n_rows, n_replicates = rows.shape
    residual, weight = np.empty((2, n_patients, n_replicates))
    loss, largest = np.zeros((2, n_replicates))
    _fit_patients(rows, coefficients, residual, weight, loss, largest)
    score = np.zeros_like(coefficients)
    factor = np.zeros((n_rows * (n_rows - 1) // 2, n_replicates))
    _add_score_and_information(rows, residual, weight, score, factor)
    left = np.empty_like(coefficients)
    cholesky(factor, left)
    if penalised:
        loss -= np.log(factor[_diagonal(n_rows - 1)]).sum(axis=0)
        _add_score_of_penalty(rows, residual, weight, factor, score)
    return _Point(-loss, score, factor, left.min(axis=0), largest)


def _start(rows: FloatArray, products: CrossProducts, factor: FloatArray, n_free: int, penalised: bool) -> _Search:
    """All replicates at the intercept that fits the number of events, to step to the coefficients of the linear discriminant."""
    n = products.n.sum(axis=0)
    events = np.rint(n * products.mean[-1])
    risk = (events + 0.5) / (n + 1)  # never 0 or 1
    variance = risk * (1 - risk)
    coefficients, step, none = np.zeros((3, *products.mean.shape))
    unknown = np.full_like(none, np.nan)
    size = coefficients.shape[0]
    coefficients[0] = np.log(risk / (1 - risk))
    along = factor[-size:-1]
    explained = np.minimum((along[: n_free - 1] ** 2).sum(axis=0) / n, 0.9 * variance)
    step[0] = (risk - 0.5) * explained / variance
    step[1:] = along
    _solve_backward(factor, step[1:], n_free - 1)
    step /= variance - explained
    log_likelihood = events * np.log(risk) + (n - events) * np.log1p(-risk)
    if penalised:
        log_likelihood += np.log(factor[_diagonal(size - 1)]).sum(axis=0) + np.log(n * variance**size) / 2
    return _Search(rows, np.arange(n.size), coefficients, step, log_likelihood, unknown, np.abs(coefficients[0]), none, none)


def _newton_step(at: _Point, moved: FloatArray, bent: FloatArray, n_free: int) -> FloatArray:
    """Newton's step with the information, made to agree with the fall of the score along the last step where that is given.

    The information is the second derivative of the likelihood but not of the penalty, hence the correction (BFGS with a memory of one step).
    """
    curvature = (moved * bent).sum(axis=0)
    inverse = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)
    along = inverse * (moved * at.score).sum(axis=0)
    step = at.score - along * bent
    _solve_forward(at.factor, step)
    _solve_backward(at.factor, step, n_free)
    return np.asarray(step + moved * (along - inverse * (bent * step).sum(axis=0)))


def _advance(search: _Search, at: _Point, n_free: int, penalised: bool) -> tuple[_Search, BoolArray]:
    """Take the step to `at` where it is an improvement and no leap, shorten it elsewhere; and say where it was taken."""
    near = at.largest_margin <= 2 * search.reach + REACH
    as_high = at.log_likelihood >= search.log_likelihood - ROUNDING_OF_SUM * (1 + np.abs(search.log_likelihood))
    taken = near & as_high & (at.left > 0)
    moved, bent = search.moved, search.bent
    if penalised:
        moved = np.where(taken, search.step, moved)
        bent = np.where(taken, np.nan_to_num(search.score - at.score), bent)
    shorter = np.where(near, 0.5, (search.reach + REACH) / (search.reach + at.largest_margin)) * search.step
    following = search._replace(
        coefficients=np.where(taken, search.coefficients + search.step, search.coefficients),
        step=np.where(taken, _newton_step(at, moved, bent, n_free), shorter),
        log_likelihood=np.where(taken, at.log_likelihood, search.log_likelihood),
        score=np.where(taken, at.score, search.score),
        reach=np.where(taken, at.largest_margin, search.reach),
        moved=moved,
        bent=bent,
    )
    return following, taken


def _separates(rows: FloatArray, direction: FloatArray) -> BoolArray:
    """Whether the likelihood rises for ever along a direction: it makes some margins positive and none negative."""
    margin = np.einsum("pmr,mr->pr", rows[:, :-1], direction) * rows[:, -1]
    largest = margin.max(axis=0)
    return np.asarray((largest > 0) & (margin.min(axis=0) >= -ROUNDING_OF_MARGIN * largest))


def _verdict(search: _Search, searching: BoolArray, resolved: BoolArray, iteration: int, penalised: bool) -> IntArray:
    """OK where the next step is so small that the maximum exists and is found, SEPARATED where none exists, else NOT_CONVERGED.

    Let z be a patient's row times the sign and u = 1 - (fitted probability of what was observed), so that the score is the sum of u z and
    the information that of u (1 - u) z z'. With Newton's step d, the sum of u (1 - (1 - u) z'd) z is the score less the information times d,
    which is zero. If every weight in it is positive, no direction can make some margin positive and none negative: the maximum exists.
    Since u (1 - u) (z'd)^2 is at most the squared length of d, a squared length below the smallest u (1 - u) proves it, and data that are
    separated never get there: their steps keep adding 1 to the margins, and turn to a direction that separates.
    """
    squared_length = (search.step * search.score).sum(axis=0)
    verdict = np.full(searching.size, int(Status.NOT_CONVERGED))
    found = searching & resolved & (squared_length < CONVERGED_BELOW)
    if not penalised:
        tail = np.exp(-np.minimum(search.reach, LARGEST_MARGIN))
        found &= squared_length < tail / (1 + tail) ** 2 / 4
        if iteration >= LOOK_FOR_SEPARATION_FROM:
            doubtful = np.flatnonzero(searching & ~found)
            separated = _separates(search.rows[..., doubtful], search.step[:, doubtful])
            verdict[doubtful[separated]] = Status.SEPARATED
    verdict[found] = Status.OK
    return verdict


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # a step to where the information is singular is not taken
def _maximise(search: _Search, n_free: int, penalised: bool) -> _Maximum:
    """Newton's method in the first `n_free` coefficients, the others being 0."""
    searching = np.ones(search.replicate.size, dtype=np.bool_)
    coefficient, std_error, log_likelihood = np.full((3, searching.size), np.nan)
    maximum = _Maximum(coefficient, std_error, log_likelihood, np.full(searching.size, int(Status.NOT_CONVERGED)))
    for iteration in range(MAX_ITERATIONS):
        at = _evaluate(search.rows, search.coefficients + search.step, penalised)
        search, taken = _advance(search, at, n_free, penalised)
        verdict = _verdict(search, searching & taken, at.left > SINGULAR_BELOW, iteration, penalised)
        decided = verdict != Status.NOT_CONVERGED
        place = search.replicate[decided]
        maximum.coefficient[place] = (search.coefficients + search.step)[-1, decided]
        maximum.std_error[place] = 1 / at.factor[-1, decided]
        maximum.log_likelihood[place] = search.log_likelihood[decided]
        maximum.status[place] = verdict[decided]
        searching &= ~decided
        if not searching.any():
            break
        if 2 * searching.sum() <= searching.size:  # go on with the undecided alone
            search = _Search._make(np.compress(searching, array, axis=-1) for array in search)
            searching = np.ones(search.replicate.size, dtype=np.bool_)
    return maximum


def logistic_regression(
    outcome: FloatArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    tested: int = 0,
    test: Literal["wald", "likelihood_ratio"] = "wald",
    penalty: Literal["none", "firth"] = "none",
) -> LogisticFit:
    """The log odds ratio of the treatment, or of a covariate, in a logistic model with an intercept, the treatment and the covariates.

    Parameters
    ----------
    outcome : (replicate, patient) float, 1 for an event, 0 for none, NaN where a patient has no outcome
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns, each (replicate, patient), NaN where missing; a product with the indicator ``arm == active`` makes an interaction.
        A patient with any value missing is not analysed.
    tested : 0 for the treatment, k for the k-th covariate
    test : "wald", or "likelihood_ratio" against the model in which the tested coefficient is 0
    penalty : "firth" adds half the log determinant of the information, of the full model also when the tested coefficient is 0.
        The penalised likelihood can have several maxima in small samples and when values lie far out; one of them is returned.

    Returns
    -------
    LogisticFit; TOO_FEW_PATIENTS with fewer than two patients in an arm or no more patients than coefficients, COLLINEAR when a column is
    constant or follows from the others. Without penalty also NO_VARIATION when all patients have the same outcome, SEPARATED when the data
    are separated completely or quasi-completely, whichever column it is that separates them. NOT_CONVERGED when no maximum was found,
    which includes one so far out that the information there is singular but for rounding.

    Source: Albert and Anderson (1984), Biometrika 71, 1-10 (existence); Firth (1993), Biometrika 80, 27-38; Heinze and Schemper
    (2002), Statistics in Medicine 21, 2409-2419 (penalised likelihood ratio).
    """
    penalised = penalty == "firth"
    rows, mean, n = centred_rows(outcome, arm, active, covariates, tested)
    products = cross_products(rows, mean, n)
    factor, status = factor_and_status(products)
    varies = np.abs(mean[-1] - 0.5) < 0.5
    status[(status == Status.NO_VARIATION) & (varies | penalised)] = Status.OK
    ok = status == Status.OK
    np.copysign(rows[:, 0], rows[:, -1] + (mean[-1] - 0.5), out=rows[:, -1])
    if not ok.all():
        rows, factor = np.compress(ok, rows, axis=-1), np.compress(ok, factor, axis=-1)
        products = CrossProducts(*(array[:, ok] for array in products))
    n_coefficients = rows.shape[1] - 1
    full = _maximise(_start(rows, products, factor, n_coefficients, penalised), n_coefficients, penalised)
    statistic = full.coefficient / full.std_error
    if test == "likelihood_ratio":
        null = _maximise(_start(rows, products, factor, n_coefficients - 1, penalised), n_coefficients - 1, penalised)
        statistic = np.sign(full.coefficient) * np.sqrt(2 * np.maximum(full.log_likelihood - null.log_likelihood, 0.0))
    status[ok] = full.status
    results = np.full((3, ok.size), np.nan)
    results[:, status == Status.OK] = np.stack([full.coefficient, full.std_error, statistic])[:, full.status == Status.OK]
    return LogisticFit(results[0], results[1], results[2], status)
