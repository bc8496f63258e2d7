"""The probability of success averaged over what is not known: priors on fields, the power at each draw, and what the declared values suggest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simtrials.core.arrays import BoolArray, FloatArray
from simtrials.engine.files import Readable, read
from simtrials.engine.workers import Progress
from simtrials.planning.draws import AT_DECLARED, Priors, at_draws, nothing_or_harm
from simtrials.planning.hypercube import mean_over
from simtrials.planning.points import Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.trial.distributions import Distribution

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Averaged:
    """Of one analysis: power at each draw (D,), its mean with its Monte Carlo error, and the share at the declared values."""

    powers: FloatArray
    declared: Share
    mcse: float
    """of the mean, over draws and trials; what the hypercube takes out of it is not counted"""

    @property
    def value(self) -> float:
        """The assurance: the mean over draws."""
        return float(self.powers.mean())


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

    def harmful_to(self, name: str) -> BoolArray | None:
        """(D,) draws in which the effect that an analysis is about is 0 or harm; None where no prior is on its size."""
        return nothing_or_harm(self.scenario, name, self.draws)

    @property
    def harmful(self) -> BoolArray | None:
        """The same of the first analysis."""
        return self.harmful_to(next(iter(self.analyses)))

    @property
    def nothing_or_harm(self) -> float | None:
        """Their share: what no number of patients wins in the first analysis."""
        return None if self.harmful is None else float(self.harmful.mean())

    def to_frame(self) -> "pd.DataFrame":
        """One row per draw and analysis: the values of the fields, and power there."""
        import pandas as pd

        at = {path: np.tile(values, len(self.analyses)) for path, values in self.draws.items()}
        names = np.repeat(list(self.analyses), self.n_draws)
        return pd.DataFrame({**at, "analysis": names, "power": np.concatenate([one.powers for one in self.analyses.values()])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found: dict[str, dict[str, float | None]] = {
            name: {"assurance": one.value, "mcse": one.mcse, "power": one.declared.value, "power_mcse": one.declared.mcse}
            for name, one in self.analyses.items()
        }
        for name, plain in found.items():
            harmful = self.harmful_to(name)
            plain["nothing_or_harm"] = None if harmful is None else float(harmful.mean())
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


def assurance(
    scenario: Readable | str | Path,
    priors: Priors | None = None,
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
    priors : distributions by the path of a field, or texts such as "meta:DIR" (see `meta_priors`); default: those of the scenario
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
    at = at_draws(declared, priors, n_draws, n_replicates, n_jobs, out, progress)
    each = [{name: point.share([name], n_replicates).value for name in names} for point in at.told(at.made, "draws", n_replicates)]
    shares = {name: np.array([one[name] for one in each]) for name in names}
    declared_at = at.points.at({})
    found = {
        name: Averaged(powers, declared_at.share([name], AT_DECLARED), mean_over(powers, at.draws, n_replicates).mcse)
        for name, powers in shares.items()
    }
    return Assurance(declared, at.priors, at.draws, found, n_replicates)
