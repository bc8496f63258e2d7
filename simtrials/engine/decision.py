"""Decisions after a trial, and a pilot before it: declared with the trial, and no part of what is simulated.

The dual criterion: a lower reference value, the least benefit worth going on for, and a target value, the benefit that is hoped for.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.check import Component, Count, Finite, Within, fault
from simtrials.core.data import Estimates
from simtrials.core.errors import Problem, did_you_mean
from simtrials.stats.quantiles import t_critical
from simtrials.trial.checks import Draft

FalseDecision = Annotated[float, Within(0, 0.5, open_low=True, open_high=True)]


class Decision(Component):
    """Go where the estimate rules out the lower reference value and does not rule out the target; stop where it rules out the target.

    Go: the lower one-sided (1 - false_go) confidence limit is above the lower reference value, and the upper one-sided (1 - false_stop) limit is
    above the target. Stop: that upper limit is at or below the target. Consider: neither. With the defaults these are Lalonde's 20th and 90th
    percentiles. Limits are estimate and standard error with the quantile of t on the degrees of freedom of the analysis.

    Source: Lalonde, Kowalski, Hutmacher et al. (2007), Clinical Pharmacology and Therapeutics 82, 21-32; inequalities as in the R package gonogo.
    """

    analysis: str | None = Field(default=None, description="the analysis whose estimate decides; default: the first of primary, or the only one")
    lower_reference: Finite = Field(
        description="least benefit worth going on for, on the scale of the estimate (ratios: logarithm), benefit positive"
    )
    target: Finite = Field(description="benefit that is hoped for, on the same scale; above lower_reference")
    false_go: FalseDecision = Field(default=0.2, description="tolerated probability of a go where the true benefit is the lower reference value")
    false_stop: FalseDecision = Field(default=0.1, description="tolerated probability of a stop where the true benefit is the target")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.target <= self.lower_reference:
            raise fault(f"target must be above lower_reference, got {self.target:g} and {self.lower_reference:g}; a benefit is positive")
        return self

    def limits(self, found: Estimates) -> tuple[FloatArray, FloatArray]:
        """(R,) lower limit that is held against the lower reference value, and upper limit against the target, benefit positive; NaN without."""
        estimate = found.benefit * found.estimate
        lower = estimate - t_critical(found.df, 2 * self.false_go) * found.std_error
        upper = estimate + t_critical(found.df, 2 * self.false_stop) * found.std_error
        return lower, upper

    def go_and_stop(self, found: Estimates) -> tuple[BoolArray, BoolArray]:
        """(R,) go, and stop; neither is consider, which also follows where nothing could be estimated."""
        lower, upper = self.limits(found)
        known = (found.status == 0) & np.isfinite(found.estimate)
        with np.errstate(invalid="ignore"):
            stop = known & (upper <= self.target)
            go = known & (lower > self.lower_reference) & (upper > self.target)
        return np.asarray(go), np.asarray(stop)


class Pilot(Component):
    """A first trial of the same design with fewer patients; the trial is run only if its result says so. Its data are not pooled with the trial's."""

    n_patients: Count = Field(description="patients of the pilot")
    proceed: Literal["go", "not_stop"] = Field(default="not_stop", description="the decision after which the trial is run: go only, or all but stop")
    decision: Decision | None = Field(default=None, description="the rule of the pilot; default: [decision]")


def decision_problems(draft: Draft) -> Iterator[Problem]:
    """A decision names an analysis that there is; a pilot has a rule and is smaller than the trial."""
    decision, pilot = draft.parts.get("decision"), draft.parts.get("pilot")
    if decision is not None:
        yield from _names_an_analysis(draft, "decision", decision)
    if pilot is None:
        return
    if pilot.decision is not None:
        yield from _names_an_analysis(draft, "pilot.decision", pilot.decision)
    elif decision is None and draft.has("decision"):
        yield Problem("pilot.decision", "is missing; declare [decision] or [pilot.decision] with lower_reference and target")
    if draft.has("design") and pilot.n_patients >= draft.parts["design"].n_patients:
        n = draft.parts["design"].n_patients
        yield Problem("pilot.n_patients", f"must be below the {n} patients of the trial, got {pilot.n_patients}")


def _names_an_analysis(draft: Draft, place: str, decision: Decision) -> Iterator[Problem]:
    known = draft.parts["analyses"]
    name = decision.analysis
    if name is not None and name not in known and not draft.lost("analyses", name):
        yield Problem(f"{place}.analysis", f"no analysis called {name!r}{did_you_mean(name, known)}")
    elif name is None and len(known) > 1 and not draft.parts.get("primary"):
        yield Problem(f"{place}.analysis", f"is needed with several analyses: {', '.join(known)}")
