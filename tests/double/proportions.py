"""Two proportions one table at a time, from the definitions: likelihoods maximised by root finding, exact probabilities as fractions.

A table is `(events_active, n_active, events_control, n_control)`. Limits of ratios are logarithms.
"""

from collections.abc import Callable
from fractions import Fraction
from math import comb, exp, inf, log, sqrt

from scipy.optimize import brentq
from scipy.special import ndtri

Table = tuple[int, int, int, int]
TIGHT = {"xtol": 1e-300, "rtol": 1e-15, "maxiter": 500}


def root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, **TIGHT))


def quantile(level: float) -> float:
    return float(ndtri((1 + level) / 2))


def pull(count: int, probability: float) -> float:
    """Derivative of count * log(probability)."""
    if count == 0:
        return 0.0
    return count / probability if probability > 0 else inf


def risks_given_difference(table: Table, null: float) -> tuple[float, float]:
    """The two risks, `null` apart, under which the table is most probable."""
    events_active, n_active, events_control, n_control = table
    low, high = max(0.0, -null), min(1.0, 1.0 - null)

    def slope(control: float) -> float:
        up = pull(events_active, control + null) + pull(events_control, control)
        down = pull(n_active - events_active, 1 - control - null) + pull(n_control - events_control, 1 - control)
        return up - down

    control = top(slope, low, high)
    return control + null, control


def risks_given_ratio(table: Table, null: float) -> tuple[float, float]:
    """The two risks, in the ratio exp(null), under which the table is most probable."""
    events_active, n_active, events_control, n_control = table
    ratio = exp(null)

    def slope(control: float) -> float:
        up = pull(events_active + events_control, control)
        down = ratio * pull(n_active - events_active, 1 - ratio * control) + pull(n_control - events_control, 1 - control)
        return up - down

    control = top(slope, 0.0, min(1.0, 1 / ratio))
    return ratio * control, control


def top(slope: Callable[[float], float], low: float, high: float) -> float:
    """Where a concave function with this slope is highest between `low` and `high`."""
    if low == high or slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    return root(lambda x: max(min(slope(x), 1e300), -1e300), low, high)


def difference_statistic(table: Table, null: float, variance_factor: bool = True) -> float:
    active, control = risks_given_difference(table, null)
    events_active, n_active, events_control, n_control = table
    variance = active * (1 - active) / n_active + control * (1 - control) / n_control
    return standardized(events_active / n_active - events_control / n_control - null, variance, n_active + n_control, variance_factor)


def ratio_statistic(table: Table, null: float, variance_factor: bool = True) -> float:
    active, control = risks_given_ratio(table, null)
    events_active, n_active, events_control, n_control = table
    variance = active * (1 - active) / n_active + exp(null) ** 2 * control * (1 - control) / n_control
    contrast = events_active / n_active - exp(null) * events_control / n_control
    return standardized(contrast, variance, n_active + n_control, variance_factor)


def odds_statistic(table: Table, null: float, variance_factor: bool = True) -> float:
    """Cornfield's fitted table: the events expected under active, given all events, at an odds ratio of exp(null)."""
    events_active, n_active, events_control, n_control = table
    events = events_active + events_control
    low, high = float(max(0, events - n_control)), float(min(n_active, events))

    def discrepancy(expected: float) -> float:
        cross = expected * (n_control - events + expected)
        return cross - exp(null) * (events - expected) * (n_active - expected)

    expected = root(discrepancy, low, high)
    cells = expected, n_active - expected, events - expected, n_control - events + expected
    variance = 0.0 if min(cells) <= 0 else 1 / sum(1 / cell for cell in cells)
    return standardized(events_active - expected, variance, n_active + n_control, variance_factor)


def standardized(contrast: float, variance: float, n: int, variance_factor: bool) -> float:
    variance = variance * n / (n - 1) if variance_factor else variance
    if variance <= 0:
        return 0.0 if contrast == 0 else inf if contrast > 0 else -inf
    return contrast / sqrt(variance)


STATISTICS = {"risk_difference": difference_statistic, "log_risk_ratio": ratio_statistic, "log_odds_ratio": odds_statistic}


def score_limits(table: Table, contrast: str, level: float = 0.95, variance_factor: bool = True) -> tuple[float, float]:
    """Where the statistic, which falls as the null grows, passes the normal quantile and its negative."""
    z = quantile(level)
    last = 1.0 if contrast == "risk_difference" else 30.0

    def statistic(null: float) -> float:
        return max(min(STATISTICS[contrast](table, null, variance_factor), 1e6), -1e6)

    def limit(wanted: float) -> float:
        if statistic(-last) <= wanted:
            return -last
        return last if statistic(last) >= wanted else root(lambda null: statistic(null) - wanted, -last, last)

    lower, upper = limit(z), limit(-z)
    if contrast == "risk_difference":
        return lower, upper
    return -inf if lower == -last else lower, inf if upper == last else upper


def wilson_limits(events: int, n: int, level: float) -> tuple[float, float]:
    """The risks whose score statistic is as large as the normal quantile."""
    z = quantile(level)

    def distance(risk: float) -> float:
        return abs(events / n - risk) - z * sqrt(risk * (1 - risk) / n)

    lower = 0.0 if events == 0 else root(distance, 0.0, events / n - 1e-12)  # 1e-12 from the risk itself, which is a root at 0 and 1
    return lower, 1.0 if events == n else root(distance, events / n + 1e-12, 1.0)


def newcombe_limits(table: Table, level: float = 0.95) -> tuple[float, float]:
    events_active, n_active, events_control, n_control = table
    active, control = events_active / n_active, events_control / n_control
    (l1, u1), (l2, u2) = wilson_limits(events_active, n_active, level), wilson_limits(events_control, n_control, level)
    return active - control - sqrt((active - l1) ** 2 + (u2 - control) ** 2), active - control + sqrt((u1 - active) ** 2 + (control - l2) ** 2)


def log_ratio(table: Table, odds: bool, correction: float) -> tuple[float, float]:
    """Logarithm of the risk or odds ratio and its large-sample standard error."""
    a, b, c, d = float(table[0]), float(table[1] - table[0]), float(table[2]), float(table[3] - table[2])
    if 0 in (a, b, c, d):
        a, b, c, d = a + correction, b + correction, c + correction, d + correction
    if odds:
        return log(a * d / (b * c)), sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return log(a / (a + b) / (c / (c + d))), sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


def fisher_p_values(table: Table) -> tuple[float, float]:
    """Two-sided p and mid-p with probabilities as fractions; tables tie within a relative 1e-7."""
    events_active, n_active, events_control, n_control = table
    events = events_active + events_control
    support = range(max(0, events - n_control), min(n_active, events) + 1)
    probability = {k: Fraction(comb(n_active, k) * comb(n_control, events - k), comb(n_active + n_control, events)) for k in support}
    observed, share = probability[events_active], Fraction(1, 10**7)
    equal = sum(p for p in probability.values() if observed * (1 - share) <= p <= observed * (1 + share))
    less = sum(p for p in probability.values() if p < observed * (1 - share))
    return float(less + equal), float(less + equal / 2)
