"""What the simulated patients and the assumed effects look like: for `check`, the report and its figures.

Made from the first blocks of the run, so it does not change when a run is extended; everything in it is a plain value that JSON can hold.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.data import Measurements, SimulatedTrial
from simtrials.core.expressions import Category
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.engine.scenario import Scenario
from simtrials.trial import PreparedTrial, simulate
from simtrials.trial.effects import Effect
from simtrials.trial.eligibility import Limits
from simtrials.trial.endpoints import SymptomScale
from simtrials.trial.people import People
from simtrials.trial.prepare import SizedEffect, marker_of

N_BLOCKS = 4
MOST_PATIENTS = 256
MOST_PATTERNS = 8
BINS_PER_UNIT = 6
"""Bins per unit of ln biomarker."""


def portrait(scenario: Scenario, trial: PreparedTrial) -> dict[str, Any]:
    """Patients, funnel, effects by biomarker, and the course of symptoms by arm."""
    blocks = range(N_BLOCKS)
    trials = [simulate(trial, _streams(scenario, block), complete=True) for block in blocks]
    everybody = trial.draw(Streams(scenario.seed, Purpose.PREPARE, 2), BLOCK_SIZE, 1024) if trial.candidates is not None else People({}, {})
    n_patients = scenario.design.n_patients
    found: dict[str, Any] = {
        "n_trials": BLOCK_SIZE * N_BLOCKS,
        "n_patients": n_patients,
        "pass_rate": trial.pass_rate,
        "notes": [*trial.notes, *_left_out(scenario, trials[0])],
        "arm_ranges": [_range_of([(part.data.arm == arm).sum(axis=1) for part in trials]) for arm in range(len(scenario.design.arms))],
        "arms": [float(np.mean([(part.data.arm == arm).sum(axis=1).mean() for part in trials])) for arm in range(len(scenario.design.arms))],
        "assays": {name: _assay(name, scenario, trial, trials, everybody) for name in trial.laboratories},
        "covariates": {name: _covariate(name, trials, everybody) for name in _described(scenario, trial) if name in everybody},
        "endpoints": {},
    }
    if scenario.departures:
        found["departures"] = _departures(scenario, simulate(trial, _streams(scenario, 0)))
    forced = _forced(scenario, trial)
    for name, endpoint in scenario.endpoints.items():
        about: dict[str, Any] = {"domain": endpoint.domain, "unit": endpoint.unit, "weeks": list(endpoint.visits)}
        about["effects"] = {
            scenario.design.arms[sized.arm]: _effect(sized, name, scenario, trial, forced, everybody) for sized in trial.effects[name]
        }
        if isinstance(endpoint, SymptomScale):
            about |= _course(name, endpoint, scenario, trials, forced)
        found["endpoints"][name] = about
    return found


def _described(scenario: Scenario, trial: PreparedTrial) -> list[str]:
    """Columns of which the enrolled are compared with the screened: measured biomarkers, those that the scenario uses, those it describes."""
    described = scenario.population.describe if scenario.population else ()
    return list(dict.fromkeys([*trial.laboratories, *trial.columns, *described]))


def _left_out(scenario: Scenario, trial: SimulatedTrial) -> list[str]:
    """Analyses that leave patients out because a covariate has no value, and how many."""
    notes = []
    for name, analysis in scenario.analyses.items():
        view = analysis.view(trial.data)
        for text in analysis.covariate_names:
            lacking = np.any([np.isnan(column) for column in view.covariates((text,))], axis=0) & (view.arm >= 0)
            if lacking.any():
                share = 100 * lacking.sum() / (view.arm >= 0).sum()
                notes.append(f"analysis {name} leaves out {share:.2g}% of the patients, for whom {text} has no value")
    return notes


def _range_of(counts: list[AnyArray]) -> list[float]:
    """The range in which 90% of trials lie."""
    return [float(value) for value in np.quantile(np.concatenate(counts), [0.05, 0.95], method="inverted_cdf")]


def _streams(scenario: Scenario, block: int) -> Streams:
    return Streams(scenario.seed, Purpose.RUN, block)


def _forced(scenario: Scenario, trial: PreparedTrial) -> list[SimulatedTrial]:
    """The patients of the first block, everybody in each arm in turn, with the same luck."""
    n_patients = max(MOST_PATIENTS, scenario.design.n_patients)
    return [simulate(trial, _streams(scenario, 0), BLOCK_SIZE, n_patients, arm, complete=True) for arm in range(len(scenario.design.arms))]


def _departures(scenario: Scenario, simulated: SimulatedTrial) -> dict[str, Any]:
    """By arm: share of patients with each event by the end, and share seen at each visit of each endpoint."""
    arms = dict(enumerate(scenario.design.arms))
    here = {name: simulated.data.arm == code for code, name in arms.items()}
    return {
        "events": {name: {arm: float(np.isfinite(week[mask]).mean()) for arm, mask in here.items()} for name, week in simulated.happened.items()},
        "seen": {
            name: {arm: [float(seen) for seen in measured.observed[mask].mean(axis=0)] for arm, mask in here.items()}
            for name, measured in simulated.data.endpoints.items()
        },
        "patterns": {name: _patterns(measured.observed, list(here.values())) for name, measured in simulated.data.endpoints.items()},
    }


def _patterns(observed: BoolArray, arms: list[BoolArray]) -> list[tuple[str, list[float]]]:
    """Patterns of visits, 1 for seen, with the share of each arm; the most frequent over all arms first, the rest together."""
    n_visits = observed.shape[2]
    code = (observed << np.arange(n_visits)).sum(axis=2)
    codes, counts = np.unique(code, return_counts=True)
    ordered = codes[np.argsort(-counts, kind="stable")]
    shown = ordered if ordered.size <= MOST_PATTERNS else ordered[: MOST_PATTERNS - 1]
    found = [("".join(str(c >> v & 1) for v in range(n_visits)), [float((code[mask] == c).mean()) for mask in arms]) for c in shown]
    rest = [1.0 - sum(shares[a] for _, shares in found) for a in range(len(arms))]
    return found if shown.size == ordered.size else [*found, ("others", rest)]


def _assay(name: str, scenario: Scenario, trial: PreparedTrial, trials: list[SimulatedTrial], everybody: People) -> dict[str, Any]:
    laboratory = trial.laboratories[name]
    measured = np.asarray(everybody[name])
    enrolled, usual, repeat = [], [], []
    for block, part in enumerate(trials):
        people = part.hidden
        assert isinstance(people, People)
        enrolled.append(np.asarray(people[name]))
        usual.append(np.asarray(people[f"usual:{name}"]))
        repeat.append(laboratory.repeat(people, Streams(scenario.seed, Purpose.PREPARE, 1000 + block)))
    kept, own, again = (np.concatenate([block.T.ravel() for block in parts]) for parts in (enrolled, usual, repeat))
    limits = _limits(name, scenario)
    edges = _edges(measured, limits, getattr(scenario.assays[name], "resolution", 0.0))
    everyone_usual = np.asarray(everybody[f"usual:{name}"])
    about: dict[str, Any] = {
        "unit": scenario.assays[name].unit,
        "samples": getattr(scenario.assays[name], "samples", 1),
        "at_least": limits[0],
        "at_most": limits[1],
        "edges": edges.tolist(),
        "screened": _shares(measured, edges),
        "enrolled": _shares(kept, edges),
        "usual_enrolled": _shares(own, edges),
        "ln_usual_enrolled": [float(np.log(own).mean()), float(np.log(own).std())],
        "ln_usual_screened": [float(np.log(everyone_usual).mean()), float(np.log(everyone_usual).std())],
    }
    low = limits[0]
    if low is not None and low > 0:
        about["usual_at_least"] = _share_of_patients(own >= low, len(trials))
        about["repeat_at_least"] = _share_of_patients(again >= low, len(trials))
    return about


def _limits(name: str, scenario: Scenario) -> tuple[float | None, float | None]:
    """The narrowest limits that eligibility sets on a variable."""
    rules = [rule for rule in scenario.eligibility if isinstance(rule, Limits) and rule.variable == name]
    low = max((rule.at_least for rule in rules if rule.at_least is not None), default=None)
    high = min((rule.at_most for rule in rules if rule.at_most is not None), default=None)
    return low, high


def _edges(measured: FloatArray, limits: tuple[float | None, float | None], step: float) -> FloatArray:
    """Bins of equal width in ln, moved to the middle between two reported values, so that they follow the assay's steps and the rules."""
    low, high = np.quantile(measured[measured > 0], [0.002, 0.998])
    edges = np.exp(np.arange(np.floor(np.log(low) * BINS_PER_UNIT), np.ceil(np.log(high) * BINS_PER_UNIT) + 1) / BINS_PER_UNIT)
    cuts = [limit for limit in limits if limit is not None]
    if step > 0:
        edges = (np.floor(edges / step) + 0.5) * step
        cuts = [cut - step / 2 if cut == limits[0] else cut + step / 2 for cut in cuts]
    cuts = [cut for cut in cuts if cut > 0]  # a limit at or below what can be measured ends no bin
    keep = [edge for edge in edges if edge > 0 and all(abs(np.log(edge / cut)) > 0.5 / BINS_PER_UNIT for cut in cuts)]
    return np.unique(np.round([*keep, *cuts], 6))


def _shares(values: FloatArray, edges: FloatArray) -> list[float]:
    """Share of all values in each bin, first and last open."""
    inside = np.clip(values, edges[0] * 1.0000001, edges[-1] * 0.9999999)
    counts, _ = np.histogram(inside, edges)
    return [float(count) / values.size for count in counts]


def _share_of_patients(holds: BoolArray, n_blocks: int) -> list[float]:
    """A share of enrolled patients and its Monte Carlo standard error; patients are independent."""
    share = float(holds.mean())
    return [share, float(np.sqrt(max(share * (1 - share), 1 / holds.size) / holds.size))]


def _covariate(name: str, trials: list[SimulatedTrial], everybody: People) -> dict[str, Any]:
    all_values = everybody[name]
    enrolled = [part.hidden[name] for part in trials]
    if isinstance(all_values, Category):
        codes = np.concatenate([column.codes.ravel() for column in enrolled if isinstance(column, Category)])
        levels = range(len(all_values.levels))
        return {
            "levels": list(all_values.levels),
            "screened": [float((all_values.codes == level).mean()) for level in levels],
            "enrolled": [float((codes == level).mean()) for level in levels],
        }
    values = np.concatenate([np.asarray(column).ravel() for column in enrolled])
    return {who: [float(np.nanmean(group)), float(np.nanstd(group))] for who, group in (("screened", all_values), ("enrolled", values))}


def _effect(
    sized: SizedEffect, name: str, scenario: Scenario, trial: PreparedTrial, forced: list[SimulatedTrial], everybody: People
) -> dict[str, Any]:
    """The benefit by decile of the biomarker, its mean over the enrolled and over everybody, and the curve."""
    people = forced[0].hidden
    assert isinstance(people, People)
    week = float(scenario.endpoints[name].visits[-1])
    reached = float(sized.onset[-1]) * sized.size
    about: dict[str, Any] = {"week": week, "size": reached, "kind": sized.effect.kind}
    if not sized.effect.needs_biomarker:
        return about | {"mean_enrolled": reached, "mean_everybody": reached}
    marker, all_markers = (marker_of(sized.effect, trial.laboratories, group) for group in (people, everybody))
    streams = Streams(scenario.seed, Purpose.PREPARE, 3)
    benefit, all_benefits = (reached * _shape(sized, values, streams) for values in (marker, all_markers))
    cuts = np.quantile(marker, np.linspace(0, 1, 11))
    group = np.clip(np.searchsorted(cuts[1:-1], marker.ravel(order="K"), side="right"), 0, 9)
    flat = benefit.ravel(order="K")
    about["deciles"] = [
        {"from": float(cuts[i]), "to": float(cuts[i + 1]), "benefit": float(flat[group == i].mean()) if (group == i).any() else reached}
        for i in range(10)
    ]
    grid = _grid(sized.effect, all_markers)
    luck = np.broadcast_to((np.arange(200) + 0.5) / 200, (grid.size, 200))
    curve = sized.effect.shape(np.broadcast_to(grid[:, np.newaxis], luck.shape), luck).mean(axis=1)
    about |= {
        "mean_enrolled": float(flat.mean()),
        "mean_everybody": float(all_benefits.mean()),
        "grid": grid.tolist(),
        "curve": (reached * curve).tolist(),
    }
    return about | {"acts_on": sized.effect.acts_on, "biomarker": sized.effect.biomarker or next(iter(trial.laboratories))}


def _grid(effect: Effect, everybody: FloatArray) -> FloatArray:
    """Biomarker values at which the curve is drawn: evenly in ln over those of everybody, and on both sides of where the curve bends or jumps."""
    low, high = np.quantile(everybody, [0.002, 0.998])
    bends = [getattr(effect, name) for name in ("cut", "zero_at", "full_at") if hasattr(effect, name)]
    sides = [side for bend in bends if low < bend < high for side in (bend * (1 - 1e-9), bend)]
    return np.unique(np.concatenate([np.geomspace(low, high, 120), sides]))


def _shape(sized: SizedEffect, marker: FloatArray, streams: Streams) -> FloatArray:
    effect: Effect = sized.effect
    return effect.shape(marker, effect.draw(sized.path, streams, *marker.shape).get(sized.path))


def _course(name: str, endpoint: SymptomScale, scenario: Scenario, trials: list[SimulatedTrial], forced: list[SimulatedTrial]) -> dict[str, Any]:
    scale, week = endpoint.symptom_scale, endpoint.visits[-1]
    arms: dict[str, Any] = {}
    scores = np.arange(scale.minimum, scale.maximum + 1)
    for code, arm in enumerate(scenario.design.arms):
        means = np.concatenate([_trial_means(part.data.endpoints[name], part.data.arm == code) for part in trials])
        whole = forced[code].data.endpoints[name]
        last = whole.at(week)
        arms[arm] = {
            "mean": [float(np.mean(_known(whole.baseline))), *(float(np.mean(whole.at(w))) for w in endpoint.visits)],
            "low": np.nanquantile(means, 0.05, axis=0).tolist(),
            "high": np.nanquantile(means, 0.95, axis=0).tolist(),
            "histogram": [
                float(count) / last.size for count in np.bincount((last - scale.minimum).astype(int).ravel(order="K"), minlength=scores.size)
            ],
            "response": float(OUTCOMES["response"].read(whole, week).mean()),
        }
        if scale.remission_cut is not None:
            arms[arm]["remission"] = float(OUTCOMES["remission"].read(whole, week).mean())
    control = forced[0].data.endpoints[name]
    changes = [OUTCOMES["change"].read(part.data.endpoints[name], week) for part in forced]
    sd = float(changes[0].std())
    sign = -1 if scale.improves == "down" else 1
    shifts = {arm: sign * float((changes[code] - changes[0]).mean()) for code, arm in enumerate(scenario.design.arms) if code}
    return {
        "scale": {
            "name": scale.name,
            "minimum": scale.minimum,
            "maximum": scale.maximum,
            "remission_cut": scale.remission_cut,
            "improves": scale.improves,
        },
        "arms": arms,
        "scores": scores.tolist(),
        "change_sd": sd,
        "baseline_sd": float(np.std(_known(control.baseline))),
        "difference": shifts,
        "g_enrolled": {arm: shift / sd for arm, shift in shifts.items()},
    }


def _known(reading: FloatArray | None) -> FloatArray:
    assert reading is not None
    return reading


def _trial_means(measured: Measurements, mask: BoolArray) -> FloatArray:
    """(R, V + 1) mean score of each trial at baseline and visits."""
    assert measured.baseline is not None
    visits = [measured.baseline, *(measured.at(week) for week in measured.weeks)]
    count = mask.sum(axis=1)
    return np.stack([np.where(mask, visit, 0.0).sum(axis=1) / np.maximum(count, 1) for visit in visits], axis=1)


def realised_g_everybody(endpoint: Mapping[str, Any], arm: str) -> float | None:
    """The SMD of change over everybody, whatever the biomarker: mean benefit over the SD of change in the control arm."""
    effect = endpoint["effects"].get(arm)
    return None if effect is None or "change_sd" not in endpoint else effect["mean_everybody"] / endpoint["change_sd"]
