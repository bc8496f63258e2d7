"""Power over one field of a scenario, or two: every point with the same luck, stored, with its Monte Carlo error and a closed form beside it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtrials.core.errors import DeclarationError, Problem, SimtrialsError, did_you_mean
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.files import Readable, read
from simtrials.engine.run import processors
from simtrials.engine.scenario import Scenario
from simtrials.engine.workers import LARGEST_RUN, Progress, Workers
from simtrials.planning.points import Point, Points, Share

if TYPE_CHECKING:
    import pandas as pd

MOST_FIELDS, MOST_POINTS = 2, 500
FIRST_REPLICATES = 1024


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point: the values of the fields, the share that shows a benefit by analysis, and the closed form where there is one."""

    values: tuple[Any, ...]
    shares: Mapping[str, Share]
    closed_form: Mapping[str, float]


@dataclass(frozen=True, slots=True, repr=False)
class PowerCurve:
    """Power of some analyses at points of a scenario."""

    scenario: Readable
    over: Mapping[str, tuple[Any, ...]]
    analyses: tuple[str, ...]
    points: tuple[CurvePoint, ...]

    def to_frame(self) -> "pd.DataFrame":
        """One row per point and analysis: the values of the fields, power, mcse, n_replicates, n_failed, closed_form."""
        import pandas as pd

        rows = []
        for point in self.points:
            at = dict(zip(self.over, point.values, strict=True))
            for name in self.analyses:
                share = point.shares[name]
                row = {"scenario": self.scenario.name, **at, "analysis": name, "power": share.value, "mcse": share.mcse}
                rows.append(row | {"n_replicates": share.of, "n_failed": share.failed, "closed_form": point.closed_form.get(name)})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        frame = self.to_frame()
        return {
            "scenario": self.scenario.name,
            "over": {path: list(values) for path, values in self.over.items()},
            "points": frame.to_dict("records"),
        }

    def summary(self) -> str:
        """The table for the terminal."""
        from simtrials.report.planning.text import curve_summary

        return curve_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The figure; saved when a path is given."""
        from simtrials.report.planning.figures import draw_curve

        return draw_curve(self, path)

    def __repr__(self) -> str:
        return self.summary()


def power_curve(
    scenario: Readable | str | Path,
    over: Mapping[str, Sequence[Any]],
    *,
    analyses: Sequence[str] = (),
    n_replicates: int | None = None,
    mcse: float | None = None,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> PowerCurve:
    """Power at values of one field, or at all pairs of values of two.

    Parameters
    ----------
    scenario : of a trial or of bodies of evidence, or the path of its file
    over : values by the path of a field, such as {"design.n_patients": [60, 80, 120]}
    analyses : analyses (or syntheses) by name; default: the primary ones of the scenario, or all
    n_replicates : simulated trials at each point; default: as the scenario says. With `mcse`, the most (default 1,000,000)
    mcse : go on at each point until the power of every analysis has a Monte Carlo standard error of at most this
    n_jobs, out, progress : as in `run`

    Raises
    ------
    DeclarationError
        When the scenario cannot have one of the values; nothing has been simulated then.
    """
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    chosen = chosen_analyses(declared, analyses)
    fields = {path: tuple(values) for path, values in over.items()}
    _check(fields, n_replicates, mcse)
    points = Points.of(declared, out, Workers(n_jobs or processors(), "auto", None, progress))
    made, problems = [], list[Problem]()
    for values in itertools.product(*fields.values()):
        try:
            made.append((values, points.at(dict(zip(fields, values, strict=True)))))
        except DeclarationError as error:
            problems += error.problems
    if problems:
        raise DeclarationError(problems, declared.name)
    for _, point in made:
        if not point.store.n_blocks:
            _ = point.simulation
    found = [CurvePoint(values, _shares(point, chosen, n_replicates, mcse, declared.n_replicates), _exact(point, chosen)) for values, point in made]
    return PowerCurve(declared, fields, chosen, tuple(found))


def chosen_analyses(scenario: Readable, names: Sequence[str]) -> tuple[str, ...]:
    """The analyses that are asked about.

    Raises
    ------
    SimtrialsError
        When the scenario has none of that name.
    """
    for name in names:
        if name not in scenario.analyses:
            raise SimtrialsError(f"no analysis called {name!r}{did_you_mean(name, scenario.analyses)}")
    return tuple(names) or scenario.primary or tuple(scenario.analyses)


def _check(fields: Mapping[str, tuple[Any, ...]], n_replicates: int | None, mcse: float | None) -> None:
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise SimtrialsError(f"name one field to go over, or two, got {len(fields)}; for instance design.n_patients=100,150,200")
    total = 1
    for path, values in fields.items():
        if not values:
            raise SimtrialsError(f"{path} has no values to go over; write for instance {path}=100,150,200")
        if len(set(map(repr, values))) < len(values):
            raise SimtrialsError(f"{path} has the same value twice")
        total *= len(values)
    if total > MOST_POINTS:
        raise SimtrialsError(f"at most {MOST_POINTS} points at once, got {total}")
    if n_replicates is not None and n_replicates < 2:
        raise SimtrialsError(f"the number of replicates must be at least 2, got {n_replicates}")
    if mcse is not None and not 0 < mcse < 0.5:
        raise SimtrialsError(f"mcse is a Monte Carlo standard error of power, between 0 and 0.5, got {mcse:g}")


def _shares(point: Point, names: Sequence[str], n_replicates: int | None, mcse: float | None, declared: int) -> dict[str, Share]:
    if mcse is None:
        return {name: point.share([name], n_replicates or declared) for name in names}
    wanted, largest = FIRST_REPLICATES, n_replicates or LARGEST_RUN
    while True:
        shares = {name: point.share([name], min(wanted, largest)) for name in names}
        if wanted >= largest or max(share.mcse for share in shares.values()) <= mcse:
            return shares
        wanted *= 2


def _exact(point: Point, names: Sequence[str]) -> dict[str, float]:
    if not isinstance(point.scenario, Scenario):
        return {}
    found = {name: closed_form_power(point.scenario, name) for name in names}
    return {name: float(one["power"]) for name, one in found.items() if one is not None}
