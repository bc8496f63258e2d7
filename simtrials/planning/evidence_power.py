"""What a review of real studies could have shown: its power at given true mean effects, from the studies' own precision.

With variances taken as known, studies are simulated as yi ~ N(mu, vi + tau2) and pooled as the review was. All rules of pooling shift with the
data: adding mu to every effect adds mu to estimate and limits. So one set of simulated reviews at a mean of 0 has the power at every mean: a
review shows a benefit at mu where its lower limit at 0 lies above -mu.

Source: Hedges and Pigott (2001), Psychological Methods 6:203-217 (power of tests in meta-analysis, in closed form for the z test);
Jackson and Turner (2017), Research Synthesis Methods 8:290-302 (with tau2 estimated); here by simulation, which holds for every rule.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import SimtrialsError
from simtrials.core.rng import Purpose, Streams, normals
from simtrials.engine.real_studies.outcome import Review
from simtrials.planning.points import Share
from simtrials.planning.probit import Z95
from simtrials.stats.meta_analysis import CiRule, Tau2Choice, meta_analysis

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 5_000
"""Simulated reviews that are pooled at once."""


@dataclass(frozen=True, slots=True)
class Detectable:
    """A true mean effect that is shown with a power, and the 95% Monte Carlo interval of it; infinite where no effect has the power."""

    effect: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class AtTau:
    """Reviews simulated with one variance of true effects; `end` says which: estimate, lower or upper limit, or common for a common effect.

    needed : (R,) in rising order, the true mean effect, benefit positive, above which each simulated review shows a benefit; infinite where it
    could not be pooled
    """

    end: str
    tau2: float
    needed: FloatArray
    failed: int

    @property
    def tau(self) -> float:
        """Standard deviation of the true effects."""
        return math.sqrt(self.tau2)

    def power(self, effect: float) -> Share:
        """Share of reviews that show a benefit where this is the true mean effect, benefit positive."""
        return Share(int(np.searchsorted(self.needed, effect, side="left")), self.needed.size, self.failed)

    def detectable(self, power: float) -> Detectable:
        """The true mean effect with this power: an order statistic, and those that bound it in 95% of simulations (binomial ranks)."""
        n = self.needed.size
        margin = Z95 * math.sqrt(n * power * (1 - power))
        ranks = [min(max(math.ceil(n * power + shift) - 1, 0), n - 1) for shift in (0.0, -margin, margin)]
        return Detectable(*(float(self.needed[rank]) for rank in ranks))


@dataclass(frozen=True, slots=True, repr=False)
class EvidencePower:
    """Power of a body of evidence: a row for each variance of true effects."""

    review: Review
    effects: tuple[float, ...]
    """true mean effects as the review shows them, ratios as ratios"""
    target: float
    rows: tuple[AtTau, ...]
    n_replicates: int

    def oriented(self, effect: float) -> float:
        """An effect as it is shown on the scale of the analysis, benefit positive."""
        value = math.log(effect) if self.review.question.measure.ratio else effect
        return value if self.review.question.benefit == "higher" else -value

    def shown(self, oriented: float) -> float:
        """The other way round."""
        return self.review.shown(oriented if self.review.question.benefit == "higher" else -oriented)

    def to_frame(self) -> "pd.DataFrame":
        """One row per variance of true effects and true mean effect: power, mcse, n_replicates, n_failed."""
        import pandas as pd

        found = []
        for row in self.rows:
            for effect in self.effects:
                share = row.power(self.oriented(effect))
                at = {"tau2_from": row.end, "tau2": row.tau2, "effect": effect}
                found.append(at | {"power": share.value, "mcse": share.mcse, "n_replicates": share.of, "n_failed": share.failed})
        return pd.DataFrame(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for an effect that does not exist."""
        found = []
        for row in self.rows:
            detectable = row.detectable(self.target)
            ends = detectable.lower, detectable.upper
            limits = [self.shown(end) if math.isfinite(end) else None for end in ends]
            known = self.shown(detectable.effect) if math.isfinite(detectable.effect) else None
            found.append({"tau2_from": row.end, "tau2": row.tau2, "detectable": known, "detectable_limits": sorted(limits, key=lambda one: one or 0)})
        return {"data": self.review.source, "target": self.target, "powers": self.to_frame().to_dict("records"), "detectable": found}

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.evidence_power import evidence_power_summary

        return evidence_power_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """Power over the true mean effect; saved when a path is given."""
        from simtrials.report.planning.evidence_power import draw_evidence_power

        return draw_evidence_power(self, path)

    def __repr__(self) -> str:
        return self.summary()


def evidence_power(review: Review, effects: Sequence[float], *, power: float = 0.8, n_replicates: int = 10_000, seed: int = 1) -> EvidencePower:
    """Power of the studies of a review to show a benefit, by the review's own rule of pooling, and the effect that they would show with a power.

    Variances are those of the studies, taken as known. Variances of true effects are the review's estimate and the ends of its 95% interval; all
    of them are simulated with the same luck.

    Parameters
    ----------
    review : as `simtrials.review` returns it
    effects : true mean effects as the review shows them (ratios as ratios), on the side of benefit
    power : for the effect that would be shown with it
    n_replicates : simulated reviews, at least 100
    seed : of the simulation

    Source: as the module.

    Raises
    ------
    SimtrialsError
        When an effect is no benefit, there is no mean to pool, or a number makes no sense.
    """
    _check(review, effects, power, n_replicates)
    vi = review.vi
    luck = normals(Streams(seed, Purpose.PREPARE, 0).below("evidence_power")["effects"], (n_replicates, vi.size))
    rows = tuple(_at(review, end, tau2, luck) for end, tau2 in _taus(review))
    return EvidencePower(review, tuple(float(effect) for effect in effects), power, rows, n_replicates)


def _taus(review: Review) -> list[tuple[str, float]]:
    """Variances of true effects that are looked at, in rising order, each once."""
    if review.method == "common" or not math.isfinite(float(review.pooled.tau2)):
        return [("common", 0.0)]
    ends = {"lower": review.pooled.tau2_lower, "estimate": review.pooled.tau2, "upper": review.pooled.tau2_upper}
    known = {end: float(value) for end, value in ends.items() if math.isfinite(float(value))}
    if known.get("lower") == known["estimate"]:
        del known["lower"]
    return sorted(((end, max(value, 0.0)) for end, value in known.items()), key=lambda one: one[1])


def _at(review: Review, end: str, tau2: float, luck: FloatArray) -> AtTau:
    spread = np.sqrt(review.vi + tau2)
    method = cast(Tau2Choice, "common" if review.vi.size == 1 else review.method)
    rule = cast(CiRule, "wald" if review.vi.size == 1 else review.ci)
    needed = [
        -meta_analysis(luck[start : start + AT_ONCE] * spread, review.vi, tau2=method, ci=rule, tau2_ci="none").lower
        for start in range(0, len(luck), AT_ONCE)
    ]
    every = np.concatenate([np.atleast_1d(part) for part in needed])
    failed = np.isnan(every)
    return AtTau(end, tau2, np.sort(np.where(failed, np.inf, every)), int(failed.sum()))


def _check(review: Review, effects: Sequence[float], power: float, n_replicates: int) -> None:
    if not effects:
        raise SimtrialsError("name at least one true mean effect, such as 0.35")
    if not math.isfinite(float(review.pooled.estimate)):
        raise SimtrialsError(f"{review.source}: there is no mean that could be shown: {review.status}")
    ratio, higher = review.question.measure.ratio, review.question.benefit == "higher"
    null = 1.0 if ratio else 0.0
    for effect in effects:
        if not math.isfinite(effect) or (ratio and effect <= 0) or (effect <= null if higher else effect >= null):
            side = f"{'above' if higher else 'below'} {null:g}{'' if higher or not ratio else ', and above 0'}"
            raise SimtrialsError(f"a true mean effect in {review.question.measure.label} must be a benefit, {side}, got {effect:g}")
    if not 0 < power < 1:
        raise SimtrialsError(f"power must lie between 0 and 1, got {power:g}")
    if n_replicates < 100:
        raise SimtrialsError(f"at least 100 simulated reviews are needed, got {n_replicates:,}")
