"""Rows of group A of trial_cases.csv: analysis of covariance, and the order of the analyses of change."""

import numpy as np
from statistical.cases_means import means, t_power
from statistical.helpers import Check, rejection, trial

from simtrials.engine.scenario import Scenario
from simtrials.stats import closed_form

LEFT_OUT = dict.fromkeys(
    ("A02q3", "A02q10", "A03q3", "A03q10"),
    "an F test of three groups: analyses compare two arms; its formula is tested, and simulated by least squares, in tests/reference",
)
RHOS = (0.2, 0.35, 0.5, 0.65, 0.8)


def ancova_power(effect: float, n: int, correlation: float = 0.5) -> float:
    """Exact: chance imbalance of a normal baseline is averaged over."""
    return float(closed_form.ancova_power(effect, correlation=correlation, n_active=n / 2, n_control=n / 2))


def ancova_row(row: str, published: float, effect: float, n: int) -> Check:
    endpoint = means(effect, baseline={"mean": 0.0, "sd": 1.0, "correlation": 0.5})
    scenario = trial(row, endpoint, {"test": {"kind": "ancova", "outcome": "value"}}, n)
    design = f"ANCOVA, d {effect:.3g}, correlation .5 with baseline, {n // 2} + {n // 2}"
    return Check(
        row, design, scenario, rejection(), ancova_power(effect, n), "random covariate", {"t test for ANCOVA": t_power(effect, 1, n)}, published
    )


def four_analyses(rho: float) -> Scenario:
    """50 + 50 patients, d 0.5 at the end; baseline and end have the same SD, a fifth of the mean. On so wide a scale rounding does not matter."""
    endpoint = {
        "kind": "scale",
        "scale": {"name": "wide", "minimum": 0, "maximum": 2000},
        "weeks": [8],
        "baseline": {"mean": 500.0, "sd": 100.0},
        "control_course": {"change": 0.0, "at_week": 8, "time_constant": 0.0, "score_sd": 100.0},
        "correlation": {"kind": "compound_symmetry", "rho": rho},
        "effects": {"active": {"kind": "constant", "points": 50.0}},
    }
    analyses = {"ancova": {"kind": "ancova", "outcome": "score"}, "percent": {"kind": "t_test", "outcome": "percent_change"}}
    analyses |= {"change": {"kind": "t_test", "outcome": "change"}, "post": {"kind": "t_test", "outcome": "score"}}
    return trial(f"A07 {rho}", endpoint, analyses, 100)


def analyses_of_change(rho: float) -> list[Check]:
    """Those of the four that have an exact power: percent change has none."""
    scenario = four_analyses(rho)
    exact = {"ancova": ancova_power(0.5, 100, rho), "change": t_power(0.5, float(np.sqrt(2 - 2 * rho)), 100), "post": t_power(0.5, 1, 100)}
    words = {"ancova": "ANCOVA", "change": "t test of change", "post": "t test of the end score"}
    methods = {"ancova": "random covariate", "change": "noncentral t", "post": "noncentral t"}
    other = {"ancova": "change", "change": "ancova", "post": "ancova" if rho == 0.5 else "change"}  # one that the correlation sets well apart

    def check(name: str) -> Check:
        design, wrong = f"{words[name]}, d 0.5, correlation {rho}, 50 + 50", {words[other[name]]: exact[other[name]]}
        return Check(f"A07 {name} {rho}", design, scenario, rejection(name), exact[name], methods[name], wrong)

    return [check(name) for name in exact]


ROWS = [
    ancova_row("A01", 0.8023214, 2 * 0.2309401 * np.sqrt(1 - 0.25), 150),
    ancova_row("A05", 0.8975631, 0.5, 128),
    *(check for rho in RHOS for check in analyses_of_change(rho)),
]
