"""A scenario at draws from the priors on its fields: the points at which assurance, decisions and pilots are simulated, the same for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.core.measures import Truth
from simtrials.core.rng import BLOCK_SIZE
from simtrials.engine.files import Readable
from simtrials.engine.meta_priors import meta_prior
from simtrials.engine.run import processors
from simtrials.engine.workers import Progress, Workers
from simtrials.planning.effect_size import endpoint_and_arm
from simtrials.planning.hypercube import drawn
from simtrials.planning.points import Point, Points
from simtrials.trial.distributions import Distribution

AT_DECLARED = 4096
"""Trials at the declared values, beside which the average stands."""
EFFECTS = {"points": 0.0, "mean_points": 0.0, "smd": 0.0, "mean_smd": 0.0, "log_odds_ratio": 0.0, "odds_ratio": 1.0}
"""Sizes of an effect, and where they are no effect."""
Priors = Mapping[str, Distribution | str]
"""Distributions by the path of a field, or texts such as "meta:severity"."""
FEWEST_DRAWS = 20
APART_FROM_DRAWS = 1_000_000
"""Luck of pilots begins so many points after that of the trials."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A scenario at draws (D,) of the fields that have priors; `points` gives the scenario as declared, `made` the draws."""

    scenario: Readable
    priors: Mapping[str, Distribution]
    draws: Mapping[str, FloatArray]
    points: Points
    made: tuple[Point, ...]
    progress: Progress | None = None

    def told(self, made: Sequence[Point], label: str, n_replicates: int) -> Iterator[Point]:
        """Points one after another, each simulated when its turn comes; progress is told over all of them, and not where all is stored."""
        for i, point in enumerate(made):
            missing = point.store.n_blocks * BLOCK_SIZE < n_replicates
            point.simulate(n_replicates)
            if missing and self.progress:
                self.progress(label, (i + 1) * n_replicates, len(made) * n_replicates)
            yield point

    def truths(self, name: str) -> list[Truth]:
        """The value of the estimand of an analysis at each draw, benefit positive."""
        found = []
        for i, point in enumerate(self.made):
            missing = not point.knows_truth(name)
            found.append(point.truth(name))
            if missing and self.progress:
                self.progress("true effects", (i + 1) * BLOCK_SIZE, len(self.made) * BLOCK_SIZE)
        return found

    def again(self, changes: Mapping[str, Any]) -> tuple[Point, ...]:
        """The same draws with further fields changed and luck of its own, which nothing else shares."""
        silent = replace(self.points, workers=replace(self.points.workers, progress=None))
        return _made(self.scenario, silent, self.draws, changes, APART_FROM_DRAWS)


def at_draws(
    scenario: Readable, priors: Priors | None, n_draws: int, n_replicates: int, n_jobs: int | None, out: str | Path, progress: Progress | None
) -> Drawn:
    """The points of a Latin hypercube over the priors; nothing is simulated yet.

    Raises
    ------
    SimtrialsError
        When there are no priors, or numbers make no sense.
    DeclarationError
        When the scenario cannot have a value that was drawn.
    """
    chosen = resolved(scenario, priors)
    if not chosen:
        raise SimtrialsError(
            "declare what is left open: [priors] with the path of a field and its distribution, such as "
            f"{prior_example(scenario)}; or --prior 'PATH={{kind=...}}'"
        )
    if n_draws < FEWEST_DRAWS or n_replicates < 2:
        raise SimtrialsError(f"at least {FEWEST_DRAWS} draws and 2 replicates are needed, got {n_draws} and {n_replicates}")
    draws = drawn(chosen, n_draws, scenario.seed)
    points, silent = (Points.of(scenario, out, Workers(n_jobs or processors(), "auto", None, told)) for told in (progress, None))
    return Drawn(scenario, chosen, draws, points, _made(scenario, silent, draws, {}, 0), progress)


def prior_example(scenario: Readable) -> str:
    """A prior that this scenario can have, as a line of its file: on the first effect, around what is declared."""
    for name, endpoint in scenario.endpoints.items():
        for arm, effect in endpoint.effects.items():
            size = effect.size_name
            value = float(getattr(effect, size))
            if size in EFFECTS and value:
                return f'"endpoints.{name}.effects.{arm}.{size}" = {{ kind = "normal", mean = {value:g}, sd = {abs(value) / 2:.2g} }}'
    return '"endpoints.NAME.effects.ARM.points" = { kind = "normal", mean = 3.4, sd = 1.2 }'


def resolved(scenario: Readable, priors: Priors | None) -> dict[str, Distribution]:
    """Priors as distributions; those of the scenario where none are given."""
    raw = scenario.model_dump(mode="json", exclude_defaults=True)
    given = dict(priors or scenario.priors)
    return {path: meta_prior(one, path, raw, scenario.folder).distribution if isinstance(one, str) else one for path, one in given.items()}


def _made(scenario: Readable, points: Points, draws: Mapping[str, FloatArray], changes: Mapping[str, Any], first: int) -> tuple[Point, ...]:
    n_draws = len(next(iter(draws.values())))
    made, problems = [], list[Problem]()
    for i in range(n_draws):
        try:
            made.append(points.at({**changes, **{path: float(values[i]) for path, values in draws.items()}}, independent=first + i))
        except DeclarationError as error:
            problems += error.problems
    if problems and not made:
        raise DeclarationError([problems[0], Problem("priors", f"none of {n_draws} draws can be simulated; look at path and unit")], scenario.name)
    if problems:
        cut = 'write { kind = "truncated", minimum = ..., maximum = ..., of = { kind = ... } }, or a narrower prior'
        lost = Problem("priors", f"{n_draws - len(made)} of {n_draws} draws cannot be simulated, the first above; {cut}")
        raise DeclarationError([problems[0], lost], scenario.name)
    return tuple(made)


def nothing_or_harm(scenario: Readable, name: str, draws: Mapping[str, FloatArray]) -> BoolArray | None:
    """(D,) draws in which the effect that an analysis is about is 0 or harm; None where no prior is on its size."""
    endpoint, arm = endpoint_and_arm(scenario, name)
    paths = [path for path in draws if path.startswith(f"endpoints.{endpoint}.effects.{arm}.") and path.rpartition(".")[2] in EFFECTS]
    if not paths:
        return None
    return np.asarray(np.any([draws[path] <= EFFECTS[path.rpartition(".")[2]] for path in paths], axis=0))
