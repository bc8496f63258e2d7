"""What papers report, back and forth: round trips are exact, published examples come out, and what no sample can have is NaN."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from simtrials.stats.effect_size_inputs import (
    combine_groups,
    correlation_of_change,
    effect_from_confidence_interval,
    effect_from_p_value,
    effect_from_standard_error,
    pooled_sd_from_difference,
    sd_from_confidence_interval,
    sd_from_standard_error,
    sd_of_change,
    split_shared_control,
    std_error_from_confidence_interval,
    std_error_from_p_value,
    std_error_from_t_value,
)
from simtrials.stats.effect_sizes import effect_sizes
from simtrials.stats.effect_sizes_quantiles import mean_and_sd_from_quantiles

EXACT = 1e-12  # a few dozen roundings
QUANTILE = 1e-9  # of the t distribution and back
RNG = np.random.default_rng(7)
N, MEAN, SD = RNG.integers(3, 80, 50).astype(float), RNG.normal(10, 4, 50), RNG.uniform(0.5, 9, 50)

# ---- one arm


def test_an_sd_comes_back_from_its_standard_error():
    assert_allclose(sd_from_standard_error(SD / np.sqrt(N), N), SD, rtol=EXACT)


@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_an_sd_comes_back_from_its_interval(normal, level):
    quantile = stats.norm.ppf(0.5 + level / 2) if normal else stats.t.ppf(0.5 + level / 2, N - 1)
    margin = quantile * SD / np.sqrt(N)
    assert_allclose(sd_from_confidence_interval(MEAN - margin, MEAN + margin, N, level=level, normal=normal), SD, rtol=QUANTILE)


def test_an_interval_of_a_t_distribution_read_as_normal_gives_a_larger_sd():
    assert sd_from_confidence_interval(30, 34.2, 25, normal=True) > sd_from_confidence_interval(30, 34.2, 25) * 1.05


# ---- differences


def test_a_standard_error_comes_back_from_t_p_and_interval():
    difference, se, df = RNG.normal(2, 3, 50), RNG.uniform(0.3, 2, 50), RNG.integers(4, 90, 50).astype(float)
    t = difference / se
    p = 2 * stats.t.sf(np.abs(t), df)
    margin = stats.t.ppf(0.975, df) * se
    assert_allclose(std_error_from_t_value(difference, t), se, rtol=EXACT)
    assert_allclose(std_error_from_p_value(difference, p, df), se, rtol=1e-7)
    assert_allclose(std_error_from_confidence_interval(difference - margin, difference + margin, df), se, rtol=QUANTILE)
    assert_allclose(std_error_from_p_value(difference, 2 * stats.norm.sf(np.abs(t))), se, rtol=1e-7)


def test_the_example_of_the_cochrane_handbook_comes_out():
    """Difference 3.8, p = 0.008 with 25 and 22 patients: t = 2.78, SE = 1.37 (section 7.7.3.3 of version 5.1)."""
    se = std_error_from_p_value(3.8, 0.008, 25 + 22 - 2)
    assert round(3.8 / float(se), 2) == 2.78
    assert round(float(se), 2) == 1.37
    assert_allclose(pooled_sd_from_difference(se, 25, 22), se / np.sqrt(1 / 25 + 1 / 22), rtol=EXACT)


def test_the_cross_over_example_of_the_cochrane_handbook_comes_out():
    """SDs 2.38 and 2.21 with correlation 0.68 and 10 patients: standard error 0.583 (section 16.4.6.4 of version 5.1)."""
    assert round(float(sd_of_change(2.38, 2.21, 0.68)) / np.sqrt(10), 3) == 0.583


def test_the_pooled_sd_leads_back_to_the_same_effect():
    n_active, n_control = N, N[::-1]
    se = SD * np.sqrt(1 / n_active + 1 / n_control)
    sd = pooled_sd_from_difference(se, n_active, n_control)
    found = effect_sizes("MD", mean_active=MEAN, sd_active=sd, n_active=n_active, mean_control=0, sd_control=sd, n_control=n_control)
    assert_allclose(found.vi, se**2, rtol=EXACT)


@pytest.mark.parametrize(("ratio", "lower", "upper", "yi", "vi"), [(1.37, 1.03, 1.82, 0.3148, 0.0211), (1.89, 1.60, 2.23, 0.6366, 0.0072)])
def test_odds_ratios_with_intervals_are_those_of_the_manual_of_metafor(ratio, lower, upper, yi, vi):
    """Example of conv.wald in the manual of R's metafor 5."""
    found = effect_from_confidence_interval(ratio, lower, upper, scale="ratio")
    assert_array_equal([round(float(found.yi), 4), round(float(found.vi), 4)], [yi, vi])


def test_effects_come_back_from_whatever_was_reported():
    yi, se = RNG.normal(0.3, 0.5, 50), RNG.uniform(0.05, 0.6, 50)
    z = stats.norm.ppf(0.975)
    p = 2 * stats.norm.sf(np.abs(yi / se))
    for scale, shown in (("difference", lambda x: x), ("ratio", np.exp)):
        found = [
            effect_from_confidence_interval(shown(yi), shown(yi - z * se), shown(yi + z * se), scale=scale),
            effect_from_confidence_interval(np.nan, shown(yi - z * se), shown(yi + z * se), scale=scale),
            effect_from_standard_error(shown(yi), se, scale=scale),
            effect_from_p_value(shown(yi), p, scale=scale),
        ]
        for effect in found:
            assert_allclose(effect.yi, yi, rtol=QUANTILE, atol=QUANTILE)
            assert_allclose(effect.vi, se**2, rtol=1e-7)


def test_the_effect_of_the_inverse_ratio_is_the_opposite():
    found, inverse = (
        effect_from_confidence_interval(0.7, 0.5, 0.98, scale="ratio"),
        effect_from_confidence_interval(1 / 0.7, 1 / 0.98, 2, scale="ratio"),
    )
    assert_allclose([found.yi, found.vi], [-inverse.yi, inverse.vi], rtol=EXACT)


# ---- change


def test_correlation_and_sd_of_change_are_inverse():
    first, last, r = SD, SD[::-1], RNG.uniform(-1, 1, 50)
    assert_allclose(correlation_of_change(first, last, sd_of_change(first, last, r)), r, rtol=1e-9, atol=1e-9)


def test_a_correlation_of_one_leaves_the_difference_of_sds_and_none_their_squares():
    assert_allclose(sd_of_change(5.0, 3.0, 1.0), 2.0, rtol=EXACT)
    assert_allclose(sd_of_change(5.0, 5.0, 1.0), 0.0)
    assert_allclose(sd_of_change(3.0, 4.0, 0.0), 5.0, rtol=EXACT)


def test_the_correlation_of_a_sample_is_found_from_its_three_sds():
    first, noise = RNG.normal(size=(2, 30))
    last = 0.6 * first + noise
    found = correlation_of_change(first.std(ddof=1), last.std(ddof=1), (last - first).std(ddof=1))
    assert_allclose(found, np.corrcoef(first, last)[0, 1], rtol=1e-10)


# ---- groups


def test_combined_groups_are_the_sample_of_all_patients():
    samples = [RNG.normal(m, s, n) for m, s, n in ((3, 1, 12), (7, 2, 5), (4, 9, 31))]
    found = combine_groups(*(np.array([f(s) for s in samples]) for f in (len, np.mean, lambda s: np.std(s, ddof=1))))
    everyone = np.concatenate(samples)
    assert_allclose(found, [48, everyone.mean(), everyone.std(ddof=1)], rtol=EXACT)


def test_two_groups_combine_by_the_formula_of_the_cochrane_handbook():
    n1, m1, s1, n2, m2, s2 = 20.0, 4.0, 2.0, 30.0, 5.5, 3.0
    squares = (n1 - 1) * s1**2 + (n2 - 1) * s2**2 + n1 * n2 / (n1 + n2) * (m1**2 + m2**2 - 2 * m1 * m2)
    expected = 50, (n1 * m1 + n2 * m2) / 50, np.sqrt(squares / 49)
    assert_allclose(combine_groups([n1, n2], [m1, m2], [s1, s2]), expected, rtol=EXACT)


def test_combining_in_steps_or_at_once_is_the_same_and_absent_groups_do_not_count():
    n, mean, sd = N[:3], MEAN[:3], SD[:3]
    first = combine_groups(n[:2], mean[:2], sd[:2])
    stepwise = combine_groups(*(np.array([one, other[2]]) for one, other in zip(first, (n, mean, sd), strict=True)))
    assert_allclose(stepwise, combine_groups(n, mean, sd), rtol=EXACT)
    padded = (np.append(x, np.nan) for x in (n, mean, sd))
    assert_allclose(combine_groups(*padded), combine_groups(n, mean, sd), rtol=EXACT)
    assert combine_groups(np.ones((4, 3)), np.ones((4, 3)), np.zeros((4, 3)), axis=0).n.shape == (3,)


def test_a_pooled_sd_would_miss_the_difference_between_the_groups():
    """The named wrong version: means 0 and 10 with SD 1 are no group with SD 1."""
    assert combine_groups([20, 20], [0, 10], [1, 1]).sd > 5


def test_parts_of_a_shared_control_add_up_and_keep_its_risk():
    n, events = split_shared_control(45, 3, 12)
    assert_allclose([3 * n, 3 * events, events / n], [45, 12, 12 / 45], rtol=EXACT)
    n, events = split_shared_control([45, 20], [3, 2])
    assert_array_equal(n, [15, 10])
    assert np.isnan(events).all()


# ---- quantiles


def test_means_and_sds_from_quantiles_are_those_of_the_manual_of_metafor():
    """First example of conv.fivenum in the manual of R's metafor 5, printed with seven digits: range, quartiles, all five numbers."""
    nan = np.nan
    numbers = {"minimum": [2, nan, 2], "first_quartile": [nan, 4, 4], "median": [6, 6, 6], "third_quartile": [nan, 10, 10]}
    found = mean_and_sd_from_quantiles(20, maximum=[14, nan, 14], **numbers)
    assert_allclose(found.mean, [6.594468, 6.719500, 6.938841], atol=5e-7)
    assert_allclose(found.sd, [3.211576, 4.787076, 3.679435], atol=5e-7)
    assert not found.skewed.any()


def test_a_skewed_sample_of_that_manual_is_told_and_has_numbers_only_if_asked():
    numbers = {"minimum": 2, "first_quartile": 4, "median": 6, "third_quartile": 14, "maximum": 20}
    found = mean_and_sd_from_quantiles(20, **numbers)
    assert found.skewed
    assert np.isnan([found.mean, found.sd]).all()
    assert np.isfinite(mean_and_sd_from_quantiles(20, **numbers, even_if_skewed=True)[:2]).all()


def test_quantiles_move_and_stretch_with_the_sample():
    five = np.sort(RNG.normal(size=(5, 40)), axis=0)
    names = ("minimum", "first_quartile", "median", "third_quartile", "maximum")
    for chosen in (names, names[::2], names[1:4]):
        numbers = {name: row for name, row in zip(names, five, strict=True) if name in chosen}
        found = mean_and_sd_from_quantiles(37, **numbers, even_if_skewed=True)
        moved = mean_and_sd_from_quantiles(37, **{name: 5 + 2 * row for name, row in numbers.items()}, even_if_skewed=True)
        mirrored = dict(zip(names, -five[::-1], strict=True))
        mirrored = mean_and_sd_from_quantiles(37, **{name: mirrored[name] for name in chosen}, even_if_skewed=True)
        assert_allclose(moved.mean, 5 + 2 * found.mean, rtol=1e-10, atol=1e-10)
        assert_allclose(moved.sd, 2 * found.sd, rtol=EXACT)
        assert_array_equal(moved.skewed, found.skewed)
        assert_allclose([mirrored.mean, mirrored.sd], [-found.mean, found.sd], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n", [15, 60, 400])
def test_the_moments_of_normal_samples_are_recovered_without_bias_and_the_skewness_test_holds_its_level(n):
    sample = np.sort(np.random.default_rng(n).normal(50, 10, (4000, n)), axis=1)
    q1, median, q3 = np.quantile(sample, [0.25, 0.5, 0.75], axis=1)
    numbers = {"median": median, "first_quartile": q1, "third_quartile": q3, "minimum": sample[:, 0], "maximum": sample[:, -1]}
    for chosen in (list(numbers), ["median", "minimum", "maximum"], ["median", "first_quartile", "third_quartile"]):
        found = mean_and_sd_from_quantiles(n, **{name: numbers[name] for name in chosen}, even_if_skewed=True)
        error = found.mean.std() / np.sqrt(4000)
        assert abs(found.mean.mean() - 50) < 4 * error
        assert abs(found.sd.mean() / 10 - 1) < 0.05  # the formulas themselves are fits; quartiles are defined in several ways
        assert found.skewed.mean() < 0.08


def test_the_sd_needs_no_median_and_the_mean_does():
    found = mean_and_sd_from_quantiles(30, first_quartile=4.0, third_quartile=9.0)
    assert np.isfinite(found.sd)
    assert np.isnan(found.mean)


def test_numbers_out_of_order_too_few_patients_and_too_few_numbers_give_nothing():
    out_of_order = mean_and_sd_from_quantiles(30, first_quartile=9.0, median=6.0, third_quartile=12.0)
    few = mean_and_sd_from_quantiles(4, first_quartile=3.0, median=6.0, third_quartile=12.0)
    lone = mean_and_sd_from_quantiles(30, median=6.0, minimum=3.0)
    for found in (out_of_order, few, lone):
        assert np.isnan([found.mean, found.sd]).all()
        assert not found.skewed


# ---- what no sample can have


@pytest.mark.parametrize(
    "nothing",
    [
        sd_from_standard_error(-1.0, 20),
        sd_from_standard_error(1.0, np.nan),
        sd_from_confidence_interval(4, 3, 20),
        sd_from_confidence_interval(3, 4, 1),
        std_error_from_t_value(2.0, 0.0),
        std_error_from_p_value(2.0, 1.0),
        std_error_from_p_value(2.0, 0.0),
        pooled_sd_from_difference(1.0, 0, 10),
        sd_of_change(2.0, 3.0, 1.2),
        correlation_of_change(2.0, 3.0, 9.0),
        effect_from_confidence_interval(-0.5, 0.2, 0.9, scale="ratio").yi,
        effect_from_confidence_interval(0.5, 0.0, 0.9, scale="ratio").vi,
        effect_from_p_value(1.0, 0.4, scale="ratio").vi,
        effect_from_standard_error(1.0, -2.0).yi,
        combine_groups([np.nan], [3.0], [1.0]).n,
        combine_groups([1.0], [3.0], [0.0]).sd,
        split_shared_control(20, 0)[0],
        split_shared_control(20, 2, 30)[1],
    ],
)
def test_what_no_sample_can_have_is_nan(nothing):
    assert np.isnan(nothing)


def test_wrong_words_and_levels_are_told():
    with pytest.raises(ValueError, match="ratio"):
        effect_from_standard_error(1.0, 1.0, scale="ratios")
    with pytest.raises(ValueError, match="level"):
        sd_from_confidence_interval(1, 2, 10, level=95)
