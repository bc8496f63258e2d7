"""Mixed models for repeated measures: the difference of two arms at a visit, from all visits of all patients, for many replicates at once.

Where nobody comes back after a missed visit, means differ by visit and the covariance is unstructured, restricted maximum likelihood has a
closed form, derived below; everything else is left to the iteration of `mmrm_iterative`. V visits, m columns (one, the covariates, the arm),
R replicates; patients are counted at each visit t as those still there, n_t.

The closed form. Write the normal distribution of a patient's visits as regressions of each visit on the columns and the earlier visits:
y_t = x' gamma_t + sum over b < t of phi_tb y_b + e_t, with e_t of variance D_t and independent. With B = I - Phi, which has a unit diagonal,
Sigma^-1 = B' D^-1 B, and the means are beta = L gamma with L = B^-1. The map from gamma to beta has determinant 1, so that the restricted
likelihood, which integrates the means out, is a product over visits of those of ordinary regressions:

    sum over t of -(n_t - m) / 2 ln D_t - |M_t (y_t - Y_t phi_t)|^2 / (2 D_t),      M_t projecting off the columns, Y_t the earlier visits,

highest at the least squares phi_t and at D_t = rss_t / (n_t - m). A contrast w of the arm's effects at the visits has, with lambda = L' w and
h_t the arm's diagonal element of (sum of x x' over n_t)^-1,

    estimate sum of lambda_t gamma_t (arm),   variance v = sum of lambda_t^2 D_t h_t.

The observed information on (D, phi) is block diagonal: var D_t = 2 D_t^2 / (n_t - m), var phi_t = W_t = D_t (Y_t' M_t Y_t)^-1; the expected
one has (n_t - m) Sigma_<t in place of Y_t' M_t Y_t. From d lambda_u / d phi_tb = lambda_t L_bu follows, with l_u column u of L above row t,

    dv / dD_t = lambda_t^2 h_t,   dv / dphi_t = 2 lambda_t sum over u < t of lambda_u D_u h_u l_u,

and Satterthwaite's degrees of freedom are 2 v^2 / (g' W g). Kenward and Roger add 2 sum of W_ij times the covariance of the derivatives of
the estimate in parameters i and j. The estimate does not depend on D, and its derivative in phi_tb is lambda_t times (the arm's effect at
visit b less its least squares estimate from those still there at t); as the former has the smaller variance of the two, the covariance is the
difference of theirs, sum over u < t of D_u (h_t - h_u) l_u l_u'. So

    v + 2 sum over t of lambda_t^2 sum over u < t of D_u (h_t - h_u) l_u' W_t l_u,

where l_u' W_t l_u is D_t / D_u / (n_t - m) with expected information. For one contrast their degrees of freedom are Satterthwaite's with the
same W, and their scale is 1. Without missing visits nothing is added.

Source: Anderson (1957), Journal of the American Statistical Association 52, 200-203 (factoring under monotone missingness); Giesbrecht and
Burns (1985), Biometrics 41, 477-486, and Fai and Cornelius (1996), Journal of Statistical Computation and Simulation 54, 363-378 (degrees of
freedom); Kenward and Roger (1997), Biometrics 53, 983-997, without second derivatives of the covariance, of which an unstructured one has none.
"""

from collections.abc import Sequence

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.status import Status
from simtrials.stats.covariances import Covariance
from simtrials.stats.means import NEGLIGIBLE_SPREAD
from simtrials.stats.mmrm_iterative import DegreesOfFreedom, Information, Model, RepeatedContrast, few_at_visits, fit_block, model_of, take
from simtrials.stats.regression import COLLINEAR_BELOW, cholesky
from simtrials.stats.visit_sums import Block, add_up, block_of


def mmrm(
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
    """The difference of two arms at a visit, active minus control, by restricted maximum likelihood from all visits.

    Intercept, arm and every covariate have a coefficient at each visit. Missing visits are taken as missing at random given what was seen.

    Parameters
    ----------
    outcome : (replicate, patient, visit) float, any unit, NaN where missing. The cheapest order in memory is visits slow, then patients,
        replicates fast (any other is copied into it).
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns measured before randomisation, each (replicate, patient); a patient with a missing one is not analysed
    visit : the visit of the contrast, the last by default, or a weight for each visit
    df : "kenward_roger" also enlarges the standard error, by its linear form
    information : on the covariance parameters, for either `df`
    covariance : "unstructured", "toeplitz", "ar1_heterogeneous", "ar1" or "compound_symmetry", as told in `covariances`
    fallback : covariances to try, in order, where that one cannot be fitted
    common_slope : one coefficient of each covariate for all visits

    Returns
    -------
    RepeatedContrast; the first reason that holds: TOO_FEW_PATIENTS with fewer than two patients of an arm at a visit or too few for the
    covariance, COLLINEAR when a column is constant or follows from the others, NO_VARIATION when the outcome of a visit is constant or
    follows from columns and earlier visits, NOT_CONVERGED. Later visits do not matter for the closed form and need nobody.

    Source: see the module; Mallinckrodt, Clark and David (2001), Journal of Biopharmaceutical Statistics 11, 9-21 (the analysis).
    """
    block = block_of(outcome, arm, active, covariates)
    model = model_of(block, visit, (covariance, *fallback), common_slope, df, information)
    if model.order[0] != "unstructured" or model.design is not None:
        return fit_block(block, model, few_at_visits(block, model))
    monotone = ((block.visits & (block.visits + 1)) == 0).all(axis=0)
    found = _closed_form(block, model) if monotone.any() else _nothing(monotone.size)
    _replace(found, np.flatnonzero(~monotone), block, model)
    if len(model.order) > 1:
        again = np.flatnonzero(monotone & (found.status != Status.OK))
        _replace(found, again, block, model._replace(order=model.order[1:]), places_before=1)
    return found


def _nothing(n_replicates: int) -> RepeatedContrast:
    missing = np.full((3, n_replicates), np.nan)
    return RepeatedContrast(missing[0], missing[1], missing[2], np.full(n_replicates, -1), np.full(n_replicates, int(Status.NOT_CONVERGED)))


def _replace(found: RepeatedContrast, which: IntArray, block: Block, model: Model, places_before: int = 0) -> None:
    """Write the iterated fits of some replicates into `found`; the status of a fit that fails as well stays as it was."""
    if which.size == 0:
        return
    those = take(block, which)
    iterated = fit_block(those, model, few_at_visits(those, model))
    better = (iterated.status == Status.OK) | (places_before == 0)
    for part, new_part in zip(found, iterated, strict=True):
        part[which[better]] = new_part[better]
    found.covariance[which[better]] += np.where(iterated.covariance[better] >= 0, places_before, 0)


class _Regression:
    """The regression of visit t on the columns and the earlier visits, among the patients still there; every number is (R,)."""

    def __init__(self, sums: FloatArray, centre: FloatArray, seen: FloatArray, m: int, t: int) -> None:
        """`sums` (line, R) over the patients still there; `seen` (2, R) of them in either arm."""
        self.m, self.t, size = m, t, m + t + 1
        self.factor, left = sums[: size * (size + 1) // 2].copy(), np.empty((size, sums.shape[1]))
        n = sums[0]
        diagonal = np.arange(size) * (np.arange(size) + 3) // 2
        taken_off = centre[np.minimum(np.arange(size), m)]
        constant = sums[diagonal] <= n * (NEGLIGIBLE_SPREAD * taken_off) ** 2
        cholesky(self.factor, left)
        absent = constant | ~(left > COLLINEAR_BELOW)
        self.few: BoolArray = (seen.min(axis=0) < 2) | (n - m - t < 1)
        self.collinear: BoolArray = absent[:m].any(axis=0)
        self.constant: BoolArray = absent[m:].any(axis=0)
        self.factor[:, self.few | self.collinear | self.constant] = np.nan
        self.df = n - m
        self.residual = self.at(t, t) ** 2 / self.df
        self.leverage = self.arm(-1) ** -2
        self.phi = [np.empty(0)] * t
        for b in reversed(range(t)):
            self.phi[b] = (self.at(t, b) - sum(self.phi[c] * self.at(c, b) for c in range(b + 1, t))) / self.at(b, b)
        self.effect = (self.arm(t) - sum(self.phi[b] * self.arm(b) for b in range(t))) / self.arm(-1)

    def at(self, t: int, b: int) -> FloatArray:
        """Element of the Cholesky factor at two visits."""
        row = self.m + t
        return np.asarray(self.factor[row * (row + 1) // 2 + self.m + b])

    def arm(self, t: int) -> FloatArray:
        """Element of the Cholesky factor at a visit and the arm, or with -1 at the arm alone."""
        row = self.m + t
        return np.asarray(self.factor[row * (row + 1) // 2 + self.m - 1])


def _closed_form(block: Block, model: Model) -> RepeatedContrast:
    n_visits, m = len(block.outcome), len(block.columns) + 1
    last = int(np.flatnonzero(model.weights)[-1])
    complete = block.visits == (1 << n_visits) - 1
    place = np.where(complete, -1, np.bitwise_count(block.visits).astype(np.int64) - 1)
    sums = np.cumsum(add_up(block, place, of_complete=n_visits - 1, n_patterns=n_visits)[::-1], axis=0)[::-1]
    fits = [_Regression(sums[t], block.centre, block.seen[:, t], m, t) for t in range(last + 1)]
    status = np.full(block.outcome.shape[2], int(Status.OK))
    for code, name in ((Status.NO_VARIATION, "constant"), (Status.COLLINEAR, "collinear"), (Status.TOO_FEW_PATIENTS, "few")):
        status[np.any([getattr(fit, name) for fit in fits], axis=0)] = code
    with np.errstate(all="ignore"):
        found = _inference(fits, model)
    found[:, status != Status.OK] = np.nan
    return RepeatedContrast(found[0], found[1], found[2], np.where(status == Status.OK, 0, -1), status)


def _inference(fits: list[_Regression], model: Model) -> FloatArray:
    """Estimate, standard error and degrees of freedom (3, R)."""
    n, n_replicates = len(fits), fits[0].df.size
    lower = np.zeros((n, n, n_replicates))
    for t, fit in enumerate(fits):
        lower[t, t] = 1.0
        for b in range(t):
            lower[t, :t] += fit.phi[b] * lower[b, :t]
    reach = (model.weights[:n, np.newaxis, np.newaxis] * lower).sum(axis=0)
    residual, leverage = np.array([fit.residual for fit in fits]), np.array([fit.leverage for fit in fits])
    variance = (reach**2 * residual * leverage).sum(axis=0)
    spread, added = np.zeros((2, n_replicates))
    for t, fit in enumerate(fits):
        spread += 2 * (reach[t] ** 2 * fit.leverage * fit.residual) ** 2 / fit.df
        roots = _roots(fit, lower, residual, model.information == "expected")
        slope = 2 * reach[t] * (roots * (reach * residual * leverage)[:t]).sum(axis=1)
        spread += fit.residual * (slope**2).sum(axis=0)
        added += 2 * reach[t] ** 2 * fit.residual * (residual[:t] * (fit.leverage - leverage[:t]) * (roots**2).sum(axis=0)).sum(axis=0)
    estimate = (reach * np.array([fit.effect for fit in fits])).sum(axis=0)
    return np.stack([estimate, np.sqrt(variance + added if model.df == "kenward_roger" else variance), 2 * variance**2 / spread])


def _roots(fit: _Regression, lower: FloatArray, residual: FloatArray, expected: bool) -> FloatArray:
    """(t, t, R) matrix Z of which Z'Z has the elements l_u' W_t l_v / D_t, by the Cholesky factor of Y' M Y or of its expectation."""
    t = fit.t
    roots = np.zeros((t, t, fit.df.size))
    for b in range(t):
        if expected:
            roots[b, b] = 1 / np.sqrt(fit.df * residual[b])
        else:
            roots[b] = (lower[b, :t] - sum(fit.at(b, c) * roots[c] for c in range(b))) / fit.at(b, b)
    return roots
