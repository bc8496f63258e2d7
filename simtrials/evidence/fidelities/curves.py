"""True effects of studies in the unit of each outcome, as curves over the true effect on the endpoint.

Worked out from patients who are sent to each arm with the same luck, completely observed (but for outcomes that count who is lost as a failure);
from a formula where the outcome is normal or an event, and nothing else is at work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import TrialData
from simtrials.core.expressions import parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.evidence.fidelities.base import END_SCORES, REPORTED, SUBGROUP, Plan, effect_of_means
from simtrials.evidence.template import SELECTING
from simtrials.trial import PreparedTrial, simulate
from simtrials.trial.endpoints import Binary, Continuous

BLOCKS, PATIENTS, NODES = 6, 256, 13
"""393,216 patients per arm at each of thirteen effects: the SD of scores is known to .11%, a risk of .2 to .0006, their contrasts better."""


Moments = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """Mean and variance of one outcome in the control arm, and, as functions of the true effect on the endpoint, in the active arm."""

    control_mean: float
    control_variance: float
    active: Callable[[FloatArray], Moments]
    nodes: tuple[float, ...] = (0.0, 1.0)
    errors: tuple[float, ...] = (0.0, 0.0)
    """standard errors of the effect at the nodes, in the unit of the measure; 0 from a formula"""

    def error(self, effect: FloatArray) -> FloatArray:
        """Standard errors of true effects in the unit of the measure."""
        return np.asarray(np.interp(effect, self.nodes, self.errors))


def between(nodes: FloatArray, mean: FloatArray, variance: FloatArray, binary: bool) -> Callable[[FloatArray], Moments]:
    """Mean and variance at any effect from those at nodes (N,).

    The mean of a number, the logit of a risk and the logarithm of a variance follow monotone cubics (Fritsch and Carlson 1980, SIAM Journal
    on Numerical Analysis 17, 238-246).
    """
    from scipy.interpolate import PchipInterpolator

    level = PchipInterpolator(nodes, logit(mean) if binary else mean)
    spread = PchipInterpolator(nodes, np.log(variance))

    def active(effect: FloatArray) -> Moments:
        at = np.clip(effect, nodes[0], nodes[-1])
        if binary:
            risk = expit(level(at))
            return risk, risk * (1 - risk)
        return level(at), np.exp(spread(at))

    return active


KNOWN: dict[str, Mapping[str, ArmCurve]] = {}
"""Curves that were worked out before, by all that they depend on."""
MOST_KNOWN = 64


class Curves:
    """The curves of all varieties, made when they are first asked for."""

    def __init__(self, plan: Plan, trials: tuple[PreparedTrial, ...]) -> None:
        self.plan, self.trials = plan, trials
        self._made: dict[tuple[int, str], Mapping[str, ArmCurve]] = {}

    def at(self, variety: int, outcome: str, effect: FloatArray, view: str, share_active: FloatArray) -> FloatArray:
        """True effects in the unit of the outcome's measure, of studies with this share of patients in the active arm."""
        curve = self.of(variety, view)[outcome]
        mean, variance = curve.active(effect)
        return effect_of_means(self.plan.measured[outcome], curve.control_mean, mean, curve.control_variance, variance, share_active)

    def of(self, variety: int, view: str = REPORTED) -> Mapping[str, ArmCurve]:
        """The curves of every outcome of a variety."""
        if (variety, view) not in self._made:
            exact = {name: curve for name in self.plan.outcomes if (curve := self._exact(variety, name, view)) is not None}
            rest = [name for name in self.plan.outcomes if name not in exact]
            self._made[variety, view] = {**exact, **(self._simulated(variety, rest, view) if rest else {})}
        return self._made[variety, view]

    def _exact(self, variety: int, outcome: str, view: str) -> ArmCurve | None:
        """A normal outcome, or an event, and the same effect for everybody."""
        trial, name, read = self.trials[variety], self.plan.endpoint_of(outcome), self.plan.name_of(outcome)
        endpoint = trial.trial.endpoints[name]
        effect = endpoint.effects.get("active")
        if (effect is not None and effect.needs_biomarker) or trial.trial.departures or trial.trial.correlations:
            return None
        unit = trial.effects[name][0].size * trial.effects[name][0].onset[-1] if trial.effects[name] else 0.0
        if isinstance(endpoint, Binary) and read == "event":
            return _of_event(endpoint, unit)
        if isinstance(endpoint, Continuous) and read in ("value", "change", "score"):
            return _of_normal(endpoint, unit, endpoint.baseline is not None and read == "change" and view != END_SCORES)
        return None

    def _simulated(self, variety: int, outcomes: list[str], view: str) -> Mapping[str, ArmCurve]:
        """From patients, once for the same trial, outcomes and range of effects, whatever else a scenario says."""
        trial, ranges = self.trials[variety].trial, [self.plan.range_of(name) for name in self.plan.template.endpoints]
        asked = [(one := self.plan.outcomes[name], name, self.plan.name_of(name), self.plan.measured[name], one.missing) for name in outcomes]
        checksums = sorted(table.checksum for table in self.plan.tables.values())
        key = repr((trial.model_dump_json(), ranges, asked, view, self.plan.subgroup, self.plan.seed, checksums))
        if key not in KNOWN:
            while len(KNOWN) >= MOST_KNOWN:
                KNOWN.pop(next(iter(KNOWN)))
            KNOWN[key] = self._from_patients(variety, outcomes, view)
        return KNOWN[key]

    def _from_patients(self, variety: int, outcomes: list[str], view: str) -> dict[str, ArmCurve]:
        places = np.arange(NODES) / (NODES - 1)
        nodes = {name: self._nodes(name, places) for name in self.plan.template.endpoints}
        control = self._sums(variety, outcomes, view, 0, {})
        active = [self._sums(variety, outcomes, view, 1, {name: values[i] for name, values in nodes.items()}) for i in range(NODES)]
        found = {}
        for name in outcomes:
            contrasts = [
                effect_of_means(self.plan.measured[name], *_contrast(control[name], sums[name], self.plan.measured[name].binary), np.array(0.5))
                for sums in active
            ]
            errors = tuple(float(one.std(ddof=1) / np.sqrt(BLOCKS)) for one in contrasts)
            binary = self.plan.measured[name].binary
            mean, variance = _moments(np.array([sums[name].sum(axis=0) for sums in active]), binary)
            of_control = _moments(control[name].sum(axis=0), binary)
            own = self._nodes(self.plan.endpoint_of(name), places)
            found[name] = ArmCurve(float(of_control[0]), float(of_control[1]), between(own, mean, variance, binary), tuple(own.tolist()), errors)
        return found

    def _nodes(self, endpoint: str, places: FloatArray) -> FloatArray:
        low, high = self.plan.range_of(endpoint)
        return low + (high - low) * places if high > low else low + places - 0.5

    def _sums(self, variety: int, outcomes: list[str], view: str, arm: int, effects: Mapping[str, float]) -> dict[str, FloatArray]:
        """Number, sum and sum of squares of each outcome, (block, 3), when everybody is in one arm."""
        sums = {name: np.zeros((BLOCKS, 3)) for name in outcomes}
        lost = bool(self.trials[variety].departures)
        composites = {name for name in outcomes if lost and self.plan.outcomes[name].missing == "non_response"}
        strength = {name: np.full(BLOCK_SIZE, value) for name, value in effects.items()}
        for block in range(BLOCKS):
            streams = Streams(self.plan.seed, Purpose.TRUTH, block)
            whole = simulate(self.trials[variety], streams, BLOCK_SIZE, PATIENTS, force_arm=arm, complete=True, strength=strength).data
            seen = self._as_seen(variety, block, arm, strength) if composites else whole
            for name in outcomes:
                data = seen if name in composites else whole
                measured = data.endpoints[self.plan.endpoint_of(name)]
                read = "score" if view == END_SCORES and self.plan.name_of(name) == "change" else self.plan.name_of(name)
                value = OUTCOMES[read].read(measured, measured.weeks[-1])[self._whom(variety, data, view)]
                if name in composites:
                    value = np.where(np.isnan(value), 0.0 if self.plan.measured[name].sign > 0 else 1.0, value)
                sums[name][block] = value.size, value.sum(), (value * value).sum()
        return sums

    def _as_seen(self, variety: int, block: int, arm: int, strength: Mapping[str, FloatArray]) -> TrialData:
        """The same patients as far as they were observed: who is lost counts as a failure of outcomes that say so."""
        streams = Streams(self.plan.seed, Purpose.TRUTH, block)
        return simulate(self.trials[variety], streams, BLOCK_SIZE, PATIENTS, force_arm=arm, strength=strength).data

    def _whom(self, variety: int, data: TrialData, view: str) -> BoolArray:
        if view == SUBGROUP and self.plan.subgroup and self.plan.varieties[variety].crp_rule not in SELECTING:
            return parse(self.plan.subgroup).truth(data.columns)
        return np.asarray(data.arm >= 0)


def _moments(sums: FloatArray, binary: bool) -> tuple[FloatArray, FloatArray]:
    """Mean and variance from number, sum and sum of squares on the last axis; a risk is never 0 or 1."""
    if binary:
        risk = (sums[..., 1] + 0.5) / (sums[..., 0] + 1)
        return risk, risk * (1 - risk)
    mean = sums[..., 1] / sums[..., 0]
    return mean, np.maximum(sums[..., 2] / sums[..., 0] - mean**2, 1e-300)


def _contrast(control: FloatArray, active: FloatArray, binary: bool) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Means of control and active, and their variances, block by block."""
    (mean_control, variance_control), (mean_active, variance_active) = _moments(control, binary), _moments(active, binary)
    return mean_control, mean_active, variance_control, variance_active


def _of_normal(endpoint: Continuous, unit: float, change: bool) -> ArmCurve:
    sign = 1.0 if endpoint.better == "up" else -1.0
    start = endpoint.baseline.mean if change and endpoint.baseline else 0.0

    def variance(sd: float) -> float:
        if not change or endpoint.baseline is None:
            return sd**2
        return sd**2 + endpoint.baseline.sd**2 - 2 * endpoint.baseline.correlation * sd * endpoint.baseline.sd

    in_active = variance(endpoint.arm_sd.get("active", endpoint.sd))

    def active(effect: FloatArray) -> Moments:
        return endpoint.mean - start + sign * unit * effect, np.full(np.shape(effect), in_active)

    return ArmCurve(endpoint.mean - start, variance(endpoint.sd), active)


def _of_event(endpoint: Binary, unit: float) -> ArmCurve:
    sign = 1.0 if endpoint.event_is == "good" else -1.0
    control = endpoint.control_risk

    def active(effect: FloatArray) -> Moments:
        risk = expit(logit(control) + sign * unit * effect)
        return risk, risk * (1 - risk)

    return ArmCurve(control, control * (1 - control), active)
