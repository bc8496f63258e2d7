"""The true value of every estimand: from a closed form, from patients sent to each arm with the same luck, or from very large trials.

The trials it is read off are completely observed, without faults of measurement, and treat every intercurrent event as the estimand says.

A contrast of arm means is worked out from about a million patients per arm who keep their luck when the arm changes, so the truth adds next
to nothing to the error. Where an analysis has no such target (a conditional odds ratio, an interaction slope, a rank statistic) the truth is
the least-false value: the mean of the analysis over trials of 4,096 patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.data import TrialData
from simtrials.core.measures import Truth
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.scenario import Scenario
from simtrials.inference.analyses import Analysis
from simtrials.inference.estimands import TREATMENT_POLICY, Estimand, Target, as_it_was
from simtrials.trial import PreparedTrial, simulate
from simtrials.trial.departures import IntercurrentEvent, NonAdherence, Sites
from simtrials.trial.endpoints import AdverseEvent, Binary, Continuous, Endpoint

FORCED_BLOCKS, FORCED_PATIENTS = 16, 256
TOUCHING = (IntercurrentEvent, NonAdherence)
"""Departures that change the outcomes themselves."""
LARGE_BLOCKS, LARGE_TRIALS, LARGE_PATIENTS = 64, 8, 4096
COARSE_FORCED, COARSE_LARGE = 1, 4
"""Blocks of a truth that only has to be told from a reference value: 65,536 patients per arm, or 131,072 in trials."""


def truths(scenario: Scenario, trial: PreparedTrial) -> dict[str, Truth]:
    """The truth of each analysis under the scenario: the value of the estimand that it serves."""
    contrasts = {name: scenario.target_of(name) for name, analysis in scenario.analyses.items() if _is_contrast(scenario, name)}
    found = {name: truth for name in scenario.analyses if (truth := _closed_form(scenario, name)) is not None}
    found |= _of_contrasts(scenario, trial, {name: target for name, target in contrasts.items() if name not in found})
    rest = {name: analysis for name, analysis in scenario.analyses.items() if name not in found}
    for name in dict.fromkeys(analysis.estimand for analysis in rest.values()):
        world = World(scenario, trial, scenario.estimands.get(name or "", TREATMENT_POLICY))
        found |= _least_false(world, {key: analysis for key, analysis in rest.items() if analysis.estimand == name})
    return {name: _told(found[name], analysis) for name, analysis in scenario.analyses.items()}


def coarse_truth(scenario: Scenario, trial: PreparedTrial, name: str) -> Truth:
    """The truth of one analysis as `truths` has it, exact where that is, else from a sixteenth of the patients and with the error of so few."""
    analysis = scenario.analyses[name]
    exact = _closed_form(scenario, name)
    if exact is not None:
        return _told(exact, analysis)
    if _is_contrast(scenario, name):
        return _told(_of_contrasts(scenario, trial, {name: scenario.target_of(name)}, COARSE_FORCED)[name], analysis)
    return _told(_least_false(World(scenario, trial, scenario.estimand_of(name)), {name: analysis}, COARSE_LARGE)[name], analysis)


def _told(truth: Truth, analysis: Analysis) -> Truth:
    """The truth with what is said of it where bias and coverage are judged against each trial's own."""
    if not analysis.has_own_truth or truth.value == 0.0:
        return truth
    return replace(truth, kind=f"{truth.kind}; bias and coverage against the value in the patients of each trial")


def references(scenario: Scenario, trial: PreparedTrial) -> dict[str, FloatArray]:
    """What the truth in each trial is worked out from, (k,) each, for analyses whose target is the effect in the patients of the trial.

    The mean over very large trials. Without an effect the truth is 0 in every trial, and nothing is needed.
    """
    found: dict[str, FloatArray] = {}
    n_patients = max(LARGE_PATIENTS, scenario.design.n_patients)
    for name, analysis in scenario.analyses.items():
        truth = _closed_form(scenario, name)
        if analysis.has_own_truth and (truth is None or truth.value != 0.0):
            world = World(scenario, trial, scenario.estimand_of(name))
            blocks = range(FORCED_BLOCKS, FORCED_BLOCKS + LARGE_BLOCKS)
            found[name] = np.nanmean(np.concatenate([analysis.reference(world.data(b, LARGE_TRIALS, n_patients)) for b in blocks]), axis=0)
    return found


def estimand_truths(scenario: Scenario, trial: PreparedTrial) -> dict[str, Truth]:
    """The value of each declared estimand that names its variable, whether or not an analysis serves it."""
    return _of_contrasts(scenario, trial, scenario.targets())


def _is_contrast(scenario: Scenario, name: str) -> bool:
    """Whether the truth of an analysis is a contrast of arm means: because it estimates one, or because its estimand says so."""
    return scenario.analyses[name].marginal or scenario.estimand_of(name).summary is not None


@dataclass(frozen=True, slots=True)
class World:
    """The trials in which an estimand is true: completely observed, without faults of measurement, events as its strategies say."""

    scenario: Scenario
    trial: PreparedTrial
    estimand: Estimand

    def data(self, block: int, n_replicates: int, n_patients: int, force_arm: int | None = None) -> TrialData:
        """A block of these trials."""
        absent = self.estimand.events_with("hypothetical", self.scenario.intercurrent)
        streams = Streams(self.scenario.seed, Purpose.TRUTH, block)
        simulated = simulate(self.trial, streams, n_replicates, n_patients, force_arm, absent, complete=True)
        events = {name: simulated.happened[name] for name in self.scenario.intercurrent if name in simulated.happened}
        return as_it_was(simulated.data, events, self.estimand)


def _closed_form(scenario: Scenario, name: str) -> Truth | None:
    """Exact truths: nothing at all without an effect, and constant effects on a normal or on a yes-or-no endpoint."""
    target = scenario.target_of(name)
    endpoint, arm = scenario.endpoints[target.endpoint], target.arm
    if _does_nothing(endpoint, arm) and _arms_depart_alike(scenario):
        return Truth(0.0, 0.0, "no effect")
    if not _is_contrast(scenario, name) or any(isinstance(departure, TOUCHING) for departure in scenario.departures.values()):
        return None
    effect = endpoint.effects.get(arm)
    if isinstance(endpoint, Continuous) and effect is not None and effect.kind == "constant" and target.scale == "difference":
        return Truth(endpoint.size(effect, 1.0) * effect.onset(endpoint.week, endpoint.week), 0.0, "closed form")
    risks = None if scenario.correlations else _risks(endpoint, arm)
    if risks is None:
        return None
    sign = 1 if endpoint.improves == "up" else -1
    return Truth(_contrast(*risks, target.scale, sign), 0.0, "closed form")


def _arms_depart_alike(scenario: Scenario) -> bool:
    """Whether a drug that does nothing to an endpoint leaves no trace there: no event is more frequent in an arm, or driven by what the drug
    does elsewhere."""
    acts_somewhere = any(endpoint.effects for endpoint in scenario.endpoints.values())
    for departure in scenario.departures.values():
        if isinstance(departure, IntercurrentEvent):
            side_effect = scenario.endpoints.get(departure.adverse_event or "")
            differs = isinstance(side_effect, AdverseEvent) and side_effect.arm_risk
            driven = departure.log_odds_per_point != 0 and acts_somewhere
            if np.ptp(departure.rates(scenario.design.arms)) > 0 or differs or driven:
                return False
        elif isinstance(departure, Sites) and departure.effect_sd > 0 and acts_somewhere:
            return False
    return True


def _does_nothing(endpoint: Endpoint, arm: str) -> bool:
    if isinstance(endpoint, AdverseEvent):
        return endpoint.arm_risk.get(arm, endpoint.control_risk) == endpoint.control_risk
    return arm not in endpoint.effects


def _risks(endpoint: Endpoint, arm: str) -> tuple[float, float] | None:
    """Risk under active and under control, where everybody has the same."""
    if isinstance(endpoint, AdverseEvent):
        share = endpoint.exposure_weeks / endpoint.risk_weeks
        stated = endpoint.arm_risk.get(arm, endpoint.control_risk), endpoint.control_risk
        return float(-np.expm1(np.log1p(-stated[0]) * share)), float(-np.expm1(np.log1p(-stated[1]) * share))
    effect = endpoint.effects.get(arm)
    if not isinstance(endpoint, Binary) or effect is None or effect.kind != "constant":
        return None
    gain = endpoint.size(effect, 1.0) * effect.onset(endpoint.week, endpoint.week) * (1 if endpoint.event_is == "good" else -1)
    odds = endpoint.control_risk / (1 - endpoint.control_risk) * np.exp(gain)
    return float(odds / (1 + odds)), endpoint.control_risk


def _contrast(active: Any, control: Any, scale: str, sign: int) -> Any:
    """The contrast of two means; ratios are active over control, differences are in the direction of benefit."""
    if scale == "log_risk_ratio":
        return np.log(active / control)
    if scale == "log_odds_ratio":
        return np.log(active / (1 - active) / (control / (1 - control)))
    return sign * (active - control)


def _of_contrasts(scenario: Scenario, trial: PreparedTrial, targets: Mapping[str, Target], n_blocks: int = FORCED_BLOCKS) -> dict[str, Truth]:
    """Contrasts of arm means, by name, from patients who are sent to each arm; estimands that treat events alike share their trials."""
    found: dict[str, Truth] = {}
    treatments = {name: {event: target.estimand.strategy_for(event) for event in scenario.intercurrent} for name, target in targets.items()}
    for treated in [dict(pairs) for pairs in dict.fromkeys(tuple(treatment.items()) for treatment in treatments.values())]:
        alike = {name: target for name, target in targets.items() if treatments[name] == treated}
        found |= _from_forced_arms(World(scenario, trial, next(iter(alike.values())).estimand), alike, n_blocks)
    return found


def _from_forced_arms(world: World, targets: Mapping[str, Target], n_blocks: int) -> dict[str, Truth]:
    codes = {name: world.scenario.design.arms.index(target.arm) for name, target in targets.items()}
    arms = sorted({0, *codes.values()})
    means: dict[tuple[str, int], list[FloatArray]] = {(name, arm): [] for name in targets for arm in arms}
    signs: dict[str, int] = {}
    for block in range(n_blocks):
        for arm in arms:
            data = world.data(block, BLOCK_SIZE, FORCED_PATIENTS, force_arm=arm)
            for name, target in targets.items():
                mean, signs[name] = target.sums(data)
                means[name, arm].append(mean)
    return {name: _truth_of_means(means[name, codes[name]], means[name, 0], target.scale, signs[name]) for name, target in targets.items()}


def _truth_of_means(active: list[FloatArray], control: list[FloatArray], scale: str, sign: int) -> Truth:
    """The contrast of the means over all patients, with its standard error from groups of replicates (jackknife)."""
    a, c = (np.concatenate(parts, axis=1).reshape(2, -1, 16).sum(axis=2) for parts in (active, control))
    whole = _contrast(a[0].sum() / a[1].sum(), c[0].sum() / c[1].sum(), scale, sign)
    left_out = [(x.sum(axis=1)[0] - x[0]) / (x.sum(axis=1)[1] - x[1]) for x in (a, c)]
    each = _contrast(left_out[0], left_out[1], scale, sign)
    groups = each.size
    error = np.sqrt((groups - 1) / groups * np.square(each - each.mean()).sum())
    return Truth(float(whole), float(error), "forced arms, same patients")


def _least_false(world: World, analyses: Mapping[str, Analysis], n_blocks: int = LARGE_BLOCKS) -> dict[str, Truth]:
    if not analyses:
        return {}
    n_patients = max(LARGE_PATIENTS, world.scenario.design.n_patients)
    estimates: dict[str, list[FloatArray]] = {name: [] for name in analyses}
    for block in range(n_blocks):
        data = world.data(FORCED_BLOCKS + block, LARGE_TRIALS, n_patients)
        for name, analysis in analyses.items():
            rng = Streams(world.scenario.seed, Purpose.TRUTH, FORCED_BLOCKS + block)[f"analyses.{name}"]
            estimates[name].append(analysis.estimate_by_luck(data, rng).estimate)
    return {name: _truth_of_large(np.concatenate(parts)) for name, parts in estimates.items()}


def _truth_of_large(estimates: FloatArray) -> Truth:
    known = estimates[np.isfinite(estimates)]
    if known.size < 0.9 * estimates.size:
        return Truth(float("nan"), float("nan"), "not estimable in large trials")
    return Truth(float(known.mean()), float(known.std(ddof=1) / np.sqrt(known.size)), f"least-false value, trials of {LARGE_PATIENTS:,}")
