"""Ordinal regression, ranks within strata, survival, pairwise comparisons and randomization tests against R (see make_ordered.R)."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from double import rerandomisation as allocations
from double import survival as survival_twin
from double import win_ratio as pairs_twin
from numpy.testing import assert_allclose
from scipy.special import ndtr
from scipy.stats import rankdata, ttest_ind

from simtrials.core.status import Status
from simtrials.stats.ordinal import CONVERGED_BELOW, proportional_odds
from simtrials.stats.proportional_hazards import cox_regression
from simtrials.stats.ranks import mann_whitney
from simtrials.stats.rerandomisation import linear_randomization_test
from simtrials.stats.stratified import MANTEL_HAENSZEL, StratifiedCounts, stratified_counts
from simtrials.stats.stratified_ranks import van_elteren
from simtrials.stats.survival import kaplan_meier_difference, log_rank, restricted_mean_difference
from simtrials.stats.win_ratio import Level, compare_pairs, win_ratio

HERE = Path(__file__).parent
DATA = pd.read_csv(HERE / "ordered_data.csv")
VALUES = pd.read_csv(HERE / "ordered_values.csv").set_index(["data", "method", "tested", "quantity"])["value"].sort_index()
DIGITS = 1e-12  # printed with 15 digits; sums over times, strata or patients lose one or two where signs differ
# How far, in standard errors, an estimate of R may be from the maximum. clm: the gradient in each of at most 70 parameters is below 1e-10, which
# parameters with variances of about 1 answer with 1e-10 x 70. coxph: the last step gained less than a share 1e-11 of a log-likelihood below
# 1,000 and was thus shorter than sqrt(2e-8) standard errors, the square of which is left. polr: a quasi-Newton method stops when it gains less
# than a share 1e-15 of a log-likelihood below 2,000: sqrt(2 x 2e-12).
STOPPING_ERROR = {"clm": 7e-9, "polr": 2e-6, "efron": 2e-8, "breslow": 2e-8}
# Our standard errors are those of one step before the end, which was shorter than this many standard errors; they change by a share of it. Those
# of polr come from differences of the gradient over 0.001 either way, which for a logistic function of columns up to 3 is a share
# (3 x 0.001)^2 / 6 of the information off.
LAST_STEP = np.sqrt(CONVERGED_BELOW)
NUMERICAL_DERIVATIVE = {"polr": 1.5e-6}
LARGEST_LOG_LIKELIHOOD = 2000.0


class Trial(NamedTuple):
    """One data set as one replicate."""

    y: Any
    z: Any
    arm: Any
    covariates: Any
    stratum: Any


def trial(data):
    rows = DATA[DATA["data"] == data]
    rows = rows.loc[rows.index.repeat(rows["count"])]
    y, z, x1, x2 = rows[["y", "z", "x1", "x2"]].to_numpy(dtype=float).T[:, np.newaxis]
    covariates = [column for column in (x1, x2) if not np.isnan(column).all()]
    stratum = None if rows["stratum"].isna().all() else rows["stratum"].to_numpy(dtype=int)[np.newaxis]
    return Trial(y, z, rows["arm"].to_numpy(dtype=np.int8)[np.newaxis], covariates, stratum)


def events(data):
    """Time, event and arm."""
    given = trial(data)
    return given.y, given.z == 1, given.arm


def cases(*methods):
    """(data, method, tested) of every group of values of a method."""
    return sorted(case for case in VALUES.index.droplevel("quantity").unique() if case[1] in methods)


def each_case(*methods):
    return pytest.mark.parametrize("case", cases(*methods), ids=lambda case: "-".join(map(str, case)))


def assert_values(found, expected, tolerance=DIGITS):
    """All values of a case and no others, to a relative tolerance."""
    assert set(found) == set(expected.index)
    for quantity, value in found.items():
        assert_allclose(value, expected[quantity], rtol=tolerance, err_msg=quantity)


# Every method of the file: those that are ours, and one that is a named wrong version of ours, Breslow's likelihood for ties. polr is the same
# model as clm, to fewer digits. Of `equal` there are two readings: our own weights "equal", and a wrong version of those of van Elteren.
REGRESSIONS = ("clm", "polr", "efron")
OTHERS = ("van_elteren", "equal", "log_rank", "log_rank_stratified", "kaplan_meier", "restricted_mean", "pairs", "mantel_haenszel", "randomization")
WRONG = ("breslow",)


def test_every_row_of_the_file_is_used():
    assert set(VALUES.index.unique("method")) == {*REGRESSIONS, *OTHERS, *WRONG}
    assert VALUES.index.is_unique
    assert set(VALUES.index.unique("data")) == set(DATA["data"])


# Regressions


def regression(case):
    data, method, tested = case
    given = trial(data)
    if method in ("clm", "polr"):
        return proportional_odds(given.y, given.arm, 1, given.covariates, tested, "likelihood_ratio")
    return cox_regression(*events(data), 1, given.covariates, tested, "likelihood_ratio")


def rounding(data):
    """Of twice the difference of two log-likelihoods, each in R and here a sum of as many terms as patients, rounded as often."""
    return 8 * trial(data).y.size * np.finfo(float).eps / 2 * LARGEST_LOG_LIKELIHOOD


@each_case(*REGRESSIONS)
def test_coefficients_standard_errors_and_likelihood_ratios_are_those_of_r(case):
    data, method, _ = case
    found, expected = regression(case), VALUES[case]
    assert found.status[0] == Status.OK
    assert set(expected.index) == {"estimate", "std_error"} | ({"likelihood_ratio"} if method != "polr" else set())
    error = STOPPING_ERROR[method]
    assert_allclose(found.estimate[0], expected["estimate"], rtol=0, atol=error * expected["std_error"])
    assert_allclose(found.std_error[0], expected["std_error"], rtol=error + LAST_STEP + NUMERICAL_DERIVATIVE.get(method, 0.0))
    assert np.sign(found.statistic[0]) == np.sign(expected["estimate"])
    if method != "polr":
        assert_allclose(found.statistic[0] ** 2, expected["likelihood_ratio"], rtol=0, atol=rounding(data))


@each_case("clm", "efron")
def test_the_wald_statistic_is_the_estimate_over_its_standard_error_and_not_the_likelihood_ratio(case):
    data, method, tested = case
    given, expected = trial(data), VALUES[case]
    if method == "clm":
        found = proportional_odds(given.y, given.arm, 1, given.covariates, tested)
    else:
        found = cox_regression(*events(data), 1, given.covariates, tested)
    size = abs(expected["estimate"]) / expected["std_error"]
    assert_allclose(abs(found.statistic[0]), size, rtol=0, atol=STOPPING_ERROR[method] + size * (STOPPING_ERROR[method] + LAST_STEP))
    assert abs(found.statistic[0] ** 2 - expected["likelihood_ratio"]) > 1e-6 + 10 * size**2 * LAST_STEP


@each_case("breslow")
def test_breslows_likelihood_for_ties_is_told_apart_except_where_no_times_are_tied(case):
    """The named wrong version. Nobody in `ovarian` dies on the same day as another."""
    data, _, tested = case
    found, wrong = regression(case), VALUES[case]
    right = VALUES[data, "efron", tested]
    assert set(wrong.index) == set(right.index)
    if data == "ovarian":
        assert_allclose(wrong["estimate"], right["estimate"], rtol=0, atol=STOPPING_ERROR["breslow"] * right["std_error"])
        assert_values(dict(wrong.drop("estimate")), right.drop("estimate"), STOPPING_ERROR["breslow"])
    else:
        assert abs(found.estimate[0] - wrong["estimate"]) > 1e4 * STOPPING_ERROR["breslow"] * wrong["std_error"]
        assert abs(found.std_error[0] / wrong["std_error"] - 1) > 10 * LAST_STEP
        assert abs(found.statistic[0] ** 2 - wrong["likelihood_ratio"]) > 1e4 * rounding(data)


# Ranks within strata


@each_case("van_elteren", "equal")
def test_rank_sums_within_strata_are_those_of_coin(case):
    data, method, _ = case
    given = trial(data)
    assert_values({"z": van_elteren(given.y, given.arm, 1, given.stratum, method).z[0]}, VALUES[case])


def test_equal_weights_are_told_apart_from_van_elterens_except_where_strata_are_of_one_size():
    """In `tooth` each dose was given to 20 animals."""
    given = trial("karnofsky")
    wrong = VALUES["karnofsky", "equal", 0, "z"]
    assert abs(van_elteren(given.y, given.arm, 1, given.stratum).z[0] - wrong) > 0.1
    assert abs(mann_whitney(given.y, given.arm, 1).wilcoxon_z[0] - VALUES["karnofsky", "van_elteren", 0, "z"]) > 0.1  # without strata
    assert np.unique(np.unique(trial("tooth").stratum, return_counts=True)[1]).size == 1
    assert_values(dict(VALUES["tooth", "equal", 0]), VALUES["tooth", "van_elteren", 0])


# Survival


@each_case("log_rank", "log_rank_stratified")
def test_log_rank_tests_are_those_of_survdiff(case):
    data, method, _ = case
    found = log_rank(*events(data), 1, trial(data).stratum if method == "log_rank_stratified" else None)
    assert_values({"excess": found.excess[0], "variance": found.variance[0]}, VALUES[case])
    assert_allclose(found.z[0], VALUES[case]["excess"] / np.sqrt(VALUES[case]["variance"]), rtol=DIGITS)


@pytest.mark.parametrize("data", ["lung", "veteran", "visits"])
def test_leaving_out_strata_or_the_correction_for_ties_is_told_apart_from_survdiff(data):
    found, stratified = log_rank(*events(data), 1), VALUES[data, "log_rank_stratified", 0]
    assert abs(found.excess[0] - stratified["excess"]) > 0.5
    assert abs(found.variance[0] - stratified["variance"]) > 1
    time, event, arm = (row[0] for row in events(data))
    untied = VALUES[data, "log_rank", 0, "excess"] ** 2 / survival_twin.score_statistic(time, event, arm == 1, "breslow")
    assert untied > (1 + 1e6 * DIGITS) * VALUES[data, "log_rank", 0, "variance"]


CURVES = {"kaplan_meier": (kaplan_meier_difference, "share"), "restricted_mean": (restricted_mean_difference, "mean")}


def everybody_has_the_event_at_once(time, event, arm, code):
    """The arm `code` without any variance, so that what is left is that of the other."""
    now = arm == code
    return np.where(now, 1.0, time), event | now, arm


@each_case("kaplan_meier", "restricted_mean")
def test_curves_and_their_errors_are_those_of_survfit(case):
    data, method, week = case
    (difference, feature), expected = CURVES[method], VALUES[case]
    found = difference(*events(data), 1, week)
    alone = [difference(*everybody_has_the_event_at_once(*events(data), 1 - code), 1, week).std_error[0] for code in (0, 1)]
    assert_values({f"{feature}_0": found.control[0], f"{feature}_1": found.active[0], "std_error_0": alone[0], "std_error_1": alone[1]}, expected)
    assert_allclose(found.estimate[0], expected[f"{feature}_1"] - expected[f"{feature}_0"], rtol=0, atol=DIGITS * expected[f"{feature}_1"])
    assert_allclose(found.std_error[0], np.hypot(expected["std_error_0"], expected["std_error_1"]), rtol=DIGITS)


@pytest.mark.parametrize("data", ["lung", "ovarian"])
def test_censored_patients_counted_as_free_of_the_event_are_told_apart_from_survfit(data):
    """The wrong version, which takes shares of all patients and their binomial variance."""
    (case,) = (case for case in cases("kaplan_meier") if case[0] == data)
    time, event, arm = events(data)
    share = 1 - (event & (time <= case[2]))[arm == 1].mean()
    assert share > VALUES[case]["share_1"] + 0.01
    assert np.sqrt(share * (1 - share) / (arm == 1).sum()) < 0.95 * VALUES[case]["std_error_1"]


# Pairs


def levels(data, margin):
    """By visit of death and then by the score at the start in `visits`, else by the outcome."""
    given = trial(data)
    second = [Level(given.covariates[0])] if data == "visits" else []
    return [Level(given.y, margin=margin), *second]


@each_case("pairs")
def test_wins_losses_and_their_covariances_are_those_of_curves_with_delongs_variances(case):
    data, _, margin = case
    found = compare_pairs(levels(data, margin), trial(data).arm, 1)
    assert_values({quantity: getattr(found, quantity)[0] for quantity in VALUES[case].index}, VALUES[case])
    assert set(VALUES[case].index) == {"wins", "losses", "variance_of_wins", "variance_of_losses", "covariance"}


@each_case("pairs")
def test_variances_without_the_control_arm_and_pairs_taken_as_independent_are_told_apart(case):
    data, _, margin = case
    expected, given = VALUES[case], trial(data)
    found = levels(data, margin)
    results = pairs_twin.results([level.outcome[0] for level in found], given.arm[0], 1, [True] * len(found), [level.margin for level in found])
    wins = (results == 1).astype(float)
    without_control = wins.mean(axis=1).var(ddof=1) / len(wins)
    for wrong in (without_control, wins.var() / wins.size):
        assert wrong < 0.7 * expected["variance_of_wins"]


# Tables


@each_case("mantel_haenszel")
def test_the_common_odds_ratio_is_that_of_mantelhaen_test_and_of_pairs_within_strata(case):
    """A stratified win ratio of an outcome with two values, in which pairs of a stratum weigh 1 over its patients."""
    given, expected = trial(case[0]), VALUES[case]
    pooled = MANTEL_HAENSZEL["log_odds_ratio"](stratified_counts(given.y, given.arm, 1, given.stratum)).estimate[0]
    of_pairs = win_ratio(compare_pairs([Level(given.y)], given.arm, 1, given.stratum)).estimate[0]
    for found in (pooled, of_pairs):
        assert_values({"odds_ratio": np.exp(found)}, expected)


def test_the_odds_ratio_of_all_departments_together_and_equal_weights_are_told_apart():
    given, expected = trial("admissions"), VALUES["admissions", "mantel_haenszel", 0, "odds_ratio"]
    counts = stratified_counts(given.y, given.arm, 1, given.stratum)
    together = StratifiedCounts(*(count.sum(axis=1, keepdims=True) for count in counts))
    crude = MANTEL_HAENSZEL["log_odds_ratio"](together).estimate[0]
    assert crude < 0 < np.log(expected)
    equal = win_ratio(compare_pairs([Level(given.y)], given.arm, 1, given.stratum, "equal")).estimate[0]
    assert abs(equal - np.log(expected)) > 0.001


# Randomization tests

SCORES = {"means": lambda y: y, "ranks": lambda y: rankdata(y, axis=1)}


@each_case("randomization")
def test_with_all_other_allocations_as_draws_the_p_value_is_the_exact_one_of_coin(case):
    given, expected = trial(case[0]), VALUES[case]
    every = allocations.with_n_active(20, 10)
    others = every[(every != given.arm).any(axis=1)][:, np.newaxis]
    assert len(others) == 184755
    for kind in ("mean_difference", "total"):
        found = {name: linear_randomization_test(score(given.y), given.arm, 1, others, kind=kind).p_value[0] for name, score in SCORES.items()}
        assert_values(found, expected)


def test_approximations_and_one_sided_tests_are_told_apart_from_the_exact_p_values():
    given, expected = trial("sleep"), VALUES["sleep", "randomization", 0]
    by_t = ttest_ind(given.y[given.arm == 1], given.y[given.arm == 0]).pvalue
    by_z = 2 * ndtr(-abs(mann_whitney(given.y, given.arm, 1).wilcoxon_z[0]))
    for wrong, exact in ((by_t, expected["means"]), (by_z, expected["ranks"]), (expected["means"] / 2, expected["means"])):
        assert abs(wrong - exact) > 0.001
