"""Every rule by which numbers are printed."""

import numpy as np
import pytest

from simtrials.core.measures import share_mcse, wilson
from simtrials.report import numbers


@pytest.mark.parametrize(
    ("value", "mcse", "most", "printed"),
    [
        (84.21, 0.36, 1, "84.2"),
        (84.21, 1.6, 1, "84"),
        (84.21, 0.036, 1, "84.2"),
        (84.21, 16.0, 1, "80"),
        (0.3512, 0.004, 2, "0.35"),
        (0.3512, 0.04, 2, "0.35"),
        (0.3512, 0.4, 2, "0.4"),
        (1234.56, 3.0, 1, "1,235"),
        (-0.35, 0.01, 2, "−0.35"),
        (-0.001, 0.01, 2, "0.00"),
    ],
)
def test_the_last_digit_is_the_first_digit_of_the_error(value, mcse, most, printed):
    assert numbers.rounded(value, mcse, most) == printed


def test_halves_are_rounded_away_from_zero_as_readers_do():
    assert numbers.fixed(2.5, 0) == "3"
    assert numbers.fixed(-2.5, 0) == "−3"
    assert numbers.fixed(0.125, 2) == "0.13"
    assert numbers.fixed(1.005, 2) == "1.01"


def test_a_number_that_does_not_exist_is_a_dash():
    assert numbers.fixed(np.nan, 1) == numbers.with_mcse(np.nan, np.nan, 1) == "—"
    assert numbers.share(0, 0) == numbers.share_detail(0, 0) == "—"


def test_an_infinite_number_is_called_so():
    assert numbers.fixed(np.inf, 1) == "infinite"
    assert numbers.fixed(-np.inf, 1) == "−infinite"


def test_faces_show_half_of_the_95_percent_interval():
    assert numbers.share(8421, 10_000) == "84.2 ± 0.7"
    assert numbers.share(732 * 78 // 100, 732) == "78 ± 3"


def test_an_interval_is_never_zero_by_rounding():
    assert numbers.share(84_210_000, 100_000_000) == "84.2 ± 0.1"


def test_tables_show_the_standard_error_with_two_digits():
    assert numbers.share_detail(8421, 10_000) == "84.2 (0.36)"
    assert numbers.with_mcse(1.1304, 0.00799, 2) == "1.13 (0.0080)"
    assert numbers.with_mcse(0.5, 0.0, 2) == "0.50 (exact)"


def test_a_number_in_a_table_is_not_zero_by_rounding():
    assert numbers.with_mcse(-0.0036, 0.0113, 2) == "−0.004 (0.011)"
    assert numbers.with_mcse(-0.0001, 0.0113, 2) == "0 (0.011)"


@pytest.mark.parametrize(
    ("count", "of", "printed"),
    [
        (0, 10_000, "0 of 10,000 (below 0.04)"),
        (10_000, 10_000, "10,000 of 10,000 (above 99.96)"),
        (0, 256, "0 of 256 (below 1.5)"),
        (256, 256, "256 of 256 (above 98.5)"),
        (0, 100_000, "0 of 100,000 (below 0.004)"),
    ],
)
def test_none_and_all_say_of_how_many_and_the_bound(count, of, printed):
    assert numbers.share(count, of) == numbers.share_detail(count, of) == printed


@pytest.mark.parametrize("of", [256, 1_000, 10_000, 99_999])
def test_the_bound_of_none_and_all_covers_the_interval(of):
    below = float(numbers.share(0, of).partition("below ")[2].rstrip(")"))
    above = float(numbers.share(of, of).partition("above ")[2].rstrip(")"))
    assert below >= 100 * wilson(0, of)[1]
    assert above <= 100 * wilson(of, of)[0] + 1e-9


@pytest.mark.parametrize(("count", "of"), [(1, 10_000), (9_999, 10_000), (1, 1_000_000), (999_999, 1_000_000), (255, 256)])
def test_a_share_is_never_0_or_100_by_rounding(count, of):
    value = numbers.share_detail(count, of).partition(" ")[0]
    assert 0 < float(value) < 100


@pytest.mark.parametrize(
    ("count", "of", "printed"),
    [(1, 256, "1 of 256 (below 2.2)"), (1, 10_000, "1 of 10,000 (below 0.06)"), (254, 256, "254 of 256 (above 97.1)"), (12, 256, "5 ± 3")],
)
def test_an_interval_does_not_reach_beyond_0_or_100(count, of, printed):
    assert numbers.share(count, of) == printed


def test_a_share_with_its_sign():
    assert numbers.in_percent(602, 1_000) == "60%"
    assert numbers.in_percent(0, 123) == "0 of 123 (below 3.1%)"


@pytest.mark.parametrize(
    ("count", "of", "printed"),
    [
        (8421, 10_000, "84"),
        (185, 250, "68 to 79"),
        (3, 10_000, "fewer than 1"),
        (0, 10_000, "fewer than 1"),
        (0, 256, "fewer than 2"),
        (9_998, 10_000, "more than 99"),
        (256, 256, "more than 98"),
    ],
)
def test_in_words_shares_are_of_100_and_a_range_when_unsure(count, of, printed):
    assert numbers.per_hundred(count, of) == printed


def test_several_shares_are_told_as_the_span_of_their_intervals():
    assert numbers.span_per_hundred([(240, 10_000), (260, 10_000)]) == "2 to 3"
    assert numbers.span_per_hundred([(2_000, 100_000), (2_010, 100_000)]) == "2"
    assert numbers.span_per_hundred([(0, 10_000)]) == "fewer than 1"


def test_the_verdict_compares_the_interval_with_the_target():
    assert numbers.verdict(8421, 10_000, 0.8) == "above"
    assert numbers.verdict(5_000, 10_000, 0.8) == "below"
    assert numbers.verdict(571, 732, 0.8) == "cannot tell"


def test_cannot_tell_says_how_many_more_replicates_would():
    assert numbers.cannot_tell(571, 732, 0.8) == "78 ± 3: cannot tell; about 900 more replicates would, if 78 holds"


def test_as_many_more_replicates_do_tell():
    count, of, target = 571, 732, 0.8
    more = numbers.more_replicates(count, of, target)
    assert numbers.verdict(round(count / of * (of + 1.1 * more)), round(of + 1.1 * more), target) == "below"
    assert numbers.verdict(round(count / of * (of + 0.8 * more)), round(of + 0.8 * more), target) == "cannot tell"


def test_a_share_on_the_target_cannot_be_told_by_any_number():
    assert numbers.more_replicates(800, 1_000, 0.8) is None
    assert "too close to 80" in numbers.cannot_tell(800, 1_000, 0.8)


@pytest.mark.parametrize(("n", "printed"), [(916, 900), (1_482, 1_500), (148_312, 150_000), (96, 100), (7, 7)])
def test_about_so_many_has_one_digit_when_that_is_close(n, printed):
    assert numbers._about(n) == printed


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [(0.01, "below 0.1 s"), (4.44, "4.4 s"), (9.97, "10 s"), (38.2, "38 s"), (240.0, "4 min"), (5_940, "99 min"), (10_800.0, "3 h")],
)
def test_time_has_one_unit(seconds, printed):
    assert numbers.duration(seconds) == printed


def test_thousands_are_apart_and_minus_is_a_minus_sign():
    assert numbers.whole(10_000) == "10,000"
    assert numbers.plain(-11.0) == "−11"
    assert numbers.plain(0.05) == "0.05"
    assert numbers.plain(1_679) == "1,679"


def test_percentages_and_levels_are_as_short_as_they_are_exact():
    assert numbers.percent(0.8) == "80"
    assert numbers.percent(0.025) == "2.5"
    assert numbers.probability(0.05) == ".05"
    assert numbers.probability(0.025) == ".025"


def test_a_range_with_equal_ends_is_one_number():
    assert numbers.between(2.41, 2.76, 1) == "2.4 to 2.8"
    assert numbers.between(1.0, 1.0, 1) == "1.0"


def test_printed_intervals_cover_the_truth_as_often_as_they_claim():
    rng, truth, n = np.random.default_rng(5), 0.3, 2_000
    covered = 0
    for count in rng.binomial(n, truth, 2_000):
        value, half = (float(part) for part in numbers.share(int(count), n).split(" ± "))
        covered += abs(value - 100 * truth) <= half + 0.1
    assert covered / 2_000 > 0.95 - 4 * share_mcse(1_900, 2_000)
