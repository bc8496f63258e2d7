"""The smallest effect that a trial, or a review, of the declared size shows with a power."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtrials.core.errors import DeclarationError, SimtrialsError
from simtrials.engine.files import Readable, read
from simtrials.engine.run import processors
from simtrials.engine.workers import Progress, Workers
from simtrials.planning.effect_size import SizeField, size_field
from simtrials.planning.points import Points, Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.planning.sample_size import check_search
from simtrials.planning.search import Crossing, Found, Search

HALVINGS = 6
"""How often the largest effect is halved where a scenario cannot have it."""
AT_ANSWER = 4096


@dataclass(frozen=True, slots=True, repr=False)
class DetectableEffect:
    """The answer of a search over the size of an effect, with the power of every analysis there. Looks are by units of the line of sizes."""

    scenario: Readable
    analysis: str
    target: float
    field: SizeField
    found: Found
    others: Mapping[str, Share]
    seconds: float

    @property
    def effect(self) -> float | None:
        """The size, as the field states it; None where no effect reaches the target."""
        return None if self.line is None else self.field.value(self.line.n * self.field.unit)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the size, the smaller effect first."""
        if self.line is None:
            return None
        return self.field.value(self.line.lower * self.field.unit), self.field.value(self.line.upper * self.field.unit)

    @property
    def line(self) -> Crossing | None:
        """The fitted line and where it crosses the target."""
        return self.found.line if isinstance(self.found.line, Crossing) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found, limits = self.found, self.interval or (None, None)
        looks = [{"value": self.field.at(n), "shown": share.shown, "of": share.of, "failed": share.failed} for n, share in found.looks]
        others = {name: {"power": share.value, "mcse": share.mcse, "n_replicates": share.of} for name, share in self.others.items()}
        return {
            "scenario": self.scenario.name,
            "field": self.field.path,
            "declared": self.field.declared,
            "analysis": self.analysis,
            "target": self.target,
            "effect": self.effect,
            "lower": limits[0],
            "upper": limits[1],
            "replicates": found.replicates,
            "reason": found.reason,
            "looks": looks,
            "at_effect": others,
        }

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.detectable_effect import effect_summary

        return effect_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """Power over the size of the effect; saved when a path is given."""
        from simtrials.report.planning.detectable_effect import draw_effect

        return draw_effect(self, path)

    def __repr__(self) -> str:
        return self.summary()


def detectable_effect(
    scenario: Readable | str | Path,
    analysis: str,
    *,
    power: float = 0.8,
    over: str | None = None,
    precision: float = 0.03,
    budget: int = 20_000,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> DetectableEffect:
    """The smallest size of an effect with which a share `power` of trials (or reviews) of the declared size show a benefit.

    Power on the probit scale is fitted as a line in the size of the effect, or in the logarithm of an odds ratio, near the target.

    Parameters
    ----------
    scenario : of a trial or of bodies of evidence, or the path of its file
    analysis : the analysis, or synthesis, that must show the benefit
    power : target
    over : path of the size of an effect; default: the one on the endpoint of the analysis, in the arm that it compares with control
    precision : half-width of the 95% interval of the size (logarithm of an odds ratio), relative to it, at which the search stops
    budget : most simulated trials
    n_jobs, out, progress : as in `run`

    Source: as `search`: Fieller (1954), Journal of the Royal Statistical Society B 16, 175-185.

    Raises
    ------
    SimtrialsError
        When there is no such analysis or effect, or a number makes no sense.
    """
    started = time.perf_counter()
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    (name,) = chosen_analyses(declared, [analysis])
    nominal = declared.analyses[name].nominal
    check_search(power, precision, budget, nominal)
    field = size_field(declared, name, over)
    points = Points.of(declared, out, Workers(n_jobs or processors(), "auto", None, progress))
    most = _most(points, field)

    def simulate(steps: int, of: int) -> Share:
        return points.at({field.path: field.at(steps)}, independent=steps).share([name], of)

    search = Search(simulate, power, 1, 1, most, nominal, precision, budget, straight=True, told=lambda n: f"{field.at(n):.3g}", noun="effect")
    start = round(field.place(field.declared) / field.unit)
    found = search.run(min(max(start, 1), most))
    if found.n is not None and found.line is None:
        reason = f"power is above {100 * power:g}% already where this effect is next to nothing; something else shows the benefit"
        found = Found(None, None, None, found.power, found.mcse, found.replicates, found.looks, reason)
    others: dict[str, Share] = {}
    if found.n is not None:
        of = max(AT_ANSWER, search.looks[found.n].of if found.n in search.looks else 0)
        point = points.at({field.path: field.at(found.n)}, independent=found.n)
        others = {other: point.share([other], of) for other in declared.analyses}
    return DetectableEffect(declared, name, power, field, found, others, time.perf_counter() - started)


def _most(points: Points, field: SizeField) -> int:
    """The largest number of units with which the scenario can be simulated.

    Raises
    ------
    DeclarationError
        When it cannot be simulated with any of the sizes that were tried.
    """
    most, failed = int(field.largest / field.unit), None
    for _ in range(HALVINGS):
        try:
            _ = points.at({field.path: field.at(most)}, independent=most).simulation
        except DeclarationError as error:
            most, failed = most // 2, error
        else:
            return most
    raise failed or SimtrialsError(f"{field.path} has no size that can be simulated")
