"""Log-linear regression of an event, whose coefficients are log risk ratios, for many replicates at once.

Log-binomial regression maximises the likelihood of the events; modified Poisson regression takes that of Poisson counts, which has the same
mean, and repairs the variance. Rows are laid out as by `regression.centred_rows`, but the last holds +1 for an event, -1 for none and 0 for a
patient who is not analysed. The last axis of every array is the replicate.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.logistic import _add_score_and_information, _exp, _solve_backward, _solve_forward
from simtrials.stats.regression import centred_rows, cholesky, cross_products, factor_and_status

MAX_ITERATIONS = 60
CONVERGED_BELOW = 1e-12  # squared length of a step in standard errors: the next one has the square of its length
SINGULAR_BELOW = 1e-12  # share left of a column of the information
ROUNDING_OF_SUM = 1e-12  # of a log-likelihood, as a share of it
LOOK_FOR_SEPARATION_FROM = 8  # iterations; a maximum that exists has nearly always been found by then
UNDECIDED = -1
ROUNDING_OF_MARGIN = 1e-6  # share of the largest change of a linear predictor that counts as none in a direction that separates


class RiskRatioFit(NamedTuple):
    """One coefficient of a model for the logarithm of the risk; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    """log risk ratio"""
    std_error: FloatArray
    status: IntArray


class _Model(NamedTuple):
    """Replicates that can be fitted."""

    rows: FloatArray
    slope: FloatArray
    """of least squares: treatment and covariates, the tested one last"""
    events: FloatArray
    n: FloatArray
    status: IntArray
    """of all replicates; the arrays above are of those that are OK so far"""


class _Point(NamedTuple):
    """The likelihood at some coefficients."""

    log_likelihood: FloatArray
    residual: FloatArray
    """(patient, replicate)"""
    score: FloatArray
    factor: FloatArray
    """of the second derivatives with changed sign"""
    left: FloatArray
    """the smallest share of a column that those before it leave over"""
    lowest: FloatArray
    """log risk among patients without event"""
    highest: FloatArray
    """log risk among patients with event"""


class _Search(NamedTuple):
    rows: FloatArray
    replicate: IntArray
    """their places among all"""
    coefficients: FloatArray
    """the best so far"""
    step: FloatArray
    """to be tried from there"""
    log_likelihood: FloatArray


class _Maximum(NamedTuple):
    coefficients: FloatArray
    """NaN unless OK"""
    factor: FloatArray
    status: IntArray


@kernel
def _fit_patients(
    rows: FloatArray,
    coefficients: FloatArray,
    binomial: bool,
    residual: FloatArray,
    weight: FloatArray,
    gain: FloatArray,
    lowest: FloatArray,
    highest: FloatArray,
) -> None:
    """First and second derivative of each patient's log-likelihood by the log risk (the second with changed sign), its sum, and extremes.

    The binomial likelihood goes on beyond a risk of 1 for patients with event, as their log risk, which keeps it smooth and concave.
    """
    n_patients, n_rows, n_replicates = rows.shape
    linear = np.empty(n_replicates)
    for p in range(n_patients):
        for r in range(n_replicates):
            linear[r] = coefficients[0, r]
        for m in range(1, n_rows - 1):
            for r in range(n_replicates):
                linear[r] += coefficients[m, r] * rows[p, m, r]
        for r in range(n_replicates):
            small = _exp(-abs(linear[r]))
            risk = small if linear[r] <= 0.0 else 1 / small
            event = rows[p, n_rows - 1, r]
            if rows[p, 0, r] == 0.0:
                residual[p, r], weight[p, r] = 0.0, 0.0
            elif event > 0.0:
                residual[p, r] = 1.0 if binomial else 1.0 - risk
                weight[p, r] = 0.0 if binomial else risk
                gain[r] += linear[r] if binomial else linear[r] - risk
                highest[r] = max(highest[r], linear[r])
            else:
                odds = risk / (1 - risk)
                residual[p, r] = -odds if binomial else -risk
                weight[p, r] = odds / (1 - risk) if binomial else risk
                if binomial:
                    gain[r] += np.log(1 - risk) if risk < 1.0 else -np.inf
                else:
                    gain[r] -= risk
                lowest[r] = min(lowest[r], linear[r])


@kernel
def _weigh_by_odds(rows: FloatArray, coefficients: FloatArray, weight: FloatArray) -> None:
    """The binomial model's expected second derivative: risk / (1 - risk)."""
    for p in range(rows.shape[0]):
        for r in range(rows.shape[2]):
            linear = coefficients[0, r]
            for m in range(1, rows.shape[1] - 1):
                linear += coefficients[m, r] * rows[p, m, r]
            risk = _exp(min(linear, 0.0))
            weight[p, r] = rows[p, 0, r] * risk / (1 - risk)


@kernel
def _add_squared_influence(rows: FloatArray, residual: FloatArray, direction: FloatArray, total: FloatArray) -> None:
    """Sum over patients of (residual times row times direction) squared."""
    for p in range(rows.shape[0]):
        for r in range(rows.shape[2]):
            along = 0.0
            for m in range(rows.shape[1] - 1):
                along += direction[m, r] * rows[p, m, r]
            total[r] += (residual[p, r] * along) ** 2


def _evaluate(rows: FloatArray, coefficients: FloatArray, binomial: bool) -> _Point:
    n_patients, n_rows, n_replicates = rows.shape
    residual, weight = np.empty((2, n_patients, n_replicates))
    gain, lowest, highest = np.zeros(n_replicates), np.full(n_replicates, np.inf), np.full(n_replicates, -np.inf)
    _fit_patients(rows, coefficients, binomial, residual, weight, gain, lowest, highest)
    score = np.zeros_like(coefficients)
    factor = np.zeros((n_rows * (n_rows - 1) // 2, n_replicates))
    _add_score_and_information(rows, residual, weight, score, factor)
    left = np.empty_like(coefficients)
    cholesky(factor, left)
    return _Point(gain, residual, score, factor, left.min(axis=0), lowest, highest)


def _separates(rows: FloatArray, direction: FloatArray) -> BoolArray:
    """Whether the likelihood rises for ever along a direction: it lowers some patients without event and leaves all others where they are."""
    change = np.einsum("pmr,mr->pr", rows[:, :-1], direction)
    largest = np.abs(change).max(axis=0)
    limit = ROUNDING_OF_MARGIN * largest
    raised = np.where(rows[:, -1] > 0, np.abs(change), change)
    return np.asarray((largest > 0) & (raised.max(axis=0) <= limit))


def _verdict(search: _Search, at: _Point, taken: BoolArray, iteration: int, binomial: bool) -> IntArray:
    """OK where the maximum exists and is found, SEPARATED or NOT_CONVERGED where there is none of use, else UNDECIDED.

    Poisson: if a direction s separates, patients with event have x's = 0 and those without x's <= 0, not all 0. Newton's step d makes the sum
    of (y - risk (1 + x'd)) x zero; times s, a sum of -risk (1 + x'd) x's over patients without event, which cannot be zero where all of them
    have x'd > -1. Since risk (x'd)^2 is at most the squared length of d, a squared length below their smallest risk proves that no s exists.
    Binomial: the likelihood has a maximum with risks of at most 1 where the Poisson one has a maximum. If the extended likelihood is highest
    with a risk above 1, or has no single highest point, that maximum lies where a risk is 1, and the usual theory gives no standard error.
    """
    squared_length = (search.step * at.score).sum(axis=0)
    resolved = at.left > SINGULAR_BELOW
    found = taken & resolved & (squared_length < CONVERGED_BELOW)
    verdict = np.full(found.size, UNDECIDED)
    if binomial:
        verdict[(found & (at.highest >= 0)) | (taken & ~resolved)] = Status.NOT_CONVERGED
        found &= at.highest < 0
    else:
        found &= squared_length < np.exp(np.minimum(at.lowest, 0.0))
        if iteration >= LOOK_FOR_SEPARATION_FROM:
            doubtful = np.flatnonzero(taken & ~found)
            separated = _separates(search.rows[..., doubtful], search.step[:, doubtful])
            verdict[doubtful[separated]] = Status.SEPARATED
    verdict[found] = Status.OK
    return verdict


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # a step to where the information is singular is not taken
def _maximise(search: _Search, binomial: bool) -> _Maximum:
    """Newton's method; a step that does not raise the likelihood is halved."""
    size, n_replicates = search.coefficients.shape
    searching = np.ones(n_replicates, dtype=np.bool_)
    coefficients, factor = np.full((size, n_replicates), np.nan), np.full((size * (size + 1) // 2, n_replicates), np.nan)
    maximum = _Maximum(coefficients, factor, np.full(n_replicates, int(Status.NOT_CONVERGED)))
    for iteration in range(MAX_ITERATIONS):
        at = _evaluate(search.rows, search.coefficients + search.step, binomial)
        taken = at.log_likelihood >= search.log_likelihood - ROUNDING_OF_SUM * (1 + np.abs(search.log_likelihood))
        newton = at.score.copy()
        _solve_forward(at.factor, newton)
        _solve_backward(at.factor, newton, size)
        taken &= np.isfinite(newton).all(axis=0) | binomial
        search = search._replace(
            coefficients=np.where(taken, search.coefficients + search.step, search.coefficients),
            step=np.where(taken, newton, search.step / 2),
            log_likelihood=np.where(taken, at.log_likelihood, search.log_likelihood),
        )
        verdict = _verdict(search, at, searching & taken, iteration, binomial)
        found, decided = verdict == Status.OK, verdict != UNDECIDED
        maximum.coefficients[:, search.replicate[found]] = (search.coefficients + search.step)[:, found]
        maximum.factor[:, search.replicate[found]] = at.factor[:, found]
        maximum.status[search.replicate[decided]] = verdict[decided]
        searching &= ~decided
        if not searching.any():
            break
        if 2 * searching.sum() <= searching.size:  # go on with the undecided alone
            search = _Search._make(np.compress(searching, array, axis=-1) for array in search)
            searching = np.ones(search.replicate.size, dtype=np.bool_)
    return maximum


def _prepared(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int, binomial: bool) -> _Model:
    rows, mean, n = centred_rows(outcome, arm, active, covariates, tested)
    products = cross_products(rows, mean, n)
    factor, status = factor_and_status(products)
    status[(status == Status.NO_VARIATION) & (np.abs(mean[-1] - 0.5) < 0.5)] = Status.OK
    size = mean.shape[0] - 1
    together = products.triangle[-size:][0 if tested else -2]  # summed products of treatment and outcome, both centred
    events = np.rint(n * mean[-1] + np.stack([-together, together]))
    empty = ((events == 0) | (binomial & (events == n))).any(axis=0)
    status[empty & (status == Status.OK)] = Status.EMPTY_CELL
    np.copysign(rows[:, 0], rows[:, -1] + (mean[-1] - 0.5), out=rows[:, -1])
    ok = status == Status.OK
    slope = factor[-size:-1].copy()
    _solve_backward(factor, slope, size - 1)
    some = [np.compress(ok, array, axis=-1) for array in (rows, slope, events.sum(axis=0), n.sum(axis=0))]
    return _Model(some[0], some[1], some[2], some[3], status)


def _poisson_start(model: _Model) -> _Search:
    """The intercept that fits the number of events, to step to the slopes of least squares."""
    risk = (model.events + 0.5) / (model.n + 1)
    coefficients, step = np.zeros((2, model.slope.shape[0] + 1, risk.size))
    coefficients[0] = np.log(risk)
    step[1:] = model.slope / risk
    return _Search(model.rows, np.arange(risk.size), coefficients, step, model.events * np.log(risk) - model.n * risk)


def _binomial_start(model: _Model, poisson: _Maximum) -> _Search:
    """The same intercept, to step to the coefficients of the Poisson model, or as far towards them as risks without event stay below 1."""
    start = _poisson_start(model)
    risk = np.exp(start.coefficients[0])
    log_likelihood = model.events * np.log(risk) + (model.n - model.events) * np.log1p(-risk)
    whole = start._replace(step=poisson.coefficients - start.coefficients, log_likelihood=log_likelihood)
    return _Search._make(np.compress(poisson.status == Status.OK, array, axis=-1) for array in whole)


def _in_full(status: IntArray, place: IntArray, estimate: FloatArray, std_error: FloatArray) -> RiskRatioFit:
    """Results of some replicates put in their places, NaN elsewhere."""
    results = np.full((2, status.size), np.nan)
    results[:, place] = estimate, std_error
    results[:, status != Status.OK] = np.nan
    return RiskRatioFit(results[0], results[1], status)


def log_binomial_regression(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = (), tested: int = 0) -> RiskRatioFit:
    """The log risk ratio of the treatment, or of a covariate, by maximum likelihood, all fitted risks being at most 1.

    Parameters
    ----------
    outcome, arm, active, covariates, tested : as for `logistic_regression`

    Returns
    -------
    RiskRatioFit, with the standard error from the expected information; TOO_FEW_PATIENTS with fewer than two patients in an arm or no more
    patients than coefficients, COLLINEAR when a column is constant or follows from the others, NO_VARIATION when all patients have the same
    outcome, EMPTY_CELL when an arm has no events or only events, SEPARATED when a covariate can lower the risk of patients without event for
    ever and leave it where it is for all others, NOT_CONVERGED when no maximum with all risks below 1 was found: most often the likelihood is
    highest where somebody's risk is 1, and no standard error follows from the usual theory. `modified_poisson_regression` has an answer there.

    Source: Wacholder (1986), American Journal of Epidemiology 123, 174-184 (model); Williamson, Eliasziw and Fick (2013), Emerging Themes in
    Epidemiology 10:14 (maxima where a risk is 1).
    """
    model = _prepared(outcome, arm, active, covariates, tested, binomial=True)
    status = model.status
    place = np.flatnonzero(status == Status.OK)
    poisson = _maximise(_poisson_start(model), binomial=False)
    status[place] = poisson.status
    search = _binomial_start(model, poisson)
    place = place[search.replicate]
    found = _maximise(search._replace(replicate=np.arange(place.size)), binomial=True)
    status[place] = found.status
    weight = np.zeros((search.rows.shape[0], place.size))
    _weigh_by_odds(search.rows, found.coefficients, weight)
    factor, left = np.zeros_like(found.factor), np.empty_like(found.coefficients)
    _add_score_and_information(search.rows, weight, weight, left, factor)
    cholesky(factor, left)
    return _in_full(status, place, found.coefficients[-1], 1 / factor[-1])


def modified_poisson_regression(
    outcome: FloatArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    tested: int = 0,
    variance: Literal["HC0", "HC1"] = "HC0",
) -> RiskRatioFit:
    """The log risk ratio of the treatment, or of a covariate, by Poisson regression of the event with a robust variance.

    Fitted risks may exceed 1. Without covariates this is the crude log risk ratio with its usual standard error.

    Parameters
    ----------
    outcome, arm, active, covariates, tested : as for `logistic_regression`
    variance : "HC0", the sandwich of the information around the squared scores; "HC1", that times n / (n - number of coefficients)

    Returns
    -------
    RiskRatioFit; as `log_binomial_regression`, but only an arm without events is an EMPTY_CELL, and NOT_CONVERGED is rare

    Source: Zou (2004), American Journal of Epidemiology 159, 702-706; HC1: MacKinnon and White (1985), Journal of Econometrics 29, 305-325.
    """
    model = _prepared(outcome, arm, active, covariates, tested, binomial=False)
    status = model.status
    place = np.flatnonzero(status == Status.OK)
    found = _maximise(_poisson_start(model), binomial=False)
    status[place] = found.status
    at = _evaluate(model.rows, found.coefficients, binomial=False)
    direction = np.zeros_like(found.coefficients)
    direction[-1] = 1 / at.factor[-1]
    _solve_backward(at.factor, direction, direction.shape[0])
    squares = np.zeros(place.size)
    _add_squared_influence(model.rows, at.residual, direction, squares)
    if variance == "HC1":
        squares *= model.n / (model.n - direction.shape[0])
    return _in_full(status, place, found.coefficients[-1], np.sqrt(squares))
