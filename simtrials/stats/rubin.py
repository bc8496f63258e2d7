"""Multiple imputation, the last step: each completed data set is analysed, and the results are pooled by Rubin's rules."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import PATIENT, AnyArray, ArmArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.imputation import analysed
from simtrials.stats.proportions import log_risk_ratio, risk_difference
from simtrials.stats.quantiles import t_p_value
from simtrials.stats.reference_based import Imputed
from simtrials.stats.regression import COLLINEAR_BELOW

IMPUTATION = 1  # axis
TOO_FEW_PATIENTS, NO_VARIATION, COLLINEAR = int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION), int(Status.COLLINEAR)


class Analyses(NamedTuple):
    """One analysis of each completed data set; further axes may follow, one number for each of several deltas."""

    estimate: FloatArray
    """(replicate, imputation, ...) NaN unless `status` is OK"""
    std_error: FloatArray
    """(replicate, imputation, ...)"""
    df: FloatArray
    """(replicate,) degrees of freedom of the analysis of complete data, infinite where it uses the normal distribution"""
    status: IntArray
    """(replicate,)"""


class Pooled(NamedTuple):
    """The result of multiple imputation, (replicate, ...) each, NaN unless `status` is OK."""

    estimate: FloatArray
    std_error: FloatArray
    df: FloatArray
    status: IntArray
    within: FloatArray
    """mean of the variances of the analyses"""
    between: FloatArray
    """variance of their estimates"""


def pool(analyses: Analyses) -> Pooled:
    """Mean of the estimates; its variance is the mean variance plus 1 + 1 / M times the variance between the M imputations.

    Degrees of freedom are those of Barnard and Rubin, which never exceed those of the complete data. NO_VARIATION where the variance is 0:
    the estimate stands. ValueError with fewer than two imputations.

    Source: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, equations 3.1.2 to 3.1.5; Barnard and Rubin (1999), Biometrika
    86:948-955.
    """
    n_imputations = analyses.estimate.shape[IMPUTATION]
    if n_imputations < 2:
        raise ValueError(f"pooling needs at least 2 imputations, got {n_imputations}")
    within = (analyses.std_error**2).mean(axis=IMPUTATION)
    between = analyses.estimate.var(axis=IMPUTATION, ddof=1)
    extra = (1 + 1 / n_imputations) * between
    total = within + extra
    complete_df, status = (x.reshape(-1, *[1] * (total.ndim - 1)) for x in (analyses.df, analyses.status))
    with np.errstate(divide="ignore", invalid="ignore"):  # without any variance, or with infinite degrees of freedom
        share = extra / total
        observed_df = (1 - 2 / (complete_df + 3)) * complete_df * (1 - share)
        df = 1 / (share**2 / (n_imputations - 1) + 1 / observed_df)
    status = np.asarray(np.where((total == 0) & (status == Status.OK), NO_VARIATION, status), dtype=np.int64)
    return Pooled(analyses.estimate.mean(axis=IMPUTATION), np.sqrt(total), df, status, within, between)


def ancova(imputed: Imputed, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = ()) -> Analyses:
    """The treatment effect of least squares on treatment and covariates, in each completed data set.

    Parameters
    ----------
    imputed : completed outcomes; add a delta to them, or use `ancova_over_deltas`
    arm, active, covariates : as for `least_squares`, which this equals in each data set

    Returns
    -------
    Analyses, active minus control; the status is that of the imputation, or of `least_squares`
    """
    return ancova_over_deltas(imputed, np.zeros(arm.shape), np.zeros(()), arm, active, covariates)


def ancova_over_deltas(
    imputed: Imputed, shift: FloatArray, deltas: ArrayLike, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = ()
) -> Analyses:
    """`ancova` after `shift` (replicate, patient), times each of `deltas` in turn, was added to the outcomes.

    The imputations are the same for each delta. The estimate is linear in delta and the residual sum of squares is a parabola, so a sweep
    costs little more than one analysis.

    Returns
    -------
    Analyses with estimates (replicate, imputation, delta), or (replicate, imputation) for a single number
    """
    columns, code = analysed(arm, active, covariates)
    code[np.isnan(imputed.outcome[:, :, 0])] = -1
    of_outcome, of_shift = np.full((3, *imputed.outcome.shape[::2]), np.nan), np.full((2, len(code), 1), np.nan)
    df, status = np.full(len(code), np.nan), imputed.status.copy()
    _ancova(imputed.outcome, shift, columns, code, of_outcome, of_shift, df, status)
    of_outcome[:, status != Status.OK] = np.nan
    delta = np.asarray(deltas, dtype=np.float64)
    (estimate, variance, product), (slope, curvature) = (x.reshape(*x.shape, *[1] * delta.ndim) for x in (of_outcome, of_shift))
    variance = np.maximum(variance + delta * (2 * product + delta * curvature), 0.0)
    return Analyses(estimate + delta * slope, np.sqrt(variance), df, status)


@kernel
def _ancova(
    outcome: FloatArray,
    shift: FloatArray,
    columns: FloatArray,
    code: ArmArray,
    of_outcome: FloatArray,
    of_shift: FloatArray,
    df: FloatArray,
    status: IntArray,
) -> None:
    """Coefficient and its variance for each outcome and for the shift, and their covariance; the regressors are factored once a replicate."""
    n_replicates, n_patients, n_imputations = outcome.shape
    size = columns.shape[2] + 2
    row = np.empty(size)
    for r in range(n_replicates):
        low, along = np.zeros((size, size)), np.zeros((size, n_imputations + 1))
        square, product = np.zeros((2, n_imputations + 1)), np.zeros(n_imputations + 1)
        n, n_active, offset = 0, 0, 0.0
        for p in range(n_patients):
            if code[r, p] >= 0:
                n, n_active, offset = n + 1, n_active + code[r, p], offset + outcome[r, p, 0]
        offset /= n
        for p in range(n_patients):
            if code[r, p] >= 0:
                regressors(columns[r, p], code[r, p], row)
                for m in range(n_imputations + 1):
                    value = outcome[r, p, m] - offset if m < n_imputations else shift[r, p]
                    square[0, m] += value * value
                    product[m] += value * shift[r, p]
                    for i in range(size):
                        along[i, m] += row[i] * value
                for i in range(size):
                    for j in range(i + 1):
                        low[i, j] += row[i] * row[j]
        if status[r] == 0:
            collinear = not factorise(low)
            status[r] = TOO_FEW_PATIENTS if min(n_active, n - n_active) < 2 or n <= size else COLLINEAR if collinear else 0
        for i in range(size):
            for m in range(n_imputations, -1, -1):
                for j in range(i):
                    along[i, m] -= low[i, j] * along[j, m]
                along[i, m] /= low[i, i]
                square[0, m] -= along[i, m] ** 2
                product[m] -= along[i, m] * along[i, n_imputations]
                square[1, m] = square[0, m] if i == 0 else square[1, m]
        df[r] = n - size if status[r] == 0 else np.nan
        unit = 1.0 / low[size - 1, size - 1]
        of_shift[0, r, 0], of_shift[1, r, 0] = unit * along[size - 1, n_imputations], unit**2 * square[0, n_imputations] / df[r]
        for m in range(n_imputations):
            of_outcome[0, r, m], of_outcome[1, r, m] = unit * along[size - 1, m], unit**2 * square[0, m] / df[r]
            of_outcome[2, r, m] = unit**2 * product[m] / df[r]
            if status[r] == 0 and not square[0, m] > COLLINEAR_BELOW * square[1, m]:
                status[r] = NO_VARIATION


@kernel
def regressors(covariates: FloatArray, treated: int, row: FloatArray) -> None:
    """The row of one patient in an analysis of covariance: 1, covariates, treatment."""
    row[0], row[row.size - 1] = 1.0, treated
    for k in range(covariates.size):
        row[1 + k] = covariates[k]


@kernel
def factorise(low: FloatArray) -> bool:
    """Replace the lower triangle of cross-products by its Cholesky factor; whether no column follows from those before it."""
    sound = True
    for i in range(low.shape[0]):
        for j in range(i + 1):
            left = low[i, j]
            for k in range(j):
                left -= low[i, k] * low[j, k]
            if j == i and not left > COLLINEAR_BELOW * low[i, i]:
                sound = False
            low[i, j] = left / low[j, j] if j < i else np.sqrt(left)
    return sound


def responders(
    imputed: Imputed,
    baseline: FloatArray,
    responded: float | Callable[[FloatArray, FloatArray], AnyArray],
    arm: AnyArray,
    active: int,
    contrast: Literal["risk_difference", "log_risk_ratio"] = "risk_difference",
    correction: float = 0.5,
) -> Analyses:
    """Risk difference or log risk ratio of response, with Wald standard errors, in each completed data set.

    Parameters
    ----------
    imputed : completed outcomes, points
    baseline : (replicate, patient) score at baseline, points; it is not used with a threshold
    responded : the score at which, or below which, a patient responds; or a function of the completed scores (replicate, patient, imputation)
        and the baseline (replicate, patient, 1) that rounds as the scale does and says who responds
    arm, active : as for `ancova`
    correction : added to the four cells of tables with an empty one, for the ratio

    Returns
    -------
    Analyses, active against control, with infinite degrees of freedom; a patient without an outcome or a baseline is not counted.
    TOO_FEW_PATIENTS where an arm has nobody; EMPTY_CELL where a ratio has no correction.

    Source: as `risk_difference` and `log_risk_ratio`; pooling on these scales, van Buuren (2018), Flexible Imputation of Missing Data, section 5.2.
    """
    score = imputed.outcome
    reached = np.asarray(responded(score, baseline[:, :, np.newaxis]), dtype=bool) if callable(responded) else score <= responded
    counted = ~np.isnan(score[:, :, 0] + baseline if callable(responded) else score[:, :, 0])
    table = (*_events(reached, counted & (arm == active)), *_events(reached, counted & (arm == 0)))
    found = risk_difference(*table) if contrast == "risk_difference" else log_risk_ratio(*table, correction)
    estimate, std_error, reason = (np.reshape(x, (len(score), -1)) for x in (found.estimate, found.std_error, found.status.astype(np.float64)))
    not_estimated = np.isnan(estimate)
    status = np.where(imputed.status == Status.OK, np.where(not_estimated, reason, 0.0).max(axis=1).astype(np.int64), imputed.status)
    failed = (status != Status.OK)[:, np.newaxis]
    return Analyses(np.where(failed, np.nan, estimate), np.where(failed, np.nan, std_error), np.full(len(score), np.inf), status)


def _events(reached: AnyArray, members: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Responders and patients of one arm, for each imputation in each replicate."""
    events = (reached & members[:, :, np.newaxis]).sum(axis=PATIENT, dtype=np.float64)
    return events.ravel(), np.repeat(members.sum(axis=PATIENT, dtype=np.float64), reached.shape[2])


def tipping_point(pooled: Pooled, deltas: ArrayLike, alpha: float = 0.05) -> FloatArray:
    """The first of `deltas`, in their order, at which the pooled effect is not significant: p-value of `alpha` or more.

    Parameters
    ----------
    pooled : (replicate, delta), from `ancova_over_deltas` and `pool`

    Returns
    -------
    (replicate,) points, NaN where the effect is significant at each delta or is not estimated

    Source: Liublinska and Rubin (2014), Statistics in Medicine 33:4170-4185 (tipping-point displays).
    """
    lost = t_p_value(pooled.estimate / pooled.std_error, pooled.df) >= alpha
    return np.where(lost.any(axis=1), np.asarray(deltas, dtype=np.float64)[lost.argmax(axis=1)], np.nan)
