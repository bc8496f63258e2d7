"""Rows of group B of trial_cases.csv: two proportions, logistic regression, responders, marginal risks."""

from typing import Any

import numpy as np
from scipy.special import expit, logit
from statistical import exact
from statistical.cases_means import t_power
from statistical.helpers import Check, Found, Statistic, marker_population, mean_estimate, power, rejection, trial

from simtrials.stats import closed_form

TESTS: dict[str, dict[str, Any]] = {
    "pooled z": {"kind": "risk_difference", "test": "score", "interval": "wald"},
    "unpooled z": {"kind": "risk_difference", "test": "wald", "interval": "wald"},
    "Fisher": {"kind": "fisher_exact"},
}
"""The interval is not looked at, so the one that costs least is asked for."""
REJECTED = {
    "pooled z": closed_form.pooled_z_rejection,
    "unpooled z": closed_form.unpooled_z_rejection,
    "Fisher": closed_form.fisher_rejection,
}
Pair = tuple[float, float]
"""Of active and of control."""


def enumerated(test: str, p: Pair, n: tuple[int, int]) -> float:
    """Exact power in the direction of benefit."""
    return float(closed_form.enumerated_power(REJECTED[test](*n, tails="benefit"), *p))


def formula(p: Pair, n: tuple[int, int]) -> float:
    """The pooled-z formula, a normal approximation."""
    return float(closed_form.proportions_power(*p, n_active=n[0], n_control=n[1]))


def versions(test: str, p: Pair, n: tuple[int, int], names: tuple[str, ...]) -> dict[str, float]:
    """The named wrong versions of a row."""
    made = {
        **{f"{other} for {test}": lambda other=other: enumerated(other, p, n) for other in TESTS},
        "arms swapped": lambda: enumerated(test, p, (n[1], n[0])),
        "pooled-z formula": lambda: formula(p, n),
        "one arm taken for both": lambda: enumerated(test, p, (n[0] // 2, n[1] // 2)),
    }
    return {name: made[name]() for name in names}


def row(name: str, published: float, test: str, p: Pair, n: tuple[int, int], *wrong: str) -> Check:
    shared = int(np.gcd(*n))
    endpoint = {"kind": "binary", "control_risk": p[1], "effects": {"active": {"kind": "constant", "risk": p[0]}}}
    scenario = trial(name, endpoint, {"test": TESTS[test]}, sum(n), (n[1] // shared, n[0] // shared))
    design = f"{test}, {p[0]:g} of {n[0]} against {p[1]:g} of {n[1]}"
    return Check(name, design, scenario, power(), enumerated(test, p, n), "enumeration", versions(test, p, n, wrong), published)


def fewer_events_are_better() -> Check:
    """The proportions of row B07 for an event that the patient does not want: active must have the lower risk to show a benefit."""
    endpoint = {"kind": "binary", "control_risk": 0.2, "event_is": "bad", "effects": {"active": {"kind": "constant", "risk": 0.1}}}
    scenario = trial("B07 bad event", endpoint, {"test": TESTS["pooled z"]}, 462, (2, 1))
    wrong = {"event taken for good": enumerated("pooled z", (0.1, 0.2), (154, 308)), "arms swapped": enumerated("pooled z", (0.9, 0.8), (308, 154))}
    design = "pooled z, event bad, 0.1 of 154 against 0.2 of 308"
    return Check("B07 bad event", design, scenario, power(), enumerated("pooled z", (0.9, 0.8), (154, 308)), "enumeration", wrong)


def logistic() -> Check:
    p_active = float(expit(logit(0.3) + np.log(1.5)))
    endpoint = {"kind": "binary", "control_risk": 0.3, "effects": {"active": {"kind": "constant", "odds_ratio": 1.5}}}
    scenario = trial("B13", endpoint, {"test": {"kind": "logistic"}}, 853, allocation={"kind": "complete"})
    wrong = {"odds ratio taken for a risk ratio": exact.log_odds_ratio_power(0.45, 0.3, 853)}
    design = "logistic regression on the arm, odds ratio 1.5, risk .3, 853 by coin"
    return Check("B13", design, scenario, power(), exact.log_odds_ratio_power(p_active, 0.3, 853), "enumeration", wrong, 0.8001429)


def responders() -> list[Check]:
    """A normal score cut at the control median: a scale so wide that rounding does not matter, and remission at or below the median."""
    endpoint = {
        "kind": "scale",
        "scale": {"name": "wide", "minimum": 0, "maximum": 1000, "remission_cut": 500},
        "weeks": [8],
        "baseline": {"mean": 500.5, "sd": 50.0},
        "control_course": {"change": 0.0, "at_week": 8, "time_constant": 0.0, "score_sd": 50.0},
        "correlation": {"kind": "compound_symmetry", "rho": 0.5},
        "effects": {"active": {"kind": "constant", "points": 25.0}},
    }
    analyses = {"scores": {"kind": "t_test", "outcome": "score"}, "responders": {**TESTS["pooled z"], "outcome": "remission"}}
    scenario = trial("B15", endpoint, analyses, 128)
    p, n = (float(closed_form.responder_proportion(0.5, 0.5)), 0.5), (64, 64)
    uncut, cut = t_power(0.5, 1, 128), enumerated("pooled z", p, n)
    wrong = versions("pooled z", p, n, ("pooled-z formula", "unpooled z for pooled z"))
    return [
        Check(
            "B15 scores", "t test of the scores, d 0.5, 64 + 64", scenario, rejection("scores"), uncut, "noncentral t", {"cut scores": cut}, 0.8014596
        ),
        Check("B15", "pooled z of responders cut at the control median, 64 + 64", scenario, power("responders"), cut, "enumeration", wrong, 0.59942),
    ]


def marginal_risks() -> list[Check]:
    """Risks under logit p = -1 + T + 2 X with X standard normal. Arms off and on have the line in X; the control arm has -1 alone, a known risk."""
    slope = {"kind": "log_linear", "log_odds_ratio": 2.0, "harm_below": True}
    effects = {"off": {**slope, "zero_at": 1.0}, "on": {**slope, "zero_at": float(np.exp(-0.5))}}  # 2 (X + 1/2) = 1 + 2 X
    known = float(expit(-1))
    analyses = {arm: {**TESTS["unpooled z"], "arm": arm} for arm in effects}
    analyses |= {f"{kind} {arm}": {"kind": kind, "arm": arm} for kind in ("risk_ratio", "odds_ratio") for arm in effects}
    endpoint = {"kind": "binary", "control_risk": known, "effects": effects}
    scenario = trial("B17", endpoint, analyses, 300, (1, 1, 1), arms=["control", *effects], **marker_population())
    off, on, apart = (float(value) for value in closed_form.marginal_effects(-1, 1, 2)[:3])

    def check(name: str, what: str, statistic: Statistic, value: float, wrong: dict[str, float], published: float, risks: Pair) -> Check:
        sd = float(np.sqrt(sum(p * (1 - p) for p in risks) / 100))
        return Check(name, f"logit p = -1 + T + 2 X, X normal: {what}", scenario, statistic, value, "integration", wrong, published, sd)

    at_mean = "value at the mean of X"
    return [
        check("B17 p0", "risk without T", risk_in("off", known), off, {at_mean: known}, 0.3522736, (off, known)),
        check("B17 p1", "risk with T", risk_in("on", known), on, {"risk without T": off}, 0.5, (on, known)),
        check("B17", "risk difference", difference_of("on", "off"), apart, {at_mean: 0.5 - known}, 0.1477264, (off, on)),
    ]


def risk_in(arm: str, control_risk: float) -> Statistic:
    return lambda found: mean_estimate(arm)(found) + control_risk


def difference_of(arm: str, other: str) -> Statistic:
    def difference(found: Found) -> float:
        return mean_estimate(arm)(found) - mean_estimate(other)(found)

    return difference


ROWS = [
    row("B01", 0.8000056, "pooled z", (0.5, 0.3), (93, 93), "unpooled z for pooled z"),
    row("B03", 0.8, "unpooled z", (0.85, 0.65), (70, 70), "pooled z for unpooled z"),
    row("B05", 0.8, "pooled z", (0.08, 0.06), (2554, 2554), "Fisher for pooled z"),
    row("B07", 0.79956592, "pooled z", (0.2, 0.1), (308, 154), "pooled-z formula", "arms swapped", "unpooled z for pooled z"),
    fewer_events_are_better(),
    row("B09 1:1", 0.9, "Fisher", (0.45, 0.25), (128, 128), "pooled z for Fisher"),
    row("B09 1:3", 0.9, "Fisher", (0.45, 0.25), (84, 252), "pooled z for Fisher"),
    row("B11 525", 0.8730263, "pooled z", (0.2, 0.1), (175, 350), "arms swapped", "unpooled z for pooled z"),
    row("B11 489", 0.8528586, "pooled z", (0.2, 0.1), (163, 326), "arms swapped", "unpooled z for pooled z", "pooled-z formula"),
    logistic(),
    *responders(),
    *marginal_risks(),
    row("B19", 0.8, "pooled z", (0.4, 0.25), (152, 152), "Fisher for pooled z"),
]
