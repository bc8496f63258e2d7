"""Departures made ready: for each the log odds at which as many patients depart as declared, solved by following simulated patients."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem
from simtrials.core.rng import Purpose, Streams
from simtrials.trial.departures import Dropout, IntercurrentEvent, Ready
from simtrials.trial.departures.base import WithHazard, without_dependence
from simtrials.trial.endpoints import Endpoint, SymptomScale
from simtrials.trial.following import Admitted, follow
from simtrials.trial.prepare import PreparedTrial, build
from simtrials.trial.simulate import Cohort
from simtrials.trial.trial import Trial

N_REPLICATES, N_PATIENTS = 64, 512
"""32,768 patients: a rate of .2 is met within .002 (one standard error)."""
MOST_SWEEPS, STILL = 20, 2e-3
"""Events that depend on each other are solved in turn until no log odds move by more than this, which changes a rate of .2 by .0003."""


def prepare(trial: Trial, tables: Mapping[str, Table], seed: int, expressions: Iterable[str] = (), everything: bool = False) -> PreparedTrial:
    """Make a trial ready; `expressions` are those of the analyses, so that the columns they need are kept.

    Raises
    ------
    DeclarationError
        With every fault that shows only once data are read: a missing column, a rule that nobody passes, covariances or rates that cannot be.
    """
    made = build(trial, tables, seed, expressions, everything)
    if not trial.departures:
        return made
    ready, problems = _without_dependence(trial, made)
    if not problems:
        problems += _solve_all(made, ready)
    if problems:
        raise DeclarationError(problems)
    return replace(made, departures=tuple(ready.values()))


def _without_dependence(trial: Trial, made: PreparedTrial) -> tuple[dict[str, Ready], list[Problem]]:
    """Every departure with the log odds that would do if nothing else mattered, by name in the order declared."""
    ready: dict[str, Ready] = {}
    problems = []
    arms, weeks = trial.design.arms, made.plan.weeks
    for name, departure in trial.departures.items():
        if not isinstance(departure, WithHazard):
            ready[name] = Ready(name, departure, None, np.zeros(len(arms)))
            continue
        driver = departure.driver or _first_scale(trial.endpoints)
        if departure.log_odds_per_point and (driver is None or not trial.endpoints[driver].has_baseline):
            problems.append(Problem(f"departures.{name}.driver", "needs an endpoint with a baseline, whose change counts"))
        if departure.odds_by_visit is not None and len(departure.odds_by_visit) != len(weeks):
            visits = f"one for each visit of the trial, at weeks {', '.join(f'{week:g}' for week in weeks)}"
            problems.append(
                Problem(f"departures.{name}.odds_by_visit", f"must have {len(weeks)} values, {visits}, got {len(departure.odds_by_visit)}")
            )
            continue
        ready[name] = Ready(name, departure, driver, without_dependence(departure, departure.rates(arms), weeks))
    return ready, problems


def _solve_all(made: PreparedTrial, ready: dict[str, Ready]) -> list[Problem]:
    """Solve the log odds of departures that depend on what happens to patients, with all others in place.

    Events change what comes after them, other events included, so they are solved in turn until none moves. Loss to follow-up changes nothing
    that happens, and is solved last.
    """
    depending = [name for name, one in ready.items() if isinstance(one.declared, WithHazard) and _depends(one.declared)]
    events = [name for name in depending if isinstance(ready[name].declared, IntercurrentEvent)]
    problems: list[Problem] = []
    for _ in range(MOST_SWEEPS):
        moved = 0.0
        for name in events:
            before = ready[name].intercept
            ready[name] = _solved(replace(made, departures=tuple(ready.values())), ready[name], problems)
            moved = max(moved, float(np.abs(np.nan_to_num(ready[name].intercept - before)).max()))
        if moved < STILL or len(events) < 2 or problems:
            break
    for name in depending:
        if name not in events:
            ready[name] = _solved(replace(made, departures=tuple(ready.values())), ready[name], problems)
    return problems


def _depends(departure: WithHazard) -> bool:
    return departure.depends_on_outcome or (isinstance(departure, Dropout) and departure.mechanism != "mcar")


def _first_scale(endpoints: Mapping[str, Endpoint]) -> str | None:
    """The endpoint whose change counts unless one is named."""
    scales = [name for name, endpoint in endpoints.items() if isinstance(endpoint, SymptomScale)]
    based = [name for name, endpoint in endpoints.items() if endpoint.has_baseline]
    return next(iter(scales + based), None)


def _solved(made: PreparedTrial, start: Ready, problems: list[Problem]) -> Ready:
    """The same departure, one of those of the trial, with the log odds of each arm solved on patients who keep their luck."""
    from scipy.optimize import brentq

    assert isinstance(start.declared, WithHazard)
    rates, solved = start.declared.rates(made.trial.design.arms), start.intercept.copy()
    for arm, rate in enumerate(rates):
        if not 0 < rate < 1:
            continue
        admitted = _sample(made, arm)

        def excess(log_odds: float, arm: int = arm, admitted: Admitted = admitted, rate: float = rate) -> float:
            trial = replace(start, intercept=np.where(np.arange(rates.size) == arm, log_odds, solved))
            plan = replace(made.plan, departures=tuple(trial if ready.name == start.name else ready for ready in made.departures))
            happened = follow(plan, admitted, Streams(made.seed, Purpose.PREPARE, 10), complete=True).happened[start.name]
            return float(np.isfinite(happened).mean()) - rate

        if excess(-30.0) > 0 or excess(30.0) < 0:
            problems.append(Problem(f"departures.{start.name}.rate", f"no odds lead to a rate of {rate:g} in arm {made.trial.design.arms[arm]!r}"))
            continue
        solved[arm] = brentq(excess, -30.0, 30.0, xtol=1e-4)
    return replace(start, intercept=solved)


def _sample(made: PreparedTrial, arm: int) -> Admitted:
    """Patients who are all in one arm."""
    return Cohort(made, Streams(made.seed, Purpose.PREPARE, 10), N_REPLICATES, force_arm=arm).admit(N_PATIENTS)[0]
