"""True effects of studies in the unit of each outcome, as curves over the true effect on the endpoint.

Worked out from patients who are sent to each arm with the same luck, completely observed; from a formula where the outcome is normal.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import TrialData
from simtrials.core.expressions import parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import BLOCK_SIZE, Purpose, Streams
from simtrials.evidence.fidelities.base import END_SCORES, REPORTED, SUBGROUP, Plan, effect_of_means
from simtrials.evidence.template import SELECTING
from simtrials.trial import PreparedTrial, simulate
from simtrials.trial.endpoints import Continuous

BLOCKS, PATIENTS, NODES = 8, 256, 7
"""Half a million patients per arm at each of seven effects: the SD of scores is known to .1%, a risk of .2 to .0006, their contrasts better."""


@dataclass(frozen=True, slots=True)
class ArmCurve:
    """Mean and variance of one outcome in the control arm, and in the active arm at the nodes of the true effect, (N,)."""

    nodes: FloatArray
    control_mean: float
    control_variance: float
    mean: FloatArray
    variance: FloatArray
    error: float = 0.0
    """standard error of the effect at the middle node, in the unit of the measure"""


KNOWN: dict[str, Mapping[str, ArmCurve]] = {}
"""Curves that were worked out before, by all that they depend on."""
MOST_KNOWN = 64


class Curves:
    """The curves of all varieties, made when they are first asked for."""

    def __init__(self, plan: Plan, trials: tuple[PreparedTrial, ...]) -> None:
        self.plan, self.trials = plan, trials
        self._made: dict[tuple[int, str], Mapping[str, ArmCurve]] = {}

    def at(self, variety: int, outcome: str, effect: FloatArray, view: str = REPORTED) -> FloatArray:
        """True effects in the unit of the outcome's measure."""
        curve = self.of(variety, view)[outcome]
        measured = self.plan.measured[outcome]
        variance = (curve.variance + curve.control_variance) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            values = effect_of_means(measured, np.full(curve.nodes.size, curve.control_mean), curve.mean, variance)
        return interpolated(curve.nodes, values, effect)

    def moments(self, variety: int, outcome: str, effect: FloatArray, view: str = REPORTED) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the outcome in the active arm."""
        curve = self.of(variety, view)[outcome]
        return interpolated(curve.nodes, curve.mean, effect), interpolated(curve.nodes, curve.variance, effect)

    def of(self, variety: int, view: str = REPORTED) -> Mapping[str, ArmCurve]:
        """The curves of every outcome of a variety."""
        if (variety, view) not in self._made:
            exact = {name: curve for name in self.plan.outcomes if (curve := self._exact(variety, name, view)) is not None}
            rest = [name for name in self.plan.outcomes if name not in exact]
            self._made[variety, view] = {**exact, **(self._simulated(variety, rest, view) if rest else {})}
        return self._made[variety, view]

    def _exact(self, variety: int, outcome: str, view: str) -> ArmCurve | None:
        """A normal outcome and the same effect for everybody."""
        trial, name = self.trials[variety], self.plan.endpoint_of(outcome)
        endpoint = trial.trial.endpoints[name]
        effect = endpoint.effects.get("active")
        read = self.plan.name_of(outcome)
        if not isinstance(endpoint, Continuous) or (effect is not None and effect.needs_biomarker) or read not in ("value", "change", "score"):
            return None
        unit = trial.effects[name][0].size * trial.effects[name][0].onset[-1] if trial.effects[name] else 0.0
        sign = 1.0 if endpoint.better == "up" else -1.0
        change = endpoint.baseline is not None and read == "change" and view != END_SCORES
        start = endpoint.baseline.mean if change and endpoint.baseline else 0.0
        nodes = np.array(self.plan.range_of(name)) if self.plan.range_of(name)[0] < self.plan.range_of(name)[1] else np.array([0.0, 1.0])
        mean = endpoint.mean - start

        def variance(sd: float) -> float:
            if not change or endpoint.baseline is None:
                return sd**2
            return sd**2 + endpoint.baseline.sd**2 - 2 * endpoint.baseline.correlation * sd * endpoint.baseline.sd

        active = np.full(nodes.size, variance(endpoint.arm_sd.get("active", endpoint.sd)))
        return ArmCurve(nodes, mean, variance(endpoint.sd), mean + sign * unit * nodes, active)

    def _simulated(self, variety: int, outcomes: list[str], view: str) -> Mapping[str, ArmCurve]:
        """From patients, once for the same trial, outcomes and range of effects, whatever else a scenario says."""
        trial, ranges = self.trials[variety].trial, [self.plan.range_of(name) for name in self.plan.template.endpoints]
        asked = [(name, self.plan.endpoint_of(name), self.plan.name_of(name), self.plan.measured[name]) for name in outcomes]
        checksums = sorted(table.checksum for table in self.plan.tables.values())
        key = repr((trial.model_dump_json(), ranges, asked, view, self.plan.subgroup, self.plan.seed, checksums))
        if key not in KNOWN:
            while len(KNOWN) >= MOST_KNOWN:
                KNOWN.pop(next(iter(KNOWN)))
            KNOWN[key] = self._from_patients(variety, outcomes, view)
        return KNOWN[key]

    def _from_patients(self, variety: int, outcomes: list[str], view: str) -> dict[str, ArmCurve]:
        places = (1 - np.cos(np.pi * np.arange(NODES) / (NODES - 1))) / 2
        nodes = {name: self._nodes(name, places) for name in self.plan.template.endpoints}
        control = self._sums(variety, outcomes, view, 0, {})
        active = [self._sums(variety, outcomes, view, 1, {name: values[i] for name, values in nodes.items()}) for i in range(NODES)]
        found = {}
        for name in outcomes:
            middle = effect_of_means(self.plan.measured[name], *_contrast(control[name], active[NODES // 2][name]))
            error = float(middle.std(ddof=1) / np.sqrt(BLOCKS))
            mean, variance = _moments(np.array([sums[name].sum(axis=0) for sums in active]))
            of_control = _moments(control[name].sum(axis=0))
            found[name] = ArmCurve(nodes[self.plan.endpoint_of(name)], float(of_control[0]), float(of_control[1]), mean, variance, error)
        return found

    def _nodes(self, endpoint: str, places: FloatArray) -> FloatArray:
        low, high = self.plan.range_of(endpoint)
        return low + (high - low) * places if high > low else low + places - 0.5

    def _sums(self, variety: int, outcomes: list[str], view: str, arm: int, effects: Mapping[str, float]) -> dict[str, FloatArray]:
        """Number, sum and sum of squares of each outcome, (block, 3), when everybody is in one arm."""
        sums = {name: np.zeros((BLOCKS, 3)) for name in outcomes}
        strength = {name: np.full(BLOCK_SIZE, value) for name, value in effects.items()}
        for block in range(BLOCKS):
            streams = Streams(self.plan.seed, Purpose.TRUTH, block)
            data = simulate(self.trials[variety], streams, BLOCK_SIZE, PATIENTS, force_arm=arm, complete=True, strength=strength).data
            whom = self._whom(variety, data, view)
            for name in outcomes:
                measured = data.endpoints[self.plan.endpoint_of(name)]
                read = "score" if view == END_SCORES and self.plan.name_of(name) == "change" else self.plan.name_of(name)
                value = OUTCOMES[read].read(measured, measured.weeks[-1])[whom]
                sums[name][block] = value.size, value.sum(), (value * value).sum()
        return sums

    def _whom(self, variety: int, data: TrialData, view: str) -> BoolArray:
        if view == SUBGROUP and self.plan.subgroup and self.plan.varieties[variety].crp_rule not in SELECTING:
            return parse(self.plan.subgroup).truth(data.columns)
        return np.asarray(data.arm >= 0)


def _moments(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance from number, sum and sum of squares on the last axis."""
    mean = sums[..., 1] / sums[..., 0]
    return mean, np.maximum(sums[..., 2] / sums[..., 0] - mean**2, 0.0)


def _contrast(control: FloatArray, active: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means of both arms and the mean of their variances."""
    (mean_control, variance_control), (mean_active, variance_active) = _moments(control), _moments(active)
    return mean_control, mean_active, (variance_control + variance_active) / 2


def interpolated(nodes: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """The polynomial through all nodes (barycentric formula), held within the nodes.

    Source: Berrut and Trefethen (2004), SIAM Review 46, 501-517, equation 4.2.
    """
    at = np.clip(at, nodes[0], nodes[-1])
    scale = 4.0 / (nodes[-1] - nodes[0])
    difference = (nodes[:, np.newaxis] - nodes) * scale + np.eye(nodes.size)
    weights = 1.0 / difference.prod(axis=1)
    gap = at[..., np.newaxis] - nodes
    exact = gap == 0
    terms = weights / np.where(exact, 1.0, gap)
    smooth = (terms * values).sum(axis=-1) / terms.sum(axis=-1)
    return np.asarray(np.where(exact.any(axis=-1), np.where(exact, values, 0.0).sum(axis=-1), smooth))
