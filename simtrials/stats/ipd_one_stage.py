"""One-stage meta-analysis of individual patient data: one linear mixed model for all patients of all trials.

Intercept, prognostic slopes and residual variance are those of each trial; treatment effect and interaction are random around their means. Given
the residual variances s_i, the restricted likelihood of all patients is that of a bivariate meta-analysis of the trials' own least-squares
estimates b_i with covariances V_i = s_i M_i + T, times a factor of each trial's residual sum of squares R_i,

    -2 log-likelihood = sum_i [log|V_i| + (b_i - X_i b)'V_i^-1 (b_i - X_i b) + nu_i log s_i + R_i / s_i] + log|sum_i X_i'V_i^-1 X_i|,

because b_i and R_i are independent, and sufficient for everything but the trial's own coefficients. So the patients are read once, and the fit
takes two numbers, two matrices and a sum of squares from each trial. Without restriction the determinant is that of s_i (Z_i'Z_i)^-1 + T with the
treatment columns Z_i as they are, and nu_i counts patients less columns of Z_i.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray, IntArray
from simtrials.core.errors import did_you_mean
from simtrials.core.kernels import kernel
from simtrials.stats.bivariate import lay_out, spreads
from simtrials.stats.bivariate_kernels import STARTS, UNCORRELATED_STARTS, highest
from simtrials.stats.ipd import TrialFits, trial_regressions, usable
from simtrials.stats.meta_kernels import COLLINEAR, COLLINEAR_BELOW, TOO_FEW_STUDIES, project
from simtrials.stats.quantiles import normal_critical, normal_p_value, t_critical, t_p_value
from simtrials.stats.shown import readable
from simtrials.stats.three_level import NOT_CONVERGED, Likelihood, to_columns

RandomEffects = Literal["none", "treatment", "interaction", "both", "correlated"]
ResidualVariance = Literal["joint", "own_fit"]
ACTIVE = {
    "none": (False, False, False), "treatment": (True, False, False), "interaction": (False, False, True), "both": (True, False, True),
    "correlated": (True, True, True),
}  # fmt: skip


@readable
class IpdOneStage(NamedTuple):
    """A one-stage meta-analysis; coefficients are treatment, interaction, interaction across trials, those of them that are in the model."""

    estimate: FloatArray
    """(..., coefficient)"""
    std_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p_value: FloatArray
    """two-sided tests of 0"""
    df: FloatArray
    """(...,) of the t distribution, infinite for the normal"""
    covariance: FloatArray
    """(..., coefficient, coefficient)"""
    tau2: FloatArray
    """(..., 2) variances between trials of treatment effect and interaction, 0 for one that is not random, NaN for one that is not in the model"""
    correlation: FloatArray
    """(...,) of the two, NaN unless both are random and vary"""
    residual_variance: FloatArray
    """(..., trial)"""
    n_trials: IntArray
    n_patients: IntArray
    status: IntArray
    """`MetaStatus`"""
    trials: TrialFits


def ipd_one_stage(
    outcome: ArrayLike,
    arm: ArrayLike,
    covariate: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    *,
    interaction: bool = True,
    random: RandomEffects = "both",
    across_trials: bool = False,
    residual_variance: ResidualVariance = "joint",
    method: Likelihood = "REML",
    ci: Literal["wald", "t"] = "wald",
    level: float = 0.95,
) -> IpdOneStage:
    """Fit one linear mixed model to the patients of all trials, with interactions learned within trials alone.

    Parameters
    ----------
    outcome, arm, covariate, baseline, interaction : as for `trial_regressions`, (..., trial, patient)
    random : what varies between trials around its mean; "both" independently of each other, "correlated" with any covariance
    across_trials : whether treatment effects also depend on the mean covariate of the trial: a coefficient of its own, open to ecological bias;
        "treatment" is then the effect in a trial whose mean covariate is the mean of all trials
    residual_variance : "joint" estimates those of the trials with the rest; "own_fit" holds them at the residual mean squares of the trials, and
        the model is a bivariate meta-analysis of their estimates
    ci : "wald" takes the normal distribution; "t" trials less 1, or 2 with `across_trials`, as degrees of freedom

    Returns
    -------
    IpdOneStage; a trial that cannot be fitted on its own is absent, its reason is in `trials.status`. TOO_FEW_STUDIES with fewer than two trials
    (three with `across_trials`; one less where nothing is random), COLLINEAR where the mean covariate does not vary, NOT_CONVERGED

    Source: Riley, Tierney and Stewart (2021), Individual Participant Data Meta-Analysis, chapters 6 and 7; Riley et al. (2020), Statistics in
    Medicine 39, 2115-2137 (centering within trials); restricted likelihood as that of error contrasts: Harville (1974), Biometrika 61, 383-385.
    """
    for name, given, known in (
        ("random", random, get_args(RandomEffects)), ("residual_variance", residual_variance, get_args(ResidualVariance)),
        ("method", method, get_args(Likelihood)), ("ci", ci, ("wald", "t")),
    ):  # fmt: skip
        if given not in known:
            raise ValueError(f"ipd_one_stage: {name} = {given!r} is not known{did_you_mean(str(given), known)}")
    with_interaction = interaction and covariate is not None
    if across_trials and covariate is None:
        raise ValueError("ipd_one_stage: across_trials needs a covariate, got None")
    if random in ("interaction", "correlated") and not with_interaction:
        raise ValueError(f"ipd_one_stage: random = {random!r} needs an interaction in the model")
    trials = trial_regressions(outcome, arm, covariate, baseline, interaction=interaction)
    *shape, n_studies = trials.status.shape
    n, p = int(np.prod(shape)), 1 + with_interaction + across_trials
    active = np.array(ACTIVE[random]) & np.array([True, with_interaction, with_interaction])
    pool = TrialFits._make(column.reshape((n, n_studies, *column.shape[len(shape) + 1 :])) for column in trials)
    coefficients, covariance, between = np.full((n, p), np.nan), np.full((n, p, p), np.nan), np.full((n, 3), np.nan)
    variances, status, used = np.full((n, n_studies), np.nan), np.zeros(n, dtype=np.int64), usable(pool)
    least = max(1, p - with_interaction + (random != "none"))
    _fit_all(
        pool.estimate, pool.precision_shape, pool.unadjusted_shape, pool.residual_variance, pool.residual_df, pool.covariate_mean, pool.n_patients,
        used, with_interaction, across_trials, active, STARTS if random == "correlated" else UNCORRELATED_STARTS, residual_variance == "joint",
        method == "REML", least, coefficients, covariance, between, variances, status,
    )  # fmt: skip
    n_trials = used.sum(axis=1)
    std_error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    df = np.where(status == 0, np.inf if ci == "wald" else np.maximum(n_trials - 1.0 - across_trials, 0.0), np.nan)
    df = np.where(df > 0, df, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = coefficients / std_error
        correlation = np.clip(between[:, 1] / np.sqrt(between[:, 0] * between[:, 2]), -1.0, 1.0)
    p_value = normal_p_value(statistic) if ci == "wald" else t_p_value(statistic, df[:, np.newaxis])
    critical = np.full(n, normal_critical(1 - level)) if ci == "wald" else t_critical(df, 1 - level)
    margin = critical[:, np.newaxis] * std_error
    if not with_interaction:
        between[:, 2] = np.nan
    columns: tuple[AnyArray, ...] = (
        coefficients, std_error, coefficients - margin, coefficients + margin, p_value, df, covariance, between[:, [0, 2]],
        np.where(random == "correlated", correlation, np.nan), variances, n_trials, (pool.n_patients * used).sum(axis=1), status,
    )  # fmt: skip
    return IpdOneStage._make([*(column.reshape((*shape, *column.shape[1:]))[()] for column in columns), trials])


@kernel
def _inverse_shape(shape: FloatArray, size: int, scale: float, inverse: FloatArray) -> None:
    """scale times the inverse of a matrix of one or two rows, in a matrix of two."""
    inverse[:, :] = 0.0
    if size == 1:
        inverse[0, 0] = scale / shape[0, 0]
        return
    share = scale / (shape[0, 0] * shape[1, 1] - shape[0, 1] * shape[0, 1])
    inverse[0, 0], inverse[1, 1] = share * shape[1, 1], share * shape[0, 0]
    inverse[0, 1] = inverse[1, 0] = -share * shape[0, 1]


@kernel
def _fit_all(
    estimate: FloatArray,
    precision: FloatArray,
    unadjusted: FloatArray,
    own_variance: FloatArray,
    own_df: FloatArray,
    means: FloatArray,
    n_patients: IntArray,
    used: BoolArray,
    interaction: bool,
    across: bool,
    active: BoolArray,
    starts: FloatArray,
    joint: bool,
    restricted: bool,
    least: int,
    coefficients: FloatArray,
    covariance: FloatArray,
    between: FloatArray,
    variances: FloatArray,
    status: IntArray,
) -> None:
    n_studies, p, size = estimate.shape[1], coefficients.shape[1], 2 if interaction else 1
    data, work, triangle = np.empty((2 + p, 2 * n_studies)), np.empty((2 + p, 2 * n_studies)), np.empty((p, p + 1))
    rows, present = np.empty((n_studies, 2, p + 1)), np.zeros((n_studies, 2), dtype=np.bool_)
    own, own_det, spread, smallest = np.empty((n_studies, 2, 2)), np.empty((n_studies, 2, 2)), np.empty(2), np.empty(2)
    df, rss, place = np.empty(n_studies), np.empty(n_studies), np.empty(n_studies, dtype=np.int64)
    rotated, moved, back = np.empty((p, p)), np.empty(p), np.empty((p, p))
    for replicate in range(estimate.shape[0]):
        k, center = 0, 0.0
        for i in range(n_studies):
            if used[replicate, i]:
                place[k] = i
                center += means[replicate, i]
                k += 1
        if k < least:
            status[replicate] = TOO_FEW_STUDIES
            continue
        data[2:] = 0.0
        for j in range(k):
            i = place[j]
            for o in range(size):
                a = size * j + o
                present[j, o] = True
                data[0, a], data[1, a], data[2 + o, a] = estimate[replicate, i, o], 1.0, 1.0
                if across and o == 0:
                    data[1 + p, a] = means[replicate, i] - center / k
            _inverse_shape(precision[replicate, i], size, own_variance[replicate, i], own[j])
        work[0, : size * k] = 1.0
        if not project(data, size * k, work, triangle) > COLLINEAR_BELOW:
            status[replicate] = COLLINEAR
            continue
        lay_out(work, present[:k], rows[:k])
        spreads(rows[:k], present[:k], own, spread, smallest)
        x = np.empty(3 + (k if joint else 0))
        for j in range(k):
            i = place[j]
            own_det[j] = own[j]
            df[j], rss[j] = own_df[replicate, i], own_df[replicate, i] * own_variance[replicate, i]
            if joint:
                _inverse_shape(precision[replicate, i], size, 1.0, own[j])
                own_det[j] = own[j]
                x[3 + j] = np.log(own_variance[replicate, i])
                if not restricted:
                    _inverse_shape(unadjusted[replicate, i], size, 1.0, own_det[j])
                    df[j] = float(n_patients[replicate, i] - size)
        switched_on = np.ones(x.size, dtype=np.bool_)
        switched_on[:3] = active
        _, converged = highest(
            rows[:k], present[:k], own[:k], own_det[:k],
            starts, spread, smallest, x, switched_on, df[:k], rss[:k], restricted, rotated, moved,
        )  # fmt: skip
        if not converged:
            status[replicate] = NOT_CONVERGED
            continue
        to_columns(triangle, rotated, moved, back, coefficients[replicate], covariance[replicate])
        between[replicate, 0], between[replicate, 1], between[replicate, 2] = x[0] * x[0], x[0] * x[1], x[1] * x[1] + x[2] * x[2]
        for j in range(k):
            variances[replicate, place[j]] = np.exp(x[3 + j]) if joint else own_variance[replicate, place[j]]
