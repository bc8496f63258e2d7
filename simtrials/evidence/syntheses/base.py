"""What every synthesis offers: a question about one outcome of the review, and estimates for a block of bodies of evidence."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.check import Component, OpenProbability
from simtrials.core.data import Estimates
from simtrials.core.expressions import parse
from simtrials.core.registry import Registry
from simtrials.core.status import Status
from simtrials.evidence.table import Effects, Measured, StudyTable


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

    def estimate(self, table: StudyTable) -> Estimates:
        """Estimates of a block of bodies of evidence, (R,) each, from the studies that it is about."""
        return self.of_studies(table if self.where is None else table.only(self.studies(table)))

    def studies(self, table: StudyTable) -> BoolArray:
        """(R, S) the studies that it is about."""
        return parse(self.where).truth(table.columns) if self.where else np.ones_like(table.included)

    def of_studies(self, table: StudyTable) -> Estimates:
        """Estimates from all studies of the table."""
        measured = table.measured[self.outcome]
        return self.of_effects(table.effects(self.outcome), measured, table)

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
    flags: dict[str, BoolArray] | None = None,
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
