"""Is a pilot worth it? A smaller trial first, and the trial only if the pilot's result says so, against the trial at once.

Assumed: the pilot is a trial of the same design with fewer patients of its own, its data are not pooled with those of the trial, nothing of the
trial is changed by its result, the trial begins when the pilot's last patient has been seen, and a pilot has the prices and sites of the trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.engine.decision import Decision, Pilot
from simtrials.engine.files import read_trial
from simtrials.engine.logistics import logistics
from simtrials.engine.scenario import Scenario
from simtrials.engine.workers import Progress
from simtrials.planning.decisions import Decided, decided_at, deciding, has_limits
from simtrials.planning.draws import APART_FROM_DRAWS, AT_DECLARED, Priors, at_draws
from simtrials.planning.hypercube import Mean, mean_over, mean_within, ratio_difference, ratio_over
from simtrials.planning.points import Point, Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.trial.distributions import Distribution

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of the trial at once, of the pilot first, and the second less the first at the same draws."""

    at_once: Mean
    pilot_first: Mean
    difference: Mean


@dataclass(frozen=True, slots=True)
class Spent:
    """(D,) mean cost and months of the trial and of the pilot at each draw; None where the scenario does not say."""

    trial: FloatArray
    pilot: FloatArray


@dataclass(frozen=True, slots=True, repr=False)
class PilotValue:
    """A trial with and without a pilot, at draws (D,) from the priors.

    proceeds : share of pilots after which the trial is run; successes : share of trials that show a benefit, by analysis;
    truths : the true effect. Pilot and trial have luck of their own, so that given the draw a share of both is the product of shares.
    """

    scenario: Scenario
    pilot: Pilot
    rule: Decision
    deciding: str
    priors: Mapping[str, Distribution]
    draws: Mapping[str, FloatArray]
    proceeds: FloatArray
    successes: Mapping[str, FloatArray]
    truths: FloatArray
    cost: Spent | None
    months: Spent | None
    declared_pilot: Decided
    declared_trial: Mapping[str, Share]
    n_replicates: int
    n_failed_pilots: int
    """pilots that could not be analyzed, of all draws"""
    n_failed: int
    """analyses of trials that could not be made, of all draws"""

    @property
    def n_draws(self) -> int:
        """Draws from the priors."""
        return self.truths.size

    @property
    def nothing_or_harm(self) -> BoolArray:
        """(D,) draws at which the true effect is 0 or harm."""
        return self.truths <= 0

    @property
    def run(self) -> Mean:
        """The probability that the trial is run after the pilot."""
        return self._mean(self.proceeds)

    def success(self, name: str) -> Compared:
        """The probability that the trial is run and shows a benefit by an analysis."""
        return self._compared(self.successes[name], self.proceeds * self.successes[name])

    @property
    def patients(self) -> Compared:
        """Patients randomized, pilot included."""
        n = float(self.scenario.design.n_patients)
        return self._compared(np.full(self.n_draws, n), self.pilot.n_patients + self.proceeds * n)

    def spent(self, of: Spent) -> Compared:
        """Cost or months, pilot included."""
        return self._compared(of.trial, of.pilot + self.proceeds * of.trial)

    def patients_per_success(self, name: str) -> Compared:
        """Patients randomized over benefits shown, in the long run."""
        n = float(self.scenario.design.n_patients)
        return self._per_success(np.full(self.n_draws, n), self.pilot.n_patients + self.proceeds * n, name)

    def cost_per_success(self, name: str) -> Compared | None:
        """Cost over benefits shown, in the long run; None without prices."""
        return None if self.cost is None else self._per_success(self.cost.trial, self.cost.pilot + self.proceeds * self.cost.trial, name)

    @property
    def avoided(self) -> Mean:
        """Of trials of a drug that does nothing or harms, the share that is not run."""
        return mean_within(1 - self.proceeds, self.nothing_or_harm, self.n_replicates)

    @property
    def not_run(self) -> Mean:
        """Of trials of a drug that works, the share that is not run."""
        return mean_within(1 - self.proceeds, ~self.nothing_or_harm, self.n_replicates)

    def lost(self, name: str) -> Mean:
        """Of trials of a drug that works, the share that would have shown a benefit and is not run."""
        return mean_within((1 - self.proceeds) * self.successes[name], ~self.nothing_or_harm, self.n_replicates)

    def to_frame(self) -> "pd.DataFrame":
        """One row per draw: fields, true effect, share of pilots after which the trial is run, share of trials with a benefit by analysis."""
        import pandas as pd

        shown = {f"benefit: {name}": share for name, share in self.successes.items()}
        return pd.DataFrame({**self.draws, "true_effect": self.truths, "trial_is_run": self.proceeds, **shown})

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for what there is not."""
        by_analysis = {
            name: {
                "benefit_shown": _three(self.success(name)),
                "patients_per_benefit_shown": _three(self.patients_per_success(name)),
                "cost_per_benefit_shown": _three(self.cost_per_success(name)),
                "lost_of_a_working_drug": _plain(self.lost(name)),
                "declared": {"value": self.declared_trial[name].value, "mcse": self.declared_trial[name].mcse},
            }
            for name in self.successes
        }
        return {
            "scenario": self.scenario.name,
            "pilot": self.pilot.model_dump(mode="json"),
            "decision": self.rule.model_dump(mode="json"),
            "decided_by": self.deciding,
            "priors": {path: prior.model_dump(mode="json") for path, prior in self.priors.items()},
            "n_draws": self.n_draws,
            "n_replicates": self.n_replicates,
            "n_failed_pilots": self.n_failed_pilots,
            "n_failed": self.n_failed,
            "trial_is_run": _plain(self.run),
            "trial_is_run_at_declared": {"value": (share := self.declared_share).value, "mcse": share.mcse},
            "patients": _three(self.patients),
            "cost": None if self.cost is None else _three(self.spent(self.cost)),
            "months": None if self.months is None else _three(self.spent(self.months)),
            "nothing_or_harm": float(self.nothing_or_harm.mean()),
            "avoided_of_nothing_or_harm": _plain(self.avoided),
            "not_run_of_a_working_drug": _plain(self.not_run),
            "analyses": by_analysis,
        }

    @property
    def declared_share(self) -> Share:
        """Pilots after which the trial is run, at the declared values."""
        one = self.declared_pilot
        return Share(proceeding(self.pilot, one), one.of, one.failed)

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.pilot import pilot_summary

        return pilot_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """What becomes of 100 programs with and without the pilot; saved when a path is given."""
        from simtrials.report.planning.pilot import draw_pilot

        return draw_pilot(self, path)

    def __repr__(self) -> str:
        return self.summary()

    def _mean(self, values: FloatArray) -> Mean:
        return mean_over(values, self.draws, self.n_replicates)

    def _compared(self, at_once: FloatArray, first: FloatArray) -> Compared:
        return Compared(self._mean(at_once), self._mean(first), self._mean(first - at_once))

    def _per_success(self, at_once: FloatArray, first: FloatArray, name: str) -> Compared:
        pairs = (at_once, self.successes[name]), (first, self.proceeds * self.successes[name])
        each = [ratio_over(*pair, self.draws) for pair in pairs]
        return Compared(each[0], each[1], ratio_difference(pairs[1], pairs[0], self.draws))


def _plain(mean: Mean) -> dict[str, float] | None:
    return {"value": mean.value, "mcse": mean.mcse} if np.isfinite(mean.value) else None


def _three(compared: Compared | None) -> dict[str, Any] | None:
    if compared is None:
        return None
    return {name: _plain(getattr(compared, name)) for name in ("at_once", "pilot_first", "difference")}


def pilot_value(
    scenario: Scenario | str | Path,
    priors: Priors | None = None,
    *,
    pilot: Pilot | None = None,
    analyses: Sequence[str] = (),
    n_draws: int = 200,
    n_replicates: int = 256,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> PilotValue:
    """What a pilot before a trial saves and what it costs, averaged over priors on fields of the scenario.

    Parameters
    ----------
    scenario : of a trial, or the path of its file
    priors : as in `assurance`; default: those of the scenario
    pilot : its size and its rule; default: [pilot] of the scenario
    analyses : of the trial, whose benefit is success; default: the primary ones, or all
    n_draws, n_replicates : as in `assurance`, whose trials are used again; as many pilots are simulated at each draw
    n_jobs, out, progress : as in `run`

    Raises
    ------
    SimtrialsError
        When there is no pilot or no rule, or the deciding analysis has no standard error.
    DeclarationError
        When the scenario cannot have a value that was drawn, or so few patients; nothing has been simulated then.

    Source: O'Hagan, Stevens and Campbell (2005), Pharmaceutical Statistics 4, 187-201.
    """
    declared = read_trial(scenario) if isinstance(scenario, (str, Path)) else scenario
    names = chosen_analyses(declared, analyses)
    asked = pilot or declared.pilot
    if asked is None:
        raise SimtrialsError("say how many patients the pilot has: [pilot] with n_patients, or --patients N")
    rule = asked.decision or declared.decision
    if rule is None:
        raise SimtrialsError("declare the rule of the pilot: [decision] with lower_reference and target on the scale of the estimate")
    if asked.n_patients >= declared.design.n_patients:
        raise SimtrialsError(f"the pilot must be smaller than the trial of {declared.design.n_patients} patients, got {asked.n_patients}")
    name = deciding(declared, rule)
    at = at_draws(declared, priors, n_draws, n_replicates, n_jobs, out, progress)
    fewer = {"design.n_patients": asked.n_patients}
    point, pilot_point = at.points.at({}), at.points.at(fewer, independent=2 * APART_FROM_DRAWS)
    pilots = at.again(fewer)
    has_limits(pilot_point, name)
    decided = [decided_at(one, rule, name, n_replicates) for one in at.told(pilots, "pilots", n_replicates)]
    each = [{one: made.share([one], n_replicates) for one in names} for made in at.told(at.made, "draws", n_replicates)]
    shares = {one: [found[one] for found in each] for one in names}
    cost, months = (_spent(declared, field, at.made, pilots, n_replicates) for field in ("cost", "months"))
    return PilotValue(
        scenario=declared,
        pilot=asked,
        rule=rule,
        deciding=name,
        priors=at.priors,
        draws=at.draws,
        proceeds=np.array([proceeding(asked, one) / one.of for one in decided]),
        successes={one: np.array([share.value for share in made]) for one, made in shares.items()},
        truths=np.array([truth.value for truth in at.truths(name)]),
        cost=cost,
        months=months,
        declared_pilot=decided_at(pilot_point, rule, name, AT_DECLARED),
        declared_trial={one: point.share([one], AT_DECLARED) for one in names},
        n_replicates=n_replicates,
        n_failed_pilots=sum(one.failed for one in decided),
        n_failed=sum(share.failed for made in shares.values() for share in made),
    )


def proceeding(pilot: Pilot, decided: Decided) -> int:
    """Pilots after which the trial is run."""
    return decided.go if pilot.proceed == "go" else decided.of - decided.stop


def _spent(scenario: Scenario, field: str, trials: Sequence[Point], pilots: Sequence[Point], n_replicates: int) -> Spent | None:
    if (scenario.costs if field == "cost" else scenario.recruitment) is None:
        return None
    return Spent(*(np.array([_mean_spent(point, field, n_replicates) for point in points]) for points in (trials, pilots)))


def _mean_spent(point: Point, field: str, n_replicates: int) -> float:
    """Mean cost or months of the first trials at a point."""
    assert isinstance(point.scenario, Scenario)
    screened = np.concatenate([columns["screened"] for columns in point.store.shards(n_replicates)])
    return float(getattr(logistics(point.scenario, screened, point.first), field).mean())
