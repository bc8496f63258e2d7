"""What a sample-size paragraph is made of: a scenario with its portrait, the truths, and what was simulated of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simtrials.core.errors import SimtrialsError, did_you_mean
from simtrials.core.measures import Truth
from simtrials.engine.cells import ready
from simtrials.engine.closed_forms import closed_form_power
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.files import tables_of
from simtrials.engine.portrait import portrait
from simtrials.engine.provenance import versions
from simtrials.engine.result import Run
from simtrials.engine.scenario import Scenario
from simtrials.engine.truth import truths
from simtrials.planning.points import Share
from simtrials.planning.sample_size import SampleSize
from simtrials.planning.search import Found
from simtrials.report import numbers
from simtrials.report.rows import count_of
from simtrials.report.sentences import logistics_in_words, screened_per_enrolled


@dataclass(frozen=True, slots=True)
class Search:
    """The search that found the number of patients: of which analyses, for which power, and what it found."""

    analyses: tuple[str, ...]
    target: float
    found: Found


@dataclass(frozen=True, slots=True)
class Basis:
    """One scenario with what was simulated of it.

    Attributes
    ----------
    truths : value of the estimand by analysis, of those that a paragraph is about at least
    shares : trials that show a benefit, by analysis; nulls : the same without any effect, empty where that was not run
    closed_forms : power from a closed form and its name, by analysis, where there is one
    screened : candidates screened per enrolled patient, in words; logistics : months and cost, empty where neither is declared
    search : the search that found the number of patients; None where the number was declared
    """

    scenario: Scenario
    portrait: Mapping[str, Any]
    digest: str
    versions: Mapping[str, str]
    truths: Mapping[str, Truth]
    shares: Mapping[str, Share]
    nulls: Mapping[str, Share]
    closed_forms: Mapping[str, tuple[float, str]]
    screened: str
    logistics: str = ""
    search: Search | None = None


def basis_of_run(run: Run) -> Basis:
    """What a finished run gives."""
    tallies = {cell: {name: count_of(tally) for name, tally in run.tallies(cell).items()} for cell in (SCENARIO, NULL) if cell in run.cells}
    shares = {cell: {name: Share(count.shown, count.of, count.failed) for name, count in counts.items()} for cell, counts in tallies.items()}
    measures = {measure.name: measure for measure in run.screening()}
    names = ("screened_per_enrolled", "screened_per_enrolled_q05", "screened_per_enrolled_q95")
    return Basis(
        scenario=run.scenario,
        portrait=run.portrait,
        digest=run.digest,
        versions=run.record["versions"],
        truths=run.truths[SCENARIO],
        shares=shares[SCENARIO],
        nulls=shares.get(NULL, {}),
        closed_forms={name: (float(one["power"]), str(one["what"])) for name, one in run.record.get("closed_form", {}).items()},
        screened=screened_per_enrolled(*(measures[name] for name in names)),
        logistics=logistics_in_words(run),
    )


def basis_of_size(size: SampleSize) -> Basis:
    """What a search gives: the scenario with the number of patients that it found.

    Raises
    ------
    SimtrialsError
        When the search was not of a trial, or found no number.
    """
    if not isinstance(size.scenario, Scenario):
        raise SimtrialsError(f"{size.scenario.name} is about bodies of evidence; a sample-size paragraph is about the patients of one trial")
    if size.found.n is None:
        raise SimtrialsError(f"there is no sample size to write about: {size.found.reason}; ask for less power, or for another --most")
    scenario = size.scenario.model_copy(update={"design": size.scenario.design.model_copy(update={"n_patients": size.found.n})})
    tables = tables_of(size.scenario)
    trial = ready(scenario, tables).trial
    asked = scenario.model_copy(update={"analyses": {name: scenario.analyses[name] for name in size.analyses}})
    closed = {name: found for name in scenario.analyses if (found := closed_form_power(scenario, name)) is not None}
    return Basis(
        scenario=scenario,
        portrait=portrait(scenario, trial),
        digest=scenario.digest({name: table.checksum for name, table in tables.items()}),
        versions=versions(),
        truths=truths(asked, trial),
        shares=size.others,
        nulls={},
        closed_forms={name: (float(one["power"]), str(one["what"])) for name, one in closed.items()},
        screened=numbers.fixed(1 / trial.pass_rate, 1),
        search=Search(size.analyses, size.target, size.found),
    )


def chosen(scenario: Scenario, names: Sequence[str]) -> tuple[str, ...]:
    """The analyses that paragraphs are about: those named, else the primary ones, else the first of the file.

    Raises
    ------
    SimtrialsError
        When the scenario has none of that name.
    """
    for name in names:
        if name not in scenario.analyses:
            raise SimtrialsError(f"no analysis called {name!r}{did_you_mean(name, scenario.analyses)}")
    return tuple(dict.fromkeys(names)) or scenario.primary or tuple(scenario.analyses)[:1]
