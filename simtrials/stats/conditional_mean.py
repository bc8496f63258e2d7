"""Missing visits replaced by their conditional means, with jackknife standard errors: imputation without random numbers.

The normal model of `imputation` is fitted by restricted maximum likelihood, which for patients who drop out is least squares of each visit on
the earlier ones; a patient with a gap informs the model up to the gap. Each missing visit becomes its mean given the patient's other visits,
at random or by reference. The analysis of covariance that follows estimates what multiple imputation does with infinitely many imputations.
Leaving out patients in turn shows how it varies from trial to trial, which Rubin's rules overstate when imputation is by reference.

Source: Wolbers, Noci, Delmar, Gower-Page, Yiu and Bartlett (2022), Pharmaceutical Statistics 21:1246-1257.
"""

from typing import NamedTuple, get_args

import numpy as np

from simtrials.core.arrays import PATIENT, ArmArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats import imputation
from simtrials.stats.imputation import Cohort, Draws, Regressions, draw_coefficients, factorise_visits, load_rows, sum_products
from simtrials.stats.means import NEGLIGIBLE_SPREAD, Contrast
from simtrials.stats.reference_based import Assumption, complete_patient
from simtrials.stats.regression import COLLINEAR_BELOW
from simtrials.stats.rubin import factorise, regressors

COLLINEAR, TOO_FEW_PATIENTS = int(Status.COLLINEAR), int(Status.TOO_FEW_PATIENTS)


class Fit(NamedTuple):
    """The regressions of each visit in each group of patients: one group an arm, or a single one in which the arm is a column."""

    rows: FloatArray
    """(replicate, patient, column) 1, columns known at baseline, centred visits"""
    group: ArmArray
    """(replicate, patient) -1 for a patient who is not analysed"""
    used: IntArray
    """(replicate, patient) how many visits inform the fit"""
    parameters: FloatArray
    """(replicate, 1, group, visit, column) as in `Draws`"""
    factor: FloatArray
    """(replicate, group, visit, column, column) Cholesky factor of the regressors and the visit"""
    status: IntArray
    """(replicate, group, visit)"""


def conditional_means(patients: Cohort, regressions: Regressions = "by_arm") -> Draws:
    """The regressions as estimated, as a single set of parameters without luck, with which `impute` returns conditional means.

    NaN with a status as from `posterior_draws`. Residual variances, which matter for gaps only, are restricted maximum likelihood: their
    divisor counts the intercept and the columns known at baseline, but not the earlier visits.
    """
    fit = _fitted(patients, regressions)
    parameters, status = (fit.parameters, fit.status) if regressions == "by_arm" else imputation.of_both_arms(fit.parameters, fit.status)
    n_replicates, n_patients, n_visits = patients.outcome.shape
    return Draws(parameters, np.zeros((n_patients, 1, n_visits, n_replicates)).transpose(3, 0, 1, 2), status)


def _fitted(patients: Cohort, regressions: Regressions) -> Fit:
    columns, group = imputation.regressors_and_group(patients, regressions)
    used = imputation.used_visits(patients)[0]
    n_replicates, n_patients, n_visits = patients.outcome.shape
    n_groups, size = 2 if regressions == "by_arm" else 1, 1 + columns.shape[2] + n_visits
    df = imputation.residual_df(group, used, n_groups, columns.shape[2], n_visits)
    fit = Fit(
        rows=np.empty((n_replicates, n_patients, size)),
        group=group,
        used=used,
        parameters=np.empty((n_replicates, 1, n_groups, n_visits, size)),
        factor=np.empty((n_replicates, n_groups, n_visits, size, size)),
        status=np.zeros((n_replicates, n_groups, n_visits), dtype=np.int64),
    )
    _fit(patients.centred, columns, fit)
    fit.parameters[:, 0, :, :, -1] /= np.sqrt(np.maximum(df + np.arange(n_visits), 1))
    fit.parameters[:, 0][df <= 0] = np.nan
    fit.status[df <= 0] = TOO_FEW_PATIENTS
    return fit


@kernel
def _fit(centred: FloatArray, columns: FloatArray, fit: Fit) -> None:
    """Regressions by least squares; the last parameter becomes the root of the residual sum of squares."""
    n_visits, size = centred.shape[2], fit.rows.shape[2]
    sums, no_luck = np.empty((fit.factor.shape[1], n_visits + 1, size, size)), np.zeros(size)
    for r in range(centred.shape[0]):
        load_rows(centred[r], columns[r], fit.rows[r])
        sum_products(fit.rows[r], fit.group[r], fit.used[r], sums)
        for g in range(sums.shape[0]):
            factorise_visits(sums[g], fit.factor[r, g], fit.status[r, g])
            for t in range(n_visits):
                k = size - n_visits + t
                fit.parameters[r, 0, g, t, size - 1] = fit.factor[r, g, t, k, k]
                draw_coefficients(fit.factor[r, g, t], k, 0.0, no_luck, fit.parameters[r, 0, g, t])


def conditional_mean_ancova(
    patients: Cohort,
    assumption: Assumption = "missing_at_random",
    regressions: Regressions = "by_arm",
    visit: int = -1,
    shift: FloatArray | None = None,
) -> Contrast:
    """Treatment effect of an analysis of covariance of conditional means at one visit, with its jackknife standard error.

    The covariates of the analysis are those of the model. With shared regressions and everything missing at random the estimate is that of a
    mixed model for repeated measures with unstructured covariance and all covariates by visit.

    Parameters
    ----------
    assumption, visit : as for `impute`
    shift : (replicate, patient) points added to the imputed outcomes, as from `delta_shift`

    Returns
    -------
    Contrast, active minus control, infinite degrees of freedom; a status of a needed regression, or TOO_FEW_PATIENTS (fewer than two in an
    arm, or no residual degree of freedom), COLLINEAR (also where a single patient determines a coefficient), NO_VARIATION

    Source: Wolbers et al. (2022); each fit without a patient, Cook and Weisberg (1982), Residuals and Influence in Regression, appendix A.2.
    """
    n_replicates, n_patients, n_visits = patients.outcome.shape
    fit = _fitted(patients, regressions)
    shift = np.zeros((n_replicates, n_patients)) if shift is None else shift
    effects, status = np.full((n_replicates, n_patients + 1), np.nan), np.zeros(n_replicates, dtype=np.int64)
    visit = range(n_visits)[visit]
    _effects(patients, fit, shift, get_args(Assumption).index(assumption), visit, effects, status)
    left_out = patients.arm >= 0
    n, estimate = left_out.sum(axis=PATIENT), effects[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):  # nobody analysed
        mean = effects[:, 1:].sum(axis=PATIENT, where=left_out) / n
        squares = ((effects[:, 1:] - mean[:, np.newaxis]) ** 2).sum(axis=PATIENT, where=left_out)
        std_error = np.sqrt(squares * (n - 1) / n)
    rounding = NEGLIGIBLE_SPREAD * np.maximum(np.abs(estimate), np.abs(patients.centre[:, visit]))
    failed_fit = np.where(fit.status.any(axis=(1, 2)), fit.status.max(axis=(1, 2)), COLLINEAR)
    reason = np.where(np.isnan(std_error), failed_fit, np.where(std_error <= rounding, int(Status.NO_VARIATION), int(Status.OK)))
    status = np.where(status == Status.OK, reason, status)
    estimate, std_error, df = (np.where(status == Status.OK, x, np.nan) for x in (estimate, std_error, np.inf))
    return Contrast(estimate, std_error, df, status)


@kernel
def _effects(patients: Cohort, fit: Fit, shift: FloatArray, assumption: int, visit: int, effects: FloatArray, status: IntArray) -> None:
    """The effect in all patients, and without each of them: (replicate, 1 + patient)."""
    n_replicates, n_patients, n_visits = patients.centred.shape
    n_columns = patients.covariates.shape[2]
    without = np.empty((n_patients + 1, 2, n_visits, 1 + n_columns + n_visits))
    luck, completed = np.zeros((n_visits, n_patients + 1)).T, np.empty(n_patients + 1)
    row, size = np.empty((n_patients, n_columns + 2)), n_columns + 2
    for r in range(n_replicates):
        low, along, seen = np.zeros((size, size)), np.zeros((n_patients + 1, size)), np.zeros(size)
        n_active, n, imputed = 0, 0, False
        for p in range(n_patients):
            arm, outcome = patients.arm[r, p], patients.centred[r, p, visit]
            if arm < 0:
                continue
            n, n_active = n + 1, n_active + arm
            regressors(patients.covariates[r, p], arm, row[p])
            for i in range(size):
                for j in range(i + 1):
                    low[i, j] += row[p, i] * row[p, j]
            if np.isnan(outcome):
                if not imputed:
                    _leave_out_each(fit, r, without)
                    imputed = True
                complete_patient(
                    patients.centred[r, p], patients.covariates[r, p], arm, patients.deviation[r, p], without, luck, assumption, visit, completed
                )
                for i in range(n_patients + 1):
                    for k in range(size):
                        along[i, k] += row[p, k] * (completed[i] + shift[r, p]) if i != p + 1 else 0.0
            else:
                for k in range(size):
                    seen[k] += row[p, k] * outcome
                    along[p + 1, k] -= row[p, k] * outcome
        if min(n_active, n - n_active) < 2 or n <= size:
            status[r] = TOO_FEW_PATIENTS
        elif not factorise(low):
            status[r] = COLLINEAR
        else:
            _effects_without_each(low, row, seen, along, patients.arm[r], effects[r])


@kernel
def _leave_out_each(fit: Fit, r: int, without: FloatArray) -> None:
    """The regressions of both arms of one replicate, from all patients and without each of them."""
    n_groups, n_visits, size = fit.parameters.shape[2:]
    reduced = np.empty((n_groups, n_visits, size))
    for i in range(without.shape[0]):
        for g in range(n_groups):
            for t in range(n_visits):
                for k in range(size):
                    reduced[g, t, k] = fit.parameters[r, 0, g, t, k]
        if i > 0 and fit.group[r, i - 1] >= 0:
            g = fit.group[r, i - 1]
            for t in range(fit.used[r, i - 1]):
                _leave_out(fit.factor[r, g, t], fit.rows[r, i - 1], size - n_visits + t, reduced[g, t])
        for arm in range(2):
            for t in range(n_visits):
                if n_groups == 2:
                    for k in range(size):
                        without[i, arm, t, k] = reduced[arm, t, k]
                else:
                    without[i, arm, t, 0] = reduced[0, t, 0] + arm * reduced[0, t, 1]
                    for k in range(2, size):
                        without[i, arm, t, k - 1] = reduced[0, t, k]


@kernel
def _leave_out(factor: FloatArray, row: FloatArray, size: int, regression: FloatArray) -> None:
    """Change a regression on the first `size` columns to what it is without the patient of `row`."""
    along, residual, left = np.empty(size), row[size], 1.0
    for j in range(size):
        along[j] = row[j]
        for k in range(j):
            along[j] -= factor[j, k] * along[k]
        along[j] /= factor[j, j]
        left -= along[j] ** 2
        residual -= regression[j] * row[j]
    squares, sd = factor[size, size] ** 2, row.size - 1
    regression[sd] = np.sqrt((squares - residual**2 / left) / (squares / regression[sd] ** 2 - 1.0)) if left > COLLINEAR_BELOW else np.nan
    for j in range(size - 1, -1, -1):
        for k in range(j + 1, size):
            along[j] -= factor[k, j] * along[k]
        along[j] /= factor[j, j]
        regression[j] -= along[j] * residual / left if left > COLLINEAR_BELOW else np.nan


@kernel
def _effects_without_each(low: FloatArray, row: FloatArray, seen: FloatArray, along: FloatArray, arm: ArmArray, effects: FloatArray) -> None:
    """The last coefficient of least squares in all patients and without each, from the products of the regressors with each set of outcomes."""
    size = low.shape[0]
    toward, own = np.zeros(size), np.empty(size)
    toward[size - 1] = 1.0
    solve(low, toward)
    for i in range(effects.size):
        effects[i], own_product, left = 0.0, 0.0, 1.0
        for k in range(size):
            own[k] = row[i - 1, k] if i > 0 and arm[i - 1] >= 0 else 0.0
        solve(low, own)
        for k in range(size):
            effects[i] += toward[k] * (seen[k] + along[i, k])
            own_product += own[k] * (seen[k] + along[i, k])
            left -= own[k] * row[i - 1, k] if i > 0 and arm[i - 1] >= 0 else 0.0
        effects[i] += own[size - 1] * own_product / left if left > COLLINEAR_BELOW else np.nan


@kernel
def solve(low: FloatArray, side: FloatArray) -> None:
    """Replace the right-hand side by the solution of the system whose Cholesky factor is `low`."""
    for i in range(side.size):
        for k in range(i):
            side[i] -= low[i, k] * side[k]
        side[i] /= low[i, i]
    for i in range(side.size - 1, -1, -1):
        for k in range(i + 1, side.size):
            side[i] -= low[k, i] * side[k]
        side[i] /= low[i, i]
