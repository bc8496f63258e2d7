"""Results from simulated patients: severity, response and remission of one study come from the same people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.data import TrialData
from simtrials.core.expressions import parse
from simtrials.core.outcomes import OUTCOMES
from simtrials.core.rng import Streams
from simtrials.evidence.fidelities.base import EARLIER, END_SCORES, FIDELITIES, REPORTED, SUBGROUP, Fidelity, Maker, Plan, Results
from simtrials.evidence.fidelities.curves import Curves
from simtrials.evidence.own_test import own_result
from simtrials.evidence.practices.base import Attempt, first_of_each_arm
from simtrials.evidence.table import ArmNumbers
from simtrials.evidence.template import SELECTING, arms_in_order
from simtrials.stats.carried_forward import non_responder_imputation
from simtrials.stats.means import two_arm_moments
from simtrials.stats.quantiles import t_p_value
from simtrials.stats.regression import least_squares
from simtrials.trial import PreparedTrial, simulate

SIGNIFICANT = 0.05
"""Two-sided p-value below which investigators stop trying."""


@FIDELITIES.register
class Patients(Fidelity):
    """Every study is simulated patient by patient, through the trial simulator."""

    kind: Literal["patients"] = "patients"

    def prepare(self, plan: Plan) -> Maker:
        texts = [text for practice in plan.practices for text in practice.expressions if not text.endswith(".baseline")]
        texts += [plan.subgroup] if plan.subgroup else []
        every_visit = EARLIER in plan.views
        trials = [plan.template.prepared(variety, plan.tables, plan.seed, tuple(texts), every_visit) for variety in plan.varieties]
        return PatientMaker(plan, tuple(trials), Curves(plan, tuple(trials)))


@dataclass(frozen=True, slots=True)
class PatientMaker(Maker):
    """The trials of all varieties, ready to be simulated."""

    plan: Plan
    trials: tuple[PreparedTrial, ...]
    curves: Curves

    def true(self, variety: int, outcome: str, effect: FloatArray, view: str, share_active: FloatArray) -> FloatArray:
        return self.curves.at(variety, outcome, effect, view, share_active)

    def control(self, variety: int, outcome: str, view: str) -> float:
        return self.curves.of(variety, view)[outcome].control_mean

    def error(self, variety: int, outcome: str, view: str, effect: FloatArray) -> FloatArray:
        return self.curves.of(variety, view)[outcome].error(effect)

    def results(self, variety: int, effects: Mapping[str, FloatArray], n: FloatArray, measures: Mapping[str, BoolArray], streams: Streams) -> Results:
        data, planned = self._trials(variety, effects, n, streams)
        reported, kept = self._reported(data, planned, measures, streams)
        return {REPORTED: reported, **self._views(variety, data.subset(kept) if self.plan.practices else data)}

    def _trials(self, variety: int, effects: Mapping[str, FloatArray], n: FloatArray, streams: Streams) -> tuple[TrialData, BoolArray]:
        """The studies with all patients that may be enrolled, and who of them belongs to the plan."""
        trial = self.trials[variety]
        extra = max((practice.extra_per_arm for practice in self.plan.practices), default=0)
        enrolled = n + extra
        most = int(enrolled.sum(axis=1).max())
        if trial.strata:
            simulated = simulate(trial, streams, len(n), most, strength=effects)
            order = np.broadcast_to(np.arange(most), simulated.data.arm.shape)
            return simulated.data.subset(order < enrolled.sum(axis=1)[:, np.newaxis]), order < n.sum(axis=1)[:, np.newaxis]
        same = bool((enrolled == enrolled[0]).all())
        arm = arms_in_order(enrolled[:1] if same else enrolled, most)
        arm = np.broadcast_to(arm, (len(n), most))
        data = simulate(trial, streams, len(n), most, assigned=np.maximum(arm, 0), strength=effects).data.subset(arm >= 0)
        return data, first_of_each_arm(data, n) if extra else arm >= 0

    def _reported(
        self, data: TrialData, planned: BoolArray, measures: Mapping[str, BoolArray], streams: Streams
    ) -> tuple[dict[str, ArmNumbers], BoolArray]:
        """What investigators report, and on which patients: their plan, or the first attempt that made the main outcome significant."""
        numbers, kept = self._numbers_of(data.subset(planned) if self.plan.practices else data), planned
        for i, practice in enumerate(self.plan.practices):
            main = practice.outcome or next(iter(self.plan.outcomes))
            measured = self.plan.measured[main]
            trying = streams[f"practices.{i}"].random(len(planned)) < practice.share
            trying &= measures[main] & ~own_result(numbers[main], measured).benefit(SIGNIFICANT)
            value, so_far = self._read(data, main), kept
            for attempt in practice.attempts(data, self.plan.endpoint_of(main), value, so_far):
                tried, shows = self._tried(data, main, value, attempt)
                taken = trying & (shows | attempt.settles)
                numbers = {name: numbers[name].where(taken, tried[name]) for name in numbers}
                if attempt.kept is not None:
                    kept = np.where(taken[:, np.newaxis], attempt.kept, kept)
                trying &= ~taken
        return numbers, kept

    def _tried(self, data: TrialData, main: str, value: FloatArray, attempt: Attempt) -> tuple[dict[str, ArmNumbers], BoolArray]:
        """The numbers of an attempt, and whether it makes the main outcome significant.

        An adjusted difference is reported with the SD that its standard error implies, as who works back from the test finds it.
        """
        kept = data if attempt.kept is None else data.subset(attempt.kept)
        numbers, measured = self._numbers_of(kept), self.plan.measured[main]
        if attempt.covariate is None:
            return numbers, own_result(numbers[main], measured).benefit(SIGNIFICANT)
        adjusted = least_squares(value, kept.arm, 1, [attempt.covariate])
        old = numbers[main]
        mean = np.stack([old.mean[:, 0], old.mean[:, 0] + adjusted.estimate], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            implied = adjusted.std_error / np.sqrt((1 / old.n).sum(axis=1))
            shows = (t_p_value(adjusted.estimate / adjusted.std_error, adjusted.df) < SIGNIFICANT) & (measured.sign * adjusted.estimate > 0)
        return {**numbers, main: ArmNumbers(old.n, mean, np.stack([implied, implied], axis=1))}, shows

    def _read(self, data: TrialData, outcome: str, name: str | None = None, before: int = 0) -> FloatArray:
        """(m, P) an outcome at the end of the study, or at the visit before."""
        measured = data.endpoints[self.plan.endpoint_of(outcome)]
        week = measured.weeks[max(len(measured.weeks) - 1 - before, 0)]
        return OUTCOMES[name or self.plan.name_of(outcome)].read(measured, week)

    def numbers(self, data: TrialData, outcome: str, name: str | None = None, before: int = 0) -> ArmNumbers:
        """Numbers per arm of one outcome."""
        value, declared = self._read(data, outcome, name, before), self.plan.outcomes[outcome]
        if declared.missing == "non_response" and self.plan.measured[outcome].binary:
            good = self.plan.measured[outcome].sign > 0
            value = non_responder_imputation(value if good else 1.0 - value, data.arm >= 0)
            value = value if good else 1.0 - value
        moments = two_arm_moments(value, data.arm, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(moments.squares / (moments.n - 1))
        return ArmNumbers(moments.n, moments.mean, np.where(moments.n > 1, sd, np.nan))

    def _numbers_of(self, data: TrialData) -> dict[str, ArmNumbers]:
        return {name: self.numbers(data, name) for name in self.plan.outcomes}

    def _views(self, variety: int, data: TrialData) -> Results:
        """What else could be read off the report of the same study."""
        views = self._read_off(data)
        if SUBGROUP in self.plan.views and self.plan.subgroup:
            inside = data if self.plan.varieties[variety].crp_rule in SELECTING else data.subset(parse(self.plan.subgroup).truth(data.columns))
            views[SUBGROUP] = self._numbers_of(inside)
            views |= {f"{name}.{SUBGROUP}": numbers for name, numbers in self._read_off(inside).items()}
        return views

    def _read_off(self, data: TrialData) -> Results:
        """Scores at the end instead of changes, and the visit before, as far as they are wanted."""
        views: Results = {}
        if END_SCORES in self.plan.views:
            views[END_SCORES] = {name: self.numbers(data, name, "score") for name in self.plan.names_in(END_SCORES)}
        if EARLIER in self.plan.views:
            views[EARLIER] = {name: self.numbers(data, name, before=1) for name in self.plan.outcomes}
        return views
