"""Conjugate Bayesian analyses of two arms: priors and posteriors that are mixtures of beta or normal distributions, for many replicates at once.

A mixture with a component that says little is the robust prior of Schmidli et al.: where the data contradict what was known of the control arm,
the weight moves to that component. Effects are active minus control, for risks and for means.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincinv, betaln, expit, log_expit, ndtr, polygamma, psi, stdtr

from simtrials.core.arrays import FloatArray, IntArray
from simtrials.core.status import Status
from simtrials.stats.means import NEGLIGIBLE_SPREAD, Moments

NEGLIGIBLE_TAIL = 1e-16  # of a beta distribution, left out of an integral at either end
STEP, LAST_NODE = 1 / 24, 5.5  # of the quadrature, see `_nodes`
NEGLIGIBLE_MASS = 1e-19  # of a node of the quadrature
LARGEST_ARRAY = 500_000  # nodes times pairs of distributions held in memory at once


class BetaMixture(NamedTuple):
    """Of a risk: a prior has (component,) arrays, posteriors have (replicate, component)."""

    weight: FloatArray
    a: FloatArray
    b: FloatArray

    @classmethod
    def of(cls, *components: tuple[float, float, float]) -> "BetaMixture":
        """From (weight, a, b) of every component; ValueError unless weights are positive and add up to 1, and a and b are positive."""
        weight, a, b = _columns(components)
        if np.any(a <= 0) or np.any(b <= 0):
            raise ValueError("beta mixture: a and b of every component must be positive")
        return cls(weight, a, b)

    @property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance."""
        return _mixed_moments(self.weight, self.a / (self.a + self.b), _variance(self.a, self.b))


class NormalMixture(NamedTuple):
    """Of a mean: a prior has (component,) arrays, posteriors have (replicate, component)."""

    weight: FloatArray
    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, *components: tuple[float, float, float]) -> "NormalMixture":
        """From (weight, mean, sd) of every component; a single one may have an infinite sd, a flat prior.

        ValueError unless weights are positive and add up to 1, and standard deviations are positive.
        """
        weight, mean, sd = _columns(components)
        if np.any(sd <= 0) or (sd.size > 1 and np.any(np.isinf(sd))):
            raise ValueError("normal mixture: standard deviations must be positive, and finite where there are several components")
        return cls(weight, mean, sd)

    @property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance."""
        return _mixed_moments(self.weight, self.mean, self.sd**2)


class PosteriorEffect(NamedTuple):
    """Posterior of active minus control; each (replicate,), NaN unless `status` is OK."""

    mean: FloatArray
    sd: FloatArray
    """infinite where it does not exist (Student's t with two degrees of freedom or fewer)"""
    probability: FloatArray
    """that the effect exceeds the threshold"""
    status: IntArray


def _columns(components: tuple[tuple[float, float, float], ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
    columns = np.array(components, dtype=np.float64).reshape(-1, 3).T
    if np.isnan(columns).any() or np.any(columns[0] <= 0) or abs(columns[0].sum() - 1) > 1e-9:
        raise ValueError("mixture: the weights of the components must be positive and add up to 1, and no number may be missing")
    return columns[0], columns[1], columns[2]


def _mixed_moments(weight: FloatArray, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    total = _sum(weight * mean)
    return total, _sum(weight * (variance + (mean - total[..., np.newaxis]) ** 2))


def _variance(a: FloatArray, b: FloatArray) -> FloatArray:
    """Of a beta distribution."""
    return np.asarray(a * b / ((a + b) ** 2 * (a + b + 1)))


def _sum(terms: FloatArray) -> FloatArray:
    """Over the last axis, one term after the other, so that a replicate does not depend on its neighbours."""
    return np.asarray(np.add.accumulate(terms, axis=-1)[..., -1])


def robust_beta_prior(informative: BetaMixture, weight: float, mean: float = 0.5, n: float = 2.0) -> BetaMixture:
    """A prior with a further component of this weight and mean that is worth `n` patients; as it stands, the uniform distribution.

    Source: Schmidli et al. (2014), Biometrics 70, 1023-1032, section 3.2.
    """
    columns = zip((1 - weight) * informative.weight, informative.a, informative.b, strict=True)
    return BetaMixture.of(*columns, (weight, mean * n, (1 - mean) * n))


def robust_normal_prior(informative: NormalMixture, weight: float, mean: float, sd: float) -> NormalMixture:
    """A prior with a further component of this weight; with the standard deviation of one patient as `sd` it is worth one patient.

    Source: Schmidli et al. (2014), Biometrics 70, 1023-1032, section 3.2.
    """
    columns = zip((1 - weight) * informative.weight, informative.mean, informative.sd, strict=True)
    return NormalMixture.of(*columns, (weight, mean, sd))


def beta_posterior(prior: BetaMixture, events: ArrayLike, n: ArrayLike) -> BetaMixture:
    """What is known of a risk after `events` among `n` patients, (replicate,) each; NaN counts give NaN.

    Every component is updated by itself, and its weight is multiplied by the probability that it gave the data.

    Source: Schmidli et al. (2014), Biometrics 70, 1023-1032, section 3.2.
    """
    events, n = (np.atleast_1d(np.asarray(counts, dtype=np.float64))[:, np.newaxis] for counts in (events, n))
    if np.any(events < 0) or np.any(events > n):
        raise ValueError("beta posterior: events must lie between 0 and the number of patients")
    a, b = prior.a + events, prior.b + n - events
    return BetaMixture(_updated(prior.weight, betaln(a, b) - betaln(prior.a, prior.b)), a, b)


def normal_posterior(prior: NormalMixture, mean: ArrayLike, n: ArrayLike, sd: ArrayLike) -> NormalMixture:
    """What is known of a mean after `n` patients with this mean, (replicate,) each, when the patients' standard deviation `sd` is known.

    Without patients the posterior is the prior.

    Source: Schmidli et al. (2014), Biometrics 70, 1023-1032, section 3.2, with normal components.
    """
    mean, n, sd = (np.atleast_1d(np.asarray(values, dtype=np.float64))[:, np.newaxis] for values in (mean, n, sd))
    mean, precision = np.where(n > 0, mean, 0.0), n / sd**2
    with np.errstate(divide="ignore", invalid="ignore"):
        updated_precision = prior.sd**-2.0 + precision
        updated_mean = (prior.mean * prior.sd**-2.0 + mean * precision) / updated_precision
        spread = 1 + prior.sd**2 * precision
        log_evidence = -(np.log(spread) + precision * (mean - prior.mean) ** 2 / spread) / 2
        return NormalMixture(_updated(prior.weight, log_evidence), updated_mean, updated_precision**-0.5)


def _updated(weight: FloatArray, log_evidence: FloatArray) -> FloatArray:
    """(replicate, component) weights in proportion to prior weight times evidence."""
    if weight.size == 1:
        return np.ones_like(log_evidence)
    share = weight * np.exp(log_evidence - log_evidence.max(axis=-1, keepdims=True))
    return np.asarray(share / _sum(share)[:, np.newaxis])


def normal_effect(active: NormalMixture, control: NormalMixture, threshold: float = 0.0) -> PosteriorEffect:
    """Difference of two means whose posteriors are mixtures of normal distributions, as from `normal_posterior`.

    TOO_FEW_PATIENTS where a posterior is still flat.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, variance = (one + sign * other for one, other, sign in zip(active.moments, control.moments, (-1, 1), strict=True))
        apart = active.mean[:, :, np.newaxis] - control.mean[:, np.newaxis]
        spread = np.hypot(active.sd[:, :, np.newaxis], control.sd[:, np.newaxis])
        probability = _sum(_sum(active.weight[:, :, np.newaxis] * control.weight[:, np.newaxis] * ndtr((apart - threshold) / spread)))
    return _effect(mean, variance, probability, np.where(np.isfinite(mean + variance), Status.OK, Status.TOO_FEW_PATIENTS))


class NormalInverseGamma(NamedTuple):
    """Prior of two means and of the variance that the arms share: inverse gamma variance, normal means given the variance.

    Each mean is worth `n` patients; 0 is a flat prior of that mean. The numbers as they stand are the reference prior, in proportion to
    1 / variance, whose posterior probabilities of a positive effect are one-sided p-values of the t test.
    """

    mean_active: float = 0.0
    n_active: float = 0.0
    mean_control: float = 0.0
    n_control: float = 0.0
    shape: float = 0.0
    rate: float = 0.0


def student_effect(moments: Moments, prior: NormalInverseGamma = NormalInverseGamma(), threshold: float = 0.0) -> PosteriorEffect:
    """Difference of two means when the variance, the same in both arms, is unknown: Student's t.

    `moments` come from `two_arm_moments`. TOO_FEW_PATIENTS where the posterior is improper, NO_VARIATION where nothing says that the variance is
    not zero.

    Source: Gelman et al. (2013), Bayesian Data Analysis, third edition, section 3.3.
    """
    priors = np.array([[prior.n_control, prior.n_active], [prior.mean_control, prior.mean_active]])
    n = priors[0] + moments.n
    data_mean = np.where(moments.n > 0, moments.mean, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (priors[0] * priors[1] + moments.n * data_mean) / n
        conflict = np.where(n > 0, priors[0] * moments.n * (data_mean - priors[1]) ** 2 / n, 0.0)
        rate = prior.rate + (np.where(moments.n > 0, moments.squares, 0.0) + conflict).sum(axis=1) / 2
        shape = prior.shape + (moments.n.sum(axis=1) - (priors[0] == 0).sum()) / 2
        scale = np.sqrt(rate / shape * (1 / n).sum(axis=1))
        estimate = mean[:, 1] - mean[:, 0]
        probability = stdtr(2 * shape, (estimate - threshold) / scale)
        variance = np.where(shape > 1, scale**2 * shape / (shape - 1), np.inf)
    rounding = NEGLIGIBLE_SPREAD * np.abs(data_mean).max(axis=1)
    constant = 2 * rate <= moments.n.sum(axis=1) * rounding**2
    too_few = (n.min(axis=1) <= 0) | ~(shape > 0)
    return _effect(estimate, variance, probability, np.select([too_few, constant], [Status.TOO_FEW_PATIENTS, Status.NO_VARIATION], Status.OK))


def _effect(mean: FloatArray, variance: FloatArray, probability: FloatArray, status: IntArray) -> PosteriorEffect:
    ok = status == Status.OK
    with np.errstate(invalid="ignore"):
        sd = np.sqrt(variance)
    return PosteriorEffect(np.where(ok, mean, np.nan), np.where(ok, sd, np.nan), np.where(ok, probability, np.nan), status)


def beta_effect(
    events_active: ArrayLike,
    n_active: ArrayLike,
    events_control: ArrayLike,
    n_control: ArrayLike,
    prior_active: BetaMixture,
    prior_control: BetaMixture,
    threshold: float = 0.0,
) -> PosteriorEffect:
    """Difference of two risks with independent beta mixtures as priors, (replicate,) counts; equal tables are evaluated once.

    An arm may be empty, for its prior stands in; TOO_FEW_PATIENTS where a count is NaN. The probability has an error below 1e-12 with up to a
    thousand patients, which grows in proportion to their number with the rounding of log-gamma functions.

    Source: Schmidli et al. (2014), Biometrics 70, 1023-1032 (mixtures).
    """
    arrays = (np.atleast_1d(np.asarray(counts, dtype=np.float64)) for counts in (events_active, n_active, events_control, n_control))
    tables, place = np.unique(np.stack(np.broadcast_arrays(*arrays)), axis=1, return_inverse=True)
    active, control = beta_posterior(prior_active, tables[0], tables[1]), beta_posterior(prior_control, tables[2], tables[3])
    (mean_active, variance_active), (mean_control, variance_control) = active.moments, control.moments
    status = np.where(np.isnan(tables.sum(axis=0)), Status.TOO_FEW_PATIENTS, Status.OK)
    probability = beta_difference_exceeds(active, control, threshold)
    effect = _effect(mean_active - mean_control, variance_active + variance_control, probability, status)
    return PosteriorEffect._make(values[place.reshape(-1)] for values in effect)


def beta_difference_exceeds(active: BetaMixture, control: BetaMixture, threshold: ArrayLike = 0.0) -> FloatArray:
    """(replicate,) probability that a risk under active exceeds one under control by more than `threshold`, between -1 and 1, one or (replicate,)."""
    limits = np.asarray(threshold, dtype=np.float64)
    if not np.all(np.abs(limits) < 1):
        raise ValueError(f"risk difference: the threshold must lie between -1 and 1, got {limits}")
    pairs = np.broadcast_arrays(
        active.a[:, :, np.newaxis], active.b[:, :, np.newaxis], control.a[:, np.newaxis], control.b[:, np.newaxis]
    )  # (replicate, component, component)
    flat, beyond = np.stack(pairs).reshape(4, -1), np.broadcast_to(limits.reshape(-1, 1, 1), pairs[0].shape).reshape(-1)
    size = max(LARGEST_ARRAY // _nodes()[0].size, 1)
    parts = [_exceeds(flat[:, start : start + size], beyond[start : start + size]) for start in range(0, flat.shape[1], size)]
    probability = np.concatenate([np.zeros(0), *parts]).reshape(pairs[0].shape)
    return _sum(_sum(active.weight[:, :, np.newaxis] * control.weight[:, np.newaxis] * probability))


def _nodes() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Places in (0, 1), their distances from 1, and weights of the tanh-sinh rule, which copes with ends where the integrand is a power.

    In the middle a step is pi / 4 times `STEP` of the interval. An interval with all but 1e-16 of a normal distribution at either end is 16.4
    standard deviations wide, so that a step is 0.54 of them. Times a distribution function that is no steeper, the density has the spectrum of
    one narrower by the root of 2, and the error of the rule is exp(-(pi / 0.54)^2), 2e-15.

    Source: Takahasi and Mori (1974), Publications of the Research Institute for Mathematical Sciences 9, 721-741.
    """
    u = STEP * np.arange(-round(LAST_NODE / STEP), round(LAST_NODE / STEP) + 1)
    place, rest = (1 / (1 + np.exp(sign * np.pi * np.sinh(u))) for sign in (-1, 1))
    return place, rest, STEP * np.pi * np.cosh(u) * place * rest


def _exceeds(parameters: FloatArray, threshold: FloatArray) -> FloatArray:
    """P(X1 - X0 > threshold) of beta variables (a1, b1, a0, b0): the density of one times the distribution function of the other, integrated.

    The narrower of the two gives the density; where that is X0, 1 - X0 and 1 - X1 stand for X1 and X0, whose difference is the same.
    """
    a1, b1, a0, b0 = parameters
    swap = _variance(a0, b0) < _variance(a1, b1)
    a, b, c, d = (np.where(swap, one, other) for one, other in ((b0, a1), (a0, b1), (b1, a0), (a1, b0)))
    first = np.maximum(betaincinv(a, b, NEGLIGIBLE_TAIL), threshold)
    left_out = betaincinv(b, a, NEGLIGIBLE_TAIL)
    last = np.minimum(1 - left_out, 1 + threshold)
    beyond_last = np.maximum(left_out, -threshold)  # 1 - last, without rounding
    length = np.maximum(last - first, 0.0)[:, np.newaxis]
    place, rest, weight = _nodes()
    x, below_one = first[:, np.newaxis] + length * place, beyond_last[:, np.newaxis] + length * rest  # (pair, node)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_density = (a - 1)[:, np.newaxis] * np.log(x) + (b - 1)[:, np.newaxis] * np.log(below_one) - betaln(a, b)[:, np.newaxis]
        mass = np.where(length > 0, weight * length * np.exp(log_density), 0.0)
    pair, node = np.nonzero(mass > NEGLIGIBLE_MASS)
    y = (first - threshold)[pair] + (length * place)[pair, node]
    above_y = (beyond_last + threshold)[pair] + (length * rest)[pair, node]
    low = y <= 0.5
    tail = betainc(np.where(low, c[pair], d[pair]), np.where(low, d[pair], c[pair]), np.clip(np.where(low, y, above_y), 0.0, 1.0))
    mass[pair, node] *= np.where(low, tail, 1 - tail)
    total = _sum(np.where(mass > NEGLIGIBLE_MASS, mass, 0.0))
    total += betainc(b, a, np.maximum(-threshold, 0.0))
    return np.where(np.isnan(a + b + c + d), np.nan, np.minimum(total, 1.0))


def decide(probability: FloatArray, go_above: float = 0.975, stop_below: float = 0.0) -> IntArray:
    """(replicate,) 1, go, where the probability exceeds `go_above`; -1, stop, where it is less than `stop_below`; else 0, as where it is NaN."""
    if not stop_below <= go_above:
        raise ValueError(f"decision: stop_below must not exceed go_above, got {stop_below} and {go_above}")
    return np.asarray((probability > go_above).astype(np.int64) - (probability < stop_below))


SampleSizeMethod = Literal["elir", "moment"]


def beta_sample_size(prior: BetaMixture, method: SampleSizeMethod = "elir") -> float:
    """How many patients with a yes-or-no outcome the prior is worth.

    "moment" is the a + b of the beta distribution with the prior's mean and variance. "elir" is the mean over the prior of its curvature,
    -(log density)'', in terms of the information of one patient, 1 / (risk (1 - risk)); one component with a and b above 1 gives a + b. It does
    not exist for an a or b below 1 (ValueError), and one that is exactly 1 has no curvature at that end: the uniform distribution is worth 0.

    Source: Neuenschwander, Weber, Schmidli and O'Hagan (2020), Biometrics 76, 578-587.
    """
    if method == "moment":
        mean, variance = prior.moments
        return float(mean * (1 - mean) / variance - 1)
    if min(prior.a.min(), prior.b.min()) < 1:
        raise ValueError("effective sample size of a beta mixture: every a and b must be at least 1")
    log_constant = np.log(prior.weight) - betaln(prior.a, prior.b)

    def squared_slope(logit: FloatArray) -> FloatArray:
        """Density of the risk times the square of (risk (1 - risk) times the slope of its logarithm)."""
        risk, rest = expit(logit)[:, np.newaxis], expit(-logit)[:, np.newaxis]  # (node, component)
        log_terms = log_constant + (prior.a - 1) * log_expit(logit)[:, np.newaxis] + (prior.b - 1) * log_expit(-logit)[:, np.newaxis]
        return _density_times_square(log_terms, (prior.a - 1) * rest - (prior.b - 1) * risk)

    at_zero, at_one = (np.where(end == 1, prior.weight * other, 0.0).sum() for end, other in ((prior.a, prior.b), (prior.b, prior.a)))
    centre, width = psi(prior.a) - psi(prior.b), np.sqrt(polygamma(1, prior.a) + polygamma(1, prior.b))  # of the logit
    ends = [max([40 / (a - 1) for a in end if a > 1] + [40.0]) for end in (prior.a, prior.b)]
    # the integral of -(density)'' risk (1 - risk) is 2 less the density at both ends, by parts
    return float(2 - at_zero - at_one + _integral(squared_slope, _edges(centre, width, -min(ends[0], 700.0), min(ends[1], 700.0))))


def normal_sample_size(prior: NormalMixture, sd: float, method: SampleSizeMethod = "elir") -> float:
    """How many patients with this standard deviation the prior is worth.

    "moment" compares variances. "elir" is the mean over the prior of its curvature, -(log density)'', in terms of the information of one
    patient, 1 / sd^2. One component gives its n either way.

    Source: Neuenschwander, Weber, Schmidli and O'Hagan (2020), Biometrics 76, 578-587.
    """
    if method == "moment":
        return float(sd**2 / prior.moments[1])
    log_constant = np.log(prior.weight / prior.sd) - np.log(2 * np.pi) / 2

    def squared_slope(value: FloatArray) -> FloatArray:
        standardized = (value[:, np.newaxis] - prior.mean) / prior.sd
        return _density_times_square(log_constant - standardized**2 / 2, standardized / prior.sd)

    return float(sd**2 * _integral(squared_slope, _edges(prior.mean, prior.sd, prior.mean.min(), prior.mean.max())))


def _density_times_square(log_terms: FloatArray, slopes: FloatArray) -> FloatArray:
    """(node,) density of a mixture times the square of the slope of its logarithm, from both for its components."""
    largest = log_terms.max(axis=1)
    terms = np.exp(log_terms - largest[:, np.newaxis])
    return np.asarray(np.exp(largest) * (terms * slopes).sum(axis=1) ** 2 / terms.sum(axis=1))


def _edges(centre: FloatArray, width: FloatArray, first: float, last: float) -> FloatArray:
    """Of intervals in which a mixture is smooth: standard deviations from each component's centre, and steps out to `first` and `last`."""
    near = centre[:, np.newaxis] + width[:, np.newaxis] * np.arange(-10, 11)
    return np.unique(np.concatenate([near.ravel(), np.linspace(first, last, 201)]))


def _integral(function: Callable[[FloatArray], FloatArray], edges: FloatArray) -> float:
    """By Gauss and Legendre's rule between neighbouring edges."""
    place, weight = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, np.newaxis] / 2
    nodes = (edges[:-1, np.newaxis] + half * (1 + place)).ravel()
    return float((function(nodes) * (half * weight).ravel()).sum())
