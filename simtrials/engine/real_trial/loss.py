"""How patients of a real trial are lost: by whom, when, and whether it depends on what was last seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, gammaincc

from simtrials.core.arrays import AnyArray, FloatArray
from simtrials.core.data import Improves

DIFFERENT = 0.05
"""Level at which intervals, and patients with another course, are taken to differ in their odds of leaving."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Departures as a scenario declares them, the shares seen at each visit (A, V), the patients of each arm, and what was found."""

    departures: dict[str, dict[str, Any]]
    seen: FloatArray
    n: AnyArray
    notes: tuple[str, ...]


def loss_of(values: FloatArray, group: AnyArray, arms: tuple[str, ...], improves: Improves) -> Loss:
    """Loss and gaps in `values` (n, 1 + V), baseline first and complete."""
    observed = ~np.isnan(values[:, 1:])
    n_visits = observed.shape[1]
    last = np.where(observed.any(axis=1), n_visits - np.argmax(observed[:, ::-1], axis=1), 0)
    n = np.bincount(group, minlength=len(arms))
    seen = np.array([observed[group == code].mean(axis=0) for code in range(len(arms))])
    departures: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    if (last < n_visits).any():
        departures["lost"] = _dropout(values, group, arms, improves, last, notes)
    before_last = np.arange(n_visits) < last[:, np.newaxis]
    missed = int((before_last & ~observed).sum())
    if missed:
        departures["gaps"] = {"kind": "gaps", "probability": round(missed / int(before_last.sum()), 4)}
        notes.append(f"{missed} of {int(before_last.sum())} visits before the last one seen were missed.")
    return Loss(departures, seen, n, tuple(notes))


def _dropout(values: FloatArray, group: AnyArray, arms: tuple[str, ...], improves: Improves, last: AnyArray, notes: list[str]) -> dict[str, Any]:
    n_visits = values.shape[1] - 1
    lost = last < n_visits
    rates = {arm: round(float(lost[group == code].mean()), 4) for code, arm in enumerate(arms)}
    patient, visit = np.nonzero(np.arange(n_visits) <= np.minimum(last, n_visits - 1)[:, np.newaxis])
    left = (visit == last[patient]).astype(np.float64)
    worse = _last_change(values, improves)[patient, visit]
    events = np.array([left[visit == v].sum() for v in range(n_visits)])
    some = (events > 0)[visit] & np.array([lost[group == code].any() for code in range(len(arms))])[group[patient]]
    by_arm, by_visit = _dummies(group[patient][some]), _dummies(visit[some])
    whole = _logistic(np.column_stack([by_arm, by_visit[:, 1:], worse[some]]), left[some])
    alike = _logistic(np.column_stack([_dummies(group[patient]), worse]), left)
    statistic = 2 * (whole.log_likelihood - alike.log_likelihood)
    differ = n_visits > 1 and gammaincc((n_visits - 1) / 2, max(statistic, 0.0) / 2) < DIFFERENT
    fit = whole if differ else alike
    slope, error = float(fit.coefficients[-1]), float(fit.errors[-1])
    depends = abs(slope) > 1.96 * error
    found: dict[str, Any] = {"kind": "dropout", "rate": rates if len(arms) > 1 else next(iter(rates.values()))}
    found |= {"mechanism": "mar", "log_odds_per_point": round(slope, 4)} if depends else {"mechanism": "mcar"}
    told = f"log odds {slope:+.3f} (SE {error:.3f}) per point worse at the last visit seen"
    notes.append(f"Loss depends on the course: {told}." if depends else f"No sign that loss depends on the course: {told}.")
    if differ:
        first = by_arm.shape[1]
        odds = np.zeros(n_visits)
        odds[events > 0] = np.exp(np.concatenate([[0.0], fit.coefficients[first : first + by_visit.shape[1] - 1]]))
        found["odds_by_visit"] = [round(float(x), 3) for x in odds / odds.max()]
        notes.append("Loss differs between the intervals; those without loss have odds of 0.")
    return found


def _last_change(values: FloatArray, improves: Improves) -> FloatArray:
    """(n, V) the last change seen before each visit in the direction of worse, 0 before the first."""
    change = values[:, 1:] - values[:, :1]
    change = change if improves == "down" else -change
    found = np.zeros(change.shape)
    for visit in range(1, change.shape[1]):
        found[:, visit] = np.where(np.isnan(change[:, visit - 1]), found[:, visit - 1], change[:, visit - 1])
    return found


def _dummies(codes: AnyArray) -> FloatArray:
    """One column for each value that occurs."""
    return np.asarray(codes[:, np.newaxis] == np.unique(codes), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Logistic:
    coefficients: FloatArray
    errors: FloatArray
    log_likelihood: float


def _logistic(columns: FloatArray, event: FloatArray) -> _Logistic:
    """Maximum likelihood by Newton's method, with a penalty so faint that it only keeps an arm without loss from running away."""
    beta = np.zeros(columns.shape[1])
    for _ in range(100):
        chance = expit(columns @ beta)
        information = (columns * (chance * (1 - chance))[:, np.newaxis]).T @ columns + 1e-6 * np.eye(beta.size)
        step = np.linalg.solve(information, columns.T @ (event - chance) - 1e-6 * beta)
        beta += step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    margin = columns @ beta
    likelihood = float((event * margin - np.logaddexp(0.0, margin)).sum())
    return _Logistic(beta, np.sqrt(np.diag(np.linalg.inv(information))), likelihood)
