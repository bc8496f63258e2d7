"""Individual patient data of several trials: regression within each trial, and two-stage meta-analysis of what the trials estimate.

In trial i, with covariate x centered at the trial's own mean,

    outcome = intercept_i + slope_i x + baseline slope_i b + treated (effect_i + interaction_i x) + error,    var(error) = s_i,

so that interactions are learned within trials alone: what differs between trials goes into effect_i. A trial enters all later models through its
two estimates, their covariance s_i M_i and its residual sum of squares, whatever the number of patients. R replicates, S trials, P patients.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import BoolArray, FloatArray, IntArray
from simtrials.core.kernels import kernel
from simtrials.core.status import Status
from simtrials.stats.meta_analysis import CiRule, MetaAnalysis, Tau2Choice, meta_analysis
from simtrials.stats.shown import readable

TOO_FEW_PATIENTS, NO_VARIATION, COLLINEAR = int(Status.TOO_FEW_PATIENTS), int(Status.NO_VARIATION), int(Status.COLLINEAR)
COLLINEAR_BELOW = 1e-10
"""Share of a column's sum of squares that must be left by the columns before it."""

EXACT_BELOW = 1e-20
"""Share of the outcome's sum of squares that is rounding where a regression fits exactly."""

CONSTANT_BELOW = 1e-28
"""Share of the squares of a column, before its mean is taken out, that is rounding where it is constant."""


class TrialFits(NamedTuple):
    """What each trial says, (..., trial) and further axes; NaN where `status` is not OK."""

    estimate: FloatArray
    """(..., trial, 2) treatment effect at the trial's mean covariate, and interaction; NaN for one that is not in the model"""
    precision_shape: FloatArray
    """(..., trial, 2, 2) cross-products of the two treatment columns after the other columns; their inverse times s_i is the covariance"""
    unadjusted_shape: FloatArray
    """(..., trial, 2, 2) cross-products of the treatment columns themselves, which random effects multiply"""
    residual_variance: FloatArray
    """mean square"""
    residual_df: FloatArray
    covariate_mean: FloatArray
    n_patients: IntArray
    """that are used"""
    status: IntArray
    """`Status`: TOO_FEW_PATIENTS without an arm or without degrees of freedom, COLLINEAR, NO_VARIATION where the regression fits exactly"""

    @property
    def covariance(self) -> FloatArray:
        """(..., trial, 2, 2) of the estimates, NaN where there is none."""
        p, s = self.precision_shape, self.residual_variance
        alone = np.isnan(p[..., 1, 1])
        off, last = np.where(alone, 0.0, p[..., 0, 1]), np.where(alone, 1.0, p[..., 1, 1])
        with np.errstate(invalid="ignore", divide="ignore"):
            share = s / (p[..., 0, 0] * last - off * off)
        hidden = np.where(alone, np.nan, share)
        rows = [share * last, -hidden * off, -hidden * off, hidden * p[..., 0, 0]]
        return np.stack(rows, axis=-1).reshape(p.shape)


@readable
class IpdTwoStage(NamedTuple):
    """A two-stage meta-analysis of individual patient data."""

    treatment: MetaAnalysis
    """of the treatment effects, with an interaction those at the trials' own mean covariate"""
    interaction: MetaAnalysis | None
    """of the change of the treatment effect for a unit of the covariate; None where it is not in the model"""
    trials: TrialFits


def trial_regressions(
    outcome: ArrayLike, arm: ArrayLike, covariate: ArrayLike | None = None, baseline: ArrayLike | None = None, *, interaction: bool = True
) -> TrialFits:
    """Least squares in every trial: treatment effect and, with a covariate, its interaction with treatment, centered within the trial.

    Parameters
    ----------
    outcome : (trial, patient) or (..., trial, patient), NaN where missing or where there is no such patient
    arm : 0 control, 1 treated; a patient of another code (-1) is absent
    covariate, baseline : same shape; a patient with a NaN is left out, and so the analysis is of complete cases
    interaction : whether the model has the interaction, when it has a covariate

    Source: Riley, Tierney and Stewart (2021), Individual Participant Data Meta-Analysis, chapters 5 and 7.
    """
    y, treated, x, b = _patients("trial_regressions", outcome, arm, covariate, baseline)
    shape = y.shape[:-1]
    n, p = int(np.prod(shape)), y.shape[-1]
    y, treated, x, b = (array.reshape(n, p) if array.size else np.empty((n, 0)) for array in (y, treated, x, b))
    estimate, precision, unadjusted = np.full((n, 2), np.nan), np.full((n, 2, 2), np.nan), np.full((n, 2, 2), np.nan)
    numbers, counts, status = np.full((n, 3), np.nan), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    _regress_all(y, treated, x, b, interaction and x.size > 0, estimate, precision, unadjusted, numbers, counts, status)
    columns = estimate, precision, unadjusted, *numbers.T, counts, status
    return TrialFits._make(column.reshape((*shape, *column.shape[1:])) for column in columns)


def ipd_two_stage(
    outcome: ArrayLike,
    arm: ArrayLike,
    covariate: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    *,
    interaction: bool = True,
    tau2: Tau2Choice = "REML",
    ci: CiRule = "hartung_knapp",
    level: float = 0.95,
) -> IpdTwoStage:
    """Fit every trial on its own, then pool treatment effects and interactions, each by a random-effects meta-analysis.

    Parameters
    ----------
    outcome, arm, covariate, baseline, interaction : as for `trial_regressions`
    tau2, ci, level : as for `meta_analysis`

    Returns
    -------
    IpdTwoStage; a trial that cannot be fitted is absent from the pool, its reason is in `trials.status`; TOO_FEW_STUDIES without any trial

    Source: Fisher et al. (2011), Journal of Clinical Epidemiology 64, 949-967 ("deft": interactions within trials); Burke, Ensor and Riley
    (2017), Statistics in Medicine 36, 855-875 (two-stage).
    """
    trials = trial_regressions(outcome, arm, covariate, baseline, interaction=interaction)
    covariance = trials.covariance
    pooled = [
        meta_analysis(trials.estimate[..., i], covariance[..., i, i], tau2=tau2, ci=ci, level=level, tau2_ci="none")
        for i in range(2 if interaction and covariate is not None else 1)
    ]
    return IpdTwoStage(pooled[0], pooled[1] if len(pooled) > 1 else None, trials)


def _patients(
    function: str, outcome: ArrayLike, arm: ArrayLike, covariate: ArrayLike | None, baseline: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Checked contiguous arrays, NaN in the outcome of a patient who is not used; empty arrays for what is not given."""
    y, treated = np.asarray(outcome, dtype=np.float64), np.asarray(arm, dtype=np.float64)
    if y.ndim < 2 or y.shape[-1] == 0 or y.shape[-2] == 0:
        raise ValueError(f"{function}: outcome must have shape (..., trial, patient), got {y.shape}")
    used = np.isfinite(y) & ((treated == 0) | (treated == 1)) if treated.shape == y.shape else np.empty(0, dtype=bool)
    others = []
    for name, given in (("arm", treated), ("covariate", covariate), ("baseline", baseline)):
        array = np.empty(0) if given is None else np.asarray(given, dtype=np.float64)
        if given is not None and array.shape != y.shape:
            raise ValueError(f"{function}: {name} must have the shape of outcome, {y.shape}, got {array.shape}")
        used = used & np.isfinite(array) if given is not None else used
        others.append(np.ascontiguousarray(array))
    return np.where(used, y, np.nan), others[0], others[1], others[2]


@kernel
def _regress_all(
    y: FloatArray,
    arm: FloatArray,
    x: FloatArray,
    b: FloatArray,
    interaction: bool,
    estimate: FloatArray,
    precision: FloatArray,
    unadjusted: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    status: IntArray,
) -> None:
    """Columns are: covariate, baseline, treated, treated x covariate, outcome; all centered, which takes the intercept out."""
    n_nuisance = (1 if x.shape[1] > 0 else 0) + (1 if b.shape[1] > 0 else 0)
    n_treated = 2 if interaction else 1
    p = n_nuisance + n_treated
    mean, row, cross, factor = np.empty(p + 1), np.empty(p + 1), np.empty((p + 1, p + 1)), np.empty((p + 1, p + 1))
    for trial in range(y.shape[0]):
        n, n_arm, center = 0, 0.0, 0.0
        for i in range(y.shape[1]):
            if y[trial, i] == y[trial, i]:
                n += 1
                n_arm += arm[trial, i]
                center += x[trial, i] if x.shape[1] > 0 else 0.0
        counts[trial] = n
        if n_arm < 1.0 or n_arm > n - 1.0 or n < p + 2:
            status[trial] = TOO_FEW_PATIENTS
            continue
        center /= n
        mean[:], cross[:, :] = 0.0, 0.0
        raw = np.zeros((2, 2))
        for turn in range(2):
            for i in range(y.shape[1]):
                if y[trial, i] != y[trial, i]:
                    continue
                place = 0
                if x.shape[1] > 0:
                    row[0] = x[trial, i] - center
                    place = 1
                if b.shape[1] > 0:
                    row[place] = b[trial, i]
                row[n_nuisance] = arm[trial, i]
                if interaction:
                    row[n_nuisance + 1] = arm[trial, i] * row[0]
                row[p] = y[trial, i]
                if turn == 0:
                    for c in range(p + 1):
                        mean[c] += row[c] / n
                    for c in range(n_treated):
                        for d in range(n_treated):
                            raw[c, d] += row[n_nuisance + c] * row[n_nuisance + d]
                else:
                    for c in range(p + 1):
                        for d in range(c + 1):
                            cross[c, d] += (row[c] - mean[c]) * (row[d] - mean[d])
        for c in range(p + 1):
            for d in range(c + 1):
                value = cross[c, d]
                for e in range(d):
                    value -= factor[c, e] * factor[d, e]
                if d < c:
                    factor[c, d] = value / factor[d, d]
                elif c < p:
                    origin = center if c == 0 and x.shape[1] > 0 else mean[c]
                    varies = cross[c, c] > CONSTANT_BELOW * n * origin * origin and value > COLLINEAR_BELOW * cross[c, c]
                    factor[c, c] = np.sqrt(value) if varies else np.nan
                else:
                    factor[p, p] = value
        if np.isnan(factor[p, p]):
            status[trial] = COLLINEAR
            continue
        if not factor[p, p] > EXACT_BELOW * cross[p, p] + CONSTANT_BELOW * n * mean[p] * mean[p]:
            status[trial] = NO_VARIATION
            continue
        first = n_nuisance
        for c in range(n_treated - 1, -1, -1):
            value = factor[p, first + c]
            for d in range(c + 1, n_treated):
                value -= factor[first + d, first + c] * estimate[trial, d]
            estimate[trial, c] = value / factor[first + c, first + c]
        for c in range(n_treated):
            for d in range(n_treated):
                precision[trial, c, d] = 0.0
                for e in range(min(c, d) + 1):
                    precision[trial, c, d] += factor[first + c, first + e] * factor[first + d, first + e]
                unadjusted[trial, c, d] = raw[c, d]
        numbers[trial, 0], numbers[trial, 1] = factor[p, p] / (n - p - 1), n - p - 1.0
        numbers[trial, 2] = center if x.shape[1] > 0 else np.nan


def usable(trials: TrialFits) -> BoolArray:
    """Trials that enter a pool."""
    return np.asarray(trials.status == Status.OK)
