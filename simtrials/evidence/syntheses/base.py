"""What every synthesis offers: a question about one outcome of the review, and estimates for a block of bodies of evidence."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.check import Component, OpenProbability
from simtrials.core.data import Estimates
from simtrials.core.errors import Problem
from simtrials.core.expressions import parse
from simtrials.core.registry import Registry
from simtrials.core.status import Status
from simtrials.evidence.table import Effects, Measured, Question, StudyTable


class Synthesis(Component):
    """Declares a synthesis."""

    adjusts: ClassVar[bool] = False
    """Whether it is meant to correct for selective publication."""
    kind: str
    outcome: str = Field(description="name of the outcome of the review")
    where: str | None = Field(
        default=None, description="which studies, as a condition on weeks, n, drug_class, role, crp_rule, risk_of_bias, funder, further; default: all"
    )
    alpha: OpenProbability = Field(default=0.05, description="two-sided level of test and interval")
    label: str | None = Field(default=None, description="how tables and figures call it")

    @property
    def method(self) -> str:
        """The method in a few words, for tables."""
        raise TypeError(f"a synthesis of kind {self.kind!r} must define method")

    one_sided_alpha: ClassVar[None] = None

    @property
    def two_sided_alpha(self) -> float:
        """Two-sided level of the interval."""
        return self.alpha

    @property
    def nominal(self) -> float:
        """Share of bodies of evidence that may show a benefit without any effect."""
        return self.alpha / 2

    @property
    def question(self) -> Question:
        """Outcome and condition."""
        return self.outcome, self.where

    @property
    def estimates_the_mean(self) -> bool:
        """Whether it estimates the mean of true effects, so that bias and coverage can be judged."""
        return True

    def estimate(self, table: StudyTable, rng: np.random.Generator) -> Estimates:
        """Estimates of a block of bodies of evidence, (R,) each, from the studies that it is about; `rng` belongs to this synthesis alone."""
        return self.of_studies(table if self.where is None else table.only(self.studies(table)), rng)

    def studies(self, table: StudyTable) -> BoolArray:
        """(R, S) the studies that it is about."""
        return parse(self.where).truth(table.columns) if self.where else np.ones_like(table.included)

    def of_studies(self, table: StudyTable, rng: np.random.Generator) -> Estimates:
        """Estimates from all studies of the table."""
        measured = table.measured[self.outcome]
        return self.of_effects(table.effects(self.outcome), measured, table)

    def problems(self, place: str, measured: Mapping[str, Measured]) -> Iterator[Problem]:
        """What does not fit the outcomes of the review, by name."""
        yield from ()

    def of_effects(self, effects: Effects, measured: Measured, table: StudyTable) -> Estimates:
        """Estimates from effect sizes (R, S)."""
        raise TypeError(f"a synthesis of kind {self.kind!r} must define of_effects")


SYNTHESES = Registry("syntheses", "synthesis", Synthesis)


def estimates(
    measured: Measured,
    estimate: AnyArray,
    std_error: AnyArray,
    lower: AnyArray,
    upper: AnyArray,
    status: AnyArray,
    df: AnyArray | None = None,
    flags: Mapping[str, AnyArray] | None = None,
    numbers: dict[str, FloatArray] | None = None,
) -> Estimates:
    """Estimates whose conclusion is whether the interval leaves out 0. A replicate without a finite interval is not estimated."""
    known = np.isfinite(estimate) & ~np.isnan(lower) & ~np.isnan(upper)
    codes = np.where(known, 0, np.where(status == 0, int(Status.NOT_CONVERGED), status))
    with np.errstate(invalid="ignore", divide="ignore"):
        decision = np.where(known, (lower > 0).astype(np.int8) - (upper < 0).astype(np.int8), 0) * measured.benefit
        statistic = estimate / std_error
    estimate, std_error, statistic = (np.where(known, value, np.nan) for value in (estimate, std_error, statistic))
    degrees = np.full(estimate.shape, np.inf) if df is None else np.asarray(df, dtype=np.float64)
    limits = np.where(known, lower, np.nan), np.where(known, upper, np.nan)
    made = Estimates(estimate, std_error, statistic, degrees, codes, measured.scale, measured.benefit, *limits, decision=decision)
    return made.counting(flags or {}).averaging(numbers or {})


def held(lower: FloatArray, upper: FloatArray, value: FloatArray) -> FloatArray:
    """(R,) 1 where the limits hold the value, 0 where not, NaN where there are no limits or no value."""
    known = np.isfinite(value) & ~np.isnan(lower) & ~np.isnan(upper)
    with np.errstate(invalid="ignore"):
        return np.where(known, ((lower <= value) & (value <= upper)).astype(np.float64), np.nan)


def estimates_from(found: Any, measured: Measured, **numbers: FloatArray) -> Estimates:
    """Estimates from a result with estimate, std_error, lower, upper, status, and df and tau2 where it has them."""
    known = {"n_studies": np.asarray(found.n_studies, dtype=np.float64)} if hasattr(found, "n_studies") else {}
    known |= {"tau2": found.tau2} if hasattr(found, "tau2") else {}
    std_error = found.std_error if hasattr(found, "std_error") else np.full(np.shape(found.estimate), np.nan)
    df = getattr(found, "df", None)
    return estimates(measured, found.estimate, std_error, found.lower, found.upper, found.status, df, numbers=known | numbers)


def benefit_side(measured: Measured) -> Any:
    """The word for the side on which small studies are suppressed least: that of benefit."""
    return "greater" if measured.benefit > 0 else "less"
