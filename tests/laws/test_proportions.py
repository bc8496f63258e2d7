"""Two proportions: symmetries, duality of tests and intervals, exact levels, and tables that say little; mostly over all small tables."""

from math import comb
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri

from simtrials.core.status import Status
from simtrials.stats import proportions as two
from simtrials.stats import proportions_exact
from simtrials.stats.proportions_exact import fisher_exact_test, per_distinct_table

CONTRASTS = ("risk_difference", "log_risk_ratio", "log_odds_ratio")
LIMIT = 1e-10  # a score limit is searched to 1e-12; rounding of the risks under the null adds to it
Z = ndtri(0.975)


def all_tables(n_active, n_control):
    """Every table with these arm sizes, (4, replicate)."""
    active, control = np.indices((n_active + 1, n_control + 1)).reshape(2, -1)
    return np.array([active, np.full_like(active, n_active), control, np.full_like(active, n_control)])


def swapped(tables):
    return tables[[2, 3, 0, 1]]


def complemented(tables):
    return np.array([tables[1] - tables[0], tables[1], tables[3] - tables[2], tables[3]])


def varied(tables):
    """The tables in which some have the event and some have not."""
    events = tables[0] + tables[2]
    return tables[:, (events > 0) & (events < tables[1] + tables[3])]


SMALL = all_tables(7, 5)
EVERY_TEST = {
    "wald": two.risk_difference_wald_test,
    "pooled": two.risk_difference_pooled_test,
    **{contrast: lambda *table, contrast=contrast: two.score_test(*table, contrast) for contrast in CONTRASTS},
}
EVERY_INTERVAL = {
    "wald": lambda *table: two.wald_interval(two.risk_difference(*table)),
    "newcombe": two.risk_difference_newcombe_interval,
    "katz": lambda *table: two.wald_interval(two.log_risk_ratio(*table, correction=0.5)),
    "woolf": lambda *table: two.wald_interval(two.log_odds_ratio(*table, correction=0.5)),
    **{contrast: lambda *table, contrast=contrast: two.score_interval(*table, contrast) for contrast in CONTRASTS},
}
RISK_RATIOS = ("log_risk_ratio", "katz")


@pytest.mark.parametrize("estimate", [two.risk_difference, two.log_risk_ratio, two.log_odds_ratio])
def test_swapping_arms_flips_estimates(estimate):
    there, back = estimate(*SMALL), estimate(*swapped(SMALL))
    assert_allclose(there.estimate, -back.estimate, rtol=1e-12, atol=1e-15)
    assert_allclose(there.std_error, back.std_error, rtol=1e-12)
    assert_array_equal(there.status, back.status)


@pytest.mark.parametrize("test", EVERY_TEST.values(), ids=EVERY_TEST)
def test_swapping_arms_flips_statistics(test):
    assert_allclose(test(*SMALL).statistic, -test(*swapped(SMALL)).statistic, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("interval", EVERY_INTERVAL.values(), ids=EVERY_INTERVAL)
def test_swapping_arms_mirrors_intervals(interval):
    there, back = interval(*SMALL), interval(*swapped(SMALL))
    assert_allclose(there.lower, -back.upper, rtol=0, atol=LIMIT)
    assert_allclose(there.upper, -back.lower, rtol=0, atol=LIMIT)


@pytest.mark.parametrize("name", [name for name in EVERY_INTERVAL if name not in RISK_RATIOS])
def test_counting_the_others_mirrors_intervals_of_difference_and_odds(name):
    there, back = EVERY_INTERVAL[name](*SMALL), EVERY_INTERVAL[name](*complemented(SMALL))
    assert_allclose(there.lower, -back.upper, rtol=0, atol=LIMIT)
    assert_allclose(there.upper, -back.lower, rtol=0, atol=LIMIT)


def test_counting_the_others_changes_risk_ratios():
    there, back = two.score_interval(2, 7, 1, 5, "log_risk_ratio"), two.score_interval(5, 7, 4, 5, "log_risk_ratio")
    assert abs(there.lower[0] + back.upper[0]) > 0.1


def test_fisher_is_the_same_for_swapped_arms_and_for_the_others():
    p_values = [fisher_exact_test(*tables).p_value for tables in (SMALL, swapped(SMALL), complemented(SMALL))]
    assert_allclose(p_values[1], p_values[0], rtol=1e-12)
    assert_allclose(p_values[2], p_values[0], rtol=1e-12)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_three_score_tests_of_no_effect_are_pearsons(contrast):
    pooled = two.risk_difference_pooled_test(*SMALL)
    score = two.score_test(*SMALL, contrast, variance_factor=False)
    assert_allclose(score.statistic, pooled.statistic, rtol=1e-12, atol=1e-15)
    assert_array_equal(score.status, pooled.status)
    assert_allclose(two.score_test(*SMALL, contrast).statistic, pooled.statistic * np.sqrt(11 / 12), rtol=1e-12, atol=1e-15)


def test_score_test_of_no_difference_in_large_arms_is_the_pooled_test_to_the_last_digits():
    tables = np.random.default_rng(5).integers(0, 3000, 400), 3000, np.random.default_rng(6).integers(1, 5000, 400), 5000
    pooled = two.risk_difference_pooled_test(*tables)
    assert_allclose(two.score_test(*tables, "risk_difference", variance_factor=False).statistic, pooled.statistic, rtol=5 * np.finfo(float).eps)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_and_wald_tests_agree_in_the_limit_and_not_before(contrast):
    estimate = {"risk_difference": two.risk_difference, "log_risk_ratio": two.log_risk_ratio, "log_odds_ratio": two.log_odds_ratio}[contrast]

    def disagreement(n):
        table = round(0.3 * n + 1.5 * n**0.5), n, round(0.3 * n), n
        wald = estimate(*table)
        return abs(two.score_test(*table, contrast).statistic[0] / (wald.estimate / wald.std_error)[0] - 1)

    assert disagreement(40) > 1e-3
    assert disagreement(10**12) < 1e-5  # of order n^-1/2


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_statistic_falls_as_the_null_grows(contrast):
    nulls = np.linspace(-0.99, 0.99, 199) if contrast == "risk_difference" else np.linspace(-8, 8, 321)
    statistics = np.array([two.score_test(*varied(SMALL), contrast, null).statistic for null in nulls])
    assert np.all(np.diff(statistics, axis=0) < 0)


@pytest.mark.parametrize("contrast", ["log_risk_ratio", "log_odds_ratio"])
def test_score_statistic_falls_even_where_the_expected_counts_are_tiny(contrast):
    tables = np.array([(3, 3000, 5000, 5000), (1, 20, 999, 1000), (3000, 3000, 1, 5000), (0, 40, 2, 40)]).T
    statistics = np.array([two.score_test(*tables, contrast, null).statistic for null in np.linspace(-45, 45, 361)])
    assert np.all(np.isfinite(statistics))
    assert np.all(np.diff(statistics, axis=0) <= 0)


@pytest.mark.parametrize("variance_factor", [True, False])
@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_interval_holds_what_the_score_test_does_not_reject(contrast, variance_factor):
    tables = np.concatenate([SMALL, all_tables(12, 9), all_tables(1, 3)], axis=1)
    interval = two.score_interval(*tables, contrast, variance_factor=variance_factor)
    for null in np.linspace(-1, 1, 81) if contrast == "risk_difference" else np.linspace(-12, 12, 97):
        accepted = ~(np.abs(two.score_test(*tables, contrast, null, variance_factor).statistic) > Z)
        near = np.minimum(np.abs(null - interval.lower), np.abs(null - interval.upper)) < LIMIT
        inside = (interval.lower < null) & (null < interval.upper)
        assert_array_equal(accepted[~near], inside[~near])


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_test_turns_at_the_limits_of_large_and_extreme_tables(contrast):
    rng = np.random.default_rng(20260204)
    n = rng.integers(1, 10_000, (2, 400))
    events = np.where(rng.random((2, 400)) < 0.5, rng.integers(0, n + 1), np.minimum(rng.integers(0, 3, (2, 400)), n))
    events = np.where(rng.random((2, 400)) < 0.5, events, n - events)
    tables = events[0], n[0], events[1], n[1]
    interval = two.score_interval(*tables, contrast)
    for limit, outwards in ((interval.lower, -1), (interval.upper, 1)):
        searched = np.abs(limit) < (1 if contrast == "risk_difference" else np.inf)
        step = outwards * 1e-8 * np.maximum(1, np.abs(limit))
        with np.errstate(invalid="ignore"):
            beyond = two.score_test(*tables, contrast, limit + step).statistic
            within = two.score_test(*tables, contrast, limit - step).statistic
        assert np.all(np.abs(beyond[searched & (np.abs(limit + step) <= 1 if contrast == "risk_difference" else searched)]) > Z)
        assert not np.any(np.abs(within[searched]) > Z)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_halving_alone_finds_the_same_limits(contrast, monkeypatch):
    quick = two.score_interval(*SMALL, contrast)
    monkeypatch.setattr(two, "LAST_FREE_STEP", 0)
    slow = two.score_interval(*SMALL, contrast)
    assert_allclose([quick.lower, quick.upper], [slow.lower, slow.upper], rtol=0, atol=LIMIT)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_interval_holds_its_estimate_at_any_level(contrast):
    active, active_without, control, control_without = SMALL[0], SMALL[1] - SMALL[0], SMALL[2], SMALL[3] - SMALL[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = {
            "risk_difference": active / SMALL[1] - control / SMALL[3],
            "log_risk_ratio": np.log(active / SMALL[1] / (control / SMALL[3])),
            "log_odds_ratio": np.log(active * control_without / (active_without * control)),
        }[contrast]
    defined = ~np.isnan(estimate)
    for level in (0.01, 0.5, 0.95, 0.999999):
        interval = two.score_interval(*SMALL, contrast, level)
        assert np.all((interval.lower <= estimate + LIMIT)[defined])
        assert np.all((estimate - LIMIT <= interval.upper)[defined])


def test_newcombe_and_score_intervals_of_the_difference_stay_within_minus_one_and_one():
    for n in (1, 2, 3, 10, 57):
        tables = all_tables(n, 10)
        for interval in (two.risk_difference_newcombe_interval(*tables), two.score_interval(*tables, "risk_difference")):
            assert np.all((interval.lower >= -1) & (interval.upper <= 1))
    assert two.wald_interval(two.risk_difference(9, 10, 0, 10)).upper[0] > 1


def test_wald_test_rejects_what_is_outside_the_wald_interval():
    interval = two.wald_interval(two.risk_difference(*varied(SMALL)))
    spread = interval.upper > interval.lower
    assert_allclose(two.risk_difference_wald_test(*varied(SMALL), null=interval.lower).statistic[spread], Z, rtol=1e-12)
    assert_allclose(two.risk_difference_wald_test(*varied(SMALL), null=interval.upper).statistic[spread], -Z, rtol=1e-12)


def probability_of(tables, risk_active, risk_control):
    active = binomial(int(tables[1, 0]), risk_active)[tables[0]]
    return active * binomial(int(tables[3, 0]), risk_control)[tables[2]]


def binomial(n, risk):
    return np.array([comb(n, k) * risk**k * (1 - risk) ** (n - k) for k in range(n + 1)])


RISKS = np.linspace(0.01, 0.99, 99)


@pytest.mark.parametrize(("n_active", "n_control"), [(9, 13), (20, 20)])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_fisher_never_exceeds_its_level_and_pearson_does(n_active, n_control, alpha):
    tables = all_tables(n_active, n_control)
    fisher, pearson = fisher_exact_test(*tables), two.risk_difference_pooled_test(*tables)
    probabilities = np.array([probability_of(tables, risk, risk) for risk in RISKS])
    assert np.all(probabilities @ (fisher.p_value <= alpha) <= alpha)
    assert np.any(probabilities @ (pearson.p_value <= alpha) > alpha)
    assert np.all(probabilities @ (fisher.mid_p_value <= alpha) >= probabilities @ (fisher.p_value <= alpha))


def test_mid_p_is_one_half_on_average_whatever_the_margins():
    """So it is for any statistic (Lancaster 1961); halving the observed table alone, and not those equally probable, gives more."""
    tables = all_tables(8, 8)
    result, events = fisher_exact_test(*tables), tables[0] + tables[2]
    probability = np.array([comb(8, k) * comb(8, t - k) / comb(16, t) for k, t in zip(tables[0], events, strict=True)])
    assert_allclose(np.bincount(events, probability * result.mid_p_value), 0.5, rtol=1e-12)
    observed_halved = result.p_value - probability / 2
    assert np.max(np.bincount(events, probability * observed_halved)) > 0.55


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_score_intervals_cover_where_wald_intervals_do_not(contrast):
    """Newcombe (1998): a Wald interval of 95 % covers far less often near the edge; Miettinen and Nurminen's stays close."""
    tables = all_tables(15, 10)
    truth = {"risk_difference": 0.1 - 0.02, "log_risk_ratio": np.log(5), "log_odds_ratio": np.log(0.1 / 0.9 / (0.02 / 0.98))}[contrast]
    probability = probability_of(tables, 0.1, 0.02)
    score, wald = two.score_interval(*tables, contrast), two.wald_interval(two.risk_difference(*tables))
    assert probability @ ((score.lower <= truth) & (truth <= score.upper)) > 0.93
    assert probability @ ((wald.lower <= 0.08) & (wald.upper >= 0.08)) < 0.85


def test_distinct_tables_give_the_same_bits_as_single_ones():
    rng = np.random.default_rng(11)
    n = rng.integers(0, 8, (2, 60))
    events = rng.binomial(n, 0.3)
    tables = np.array([events[0], n[0], events[1], n[1]])
    functions = [fisher_exact_test, *(lambda *table, contrast=contrast: two.score_interval(*table, contrast) for contrast in CONTRASTS)]
    for function in functions:
        together = function(*tables)
        alone = [function(*table) for table in tables.T]
        for position, column in enumerate(together):
            assert column.tobytes() == np.concatenate([result[position] for result in alone]).tobytes()


class Counted(NamedTuple):
    """What the function below returns."""

    first: np.ndarray
    second: np.ndarray
    third: np.ndarray


def test_a_table_is_evaluated_once_and_options_are_passed_on():
    seen = []

    @per_distinct_table
    def spied(events_active, n_active, events_control, n_control, level, *, sign):
        seen.append((events_active.size, level))
        return Counted(sign * events_active, n_active, events_control)

    tables = np.random.default_rng(14).integers(0, [[3], [5], [4], [7]], (4, 200)) + np.array([[0], [3], [0], [4]])
    result = spied(*tables, 0.9, sign=-1)
    assert seen == [(len(set(zip(*tables.tolist(), strict=True))), 0.9)]
    assert_array_equal(result, [-tables[0], tables[1], tables[2]])


def test_fisher_does_not_depend_on_what_is_summed_beside_it(monkeypatch):
    rng = np.random.default_rng(12)
    tables = rng.integers(0, 300, 40), 300, rng.integers(0, 200, 40), rng.integers(200, 400, 40)
    together = fisher_exact_test(*tables)
    alone = [fisher_exact_test(*table).p_value for table in np.transpose(np.broadcast_arrays(*tables))]
    assert together.p_value.tobytes() == np.concatenate(alone).tobytes()
    monkeypatch.setattr(proportions_exact, "LARGEST_ARRAY", 1000)
    assert fisher_exact_test(*tables).p_value.tobytes() == together.p_value.tobytes()


@pytest.mark.parametrize("function", [fisher_exact_test, two.score_interval])
def test_what_is_costly_is_evaluated_for_distinct_tables(function):
    tables = np.random.default_rng(13).binomial([[12], [12]], 0.4, (2, 500))
    options = ["log_odds_ratio"] if function is two.score_interval else []
    arguments = (tables[0].astype(float), np.full(500, 12.0), tables[1].astype(float), np.full(500, 12.0), *options)
    for quick, plain in zip(function(*arguments), function.__wrapped__(*arguments), strict=True):
        assert quick.tobytes() == plain.tobytes()


def test_no_replicates_give_no_results():
    none = np.zeros(0)
    assert fisher_exact_test(none, none, none, none).p_value.shape == (0,)
    assert two.score_interval(none, none, none, none, "risk_difference").lower.shape == (0,)
    assert two.risk_difference(none, none, none, none).estimate.shape == (0,)


NOBODY, EVERYBODY, SEPARATED = (0, 10, 0, 20), (10, 10, 20, 20), (10, 10, 0, 20)


@pytest.mark.parametrize("table", [NOBODY, EVERYBODY])
def test_without_variation_there_is_no_test_and_no_rejection(table):
    for test in EVERY_TEST.values():
        result = test(*table)
        assert np.isnan(result.statistic[0])
        assert np.isnan(result.p_value[0])
        assert result.status[0] == Status.NO_VARIATION


@pytest.mark.parametrize("table", [NOBODY, EVERYBODY])
def test_without_variation_the_difference_is_zero_with_a_score_interval(table):
    estimated = two.risk_difference(*table)
    assert (estimated.estimate[0], estimated.std_error[0], estimated.status[0]) == (0, 0, Status.NO_VARIATION)
    for interval in (two.score_interval(*table, "risk_difference"), two.risk_difference_newcombe_interval(*table)):
        assert interval.lower[0] < -0.1
        assert interval.upper[0] > 0.1
        assert interval.status[0] == Status.OK


def test_without_variation_ratios():
    for estimate in (two.log_risk_ratio, two.log_odds_ratio):
        assert_unknown(estimate(*NOBODY), Status.EMPTY_CELL)
    assert_unknown(two.log_odds_ratio(*EVERYBODY), Status.EMPTY_CELL)
    risk_ratio = two.log_risk_ratio(*EVERYBODY)
    assert (risk_ratio.estimate[0], risk_ratio.std_error[0], risk_ratio.status[0]) == (0, 0, Status.NO_VARIATION)
    for table, contrast in ((NOBODY, "log_risk_ratio"), (NOBODY, "log_odds_ratio"), (EVERYBODY, "log_odds_ratio")):
        interval = two.score_interval(*table, contrast)
        assert (interval.lower[0], interval.upper[0], interval.status[0]) == (-np.inf, np.inf, Status.OK)
        assert two.score_test(*table, contrast, null=1.5).status[0] == Status.NO_VARIATION
    finite = two.score_interval(*EVERYBODY, "log_risk_ratio")
    assert np.all(np.isfinite([finite.lower, finite.upper]))
    assert finite.lower[0] < 0 < finite.upper[0]
    assert two.score_test(*EVERYBODY, "log_risk_ratio", null=1.5).statistic[0] < -Z


def test_fisher_without_variation():
    for table in (NOBODY, EVERYBODY):
        result = fisher_exact_test(*table)
        assert (result.p_value[0], result.mid_p_value[0], result.status[0]) == (1.0, 0.5, Status.OK)


def test_separated_arms_give_a_large_statistic_and_one_sided_limits():
    assert two.risk_difference_wald_test(*SEPARATED).statistic[0] == np.inf
    assert two.risk_difference_wald_test(*SEPARATED).p_value[0] == 0.0
    assert two.risk_difference_wald_test(*SEPARATED).status[0] == Status.OK
    assert_allclose(two.risk_difference_pooled_test(*SEPARATED).statistic, np.sqrt(30), rtol=1e-14)
    assert two.score_interval(*SEPARATED, "risk_difference").upper[0] == 1.0
    assert two.score_test(*SEPARATED, "risk_difference", null=1.0).status[0] == Status.NO_VARIATION
    for contrast in ("log_risk_ratio", "log_odds_ratio"):
        interval = two.score_interval(*SEPARATED, contrast)
        assert interval.lower[0] > 0
        assert interval.upper[0] == np.inf
    for estimate in (two.log_risk_ratio, two.log_odds_ratio):
        assert_unknown(estimate(*SEPARATED), Status.EMPTY_CELL)


@pytest.mark.parametrize("table", [(0, 0, 3, 10), (3, 10, 0, 0), (0, 0, 0, 0), (np.nan, 10, 3, 10), (3, 10, 3, np.nan)])
def test_an_empty_arm_gives_nothing(table):
    tables = np.array([table, (3, 10, 4, 10)]).T
    estimates = [two.risk_difference(*tables), two.log_risk_ratio(*tables, correction=0.5), two.log_odds_ratio(*tables, correction=0.5)]
    results = [*estimates, fisher_exact_test(*tables)]
    results += [test(*tables) for test in EVERY_TEST.values()] + [interval(*tables) for interval in EVERY_INTERVAL.values()]
    for *numbers, status in results:
        assert_array_equal(status, [Status.TOO_FEW_PATIENTS, Status.OK])
        assert_array_equal(np.isnan(numbers), [[True, False]] * len(numbers))


def test_the_correction_touches_only_tables_with_an_empty_cell():
    for estimate in (two.log_risk_ratio, two.log_odds_ratio):
        plain, corrected = estimate(*SMALL), estimate(*SMALL, correction=0.5)
        has_zero = np.any([SMALL[0] == 0, SMALL[0] == SMALL[1], SMALL[2] == 0, SMALL[2] == SMALL[3]], axis=0)
        assert_array_equal(plain.estimate[~has_zero], corrected.estimate[~has_zero])
        assert np.all(np.isfinite(corrected.estimate))
        assert np.all(np.isnan(plain.estimate) == (plain.status == Status.EMPTY_CELL))


@pytest.mark.parametrize("table", [(-1, 10, 3, 10), (11, 10, 3, 10), (3, 10, 12, 10), (3, -10, 3, 10)])
def test_impossible_counts_are_refused(table):
    with pytest.raises(ValueError, match="events must lie between 0"):
        two.risk_difference(*table)


def test_fisher_refuses_fractions_of_patients():
    with pytest.raises(ValueError, match="whole numbers"):
        fisher_exact_test(2.5, 10, 3, 10)


def assert_unknown(estimated, status):
    assert np.isnan(estimated.estimate[0])
    assert np.isnan(estimated.std_error[0])
    assert estimated.status[0] == status


@pytest.mark.parametrize("mid_p", [False, True])
@pytest.mark.parametrize("more", [False, True])
def test_one_sided_fisher_is_a_hypergeometric_tail(more, mid_p):
    tables = all_tables(6, 15)
    found = fisher_exact_test(*tables).one_sided(more, mid_p)
    for k, (active, n_active, control, n_control) in enumerate(tables.T.tolist()):
        counts = range(max(0, active + control - n_control), min(n_active, active + control) + 1)
        chance = {c: comb(n_active, c) * comb(n_control, active + control - c) / comb(n_active + n_control, active + control) for c in counts}
        tail = sum(p for c, p in chance.items() if (c >= active if more else c <= active))
        assert_allclose(found[k], tail - (chance[active] / 2 if mid_p else 0.0), rtol=1e-9, atol=1e-12)


def test_a_one_sided_fisher_test_keeps_its_level_with_unequal_arms_and_twice_the_two_sided_p_value_does_not():
    tables, alpha = all_tables(30, 150), 0.025
    probability = probability_of(tables, 0.07, 0.07)
    result = fisher_exact_test(*tables)
    towards = tables[0] / tables[1] > tables[2] / tables[3]
    assert probability @ (result.one_sided(True, mid_p=False) < alpha) <= alpha
    assert probability @ ((result.p_value < 2 * alpha) & towards) > alpha
