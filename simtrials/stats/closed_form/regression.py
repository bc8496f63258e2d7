"""Power of analyses of covariance, of interactions and of logistic regression, and what a logistic model implies for whole arms.

The benefit is positive. Arguments are numbers or arrays that broadcast.
"""

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from simtrials.core.arrays import FloatArray
from simtrials.stats.closed_form import inputs
from simtrials.stats.closed_form.distributions import averaged, beta_root, f_critical, noncentral_f_tail, normal_rejection, t_rejection
from simtrials.stats.closed_form.inputs import Tails, finite, inside_unit, known, positive
from simtrials.stats.closed_form.means import t_test_power
from simtrials.stats.closed_form.sizes import OneSampleSize, TwoArmSize, one_sample_size, two_arm_size

Covariates = Literal["random", "fixed"]
GroupCovariates = Literal["random", "fixed", "shieh"]


def ancova_power(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    correlation: ArrayLike,
    n_active: ArrayLike,
    n_control: ArrayLike,
    n_covariates: ArrayLike = 1,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    covariates: Covariates = "random",
) -> FloatArray:
    """Power of the adjusted comparison of two randomized arms when outcome and covariates are normal.

    Parameters
    ----------
    effect : difference of adjusted means, active minus control, benefit positive, any unit
    sd : standard deviation of the outcome in each arm before adjustment, same unit
    correlation : (multiple) correlation of the covariates with the outcome within arms
    n_active, n_control : patients in each arm
    n_covariates : covariates in the model, 0 or more
    alpha : two-sided level
    tails : "both" counts every rejection, "benefit" those with the estimate above 0
    covariates : "random" averages over the chance imbalance of the covariates between the arms and is exact; "fixed" ignores the imbalance, as
        G*Power does, and is a little too high

    Returns
    -------
    Probability of rejection; NaN where no degrees of freedom are left

    Source: Shieh (2020), Psychometrika 85:101-120 (random); Cohen (1988), chapter 8 (fixed).
    """
    known("covariates", covariates, ("random", "fixed"))
    n_active, n_control = positive("n_active", n_active), positive("n_control", n_control)
    n_covariates = inputs.no_less_than("n_covariates", n_covariates, 0)
    std_error = _residual_sd(sd, correlation) * np.sqrt(1 / n_active + 1 / n_control)
    noncentrality, df = finite("effect", effect) / std_error, n_active + n_control - 2 - n_covariates
    level = inside_unit("alpha", alpha)
    if covariates == "fixed":
        return t_rejection(noncentrality, df, level, tails)
    kept, weight = beta_root((df + 1) / 2, n_covariates / 2)  # share of the precision that imbalance leaves, as a root
    rejected = t_rejection(noncentrality[..., np.newaxis] * kept, df[..., np.newaxis], level[..., np.newaxis], tails)
    return averaged(rejected, weight)


def ancova_sample_size(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    correlation: ArrayLike,
    power: ArrayLike = 0.8,
    n_covariates: ArrayLike = 1,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    covariates: Covariates = "random",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of the adjusted comparison of two arms; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `ancova_power`, solved for the sizes.
    """
    shared = {"sd": sd, "correlation": correlation, "n_covariates": n_covariates, "alpha": alpha}
    return two_arm_size(partial(ancova_power, effect, tails=tails, covariates=covariates, **shared), power, allocation_ratio)


def ancova_f_power(
    means: ArrayLike,
    *,
    n_per_group: ArrayLike,
    sd: ArrayLike = 1.0,
    correlation: ArrayLike,
    n_covariates: ArrayLike = 1,
    alpha: ArrayLike = 0.05,
    covariates: GroupCovariates = "random",
) -> FloatArray:
    """Power of the F test that the adjusted means of several randomized groups are equal, when outcome and covariates are normal.

    Chance imbalance leaves a share B of the noncentrality. Whiten the G - 1 contrasts of the group means so that the first points along the true
    differences: then B = 1 / (1 + u' W^-1 u), where u is that contrast of the covariate means, standard normal, and W, independent of it, is the
    scatter of the covariates within groups plus that of their other contrasts, Wishart with N - 2 degrees of freedom. Hence B is
    Beta((N - q - 1) / 2, q / 2) for N patients and q covariates, whatever the number of groups.

    Parameters
    ----------
    means : (..., group) adjusted means, any unit
    n_per_group : patients in each group, one number or (..., group)
    sd : standard deviation of the outcome within groups before adjustment, same unit
    correlation : (multiple) correlation of the covariates with the outcome within groups
    n_covariates : covariates in the model, 0 or more
    covariates : "random" is exact, as derived above; "shieh" is the published Beta((N - G - q + 1) / 2, q / 2), the same for G = 2 groups and
        too low for more (by .01 in the published design with three groups of nine and ten covariates); "fixed" ignores the imbalance, as G*Power does

    Source: Shieh (2020), Psychometrika 85:101-120 ("shieh", and "random" for two groups); for more groups the argument above with
    Muirhead (1982), Aspects of Multivariate Statistical Theory, theorem 3.2.12; Cohen (1988), chapter 8 ("fixed").
    """
    known("covariates", covariates, ("random", "fixed", "shieh"))
    mean, n = np.broadcast_arrays(finite("means", means), positive("n_per_group", n_per_group))  # (..., group)
    q = inputs.no_less_than("n_covariates", n_covariates, 0)
    n_groups, total = mean.shape[-1], n.sum(axis=-1)
    grand_mean = np.sum(n * mean, axis=-1, keepdims=True) / total[..., np.newaxis]
    noncentrality = np.sum(n * (mean - grand_mean) ** 2, axis=-1) / _residual_sd(sd, correlation) ** 2
    df_effect, df_error = np.asarray(n_groups - 1.0), total - n_groups - q
    critical = f_critical(df_effect, df_error, inside_unit("alpha", alpha))
    if covariates == "fixed":
        return noncentral_f_tail(critical, df_effect, df_error, noncentrality)
    lost = 1 if covariates == "random" else n_groups - 1
    kept, weight = beta_root((total - q - lost) / 2, q / 2)
    node = (..., np.newaxis)
    return averaged(noncentral_f_tail(critical[node], df_effect, df_error[node], noncentrality[node] * kept**2), weight)


class BaselineVariances(NamedTuple):
    """Variance of the treatment effect by what is analyzed: the outcome, its change from baseline, or the outcome adjusted for baseline."""

    post: FloatArray
    change: FloatArray
    ancova: FloatArray


def baseline_variances(correlation: ArrayLike, *, sd: ArrayLike = 1.0, n_active: ArrayLike, n_control: ArrayLike) -> BaselineVariances:
    """Large-sample variances of three estimates of the same effect, when baseline and outcome have the same SD.

    Estimating the slope and chance imbalance multiply the variance of ANCOVA by (N - 3) / (N - 4) on average; `ancova_power` allows for both.

    Source: Frison and Pocock (1992), Statistics in Medicine 11:1685-1704; Vickers (2001), BMC Medical Research Methodology 1:6 (the order of power).
    """
    rho = inputs.correlation("correlation", correlation)
    post = positive("sd", sd) ** 2 * (1 / positive("n_active", n_active) + 1 / positive("n_control", n_control))
    return BaselineVariances(post + 0 * rho, 2 * (1 - rho) * post, (1 - rho**2) * post)


def regression_power(
    f_squared: ArrayLike, *, n_patients: ArrayLike, n_predictors: ArrayLike, n_tested: ArrayLike = 1, alpha: ArrayLike = 0.05
) -> FloatArray:
    """Power of the F test of `n_tested` out of `n_predictors` fixed predictors; with 1, the two-sided t test of one coefficient.

    `f_squared` is the explained variance of the tested predictors, given the others, divided by the residual variance.
    NaN where n_patients - n_predictors - 1 is not positive.

    Source: Cohen (1988), chapter 9; the noncentrality f2 N as in G*Power.
    """
    n, tested = positive("n_patients", n_patients), inputs.no_less_than("n_tested", n_tested, 1)
    df_error = n - inputs.no_less_than("n_predictors", n_predictors, 1) - 1
    noncentrality = inputs.no_less_than("f_squared", f_squared, 0) * n
    return noncentral_f_tail(f_critical(tested, df_error, inside_unit("alpha", alpha)), tested, df_error, noncentrality)


def regression_sample_size(
    f_squared: ArrayLike, *, n_predictors: ArrayLike, n_tested: ArrayLike = 1, power: ArrayLike = 0.8, alpha: ArrayLike = 0.05
) -> OneSampleSize:
    """Patients for a power of the F test of predictors, at least n_predictors + 2.

    Source: as `regression_power`, solved for the number of patients.
    """
    fewest = inputs.no_less_than("n_predictors", n_predictors, 1) + 2
    shared = {"n_predictors": n_predictors, "n_tested": n_tested, "alpha": alpha}
    return one_sample_size(lambda n: regression_power(f_squared, n_patients=n, **shared), power, fewest)


def interaction_f_squared(slope_difference: ArrayLike, *, marker_sd: ArrayLike, residual_sd: ArrayLike, active_share: ArrayLike = 0.5) -> FloatArray:
    """Effect size of a treatment-by-marker interaction, for `regression_power` with 1 of 3 predictors.

    `slope_difference` is the difference between the arms in points of outcome per unit of the marker, whose SD is `marker_sd`.

    Source: Cohen (1988), chapter 9; the variance of the product of a marker and a centered arm is marker_sd^2 p (1 - p).
    """
    share = inside_unit("active_share", active_share)
    standardized = finite("slope_difference", slope_difference) * positive("marker_sd", marker_sd) / positive("residual_sd", residual_sd)
    return standardized**2 * share * (1 - share)


def group_by_time_power(
    effect: ArrayLike,
    *,
    sd: ArrayLike = 1.0,
    correlation: ArrayLike,
    n_active: ArrayLike,
    n_control: ArrayLike,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
) -> FloatArray:
    """Power of the group-by-time interaction with two groups and two times: the t test of the changes, whose SD is sd sqrt(2 (1 - correlation)).

    `effect` is the difference of the mean changes, benefit positive; `sd` is the same at both times and `correlation` that between them.

    Source: the interaction of a 2 x 2 mixed design is the two-sample test of differences; Maxwell and Delaney (2004), chapter 12.
    """
    sd_of_change = positive("sd", sd) * np.sqrt(2 * (1 - inputs.correlation("correlation", correlation)))
    return t_test_power(effect, sd=sd_of_change, n_active=n_active, n_control=n_control, alpha=alpha, tails=tails)


def interaction_std_error(
    *, sd: ArrayLike, n_active_positive: ArrayLike, n_control_positive: ArrayLike, n_active_negative: ArrayLike, n_control_negative: ArrayLike
) -> FloatArray:
    """Standard error of the difference between the treatment effects in marker-positive and marker-negative patients.

    The mean of the two effects (the treatment coefficient under coding -1/2, +1/2) has half this standard error.

    Source: Gelman (2018), "You need 16 times the sample size to estimate an interaction than to estimate a main effect".
    """
    positives = 1 / positive("n_active_positive", n_active_positive) + 1 / positive("n_control_positive", n_control_positive)
    negatives = 1 / positive("n_active_negative", n_active_negative) + 1 / positive("n_control_negative", n_control_negative)
    return positive("sd", sd) * np.sqrt(positives + negatives)


def logistic_power(
    p_control: ArrayLike, odds_ratio: ArrayLike, *, n_active: ArrayLike, n_control: ArrayLike, alpha: ArrayLike = 0.05, tails: Tails = "both"
) -> FloatArray:
    """Power of Wald's test of the log odds ratio of two arms; the event is good, the benefit an odds ratio above 1.

    The variance is that under the alternative. Sizes may be the expected ones when the arm is drawn at random.

    Source: Demidenko (2007), Statistics in Medicine 26:3385-3397, for a binary exposure, without variance correction.
    """
    p_control = inside_unit("p_control", p_control)
    log_odds_ratio = np.log(positive("odds_ratio", odds_ratio))
    p_active = expit(logit(p_control) + log_odds_ratio)
    of_active = 1 / (positive("n_active", n_active) * p_active * (1 - p_active))
    std_error = np.sqrt(of_active + 1 / (positive("n_control", n_control) * p_control * (1 - p_control)))
    return normal_rejection(log_odds_ratio, std_error, std_error, inside_unit("alpha", alpha), tails)


def logistic_sample_size(
    p_control: ArrayLike,
    odds_ratio: ArrayLike,
    *,
    power: ArrayLike = 0.8,
    alpha: ArrayLike = 0.05,
    tails: Tails = "both",
    allocation_ratio: ArrayLike = 1.0,
) -> TwoArmSize:
    """Patients for a power of Wald's test of the log odds ratio; `allocation_ratio` is active / control, at least 2 per arm.

    Source: as `logistic_power`, solved for the sizes.
    """
    return two_arm_size(partial(logistic_power, p_control, odds_ratio, alpha=alpha, tails=tails), power, allocation_ratio)


class MarginalEffects(NamedTuple):
    """What a logistic model with a covariate implies for whole arms; `odds_ratio` is marginal, `conditional_odds_ratio` is at a given covariate."""

    p_control: FloatArray
    p_active: FloatArray
    risk_difference: FloatArray
    risk_ratio: FloatArray
    odds_ratio: FloatArray
    conditional_odds_ratio: FloatArray


def marginal_effects(intercept: ArrayLike, treatment: ArrayLike, covariate: ArrayLike, *, covariate_sd: ArrayLike = 1.0) -> MarginalEffects:
    """Risks of whole arms when logit p = intercept + treatment * arm + covariate * X and X is normal with mean 0.

    The risks are integrated by the trapezoidal rule, which is exact to rounding while |covariate| * covariate_sd stays below 10.

    Source: Gail, Wieand and Piantadosi (1984), Biometrika 71:431-444; g-computation with a known covariate distribution.
    """
    x = np.linspace(-9, 9, 1801)
    weight = np.exp(-(x**2) / 2)
    weight /= weight.sum()
    spread = finite("covariate", covariate) * positive("covariate_sd", covariate_sd)
    control = finite("intercept", intercept) + 0 * spread
    active = control + finite("treatment", treatment)
    p_control, p_active = (averaged(expit(arm[..., np.newaxis] + spread[..., np.newaxis] * x), weight) for arm in (control, active))
    odds_ratio = p_active / (1 - p_active) / (p_control / (1 - p_control))
    return MarginalEffects(p_control, p_active, p_active - p_control, p_active / p_control, odds_ratio, np.exp(active - control))


def _residual_sd(sd: ArrayLike, correlation: ArrayLike) -> FloatArray:
    return positive("sd", sd) * np.sqrt(1 - inputs.correlation("correlation", correlation) ** 2)
