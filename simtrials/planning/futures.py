"""What a trial takes: candidates, months and money, with the range of what could come."""

from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.logistics import n_samples, n_visits, weeks_of
from simtrials.engine.scenario import Scenario
from simtrials.planning.funnel import Funnel
from simtrials.planning.probit import Z95
from simtrials.planning.search import Found
from simtrials.trial.logistics import MONTH

FUTURES = 2_000
"""Futures of a trial that are drawn: another survey, another search, other luck in recruiting."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What is expected, and the range of 95% of futures."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Takes:
    """What a trial with the wanted power takes; months and cost are NaN where nothing is declared about them."""

    screened: Spread
    months: Spread
    cost: Spread
    screening_cost: float


def _months(scenario: Scenario, screened: FloatArray, rng: Streams) -> FloatArray:
    """(F,) months to the last visit of trials that screen so many; NaN without recruitment."""
    if scenario.recruitment is None:
        return np.full(screened.size, np.nan)
    return scenario.recruitment.months(screened, rng.below(f"months {int(screened.sum())}")) + weeks_of(scenario) / MONTH


def _cost(scenario: Scenario, n: FloatArray, screened: FloatArray, months: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(F,) total cost, and that of screening; NaN without prices."""
    if scenario.costs is None:
        return np.full(n.size, np.nan), np.full(n.size, np.nan)
    sites = scenario.recruitment.sites if scenario.recruitment is not None else 0
    running = months if scenario.recruitment is not None else np.zeros(n.size)
    screening = scenario.costs.of_screening(screened, n_samples(scenario))
    return np.asarray(scenario.costs.without_screening(n, n_visits(scenario), sites, running) + screening), screening


def _spread(value: float, futures: FloatArray) -> Spread:
    low, high = np.quantile(futures, (0.025, 0.975))
    return Spread(value, float(low), float(high))


def takes_of(scenario: Scenario, made: Funnel, found: Found) -> Takes | None:
    """What a trial with the number that was found takes; None where none was found."""
    if found.n is None or found.lower is None or found.upper is None:
        return None
    rng = Streams(scenario.seed, Purpose.PREPARE, 0).below("futures")
    error = (found.upper - found.lower) / (2 * Z95)
    n = np.maximum(np.rint(found.n + error * rng["search"].standard_normal(FUTURES)), 1.0)
    rates = np.resize(made.pass_rates, FUTURES) if made.pass_rates.size else np.full(FUTURES, made.pass_rate)
    screened = np.asarray(n + rng["screening"].negative_binomial(n, rates), dtype=np.float64)
    months = _months(scenario, screened, rng)
    cost, _ = _cost(scenario, n, screened, months)
    expected = np.array([found.n / made.pass_rate])
    about = float(_months(scenario, np.full(FUTURES, expected[0]), rng).mean())
    total, screening = _cost(scenario, np.array([float(found.n)]), expected, np.array([about]))
    return Takes(_spread(float(expected[0]), screened), _spread(about, months), _spread(float(total[0]), cost), float(screening[0]))


def expected_cost(scenario: Scenario, made: Funnel, n: int) -> float:
    """Expected cost of a trial with so many patients."""
    screened = np.full(FUTURES, n / made.pass_rate)
    months = _months(scenario, screened, Streams(scenario.seed, Purpose.PREPARE, 0).below("futures"))
    return float(_cost(scenario, np.full(FUTURES, float(n)), screened, months)[0].mean())
