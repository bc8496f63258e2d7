"""What a trial takes: candidates, months and money, with the range of what could come."""

from dataclasses import dataclass, replace

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
    """What is expected, the range of 95% of futures, and the Monte Carlo standard error of the value: of the number and of the pass rate."""

    value: float
    lower: float
    upper: float
    mcse: float = 0.0


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
    return scenario.recruitment.months(screened, rng.below("months")) + weeks_of(scenario) / MONTH


def _cost(scenario: Scenario, n: FloatArray, screened: FloatArray, months: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(F,) total cost, and that of screening; NaN without prices."""
    if scenario.costs is None:
        return np.full(n.size, np.nan), np.full(n.size, np.nan)
    sites = scenario.recruitment.sites if scenario.recruitment is not None else 0
    running = months if scenario.recruitment is not None else np.zeros(n.size)
    screening = scenario.costs.of_screening(screened, n_samples(scenario))
    return np.asarray(scenario.costs.without_screening(n, n_visits(scenario), sites, running) + screening), screening


def _expected(scenario: Scenario, made: Funnel, n: float) -> FloatArray:
    """Candidates, months, cost and that of screening which are expected of a trial with n patients; every n has the same luck in recruiting."""
    screened = n / made.pass_rate
    rng = Streams(scenario.seed, Purpose.PREPARE, 0).below("futures").below("expected")
    months = float(_months(scenario, np.full(FUTURES, screened), rng).mean())
    cost, screening = _cost(scenario, np.array([n]), np.array([screened]), np.array([months]))
    return np.array([screened, months, float(cost[0]), float(screening[0])])


def _spread(value: float, futures: FloatArray, mcse: float) -> Spread:
    low, high = np.quantile(futures, (0.025, 0.975))
    return Spread(value, float(low), float(high), mcse)


def takes_of(scenario: Scenario, made: Funnel, found: Found) -> Takes | None:
    """What a trial with the number that was found takes; None where none was found."""
    if found.n is None or found.lower is None or found.upper is None:
        return None
    rng = Streams(scenario.seed, Purpose.PREPARE, 0).below("futures")
    error = (found.upper - found.lower) / (2 * Z95)
    n = np.maximum(np.rint(found.n + error * rng["search"].standard_normal(FUTURES)), 1.0)
    rates = np.resize(made.pass_rates, FUTURES) if made.pass_rates.size else np.full(FUTURES, made.pass_rate)
    rates = np.clip(rates * (1 + made.mcse / made.pass_rate * rng["pass_rate"].standard_normal(FUTURES)), 1e-9, 1.0)
    screened = np.asarray(n + rng["screening"].negative_binomial(n, rates), dtype=np.float64)
    months = _months(scenario, screened, rng)
    cost, _ = _cost(scenario, n, screened, months)
    value = _expected(scenario, made, float(found.n))
    rarer = replace(made, pass_rate=made.pass_rate - made.mcse)
    errors = np.hypot(_expected(scenario, made, found.n + error) - value, _expected(scenario, rarer, float(found.n)) - value)
    three = [_spread(float(value[i]), futures, float(errors[i])) for i, futures in enumerate((screened, months, cost))]
    return Takes(three[0], three[1], three[2], float(value[3]))


def expected_cost(scenario: Scenario, made: Funnel, n: int) -> float:
    """Expected cost of a trial with so many patients."""
    return float(_expected(scenario, made, float(n))[2])
