"""Risks standardised over the patients' covariates (g-computation) after a logistic regression, and their contrasts.

The model gives every patient a risk under control and under the active arm; their means over all patients are what the two arms would show
if everybody were in them. Two variances are given, whose names say what an interval made with them covers:

- conditional: the effect in patients with the covariates of this trial, which are held fixed, if the model is right (Ge et al. 2011);
- superpopulation: the effect in the population that the patients were drawn from, whether or not the model is right (Ye et al. 2023).

The second is the larger one, more so the more the effect differs between patients.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.aliased import dropping_aliased
from simtrials.stats.logistic import MAX_ITERATIONS, SINGULAR_BELOW, _advance, _evaluate, _exp, _Search, _solve_forward, _start, _verdict
from simtrials.stats.proportions import Contrast
from simtrials.stats.regression import CrossProducts, centred_rows, cross_products, factor_and_status

ResidualVariance = Literal["within_arm", "decomposed"]


class StandardizedRisks(NamedTuple):
    """Mean risks under the two arms with their variances and covariances; each (replicate,), NaN unless `status` is OK."""

    active: FloatArray
    control: FloatArray
    conditional_variance_active: FloatArray
    conditional_variance_control: FloatArray
    conditional_covariance: FloatArray
    superpopulation_variance_active: FloatArray
    superpopulation_variance_control: FloatArray
    superpopulation_covariance: FloatArray
    status: IntArray


class MarginalEffect(NamedTuple):
    """A contrast of the two mean risks, active minus control or the logarithm of active / control; (replicate,), NaN unless `status` is OK."""

    estimate: FloatArray
    conditional_std_error: FloatArray
    """for the patients of this trial; Ge et al. (2011)"""
    superpopulation_std_error: FloatArray
    """for the population they come from; Ye et al. (2023). NaN where this estimate of a variance is not positive, which tiny trials can give"""
    status: IntArray


class _Fit(NamedTuple):
    coefficients: FloatArray
    """(coefficient, replicate): of the intercept, the covariates and the treatment, all centred; NaN unless OK"""
    factor: FloatArray
    """(line, replicate) Cholesky factor of the information, NaN unless OK"""
    status: IntArray


class _Sums(NamedTuple):
    """Over the patients analysed; a risk counts from the share of events in its arm, so that its squares keep their digits."""

    all: FloatArray
    """(8, replicate): both risks (control first), products 00, 01 and 11 of the two, events, events times either risk"""
    treated: FloatArray
    """the same over the active arm"""
    slopes: FloatArray
    """(arm, coefficient, replicate): of the sum of the risks"""
    origin: FloatArray
    """(arm, replicate) the share of events in the arm"""
    n: FloatArray
    """(arm, replicate) patients analysed"""


@kernel
def _add_up_risks(
    rows: FloatArray, coefficients: FloatArray, share: FloatArray, origin: FloatArray, every: FloatArray, treated: FloatArray, slopes: FloatArray
) -> None:
    """`share` (replicate,) of patients in the active arm; `origin` (2, replicate) is taken off the risks under control and active."""
    n_patients, n_rows, n_replicates = rows.shape
    base, terms, slope = np.empty(n_replicates), np.empty((8, n_replicates)), np.empty((2, n_replicates))
    effect = coefficients[n_rows - 2]
    for p in range(n_patients):
        for r in range(n_replicates):
            base[r] = coefficients[0, r]
        for m in range(1, n_rows - 2):
            for r in range(n_replicates):
                base[r] += coefficients[m, r] * rows[p, m, r]
        for a in range(2):
            for r in range(n_replicates):
                linear = base[r] + (a - share[r]) * effect[r]
                tail = _exp(-abs(linear))
                likely = 1 / (1 + tail)
                risk = likely if linear > 0 else tail * likely
                terms[a, r] = rows[p, 0, r] * (risk - origin[a, r])
                slope[a, r] = rows[p, 0, r] * tail * likely * likely
            for m in range(n_rows - 2):
                for r in range(n_replicates):
                    slopes[a, m, r] += slope[a, r] * rows[p, m, r]
        for r in range(n_replicates):
            event = 1.0 if rows[p, n_rows - 1, r] > 0.0 else 0.0
            terms[2, r] = terms[0, r] * terms[0, r]
            terms[3, r] = terms[0, r] * terms[1, r]
            terms[4, r] = terms[1, r] * terms[1, r]
            terms[5, r] = event
            terms[6, r] = event * terms[0, r]
            terms[7, r] = event * terms[1, r]
        for k in range(8):
            for r in range(n_replicates):
                every[k, r] += terms[k, r]
                treated[k, r] += terms[k, r] if rows[p, n_rows - 2, r] > 0.0 else 0.0


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # a step to where the information is singular is not taken
def _all_coefficients(search: _Search) -> _Fit:
    """The maximum that `logistic._maximise` finds, by the same steps and verdicts, with all of its coefficients."""
    size, n_replicates = search.coefficients.shape
    searching = np.ones(n_replicates, dtype=np.bool_)
    coefficients = np.full((size, n_replicates), np.nan)
    factor, status = np.full((size * (size + 1) // 2, n_replicates), np.nan), np.full(n_replicates, int(Status.NOT_CONVERGED))
    for iteration in range(MAX_ITERATIONS):
        at = _evaluate(search.rows, search.coefficients + search.step, False)
        search, taken = _advance(search, at, size, False)
        verdict = _verdict(search, searching & taken, at.left > SINGULAR_BELOW, iteration, False)
        found, decided = verdict == Status.OK, verdict != Status.NOT_CONVERGED
        coefficients[:, search.replicate[found]] = (search.coefficients + search.step)[:, found]
        factor[:, search.replicate[found]] = at.factor[:, found]
        status[search.replicate[decided]] = verdict[decided]
        searching &= ~decided
        if not searching.any():
            break
        if 2 * searching.sum() <= searching.size:  # go on with the undecided alone
            search = _Search._make(np.compress(searching, array, axis=-1) for array in search)
            searching = np.ones(search.replicate.size, dtype=np.bool_)
    return _Fit(coefficients, factor, status)


def _sums(rows: FloatArray, fit: _Fit, products: CrossProducts) -> _Sums:
    n_rows, n_replicates = rows.shape[1:]
    n, together = products.n, products.triangle[-2]  # summed products of treatment and outcome, both centred
    share = n[1] / n.sum(axis=0)
    origin = products.mean[-1] + np.stack([-together, together]) / n
    every, treated, slopes = np.zeros((8, n_replicates)), np.zeros((8, n_replicates)), np.zeros((2, n_rows - 1, n_replicates))
    _add_up_risks(rows, fit.coefficients, share, origin, every, treated, slopes)
    slopes[:, -1] = np.stack([-share, 1 - share]) * slopes[:, 0]
    return _Sums(every, treated, slopes, origin, n)


def _conditional(sums: _Sums, factor: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Variances under active and control, and the covariance, by the delta method: slope' inverse(L L') slope."""
    control, active = sums.slopes / sums.n.sum(axis=0)
    _solve_forward(factor, control)
    _solve_forward(factor, active)
    return (active**2).sum(axis=0), (control**2).sum(axis=0), (active * control).sum(axis=0)


def _superpopulation(sums: _Sums, residual_variance: ResidualVariance) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Variances under active and control, and the covariance."""
    n = sums.n.sum(axis=0)
    arms = [_Moments(sums.all - sums.treated, sums.n[0]), _Moments(sums.treated, sums.n[1])]
    everybody = _Moments(sums.all, n)
    variances = []
    for a, arm in enumerate(arms):
        of_risk = arm.risks(a, a) if residual_variance == "within_arm" else everybody.risks(a, a)
        of_residual = arm.events() - 2 * arm.events_and_risk(a) + of_risk
        variances.append(of_residual / arm.n + (2 * arm.events_and_risk(a) - everybody.risks(a, a)) / n)
    covariance = (arms[0].events_and_risk(1) + arms[1].events_and_risk(0) - everybody.risks(0, 1)) / n
    return variances[1], variances[0], covariance


class _Moments(NamedTuple):
    """Sample variances and covariances, with divisor n - 1, among some of the patients."""

    sums: FloatArray
    n: FloatArray

    def risks(self, one: int, other: int) -> FloatArray:
        return self._covariance(self.sums[2 + one + other], self.sums[one], self.sums[other])

    def events_and_risk(self, arm: int) -> FloatArray:
        return self._covariance(self.sums[6 + arm], self.sums[5], self.sums[arm])

    def events(self) -> FloatArray:
        return self._covariance(self.sums[5], self.sums[5], self.sums[5])

    def _covariance(self, products: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
        return np.asarray((products - one * other / self.n) / (self.n - 1))


def standardized_risks(
    outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = (), residual_variance: ResidualVariance = "within_arm"
) -> StandardizedRisks:
    """Mean risk if all patients analysed were in the active arm, and if all were in the control arm, from a logistic model.

    The model has an intercept, the treatment and the covariates, each with one coefficient. With this link the mean over an arm's own patients
    of the risks fitted for that arm is its share of events, so that the estimates stay near the truth of the population even where the model is
    wrong. A covariate that is constant in a replicate, or follows from earlier ones, is left out there.

    The superpopulation variance holds for simple randomisation and, when indicators of all strata but one are among the covariates, for
    permuted blocks within strata: exactly so for the risk difference of equal arms, since the residuals of a stratum add up to nothing, and
    otherwise on the safe side by a term that vanishes where the model is right (Bannick et al., the second line of the variance).

    Parameters
    ----------
    outcome : (replicate, patient) float, 1 for an event, 0 for none, NaN where a patient has no outcome
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns, each (replicate, patient), NaN where missing, known before the treatment: a product with the indicator of the arm
        would keep its value when the patient is moved to the other arm, which gives nonsense. A patient with any value missing is not analysed.
    residual_variance : of the outcome around the risk fitted for the patient's arm, for the superpopulation variance. "within_arm" is its
        sample variance; "decomposed" is the outcome's variance less twice its covariance with the risk, both in the arm, plus the variance of
        the risk among all patients. They agree in large trials; RobinCar and beeca take the second unless told otherwise.

    Returns
    -------
    StandardizedRisks; TOO_FEW_PATIENTS with fewer than two patients in an arm or no more patients than coefficients, COLLINEAR where the
    treatment follows from the covariates, NO_VARIATION when all patients have the same outcome, SEPARATED and NOT_CONVERGED as for
    `logistic_regression`

    Source: Ge, Durham, Meyer, Xie and Thomas (2011), Drug Information Journal 45, 481-493 (conditional variance, with the model's covariance);
    Ye, Bannick, Yi and Shao (2023), Statistical Theory and Related Fields 7, 159-163 (superpopulation, "within_arm"); Bannick, Shao, Liu, Du,
    Yi and Ye (2025), Biometrika, "A general form of covariate adjustment in clinical trials under covariate-adaptive randomization"
    ("decomposed", permuted blocks).
    """

    def model(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], tested: int) -> StandardizedRisks:
        return _standardized(outcome, arm, active, covariates, residual_variance)

    return dropping_aliased(model, outcome, arm, active, covariates)


def _standardized(
    outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray], residual_variance: ResidualVariance
) -> StandardizedRisks:
    rows, mean, n = centred_rows(outcome, arm, active, covariates, tested=0)
    products = cross_products(rows, mean, n)
    factor, status = factor_and_status(products)
    status[(status == Status.NO_VARIATION) & (np.abs(mean[-1] - 0.5) < 0.5)] = Status.OK
    ok = status == Status.OK
    np.copysign(rows[:, 0], rows[:, -1] + (mean[-1] - 0.5), out=rows[:, -1])
    if not ok.all():
        rows, factor = np.compress(ok, rows, axis=-1), np.compress(ok, factor, axis=-1)
        products = CrossProducts(*(array[:, ok] for array in products))
    fit = _all_coefficients(_start(rows, products, factor, rows.shape[1] - 1, False))
    sums = _sums(rows, fit, products)
    control, treated = sums.origin + sums.all[:2] / products.n.sum(axis=0)
    status[ok] = fit.status
    results = np.full((8, ok.size), np.nan)
    results[:, ok] = treated, control, *_conditional(sums, fit.factor), *_superpopulation(sums, residual_variance)
    results[:, status != Status.OK] = np.nan
    return StandardizedRisks._make([*results, status])


def logistic_coefficients(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = ()) -> FloatArray:
    """(replicate, coefficient) the model of `standardized_risks`: intercept, treatment, covariates; NaN where it has no maximum."""
    rows, mean, n = centred_rows(outcome, arm, active, covariates, tested=0)
    products = cross_products(rows, mean, n)
    factor, status = factor_and_status(products)
    np.copysign(rows[:, 0], rows[:, -1] + (mean[-1] - 0.5), out=rows[:, -1])
    ok = status == Status.OK
    products = CrossProducts(*(array[:, ok] for array in products))
    rows, factor = np.compress(ok, rows, axis=-1), np.compress(ok, factor, axis=-1)
    found = np.full((ok.size, rows.shape[1] - 1), np.nan)
    slopes = _all_coefficients(_start(rows, products, factor, rows.shape[1] - 1, False)).coefficients
    found[ok, 0] = slopes[0] - (slopes[1:] * mean[1:-1, ok]).sum(axis=0)
    found[ok, 1], found[ok, 2:] = slopes[-1], slopes[1:-1].T
    return found


def risks_given(coefficients: FloatArray, analysed: BoolArray, covariates: Sequence[AnyArray] = ()) -> tuple[FloatArray, FloatArray]:
    """(replicate,) mean risks of the patients `analysed` (replicate, patient) under active and under control, from known coefficients.

    `coefficients` as from `logistic_coefficients`, (coefficient,); a patient with a covariate missing is not counted.
    """
    linear = coefficients[0] + sum((slope * column for slope, column in zip(coefficients[2:], covariates, strict=True)), np.zeros(analysed.shape))
    here = analysed & ~np.isnan(linear)
    control, active = (1 / (1 + np.exp(-np.where(here, linear + shift, 0.0))) for shift in (0.0, coefficients[1]))
    n = np.maximum(here.sum(axis=1), 1)
    return active.sum(axis=1, where=here) / n, control.sum(axis=1, where=here) / n


def marginal_effect(risks: StandardizedRisks, contrast: Contrast) -> MarginalEffect:
    """A contrast of standardised risks with both standard errors: the risk difference, or the logarithm of the risk ratio or the odds ratio.

    The odds ratio is that of the two mean risks, which lies nearer to 1 than the one that the model holds for every patient.

    Source: delta method, as in Ye et al. (2023).
    """
    active, control = risks.active, risks.control
    if contrast == "risk_difference":
        estimate, of_active, of_control = active - control, np.ones_like(active), np.ones_like(active)
    elif contrast == "log_risk_ratio":
        estimate, of_active, of_control = np.log(active / control), 1 / active, 1 / control
    else:
        of_active, of_control = 1 / (active * (1 - active)), 1 / (control * (1 - control))
        estimate = np.log(active / (1 - active)) - np.log(control / (1 - control))

    def std_error(variance_active: FloatArray, variance_control: FloatArray, covariance: FloatArray) -> FloatArray:
        variance = of_active**2 * variance_active + of_control**2 * variance_control - 2 * of_active * of_control * covariance
        return np.sqrt(np.where(variance > 0, variance, np.nan))

    return MarginalEffect(estimate, std_error(*risks[2:5]), std_error(*risks[5:8]), risks.status)
