"""Trials that lose patients: analyses under loss that depends on what is seen or not seen, and reference-based imputation beside closed forms."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statistical.helpers import Found, seed_of, simulate

from simtrials.engine.files import scenario_from
from simtrials.engine.scenario import Scenario
from simtrials.stats.closed_form import reference_based_effect
from simtrials.stats.mmrm import mmrm

N_LEVELS, N_REFERENCE = 20_480, 10_240
WEEKS = (1, 2, 4, 6, 8)
WIDE = {"name": "wide", "minimum": -1000.0, "maximum": 1000.0}
NORMAL = {
    "kind": "scale",
    "scale": WIDE,
    "weeks": list(WEEKS),
    "baseline": {"mean": 0.0, "sd": 40.0},
    "control_course": {"change": -60.0, "at_week": 8, "time_constant": 3.0, "score_sd": 50.0},
    "correlation": {"kind": "ar1", "per_week": 0.9},
}
"""Rounding is negligible and bounds are 18 SDs away: an unbounded normal."""
MADRS = {
    "kind": "scale",
    "scale": "MADRS",
    "weeks": list(WEEKS),
    "baseline": {"mean": 29.0, "sd": 5.0},
    "control_course": {"change": -11.0, "at_week": 8, "time_constant": 3.7, "score_sd": [6.3, 7.4, 8.4, 8.8, 9.0]},
    "correlation": {"kind": "ar1", "per_week": 0.93},
}
ENDPOINTS = {"unbounded normal": (NORMAL, 0.03), "MADRS": (MADRS, 0.15)}
"""Each with the log odds of leaving per point worse, about 1.5 per SD."""
RATES = {"control": 0.1, "active": 0.4}
WAYS = {
    "MMRM": {"kind": "mmrm"},
    "multiple imputation": {"kind": "multiple_imputation"},
    "conditional mean, jackknife": {"kind": "conditional_mean"},
    "completers": {"kind": "ancova"},
    "LOCF": {"kind": "ancova", "missing": "locf"},
    "BOCF": {"kind": "ancova", "missing": "bocf"},
}


def scenario(name: str, endpoint: dict[str, Any], departures: dict[str, Any], analyses: dict[str, Any], n_patients: int = 200) -> Scenario:
    design = {"kind": "fixed", "n_patients": n_patients, "allocation": {"kind": "blocks", "block_size": 4}}
    named = {key: {"endpoint": "score", "covariates": ["baseline"], **analysis} for key, analysis in analyses.items()}
    raw = {"name": "check", "seed": seed_of(name), "design": design, "endpoints": {"score": endpoint}}
    return scenario_from({**raw, "departures": departures, "analyses": named})


def levels(endpoint: str, mechanism: str) -> Found:
    """The ways of dealing with loss that differs by arm, when the drug does nothing."""
    declared, per_point = ENDPOINTS[endpoint]
    lost = {"kind": "dropout", "rate": RATES, "mechanism": mechanism, "log_odds_per_point": per_point}
    return simulate(scenario(f"levels {endpoint} {mechanism}", declared, {"lost": lost}, WAYS), N_LEVELS)


ASSUMPTIONS = ("jump_to_reference", "copy_reference", "copy_increments", "missing_at_random")
EFFECT, STOPPED = 20.0, 0.3


def reference_based() -> Found:
    """Active patients stop at random and are not seen again; every assumption by Rubin's rules and by the jackknife."""
    active = NORMAL | {"effects": {"active": {"kind": "constant", "points": EFFECT}}}
    stop = {"kind": "discontinuation", "rate": {"control": 0.0, "active": STOPPED}, "effect": "lost", "followed_up": False}
    analyses = {f"rubin {name}": {"kind": "multiple_imputation", "assumption": name, "deviation": "stop"} for name in ASSUMPTIONS}
    analyses |= {f"jackknife {name}": {"kind": "conditional_mean", "assumption": name, "deviation": "stop"} for name in ASSUMPTIONS}
    return simulate(scenario("reference based", active, {"stop": stop}, analyses), N_REFERENCE)


def closed_form(assumption: str) -> float:
    """The mean of the estimates: stopping is geometric over the visits."""
    weeks = np.array([0, *WEEKS])
    covariance = 0.9 ** np.abs(np.subtract.outer(weeks, weeks)) * np.outer([40.0] + [50.0] * 5, [40.0] + [50.0] * 5)
    hazard = 1 - (1 - STOPPED) ** (1 / len(WEEKS))
    left = [0.0, *(hazard * (1 - hazard) ** k for k in range(len(WEEKS))), 1 - STOPPED]
    return reference_based_effect([0.0] + [EFFECT] * len(WEEKS), covariance, left, assumption)  # type: ignore[arg-type]


RETENTION = {"A": (1.0, 0.76, 0.63, 0.52), "B": (1.0, 0.87, 0.81, 0.78), "mm1": (1.0, 0.9, 0.8, 0.7)}
AR1 = 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
SYMMETRIC = np.full((4, 4), 0.25) + 0.75 * np.eye(4)
PUBLISHED = {
    # row: effect at the last visit in SDs, correlations, (active patients, retention), (controls, retention), published power
    "L_llc5_81": (0.9, AR1, (37, "A"), (44, "B"), 0.904),
    "L_llc5_80": (0.9, AR1, (40, "A"), (40, "B"), 0.903),
    "L_mm1": (0.5, SYMMETRIC, (87, "mm1"), (87, "mm1"), 0.8000372),
}
N_PUBLISHED = 40_960


def trials(row: str, seed: int, n_trials: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Outcome (R, P, 4) with visits lost for good and at random, and arm (R, P)."""
    effect, correlations, *arms, _ = PUBLISHED[row]
    rng = np.random.default_rng(seed)
    parts, codes = [], []
    for code, (n, retention) in ((1, arms[0]), (0, arms[1])):
        value = rng.standard_normal((n_trials, n, 4)) @ np.linalg.cholesky(correlations).T
        value[:, :, -1] += effect * code
        gone = rng.random((n_trials, n))[:, :, np.newaxis] >= np.array(RETENTION[retention])
        value[gone] = np.nan
        parts.append(value)
        codes.append(np.full((n_trials, n), code, dtype=np.int8))
    return np.concatenate(parts, axis=1), np.concatenate(codes, axis=1)


@cache
def published_power(row: str) -> float:
    """Power of the mixed model with an unstructured covariance and Satterthwaite's degrees of freedom, two-sided .05, benefit only."""
    from scipy.stats import t

    shown = 0
    for block in range(N_PUBLISHED // 1024):
        found = mmrm(*trials(row, seed_of(f"{row} {block}"), 1024), 1)
        shown += int((found.estimate / found.std_error > t.isf(0.025, found.df)).sum())
    return shown / N_PUBLISHED
