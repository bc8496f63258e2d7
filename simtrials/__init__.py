"""simtrials: a flight simulator for clinical trials in which a biomarker decides whom to treat.

    scenario = simtrials.read("scenarios/next_trial.toml")
    result = simtrials.run(scenario)
    result.measures()

Names are imported when they are first used, so that ``import simtrials`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "DeclarationError": "simtrials.core.errors",
    "EvidenceScenario": "simtrials.engine.evidence.scenario",
    "Scenario": "simtrials.engine.scenario",
    "SimtrialsError": "simtrials.core.errors",
    "analyze": "simtrials.engine.real_trial.analyze",
    "fit_course": "simtrials.engine.real_trial.course",
    "fit_population": "simtrials.engine.population_fit",
    "load": "simtrials.engine.run",
    "read": "simtrials.engine.files",
    "run": "simtrials.engine.run",
}
__all__ = [
    "DeclarationError",
    "EvidenceScenario",
    "Scenario",
    "SimtrialsError",
    "__version__",
    "analyze",
    "fit_course",
    "fit_population",
    "load",
    "read",
    "run",
]

if TYPE_CHECKING:
    from simtrials.core.errors import DeclarationError, SimtrialsError
    from simtrials.engine.evidence.scenario import EvidenceScenario
    from simtrials.engine.files import read
    from simtrials.engine.population_fit import fit_population
    from simtrials.engine.real_trial.analyze import analyze
    from simtrials.engine.real_trial.course import fit_course
    from simtrials.engine.run import load, run
    from simtrials.engine.scenario import Scenario


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'simtrials' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
