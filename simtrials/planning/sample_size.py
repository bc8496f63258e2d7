"""How many patients, or how many more trials, does a power take?"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtrials.core.errors import SimtrialsError
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import Readable, read
from simtrials.engine.run import processors
from simtrials.engine.scenario import Scenario
from simtrials.engine.workers import Progress, Workers
from simtrials.evidence.studies import Listed
from simtrials.planning.points import Points, Share
from simtrials.planning.power_curve import chosen_analyses
from simtrials.planning.search import Found, Search
from simtrials.planning.table_power import teeth_of, words_of
from simtrials.trial.allocations import Blocks, StratifiedBlocks

if TYPE_CHECKING:
    from simtrials.report.words import Words

PATIENTS, FURTHER = "design.n_patients", "studies.further.0.copies"
"""What is searched for: patients of a trial, or copies of the first further study of a review."""


@dataclass(frozen=True, slots=True)
class Feasible:
    """Which numbers there can be: multiples of `step` from `least` to `most`, and why."""

    path: str
    step: int
    least: int
    most: int
    offset: int
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class SampleSize:
    """The answer of a search, with the power of every analysis at that number and what is known exactly."""

    scenario: Readable
    analyses: tuple[str, ...]
    target: float
    feasible: Feasible
    found: Found
    others: Mapping[str, Share]
    closed_form: Mapping[int, float]
    seconds: float
    teeth: str = ""
    """what was done about a power that is saw-toothed in n; empty where it is not"""

    @property
    def n(self) -> int | None:
        """The smallest feasible number; None where none reaches the target."""
        return self.found.n

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = self.found
        looks = [{"n": n, "shown": share.shown, "of": share.of, "failed": share.failed} for n, share in found.looks]
        others = {name: {"power": share.value, "mcse": share.mcse, "n_replicates": share.of} for name, share in self.others.items()}
        return {
            "scenario": self.scenario.name,
            "field": self.feasible.path,
            "analyses": list(self.analyses),
            "target": self.target,
            "n": found.n,
            "lower": found.lower,
            "upper": found.upper,
            "power": found.power,
            "mcse": found.mcse,
            "replicates": found.replicates,
            "reason": found.reason,
            "teeth": self.teeth,
            "looks": looks,
            "at_n": others,
        }

    def summary(self) -> str:
        """The block for the terminal."""
        from simtrials.report.planning.text import size_summary

        return size_summary(self)

    def words(self) -> "Words":
        """The sample-size paragraph of a protocol (SPIRIT, CONSORT) about this answer.

        Raises
        ------
        SimtrialsError
            When the search was not of a trial, or found no number.
        """
        from simtrials.report.words import words_of_size

        return words_of_size(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """The power curve around the answer; saved when a path is given."""
        from simtrials.report.planning.figures import draw_size

        return draw_size(self, path)

    def __repr__(self) -> str:
        return self.summary()


def sample_size(
    scenario: Readable | str | Path,
    analyses: str | Sequence[str],
    *,
    power: float = 0.8,
    precision: float = 0.03,
    budget: int = 20_000,
    most: int | None = None,
    n_jobs: int | None = None,
    out: str | Path = "results",
    progress: Progress | None = None,
) -> SampleSize:
    """The smallest number of patients with which an analysis shows a benefit with this power, or all of several in the same trial.

    Of bodies of evidence: how many further studies like the first of `studies.further`.

    Parameters
    ----------
    scenario : of a trial or of bodies of evidence, or the path of its file
    analyses : name of an analysis, or several that must all show a benefit
    power : target, between 0 and 1
    precision : half-width of the 95% interval of the number, relative to it, at which the search stops
    budget : most simulated trials
    most : largest number that is looked at; default 10,000 patients, or 500 studies
    n_jobs, out, progress : as in `run`

    Returns
    -------
    SampleSize; `n` is None, with the reason, where no number up to `most` reaches the target

    Raises
    ------
    SimtrialsError
        When the scenario has no such analysis, or a number makes no sense.
    """
    started = time.perf_counter()
    declared = read(scenario) if isinstance(scenario, (str, Path)) else scenario
    names = chosen_analyses(declared, [analyses] if isinstance(analyses, str) else analyses)
    nominal = min(declared.analyses[name].nominal for name in names)
    check_search(power, precision, budget, nominal)
    if most is not None and most < 4:
        raise SimtrialsError(f"the largest number must be at least 4, got {most}")
    numbers = feasible_numbers(declared, most)
    points = Points.of(declared, out, Workers(n_jobs or processors(), "auto", None, progress))

    def simulate(n: int, of: int) -> Share:
        return points.at({numbers.path: n}, independent=n).share(names, of)

    teeth = teeth_of(points, names, numbers.path)
    search = Search(simulate, power, numbers.step, numbers.least, numbers.most, nominal, precision, budget, numbers.offset, teeth=teeth)
    start = declared.design.n_patients if isinstance(declared, Scenario) else max(1, declared.studies.n_places // 4)
    found = search.run(min(max(start, numbers.least), numbers.most))
    others: dict[str, Share] = {}
    if found.n is not None:
        of = max(4096, search.looks[found.n].of if found.n in search.looks else 0)
        point = points.at({numbers.path: found.n}, independent=found.n)
        others = {name: point.share([name], of) for name in declared.analyses}
    exact = _exact(declared, names, points, numbers, found)
    about_teeth = "" if found.n is None else words_of(teeth, declared, names)
    return SampleSize(declared, names, power, numbers, found, others, exact, time.perf_counter() - started, about_teeth)


def feasible_numbers(scenario: Readable, most: int | None) -> Feasible:
    """Which numbers the allocation, or the list of studies, allows.

    Raises
    ------
    SimtrialsError
        When the scenario has nothing whose number could be found.
    """
    if isinstance(scenario, EvidenceScenario):
        if not isinstance(scenario.studies, Listed) or not scenario.studies.further:
            raise SimtrialsError(
                "declare what a further trial is like: studies.further = [{ n_active = 50, n_control = 50, weeks = 8 }], "
                "in the file or as --set 'studies.further=[{n_active=50,n_control=50,weeks=8}]'; and list studies.trials"
            )
        there = sum(study.copies for study in (*scenario.studies.trials, *scenario.studies.further[1:]))
        return Feasible(FURTHER, 1, 1, most or 500, there, "")
    design = scenario.design
    whole = sum(design.ratio)
    blocks = isinstance(design.allocation, (Blocks, StratifiedBlocks))
    step = design.allocation.block_size if isinstance(design.allocation, Blocks) else whole
    why = f"blocks of {step}" if blocks and step > whole else f"arms {':'.join(str(part) for part in design.ratio)}"
    return Feasible(PATIENTS, step, max(step, 2 * whole), most or 10_000, 0, why)


def check_search(power: float, precision: float, budget: int, nominal: float) -> None:
    """Raises SimtrialsError where a number of a search makes no sense."""
    for name, value in (("power", power), ("precision", precision)):
        if not 0 < value < 1:
            percent = f"; write {value / 100:g} for {value:g}%" if 1 < value < 100 else ""
            raise SimtrialsError(f"{name} must lie between 0 and 1, got {value:g}{percent}")
    if budget < 5_000:
        raise SimtrialsError(f"the budget must be at least 5,000 simulated trials, got {budget:,}")
    if power <= nominal:
        raise SimtrialsError(f"power must be above {nominal:g}, which is reached without any effect, got {power:g}")


def _exact(scenario: Readable, names: Sequence[str], points: Points, numbers: Feasible, found: Found) -> dict[int, float]:
    """Closed form at the looks, where there is one."""
    if not isinstance(scenario, Scenario) or len(names) > 1:
        return {}
    known = {}
    for n, _ in found.looks:
        changed = points.at({numbers.path: n}, independent=n).scenario
        exact = closed_form_power(changed, names[0]) if isinstance(changed, Scenario) else None
        if exact is not None:
            known[n] = float(exact["power"])
    return known
