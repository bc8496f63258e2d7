"""Which assumption matters most: power at low and high values of each alone, and its variance over all of them at once."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.files import Readable, read
from simtrials.engine.run import processors
from simtrials.engine.workers import Progress, Workers
from simtrials.planning.assumptions import Assumption, open_assumptions
from simtrials.planning.points import Point, Points, Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.stats.sobol import SETS, Indices, share_indices, sobol_design
from simtrials.trial.distributions import Distribution

if TYPE_CHECKING:
    import pandas as pd

LEAST_GLOBAL, MOST_GLOBAL = 64, 1024
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of power between values of a field in the same trials, with its own Monte Carlo standard error."""

    value: float
    mcse: float


@dataclass(frozen=True, slots=True)
class AtValue:
    """Power where one field has this value and all others are as declared, and how far it is from power as declared."""

    value: Any
    share: Share
    difference: Difference


@dataclass(frozen=True, slots=True)
class Swing:
    """How far power moves with one field: from its lowest to its highest among the values looked at and the declared one."""

    assumption: Assumption
    at: tuple[AtValue, ...]
    swing: Difference
    clear: bool
    """whether any two of the powers differ by more than their Monte Carlo error, at 5% over all pairs"""


@dataclass(frozen=True, slots=True)
class Tornado:
    """Of one analysis: power as declared, and the fields by how far they move it, the farthest first.

    `n_leading` of them cannot be told from the first by Monte Carlo error; 1 where the first clearly moves power most, 0 where none moves it.
    """

    base: Share
    swings: tuple[Swing, ...]
    n_leading: int


@dataclass(frozen=True, slots=True)
class Apportioned:
    """Of one analysis: the Sobol' indices of power, in the order of `paths`, and powers at random points (2 n,)."""

    indices: Indices
    powers: FloatArray


@dataclass(frozen=True, slots=True)
class GlobalSensitivity:
    """Variance of power over all numeric assumptions at once, taken as independent of each other."""

    paths: tuple[str, ...]
    n_points: int
    n_replicates: int
    analyses: Mapping[str, Apportioned]

    @property
    def n_simulated(self) -> int:
        """Points that were simulated."""
        return self.n_points * (len(self.paths) + 2)


@dataclass(frozen=True, slots=True, repr=False)
class Sensitivity:
    """Sensitivity of power of some analyses to what a scenario leaves open."""

    scenario: Readable
    assumptions: tuple[Assumption, ...]
    n_replicates: int
    analyses: Mapping[str, Tornado]
    overall: GlobalSensitivity | None = None

    def to_frame(self) -> "pd.DataFrame":
        """One row per analysis, field and value: power, mcse, difference from power as declared and its mcse, and the swing of the field."""
        import pandas as pd

        rows = []
        for name, tornado in self.analyses.items():
            for swing in tornado.swings:
                for one in swing.at:
                    row = {"scenario": self.scenario.name, "analysis": name, "field": swing.assumption.path, "value": one.value}
                    row |= {"power": one.share.value, "mcse": one.share.mcse, "n_replicates": one.share.of, "n_failed": one.share.failed}
                    row |= {"difference": one.difference.value, "difference_mcse": one.difference.mcse}
                    rows.append(row | {"swing": swing.swing.value, "swing_mcse": swing.swing.mcse})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = {}
        for name, tornado in self.analyses.items():
            swings = [
                {
                    "field": swing.assumption.path,
                    "declared": swing.assumption.declared,
                    "swing": swing.swing.value,
                    "swing_mcse": swing.swing.mcse,
                    "clear": swing.clear,
                    "at": [
                        {"value": one.value, "power": one.share.value, "mcse": one.share.mcse, "n_failed": one.share.failed}
                        | {"difference": one.difference.value, "difference_mcse": one.difference.mcse}
                        for one in swing.at
                    ],
                }
                for swing in tornado.swings
            ]
            found[name] = {"power": tornado.base.value, "mcse": tornado.base.mcse, "n_leading": tornado.n_leading, "fields": swings}
            if self.overall is not None:
                found[name]["global"] = _plain_indices(self.overall, self.overall.analyses[name])
        about = {"scenario": self.scenario.name, "n_replicates": self.n_replicates}
        if self.overall is not None:
            about |= {"n_points": self.overall.n_points, "n_replicates_global": self.overall.n_replicates}
        return about | {"analyses": found}

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.sensitivity import sensitivity_summary

        return sensitivity_summary(self)

    def plot(self, path: str | Path | None = None, analysis: str | None = None) -> Any:
        """The tornado of one analysis (default: the first); saved when a path is given."""
        from simtrials.report.planning.tornado import draw_tornado

        return draw_tornado(self, path, analysis)

    def __repr__(self) -> str:
        return self.summary()


def sensitivity(
    scenario: Readable | str | Path,
    vary: Mapping[str, Sequence[Any]] | None = None,
    *,
    priors: Mapping[str, Distribution] | None = None,
    analyses: Sequence[str] = (),
    n_replicates: int | None = None,
    n_global: int = 0,
    n_global_replicates: int = 256,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> Sensitivity:
    """How far power moves with each assumption, the others as declared; and which share of its variance each accounts for.

    One at a time: every point has the luck of the scenario, so that powers are compared in the same trials and each difference has its own
    Monte Carlo error. All at once (`n_global`): Sobol' indices over the distributions of the fields, taken as independent.

    Parameters
    ----------
    scenario : of a trial or of bodies of evidence, or the path of its file
    vary : by the path of a field its lowest and highest value, such as {"design.n_patients": (150, 250)}, or up to 6 alternatives of any type
    priors : distributions by the path of a field, looked at at their 5% and 95% quantiles; default: those of the scenario
    analyses : by name; default: the primary ones, or all
    n_replicates : simulated trials at each value; default: as the scenario says
    n_global : points of the global analysis, a power of 2 from 64 to 1,024 (128 will often do); 0 for none. With d fields (d + 2) times as many
        are simulated; a field that is varied between two values is uniform there, and alternatives are left out
    n_global_replicates : simulated trials at each of them
    n_jobs, out, progress : as in `run`

    Source: Saltelli et al. (2008), Global Sensitivity Analysis: The Primer, chapters 1 and 4; the error of a paired difference of shares is that of
    Agresti and Min (2005), Statistics in Medicine 24, 729-740.

    Raises
    ------
    DeclarationError
        When the scenario cannot have one of the values; nothing has been simulated then.
    """
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    names = chosen_analyses(declared, analyses)
    _check(n_replicates, n_global, n_global_replicates)
    found = open_assumptions(declared, dict(declared.priors) if priors is None else dict(priors), vary or {})
    if n_global and sum(one.prior is not None for one in found) < 2:
        raise SimtrialsError("the global analysis needs two or more fields with a prior, or with a lowest and a highest value")
    jobs, of = n_jobs or processors(), n_replicates or declared.n_replicates
    points = Points.of(declared, out, Workers(jobs, "auto", None, progress))
    base, made = points.at({}), _one_at_a_time(points, found)
    everywhere = _everywhere(points, found, n_global) if n_global else None
    for point in (base, *itertools.chain.from_iterable(made)):
        if not point.store.n_blocks:
            _ = point.simulation
    tornados = _tornados(names, found, base, made, of)
    overall = None
    if everywhere is not None:
        overall = _overall(everywhere, names, found, n_global, n_global_replicates, jobs, progress)
    return Sensitivity(declared, found, of, tornados, overall)


def _check(n_replicates: int | None, n_global: int, n_global_replicates: int) -> None:
    for what, n in (("at each value", n_replicates), ("at each point of the global analysis", n_global_replicates)):
        if n is not None and n < 2:
            raise SimtrialsError(f"the number of replicates {what} must be at least 2, got {n}")
    if n_global and (not LEAST_GLOBAL <= n_global <= MOST_GLOBAL or n_global & (n_global - 1)):
        nearest = 2 ** round(np.log2(min(max(n_global, LEAST_GLOBAL), MOST_GLOBAL)))
        raise SimtrialsError(
            f"the points of the global analysis are a power of 2 from {LEAST_GLOBAL} to {MOST_GLOBAL:,}, got {n_global}; write {nearest}"
        )


def _plain_indices(overall: GlobalSensitivity, one: Apportioned) -> dict[str, Any]:
    """Indices of one analysis as plain values; None where variance could not be apportioned."""
    indices, known = one.indices, not np.isnan(one.indices.total_order).any()
    names = ("first_order", "first_order_se", "total_order", "total_order_se")
    fields = {path: {name: float(getattr(indices, name)[i]) if known else None for name in names} for i, path in enumerate(overall.paths)}
    low, high = (float(value) for value in np.quantile(one.powers, (0.05, 0.95)))
    return {"sd": indices.sd, "noise": indices.noise, "power_q05": low, "power_q95": high, "fields": fields}


# ---- one at a time


def _one_at_a_time(points: Points, assumptions: Sequence[Assumption]) -> list[list[Point]]:
    """The point of every value, for each field; every value that the scenario cannot have is told at once."""
    made, problems = [], list[Problem]()
    for assumption in assumptions:
        here = []
        for value in assumption.values:
            try:
                here.append(points.at({assumption.path: value}))
            except DeclarationError as error:
                problems += error.problems
        made.append(here)
    if problems:
        raise DeclarationError(problems, points.scenario.name)
    return made


def _tornados(
    names: Sequence[str], assumptions: Sequence[Assumption], base: Point, made: Sequence[Sequence[Point]], n_replicates: int
) -> dict[str, Tornado]:
    as_declared = _shown(base, names, n_replicates)
    shown = [[_shown(point, names, n_replicates) for point in points] for points in made]
    found = {}
    for name in names:
        swings = [_swing(name, one, as_declared, values) for one, values in zip(assumptions, shown, strict=True)]
        order = sorted(range(len(swings)), key=lambda i: -swings[i][0].swing.value)
        ordered = [swings[i] for i in order]
        found[name] = Tornado(as_declared[name][0], tuple(swing for swing, _ in ordered), _n_leading(ordered))
    return found


Shown = dict[str, tuple[Share, BoolArray]]


def _shown(point: Point, names: Sequence[str], n_replicates: int) -> Shown:
    """Of each analysis the share of trials that show a benefit, and which they are (R,)."""
    found: Shown = {}
    for name in names:
        parts, failed = [], 0
        for benefits, lost in point.benefits([name], n_replicates):
            parts.append(benefits[name])
            failed += lost
        shown = np.concatenate(parts)
        found[name] = Share(int(shown.sum()), shown.size, failed), shown
    return found


def _swing(name: str, assumption: Assumption, base: Shown, values: Sequence[Shown]) -> tuple[Swing, FloatArray]:
    """What one field does to power, and (R,) the difference between its best and its worst value in each trial."""
    reference = base[name][1]
    at = tuple(
        AtValue(value, shown[name][0], paired_difference(shown[name][1], reference)) for value, shown in zip(assumption.values, values, strict=True)
    )
    every = [reference, *(shown[name][1] for shown in values)]
    shares = [float(shown.mean()) for shown in every]
    best, worst = every[int(np.argmax(shares))], every[-1 - int(np.argmin(shares[::-1]))]  # never the same one
    pairs = [paired_difference(one, other) for one, other in itertools.combinations(every, 2)]
    z = float(ndtri(1 - 0.025 / len(pairs)))
    clear = any(abs(pair.value) > z * pair.mcse for pair in pairs)
    return Swing(assumption, at, paired_difference(best, worst), clear), best.astype(np.float64) - worst


def _n_leading(swings: Sequence[tuple[Swing, FloatArray]]) -> int:
    """How many fields, from the first, cannot be told from it: their swings are compared in the same trials."""
    (first, moved), *others = swings
    if not first.clear:
        return 0
    ahead = [moved - other for _, other in others]
    close = [one.mean() <= Z95 * np.sqrt(max(one.var(ddof=1), 1 / one.size) / one.size) for one in ahead]
    return 1 + max((i + 1 for i, near in enumerate(close) if near), default=0)


def paired_difference(shown: BoolArray, reference: BoolArray) -> Difference:
    """Difference of two shares of the same trials (R,), and its Monte Carlo standard error, never 0 unless all trials agree by being the same array.

    Half a trial is added to each cell of the two-by-two table, so that a few or no discordant trials do not look exact.

    Source: Agresti and Min (2005), Statistics in Medicine 24, 729-740, "Wald + 2".
    """
    if shown is reference:
        return Difference(0.0, 0.0)
    n, gained, lost = shown.size, int((shown & ~reference).sum()), int((reference & ~shown).sum())
    mcse = np.sqrt(gained + lost + 1 - (gained - lost) ** 2 / (n + 2)) / (n + 2)
    return Difference((gained - lost) / n, float(mcse))


# ---- all at once


def _everywhere(points: Points, assumptions: Sequence[Assumption], n_points: int) -> list[Point]:
    """The points of all sets, (SETS, d + 2, n) in one list; each set has luck of its own."""
    fields = [one for one in assumptions if one.prior is not None]
    made, problems, total = [], list[Problem](), 0
    for k in range(SETS):
        rng = Streams(points.scenario.seed, Purpose.PREPARE, 0).below("sensitivity")[f"set {k}"]
        places = sobol_design(len(fields), n_points // SETS, rng).reshape(-1, len(fields))
        values = [one.at(places[:, i]) for i, one in enumerate(fields)]
        for here in zip(*values, strict=True):
            total += 1
            try:
                made.append(points.at(dict(zip((one.path for one in fields), here, strict=True)), independent=k))
            except DeclarationError as error:
                problems += error.problems
    if problems:
        few = problems[:3]
        words = f"some of {total:,} points of the global analysis cannot be simulated; truncate a prior, or vary the field between two values"
        raise DeclarationError([*few, Problem("priors", words)], points.scenario.name)
    return made


def _overall(
    made: Sequence[Point],
    names: Sequence[str],
    assumptions: Sequence[Assumption],
    n_points: int,
    n_replicates: int,
    n_jobs: int,
    progress: Progress | None,
) -> GlobalSensitivity:
    paths = tuple(one.path for one in assumptions if one.prior is not None)
    told = _quietly(made, progress)
    shown = np.array(list(_many(told, names, n_replicates, n_jobs, progress)))  # points, A, R
    found = {}
    for i, name in enumerate(names):
        trials = shown[:, i].reshape(SETS, len(paths) + 2, n_points // SETS, n_replicates)
        found[name] = Apportioned(share_indices(trials), trials[:, :2].mean(axis=-1).ravel())
    return GlobalSensitivity(paths, n_points, n_replicates, found)


def _quietly(made: Sequence[Point], progress: Progress | None) -> list[Point]:
    """The same points, each simulated by one worker who tells nobody: the work is shared between points."""
    return [replace(point, workers=Workers(1, "serial", None, None)) for point in made]


def _many(made: Sequence[Point], names: Sequence[str], n_replicates: int, n_jobs: int, progress: Progress | None) -> Any:
    """Which trials show a benefit by each analysis (A, R), point by point in their order; a point is let go once it is known."""
    from joblib import Parallel, delayed

    def one(point: Point) -> BoolArray:
        try:
            parts = [np.stack([benefits[name] for name in names]) for benefits, _ in point.benefits(names, n_replicates)]
        except DeclarationError as error:
            at = ", ".join(f"{path} = {value:g}" for path, value in point.changes.items())
            raise DeclarationError([Problem(f"at {at}: {found.place}", found.sentence) for found in error.problems], point.scenario.name) from None
        point.forget()
        return np.concatenate(parts, axis=1)

    work: Callable[..., Any] = Parallel(return_as="generator", backend="threading", n_jobs=n_jobs)
    for i, found in enumerate(work(delayed(one)(point) for point in made)):
        if progress:
            progress("all at once", (i + 1) * n_replicates, len(made) * n_replicates)
        yield found
