"""Go, consider or stop after a trial: how often each is decided, and how often rightly, averaged over what is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.decision import Decision
from simtrials.engine.files import read_trial
from simtrials.engine.scenario import Scenario
from simtrials.engine.workers import Progress
from simtrials.planning.draws import AT_DECLARED, Priors, at_draws
from simtrials.planning.hypercube import Mean, mean_over, mean_within
from simtrials.planning.points import Point, Share
from simtrials.trial.distributions import Distribution

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = ("go", "consider", "stop")
CLASSES = ("at_target", "between", "at_lower_reference")
"""True effects: at or above the target, between, at or below the lower reference value."""
NEAR = 2.0
"""Standard errors of a true effect within which it cannot be told from a reference value."""


@dataclass(frozen=True, slots=True)
class Decided:
    """How many of so many trials were followed by each decision; those that could not be analyzed count as consider."""

    go: int
    stop: int
    of: int
    failed: int

    @property
    def consider(self) -> int:
        """Neither go nor stop."""
        return self.of - self.go - self.stop

    def share(self, outcome: str) -> Share:
        """The share of one decision."""
        return Share(getattr(self, outcome), self.of, self.failed)


@dataclass(frozen=True, slots=True, repr=False)
class Decisions:
    """Decisions by one analysis at draws (D,) from the priors: the share of each, and the true effect there with its standard error."""

    scenario: Scenario
    rule: Decision
    analysis: str
    priors: Mapping[str, Distribution]
    draws: Mapping[str, FloatArray]
    shares: Mapping[str, FloatArray]
    truths: FloatArray
    truth_errors: FloatArray
    declared: Decided
    declared_truth: float
    n_replicates: int
    n_failed: int

    @property
    def n_draws(self) -> int:
        """Draws from the priors."""
        return self.truths.size

    @property
    def members(self) -> dict[str, BoolArray]:
        """(D,) which draws are in each class of true effects."""
        high, low = self.truths >= self.rule.target, self.truths <= self.rule.lower_reference
        return dict(zip(CLASSES, (high, ~high & ~low, low), strict=True))

    @property
    def n_unsure(self) -> int:
        """Draws whose true effect is too near a reference value to be told from it."""
        gaps = [np.abs(self.truths - value) for value in (self.rule.lower_reference, self.rule.target)]
        return int((np.minimum(*gaps) < NEAR * self.truth_errors).sum())

    def average(self, outcome: str) -> Mean:
        """The probability of a decision over the priors."""
        return mean_over(self.shares[outcome], self.draws, self.n_replicates)

    def given(self, outcome: str, of: str) -> Mean:
        """The probability of a decision given a class of true effects; without draws where the class is empty."""
        return mean_within(self.shares[outcome], self.members[of], self.n_replicates)

    def to_frame(self) -> "pd.DataFrame":
        """One row per draw: the values of the fields, the true effect with its standard error, and the share of each decision."""
        import pandas as pd

        return pd.DataFrame({**self.draws, "true_effect": self.truths, "true_effect_std_error": self.truth_errors, **self.shares})

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for a class without draws."""
        classes = {
            name: {"share_of_draws": float(mask.mean())} | {outcome: _plain(self.given(outcome, name)) for outcome in OUTCOMES}
            for name, mask in self.members.items()
        }
        declared = {outcome: {"value": (one := self.declared.share(outcome)).value, "mcse": one.mcse} for outcome in OUTCOMES}
        return {
            "scenario": self.scenario.name,
            "analysis": self.analysis,
            "decision": self.rule.model_dump(mode="json"),
            "priors": {path: prior.model_dump(mode="json") for path, prior in self.priors.items()},
            "n_draws": self.n_draws,
            "n_replicates": self.n_replicates,
            "n_failed": self.n_failed,
            "n_unsure": self.n_unsure,
            "overall": {outcome: _plain(self.average(outcome)) for outcome in OUTCOMES},
            "by_true_effect": classes,
            "declared": declared | {"true_effect": self.declared_truth, "n_replicates": self.declared.of},
        }

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.decisions import decisions_summary

        return decisions_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """Go and stop by the true effect; saved when a path is given."""
        from simtrials.report.planning.decisions import draw_decisions

        return draw_decisions(self, path)

    def __repr__(self) -> str:
        return self.summary()


def _plain(mean: Mean) -> dict[str, float | int] | None:
    return {"value": mean.value, "mcse": mean.mcse, "n_draws": mean.n_draws} if mean.n_draws else None


def decisions(
    scenario: Scenario | str | Path,
    priors: Priors | None = None,
    *,
    decision: Decision | None = None,
    n_draws: int = 200,
    n_replicates: int = 256,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> Decisions:
    """How often a trial ends in go, consider or stop, overall and by the true effect, averaged over priors on fields of the scenario.

    Parameters
    ----------
    scenario : of a trial, or the path of its file
    priors : as in `assurance`; default: those of the scenario
    decision : the rule; default: [decision] of the scenario
    n_draws : draws from the priors, at least 20
    n_replicates : simulated trials at each draw; those of `assurance` are used again
    n_jobs, out, progress : as in `run`

    Returns
    -------
    Decisions. The true effect at a draw is the value of the estimand there: exact where that is known, else from 65,536 patients per arm.

    Raises
    ------
    SimtrialsError
        When there is no rule, or the analysis has no standard error to hold against it.
    DeclarationError
        When the scenario cannot have a value that was drawn; nothing has been simulated then.
    """
    declared = read_trial(scenario) if isinstance(scenario, (str, Path)) else scenario
    rule = decision or declared.decision
    if rule is None:
        raise SimtrialsError(
            "declare the rule: [decision] with lower_reference and target on the scale of the estimate (--lower-reference X --target Y)"
        )
    name = deciding(declared, rule)
    at = at_draws(declared, priors, n_draws, n_replicates, n_jobs, out, progress)
    point = at.points.at({})
    has_limits(point, name)
    decided = [decided_at(one, rule, name, n_replicates) for one in at.told(at.made, "draws", n_replicates)]
    truths = at.truths(name)
    shares = {outcome: np.array([one.share(outcome).value for one in decided]) for outcome in OUTCOMES}
    return Decisions(
        scenario=declared,
        rule=rule,
        analysis=name,
        priors=at.priors,
        draws=at.draws,
        shares=shares,
        truths=np.array([truth.value for truth in truths]),
        truth_errors=np.array([truth.std_error for truth in truths]),
        declared=decided_at(point, rule, name, AT_DECLARED),
        declared_truth=point.truth(name).value,
        n_replicates=n_replicates,
        n_failed=sum(one.failed for one in decided),
    )


def deciding(scenario: Scenario, rule: Decision) -> str:
    """The analysis whose estimate decides.

    Raises
    ------
    SimtrialsError
        When the rule names none, and there are several.
    """
    name = rule.analysis or next(iter(scenario.primary), None)
    if name is None and len(scenario.analyses) == 1:
        name = next(iter(scenario.analyses))
    if name not in scenario.analyses:
        known = ", ".join(scenario.analyses)
        raise SimtrialsError(f"name the analysis whose estimate decides, decision.analysis; the scenario has {known}")
    return name


def has_limits(point: Point, name: str) -> None:
    """Stop before the work begins where the estimates of an analysis have no standard errors.

    Raises
    ------
    SimtrialsError
        When no trial of the first block has one.
    """
    found, _ = next(iter(point.estimates(name, BLOCK_SIZE)))
    usable = np.isfinite(found.std_error) & (found.std_error > 0)
    estimable = found.status == 0
    if estimable.any() and not (usable & estimable).any():
        kind = point.scenario.analyses[name].kind
        raise SimtrialsError(f"{name} ({kind}) has no standard error to hold against reference values; let another analysis decide")


def decided_at(point: Point, rule: Decision, name: str, n_replicates: int) -> Decided:
    """The decisions after the first trials at a point."""
    go = stop = of = failed = 0
    for found, _ in point.estimates(name, n_replicates):
        gone, stopped = rule.go_and_stop(found)
        go, stop, of, failed = go + int(gone.sum()), stop + int(stopped.sum()), of + gone.size, failed + int((found.status != 0).sum())
    return Decided(go, stop, of, failed)
