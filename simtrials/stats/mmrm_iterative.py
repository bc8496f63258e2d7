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
    along_means,
    average_information,
    between_means,
    climb_to,
    expected_information,
    observed_information,
    residuals,
    slopes_at,
)
from simtrials.stats.small_matrices import between, cross, inner, inverted, lower, lower_slopes, places, sandwiched, traced
from simtrials.stats.visit_sums import Block, Patterns, block_of, in_fours, patterns_of

DegreesOfFreedom = Literal["satterthwaite", "kenward_roger"]
Information = Literal["observed", "expected"]
Tuples = TypeVar("Tuples", Block, Patterns, Climb, "Top")

NEAR, CLOSE, SETTLED, SHORT_STEP = 0.3, 1e-7, 1e-13, 1e-16
"""Squared lengths of the last step in standard errors of the parameters, at which second derivatives become more exact, see `_Curvature`. The
climb ends with an exact step shorter than SHORT_STEP: the next one would be far shorter."""
MAX_ITERATIONS = 50
MAX_HALVINGS = 20
PATIENCE = 10
"""Steps after which second derivatives are exact in any case. A random slope's variance may be 0, where average information says nothing:
there they are from the start."""
NO_DESCENT = 1e-8
"""A step may lower the log-likelihood by this much, for near the top it changes by less than its rounding error."""
WORTH_SHRINKING = 0.7
"""Replicates that are done are carried along until only this share is left."""
TOGETHER, MATRICES = 128, 2_000_000
"""Replicates fitted together, at most, and numbers in the matrices of all means for every entry of the covariance: few enough to lie near the
processor."""


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
    rows, columns = lower(n_visits)
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


class Top(NamedTuple):
    """Where the restricted likelihood is highest."""

    value: FloatArray
    """(R,) there"""
    inverse: FloatArray
    """as in Climb, and so the next two"""
    phi: FloatArray
    beta: FloatArray
    theta: FloatArray
    """(p, R) the parameters"""
    information: FloatArray
    """(p, p, R) on them, observed or expected"""
    reached: BoolArray
    """(R,) whether the rest is known"""


class _Curvature:
    """Minus the second derivatives of the restricted likelihood, as exact as the distance to its top asks for.

    Far from it that is average information; nearer, the observed information without what lies between means; near, the exact one, in which
    that part may stem from a point before the last step, if that was short.
    """

    def __init__(self, structure: Structure, times: FloatArray, n_entries: int, n_replicates: int) -> None:
        self.structure, self.times, self.at_once = structure, times, structure == "random_slope"
        self.between = np.zeros((n_entries, n_entries, n_replicates))
        self.known = np.full(n_replicates, False)

    def shrink(self, going: IntArray) -> None:
        """Keep some of the replicates."""
        self.between, self.known = self.between.take(going, axis=-1), self.known[going]

    def look(self, climb: Climb, patterns: Patterns, theta: FloatArray, length: FloatArray, going: BoolArray) -> None:
        """Look at a point which a step of squared length `length` led to, most exactly for those which are still `going`."""
        self.climb, self.patterns, self.at = climb, patterns, slopes_at(climb, patterns)
        self.slope, self.bent = slopes(self.structure, theta, self.times).swapaxes(0, 1), bend(self.structure, theta, self.times, self.at.score)
        self.score = cross(self.slope, self.at.score[:, np.newaxis])
        settled = self.known & (length < SETTLED) & (not self.at_once)
        anew = going & ~settled & ((length < CLOSE) | self.at_once)
        self.exact = anew | settled
        if anew.any():
            which = np.flatnonzero(anew)
            self.between[..., which] = between_means(climb, patterns, self.at, which)
            self.known |= anew
        near = self.exact | (length < NEAR)
        self.second = np.empty((len(theta), *theta.shape))
        if near.any():
            self.second = self._in_parameters(observed_information(climb, patterns, self.at, self.between)) - self.bent
        if not near.all():
            self.second = np.where(near, self.second, self._in_parameters(average_information(climb, self.at)))

    def step(self) -> tuple[FloatArray, FloatArray]:
        """The step (p, R) to where a parabola is highest, and its squared length in standard errors."""
        inverse, found = inverted(self.second, drop=not self.at_once)
        if np.isnan(found).any():
            positive = self.expected() if self.at_once else self._in_parameters(average_information(self.climb, self.at))
            inverse = np.where(np.isnan(found), inverted(positive, drop=True)[0], inverse)
        step = cross(inverse, self.score)
        return step[:, 0], inner(step[np.newaxis], self.score[np.newaxis])

    def expected(self) -> FloatArray:
        """(p, p, R) expected information, where `exact`."""
        return self._in_parameters(expected_information(self.climb, self.patterns, self.at, self.between))

    def _in_parameters(self, matrix: FloatArray) -> FloatArray:
        return _in_parameters(matrix, self.structure, self.slope)


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


def _top(sigma: FloatArray, patterns: Patterns, structure: Structure, model: Model) -> Top:
    """The top of the restricted likelihood, climbed from the covariance `sigma` (S, R)."""
    theta = starting_values(structure, sigma, model.times)
    climb = climb_to(entries(structure, theta, model.times), patterns, model.design)
    which, going, length = np.arange(theta.shape[1]), np.full(theta.shape[1], True), np.full(theta.shape[1], np.inf)
    curvature = _Curvature(structure, model.times, *sigma.shape)
    of_top = (climb.value, climb.inverse, climb.phi, climb.beta, theta, np.empty((len(theta), *theta.shape)), going)
    top = Top(*(np.zeros_like(part) for part in of_top))
    for iteration in range(MAX_ITERATIONS):
        curvature.at_once |= iteration >= PATIENCE
        curvature.look(climb, patterns, theta, length, going)
        step, length = curvature.step()
        climb, theta, moved = _advance(climb, step, patterns, structure, theta, model.times, model.design)
        done = going & moved & curvature.exact & (length < SHORT_STEP)
        if done.any():
            information = curvature.second if model.information == "observed" else curvature.expected()
            for part, new in zip(top, (climb.value, climb.inverse, climb.phi, climb.beta, theta, information, done), strict=True):
                part[..., which[done]] = new[..., done]
        going &= moved & ~done
        if not going.any():
            break
        if going.mean() < WORTH_SHRINKING:
            left = np.flatnonzero(going)
            curvature.shrink(left)
            which, going, length, theta, climb, patterns = (
                which[left],
                going[left],
                length[left],
                theta[:, left],
                take(climb, left),
                take(patterns, left),
            )
    return top


# ---- inference


def _inference(top: Top, patterns: Patterns, structure: Structure, model: Model) -> FloatArray:
    """Estimate, standard error and degrees of freedom (3, R); NaN where the information on the parameters is not positive."""
    n_visits = patterns.observed.shape[1]
    by_visit = np.zeros((n_visits, len(top.beta) // n_visits, 1))
    by_visit[:, -1, 0] = model.weights
    contrast = np.repeat(by_visit.reshape(-1, 1, 1), top.beta.shape[-1], axis=2)
    along = cross(top.phi, contrast)
    estimate, variance = cross(contrast, top.beta[:, np.newaxis])[0, 0], cross(contrast, along)[0, 0]
    fitted, with_columns = residuals(patterns.moments, along[:, 0], 0.0, n_visits)
    outer = sandwiched(top.inverse, fitted)
    slope = slopes(structure, top.theta, model.times).swapaxes(0, 1)
    gradient = cross(slope, lower_slopes(outer.sum(axis=0))[:, np.newaxis])
    weight, positive = inverted(top.information, drop=True)
    df = 2 * variance**2 / between(weight, gradient)[0, 0] + 0 * positive
    if model.df == "kenward_roger":
        less_means = traced(outer, top.inverse) - along_means(top.inverse, top.phi, with_columns)
        variance = variance + 2 * inner(weight[np.newaxis], _in_parameters(less_means, structure, slope)[np.newaxis])
    return np.stack([estimate, np.sqrt(variance), df])


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
    n_patterns = np.count_nonzero(patterns.moments[:, 0, 0], axis=0)
    in_order = np.argsort(n_patterns, kind="stable")  # those with few patterns together: patterns of nobody cost as much as others
    n_visits, n_means = len(block.outcome), len(block.outcome) * (len(block.columns) + 1)
    together = max(1, min(TOGETHER, MATRICES // (n_visits * (n_visits + 1) // 2 * n_means**2)))
    for first in range(0, n_replicates, together):
        some = in_order[first : first + together]
        last = in_fours(np.flatnonzero(patterns.moments[:, 0, 0, some].any(axis=1)).max(initial=0) + 1)
        those = Patterns(*(part[:last].take(some, axis=-1) for part in patterns))
        with np.errstate(all="ignore"):
            found[:, some], status[some], used[some] = _fit_some(those, few[some], model)
    return RepeatedContrast(found[0], found[1], found[2], used, status)


def _fit_some(patterns: Patterns, few: BoolArray, model: Model) -> tuple[FloatArray, IntArray, IntArray]:
    """Estimate, standard error and degrees of freedom (3, R), the status, and the place of the covariance used."""
    sigma, collinear, constant = _starting_covariance(patterns, model.design)
    found, used = np.full((3, few.size), np.nan), np.full(few.size, -1)
    status = np.select([few, collinear, constant], [Status.TOO_FEW_PATIENTS, Status.COLLINEAR, Status.NO_VARIATION], Status.NOT_CONVERGED)
    left = np.flatnonzero(status == Status.NOT_CONVERGED)
    for place, structure in enumerate(model.order):
        if left.size == 0:
            break
        those = patterns if left.size == few.size else take(patterns, left)
        top = _top(sigma[:, left], those, structure, model)
        there = np.flatnonzero(top.reached)
        if there.size == 0:
            continue
        contrast = np.full((3, left.size), np.nan)
        contrast[:, there] = _inference(take(top, there), take(those, there), structure, model)
        fitted = ~np.isnan(contrast).any(axis=0)
        found[:, left[fitted]] = contrast[:, fitted]
        status[left[fitted]], used[left[fitted]] = Status.OK, place
        left = left[~fitted]
    return found, status, used


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
