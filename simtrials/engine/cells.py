"""The cells of a run: the scenario itself, the same without any effect, and the points of the null grid; each ready to be simulated."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, did_you_mean
from simtrials.engine.blocks import Simulation
from simtrials.engine.declared import NULL, SCENARIO
from simtrials.engine.files import located, scenario_from, set_at
from simtrials.engine.memory import keep_freed_memory
from simtrials.engine.scenario import Scenario
from simtrials.trial import prepare
from simtrials.trial.checks import names_in
from simtrials.trial.departures import Sites


@dataclass(frozen=True, slots=True)
class Cell:
    """One set of parameters that is simulated: the scenario, its null, or a point of the null grid."""

    name: str
    label: str
    scenario: Scenario


def cells_of(scenario: Scenario, checksums: Mapping[str, str], null: bool) -> tuple[Cell, ...]:
    """The scenario, and unless told not to its null and the null grid."""
    cells = [Cell(SCENARIO, "as declared", scenario)]
    if null:
        cells.append(Cell(NULL, "no effect", scenario.null()))
        cells += _grid(scenario, checksums)
    return tuple(cells)


def _grid(scenario: Scenario, checksums: Mapping[str, str]) -> list[Cell]:
    """Every combination of the values of the null grid, without any effect."""
    problems: list[Problem] = []
    cells = []
    for values in itertools.product(*scenario.null_grid.values()) if scenario.null_grid else ():
        point = dict(zip(scenario.null_grid, values, strict=True))
        raw = scenario.model_dump(mode="json", exclude_defaults=True)
        try:
            for path, value in point.items():
                set_at(raw, path, value)
            null = scenario_from(raw, scenario.folder).null()
        except DeclarationError as error:
            where = ", ".join(f"{path} = {value}" for path, value in point.items())
            problems += [Problem(f"null_grid ({where}): {found.place}", found.sentence) for found in error.problems]
            continue
        label = ", ".join(f"{path} = {value}" for path, value in point.items())
        cells.append(Cell(f"null-{null.digest(checksums)[:6]}", f"no effect, {label}", null))
    if problems:
        raise located(problems, scenario.file, scenario.name)
    return cells


def ready(scenario: Scenario, tables: Mapping[str, Table], everything: bool = False) -> Simulation:
    """A scenario ready to be simulated, its analyses tried on two small trials.

    Raises
    ------
    DeclarationError
        When the parts cannot be prepared, or an analysis names something that is not measured.
    """
    keep_freed_memory()
    unknown = list(_unknown_names(scenario, tables))
    try:
        trial = prepare(scenario, tables, scenario.seed, scenario.expressions, everything)
    except DeclarationError as error:
        raise located([*error.problems, *unknown], scenario.file, scenario.name) from None
    simulation = Simulation(trial, scenario.analyses, scenario.estimands, scenario.seed)
    problems = unknown or simulation.trial_problems()
    if problems:
        raise located(problems, scenario.file, scenario.name)
    return simulation


def _unknown_names(scenario: Scenario, tables: Mapping[str, Table]) -> Iterator[Problem]:
    """What analyses and estimands name although nobody measures it."""
    hidden = {assay.column for assay in scenario.assays.values()}
    known = {name for name in scenario.population.known_levels(tables) if name not in hidden} if scenario.population else set()
    known |= {*scenario.assays, "baseline"}
    known |= {f"{name}.{reading}" for name in scenario.endpoints for reading in ("baseline", "screening")}
    known |= {"site"} if any(isinstance(departure, Sites) for departure in scenario.departures.values()) else set()
    texts = [(f"analyses.{name}", text) for name, analysis in scenario.analyses.items() for text in analysis.expressions]
    texts += [(f"estimands.{name}.population", estimand.population) for name, estimand in scenario.estimands.items() if estimand.population]
    for place, text in texts:
        for name in sorted(names_in(text) - known):
            yield Problem(place, f"nothing called {name!r} is measured before randomisation{did_you_mean(name, known)}")
