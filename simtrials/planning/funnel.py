"""Who passes screening, how sure that is, and what a noisy marker does to the effect: worked out on candidates, without simulating trials."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.core.expressions import Category
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.enrollment import Survey
from simtrials.engine.scenario import Scenario
from simtrials.stats.survey import rescaled_bootstrap
from simtrials.trial import PreparedTrial
from simtrials.trial.eligibility import Limits
from simtrials.trial.eligibility.base import judged
from simtrials.trial.people import People
from simtrials.trial.populations import Resampled
from simtrials.trial.populations.resampled import Rows
from simtrials.trial.prepare import SizedEffect, build, marker_of

GROUPS, FEWEST, WIDEST, MOST = 256, 16, 2048, 1_000_000
"""Groups of candidates where the population has no rows; candidates of each group, at least and at most; of all together, about."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """Shares of candidates, each with the share in every bootstrap sample of the survey (B,), or none where it is taken as known."""

    pass_rate: float
    pass_rates: FloatArray
    below: float | None
    """share of the enrolled whose usual value lies below the lowest one admitted; None without such a rule"""
    effect: float
    """mean effect over the enrolled, in the unit of the endpoint; of yes-or-no endpoints a log odds ratio"""
    effect_if_known: float
    """mean effect if the rule saw the usual value"""
    effects: FloatArray
    """mean effect over the enrolled in each bootstrap sample"""
    mcse: float = 0.0
    """Monte Carlo standard error of the pass rate: so many candidates were looked at"""


def funnel(
    scenario: Scenario, tables: Mapping[str, Table], endpoint: str, survey: Survey | None, arm: str | None = None, week: float | None = None
) -> Funnel:
    """The screening of a scenario, with the effect on an endpoint in an arm (default: the first active one) at a visit (default: its last).

    Raises
    ------
    DeclarationError
        When the survey's columns are not in the data, or the rules cannot be met.
    """
    trial = build(scenario, tables, scenario.seed, scenario.expressions)
    weights, boot = _weights(scenario, tables, trial, survey)
    people = _candidates(scenario, trial, weights.size)
    passed = _passes(people, trial, None)
    number = 1 if arm is None else scenario.design.arms.index(arm)
    sized = next((one for one in trial.effects.get(endpoint, ()) if one.arm == number), None)
    visit = -1 if week is None else scenario.endpoints[endpoint].visits.index(week)
    effect = _effects(sized, trial, people, scenario, passed.shape, visit)
    share, gain = passed.mean(axis=1), np.where(passed, effect, 0.0).mean(axis=1)
    rule, below, known = _marker_rule(scenario), None, None
    if rule is not None:
        if rule.at_least is not None:
            below = float(weights @ (passed & (people[f"usual:{rule.variable}"] < rule.at_least)).mean(axis=1) / (weights @ share))
        usual = _passes(people, trial, rule.variable)
        if usual.any():
            known = float(weights @ np.where(usual, effect, 0.0).mean(axis=1) / (weights @ usual.mean(axis=1)))
    mean = float(weights @ gain / (weights @ share))
    rates = boot @ share
    mcse = float(np.sqrt(weights**2 @ (share * (1 - share)) / passed.shape[1]))
    return Funnel(float(weights @ share), rates, below, mean, mean if known is None else known, (boot @ gain) / rates, mcse)


def _marker_rule(scenario: Scenario) -> Limits | None:
    """The first rule on a biomarker, if there is one."""
    return next((rule for rule in scenario.eligibility if isinstance(rule, Limits) and rule.variable in scenario.assays), None)


def _weights(scenario: Scenario, tables: Mapping[str, Table], trial: PreparedTrial, survey: Survey | None) -> tuple[FloatArray, FloatArray]:
    """Weight of each group of candidates (G,), sum 1, and its weight in every bootstrap sample (B, G); no sample without a survey."""
    population, rows = scenario.population, trial.candidates
    if not isinstance(population, Resampled) or not isinstance(rows, Rows):
        if survey is not None:
            raise DeclarationError([Problem("enrollment.survey", "needs a population of kind 'resampled', whose people were sampled")])
        return np.full(GROUPS, 1 / GROUPS), np.empty((0, GROUPS))
    if survey is None:
        return rows.probability, np.empty((0, rows.probability.size))
    table = tables[population.data]
    strata, clusters = (_codes(table, place, name) for place, name in (("strata", survey.strata), ("clusters", survey.clusters)))
    whole = np.zeros(table.n_rows)
    whole[rows.places] = rows.probability
    rng = Streams(scenario.seed, Purpose.PREPARE, 0).below("enrollment")["survey"]
    boot = rescaled_bootstrap(whole, strata, clusters, survey.samples, rng)[:, rows.places]
    return rows.probability, boot / boot.sum(axis=1, keepdims=True)


def _codes(table: Table, place: str, name: str) -> AnyArray:
    if name not in table.columns:
        raise DeclarationError(
            [Problem(f"enrollment.survey.{place}", f"no column called {name!r} in {table.name}{did_you_mean(name, table.columns)}")]
        )
    column = table.columns[name]
    return column.codes if isinstance(column, Category) else np.asarray(column)


def _candidates(scenario: Scenario, trial: PreparedTrial, n_groups: int) -> People:
    """(G, C) candidates: as many of every row of the population's data, or of the population in groups."""
    each = int(np.clip(MOST // n_groups, FEWEST, WIDEST))
    people = trial.draw(Streams(scenario.seed, Purpose.PREPARE, 0).below("enrollment"), n_groups, each)
    if isinstance(trial.candidates, Rows):
        people.luck["population.row"] = np.ascontiguousarray(np.broadcast_to(np.arange(n_groups, dtype=np.int32), (each, n_groups))).T
    return people


def _passes(people: People, trial: PreparedTrial, as_usual: str | None) -> BoolArray:
    """(G, C) who meets every rule; the rules on a biomarker see its usual value if one is named."""
    providers = people.providers
    if as_usual is not None:
        providers = {**providers, judged(as_usual): lambda group: ([group[f"usual:{as_usual}"]], np.logical_and)}
    group = People(people.luck, providers)
    rules = [rule.met(group) for rule in trial.trial.eligibility]
    some = next(iter(people.luck.values()))
    return np.logical_and.reduce(rules) if rules else np.ones(some.shape, dtype=bool)


def _effects(sized: SizedEffect | None, trial: PreparedTrial, people: People, scenario: Scenario, shape: tuple[int, ...], visit: int) -> FloatArray:
    """(G, C) effect at a visit, in points or, of yes-or-no endpoints, as a log odds ratio."""
    if sized is None:
        return np.zeros(shape)
    full = sized.size * float(sized.onset[visit])
    if not sized.effect.needs_biomarker:
        return np.full(shape, full)
    marker = marker_of(sized.effect, trial.laboratories, people)
    luck = sized.effect.draw(sized.path, Streams(scenario.seed, Purpose.PREPARE, 0).below("enrollment"), *shape)
    return np.asarray(full * sized.effect.shape(marker, luck.get(sized.path)))
