"""The shape of the package: imports point downwards, the two wings do not know each other, and `import simtrials` is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import simtrials

PACKAGE = Path(simtrials.__file__).parent
LAYERS = {"core": 0, "stats": 1, "trial": 2, "inference": 2, "evidence": 3, "engine": 4, "planning": 5, "report": 6, "cli": 6, "app": 6}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if len(path.relative_to(PACKAGE).parts) > 1)


def imported_wings(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("simtrials.")}


def forbidden(module: Path, source: str) -> set[str]:
    wing = module.parts[0]
    wings = imported_wings(source) - {wing}
    return {other for other in wings if LAYERS[other] > LAYERS[wing] or {wing, other} == {"trial", "inference"}}


# results print, draw and report themselves: they offer the method, the faces do the work
RESULTS = (
    "engine/result.py",
    "engine/population_fit/outcome.py",
    "engine/real_trial/outcome.py",
    "engine/real_studies/outcome.py",
    "engine/evidence/result.py",
    "planning/assurance.py",
    "planning/enrollment_result.py",
    "planning/detectable_effect.py",
    "planning/evidence_power.py",
    "planning/decisions.py",
    "planning/pilot.py",
    "planning/power_curve.py",
    "planning/sample_size.py",
    "planning/sensitivity.py",
)
FACES_OF_RESULTS = {Path(module): {"report"} for module in RESULTS}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_downwards(module):
    found = forbidden(module, (PACKAGE / module).read_text(encoding="utf-8"))
    assert found <= FACES_OF_RESULTS.get(module, set())


def test_the_check_of_imports_sees_an_upward_import():
    assert forbidden(Path("stats/means.py"), "from simtrials.trial.trial import Trial") == {"trial"}
    assert forbidden(Path("trial/simulate.py"), "import simtrials.inference.judge") == {"inference"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


HEAVY = {"scipy.stats", "matplotlib", "pyarrow", "numba", "pandas", "shiny", "numpy", "scipy"}


def test_import_simtrials_is_light():
    assert not HEAVY & modules_after("import simtrials")


def test_the_engine_imports_neither_scipy_stats_nor_matplotlib():
    assert not {"scipy.stats", "matplotlib", "pandas"} & modules_after("import simtrials.engine.run")


def test_public_names_can_be_imported_and_others_cannot():
    for name in simtrials.__all__:
        assert getattr(simtrials, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        simtrials.nothing_of_that_name  # noqa: B018


def test_files_stay_short():
    too_long = {str(module): count for module in MODULES if (count := len((PACKAGE / module).read_text(encoding="utf-8").splitlines())) > 400}
    assert not too_long
