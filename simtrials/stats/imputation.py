"""Multiple imputation of missed visits, first half: a normal model of the visits and draws of its parameters, for many replicates at once.

Each visit is regressed on an intercept, on columns known at baseline and on the earlier visits, within each arm or over both. Under flat
priors for the coefficients and for the logarithm of each residual variance the posterior of patients who drop out is known in closed form: a
residual variance is the sum of squares over a chi-square on its degrees of freedom, the coefficients are normal around least squares. These
are the priors of the monotone regression method of SAS PROC MI and of mice's `norm`; together they are a joint normal model of all visits.

A gap (a missed visit that is followed by an observed one) breaks the pattern. Gaps are filled by monotone data augmentation: draw the gaps of
each patient from the normal distribution given his other visits, draw the parameters given the filled data, and so on, one chain a replicate.
It starts from the visits before the first gap. Without gaps the draws are independent.

Second half, what is assumed of a patient's missing visits: `reference_based`. Pooling: `rubin`.

Sources: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, pages 166-167 (one regression); Schafer (1997), Analysis of Incomplete
Multivariate Data, section 6.5 (factored likelihoods and monotone data augmentation).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import chdtri

from simtrials.core.arrays import PATIENT, AnyArray, ArmArray, BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.rng import normals, uniforms
from simtrials.core.status import Status
from simtrials.stats.means import NEGLIGIBLE_SPREAD
from simtrials.stats.regression import COLLINEAR_BELOW

Regressions = Literal["by_arm", "shared"]
"""Whether each arm has regressions of its own, or the arms share all but the intercepts (one covariance matrix, one slope of each covariate)."""

COLLINEAR, NO_VARIATION = int(Status.COLLINEAR), int(Status.NO_VARIATION)


class Cohort(NamedTuple):
    """The patients of two arms. Each replicate is a small problem solved by itself, so its numbers lie together in memory."""

    outcome: FloatArray
    """(replicate, patient, visit) as given, NaN where missing"""
    centred: FloatArray
    """(replicate, patient, visit) the same minus `centre`"""
    centre: FloatArray
    """(replicate, visit) mean of the patients analysed"""
    covariates: FloatArray
    """(replicate, patient, covariate) known at baseline, centred"""
    arm: ArmArray
    """(replicate, patient) 0 control, 1 active, -1 not analysed"""
    deviation: IntArray
    """(replicate, patient) first visit after the deviation, from 0; the number of visits where there is none"""


class Luck(NamedTuple):
    """The random numbers of one imputation, drawn before it: as many whatever is missing. Burn-in cycles come before the imputations."""

    coefficient: FloatArray
    """(replicate, cycle, arm, visit, column) standard normal"""
    variance: FloatArray
    """(replicate, cycle, arm, visit) uniform"""
    patient: FloatArray
    """(replicate, patient, cycle, visit) standard normal"""
    n_burned: int


class Draws(NamedTuple):
    """Parameters of the regressions, one set for each imputation, and the luck of the patients that goes with them."""

    parameters: FloatArray
    """(replicate, imputation, arm, visit, column) of the centred data: intercept, covariates, earlier visits, and last the residual SD"""
    luck: FloatArray
    """(replicate, patient, imputation, visit) standard normal"""
    status: IntArray
    """(replicate, arm, visit) why a regression could not be fitted; its parameters are NaN"""


def draw_luck(rng: np.random.Generator, shape: tuple[int, int, int], n_imputations: int, n_covariates: int, burn_in: int = 5) -> Luck:
    """All random numbers of an imputation of outcomes of `shape` (replicate, patient, visit).

    The numbers of the parameters come first, then those of the patients one after the other: a larger trial keeps its first patients' luck.
    `burn_in` cycles precede the first imputation where there are gaps. The chain forgets its start at the rate of the share of information
    that is lost to gaps, so five cycles leave a thousandth of the start if a quarter is lost. The numbers of 256 replicates of 200 patients,
    5 visits and 20 imputations take 54 MB.
    """
    if n_imputations < 1 or burn_in < 0:
        raise ValueError(f"n_imputations must be at least 1 and burn_in at least 0, got {n_imputations} and {burn_in}")
    n_replicates, n_patients, n_visits = shape
    n_cycles, n_columns = burn_in + n_imputations, 1 + n_covariates + n_visits  # intercept, arm, covariates, all visits but the last
    coefficient = normals(rng, (n_replicates, n_cycles, 2, n_visits, n_columns))
    variance = uniforms(rng, (n_replicates, n_cycles, 2, n_visits))
    return Luck(coefficient, variance, normals(rng, (n_replicates, n_patients, n_cycles, n_visits)), burn_in)


def cohort(outcome: FloatArray, arm: AnyArray, active: int, covariates: Sequence[AnyArray] = (), deviation: AnyArray | None = None) -> Cohort:
    """The control arm and one active arm, ready for imputation.

    Parameters
    ----------
    outcome : (replicate, patient, visit) float, points (score or change), NaN where missing
    arm : (replicate, patient) int8, 0 for control, -1 for a patient who is not analysed
    active : code of the arm that is compared with control
    covariates : columns known at baseline, the baseline score among them, each (replicate, patient); a patient with a missing value is not
        analysed
    deviation : (replicate, patient) first visit after the deviation from protocol, from 0 to the number of visits; by default the first visit
        after the last observed one. Outcomes observed after it do not inform the model. They are kept, and condition the visits imputed.
    """
    outcome = np.ascontiguousarray(outcome)
    columns, code = analysed(arm, active, covariates)
    observed, n_visits = ~np.isnan(outcome), outcome.shape[2]
    if deviation is None:
        deviation = _end(observed)
    if deviation.min(initial=0) < 0 or deviation.max(initial=0) > n_visits:
        raise ValueError(f"deviation must be in 0 to {n_visits}, got {deviation.min()} to {deviation.max()}")
    centre = _mean(outcome, observed & (code >= 0)[:, :, np.newaxis])
    return Cohort(outcome, outcome - centre[:, np.newaxis], centre, columns, code, np.ascontiguousarray(deviation, dtype=np.int64))


def analysed(arm: AnyArray, active: int, covariates: Sequence[AnyArray]) -> tuple[FloatArray, ArmArray]:
    """(replicate, patient, covariate) the covariates, centred, and (replicate, patient) 0 control, 1 active, -1 other arm or a value missing."""
    columns = np.empty((*arm.shape, len(covariates)))
    for k, column in enumerate(covariates):
        columns[:, :, k] = column
    complete = ~np.isnan(columns).any(axis=2)
    code = np.select([complete & (arm == 0), complete & (arm == active)], [0, 1], -1).astype(np.int8)
    counted = np.broadcast_to((code >= 0)[:, :, np.newaxis], columns.shape)
    mean = _mean(columns, counted)
    columns -= mean[:, np.newaxis]
    constant = _mean(columns**2, counted) <= (NEGLIGIBLE_SPREAD * mean) ** 2
    return np.where(constant[:, np.newaxis], 0.0, columns), code  # rounding error is not taken for a covariate


def _mean(values: FloatArray, counted: BoolArray) -> FloatArray:
    """(replicate, column) mean over the patients counted, 0 where there are none."""
    n = counted.sum(axis=PATIENT)
    return np.asarray(values.sum(axis=PATIENT, where=counted) / np.maximum(n, 1))


def _end(known: BoolArray) -> IntArray:
    """(replicate, patient) how many visits there are up to the last known one."""
    n_visits = known.shape[2]
    return np.asarray(np.where(known.any(axis=2), n_visits - known[:, :, ::-1].argmax(axis=2), 0))


def used_visits(patients: Cohort) -> tuple[IntArray, IntArray]:
    """(replicate, patient) visits before the first that is missing, and up to the last observed one; both before the deviation."""
    n_visits = patients.outcome.shape[2]
    known = ~np.isnan(patients.outcome) & (np.arange(n_visits) < patients.deviation[:, :, np.newaxis])
    return np.where(known.all(axis=2), n_visits, known.argmin(axis=2)), _end(known)


def regressors_and_group(patients: Cohort, regressions: Regressions) -> tuple[FloatArray, ArmArray]:
    """(replicate, patient, column) the columns known at baseline that the regressions use, and (replicate, patient) which regressions."""
    if regressions == "by_arm":
        return patients.covariates, patients.arm
    treated = (patients.arm == 1).astype(np.float64)[:, :, np.newaxis]
    return np.concatenate([treated, patients.covariates], axis=2), np.minimum(patients.arm, 0)


def residual_df(group: ArmArray, used: IntArray, n_groups: int, n_columns: int, n_visits: int) -> IntArray:
    """(replicate, group, visit) patients of whom the visit is used, minus intercept, `n_columns` columns and earlier visits."""
    visits = np.arange(n_visits)
    reached = used[:, :, np.newaxis] > visits
    n = np.stack([(reached & (group == g)[:, :, np.newaxis]).sum(axis=PATIENT) for g in range(n_groups)], axis=1)
    return np.asarray(n - 1 - n_columns - visits)


def of_both_arms(parameters: FloatArray, status: IntArray) -> tuple[FloatArray, IntArray]:
    """Parameters of shared regressions, whose second column is the active arm, as those of two arms with intercepts of their own."""
    both = np.repeat(np.delete(parameters, 1, axis=4), 2, axis=2)
    both[:, :, 1, :, 0] += parameters[:, :, 0, :, 1]
    return both, np.repeat(status, 2, axis=1)


def posterior_draws(patients: Cohort, luck: Luck, regressions: Regressions = "by_arm") -> Draws:
    """Draws of the regressions of each visit on covariates and earlier visits from their posterior: one set for each imputation.

    NaN, with TOO_FEW_PATIENTS (no residual degree of freedom), COLLINEAR or NO_VARIATION (fitted without error), where a regression could not
    be fitted; a replicate that does not need it is imputed all the same. ValueError where the luck was drawn for other data.
    """
    (n_replicates, n_patients, n_visits), n_covariates = patients.outcome.shape, patients.covariates.shape[2]
    fits = luck.patient.shape[:2] == (n_replicates, n_patients) and luck.coefficient.shape[3:] == (n_visits, 1 + n_covariates + n_visits)
    if not fits:
        raise ValueError("luck must be drawn for the shape of the outcomes and the number of covariates of these patients")
    columns, group = regressors_and_group(patients, regressions)
    used, n_groups = used_visits(patients), 2 if regressions == "by_arm" else 1
    at_start, later = (residual_df(group, visits, n_groups, columns.shape[2], n_visits) for visits in used)
    with_gaps = (used[0] < used[1]).any(axis=PATIENT)
    chi_square = np.full((*luck.variance.shape[:2], n_groups, n_visits), np.nan)
    for c in range(chi_square.shape[1]):
        rows = with_gaps if c < luck.n_burned else slice(None)  # without gaps nothing is burned in
        df = (at_start if c == 0 else later)[rows]
        chi_square[rows, c] = chdtri(np.where(df > 0, df, np.nan), luck.variance[rows, c, :n_groups])
    n_imputations = chi_square.shape[1] - luck.n_burned
    parameters = np.full((n_replicates, n_imputations, n_groups, n_visits, 1 + columns.shape[2] + n_visits), np.nan)
    status = np.zeros((n_replicates, n_groups, n_visits), dtype=np.int64)
    _draw_chains(patients.centred, columns, group, used, luck, chi_square, parameters, status)
    status[at_start <= 0] = Status.TOO_FEW_PATIENTS
    if regressions == "shared":
        parameters, status = of_both_arms(parameters, status)
    return Draws(parameters, luck.patient[:, :, luck.n_burned :], status)


@kernel
def _draw_chains(
    centred: FloatArray,
    columns: FloatArray,
    group: ArmArray,
    used: tuple[IntArray, IntArray],
    luck: Luck,
    chi_square: FloatArray,
    parameters: FloatArray,
    status: IntArray,
) -> None:
    """Cycles of data augmentation, one chain a replicate; the regressions are factored anew only where there are gaps."""
    n_replicates, n_cycles, n_groups, n_visits = chi_square.shape
    n_patients, size, n_burned = centred.shape[1], parameters.shape[4], n_cycles - parameters.shape[1]
    rows, precision = np.empty((n_patients, size)), np.empty((n_visits, n_visits + 1))
    sums, factor = np.empty((n_groups, n_visits + 1, size, size)), np.empty((n_groups, n_visits, size, size))
    prefix, last = used
    for r in range(n_replicates):
        load_rows(centred[r], columns[r], rows)
        gaps = 0
        for p in range(n_patients):
            gaps += last[r, p] - prefix[r, p] if group[r, p] >= 0 else 0
        start = 0 if gaps > 0 else n_burned
        for c in range(start, n_cycles):
            if c == start or gaps > 0:
                sum_products(rows, group[r], prefix[r] if c == 0 else last[r], sums)
                for g in range(n_groups):
                    factorise_visits(sums[g], factor[g], status[r, g])
            drawn = parameters[r, max(c - n_burned, 0)]
            for g in range(n_groups):
                for t in range(n_visits):
                    k = size - n_visits + t
                    drawn[g, t, size - 1] = factor[g, t, k, k] / np.sqrt(chi_square[r, c, g, t])
                    draw_coefficients(factor[g, t], k, drawn[g, t, size - 1], luck.coefficient[r, c, g, t], drawn[g, t])
            for p in range(n_patients if gaps > 0 else 0):
                if group[r, p] >= 0 and prefix[r, p] < last[r, p]:
                    _fill_gaps(rows[p], centred[r, p, : last[r, p]], group[r, p], drawn, luck.patient[r, p, c], precision)


@kernel
def _fill_gaps(row: FloatArray, centred: FloatArray, group: int, parameters: FloatArray, luck: FloatArray, precision: FloatArray) -> None:
    """Draw the visits of one patient that are missing in `centred`, up to the last observed one."""
    n_visits = parameters.shape[1]
    mean, path, known, source = np.empty(n_visits), np.empty(n_visits), np.empty(n_visits), np.empty(n_visits, dtype=np.int64)
    first = row.size - n_visits
    mean_path(parameters[group], row[1:first], mean)
    for t in range(centred.size):
        path[t] = row[first + t] - mean[t]
        known[t] = 0.0 if np.isnan(centred[t]) else 1.0
        source[t] = group
    draw_unknown(path, known, centred.size, source, parameters, luck, precision)
    for t in range(centred.size):
        row[first + t] = row[first + t] if known[t] == 1.0 else mean[t] + path[t]


@kernel
def load_rows(centred: FloatArray, columns: FloatArray, rows: FloatArray) -> None:
    """The patients of one replicate as rows of 1, columns and visits."""
    first = 1 + columns.shape[1]
    for p in range(rows.shape[0]):
        rows[p, 0] = 1.0
        for k in range(columns.shape[1]):
            rows[p, 1 + k] = columns[p, k]
        for t in range(centred.shape[1]):
            rows[p, first + t] = centred[p, t]


@kernel
def sum_products(rows: FloatArray, group: ArmArray, used: IntArray, sums: FloatArray) -> None:
    """Lower triangles of the cross-products of the patients of whom d visits are used, for each group and d: (group, d, column, column)."""
    sums.fill(0.0)
    first = rows.shape[1] + 1 - sums.shape[1]
    for p in range(rows.shape[0]):
        if group[p] >= 0 and used[p] > 0:
            own = sums[group[p], used[p]]
            for i in range(first + used[p]):
                for j in range(i + 1):
                    own[i, j] += rows[p, i] * rows[p, j]


@kernel
def factorise_visits(sums: FloatArray, factor: FloatArray, status: IntArray) -> None:
    """Cholesky factors of the regressions of one group, one a visit, from sums that become those of d visits or more.

    The last row of a factor belongs to the visit: its part along each regressor, then the root of the residual sum of squares. NaN from the
    first column on that follows from those before it.
    """
    first = sums.shape[1] - status.size
    for t in range(status.size - 1, -1, -1):
        products, low = sums[t + 1], factor[t]
        for i in range(first + t + 1):
            for j in range(i + 1):
                if t + 1 < status.size:
                    products[i, j] += sums[t + 2, i, j]
                left = products[i, j]
                for k in range(j):
                    left -= low[i, k] * low[j, k]
                if j < i:
                    low[i, j] = left / low[j, j]
                elif left > COLLINEAR_BELOW * products[i, i]:
                    low[i, i] = np.sqrt(left)
                else:
                    low[i, i] = np.nan
                    if status[t] == 0:
                        status[t] = NO_VARIATION if i == first + t else COLLINEAR


@kernel
def draw_coefficients(factor: FloatArray, size: int, spread: float, luck: FloatArray, drawn: FloatArray) -> None:
    """Least squares on the first `size` columns of a factor, plus `spread` times normal luck with the inverse of the cross-products."""
    for j in range(size - 1, -1, -1):
        value = factor[size, j] + spread * luck[j]
        for i in range(j + 1, size):
            value -= factor[i, j] * drawn[i]
        drawn[j] = value / factor[j, j]


@kernel
def mean_path(parameters: FloatArray, covariates: FloatArray, mean: FloatArray) -> None:
    """Mean of each visit given the covariates only, from the regressions of one arm."""
    first = 1 + covariates.size
    for t in range(mean.size):
        mean[t] = parameters[t, 0]
        for k in range(covariates.size):
            mean[t] += parameters[t, 1 + k] * covariates[k]
        for s in range(t):
            mean[t] += parameters[t, first + s] * mean[s]


@kernel
def draw_unknown(
    path: FloatArray, known: FloatArray, n_visits: int, source: IntArray, parameters: FloatArray, luck: FloatArray, precision: FloatArray
) -> None:
    """Replace the unknown ones of the first visits of `path`, in deviations from the mean, by a draw given the known ones.

    The regression of visit t is that of arm `source[t]`. The draw is the conditional mean plus the Cholesky factor of the conditional
    covariance, visits in their order, times the luck of the unknown visits; without luck it is the conditional mean.
    """
    first, sd = parameters.shape[2] - path.size, parameters.shape[2] - 1
    last = n_visits
    while last > 0 and known[last - 1] == 0.0:
        last -= 1
    for t in range(last):
        if known[t] == 0.0:
            _draw_gaps(path, known, last, source, parameters, luck, precision)
            break
    for t in range(last, n_visits):
        regression = parameters[source[t], t]
        path[t] = regression[sd] * luck[t]
        for s in range(t):
            path[t] += regression[first + s] * path[s]


@kernel
def _draw_gaps(
    path: FloatArray, known: FloatArray, last: int, source: IntArray, parameters: FloatArray, luck: FloatArray, precision: FloatArray
) -> None:
    """Fill the unknown ones of the first `last` visits.

    Their precision matrix is summed over the regressions they occur in and factored from the last gap to the first; its last column holds
    the right-hand side.
    """
    first, sd = parameters.shape[2] - path.size, parameters.shape[2] - 1
    place = np.empty(last, dtype=np.int64)
    n_gaps, side = 0, precision.shape[1] - 1
    for t in range(last - 1, -1, -1):
        if known[t] == 0.0:
            place[n_gaps] = t
            path[t] = 0.0
            n_gaps += 1
    precision.fill(0.0)
    for t in range(place[n_gaps - 1], last):
        regression = parameters[source[t], t]
        weight = 1.0 / regression[sd] ** 2
        residual = path[t]
        for s in range(t):
            residual -= regression[first + s] * path[s]
        for i in range(n_gaps):
            if place[i] <= t:
                along = weight if place[i] == t else -weight * regression[first + place[i]]
                precision[i, side] -= along * residual
                for j in range(i, n_gaps):
                    precision[j, i] += along * (1.0 if place[j] == t else -regression[first + place[j]])
    for i in range(n_gaps):
        for j in range(i + 1):
            for k in range(j):
                precision[i, j] -= precision[i, k] * precision[j, k]
            precision[i, j] = precision[i, j] / precision[j, j] if j < i else np.sqrt(precision[i, j])
        for k in range(i):
            precision[i, side] -= precision[i, k] * precision[k, side]
        precision[i, side] /= precision[i, i]
    for i in range(n_gaps - 1, -1, -1):
        value = precision[i, side] + luck[place[i]]
        for k in range(i + 1, n_gaps):
            value -= precision[k, i] * path[place[k]]
        path[place[i]] = value / precision[i, i]
