"""Mathematics that the closed forms must obey, for any design."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

from simtrials.core.errors import SimtrialsError
from simtrials.stats import closed_form
from simtrials.stats.closed_form.distributions import noncentral_f_tail, noncentral_t_tail

few = settings(max_examples=15, deadline=None, derandomize=True)
sizes = st.integers(3, 300)
effects = st.floats(0.05, 1.5)
sds = st.floats(0.2, 5)
alphas = st.floats(0.001, 0.2)
correlations = st.floats(-0.95, 0.95)
proportions = st.floats(0.02, 0.98)
ratios = st.sampled_from([1, 2, 3, 1 / 2, 2 / 3, 1 / 3])
tails = st.sampled_from(["both", "benefit"])
percentages = st.integers(0, 100).map(lambda percent: percent / 100)
proportion_tests = st.sampled_from(["pooled", "unpooled", "arcsine", "continuity_corrected"])

TWO_ARM_POWERS = {
    "t": closed_form.t_test_power,
    "z": closed_form.z_test_power,
    "t, unequal SDs allowed": lambda effect, **design: closed_form.t_test_power_unequal_sd(effect, sd_active=1, sd_control=1, **design),
    "ancova": lambda effect, **design: closed_form.ancova_power(effect, correlation=0.5, **design),
    "ancova, fixed": lambda effect, **design: closed_form.ancova_power(effect, correlation=0.5, covariates="fixed", **design),
    "group by time": lambda effect, **design: closed_form.group_by_time_power(effect, correlation=0.5, **design),
    "logistic": lambda effect, **design: closed_form.logistic_power(0.3, np.exp(effect), **design),
}
each_two_arm_power = pytest.mark.parametrize("power", TWO_ARM_POWERS.values(), ids=TWO_ARM_POWERS)


@each_two_arm_power
@given(n_active=sizes, n_control=sizes, alpha=alphas)
@few
def test_without_an_effect_power_is_alpha(power, n_active, n_control, alpha):
    design = {"n_active": n_active, "n_control": n_control, "alpha": alpha}
    assert_allclose(power(0.0, **design), alpha, atol=1e-9)
    assert_allclose(power(0.0, **design, tails="benefit"), alpha / 2, atol=1e-9)


@given(p=proportions, n_active=sizes, n_control=sizes, alpha=alphas, test=st.sampled_from(["pooled", "unpooled", "arcsine"]))
@few
def test_with_equal_proportions_power_is_alpha(p, n_active, n_control, alpha, test):
    assert_allclose(closed_form.proportions_power(p, p, n_active=n_active, n_control=n_control, alpha=alpha, test=test), alpha, atol=1e-9)


@given(n=st.integers(4, 200), groups=st.integers(2, 5), q=st.integers(0, 3), alpha=alphas, covariates=st.sampled_from(["random", "fixed", "shieh"]))
@few
def test_with_equal_means_the_power_of_an_f_test_is_alpha(n, groups, q, alpha, covariates):
    means = np.full(groups, 3.0)
    power = closed_form.ancova_f_power(means, n_per_group=n, correlation=0.4, n_covariates=q, alpha=alpha, covariates=covariates)
    assert_allclose(power, alpha, atol=1e-9)
    assert_allclose(closed_form.regression_power(0, n_patients=n + groups, n_predictors=3, n_tested=q + 1, alpha=alpha), alpha, atol=1e-9)
    assert_allclose(closed_form.paired_t_power(0, n_pairs=n, alpha=alpha), alpha, atol=1e-9)


@each_two_arm_power
@given(effect=effects, more=st.floats(0.05, 1), n_active=sizes, n_control=sizes, added=st.integers(1, 100))
@few
def test_power_rises_with_the_effect_and_with_patients(power, effect, more, n_active, n_control, added):
    base = power(effect, n_active=n_active, n_control=n_control, tails="benefit")
    rounding = 1e-12
    assert power(effect + more, n_active=n_active, n_control=n_control, tails="benefit") > base - rounding
    assert power(effect, n_active=n_active + added, n_control=n_control + added, tails="benefit") > base - rounding
    assert power(-effect - more, n_active=n_active, n_control=n_control) > power(-effect, n_active=n_active, n_control=n_control) - rounding


@each_two_arm_power
@given(effect=effects, n_active=sizes, n_control=sizes)
@few
def test_both_tails_are_benefit_and_harm(power, effect, n_active, n_control):
    design = {"n_active": n_active, "n_control": n_control}
    other = {"n_active": n_control, "n_control": n_active}
    both = power(effect, **design)
    if power is TWO_ARM_POWERS["logistic"]:
        swapped = closed_form.logistic_power(1 / (1 + 7 / 3 / np.exp(effect)), np.exp(-effect), **other)
    else:
        swapped = power(-effect, **other)
        assert_allclose(power(effect, **design, tails="benefit") + power(-effect, **design, tails="benefit"), both, atol=1e-14)
    assert_allclose(swapped, both, atol=1e-12)


@given(effect=effects, sd_active=sds, sd_control=sds, n_active=sizes, n_control=sizes, test=st.sampled_from(["pooled", "welch"]))
@few
def test_swapping_arms_with_unequal_sds_keeps_the_rejection_rate(effect, sd_active, sd_control, n_active, n_control, test):
    design = {"sd_active": sd_active, "sd_control": sd_control, "n_active": n_active, "n_control": n_control}
    swapped = {"sd_active": sd_control, "sd_control": sd_active, "n_active": n_control, "n_control": n_active}
    rates = closed_form.t_test_power_unequal_sd(effect, **design, test=test), closed_form.t_test_power_unequal_sd(-effect, **swapped, test=test)
    assert_allclose(*rates, atol=1e-12)


@given(p_active=proportions, p_control=proportions, n_active=sizes, n_control=sizes, test=proportion_tests, counted=tails)
@few
def test_swapping_arms_and_events_keeps_the_power(p_active, p_control, n_active, n_control, test, counted):
    power = closed_form.proportions_power(p_active, p_control, n_active=n_active, n_control=n_control, test=test, tails=counted)
    swapped = closed_form.proportions_power(1 - p_control, 1 - p_active, n_active=n_control, n_control=n_active, test=test, tails=counted)
    assert_allclose(power, swapped, atol=1e-9)


def assert_smallest(size, ratio, power_at, target):
    """The whole numbers keep the ratio and reach the target; one block of patients less does not; the exact solution is between."""
    assert_allclose(size.n_active, ratio * size.n_control)
    assert size.n_active == round(float(size.n_active))
    assert power_at(n_active=size.n_active, n_control=size.n_control) >= target
    assert_allclose(power_at(n_active=size.n_active_exact, n_control=size.n_control_exact), target, atol=1e-9)
    block = {1: 1, 2: 1, 3: 1, 1 / 2: 2, 2 / 3: 3, 1 / 3: 3}[ratio]
    fewer = size.n_control - block
    assert power_at(n_active=ratio * fewer, n_control=fewer) < target
    assert fewer < size.n_control_exact <= size.n_control + 1e-9


@given(effect=st.floats(0.1, 0.6), target=st.floats(0.6, 0.95), ratio=ratios, counted=tails)
@few
def test_sizes_for_means_are_the_smallest(effect, target, ratio, counted):
    for sized, powered, fixed in (
        (closed_form.t_test_sample_size, closed_form.t_test_power, {"tails": counted}),
        (closed_form.z_test_sample_size, closed_form.z_test_power, {"sd_active": 1.3, "tails": counted}),
        (closed_form.noninferiority_t_sample_size, closed_form.noninferiority_t_power, {"margin": 0.2}),
        (closed_form.ancova_sample_size, closed_form.ancova_power, {"correlation": 0.5, "tails": counted}),
    ):
        size = sized(effect, power=target, allocation_ratio=ratio, **fixed)
        assert_smallest(size, ratio, lambda powered=powered, fixed=fixed, **n: powered(effect, **n, **fixed), target)


@given(p=st.floats(0.1, 0.5), added=st.floats(0.1, 0.3), target=st.floats(0.6, 0.95), ratio=ratios, test=proportion_tests)
@few
def test_sizes_for_proportions_are_the_smallest(p, added, target, ratio, test):
    size = closed_form.proportions_sample_size(p + added, p, power=target, allocation_ratio=ratio, test=test)
    assert_smallest(size, ratio, lambda **n: closed_form.proportions_power(p + added, p, test=test, **n), target)
    size = closed_form.logistic_sample_size(p, 1 + 4 * added, power=target, allocation_ratio=ratio)
    assert_smallest(size, ratio, lambda **n: closed_form.logistic_power(p, 1 + 4 * added, **n), target)


@given(effect=st.floats(0.1, 0.8), target=st.floats(0.6, 0.95), predictors=st.integers(1, 6))
@few
def test_sizes_of_one_sample_are_the_smallest(effect, target, predictors):
    pairs = closed_form.paired_t_sample_size(effect, power=target)
    assert closed_form.paired_t_power(effect, n_pairs=pairs.n) >= target > closed_form.paired_t_power(effect, n_pairs=pairs.n - 1)
    patients = closed_form.regression_sample_size(effect**2, n_predictors=predictors, power=target)
    powers = closed_form.regression_power(effect**2, n_patients=[patients.n - 1, patients.n], n_predictors=predictors)
    assert powers[0] < target <= powers[1]


def test_no_number_of_patients_finds_an_effect_that_is_absent_or_harmful():
    size = closed_form.t_test_sample_size([0.0, -0.3, 0.5], tails="benefit")
    assert np.array_equal(np.isinf(size.n_total), [True, True, False])
    assert np.array_equal(np.isnan(size.power), [True, True, False])


@given(effect=effects, n=st.integers(3, 100), m=st.integers(3, 100), q=st.integers(1, 4), rho=correlations)
@few
def test_ancova_of_two_arms_is_the_f_test_of_two_groups_and_loses_by_imbalance(effect, n, m, q, rho):
    for covariates in ("random", "fixed"):
        shared = {"correlation": rho, "n_covariates": q, "covariates": covariates}
        two_arms = closed_form.ancova_power(effect, n_active=n, n_control=m, **shared)
        assert_allclose(two_arms, closed_form.ancova_f_power([0, effect], n_per_group=[m, n], **shared), atol=1e-10, equal_nan=True)
    if n + m - 2 - q > 0:
        assert closed_form.ancova_power(effect, n_active=n, n_control=m, correlation=rho, n_covariates=q) <= two_arms + 1e-12


@given(effect=effects, n_active=sizes, n_control=sizes, counted=tails, covariates=st.sampled_from(["random", "fixed"]))
@few
def test_ancova_without_covariates_is_the_t_test(effect, n_active, n_control, counted, covariates):
    design = {"n_active": n_active, "n_control": n_control, "tails": counted}
    ancova = closed_form.ancova_power(effect, correlation=0, n_covariates=0, covariates=covariates, **design)
    assert_allclose(ancova, closed_form.t_test_power(effect, **design), atol=1e-12)


@given(n=st.integers(4, 60), groups=st.integers(3, 5), q=st.integers(1, 3))
@few
def test_ancova_of_several_groups_is_bracketed_by_the_published_and_the_fixed_power(n, groups, q):
    published, exact, fixed = (
        closed_form.ancova_f_power(np.arange(groups) / 4, n_per_group=n, correlation=0.5, n_covariates=q, covariates=covariates)
        for covariates in ("shieh", "random", "fixed")
    )
    rounding = 1e-12
    assert published - rounding < exact < fixed + rounding


@given(effect=effects, rho=st.floats(0, 0.9), n_active=st.integers(30, 300), n_control=st.integers(30, 300))
@few
def test_ancova_power_lies_near_the_power_its_mean_variance_gives(effect, rho, n_active, n_control):
    """The variance of ANCOVA is (N - 3) / (N - 4) times that with a known slope, on average; the power at that variance is off by less than 1 / N."""
    total = n_active + n_control
    variance = closed_form.baseline_variances(rho, n_active=n_active, n_control=n_control).ancova * (total - 3) / (total - 4)
    sd = np.sqrt(variance / (1 / n_active + 1 / n_control))
    near = closed_form.t_test_power(effect, sd=sd, n_active=n_active, n_control=n_control)
    assert abs(closed_form.ancova_power(effect, correlation=rho, n_active=n_active, n_control=n_control) - near) < 1 / total


@given(n_active=st.integers(1, 25), n_control=st.integers(1, 25), p_active=percentages, p_control=percentages)
@few
def test_enumerated_probabilities_sum_to_one(n_active, n_control, p_active, p_control):
    everything = np.ones((n_active + 1, n_control + 1), dtype=bool)
    assert_allclose(closed_form.enumerated_power(everything, p_active, p_control), 1, atol=1e-12)
    rejected = closed_form.pooled_z_rejection(n_active, n_control)
    power, spared = (closed_form.enumerated_power(table, p_active, p_control) for table in (rejected, ~rejected))
    assert_allclose(power + spared, 1, atol=1e-12)
    twin = stats.binom.pmf(range(n_active + 1), n_active, p_active) @ rejected @ stats.binom.pmf(range(n_control + 1), n_control, p_control)
    assert_allclose(power, twin, atol=1e-12)


REJECTIONS = {
    "pooled": closed_form.pooled_z_rejection,
    "unpooled": closed_form.unpooled_z_rejection,
    "fisher": closed_form.fisher_rejection,
    "fisher mid-p": lambda *n, **rest: closed_form.fisher_rejection(*n, mid_p=True, **rest),
}


@pytest.mark.parametrize("rejection", REJECTIONS.values(), ids=REJECTIONS)
@given(n_active=st.integers(1, 30), n_control=st.integers(1, 30), alpha=alphas)
@few
def test_tables_rejected_for_benefit_are_those_with_more_events_under_active(rejection, n_active, n_control, alpha):
    both = rejection(n_active, n_control, alpha=alpha)
    better = np.arange(n_active + 1)[:, np.newaxis] * n_control > np.arange(n_control + 1) * n_active
    assert np.array_equal(rejection(n_active, n_control, alpha=alpha, tails="benefit"), both & better)
    assert np.array_equal(rejection(n_control, n_active, alpha=alpha), both.T)
    assert np.array_equal(both[::-1, ::-1], both)
    assert not both[0, 0]


@given(n_active=st.integers(1, 15), n_control=st.integers(1, 15), p=st.floats(0, 1))
@few
def test_fisher_keeps_its_level_and_mid_p_rejects_more(n_active, n_control, p):
    alpha = 0.0499  # no two-sided p-value of these sizes equals it
    fisher = closed_form.fisher_rejection(n_active, n_control, alpha=alpha)
    assert closed_form.enumerated_power(fisher, p, p) <= alpha
    assert not np.any(fisher & ~closed_form.fisher_rejection(n_active, n_control, alpha=alpha, mid_p=True))
    twin = [[stats.fisher_exact([[a, n_active - a], [c, n_control - c]]).pvalue < alpha for c in range(n_control + 1)] for a in range(n_active + 1)]
    assert np.array_equal(fisher, twin)


def test_exact_power_is_near_its_normal_approximation_in_a_large_trial():
    exact = closed_form.enumerated_power(closed_form.pooled_z_rejection(2554, 2554), [0.08, 0.06], 0.06)
    approximate = closed_form.proportions_power(0.08, 0.06, n_active=2554, n_control=2554)
    assert_allclose(exact, [approximate, 0.05], atol=0.005)


@pytest.mark.parametrize(
    ("df", "noncentrality", "critical"), [(3, 1.0, 3.18), (5, -2.0, 2.57), (10, 12.0, 2.23), (38, 2.8, 2.02), (60, 0.0, 3.5), (500, 6.0, 1.96)]
)
def test_noncentral_t_tail_is_the_integral_over_the_chi_distribution(df, noncentrality, critical):
    chi = stats.chi(df, scale=1 / np.sqrt(df))
    integral, _ = integrate.quad(
        lambda s: chi.pdf(s) * stats.norm.sf(critical * s - noncentrality), 0, 8, points=[1, abs(noncentrality / critical)], epsabs=1e-13, limit=200
    )
    tail = noncentral_t_tail(np.asarray(critical), np.asarray(float(df)), np.asarray(noncentrality))
    assert_allclose(tail, integral, atol=1e-12)
    assert_allclose(tail, stats.nct.sf(critical, df, noncentrality), atol=1e-12)


def test_the_far_tail_is_a_number():
    assert closed_form.t_test_power(12, n_active=5, n_control=5) == pytest.approx(1)
    assert closed_form.t_test_power([1e3, 1e6], n_active=400, n_control=400) == pytest.approx(1)
    assert np.all(np.isfinite(closed_form.t_test_power(-12, n_active=[5, 500], n_control=[5, 500], tails="benefit")))


@given(df_effect=st.integers(1, 8), df_error=st.integers(2, 400), noncentrality=st.floats(0, 200))
@few
def test_noncentral_f_tail_agrees_with_scipy(df_effect, df_error, noncentrality):
    critical = stats.f.ppf(0.95, df_effect, df_error)
    tail = noncentral_f_tail(*(np.asarray(float(value)) for value in (critical, df_effect, df_error, noncentrality)))
    assert_allclose(tail, stats.ncf.sf(critical, df_effect, df_error, noncentrality) if noncentrality > 1e-9 else 0.05, atol=1e-9)


@given(effect_positive=st.floats(-1, 1), effect_negative=st.floats(-1, 1), share=st.floats(0, 1))
@few
def test_mixture_has_the_variance_of_its_two_components(effect_positive, effect_negative, share):
    mean = closed_form.mixture_effect(effect_positive, effect_negative, share)
    second_moment = share * effect_positive**2 + (1 - share) * effect_negative**2
    assert_allclose(closed_form.mixture_sd(effect_positive, effect_negative, share, sd=2) ** 2, 4 + second_moment - mean**2, atol=1e-12)


markers = st.fixed_dictionaries({"mean": st.floats(-0.5, 1.5), "between_sd": st.floats(0.3, 1.5), "within_sd": st.floats(0.2, 1)})


@given(marker=markers, low=st.floats(0.5, 3), width=st.floats(0.5, 10), cut=st.floats(0.5, 5), shared=st.floats(0, 0.9))
@few
def test_shares_of_intervals_add_up(marker, low, width, cut, shared):
    high = low + width
    intervals = [{"at_most": low}, {"at_least": low, "at_most": high}, {"at_least": high}]
    enrolled = [closed_form.measured_share(**marker, **interval) for interval in intervals]
    assert_allclose(sum(enrolled), 1, atol=1e-12)
    again = [closed_form.repeat_above_share(cut, **marker, within_correlation=shared, **interval) for interval in intervals]
    assert_allclose(np.dot(enrolled, again), closed_form.measured_share(**marker, at_least=cut), atol=1e-10)
    usual = [closed_form.usual_above_share(cut, **marker, **interval) for interval in intervals]
    everybody = stats.norm.sf(np.log(cut), marker["mean"], marker["between_sd"])
    assert_allclose(np.dot(enrolled, usual), everybody, atol=1e-10)
    center = [closed_form.usual_value_of_enrolled(**marker, **interval).mean for interval in intervals]
    assert_allclose(np.dot(enrolled, center), marker["mean"], atol=1e-9)


@given(marker=markers, low=st.floats(0.5, 3), width=st.floats(0.5, 10), cut=st.floats(0.5, 5), shared=st.floats(0, 0.9))
@few
def test_second_looks_are_integrals_over_the_first(marker, low, width, cut, shared):
    between, sd = marker["between_sd"], np.hypot(marker["between_sd"], marker["within_sd"])
    first = stats.norm(marker["mean"], sd)
    interval = {"at_least": low, "at_most": low + width}
    for share, spread, covariance in (
        (closed_form.usual_above_share(cut, **marker, **interval), between, between**2),
        (closed_form.repeat_above_share(cut, **marker, within_correlation=shared, **interval), sd, between**2 + shared * marker["within_sd"] ** 2),
    ):
        slope = covariance / sd**2
        second = stats.norm(np.log(cut) - marker["mean"], np.sqrt(spread**2 - slope * covariance))
        both, _ = integrate.quad(
            lambda x, s=second, b=slope: first.pdf(x) * s.cdf(b * (x - marker["mean"])), *np.log([low, low + width]), epsabs=1e-12
        )
        assert_allclose(share, both / np.diff(first.cdf(np.log([low, low + width])))[0], atol=1e-10)


@given(marker=markers, cut=st.floats(0.5, 4), other=st.floats(0.5, 4))
@few
def test_two_samples_are_exchangeable_and_agree_more_when_close_in_time(marker, cut, other):
    joint = closed_form.repeat_above_share(cut, **marker, at_least=other) * closed_form.measured_share(**marker, at_least=other)
    turned = closed_form.repeat_above_share(other, **marker, at_least=cut) * closed_form.measured_share(**marker, at_least=cut)
    assert_allclose(joint, turned, atol=1e-12)
    agreement = closed_form.repeat_above_share(cut, **marker, within_correlation=np.array([0, 0.3, 0.6, 0.9, 1]), at_least=cut)
    assert np.all(np.diff(agreement) > 0)
    assert_allclose(agreement[-1], 1, atol=1e-12)


@given(marker=markers, cut=st.floats(1, 4))
@few
def test_usual_values_of_the_enrolled_regress_towards_the_mean(marker, cut):
    enrolled = closed_form.usual_value_of_enrolled(**marker, at_least=cut)
    sd = np.hypot(marker["between_sd"], marker["within_sd"])
    measured = stats.truncnorm((np.log(cut) - marker["mean"]) / sd, np.inf, marker["mean"], sd)
    reliability = (marker["between_sd"] / sd) ** 2
    assert_allclose(enrolled.mean, marker["mean"] + reliability * (measured.mean() - marker["mean"]), rtol=1e-7)
    assert_allclose(enrolled.sd**2, marker["between_sd"] ** 2 * (1 - reliability) + reliability**2 * measured.var(), rtol=1e-6)
    assert enrolled.sd < marker["between_sd"]


@given(intercept=st.floats(-3, 3), treatment=st.floats(-2, 2), covariate=st.floats(0.1, 3))
@few
def test_marginal_odds_ratio_lies_between_1_and_the_conditional_one(intercept, treatment, covariate):
    effects = closed_form.marginal_effects(intercept, treatment, covariate)
    assert abs(np.log(effects.odds_ratio)) <= abs(treatment) + 1e-12
    assert np.log(effects.odds_ratio) * treatment >= -1e-12
    exact, _ = integrate.quad(lambda x: stats.norm.pdf(x) / (1 + np.exp(-intercept - covariate * x)), -12, 12, epsabs=1e-12, limit=200)
    assert_allclose(effects.p_control, exact, atol=1e-10)
    turned = closed_form.marginal_effects(intercept, treatment, 1, covariate_sd=covariate)
    assert_allclose(turned.risk_difference, effects.risk_difference, atol=1e-14)


def test_interaction_effect_size_is_the_regression_of_the_slopes():
    """N f2 is the noncentrality: the squared slope difference over its variance, with fixed markers of the same spread in both arms."""
    f_squared = closed_form.interaction_f_squared(2.0, marker_sd=1.2, residual_sd=8.0, active_share=1 / 3)
    variance = 8.0**2 / 1.2**2 * (1 / 100 + 1 / 200)
    assert_allclose(300 * f_squared, 2.0**2 / variance)
    assert closed_form.interaction_f_squared(2.0, marker_sd=1.2, residual_sd=8.0) > f_squared


def test_arrays_broadcast_and_numbers_stay_numbers():
    assert closed_form.t_test_power([0, 0.2, 0.5], n_active=[[10], [20]], n_control=20).shape == (2, 3)
    assert np.ndim(closed_form.t_test_power(0.5, n_active=20, n_control=20)) == 0
    assert closed_form.proportions_sample_size([0.5, 0.6], 0.3, allocation_ratio=[[1], [2]]).n_total.shape == (2, 2)
    assert closed_form.ancova_power([0.2, 0.5], correlation=[[0.1], [0.5]], n_active=20, n_control=20).shape == (2, 2)
    assert closed_form.ancova_f_power([[0, 0, 1], [0, 1, 2]], correlation=0.3, n_per_group=10).shape == (2,)
    assert closed_form.t_test_power_unequal_sd([0, 1], sd_active=[[1], [2]], sd_control=1, n_active=9, n_control=8).shape == (2, 2)
    assert closed_form.enumerated_power(closed_form.fisher_rejection(5, 5), [0.1, 0.5], [[0.5], [0.6], [0.7]]).shape == (3, 2)
    assert closed_form.marginal_effects([0, 1], 1, [[1], [2]]).p_active.shape == (2, 2)
    assert closed_form.repeat_above_share([2, 3], mean=0.3, between_sd=[[1], [2]], within_sd=0.6, at_least=2).shape == (2, 2)


def test_without_degrees_of_freedom_there_is_no_power():
    assert np.isnan(closed_form.t_test_power(1, n_active=1, n_control=1))
    assert np.isnan(closed_form.paired_t_power(1, n_pairs=1))
    assert np.isnan(closed_form.ancova_power(1, correlation=0.5, n_active=2, n_control=1))
    assert np.isnan(closed_form.t_test_power_unequal_sd(1, sd_active=1, sd_control=1, n_active=1, n_control=9))
    assert np.isnan(closed_form.regression_power(0.1, n_patients=4, n_predictors=3))
    assert np.isnan(closed_form.usual_above_share(2, mean=0, between_sd=0.1, within_sd=0.1, at_least=1e9))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: closed_form.t_test_power(1, n_active=10, n_control=10, alpha=5), "alpha must lie strictly between 0 and 1, got 5"),
        (lambda: closed_form.t_test_power(1, sd=[1, -2], n_active=10, n_control=10), "sd must be greater than 0, got -2"),
        (lambda: closed_form.t_test_power(1, n_active=10, n_control=10, tails="benefits"), "did you mean 'benefit'"),
        (lambda: closed_form.t_test_sample_size(1, allocation_ratio=np.pi), "allocation_ratio must be a ratio of whole numbers up to 100"),
        (lambda: closed_form.proportions_power(0.5, 0, n_active=9, n_control=9), "p_control must lie strictly between 0 and 1, got 0"),
        (lambda: closed_form.proportions_power(0.5, 0.4, n_active=9, n_control=9, test="poold"), "did you mean 'pooled'"),
        (lambda: closed_form.enumerated_power(np.ones((3, 3)), 0.5, 0.5), "rejected must be a table of true and false"),
        (lambda: closed_form.fisher_rejection(0, 3), "n_active and n_control must be at least 1, got 0 and 3"),
        (lambda: closed_form.ancova_power(1, correlation=1, n_active=9, n_control=9), "correlation must lie strictly between -1 and 1, got 1"),
        (lambda: closed_form.z_test_power(np.nan, n_active=9, n_control=9), "effect must be a finite number, got nan"),
    ],
)
def test_a_wrong_argument_is_named(call, sentence):
    with pytest.raises(SimtrialsError, match=sentence):
        call()


def test_importing_closed_forms_is_light():
    heavy = "{name for name in sys.modules if name.split('.')[:2] in (['scipy', 'stats'], ['scipy', 'optimize']) or name in ('numba', 'pandas')}"
    code = f"import sys; import simtrials.stats.closed_form; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(closed_form.__file__).parents[3])
    assert done.stdout.strip() == "[]"
