"""Conjugate analyses: prior times likelihood integrated numerically, closed forms, agreement with p-values, and what averages must be."""

import numpy as np
import pytest
from double import bayes as twin
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import gammaln, ndtr, stdtr

from simtrials.core.status import Status
from simtrials.stats.bayes import (
    BetaMixture,
    NormalInverseGamma,
    NormalMixture,
    beta_difference_exceeds,
    beta_effect,
    beta_posterior,
    beta_sample_size,
    decide,
    normal_effect,
    normal_posterior,
    normal_sample_size,
    robust_beta_prior,
    robust_normal_prior,
    student_effect,
)
from simtrials.stats.means import Moments, t_test, two_arm_moments

EPS = np.finfo(float).eps
EXACT = 1e-12
INTEGRATED = 1e-10  # two nested integrals of the twin, each to 1e-12 of itself
UNIFORM = BetaMixture.of((1, 1, 1))
INFORMATIVE = ((0.6, 11.0, 32.0), (0.4, 4.0, 9.0))
ROBUST = robust_beta_prior(BetaMixture.of(*INFORMATIVE), 0.2)
COMPONENTS = ((0.48, 11.0, 32.0), (0.32, 4.0, 9.0), (0.2, 1.0, 1.0))
NORMALS = ((0.7, -2.0, 1.5), (0.3, 0.0, 8.0))


def rounding(*parameters):
    """Of a beta density: that of its log-gamma functions, whose size grows with the parameters."""
    return 8 * EPS * (1 + gammaln(sum(parameters)).max())


def exceeds(a1, b1, a0, b0, threshold=0.0):
    columns = [np.atleast_1d(np.asarray(values, dtype=float))[:, np.newaxis] for values in (a1, b1, a0, b0)]
    one = np.ones_like(columns[0])
    return beta_difference_exceeds(BetaMixture(one, *columns[:2]), BetaMixture(one, *columns[2:]), threshold)


def random_parameters(n, largest, seed):
    return np.exp(np.random.default_rng(seed).uniform(np.log(0.3), np.log(largest), size=(4, n)))


def test_mixtures_are_checked():
    for components in (((0.5, 1, 1), (0.4, 2, 2)), ((1.2, 1, 1), (-0.2, 2, 2)), ((1, np.nan, 1),), ((1, 0, 2),)):
        with pytest.raises(ValueError, match="mixture"):
            BetaMixture.of(*components)
    for components in (((1, 0, 0),), ((0.5, 0, 1), (0.5, 0, np.inf))):
        with pytest.raises(ValueError, match="standard deviations"):
            NormalMixture.of(*components)


def test_a_robust_prior_has_one_component_more():
    assert_allclose(np.stack(ROBUST), np.array(COMPONENTS).T, rtol=EXACT)
    assert_allclose(np.stack(robust_normal_prior(NormalMixture.of((1, -2, 1.5)), 0.3, 0.0, 8.0)), np.array(NORMALS).T, rtol=EXACT)


@pytest.mark.parametrize(("events", "n"), [(0, 0), (3, 20), (19, 20), (200, 500)])
def test_a_beta_mixture_is_prior_times_likelihood(events, n):
    found = beta_posterior(ROBUST, [events], [n])
    density, mean, sd, _ = twin.risk_posterior(COMPONENTS, events, n)
    points = mean + sd * np.array([-2, -0.5, 1, 2.5])
    points = points[(points > 0) & (points < 1)]
    of_components = np.stack([twin.beta_density(points, *found_k) for found_k in zip(found.a[0], found.b[0], strict=True)])
    assert_allclose(found.weight[0] @ of_components, density(points), rtol=INTEGRATED)
    moments = found.moments
    assert_allclose([moments[0][0], np.sqrt(moments[1][0])], [mean, sd], rtol=INTEGRATED)


@pytest.mark.parametrize(("mean", "n", "sd"), [(-2.5, 12, 6.0), (6.0, 40, 6.0)])
def test_a_normal_mixture_is_prior_times_likelihood(mean, n, sd):
    posterior = normal_posterior(NormalMixture.of(*NORMALS), [mean], [n], [sd])
    known = NormalMixture(np.ones((1, 1)), np.zeros((1, 1)), np.full((1, 1), 1e-9))
    centre, spread, distribution = twin.mean_posterior(NORMALS, mean, n, sd)
    found = normal_effect(posterior, known, threshold=centre + 0.3)
    assert_allclose([found.mean[0], found.sd[0]], [centre, spread], rtol=INTEGRATED)
    assert_allclose(found.probability[0], 1 - distribution(centre + 0.3), rtol=0, atol=INTEGRATED)


def test_weight_moves_to_the_component_that_foresaw_the_data():
    agreeing, contradicting = beta_posterior(ROBUST, [10, 38], [40, 40]).weight
    assert agreeing[2] < 0.2 < 0.95 < contradicting[2]
    assert agreeing[0] > 0.48
    normal = normal_posterior(NormalMixture.of(*NORMALS), [-2.0, 15.0], [20, 20], [6.0, 6.0]).weight[:, 1]
    assert normal[0] < 0.3 < 0.99 < normal[1]


def test_data_in_two_parts_give_what_they_give_together():
    first = beta_posterior(ROBUST, [4], [13])
    second = beta_posterior(BetaMixture(*(values[0] for values in first)), [9], [20])
    for one, other in zip(second, beta_posterior(ROBUST, [13], [33]), strict=True):
        assert_allclose(one, other, rtol=1e-11)
    prior = NormalMixture.of(*NORMALS)
    first_half = normal_posterior(prior, [1.0], [10], [6.0])
    both = normal_posterior(NormalMixture(*(values[0] for values in first_half)), [3.0], [30], [6.0])
    for one, other in zip(both, normal_posterior(prior, [2.5], [40], [6.0]), strict=True):
        assert_allclose(one, other, rtol=1e-11)


def test_without_patients_the_posterior_is_the_prior():
    for found, prior in (
        (beta_posterior(ROBUST, [0], [0]), ROBUST),
        (normal_posterior(NormalMixture.of(*NORMALS), [np.nan], [0], [6.0]), NormalMixture.of(*NORMALS)),
    ):
        for one, other in zip(found, prior, strict=True):
            assert_allclose(one[0], other, rtol=EXACT)


@pytest.mark.parametrize("threshold", [0.0, 0.1, -0.25])
def test_the_difference_of_two_risks_is_two_nested_integrals(threshold):
    data = ((14, 23, 1, 6), (30, 60, 12, 45), (0, 10, 5, 12))
    found = beta_effect(*np.array(data).T, UNIFORM, ROBUST, threshold)
    for r, (events_active, n_active, events_control, n_control) in enumerate(data):
        f1, mean1, sd1, cuts1 = twin.risk_posterior(((1, 1, 1),), events_active, n_active)
        f0, mean0, sd0, cuts0 = twin.risk_posterior(COMPONENTS, events_control, n_control)
        assert_allclose([found.mean[r], found.sd[r]], [mean1 - mean0, np.hypot(sd1, sd0)], rtol=1e-9, atol=INTEGRATED)
        assert_allclose(found.probability[r], twin.risk_difference_exceeds((f1, cuts1), (f0, cuts0), threshold), rtol=0, atol=INTEGRATED)


def test_with_whole_numbers_it_is_a_finite_sum():
    rng = np.random.default_rng(1)
    parameters = np.concatenate([rng.integers(1, 40, size=(60, 4)), rng.integers(200, 900, size=(6, 4)), [[1, 300, 2, 5], [300, 1, 400, 2]]])
    found = exceeds(*parameters.T)
    for r, (a1, b1, a0, b0) in enumerate(parameters):
        assert_allclose(found[r], twin.whole_number_probability(int(a1), b1, a0, b0), rtol=0, atol=10 * rounding(parameters[r]))


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.9])
def test_uniform_risks_differ_by_a_triangle(threshold):
    assert_allclose(exceeds(1, 1, 1, 1, threshold), (1 - threshold) ** 2 / 2, rtol=0, atol=EXACT)
    assert_allclose(exceeds(1, 1, 1, 1, -threshold), 1 - (1 - threshold) ** 2 / 2, rtol=0, atol=EXACT)


@pytest.mark.parametrize("threshold", [0.0, 0.05, -0.2, 0.6])
@pytest.mark.parametrize("largest", [3, 2000])
def test_swapping_arms_and_counting_the_others_mirror_the_probability(threshold, largest):
    """The two sides are different integrals: of the density of one times the distribution of the other."""
    a1, b1, a0, b0 = parameters = random_parameters(400, largest, seed=2)
    there, back = exceeds(a1, b1, a0, b0, threshold), exceeds(a0, b0, a1, b1, -threshold)
    assert_allclose(there + back, 1, rtol=0, atol=4 * rounding(*parameters))
    assert_allclose(exceeds(b0, a0, b1, a1, threshold), there, rtol=0, atol=4 * rounding(*parameters))
    assert np.all((there >= 0) & (there <= 1))


def test_the_probability_falls_as_the_threshold_grows():
    parameters = random_parameters(100, 300, seed=3)
    probabilities = np.array([exceeds(*parameters, threshold) for threshold in np.linspace(-0.99, 0.99, 67)])
    assert np.all(np.diff(probabilities, axis=0) <= 2 * rounding(*parameters))
    assert np.all(probabilities[0] > probabilities[-1])
    with pytest.raises(ValueError, match="between -1 and 1"):
        exceeds(1, 1, 1, 1, 1.0)


def test_over_all_data_that_the_priors_foresee_the_mean_probability_is_that_of_the_priors():
    """Leaving the weights of the mixture as they were, the likely mistake, breaks it."""
    n_active, n_control = 12, 15
    active, control = np.indices((n_active + 1, n_control + 1)).reshape(2, -1)
    chance = twin.predictive(((1, 1, 1),), n_active)[active] * twin.predictive(COMPONENTS, n_control)[control]
    prior = beta_difference_exceeds(beta_posterior(UNIFORM, [0], [0]), beta_posterior(ROBUST, [0], [0]), 0.1)[0]
    assert_allclose(chance @ beta_effect(active, n_active, control, n_control, UNIFORM, ROBUST, 0.1).probability, prior, rtol=0, atol=EXACT)
    posterior = beta_posterior(ROBUST, control, np.full(control.size, n_control))
    frozen = posterior._replace(weight=np.broadcast_to(ROBUST.weight, posterior.weight.shape))
    wrong = beta_difference_exceeds(beta_posterior(UNIFORM, active, np.full(active.size, n_active)), frozen, 0.1)
    assert abs(chance @ wrong - prior) > 1e-3


def test_a_replicate_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(4)
    events, n = rng.integers(0, 20, size=(2, 80)).astype(float), np.full((2, 80), 20.0)
    events[0, 7] = np.nan
    found = beta_effect(events[0], n[0], events[1], n[1], UNIFORM, ROBUST, 0.05)
    for r in range(80):
        alone = beta_effect(events[0, r], n[0, r], events[1, r], n[1, r], UNIFORM, ROBUST, 0.05)
        for one, other in zip(alone, found, strict=True):
            assert_array_equal(one, other[[r]])
    many = [np.tile(values, 60) for values in (events[0], n[0], events[1], n[1])]
    posteriors = beta_posterior(UNIFORM, many[0], many[1]), beta_posterior(ROBUST, many[2], many[3])
    assert_array_equal(beta_difference_exceeds(*posteriors, 0.05), np.tile(found.probability, 60))  # more than fits into memory at once


def test_an_arm_without_patients_is_its_prior_and_missing_or_impossible_counts_are_not():
    alone = beta_effect([14, np.nan], [23, 10], [0, 0], [0, 0], UNIFORM, ROBUST)
    assert_array_equal(alone.status, [Status.OK, Status.TOO_FEW_PATIENTS])
    assert np.isnan([alone.mean[1], alone.sd[1], alone.probability[1]]).all()
    f1, _, _, cuts1 = twin.risk_posterior(((1, 1, 1),), 14, 23)
    f0, _, _, cuts0 = twin.risk_posterior(COMPONENTS, 0, 0)
    assert_allclose(alone.probability[0], twin.risk_difference_exceeds((f1, cuts1), (f0, cuts0), 0.0), rtol=0, atol=INTEGRATED)
    for events, n in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="between 0 and"):
            beta_posterior(UNIFORM, [events], [n])


def two_arms(seed, n_replicates=30):
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, size=(n_replicates, 24)).astype(np.int8)
    return 5 + 2 * rng.normal(size=arm.shape) + 1.5 * arm, arm


def test_with_the_reference_prior_the_probability_is_one_less_the_p_value_of_the_t_test():
    outcome, arm = two_arms(5)
    for threshold in (0.0, 1.0):
        test = t_test(outcome, arm, 1)
        found = student_effect(two_arm_moments(outcome, arm, 1), threshold=threshold)
        assert_allclose(found.mean, test.estimate, rtol=EXACT)
        assert_allclose(found.probability, stdtr(test.df, (test.estimate - threshold) / test.std_error), rtol=1e-11)
        assert_allclose(found.sd, test.std_error * np.sqrt(test.df / (test.df - 2)), rtol=1e-11)


def test_with_flat_priors_and_a_known_variance_it_is_one_less_the_p_value_of_the_z_test():
    n, mean = np.array([[12.0, 30.0]]), np.array([[4.0, 5.2]])
    flat = NormalMixture.of((1, 0, np.inf))
    found = normal_effect(normal_posterior(flat, mean[:, 1], n[:, 1], 2.5), normal_posterior(flat, mean[:, 0], n[:, 0], 2.5), 0.4)
    std_error = 2.5 * np.sqrt(1 / 12 + 1 / 30)
    assert_allclose([found.mean[0], found.sd[0]], [1.2, std_error], rtol=EXACT)
    assert_allclose(found.probability[0], ndtr(0.8 / std_error), rtol=EXACT)
    assert (
        normal_effect(normal_posterior(flat, [np.nan], [0], [2.5]), normal_posterior(flat, [4.0], [12], [2.5])).status[0] == Status.TOO_FEW_PATIENTS
    )


@pytest.mark.parametrize("prior", [NormalInverseGamma(1.0, 3.0, 0.5, 8.0, 2.5, 6.0), NormalInverseGamma(n_control=5.0, shape=1.0, rate=2.0)])
def test_student_is_the_normal_answer_integrated_over_the_variance(prior):
    outcome, arm = two_arms(6, n_replicates=3)
    moments = two_arm_moments(outcome, arm, 1)
    found = student_effect(moments, prior, 0.7)
    pairs = (prior.n_control, prior.n_active), (prior.mean_control, prior.mean_active)
    for r in range(3):
        expected = twin.t_probability(moments.n[r], moments.mean[r], moments.squares[r], (*pairs, prior.shape, prior.rate), 0.7)
        assert_allclose(found.probability[r], expected, rtol=0, atol=INTEGRATED)


def test_a_prior_of_many_patients_decides_and_one_of_few_does_not():
    moments = two_arm_moments(*two_arms(7), 1)
    strong, weak = (student_effect(moments, NormalInverseGamma(9.0, n, 5.0, n, 1.0, 1.0)) for n in (1e7, 1e-7))
    assert_allclose(strong.mean, 4.0, rtol=1e-5)
    assert_allclose(weak.mean, moments.mean[:, 1] - moments.mean[:, 0], rtol=1e-5)


def test_means_that_cannot_be_estimated_are_nan_with_their_reason():
    n = np.array([[8.0, 8.0], [8.0, 0.0], [1.0, 1.0], [8.0, 8.0]])
    mean = np.array([[4.0, 5.0], [4.0, np.nan], [4.0, 5.0], [4.0, 5.0]])
    squares = np.array([[9.0, 9.0], [9.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = student_effect(Moments(n, mean, squares))
    assert_array_equal(found.status, [Status.OK, Status.TOO_FEW_PATIENTS, Status.TOO_FEW_PATIENTS, Status.NO_VARIATION])
    assert_array_equal(np.isnan(found.probability), found.status != Status.OK)
    informed = student_effect(Moments(n, mean, squares), NormalInverseGamma(5.0, 2.0, 4.0, 2.0, 3.0, 3.0))
    assert_array_equal(informed.status, Status.OK)
    assert np.isfinite([informed.mean, informed.sd, informed.probability]).all()


def test_decisions():
    probability = np.array([0.99, 0.975, 0.5, 0.1, 0.05, np.nan])
    assert_array_equal(decide(probability, 0.975, 0.1), [1, 0, 0, 0, -1, 0])
    assert_array_equal(decide(probability), [1, 0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="stop_below"):
        decide(probability, 0.5, 0.6)


@pytest.mark.parametrize(("a", "b"), [(5, 15), (1.05, 3), (1.2, 1.3), (437, 10.7)])
def test_one_component_is_worth_its_own_number_of_patients(a, b):
    """By any method; near 1 and below, the curvature at the end no longer has a mean."""
    for method in ("elir", "moment"):
        assert_allclose(beta_sample_size(BetaMixture.of((1, a, b)), method), a + b, rtol=1e-9)
        assert_allclose(normal_sample_size(NormalMixture.of((1, a, b)), 3.0, method), 9 / b**2, rtol=1e-9)


def test_an_a_or_b_of_1_has_no_curvature_at_that_end():
    assert_allclose(beta_sample_size(UNIFORM), 0.0, rtol=0, atol=1e-12)
    assert_allclose(beta_sample_size(BetaMixture.of((1, 1, 5))), 1.0, rtol=1e-10)  # E[(b - 1) x / (1 - x)] is 1
    assert_allclose(beta_sample_size(UNIFORM, "moment"), 2.0, rtol=EXACT)
    with pytest.raises(ValueError, match="at least 1"):
        beta_sample_size(BetaMixture.of((1, 0.9, 5)))


def test_patients_that_the_prior_foresees_add_their_number_on_average():
    """What distinguishes the expected local information ratio: Neuenschwander et al. (2020), theorem 1; the moments do not have it."""
    n, components = 10, ((0.3, 3.0, 4.0), (0.7, 11.0, 32.0))
    prior = BetaMixture.of(*components)
    posterior = beta_posterior(prior, np.arange(n + 1), np.full(n + 1, n))
    chance = twin.predictive(components, n)
    for method, consistent in (("elir", True), ("moment", False)):
        sizes = [beta_sample_size(BetaMixture(*(values[k] for values in posterior)), method) for k in range(n + 1)]
        gap = chance @ np.array(sizes) - n - beta_sample_size(prior, method)
        assert (abs(gap) < 1e-8) == consistent
        assert (abs(gap) > 1) == (not consistent)


def test_the_robust_component_lowers_the_effective_sample_size():
    informative = BetaMixture.of(*INFORMATIVE)
    sizes = [beta_sample_size(robust_beta_prior(informative, weight)) for weight in (0.05, 0.2, 0.5, 0.9)]
    assert np.all(np.diff([beta_sample_size(informative), *sizes]) < 0)
