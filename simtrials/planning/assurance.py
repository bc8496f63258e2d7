"""The probability of success averaged over what is not known: priors on fields, the power at each draw, and what the declared values suggest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from simtrials.core.arrays import FloatArray
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError
from simtrials.core.expressions import Category
from simtrials.core.rng import Purpose, Streams
from simtrials.engine.files import Readable, read
from simtrials.engine.run import processors
from simtrials.engine.workers import Progress, Workers
from simtrials.planning.points import Points, Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.trial.distributions import Distribution

if TYPE_CHECKING:
    import pandas as pd

AT_DECLARED = 4096
"""Trials at the declared values, beside which the average stands."""


@dataclass(frozen=True, slots=True)
class Averaged:
    """Of one analysis: power at each draw (D,), its mean with its Monte Carlo error, and the share at the declared values."""

    powers: FloatArray
    declared: Share

    @property
    def value(self) -> float:
        """The assurance: the mean over draws."""
        return float(self.powers.mean())

    @property
    def mcse(self) -> float:
        """Its Monte Carlo standard error, over draws and trials; draws are stratified, so that it is rather too large."""
        shown = (self.powers.sum() + 2) / (self.powers.size + 4)
        least = shown * (1 - shown) / self.powers.size / 256
        return float(np.sqrt(max(self.powers.var(ddof=1) / self.powers.size, least)))


@dataclass(frozen=True, slots=True, repr=False)
class Assurance:
    """Assurance of some analyses."""

    scenario: Readable
    priors: Mapping[str, Distribution]
    draws: Mapping[str, FloatArray]
    analyses: Mapping[str, Averaged]
    n_replicates: int

    @property
    def n_draws(self) -> int:
        """Draws from the priors."""
        return len(next(iter(self.draws.values())))

    @property
    def nothing_or_harm(self) -> float | None:
        """Share of draws in which an effect that has a prior is 0 or harm; None where no prior is on the size of an effect."""
        paths = [path for path in self.draws if ".effects." in path and path.rpartition(".")[2] in EFFECTS]
        return float(np.any([self.draws[path] <= EFFECTS[path.rpartition(".")[2]] for path in paths], axis=0).mean()) if paths else None

    def to_frame(self) -> "pd.DataFrame":
        """One row per draw and analysis: the values of the fields, and power there."""
        import pandas as pd

        at = {path: np.tile(values, len(self.analyses)) for path, values in self.draws.items()}
        names = np.repeat(list(self.analyses), self.n_draws)
        return pd.DataFrame({**at, "analysis": names, "power": np.concatenate([one.powers for one in self.analyses.values()])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = {
            name: {"assurance": one.value, "mcse": one.mcse, "power": one.declared.value, "power_mcse": one.declared.mcse}
            for name, one in self.analyses.items()
        }
        about = {"scenario": self.scenario.name, "priors": {path: prior.model_dump(mode="json") for path, prior in self.priors.items()}}
        return about | {"n_draws": self.n_draws, "n_replicates": self.n_replicates, "nothing_or_harm": self.nothing_or_harm, "analyses": found}

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.text import assurance_summary

        return assurance_summary(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """Power over the priors, of the first analysis; saved when a path is given."""
        from simtrials.report.planning.figures import draw_assurance

        return draw_assurance(self, path)

    def __repr__(self) -> str:
        return self.summary()


EFFECTS = {"points": 0.0, "mean_points": 0.0, "smd": 0.0, "mean_smd": 0.0, "log_odds_ratio": 0.0, "odds_ratio": 1.0}
"""Sizes of an effect, and where they are no effect."""


def assurance(
    scenario: Readable | str | Path,
    priors: Mapping[str, Distribution] | None = None,
    *,
    analyses: Sequence[str] = (),
    n_draws: int = 200,
    n_replicates: int = 256,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> Assurance:
    """Power averaged over priors on fields of a scenario.

    Each draw of a Latin hypercube over the priors is simulated with luck of its own; the mean of the shares that show a benefit is the assurance.

    Parameters
    ----------
    scenario : of a trial or of bodies of evidence, or the path of its file
    priors : distributions by the path of a field; default: those of the scenario
    analyses : by name; default: the primary ones, or all
    n_draws : draws from the priors, at least 20
    n_replicates : simulated trials at each draw
    n_jobs, out, progress : as in `run`

    Source: O'Hagan, Stevens and Campbell (2005), Pharmaceutical Statistics 4, 187-201; McKay, Beckman and Conover (1979), Technometrics 21, 239-245.

    Raises
    ------
    DeclarationError
        When the scenario cannot have a value that was drawn; nothing has been simulated then.
    """
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    names = chosen_analyses(declared, analyses)
    chosen = dict(priors or declared.priors)
    if not chosen:
        raise SimtrialsError(
            "declare what is left open: [priors] with the path of a field, such as "
            '"endpoints.madrs.effects.active.points" = { kind = "normal", mean = 3.4, sd = 1.2 }'
        )
    if n_draws < 20 or n_replicates < 2:
        raise SimtrialsError(f"at least 20 draws and 2 replicates are needed, got {n_draws} and {n_replicates}")
    draws = drawn(chosen, n_draws, declared.seed)
    points = Points.of(declared, out, Workers(n_jobs or processors(), "auto", None, progress))
    made, problems = [], list[Problem]()
    for i in range(n_draws):
        try:
            made.append(points.at({path: float(values[i]) for path, values in draws.items()}, independent=i))
        except DeclarationError as error:
            problems += error.problems
    if problems:
        few = problems[:3]
        more = [Problem("priors", f"{len(problems)} of {n_draws} draws cannot be simulated; truncate the prior")] if len(problems) > len(few) else []
        raise DeclarationError([*few, *more], declared.name)
    shares = {name: np.array([point.share([name], n_replicates).value for point in made]) for name in names}
    at = points.at({})
    return Assurance(declared, chosen, draws, {name: Averaged(shares[name], at.share([name], AT_DECLARED)) for name in names}, n_replicates)


def drawn(priors: Mapping[str, Distribution], n_draws: int, seed: int) -> dict[str, FloatArray]:
    """(D,) values of each field: a Latin hypercube, one value from each of D equal parts of every prior.

    Raises
    ------
    SimtrialsError
        When a prior is not on numbers.
    """
    found = {}
    for path, prior in priors.items():
        rng = Streams(seed, Purpose.PREPARE, 0).below("priors")[path]
        places = (rng.permutation(n_draws) + rng.random(n_draws)) / n_draws
        values = prior.from_normal(ndtri(places))
        if isinstance(values, Category):
            raise SimtrialsError(f"the prior of {path} must be on numbers, and {prior.kind} has categories")
        found[path] = np.asarray(values, dtype=np.float64)
    return found
