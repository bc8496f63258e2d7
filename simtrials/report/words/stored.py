"""The run that words are about: a folder of results, or the stored run of a scenario file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from simtrials.core.errors import SimtrialsError
from simtrials.engine.evidence.result import EvidenceRun
from simtrials.engine.evidence.scenario import EvidenceScenario
from simtrials.engine.files import read, tables_of
from simtrials.engine.result import Run
from simtrials.engine.run import load
from simtrials.engine.scenario import Scenario


def stored_run(place: str, changes: Mapping[str, Any], out: str | Path) -> Run | EvidenceRun:
    """A finished run by its folder, or by the scenario that was run; nothing is simulated.

    Of a scenario, what changes no number (question, sources, labels of the primary analyses) is taken from the file as it is now.

    Raises
    ------
    SimtrialsError
        When the folder holds no finished run, the scenario was not run, or fields of a finished run are to be changed.
    """
    if Path(place).is_dir():
        if changes:
            raise SimtrialsError(f"{place} is a finished run, of which nothing can be changed; leave out --set, or name the scenario file")
        return _known(load(place))
    scenario = read(place, dict(changes))
    digest = scenario.digest({name: table.checksum for name, table in tables_of(scenario).items()})
    folder = Path(out) / f"{scenario.name}-{digest[:6]}"
    if not folder.is_dir():
        raise SimtrialsError(f"{place} has no finished run in {out} (it would be {folder}); make one with simtrials run {place}")
    run = _known(load(folder))
    if isinstance(run, Run) and isinstance(scenario, Scenario):
        return replace(run, scenario=scenario)
    return replace(run, scenario=scenario) if isinstance(run, EvidenceRun) and isinstance(scenario, EvidenceScenario) else run


def _known(run: object) -> Run | EvidenceRun:
    if isinstance(run, Run | EvidenceRun):
        return run
    raise SimtrialsError(f"words are made of runs of a trial or of bodies of evidence, not of {type(run).__name__}")
