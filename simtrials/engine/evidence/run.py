"""Run a scenario of bodies of evidence: its cells in blocks, stored as they come, with their truths beside them."""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem
from simtrials.core.measures import Truth
from simtrials.engine.blocks import Meaning
from simtrials.engine.declared import NAMES_ONLY, NULL, SCENARIO
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.evidence.simulation import EvidenceSimulation
from simtrials.engine.files import evidence_from, located, set_at, tables_of
from simtrials.engine.memory import keep_freed_memory
from simtrials.engine.provenance import fingerprint, versions
from simtrials.engine.results import plain_truths, read_truths, truth_path, truths_from, without_none
from simtrials.engine.store import write_json
from simtrials.engine.workers import Call, remembered
from simtrials.evidence.prepare import prepare_evidence
from simtrials.evidence.syntheses import Synthesis


@dataclass(frozen=True, slots=True)
class EvidenceCell:
    """One set of parameters that is simulated: the scenario, the same without effect, a variant, or a point of the sweep."""

    name: str
    label: str
    scenario: EvidenceScenario


def evidence_cells(scenario: EvidenceScenario, checksums: Mapping[str, str], null: bool) -> tuple[EvidenceCell, ...]:
    """The scenario, unless told not to its null, its variants, and the points of its sweep.

    Raises
    ------
    DeclarationError
        With every fault of every variant and point.
    """
    cells = [EvidenceCell(SCENARIO, "as declared", scenario)]
    if null:
        cells.append(EvidenceCell(NULL, "no effect", scenario.null()))
    problems: list[Problem] = []
    for name, variant in scenario.variants.items():
        changed = _changed(scenario, variant.set, f"variants.{name}", problems)
        if changed is not None:
            digest = changed.digest(checksums)[:6]
            cells.append(EvidenceCell(f"variant-{name}-{digest}", variant.label or name.replace("_", " "), changed))
    cells += _points(scenario, checksums, problems)
    if problems:
        raise located(problems, scenario.file, scenario.name)
    return tuple(cells)


def _points(scenario: EvidenceScenario, checksums: Mapping[str, str], problems: list[Problem]) -> list[EvidenceCell]:
    """The points of the sweep."""
    short, made = short_paths(tuple(scenario.sweep)), dict[str, EvidenceCell]()
    for values in itertools.product(*scenario.sweep.values()) if scenario.sweep else ():
        point = dict(zip(scenario.sweep, values, strict=True))
        label = ", ".join(f"{short[path]} = {value}" for path, value in point.items())
        changed = _changed(scenario, point, f"sweep ({label})", problems)
        if changed is None:
            continue
        name = f"sweep-{changed.digest(checksums)[:6]}"
        if name in made:
            problems.append(Problem("sweep", f"two points are the same: {made[name].label}, and {label}"))
        made[name] = EvidenceCell(name, label, changed)
    return list(made.values())


def short_paths(paths: tuple[str, ...]) -> dict[str, str]:
    """Each path by as many of its last parts as tell it from the others; a tau says that it is one, for its last part is the name of an outcome."""
    found = {}
    for path in paths:
        parts = path.split(".")
        least = 2 if parts[-2:-1] == ["tau"] else 1
        tails = (".".join(parts[-count:]) for count in range(least, len(parts) + 1))
        found[path] = next(tail for tail in tails if sum(other == tail or other.endswith(f".{tail}") for other in paths) == 1)
    return found


def _changed(scenario: EvidenceScenario, changes: Mapping[str, Any], place: str, problems: list[Problem]) -> EvidenceScenario | None:
    raw = scenario.model_dump(mode="json", exclude_defaults=True)
    for own in ("variants", "sweep", "sources"):
        raw.pop(own, None)
    idle = [path for path in changes if path.split(".")[0] in NAMES_ONLY]
    problems += [Problem(f"{place}: {path}", "belongs to the whole scenario, and changes nothing that is simulated; leave it out") for path in idle]
    try:
        for path, value in changes.items():
            set_at(raw, path, value)
        changed = evidence_from(without_none(raw), scenario.folder)
    except DeclarationError as error:
        problems += [Problem(f"{place}: {found.place}", found.sentence) for found in error.problems]
        return None
    problems += [Problem(f"{place}: {found.place}", found.sentence) for found in _incomparable(scenario, changed)]
    return changed


def _incomparable(scenario: EvidenceScenario, changed: EvidenceScenario) -> Iterator[Problem]:
    """What would make the numbers of two settings mean different things."""
    if list(changed.syntheses) != list(scenario.syntheses):
        yield Problem("syntheses", "must be the same, by name, as in the scenario, so that settings can be compared; declare more there")
        return
    for name, one in scenario.syntheses.items():
        other = changed.syntheses[name]
        if one.alpha != other.alpha:
            yield Problem(f"syntheses.{name}.alpha", f"must be that of the scenario, {one.alpha:g}, got {other.alpha:g}")
        if _meaning(scenario, one) != _meaning(changed, other):
            sentence = "is about another outcome, effect size or group of studies than in the scenario; declare a synthesis of its own"
            yield Problem(f"syntheses.{name}", sentence)


def _meaning(scenario: EvidenceScenario, synthesis: Synthesis) -> tuple[object, ...]:
    """What is estimated: outcome, how it is read and compared, of which studies, and whether it is their mean effect."""
    outcome = scenario.outcomes[synthesis.outcome]
    endpoint = scenario.endpoints[outcome.endpoint]
    measured = outcome.measured(endpoint)
    kind = "mean" if synthesis.estimates_the_mean else synthesis.kind
    read = outcome.endpoint, outcome.outcome_name(endpoint)
    return *synthesis.question, *read, measured.measure, measured.binary, measured.sign, kind


def ready_evidence(scenario: EvidenceScenario, tables: Mapping[str, Table]) -> EvidenceSimulation:
    """A scenario ready to be simulated.

    Raises
    ------
    DeclarationError
        When the parts cannot be prepared.
    """
    keep_freed_memory()
    try:
        prepared = prepare_evidence(scenario, tables, scenario.seed)
    except DeclarationError as error:
        raise located(error.problems, scenario.file, scenario.name) from None
    return EvidenceSimulation(prepared, scenario.syntheses, scenario.seed)


def run_evidence(scenario: EvidenceScenario, call: Call) -> EvidenceRun:
    """Simulate a scenario of bodies of evidence."""
    started, clock = datetime.now(UTC), time.perf_counter()
    tables = tables_of(scenario)
    checksums = {name: table.checksum for name, table in tables.items()}
    cells = evidence_cells(scenario, checksums, call.null)
    digest = scenario.digest(checksums)
    known = f"{fingerprint()}; {digest}"
    folder = call.out / f"{scenario.name}-{digest[:6]}"
    simulations = {cell.name: ready_evidence(cell.scenario, tables) for cell in cells}
    own = {cell.name: f"{known}; {cell.scenario.digest(checksums)}" for cell in cells}
    asked = {cell.name: (cell.label, simulations[cell.name]) for cell in cells}
    wanted, stopped, repaired = call.extend_all(folder, own, scenario, asked)
    found = {cell.name: _remembered_truths(folder, cell.name, simulations[cell.name], own[cell.name]) for cell in cells}
    record = {
        "name": scenario.name,
        "digest": digest,
        "fingerprint": known,
        "fingerprints": own,
        "seed": scenario.seed,
        "n_replicates": wanted,
        "stopped": stopped,
        "command": call.command,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "workers": call.workers.n_jobs,
        "versions": versions(),
        "data": checksums,
        "folder_of_data": str(scenario.folder) if scenario.folder else None,
        "cells": {cell.name: cell.label for cell in cells},
        "without_effect": [cell.name for cell in cells if cell.scenario.null() == cell.scenario],
        "meanings": {name: [meaning.scale, meaning.benefit] for name, meaning in simulations[SCENARIO].meanings().items()},
        "controls": simulations[SCENARIO].prepared.controls(),
        "notes": repaired,
        "repaired": repaired,
        "scenario": scenario.model_dump(mode="json"),
    }
    write_json(folder / "run.json", record)
    return _assembled(folder, scenario, record, found)


def _remembered_truths(folder: Path, cell: str, simulation: EvidenceSimulation, known: str) -> dict[str, Truth]:
    return truths_from(remembered(truth_path(folder, cell), known, lambda: plain_truths(simulation.truths())))


def load_evidence(folder: str | Path, record: dict[str, Any]) -> EvidenceRun:
    """The run of bodies of evidence that was stored, from its record.

    Raises
    ------
    SimtrialsError
        When what belongs to it cannot be read.
    """
    place = Path(folder)
    scenario = evidence_from(without_none(record["scenario"]))
    data_folder = record.get("folder_of_data")
    scenario = scenario.in_folder(Path(data_folder) if data_folder else None)
    return _assembled(place, scenario, record, {name: read_truths(place, name) for name in record["cells"]})


def _assembled(folder: Path, scenario: EvidenceScenario, record: dict[str, Any], found: dict[str, dict[str, Truth]]) -> EvidenceRun:
    return EvidenceRun(
        folder=folder,
        scenario=scenario,
        digest=record["digest"],
        n_replicates=record["n_replicates"],
        stopped=record["stopped"],
        cells=record["cells"],
        meanings={name: Meaning(scale, benefit) for name, (scale, benefit) in record["meanings"].items()},
        truths=found,
        record=record,
        notes=tuple(record["notes"]),
    )
