"""Bias, standard errors and coverage against enumeration and theory, on endpoints where both are exact.

Coverage of an interval is the probability of the tables whose interval holds the truth. For intervals that invert a score test that is decided
table by table from the test at the truth, with the naive twin of tests/double, so no limit is computed on the exact side.
"""

from collections.abc import Callable

import numpy as np
import pytest
from double import proportions as twin
from scipy.stats import binom
from statistical.helpers import Check, Statistic, assert_agrees, mean_estimate, simulate, trial

P_ACTIVE, P_CONTROL, N_ACTIVE, N_CONTROL = 0.5, 0.25, 40, 20
TRUTH = {
    "risk_difference": P_ACTIVE - P_CONTROL,
    "log_risk_ratio": float(np.log(P_ACTIVE / P_CONTROL)),
    "log_odds_ratio": float(np.log(P_ACTIVE / (1 - P_ACTIVE) / (P_CONTROL / (1 - P_CONTROL)))),
}
Z = twin.quantile(0.95)
BINARY = {"kind": "binary", "control_risk": P_CONTROL, "effects": {"active": {"kind": "constant", "risk": P_ACTIVE}}}
Table = tuple[int, int, int, int]


def tables() -> list[tuple[float, Table]]:
    """Every table and its probability."""
    active, control = binom.pmf(np.arange(N_ACTIVE + 1), N_ACTIVE, P_ACTIVE), binom.pmf(np.arange(N_CONTROL + 1), N_CONTROL, P_CONTROL)
    return [(float(active[a] * control[c]), (a, N_ACTIVE, c, N_CONTROL)) for a in range(N_ACTIVE + 1) for c in range(N_CONTROL + 1)]


def log_ratio(table: Table, odds: bool) -> tuple[float, float] | None:
    """Log ratio and its large-sample standard error (Katz, Woolf); None where a cell that it needs is empty."""
    a, n, c, m = table
    if a == 0 or c == 0 or (odds and (a == n or c == m)):
        return None
    if odds:
        return float(np.log(a * (m - c) / ((n - a) * c))), float(np.sqrt(1 / a + 1 / (n - a) + 1 / c + 1 / (m - c)))
    variance = 1 / a - 1 / n + 1 / c - 1 / m
    return None if variance == 0 else (float(np.log(a / n / (c / m))), float(np.sqrt(variance)))


def difference(table: Table) -> tuple[float, float]:
    a, n, c, m = table
    return a / n - c / m, float(np.sqrt(a / n * (1 - a / n) / n + c / m * (1 - c / m) / m))


def wald_covers(found: tuple[float, float] | None, truth: float) -> bool | None:
    return None if found is None else abs(found[0] - truth) <= Z * found[1]


def newcombe_covers(table: Table) -> bool:
    a, n, c, m = table
    (low_a, high_a), (low_c, high_c) = (wilson(x, size) for x, size in ((a, n), (c, m)))
    apart = a / n - c / m
    lower, upper = apart - np.hypot(a / n - low_a, high_c - c / m), apart + np.hypot(high_a - a / n, c / m - low_c)
    return bool(lower <= TRUTH["risk_difference"] <= upper)


def wilson(x: int, n: int) -> tuple[float, float]:
    """Limits of the Wilson interval: roots of (p - x / n)^2 = z^2 p (1 - p) / n."""
    a, b, c = 1 + Z**2 / n, -(2 * x / n + Z**2 / n), (x / n) ** 2
    half = np.sqrt(max(b * b - 4 * a * c, 0.0))
    return float((-b - half) / (2 * a)), float((-b + half) / (2 * a))


def score_covers(scale: str, variance_factor: bool) -> Callable[[Table], bool]:
    return lambda table: abs(twin.STATISTICS[scale](table, TRUTH[scale], variance_factor)) <= Z


INTERVALS: dict[str, tuple[dict[str, object], str, Callable[[Table], bool | None]]] = {
    "Wald": (
        {"kind": "risk_difference", "test": "wald", "interval": "wald"},
        "risk_difference",
        lambda t: wald_covers(difference(t), TRUTH["risk_difference"]),
    ),
    "Newcombe": ({"kind": "risk_difference", "test": "wald", "interval": "newcombe"}, "risk_difference", newcombe_covers),
    "Mee": ({"kind": "risk_difference", "test": "score", "interval": "mee"}, "risk_difference", score_covers("risk_difference", False)),
    "Miettinen-Nurminen": (
        {"kind": "risk_difference", "test": "miettinen_nurminen", "interval": "miettinen_nurminen"},
        "risk_difference",
        score_covers("risk_difference", True),
    ),
    "risk ratio, Katz": ({"kind": "risk_ratio"}, "log_risk_ratio", lambda t: wald_covers(log_ratio(t, odds=False), TRUTH["log_risk_ratio"])),
    "risk ratio, score": ({"kind": "risk_ratio", "test": "score"}, "log_risk_ratio", score_covers("log_risk_ratio", True)),
    "odds ratio, Woolf": ({"kind": "odds_ratio"}, "log_odds_ratio", lambda t: wald_covers(log_ratio(t, odds=True), TRUTH["log_odds_ratio"])),
    "odds ratio, score": ({"kind": "odds_ratio", "test": "score"}, "log_odds_ratio", score_covers("log_odds_ratio", True)),
}
SCENARIO = trial("intervals", BINARY, {name: analysis for name, (analysis, _, _) in INTERVALS.items()}, N_ACTIVE + N_CONTROL, (1, 2))
N_REPLICATES = 480 * 256


def exact_coverage(covers: Callable[[Table], bool | None]) -> float:
    """Among the tables for which the procedure gives an interval, as the package counts it."""
    decided = [(chance, covers(table)) for chance, table in tables()]
    return sum(chance for chance, holds in decided if holds) / sum(chance for chance, holds in decided if holds is not None)


def coverage(name: str, truth: float) -> Statistic:
    return lambda found: found.measures(name, truth)["coverage"].value


def intervals() -> list[Check]:
    exact = {name: exact_coverage(covers) for name, (_, _, covers) in INTERVALS.items()}
    checks = []
    for name, (_, scale, _) in INTERVALS.items():
        words = f"coverage of {name}, {P_ACTIVE:g} of {N_ACTIVE} against {P_CONTROL:g} of {N_CONTROL}"
        others = {other: value for other, value in exact.items() if INTERVALS[other][1] == scale} | {"nominal coverage": 0.95}
        wrong = {other: value for other, value in others.items() if (value - exact[name]) ** 2 * N_REPLICATES > 64 * exact[name] * (1 - exact[name])}
        checks.append(Check(name, words, SCENARIO, coverage(name, TRUTH[scale]), exact[name], "enumeration", wrong, 0.95, n_least=N_REPLICATES))
    return checks


INTERVAL_CHECKS = intervals()


@pytest.mark.parametrize("check", INTERVAL_CHECKS, ids=lambda check: check.name)
def test_the_coverage_of_an_interval_is_that_of_enumeration(check: Check):
    assert check.n_replicates == N_REPLICATES  # all intervals are read off one simulation
    assert_agrees(check)


def test_enough_intervals_are_told_apart_by_their_coverage():
    told_apart = {(check.name, version) for check in INTERVAL_CHECKS for version in check.wrong}
    assert {
        ("Wald", "Mee"),
        ("Wald", "Newcombe"),
        ("risk ratio, Katz", "risk ratio, score"),
        ("odds ratio, Woolf", "odds ratio, score"),
    } <= told_apart


def exact_estimates(name: str) -> tuple[float, float, float]:
    """Mean, SD and kurtosis of the estimate over the tables that have one."""
    scale = INTERVALS[name][1]
    if scale == "risk_difference":
        found = [(chance, difference(table)[0]) for chance, table in tables()]
    else:
        pairs = [(chance, log_ratio(table, scale == "log_odds_ratio")) for chance, table in tables()]
        found = [(chance, pair[0]) for chance, pair in pairs if pair is not None]
    chance, value = np.array(found).T
    chance /= chance.sum()
    mean = float(chance @ value)
    variance = float(chance @ (value - mean) ** 2)
    return mean, float(np.sqrt(variance)), float(chance @ (value - mean) ** 4) / variance**2


ESTIMATED = ["Wald", "risk ratio, Katz", "odds ratio, Woolf"]


@pytest.mark.parametrize("name", ESTIMATED)
def test_mean_and_empirical_standard_error_of_a_contrast_are_those_of_enumeration(name: str):
    mean, sd, kurtosis = exact_estimates(name)
    found = simulate(SCENARIO, N_REPLICATES)
    assert abs(mean_estimate(name)(found) - mean) < 4 * sd / np.sqrt(N_REPLICATES)
    empirical = found.measures(name, TRUTH[INTERVALS[name][1]])["empirical_se"].value
    assert abs(empirical - sd) < 4 * sd * np.sqrt((kurtosis - 1) / (4 * N_REPLICATES))


@pytest.mark.parametrize("name", ESTIMATED)
def test_the_measured_bias_is_none_for_a_difference_and_that_of_enumeration_for_log_ratios(name: str):
    truth = TRUTH[INTERVALS[name][1]]
    bias = simulate(SCENARIO, N_REPLICATES).measures(name, truth)["bias"]
    exact = exact_estimates(name)[0] - truth
    assert abs(bias.value - exact) < 4 * bias.mcse
    if name == "Wald":
        assert abs(exact) < 1e-12
    else:
        assert abs(exact) > 8 * bias.mcse


# ---- means

MEANS = {
    "kind": "continuous",
    "mean": 20.0,
    "sd": 9.0,
    "better": "down",
    "baseline": {"mean": 29.0, "sd": 5.0, "correlation": 0.5},
    "effects": {"active": {"kind": "constant", "points": 3.0}},
}
MEAN_ANALYSES = {
    "t": {"kind": "t_test", "outcome": "value"},
    "welch": {"kind": "t_test", "outcome": "value", "variance": "welch"},
    "change": {"kind": "t_test", "outcome": "change"},
    "ancova": {"kind": "ancova", "outcome": "change"},
}
MEAN_SCENARIO = trial("means", MEANS, MEAN_ANALYSES, 60, (1, 2))
OF_ONE_MEAN = np.sqrt(1 / 40 + 1 / 20)
EXACT_SE = {
    "t": 9 * OF_ONE_MEAN,
    "welch": 9 * OF_ONE_MEAN,
    "change": np.sqrt(25 + 81 - 45) * OF_ONE_MEAN,
    "ancova": 9 * np.sqrt(0.75) * OF_ONE_MEAN * np.sqrt(57 / 56),  # chance imbalance of the baseline: (N - 3) / (N - 4)
}


@pytest.mark.parametrize("analysis", MEAN_ANALYSES)
def test_an_analysis_of_means_is_unbiased_with_its_exact_standard_error_and_exact_coverage(analysis: str):
    found = simulate(MEAN_SCENARIO, N_REPLICATES).measures(analysis, 3.0)
    assert abs(found["bias"].value) < 4 * found["bias"].mcse
    assert 8 * found["bias"].mcse < 3.0  # a wrong sign or no effect would be seen
    assert abs(found["empirical_se"].value - EXACT_SE[analysis]) < 4 * found["empirical_se"].mcse
    if analysis != "welch":
        assert abs(found["relative_error_of_model_se"].value) < 4 * found["relative_error_of_model_se"].mcse
        assert abs(found["coverage"].value - 0.95) < 4 * np.sqrt(0.95 * 0.05 / N_REPLICATES)


def test_the_standard_error_of_the_unadjusted_test_is_seen_to_be_wrong_for_ancova():
    found = simulate(MEAN_SCENARIO, N_REPLICATES)
    empirical = found.measures("ancova", 3.0)["empirical_se"]
    assert found.measures("t", 3.0)["model_se"].value - empirical.value > 8 * empirical.mcse
