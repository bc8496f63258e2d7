"""What every analysis offers: a question about one outcome of one endpoint, and estimates for a block of trials."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import ArmArray, BoolArray, FloatArray
from simtrials.core.check import Component, OpenProbability, PositiveWeeks, Within, fault
from simtrials.core.data import EffectScale, Estimates, Measurements, TrialData
from simtrials.core.expressions import Category, Column, parse
from simtrials.core.outcomes import OUTCOMES, Outcome
from simtrials.core.registry import Registry
from simtrials.stats.carried_forward import baseline_observation_carried_forward, last_observation_carried_forward, non_responder_imputation
from simtrials.stats.counts import EventCounts, event_counts

OneSidedLevel = Annotated[float, Within(0, 0.5, open_low=True, open_high=True)]
AnalysisSet = Literal["all_randomised", "post_baseline", "completers"]
Missing = Literal["excluded", "non_response", "locf", "bocf"]
SETS = {
    "all_randomised": "all randomized",
    "post_baseline": "at least one visit after baseline",
    "completers": "seen at the last visit",
}


class Analysis(Component):
    """Declares an analysis that a protocol names."""

    needs_binary: ClassVar[bool | None] = None
    needs_visits: ClassVar[int] = 1
    fills_gaps: ClassVar[bool] = False
    """Whether the method has a way of its own with missing visits, so that `missing` has no say."""
    imputes: ClassVar[bool] = False
    """Whether it fills in scores before it reads the outcome off them."""
    kind: str
    endpoint: str = Field(description="name of the endpoint")
    outcome: str | None = Field(default=None, description="change, response, remission ...; default: the endpoint's first")
    week: PositiveWeeks | None = Field(default=None, description="visit; default: the endpoint's last")
    arm: str | None = Field(default=None, description="the arm compared with control; default: the first active one")
    where: str | None = Field(default=None, description="subgroup, as a condition on what was measured before randomisation, such as 'crp >= 3'")
    estimand: str | None = Field(default=None, description="the declared estimand that it serves; default: treatment policy for every event")
    missing: Missing = Field(
        default="excluded",
        description="excluded: patients without the outcome are left out; non_response: they count as failures; locf, bocf: carried forward",
    )
    analysis_set: AnalysisSet = Field(default="all_randomised", description="who is analysed")
    alpha: OpenProbability = Field(
        default=0.05, description="two-sided level of test and interval; give one_sided_alpha instead for a one-sided test"
    )
    one_sided_alpha: OneSidedLevel | None = Field(default=None, description="one-sided level of a test in the direction of benefit, below 0.5")
    label: str | None = Field(default=None, description="how tables and figures call it")

    @property
    def scale_of_effect(self) -> EffectScale:
        """What the estimate is."""
        raise TypeError(f"an analysis of kind {self.kind!r} must define scale_of_effect")

    @property
    def wants_binary(self) -> bool | None:
        """Whether the outcome must be yes or no; None: either will do."""
        return self.needs_binary

    @property
    def marginal(self) -> bool:
        """Whether the truth is a contrast of arm means; else it is the value that the analysis takes in a very large trial."""
        return True

    @property
    def one_procedure(self) -> bool:
        """Whether test and interval are one procedure, so that they cannot contradict each other."""
        return True

    @property
    def expressions(self) -> tuple[str, ...]:
        """Expressions over measured columns that it needs."""
        own = tuple(text for text in self.covariate_names if text != "baseline")
        return (*own, self.where) if self.where else own

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """Covariates of the model, as written."""
        return ()

    @property
    def two_sided_alpha(self) -> float:
        """Two-sided level of the interval: alpha, or twice the one-sided level."""
        return 2 * self.one_sided_alpha if self.one_sided_alpha is not None else self.alpha

    @property
    def nominal(self) -> float:
        """Share of trials that may show a benefit without any effect."""
        return self.two_sided_alpha / 2

    @property
    def nominal_either_way(self) -> float:
        """Share of trials that may be significant, in either direction unless the test is one-sided, without any effect."""
        return self.nominal if self.one_sided_alpha is not None else 2 * self.nominal

    @property
    def method(self) -> str:
        """The method in a few words, for tables."""
        raise TypeError(f"an analysis of kind {self.kind!r} must define method")

    def estimate(self, data: TrialData) -> Estimates:
        """Estimates of a block of trials, (R,) each."""
        raise TypeError(f"an analysis of kind {self.kind!r} must define estimate")

    def estimate_by_luck(self, data: TrialData, rng: np.random.Generator) -> Estimates:
        """The same for a kind that draws random numbers, such as imputations; `rng` belongs to this analysis alone."""
        return self.estimate(data)

    @property
    def has_own_truth(self) -> bool:
        """Whether the target is the effect in the very patients of a trial, so that each trial has a truth of its own."""
        return False

    def reference(self, data: TrialData) -> FloatArray:
        """(R, k) what the truth in each trial is worked out from: its mean over very large trials."""
        raise TypeError(f"an analysis of kind {self.kind!r} has the same truth in all trials")

    def own_truth(self, data: TrialData, reference: FloatArray) -> FloatArray:
        """(R,) the value of the estimand in the patients of each trial, from a reference (k,)."""
        raise TypeError(f"an analysis of kind {self.kind!r} has the same truth in all trials")

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if self.one_sided_alpha is not None and self.alpha != type(self).model_fields["alpha"].default:
            raise fault(f"give alpha or one_sided_alpha, not both, got {self.alpha:g} and {self.one_sided_alpha:g}")
        return self

    @model_validator(mode="after")
    def _missing_has_a_say(self) -> Self:
        if self.fills_gaps and self.missing != "excluded":
            raise fault(f"missing has no say in {self.kind}, which uses every visit that was observed; leave it out")
        return self

    def outcome_of(self, measured: Measurements) -> Outcome:
        """The outcome that is analysed."""
        if self.outcome is not None:
            return OUTCOMES[self.outcome]
        return OUTCOMES["event" if measured.binary else "change" if measured.baseline is not None else "value"]

    def active(self, data: TrialData) -> int:
        """Code of the arm compared with control."""
        return 1 if self.arm is None else data.arms.index(self.arm)

    def view(self, data: TrialData) -> "View":
        """Who is analysed, with the outcome and its direction."""
        measured = data.endpoints[self.endpoint]
        outcome = self.outcome_of(measured)
        week = self.week if self.week is not None else measured.weeks[-1]
        arm = data.arm
        if self.where is not None:
            arm = np.where(parse(self.where).truth(known_before_randomisation(data, measured)), arm, np.int8(-1))
        if self.analysis_set == "post_baseline":
            arm = np.where(measured.observed.any(axis=2), arm, np.int8(-1))
        elif self.analysis_set == "completers":
            arm = np.where(measured.observed[:, :, -1], arm, np.int8(-1))
        measured = _carried(measured, self.missing)
        value = outcome.read(measured, week)
        sign = outcome.benefit_sign(measured)
        if self.missing == "non_response":
            value = _failures(value, arm, sign)
        return View(data, measured, outcome, week, value, arm, self.active(data), sign)


def _carried(measured: Measurements, missing: Missing) -> Measurements:
    """Missing values filled with the last one seen (locf) or with the baseline (bocf)."""
    if missing not in ("locf", "bocf") or measured.baseline is None:
        return measured
    fill = last_observation_carried_forward if missing == "locf" else baseline_observation_carried_forward
    return replace(measured, value=fill(measured.value, measured.baseline))


def _failures(value: FloatArray, arm: ArmArray, sign: int) -> FloatArray:
    """Missing outcomes counted as failures: no event where the event is good, the event where it is bad."""
    good = non_responder_imputation(value if sign > 0 else 1.0 - value, arm >= 0)
    return good if sign > 0 else 1.0 - good


class View:
    """One outcome as an analysis sees it: value (R, P), arm (R, P) with -1 for nobody, code of the active arm, direction of benefit."""

    __slots__ = ("active", "arm", "data", "measured", "outcome", "sign", "value", "week")

    def __init__(
        self, data: TrialData, measured: Measurements, outcome: Outcome, week: float, value: FloatArray, arm: ArmArray, active: int, sign: int
    ) -> None:
        self.data, self.measured, self.outcome, self.week = data, measured, outcome, week
        self.value, self.arm, self.active, self.sign = value, arm, active, sign

    @property
    def visit(self) -> int:
        """Position of the visit that is analysed."""
        return self.measured.visit(self.week)

    def course(self) -> FloatArray:
        """(R, P, V) the outcome at every visit, NaN where it is missing; visits slow in memory, then patients."""
        by_visit = np.stack([self.outcome.read(self.measured, week).T for week in self.measured.weeks])
        return by_visit.transpose(2, 1, 0)

    def covariates(self, texts: tuple[str, ...]) -> list[FloatArray]:
        """Columns of the model, (R, P) each; a category of L levels becomes L - 1 columns."""
        names = known_before_randomisation(self.data, self.measured) if texts else {}
        return [column for text in texts for column in _columns(parse(text).evaluate(names))]

    def counts(self) -> EventCounts:
        """Events and patients by arm."""
        return event_counts(self.value, self.arm, self.active)


def known_before_randomisation(data: TrialData, own: Measurements) -> Mapping[str, Column]:
    """Everything that covariates and subgroups may name; `baseline` is that of the endpoint itself."""
    names: dict[str, Column] = dict(data.columns)
    for name, measured in data.endpoints.items():
        if measured.baseline is not None:
            names[f"{name}.baseline"] = measured.baseline
        if measured.screening is not None:
            names[f"{name}.screening"] = measured.screening
    if own.baseline is not None:
        names["baseline"] = own.baseline
    return names


def _columns(value: Column | BoolArray) -> list[FloatArray]:
    """Columns of a model; a formula without a finite value, such as ln(0), is missing, and so is an empty category."""
    if isinstance(value, Category):
        empty = value.codes < 0
        columns = [(value.codes == level).astype(np.float64) for level in range(1, len(value.levels))]
        return [np.where(empty, np.nan, column) for column in columns] if empty.any() else columns
    number = value.astype(np.float64)
    return [number if np.isfinite(number).all() else np.where(np.isfinite(number), number, np.nan)]


ANALYSES = Registry("analyses", "analysis", Analysis)
