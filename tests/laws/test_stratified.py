"""Mantel-Haenszel methods: the naive twin in fractions, one stratum, matched pairs, symmetries, and strata that say nothing."""

import numpy as np
import pytest
from double import stratified as twin
from numpy.testing import assert_allclose, assert_array_equal

from simtrials.core.status import Status
from simtrials.stats import proportions
from simtrials.stats.counts import event_counts
from simtrials.stats.stratified import (
    MANTEL_HAENSZEL,
    StratifiedCounts,
    cochran_mantel_haenszel_test,
    mantel_haenszel_log_odds_ratio,
    mantel_haenszel_log_risk_ratio,
    mantel_haenszel_risk_difference,
    stratified_counts,
)

EXACT = 1e-12  # a few hundred roundings
CONTRASTS = list(MANTEL_HAENSZEL)
all_contrasts = pytest.mark.parametrize("contrast", CONTRASTS)


def random_counts(seed, n_strata=4, largest=6, n_replicates=400):
    """Small tables, many with empty arms or cells."""
    rng = np.random.default_rng(seed)
    n = rng.integers(0, largest + 1, size=(2, n_replicates, n_strata))
    events = rng.integers(0, n + 1)
    return StratifiedCounts(*(counts.astype(float) for counts in (events[1], n[1], events[0], n[0])))


def patients_of(counts):
    """Outcome, arm and stratum, (replicate, patient), with these counts, all replicates padded to one size by patients not analysed."""
    people = []
    for tables in zip(*counts, strict=True):
        lines = []
        for code, (a, n1, c, n0) in enumerate(zip(*tables, strict=True)):
            lines += [(1, 1, code)] * int(a) + [(0, 1, code)] * int(n1 - a) + [(1, 0, code)] * int(c) + [(0, 0, code)] * int(n0 - c)
        people.append(lines)
    size = max(map(len, people)) + 1
    padded = np.array([lines + [(1, -1, 0)] * (size - len(lines)) for lines in people])
    return padded[..., 0].astype(float), padded[..., 1].astype(np.int8), padded[..., 2]


def swapped(counts):
    return StratifiedCounts(counts.events_control, counts.n_control, counts.events_active, counts.n_active)


def complemented(counts):
    return counts._replace(events_active=counts.n_active - counts.events_active, events_control=counts.n_control - counts.events_control)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def test_counting_finds_the_tables_back_in_any_order_of_patients():
    counts = random_counts(1)
    outcome, arm, stratum = patients_of(counts)
    assert_same(stratified_counts(outcome, arm, 1, stratum), counts)
    order = np.random.default_rng(2).permutation(outcome.shape[1])
    assert_same(stratified_counts(outcome[:, order], arm[:, order], 1, stratum[:, order].astype(np.int8)), counts)


def test_patients_without_outcome_stratum_or_arm_are_not_counted():
    outcome, arm = np.array([[1, 0, np.nan, 1, 1, 0]]), np.array([[1, 0, 1, 2, 1, -1]], dtype=np.int8)
    found = stratified_counts(outcome, arm, 1, np.array([[1, 1, 1, 1, -1, 0]]))
    assert_array_equal(np.stack(found)[:, 0], [[0, 1], [0, 1], [0, 0], [0, 1]])
    nobody = stratified_counts(outcome, arm, 1, np.full((1, 6), -1))
    assert mantel_haenszel_risk_difference(nobody).status[0] == Status.TOO_FEW_PATIENTS


def test_strata_that_are_not_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="whole numbers"):
        stratified_counts(np.ones((1, 2)), np.ones((1, 2), dtype=np.int8), 1, np.array([[0.0, 0.5]]))


def test_the_risk_difference_is_that_of_fractions():
    counts = random_counts(3)
    for variance in ("sato", "greenland_robins"):
        found = mantel_haenszel_risk_difference(counts, variance)
        assert {Status.OK, Status.NO_VARIATION, Status.TOO_FEW_PATIENTS} <= set(
            mantel_haenszel_risk_difference(random_counts(4, 2, 2), variance).status
        )
        for r in np.flatnonzero(found.status != Status.TOO_FEW_PATIENTS):
            estimate, squared = twin.risk_difference(*(count[r] for count in counts), variance=variance)
            assert_allclose(found.estimate[r], float(estimate), rtol=0, atol=EXACT)
            assert_allclose(found.std_error[r] ** 2, float(squared), rtol=EXACT, atol=0)
            assert (found.status[r] == Status.NO_VARIATION) == (squared == 0)


@pytest.mark.parametrize("name", ["log_risk_ratio", "log_odds_ratio"])
def test_ratios_are_those_of_fractions(name):
    for counts in (random_counts(5), random_counts(6, 3, 3)):
        found = MANTEL_HAENSZEL[name](counts)
        for r in np.flatnonzero(found.status != Status.TOO_FEW_PATIENTS):
            expected = getattr(twin, name)(*(count[r] for count in counts))
            assert (found.status[r] == Status.EMPTY_CELL) == (expected is None)
            if expected is None:
                assert np.isnan([found.estimate[r], found.std_error[r]]).all()
            else:
                assert_allclose([found.estimate[r], found.std_error[r]], expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("corrected", [False, True])
def test_the_test_has_the_moments_of_all_tables_with_the_same_margins(corrected):
    for counts in (random_counts(7), random_counts(8, 3, 2)):
        found = cochran_mantel_haenszel_test(counts, corrected)
        for r in np.flatnonzero(found.status != Status.TOO_FEW_PATIENTS):
            expected = twin.cmh_statistic(*(count[r] for count in counts), continuity_correction=corrected)
            assert (found.status[r] == Status.NO_VARIATION) == (expected is None)
            if expected is not None:
                assert_allclose(found.statistic[r], expected, rtol=EXACT, atol=EXACT)


def test_the_correction_is_left_out_where_it_would_pass_zero():
    """Excess 0.4 and 0.5 and 1: uncorrected, corrected to nothing, corrected."""
    counts = StratifiedCounts(*np.array([[[2], [2], [3]], [[5], [4], [4]], [[1], [1], [1]], [[4], [4], [4]]], dtype=float))
    plain, corrected = (cochran_mantel_haenszel_test(counts, option).statistic for option in (False, True))
    assert 0 < plain[0] == corrected[0]
    assert 0 == corrected[1] < plain[1]
    assert_allclose(corrected[2], plain[2] / 2, rtol=EXACT)


@all_contrasts
def test_one_stratum_is_the_crude_analysis(contrast):
    counts = random_counts(9, 1, 12)
    tables = [count[:, 0] for count in counts]
    pooled, crude = MANTEL_HAENSZEL[contrast](counts), getattr(proportions, contrast)(*tables)
    usable = crude.status == Status.OK
    assert usable.sum() > 100
    assert_array_equal(pooled.status[usable], Status.OK)
    assert_allclose(pooled.estimate[usable], crude.estimate[usable], rtol=EXACT, atol=EXACT)
    assert_allclose(pooled.std_error[usable], crude.std_error[usable], rtol=1e-11)
    if contrast == "risk_difference":
        assert_allclose(mantel_haenszel_risk_difference(counts, "greenland_robins").std_error[usable], crude.std_error[usable], rtol=EXACT)


def test_the_test_of_one_stratum_is_pearsons_with_one_patient_less():
    counts = random_counts(10, 1, 12)
    n = (counts.n_active + counts.n_control)[:, 0]
    pearson = proportions.risk_difference_pooled_test(*(count[:, 0] for count in counts))
    found = cochran_mantel_haenszel_test(counts)
    assert_array_equal(found.status, pearson.status)
    ok = found.status == Status.OK
    assert_allclose(found.statistic[ok], (pearson.statistic * np.sqrt(np.maximum(n - 1, 0) / np.maximum(n, 1)))[ok], rtol=EXACT, atol=EXACT)


def test_a_matched_pair_in_every_stratum_gives_mcnemars_analyses():
    """Sources: McNemar (1947), Psychometrika 12, 153-157; for the others, Breslow and Day (1980), Statistical Methods in Cancer Research I, 5.2."""
    rng = np.random.default_rng(11)
    active, control = rng.random((50, 80)) < 0.6, rng.random((50, 80)) < 0.4
    counts = StratifiedCounts(active.astype(float), np.ones((50, 80)), control.astype(float), np.ones((50, 80)))
    both, first, second = ((one & other).sum(axis=1) for one, other in ((active, control), (active, ~control), (~active, control)))
    assert_allclose(cochran_mantel_haenszel_test(counts).statistic, (first - second) / np.sqrt(first + second), rtol=EXACT)
    odds, ratio, difference = (MANTEL_HAENSZEL[name](counts) for name in ("log_odds_ratio", "log_risk_ratio", "risk_difference"))
    assert_allclose(odds.estimate, np.log(first / second), rtol=EXACT)
    assert_allclose(odds.std_error**2, 1 / first + 1 / second, rtol=EXACT)
    assert_allclose(ratio.estimate, np.log((both + first) / (both + second)), rtol=1e-11)
    assert_allclose(ratio.std_error**2, (first + second) / ((both + first) * (both + second)), rtol=EXACT)
    assert_allclose(difference.estimate, (first - second) / 80, rtol=EXACT)
    assert_allclose(difference.std_error**2, (first + second - (first - second) ** 2 / 80) / 80**2, rtol=EXACT)


def test_the_variance_for_large_strata_would_find_none_in_matched_pairs():
    """Greenland and Robins's variance is not for many small strata: with one patient in an arm it is 0."""
    counts = StratifiedCounts(*(np.array([values], dtype=float) for values in ([1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1])))
    assert mantel_haenszel_risk_difference(counts, "greenland_robins").status[0] == Status.NO_VARIATION
    assert mantel_haenszel_risk_difference(counts).status[0] == Status.OK


@all_contrasts
def test_swapping_arms_flips_the_sign(contrast):
    counts = random_counts(12)
    there, back = MANTEL_HAENSZEL[contrast](counts), MANTEL_HAENSZEL[contrast](swapped(counts))
    assert_allclose(there.estimate, -back.estimate, rtol=EXACT, atol=EXACT)
    assert_allclose(there.std_error, back.std_error, rtol=1e-11)
    assert_array_equal(there.status, back.status)
    for corrected in (False, True):
        one, other = (cochran_mantel_haenszel_test(x, corrected) for x in (counts, swapped(counts)))
        assert_allclose(one.statistic, -other.statistic, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("contrast", ["risk_difference", "log_odds_ratio"])
def test_counting_the_others_flips_the_difference_and_the_odds_ratio(contrast):
    counts = random_counts(13)
    there, back = MANTEL_HAENSZEL[contrast](counts), MANTEL_HAENSZEL[contrast](complemented(counts))
    assert_allclose(there.estimate, -back.estimate, rtol=EXACT, atol=EXACT)
    assert_allclose(there.std_error, back.std_error, rtol=1e-11)
    assert_allclose(
        cochran_mantel_haenszel_test(counts).statistic, -cochran_mantel_haenszel_test(complemented(counts)).statistic, rtol=EXACT, atol=EXACT
    )


def test_counting_the_others_changes_the_risk_ratio():
    counts = random_counts(13)
    total = mantel_haenszel_log_risk_ratio(counts).estimate + mantel_haenszel_log_risk_ratio(complemented(counts)).estimate
    assert np.nanmax(np.abs(total)) > 0.5


@all_contrasts
def test_strata_that_are_empty_or_lack_an_arm_count_for_nothing(contrast):
    counts = random_counts(14)
    none, some = np.zeros((400, 1)), np.full((400, 1), 3.0)
    blanks = StratifiedCounts(*(np.hstack([count, none, other]) for count, other in zip(counts, (none, none, some, some), strict=True)))
    assert_same(MANTEL_HAENSZEL[contrast](blanks), MANTEL_HAENSZEL[contrast](counts))
    assert_same(cochran_mantel_haenszel_test(blanks), cochran_mantel_haenszel_test(counts))


def test_strata_without_events_leave_the_odds_ratio_and_the_test_alone_and_dilute_the_risk_difference():
    counts = random_counts(15)
    none, some = np.zeros((400, 1)), np.full((400, 1), 5.0)
    diluted = StratifiedCounts(*(np.hstack([count, other]) for count, other in zip(counts, (none, some, none, some), strict=True)))
    assert_same(mantel_haenszel_log_odds_ratio(diluted)[:2], mantel_haenszel_log_odds_ratio(counts)[:2])
    assert_array_equal(cochran_mantel_haenszel_test(diluted).statistic, cochran_mantel_haenszel_test(counts).statistic)
    there, before = (mantel_haenszel_risk_difference(x).estimate for x in (diluted, counts))
    usable = np.isfinite(before) & (np.abs(before) > 0.1)
    assert np.all(np.abs(there[usable]) < np.abs(before[usable]))


def test_ignoring_the_strata_is_told_apart():
    """Simpson's paradox: within strata the active arm is better, in the crude table it is worse."""
    counts = StratifiedCounts(*(np.array([values], dtype=float) for values in ([9, 30], [10, 100], [80, 2], [100, 10])))
    crude = proportions.risk_difference(*(count.sum(axis=1) for count in counts))
    assert mantel_haenszel_risk_difference(counts).estimate[0] > 0 > crude.estimate[0]


@all_contrasts
def test_the_numbering_of_strata_does_not_matter(contrast):
    counts = random_counts(16, 6)
    turned = StratifiedCounts(*(count[:, ::-1] for count in counts))
    for one, other in zip(MANTEL_HAENSZEL[contrast](counts), MANTEL_HAENSZEL[contrast](turned), strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=EXACT)


@all_contrasts
def test_a_replicate_does_not_depend_on_its_neighbours(contrast):
    counts = random_counts(17, 9, n_replicates=60)
    outcome, arm, stratum = patients_of(counts)
    found, test = MANTEL_HAENSZEL[contrast](counts), cochran_mantel_haenszel_test(counts, True)
    for r in range(60):
        alone = stratified_counts(outcome[[r]], arm[[r]], 1, stratum[[r]])
        assert_same(MANTEL_HAENSZEL[contrast](alone), [x[[r]] for x in found])
        assert_same(cochran_mantel_haenszel_test(alone, True), [x[[r]] for x in test])


def test_the_crude_counts_are_the_sums_over_strata():
    outcome, arm, stratum = patients_of(random_counts(18))
    for one, other in zip(stratified_counts(outcome, arm, 1, stratum), event_counts(outcome, arm, 1), strict=True):
        assert_array_equal(one.sum(axis=1), other)


def test_what_cannot_be_estimated_is_nan_with_its_reason():
    cases = [
        ([0, 3], [0, 5], [2, 0], [5, 0], dict.fromkeys(CONTRASTS, Status.TOO_FEW_PATIENTS), Status.TOO_FEW_PATIENTS),
        ([0, 0], [4, 5], [0, 0], [5, 3], {"risk_difference": Status.NO_VARIATION, "log_risk_ratio": Status.EMPTY_CELL}, Status.NO_VARIATION),
        ([4, 5], [4, 5], [5, 3], [5, 3], {"log_risk_ratio": Status.NO_VARIATION, "log_odds_ratio": Status.EMPTY_CELL}, Status.NO_VARIATION),
        ([0, 0], [4, 5], [1, 3], [5, 3], {"risk_difference": Status.OK, "log_risk_ratio": Status.EMPTY_CELL}, Status.OK),
    ]
    for *numbers, expected, of_test in cases:
        counts = StratifiedCounts(*(np.array([values], dtype=float) for values in numbers))
        for name, status in expected.items():
            found = MANTEL_HAENSZEL[name](counts)
            assert found.status[0] == status
            assert np.isnan(found.estimate[0]) == (status in (Status.TOO_FEW_PATIENTS, Status.EMPTY_CELL))
            assert (found.std_error[0] == 0) == (status == Status.NO_VARIATION)
        test = cochran_mantel_haenszel_test(counts)
        assert test.status[0] == of_test
        assert np.isnan(test.p_value[0]) == (of_test != Status.OK)


@pytest.mark.parametrize("n_strata", [3, 300])
def test_estimated_variances_are_those_of_the_estimates_with_few_large_strata_and_with_many_small_ones(n_strata):
    """The mean of the estimated variances against the variance of the estimates, whose relative standard error is the root of 2 / n."""
    rng = np.random.default_rng(20260207)
    n_replicates, per_arm = 4000, 600 // n_strata
    base = rng.uniform(0.1, 0.5, size=n_strata)
    n = np.full((n_replicates, n_strata), float(per_arm))
    for name, risk in {"risk_difference": base + 0.15, "log_risk_ratio": base * 1.4, "log_odds_ratio": 2 * base / (1 + base)}.items():
        counts = StratifiedCounts(rng.binomial(per_arm, risk, n.shape).astype(float), n, rng.binomial(per_arm, base, n.shape).astype(float), n)
        found = MANTEL_HAENSZEL[name](counts)
        ratio = (found.std_error**2).mean() / found.estimate.var()
        assert abs(ratio - 1) < 4 * np.sqrt(2 / n_replicates)
        log_odds = np.log(risk / (1 - risk)) - np.log(base / (1 - base))
        truth = {"risk_difference": 0.15, "log_risk_ratio": np.log(1.4), "log_odds_ratio": log_odds.mean()}[name]
        bias = 0.0 if name == "risk_difference" else found.estimate.var()  # of a logarithm: of the order of its variance
        assert abs(found.estimate.mean() - truth) < 4 * found.estimate.std() / np.sqrt(n_replicates) + bias
        if name == "risk_difference":
            other = (mantel_haenszel_risk_difference(counts, "greenland_robins").std_error ** 2).mean() / found.estimate.var()
            assert abs(other - (1 - 1 / per_arm)) < 4 * np.sqrt(2 / n_replicates)  # half of it with two patients in an arm
