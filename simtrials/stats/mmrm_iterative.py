"""Repeated measures by iteration: any missing visits, any covariance, means that need not be saturated in visits.

The restricted likelihood is climbed by average information from the residuals of least squares. V visits; m columns: one, the covariates,
the arm; N = V m means, column j at visit s being mean s m + j; S entries of the covariance, p parameters; R replicates, which come last.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.status import Status
from simtrials.stats.covariances import Covariance, Structure, bend, entries, slopes, starting_values
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.restricted_likelihood import (
    Climb,
    Slopes,
    between,
    climb_to,
    cross,
    expected_information,
    inverted,
    lower_slopes,
    places,
    quadratic,
    residuals,
    sandwiched,
    slopes_at,
)
from simtrials.stats.visit_sums import Block, Patterns, block_of, patterns_of

DegreesOfFreedom = Literal["satterthwaite", "kenward_roger"]
Information = Literal["observed", "expected"]
Tuples = TypeVar("Tuples", Block, Patterns, Climb)

MAX_ITERATIONS = 50
MAX_HALVINGS = 20
PATIENCE = 10
"""Steps of average information, which are cheap, before those of observed information, which fewer are needed of. A random slope's variance
may be 0, where average information says nothing: there the observed one is used from the start."""
SHORT_STEP = 1e-14
"""The climb ends with the step whose squared length, in standard errors of the parameters, is below this: the next one is far shorter."""
NO_DESCENT = 1e-8
"""A step may lower the log-likelihood by this much, for near the top it changes by less than its rounding error."""
TOGETHER = 128
"""Replicates fitted together: few enough for their matrices to lie near the processor."""


class RepeatedContrast(NamedTuple):
    """A difference between arms, active minus control; each (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    covariance: IntArray
    """place of the covariance used in the order tried: 0 for the one asked for, -1 where none could be fitted"""
    status: IntArray


class Model(NamedTuple):
    """What is fitted, and what is asked of it."""

    weights: FloatArray
    """(V,) of the arm differences at the visits, in the contrast"""
    order: tuple[Structure, ...]
    """covariances to try"""
    times: FloatArray
    """(V,) of the visits, for a random slope"""
    design: FloatArray | None
    """(N, q) from coefficients to means; None where each mean is a coefficient"""
    df: DegreesOfFreedom
    information: Information


def visit_weights(visit: int | Sequence[float], n_visits: int) -> FloatArray:
    """(V,) weights of the visits: 1 for the visit at a position, or those given."""
    weights = np.zeros(n_visits)
    if isinstance(visit, int):
        weights[visit] = 1.0
    elif len(visit) == n_visits:
        weights[:] = visit
    else:
        raise ValueError(f"visit: expected a position or {n_visits} weights, one for each visit, got {len(visit)}")
    return weights


def common_slope_design(n_visits: int, n_covariates: int) -> FloatArray:
    """(N, q) of a model whose intercept and arm differ by visit, with one slope of each covariate."""
    m, visits = n_covariates + 2, np.arange(n_visits)
    design = np.zeros((n_visits, m, 2 * n_visits + n_covariates))
    design[visits, 0, visits] = 1.0
    design[visits, m - 1, n_visits + visits] = 1.0
    for c in range(n_covariates):
        design[:, 1 + c, 2 * n_visits + c] = 1.0
    return design.reshape(n_visits * m, -1)


# ---- the climb


def take(of: Tuples, which: IntArray) -> Tuples:
    """The same for some of the replicates."""
    parts: Any = (part.take(which, axis=-1) for part in of)
    return type(of)(*parts)


def _put(of: Climb, which: IntArray, new: Climb, some: BoolArray) -> None:
    for part, new_part in zip(of, new, strict=True):
        part[..., which] = new_part[..., some]


def _starting_covariance(patterns: Patterns, design: FloatArray | None) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Covariance (S, R) of the residuals of least squares over the pairs of visits observed, made positive where it is not.

    With it, (R,) where the means cannot be told apart, and where the outcome of some visit does not vary about them.
    """
    observed, moments = patterns
    n_visits, n_replicates = observed.shape[1:]
    m = moments.shape[1] - n_visits
    rows, columns = np.tril_indices(n_visits)
    diagonal = rows == columns
    alike = climb_to(np.repeat(diagonal[:, np.newaxis].astype(np.float64), n_replicates, axis=1), patterns, design)
    both = observed[:, rows] * observed[:, columns]
    n_pairs = (moments[:, 0, :1] * both).sum(axis=0)
    products = (alike.products[:, rows, columns] * both).sum(axis=0)
    visits = np.arange(m, m + n_visits)
    total = moments[:, visits, visits].sum(axis=0)
    constant = ((products[diagonal] <= COLLINEAR_BELOW * total) & (total > 0)).any(axis=0)
    sigma = products / np.maximum(n_pairs - m, 1)
    sigma[diagonal] = np.where(total > 0, sigma[diagonal], sigma.max(axis=0))  # a visit without observations stays as it starts
    for _ in range(MAX_HALVINGS):
        refused = np.isnan(inverted(sigma[places(n_visits)])[1]) & ~constant
        if not refused.any():
            break
        sigma[np.ix_(~diagonal, refused)] *= 0.8
    return sigma, np.isnan(alike.value), constant


def _in_parameters(matrix: FloatArray, structure: Structure, slope: FloatArray) -> FloatArray:
    """(p, p, R) information on the parameters, from that on the entries and their derivatives (S, p, R)."""
    return matrix if structure == "unstructured" else between(matrix, slope)


def _observed_information(
    climb: Climb, patterns: Patterns, structure: Structure, theta: FloatArray, times: FloatArray, at: Slopes
) -> tuple[FloatArray, FloatArray]:
    """Minus the second derivatives of the restricted likelihood in the parameters, and their expectation: (p, p, R) each."""
    slope = slopes(structure, theta, times).swapaxes(0, 1)
    expected = expected_information(climb, patterns, at.shared)
    of_entries = 2 * at.average - expected
    observed = _in_parameters(of_entries, structure, slope) - bend(structure, theta, times, at.score)
    return np.asarray(observed), _in_parameters(expected, structure, slope)


def _direction(
    climb: Climb, patterns: Patterns, structure: Structure, theta: FloatArray, times: FloatArray, observed: bool
) -> tuple[FloatArray, FloatArray]:
    """The step (p, R) of average information, or where asked for of the observed one if positive, else of the expected one; its squared length
    in standard errors."""
    at, slope = slopes_at(climb, patterns), slopes(structure, theta, times).swapaxes(0, 1)
    score = cross(slope, at.score[:, np.newaxis])
    if observed:
        second, expected = _observed_information(climb, patterns, structure, theta, times, at)
        inverse, positive = inverted(second)
        inverse = np.where(np.isnan(positive), inverted(expected, drop=True)[0], inverse)
    else:
        inverse, _ = inverted(_in_parameters(at.average, structure, slope), drop=True)
    step = cross(inverse, score)
    return step[:, 0], (step * score).sum(axis=(0, 1))


def _advance(
    climb: Climb, step: FloatArray, patterns: Patterns, structure: Structure, theta: FloatArray, times: FloatArray, design: FloatArray | None
) -> tuple[Climb, FloatArray, BoolArray]:
    """The likelihood and the parameters a step ahead, or its half, its quarter: the first that is not lower; and whether there is one."""
    moved_theta = theta + step
    ahead = climb_to(entries(structure, moved_theta, times), patterns, design)
    moved = ahead.value >= climb.value - NO_DESCENT
    for halving in range(1, MAX_HALVINGS):
        left = np.flatnonzero(~moved)
        if left.size == 0:
            break
        moved_theta[:, left] = theta[:, left] + 0.5**halving * step[:, left]
        nearer = climb_to(entries(structure, moved_theta[:, left], times), take(patterns, left), design)
        higher = nearer.value >= climb.value[left] - NO_DESCENT
        _put(ahead, left[higher], nearer, higher)
        moved[left[higher]] = True
    return ahead, moved_theta, moved


def _top(
    sigma: FloatArray, patterns: Patterns, structure: Structure, times: FloatArray, design: FloatArray | None
) -> tuple[Climb, FloatArray, BoolArray]:
    """Where the restricted likelihood is highest, the parameters (p, R) there, and whether the top was reached."""
    theta = starting_values(structure, sigma, times)
    climb = climb_to(entries(structure, theta, times), patterns, design)
    which = np.arange(theta.shape[1])
    top, at_top, reached = take(climb, which), theta.copy(), np.full(which.size, False)
    for iteration in range(MAX_ITERATIONS):
        observed = structure == "random_slope" or iteration >= PATIENCE
        step, length = _direction(climb, patterns, structure, theta, times, observed)
        climb, theta, moved = _advance(climb, step, patterns, structure, theta, times, design)
        done = moved & (length < SHORT_STEP)
        _put(top, which[done], climb, done)
        at_top[:, which[done]] = theta[:, done]
        reached[which[done]] = True
        going = np.flatnonzero(moved & ~done)
        if going.size == 0:
            break
        if going.size < which.size:
            which, theta, climb, patterns = which[going], theta.take(going, axis=1), take(climb, going), take(patterns, going)
    return top, at_top, reached


# ---- inference


def _inference(climb: Climb, patterns: Patterns, structure: Structure, theta: FloatArray, model: Model) -> FloatArray:
    """Estimate, standard error and degrees of freedom (3, R); NaN where the information on the parameters is not positive."""
    n_visits = patterns.observed.shape[1]
    by_visit = np.zeros((n_visits, len(climb.beta) // n_visits))
    by_visit[:, -1] = model.weights
    contrast = by_visit.ravel()
    along = np.tensordot(contrast, climb.phi, axes=1)
    variance = contrast @ along
    fitted, with_columns = residuals(patterns.moments, along, 0.0, n_visits)
    outer = sandwiched(climb, fitted)
    at, slope = slopes_at(climb, patterns), slopes(structure, theta, model.times).swapaxes(0, 1)
    gradient = cross(slope, lower_slopes(outer.sum(axis=0))[:, np.newaxis])
    if model.information == "observed":
        information, _ = _observed_information(climb, patterns, structure, theta, model.times, at)
    else:
        information = _in_parameters(expected_information(climb, patterns, at.shared), structure, slope)
    weight, positive = inverted(information, drop=True)
    df = 2 * variance**2 / between(weight, gradient)[0, 0] + 0 * positive
    if model.df == "kenward_roger":
        variance = variance + 2 * (weight * _in_parameters(quadratic(climb, outer, with_columns), structure, slope)).sum(axis=(0, 1))
    return np.stack([contrast @ climb.beta, np.sqrt(variance), df])


def few_at_visits(block: Block, model: Model) -> BoolArray:
    """(R,) whether a visit has fewer than two patients of an arm; a visit that the contrast does not ask for may also have none at all."""
    few = block.seen.min(axis=0) < 2
    needed = (model.weights != 0)[:, np.newaxis] | (block.seen.sum(axis=0) > 0)
    return np.asarray((few & needed).any(axis=0))


def fit_block(block: Block, model: Model, few: BoolArray) -> RepeatedContrast:
    """The contrast of a model in each replicate, by the first covariance of its order that can be fitted; `few` (R,) have too few patients."""
    n_replicates = block.outcome.shape[2]
    found, status, used = np.full((3, n_replicates), np.nan), np.full(n_replicates, -1), np.full(n_replicates, -1)
    patterns = patterns_of(block)
    for first in range(0, n_replicates, TOGETHER):
        some = slice(first, first + TOGETHER)
        those = take(patterns, np.arange(n_replicates)[some])
        with np.errstate(all="ignore"):
            _fit_some(those, few[some], model, found[:, some], status[some], used[some])
    return RepeatedContrast(found[0], found[1], found[2], used, status)


def _fit_some(patterns: Patterns, few: BoolArray, model: Model, found: FloatArray, status: IntArray, used: IntArray) -> None:
    sigma, collinear, constant = _starting_covariance(patterns, model.design)
    status[:] = np.select([few, collinear, constant], [Status.TOO_FEW_PATIENTS, Status.COLLINEAR, Status.NO_VARIATION], Status.NOT_CONVERGED)
    left = np.flatnonzero(status == Status.NOT_CONVERGED)
    for place, structure in enumerate(model.order):
        if left.size == 0:
            break
        those = take(patterns, left)
        climb, theta, reached = _top(sigma[:, left], those, structure, model.times, model.design)
        there = np.flatnonzero(reached)
        if there.size == 0:
            continue
        contrast = np.full((3, left.size), np.nan)
        contrast[:, there] = _inference(take(climb, there), take(those, there), structure, theta.take(there, axis=1), model)
        fitted = ~np.isnan(contrast).any(axis=0)
        found[:, left[fitted]] = contrast[:, fitted]
        status[left[fitted]], used[left[fitted]] = Status.OK, place
        left = left[~fitted]


def iterative_mmrm(
    outcome: FloatArray,
    arm: AnyArray,
    active: int,
    covariates: Sequence[AnyArray] = (),
    visit: int | Sequence[float] = -1,
    *,
    df: DegreesOfFreedom = "satterthwaite",
    information: Information = "observed",
    covariance: Covariance = "unstructured",
    fallback: Sequence[Covariance] = (),
    common_slope: bool = False,
) -> RepeatedContrast:
    """The contrast of `mmrm`, always by iteration: parameters and results are told there."""
    block = block_of(outcome, arm, active, covariates)
    model = model_of(block, visit, (covariance, *fallback), common_slope, df, information)
    return fit_block(block, model, few_at_visits(block, model))


def model_of(
    block: Block, visit: int | Sequence[float], order: tuple[Covariance, ...], common_slope: bool, df: DegreesOfFreedom, information: Information
) -> Model:
    """Means of each visit, and the difference of arms at a visit or at weights of visits."""
    n_visits, n_covariates = len(block.outcome), len(block.columns) - 1
    design = common_slope_design(n_visits, n_covariates) if common_slope and n_covariates > 0 and n_visits > 1 else None
    alone: tuple[Covariance, ...] = ("unstructured",)
    return Model(visit_weights(visit, n_visits), order if n_visits > 1 else alone, np.arange(n_visits, dtype=np.float64), design, df, information)
