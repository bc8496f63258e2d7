"""Scenario files and data files: read, checked part by part so that every fault is told at once, and found by name when they are shipped."""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError, create_model

from simtrials.core.check import Component, problems_of, shown
from simtrials.core.data import Table
from simtrials.core.errors import DeclarationError, Problem, SimtrialsError, did_you_mean
from simtrials.core.expressions import Category, Column
from simtrials.engine.declared import Declared
from simtrials.engine.evidence.scenario import EvidenceScenario, evidence_scenario_problems
from simtrials.engine.meta_priors import with_meta_priors
from simtrials.engine.scenario import Scenario, scenario_problems
from simtrials.trial.checks import Draft

PRIORS = "priors"
NAMED = ("assays", "endpoints", "departures", "estimands", "analyses", "patterns", "outcomes", "syntheses", "variants", "priors")
"""Tables of named items; each item is checked on its own."""
Readable = Scenario | EvidenceScenario
M = TypeVar("M", bound=Declared)


def read(path: str | Path, changes: Mapping[str, Any] | None = None) -> Readable:
    """Read a scenario file (or a shipped scenario by name); `changes` sets fields by their path before anything is checked.

    A file with [studies] declares bodies of evidence, any other a trial.

    Raises
    ------
    DeclarationError
        With every fault of the file at once.
    """
    source = find_scenario(path)
    raw = parse_toml(source)
    for place, value in (changes or {}).items():
        set_at(raw, place, value)
        _forget_sources(raw, place, value)
    try:
        return declared_from(with_meta_priors(raw, source.parent), source.parent).in_folder(source.parent, source)
    except DeclarationError as error:
        raise located(error.problems, source) from None


def _forget_sources(raw: dict[str, Any], place: str, value: Any) -> None:
    """Sources of fields that a change has taken away go with them, and so does that of the priors as a whole when others take their place."""
    sources = raw.get("sources")
    if isinstance(sources, dict) and isinstance(value, dict):
        if place == PRIORS:
            sources = {path: words for path, words in sources.items() if path != PRIORS}
        below = [path for path in sources if path.startswith(f"{place}.")]
        raw["sources"] = {path: words for path, words in sources.items() if path not in below or _leads_somewhere(value, path[len(place) + 1 :])}


def _leads_somewhere(value: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def located(problems: Sequence[Problem], source: Path | None, name: str = "the scenario") -> DeclarationError:
    """All faults as one error that names the file and the lines; the name of the scenario where it was not read from a file."""
    if source is None:
        return DeclarationError(problems, name)
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return DeclarationError([Problem(_with_line(problem.place, lines), problem.sentence) for problem in problems], source.name)


def parse_toml(source: Path) -> dict[str, Any]:
    """The raw tables of a file."""
    try:
        return tomllib.loads(source.read_bytes().decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DeclarationError([Problem("", f"this is not TOML: {error}")], source.name) from None
    except UnicodeDecodeError:
        raise DeclarationError([Problem("", "this is not a text file in UTF-8; save it as UTF-8")], source.name) from None


def read_trial(path: str | Path, changes: Mapping[str, Any] | None = None) -> Scenario:
    """The scenario of a trial.

    Raises
    ------
    SimtrialsError
        When the file declares bodies of evidence.
    """
    found = read(path, changes)
    if not isinstance(found, Scenario):
        raise SimtrialsError(f"{path} declares bodies of evidence, and this is about the patients of one trial; name the scenario of a trial")
    return found


def is_evidence(raw: Mapping[str, Any]) -> bool:
    """Whether a file declares bodies of evidence: it has studies or syntheses."""
    return "studies" in raw or "syntheses" in raw


def declared_from(raw: Mapping[str, Any], folder: Path | None = None) -> Readable:
    """A scenario of either kind from plain tables."""
    return evidence_from(raw, folder) if is_evidence(raw) else scenario_from(raw, folder)


def scenario_from(raw: Mapping[str, Any], folder: Path | None = None) -> Scenario:
    """The scenario of a trial from plain tables; data files are looked for in `folder`."""
    return _checked(Scenario, scenario_problems, raw).in_folder(folder)


def evidence_from(raw: Mapping[str, Any], folder: Path | None = None) -> EvidenceScenario:
    """The scenario of bodies of evidence from plain tables; data files are looked for in `folder`."""
    return _checked(EvidenceScenario, evidence_scenario_problems, raw).in_folder(folder)


def _checked(model: type[M], cross_checks: Callable[[Draft], Iterable[Problem]], raw: Mapping[str, Any]) -> M:
    """Every part is checked by itself, then the parts that could be read against each other."""
    problems: list[Problem] = []
    parts: dict[str, Any] = {}
    broken: dict[str, set[str]] = {}
    fields = model.model_fields
    problems += [Problem(name, "is not known here" + _meant(name, fields, raw)) for name in raw if name not in fields]
    for name, info in fields.items():
        if name not in raw:
            if info.is_required():
                problems.append(Problem(name, "is missing"))
            else:
                parts[name] = info.get_default(call_default_factory=True)
        elif name in NAMED and isinstance(raw[name], Mapping):
            parts[name], lost = _named_items(model, name, raw[name], problems)
            broken[name] = lost
            if not parts[name] and not lost and info.is_required():
                problems.append(Problem(name, "needs at least one item"))
        else:
            _one_field(model, name, raw[name], parts, problems)
    problems += cross_checks(Draft(parts, broken))
    if problems:
        raise DeclarationError(problems)
    return model.model_validate({name: parts[name] for name in fields if name in raw})


def _meant(name: str, fields: Iterable[str], raw: Mapping[str, Any]) -> str:
    """The end of a sentence that names a field that lies deeper in the scenario, where one is called so, or the nearest at the top."""
    deeper = {path.rpartition(".")[2]: path for path in sorted(_paths(raw), key=len, reverse=True) if "." in path}
    known = [*fields, *(deeper if not isinstance(raw[name], Mapping) or (name in deeper and deeper[name].count(".") == 1) else ())]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {deeper[near[0]]!r}?" if near and near[0] in deeper else did_you_mean(name, fields)


def _paths(raw: Any, above: str = "") -> Iterator[str]:
    """The paths of everything below a table or a list."""
    items = raw.items() if isinstance(raw, Mapping) else enumerate(raw) if isinstance(raw, list) else ()
    for name, value in items:
        path = f"{above}.{name}" if above else str(name)
        yield path
        yield from _paths(value, path) if above != "sources" else ()


def _named_items(model: type[Component], name: str, items: Mapping[str, Any], problems: list[Problem]) -> tuple[dict[str, Any], set[str]]:
    found: dict[str, Any] = {}
    lost: set[str] = set()
    for item, value in items.items():
        try:
            found |= getattr(_only(model, name).model_validate({name: {item: value}}), name)
        except ValidationError as error:
            lost.add(item)
            problems += problems_of(error)
    return found, lost


def _one_field(model: type[Component], name: str, value: Any, parts: dict[str, Any], problems: list[Problem]) -> None:
    try:
        parts[name] = getattr(_only(model, name).model_validate({name: value}), name)
    except ValidationError as error:
        problems += problems_of(error)


@cache
def _only(model: type[Component], name: str) -> type[Component]:
    """A model with this one field of a scenario."""
    info = model.model_fields[name]
    return create_model(f"Only_{name}", __base__=Component, **{name: (info.annotation, info)})  # type: ignore[call-overload, no-any-return]


def set_at(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set a field by its path; items of a list are counted from 0: `eligibility.0.at_least` or `eligibility[0].at_least`."""
    *parents, last = re.sub(r"\[(\d+)\]", r".\1", path).split(".")
    place: Any = raw
    for part in parents:
        try:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        except (ValueError, IndexError):
            raise SimtrialsError(f"{path}: there is no item {part!r}; lists count from 0") from None
        if not isinstance(place, dict | list):
            raise SimtrialsError(f"{path}: {part!r} is {shown(place)}, not a table")
    try:
        place[int(last) if isinstance(place, list) else last] = deepcopy(value)  # a later path may go into it
    except (ValueError, IndexError):
        raise SimtrialsError(f"{path}: there is no item {last!r}; lists count from 0") from None


def _with_line(place: str, lines: list[str]) -> str:
    """The place of a fault with its line, when it can be found."""
    line = line_of(place, lines)
    return f"{place} (line {line})" if line else place


def line_of(place: str, lines: list[str]) -> int | None:
    """The line of a TOML file on which a path is set, or the nearest table around it."""
    wanted = re.sub(r"\[(\d+)\]", r".\1", place).split(".")
    header: list[str] = []
    counts: dict[str, int] = {}
    best: tuple[int, int] | None = None
    for number, text in enumerate(lines, start=1):
        table = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?", text)
        key = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", text)
        if table:
            header = [part.strip("\"' ") for part in table.group(2).split(".")]
            if table.group(1) == "[[":
                joined = ".".join(header)
                counts[joined] = counts.get(joined, -1) + 1
                header = [*header, str(counts[joined])]
            found = header
        elif key:
            found = header + [part.strip("\"' ") for part in key.group(1).split(".")]
        else:
            continue
        depth = len(found)
        if found == wanted[:depth] and (best is None or depth > best[0]):
            best = (depth, number)
    return best[1] if best and wanted != [""] else None


def find_scenario(path: str | Path) -> Path:
    """The file, or the shipped scenario of that name."""
    given = Path(path)
    if given.is_file():
        return given
    shipped = shipped_scenarios()
    if str(path) in shipped:
        return shipped[str(path)]
    if given.is_dir():
        raise SimtrialsError(f"{path} is a folder; name a scenario file in it")
    near = [str(other) for other in given.parent.glob("*.toml")] if given.parent.is_dir() else []
    raise SimtrialsError(f"no file {path}{did_you_mean(str(path), [*near, *shipped])}")


def shipped_scenarios() -> dict[str, Path]:
    """Scenario files that come with the package, by name."""
    inside = Path(str(resources.files("simtrials"))) / "scenarios"
    folder = inside if inside.is_dir() else inside.parent.parent / "scenarios"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def shipped_data() -> dict[str, Path]:
    """Data sets that come with the package, by name."""
    folder = Path(str(resources.files("simtrials"))) / "datasets"
    return {file.stem: file for file in sorted(folder.glob("*.csv"))}


def tables_of(scenario: Readable) -> dict[str, Table]:
    """The data files of a scenario, by the name under which it calls them."""
    names = scenario.population.files() if scenario.population else ()
    try:
        return {name: read_table(name, scenario.folder) for name in names}
    except SimtrialsError as error:
        place = "population.data"
        below = scenario.population
        while below is not None and hasattr(below, "base"):
            place, below = place.replace("population", "population.base", 1), below.base
        raise located([Problem(place, str(error))], scenario.file, scenario.name) from None


def read_table(name: str, near: Path | None = None) -> Table:
    """A data set that comes with the package, or a CSV or Parquet file; a relative path starts at `near`.

    Raises
    ------
    SimtrialsError
        When there is no such file, or it cannot be read as a table.
    """
    shipped = shipped_data()
    path = shipped.get(name, (near or Path()) / name)
    if not path.is_file():
        raise SimtrialsError(f"no file {name!r} and no data set of that name{did_you_mean(name, shipped)}")
    content = path.read_bytes()
    columns = _columns(path, content)
    if not columns:
        raise SimtrialsError(f"{name} has no columns")
    n_rows = next(iter(columns.values())).shape[0]
    return Table(name, columns, n_rows, hashlib.sha256(content).hexdigest())


def _columns(path: Path, content: bytes) -> dict[str, Column]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = parquet.read_table(pa.BufferReader(content))
        else:
            names = content.split(b"\n", 1)[0]
            if b"," not in names and (b";" in names or b"\t" in names):
                sentence = "is not separated by commas; save it with commas between columns and points in decimal numbers"
                raise SimtrialsError(f"{path.name} {sentence}")
            table = csv.read_csv(pa.BufferReader(content), convert_options=csv.ConvertOptions(strings_can_be_null=True))
        twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
        if twice:
            raise SimtrialsError(f"{path.name} has two columns called {twice[0]!r}; rename one of them")
        return {name: _column(table.column(name)) for name in table.column_names}
    except (pa.ArrowException, UnicodeDecodeError) as error:
        hint = "; save it as UTF-8" if "UTF8" in str(error) or isinstance(error, UnicodeDecodeError) else ""
        raise SimtrialsError(f"cannot read {path.name} as a table: {str(error).splitlines()[0]}{hint}") from None


def _column(values: Any) -> Column:
    """Numbers become floats with NaN where empty, everything else a category with code -1 where empty."""
    import pyarrow as pa

    kind = values.type
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)
    if any(is_number(kind) for is_number in numbers):
        return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    texts = values.cast(pa.string()).to_pylist()
    levels = tuple(sorted({text for text in texts if text is not None}))
    code = {level: i for i, level in enumerate(levels)}
    return Category(np.array([-1 if text is None else code[text] for text in texts], dtype=np.int32), levels)
