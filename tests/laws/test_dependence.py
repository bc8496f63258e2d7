"""Dependent effects: agreement with dense matrices and general optimisers, symmetries, absent effects, variances of 0 and correlations of 1."""

import numpy as np
import pytest
from double import dependence as twin
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.stats.bivariate import bivariate_meta_analysis
from simtrials.stats.cluster_robust import CORRECTIONS, cluster_robust
from simtrials.stats.meta_analysis import meta_analysis
from simtrials.stats.meta_status import MetaStatus
from simtrials.stats.three_level import three_level

HEIGHT = 1e-7  # what a general optimiser, which stops at changes of 1e-11, may gain or lose on a flat top
ROUNDING = 1e-8
SEARCH = 1e-6  # relative: the square root of the rounding of a likelihood, where a climb can stop
both_likelihoods = pytest.mark.parametrize("method", ["REML", "ML"])


def clustered_effects(seed, n_replicates, between=0.4, within=0.3, k=24, n_clusters=7):
    """Effects in clusters of different size, variances, labels, two moderators."""
    rng = np.random.default_rng(seed)
    cluster = np.sort(np.concatenate([np.arange(n_clusters), rng.integers(0, n_clusters, k - n_clusters)]))
    rng.shuffle(cluster)
    v = rng.uniform(0.02, 0.3, (n_replicates, k))
    moderator = rng.normal(size=(n_replicates, k))
    u = between * rng.normal(size=(n_replicates, n_clusters))[:, cluster]
    y = 0.3 + u + within * rng.normal(size=v.shape) + 0.2 * moderator + np.sqrt(v) * rng.normal(size=v.shape)
    return y, v, cluster, np.stack([np.ones_like(v), moderator], axis=-1)


def two_outcomes(seed, n_replicates, k, tau=0.4, missing=0.0, correlation=0.6):
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.02, 0.3, (n_replicates, k, 2))
    true, error = (rng.normal(size=v.shape) for _ in range(2))
    true[..., 1] = correlation * true[..., 0] + np.sqrt(1 - correlation**2) * true[..., 1]
    error[..., 1] = 0.4 * error[..., 0] + np.sqrt(1 - 0.16) * error[..., 1]
    y = np.array([0.2, -0.3]) + tau * true + error * np.sqrt(v)
    y = np.where(rng.random(v.shape) < missing, np.nan, y)
    s = np.einsum("rki,rkj,ij->rkij", np.sqrt(v), np.sqrt(v), np.array([[1.0, 0.4], [0.4, 1.0]]))
    return y, v, s


def assert_same(found, expected, rtol=SEARCH):
    for name, one, other in zip(found._fields, found, expected, strict=True):
        assert_allclose(one, other, rtol=rtol, atol=rtol, err_msg=name)


# ---- three levels


@both_likelihoods
@pytest.mark.parametrize(("between", "within", "rho"), [(0.4, 0.3, 0.0), (0.0, 0.0, 0.0), (0.5, 0.0, 0.6), (0.0, 0.5, 0.3)])
def test_three_levels_reach_the_highest_likelihood_of_dense_matrices(method, between, within, rho):
    y, v, cluster, x = clustered_effects(1, 6, between, within)
    fit = three_level(y, v, cluster, design=x, method=method, rho=rho)
    assert (fit.status == MetaStatus.OK).all()
    for r in range(len(y)):
        dense = twin.three_level_covariance(v[r], cluster, fit.sigma2_cluster[r], fit.sigma2_within[r], rho)
        here = twin.log_likelihood(y[r], x[r], dense, method == "REML")
        assert_allclose(fit.log_likelihood[r], here, rtol=ROUNDING, atol=ROUNDING)
        assert abs(here - twin.highest_three_level(y[r], v[r], cluster, x[r], method == "REML", rho)) < HEIGHT
        b, covariance = twin.coefficients(y[r], x[r], dense)
        assert_allclose(fit.estimate[r], b, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(fit.covariance[r], covariance, rtol=ROUNDING, atol=ROUNDING)


def test_variances_of_zero_are_found_and_are_zero():
    y, v, cluster, _ = clustered_effects(2, 400, 0.0, 0.0)
    fit = three_level(y, v, cluster)
    assert (fit.status == MetaStatus.OK).all()
    assert 0.2 < (fit.sigma2_cluster == 0).mean() < 0.9
    assert 0.2 < (fit.sigma2_within == 0).mean() < 0.9


def test_single_effects_per_cluster_are_a_random_effects_meta_analysis_whose_variances_cannot_be_told_apart():
    y, v, _, _ = clustered_effects(3, 20)
    fit, plain = three_level(y, v, np.arange(y.shape[1])), meta_analysis(y, v)
    assert_allclose(fit.estimate, plain.estimate, rtol=SEARCH, atol=SEARCH)
    assert_allclose(fit.std_error, plain.std_error, rtol=SEARCH)
    assert_allclose(fit.tau2, plain.tau2, rtol=SEARCH, atol=SEARCH)
    assert np.isnan(fit.sigma2_cluster).all()
    assert np.isnan(fit.sigma2_within).all()


def test_effects_that_are_all_alike_within_clusters_have_no_variance_there():
    level = np.array([0.0, 1.0, 3.0])
    fit = three_level(np.repeat(level, 3), np.full(9, 0.1), np.repeat([0, 1, 2], 3))
    means = meta_analysis(level, np.full(3, 0.1 / 3))
    assert fit.sigma2_within == 0
    assert_allclose([fit.estimate, fit.std_error, fit.sigma2_cluster], [means.estimate, means.std_error, means.tau2], rtol=SEARCH)


def test_ignoring_the_clusters_underestimates_the_standard_error():
    y, v, cluster, _ = clustered_effects(4, 300, between=0.8, within=0.0)
    fit, wrong = three_level(y, v, cluster), meta_analysis(y, v)  # the named wrong version: independent effects
    spread = fit.estimate.std()
    assert abs(np.sqrt((fit.std_error**2).mean()) / spread - 1) < 0.15  # an sd of 300 has a relative error of 0.04
    assert np.sqrt((wrong.std_error**2).mean()) / wrong.estimate.std() < 0.75


# ---- cluster-robust standard errors


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("working", ["common", "random_effects", "three_level", "correlated_effects"])
def test_robust_inference_equals_that_of_dense_matrices(correction, working):
    y, v, cluster, x = clustered_effects(5, 5)
    fit = cluster_robust(y, v, cluster, design=x, working=working, correction=correction, rho=0.5)
    levels = three_level(y, v, cluster, design=x, rho=0.5)
    for r in range(len(y)):
        dense = np.diag(v[r] + fit.tau2[r])
        if working == "three_level":
            dense = twin.three_level_covariance(v[r], cluster, levels.sigma2_cluster[r], levels.sigma2_within[r], 0.5)
        if working == "correlated_effects":
            tau2, variances, size = twin.correlated_effects_tau2(y[r], v[r], x[r], cluster, 0.5)
            dense = np.diag(variances + size * tau2)
            assert_allclose(fit.tau2[r], tau2, rtol=ROUNDING, atol=ROUNDING)
        b, covariance, df = twin.cluster_robust(y[r], x[r], dense, cluster, correction)
        assert_allclose(fit.estimate[r], b, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(fit.covariance[r], covariance, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(fit.df[r], df, rtol=ROUNDING)


def test_without_small_sample_correction_the_variance_is_too_small_where_cr2_is_unbiased():
    y, v, cluster, x = clustered_effects(6, 4000, between=0.0, within=0.0)
    y, v, cluster, x = y[:, :12], v[:, :12], cluster[:12], x[:, :12]
    truth = np.linalg.inv(np.einsum("rki,rk,rkj->rij", x, 1 / v, x))[:, 1, 1]
    found, wrong = (cluster_robust(y, v, cluster, design=x, working="common", correction=c).covariance[:, 1, 1] / truth for c in ("CR2", "CR0"))
    error = found.std() / np.sqrt(len(y))
    assert abs(found.mean() - 1) < 4 * error
    assert wrong.mean() < 1 - 8 * error  # the named wrong version


def test_a_coefficient_that_rests_on_one_cluster_is_fitted_exactly_by_cr2_and_told_by_cr3():
    y, v, cluster, x = clustered_effects(7, 3)
    x = np.stack([x[..., 0], np.broadcast_to(cluster == 2, y.shape).astype(float)], axis=-1)
    found = cluster_robust(y, v, cluster, design=x, working="common")
    assert (found.status == MetaStatus.OK).all()
    for r in range(len(y)):
        _, covariance, _ = twin.cluster_robust(y[r], x[r], np.diag(v[r]), cluster, "CR2")
        assert_allclose(found.covariance[r], covariance, rtol=SEARCH)
    assert (cluster_robust(y, v, cluster, design=x, working="common", correction="CR3").status == MetaStatus.COLLINEAR).all()


# ---- two outcomes


@both_likelihoods
@pytest.mark.parametrize(("k", "tau", "missing"), [(11, 0.4, 0.0), (11, 0.4, 0.3), (11, 0.0, 0.0), (3, 0.5, 0.0), (30, 1.0, 0.2)])
def test_two_outcomes_reach_the_highest_likelihood_of_dense_matrices(method, k, tau, missing):
    y, _, s = two_outcomes(8, 5, k, tau, missing)
    fit = bivariate_meta_analysis(y, s, method=method)
    assert (fit.status == MetaStatus.OK).all()
    for r in range(len(y)):
        off = np.nan_to_num(fit.correlation[r]) * np.sqrt(fit.tau2[r].prod())
        parts = twin.bivariate_parts(y[r], s[r], np.array([[fit.tau2[r, 0], off], [off, fit.tau2[r, 1]]]))
        here = twin.log_likelihood(*parts, method == "REML")
        assert_allclose(fit.log_likelihood[r], here, rtol=ROUNDING, atol=ROUNDING)
        assert abs(here - twin.highest_bivariate(y[r], s[r], method == "REML")) < HEIGHT
        b, covariance = twin.coefficients(*parts)
        assert_allclose(fit.estimate[r], b, rtol=ROUNDING, atol=ROUNDING)
        assert_allclose(fit.covariance[r], covariance, rtol=ROUNDING, atol=ROUNDING)


def test_every_replicate_converges_whatever_the_heterogeneity():
    for tau, k, missing in [(0.0, 3, 0.0), (0.3, 11, 0.3), (0.0, 11, 0.0), (2.0, 5, 0.1)]:
        y, _, s = two_outcomes(9, 2000, k, tau, missing)
        fit = bivariate_meta_analysis(y, s)
        enough = (~np.isnan(y)).sum(axis=1).min(axis=1) >= 2
        assert_array_equal(fit.status, np.where(enough, MetaStatus.OK, MetaStatus.TOO_FEW_STUDIES))


def test_exchanging_the_outcomes_exchanges_the_results():
    y, _, s = two_outcomes(10, 50, 8, 0.4, 0.2)
    found, other = bivariate_meta_analysis(y, s), bivariate_meta_analysis(y[..., ::-1], s[..., ::-1, ::-1])
    for name in ("estimate", "std_error", "tau2"):
        assert_allclose(getattr(found, name), getattr(other, name)[:, ::-1], rtol=1e-5, atol=1e-5)
    assert_allclose(found.log_likelihood, other.log_likelihood, rtol=ROUNDING, atol=ROUNDING)


def test_outcomes_that_no_study_reports_together_are_two_meta_analyses():
    y, _, s = two_outcomes(11, 20, 12)
    y[:, ::2, 0], y[:, 1::2, 1] = np.nan, np.nan
    fit = bivariate_meta_analysis(y, s)
    assert np.isnan(fit.correlation).all()
    for i in range(2):
        plain = meta_analysis(y[..., i], s[..., i, i])
        assert_allclose(fit.estimate[:, i], plain.estimate, rtol=SEARCH, atol=SEARCH)
        assert_allclose(fit.tau2[:, i], plain.tau2, rtol=SEARCH, atol=SEARCH)


def test_a_missing_outcome_borrows_from_the_other_one():
    y, _, s = two_outcomes(12, 300, 12, tau=0.6, correlation=0.95)
    true_error = np.array([0.2, -0.3])
    y[:, 4:, 1] = np.nan
    fit, wrong = bivariate_meta_analysis(y, s), meta_analysis(y[..., 1], s[..., 1, 1])  # the named wrong version: the outcome alone
    joint, alone = ((found - true_error[1]) ** 2 for found in (fit.estimate[:, 1], wrong.estimate))
    gain = alone - joint
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))


def test_variances_and_correlation_are_the_same_as_matrices():
    y, v, s = two_outcomes(13, 4, 6, missing=0.2)
    assert_same(bivariate_meta_analysis(y, v, 0.4), bivariate_meta_analysis(y, s), ROUNDING)
    assert_same(bivariate_meta_analysis(y, v[0], 0.4), bivariate_meta_analysis(y, s[0]), ROUNDING)


# ---- laws of all three


def fits(y, v, cluster, x, s=None):
    yield three_level(y, v, cluster)
    yield three_level(y, v, cluster, design=x, method="ML", rho=0.3, ci="t")
    yield cluster_robust(y, v, cluster, working="three_level", correction="CR2")
    yield cluster_robust(y, v, cluster, design=x, correction="CR3")
    yield cluster_robust(y, v, cluster, design=x, working="correlated_effects", correction="CR1p", df="clusters")


def test_a_batch_is_its_replicates_one_by_one_and_shapes_follow():
    y, v, cluster, x = clustered_effects(14, 6)
    y[0, 3], v[1, 5], x[2, 7, 1], y[3, :20] = np.nan, np.inf, np.nan, np.nan
    together = list(fits(y, v, cluster, x))
    for r in range(len(y)):
        for batch, alone in zip(together, fits(y[r], v[r], cluster, x[r]), strict=True):
            assert_same(alone, [column[r] for column in batch], 1e-12)
    for batch, cube in zip(together, fits(*(a.reshape(2, 3, *a.shape[1:]) for a in (y, v)), cluster, x.reshape(2, 3, -1, 2)), strict=True):
        assert_same(cube, [column.reshape(2, 3, *column.shape[1:]) for column in batch], 0)
    pairs, _, s = two_outcomes(15, 6, 7, missing=0.3)
    batch = bivariate_meta_analysis(pairs, s)
    for r in range(len(pairs)):
        assert_same(bivariate_meta_analysis(pairs[r], s[r]), [column[r] for column in batch], 1e-12)


def test_absent_effects_order_and_names_of_clusters_change_nothing():
    y, v, cluster, x = clustered_effects(16, 4)
    gone = [2, 9, 17]
    order = np.random.default_rng(0).permutation(np.delete(np.arange(y.shape[1]), gone))
    holes = y.copy()
    holes[:, gone] = np.nan
    labels = np.array([f"lab {9 - c}" for c in cluster])
    for with_holes, without in zip(fits(holes, v, cluster, x), fits(y[:, order], v[:, order], labels[order], x[:, order]), strict=True):
        assert_same(with_holes, without)


def test_the_sign_and_the_unit_of_effects_carry_over():
    y, v, cluster, x = clustered_effects(17, 4)
    for plain, scaled in zip(fits(y, v, cluster, x), fits(-10 * y, 100 * v, cluster, x), strict=True):
        assert_allclose(scaled.estimate, -10 * plain.estimate, rtol=SEARCH, atol=SEARCH)
        assert_allclose(scaled.std_error, 10 * plain.std_error, rtol=SEARCH)
        assert_allclose(scaled.lower, -10 * plain.upper, rtol=SEARCH, atol=10 * SEARCH)
        assert_allclose(scaled.tau2, 100 * plain.tau2, rtol=SEARCH, atol=SEARCH)
        assert_allclose(scaled.p_value, plain.p_value, rtol=1e-4, atol=SEARCH)
    pairs, _, s = two_outcomes(18, 10, 7)
    plain, scaled = bivariate_meta_analysis(pairs, s), bivariate_meta_analysis(-10 * pairs, 100 * s)
    assert_allclose(scaled.estimate, -10 * plain.estimate, rtol=SEARCH, atol=SEARCH)
    assert_allclose(scaled.tau2, 100 * plain.tau2, rtol=1e-5, atol=SEARCH)


def test_what_cannot_be_fitted_has_a_status_and_no_numbers():
    y, v, cluster = np.array([0.1, 0.3, 0.2, 0.5]), np.full(4, 0.1), np.array([0, 0, 1, 1])
    for model in (three_level, cluster_robust):
        cases = {
            MetaStatus.TOO_FEW_STUDIES: model(y, v, np.zeros(4)),
            MetaStatus.ZERO_VARIANCE: model(y, np.array([0.1, 0.0, 0.1, 0.1]), cluster),
            MetaStatus.COLLINEAR: model(y, v, cluster, design=np.ones((4, 2))),
        }
        for status, fit in cases.items():
            assert fit.status == status
            assert np.isnan(fit.estimate).all()
            assert np.isnan(fit.std_error).all()
            assert np.isnan(fit.tau2)
        assert model(np.full(4, np.nan), v, cluster).status == MetaStatus.TOO_FEW_STUDIES
    assert cluster_robust(y, v, cluster, design=np.vander(y, 2), correction="CR1p").status == MetaStatus.TOO_FEW_STUDIES
    pairs, s = np.array([[0.1, np.nan], [0.3, 0.2], [0.2, np.nan]]), np.tile(np.eye(2), (3, 1, 1))
    assert bivariate_meta_analysis(pairs, s).status == MetaStatus.TOO_FEW_STUDIES
    pairs[0, 1] = 0.4
    assert bivariate_meta_analysis(pairs, s).status == MetaStatus.OK
    assert bivariate_meta_analysis(pairs, np.tile(np.diag([0.0, 1.0]), (3, 1, 1))).status == MetaStatus.ZERO_VARIANCE


def test_wrong_arguments_say_which():
    y, v, cluster = np.zeros(4), np.ones(4), np.array([0, 0, 1, 1])
    for wrong, call in {
        "method = 'REM'": lambda: three_level(y, v, cluster, method="REM"),
        "rho": lambda: three_level(y, v, cluster, rho=1.0),
        "cluster must": lambda: three_level(y, v, cluster[:3]),
        "design must": lambda: three_level(y, v, cluster, design=np.ones(4)),
        "correction = 'CR4'": lambda: cluster_robust(y, v, cluster, correction="CR4"),
        "working": lambda: cluster_robust(y, v, cluster, working="fixed"),
        "yi must": lambda: bivariate_meta_analysis(y, v),
        "vi must": lambda: bivariate_meta_analysis(np.zeros((4, 2)), np.ones((4, 2))),
        "correlation must": lambda: bivariate_meta_analysis(np.zeros((4, 2)), np.ones((4, 2)), 1.5),
        "vi must hold": lambda: bivariate_meta_analysis(np.zeros((4, 2)), np.tile([[1.0, 2.0], [2.0, 1.0]], (4, 1, 1))),
    }.items():
        with pytest.raises(ValueError, match=wrong):
            call()
