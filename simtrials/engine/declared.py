"""What every scenario states besides what is simulated: its name and question, seed, number of replicates, patterns of results, sources."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from simtrials.core.check import Component, Many, OpenProbability, Within, fault
from simtrials.core.errors import Problem, did_you_mean
from simtrials.core.registry import SLOT
from simtrials.core.rng import STREAM_VERSION
from simtrials.engine.provenance import plugin_sources
from simtrials.trial.checks import Draft
from simtrials.trial.distributions import DISTRIBUTIONS, Distribution

SCENARIO, NULL = "scenario", "null"
"""Names of the cells that hold the scenario as it is declared, and the same without effect."""
NAMES_ONLY = frozenset(
    {"name", "question", "n_replicates", "sources", "target_power", "null_grid", "patterns", "primary", "priors", "variants", "sweep"}
    | {"recruitment", "costs", "enrollment", "decision", "pilot"}
)
"""Fields that change no draw and no estimate, and so are not part of the digest."""


class Pattern(Component):
    """A result over several analyses: how often do some show a benefit in the same trial while others do not?"""

    shows: Many[str] = Field(default=(), description="analyses that show a benefit")
    does_not_show: Many[str] = Field(default=(), description="analyses that do not show a benefit; they may show harm")
    not_significant: Many[str] = Field(default=(), description="analyses that are significant in neither direction")
    label: str = Field(default="", description="how tables call it")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        both = set(self.shows) & {*self.does_not_show, *self.not_significant}
        if both:
            raise fault(f"{sorted(both)[0]!r} cannot both show a benefit and not")
        if not self.names:
            raise fault("name at least one analysis in shows, does_not_show or not_significant")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The analyses that it looks at."""
        return (*self.shows, *self.does_not_show, *self.not_significant)


class Declared(Component):
    """A scenario of any kind."""

    name: str = Field(description="short name; results are stored under it", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    question: str = Field(default="", description="the question that the scenario answers; the title of the report")
    seed: Annotated[int, Within(0, 2**63 - 1)] = Field(default=1, description="seed of all random streams")
    n_replicates: Annotated[int, Within(2, 100_000_000)] = Field(default=10_000, description="simulated trials, or bodies of evidence")
    target_power: OpenProbability = Field(default=0.8, description="power that is aimed at, for tables and figures")
    primary: Many[str] = Field(default=(), description="analyses (or syntheses) whose power must be precise under --mcse; default: all")
    patterns: dict[str, Pattern] = Field(default_factory=dict, description="results over several analyses (or syntheses) whose frequency is reported")
    priors: dict[str, Annotated[Distribution, DISTRIBUTIONS]] = Field(
        default_factory=dict,
        description="what is left open of a field, by its path, for the probability of success averaged over it; meta:DIR is that of a meta-analysis",
        json_schema_extra={"additionalProperties": {"anyOf": [{SLOT: DISTRIBUTIONS.slot}, {"type": "string", "pattern": "^meta:"}]}},
    )
    sources: dict[str, str] = Field(default_factory=dict, description="where a value comes from, by the path of the field; shown in the report")

    _folder: Path | None = PrivateAttr(default=None)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """The folder in which data files are looked for."""
        return self._folder

    @property
    def file(self) -> Path | None:
        """The file that it was read from."""
        return self._file

    def in_folder(self, folder: Path | None, file: Path | None = None) -> Self:
        """The same scenario with data files looked for in `folder`; `file` is where it was read from."""
        copy = self.model_copy()
        copy._folder, copy._file = folder, file
        return copy

    def declaration(self) -> dict[str, Any]:
        """The scenario as plain values, without what is at its default."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}

    def digest(self, checksums: Mapping[str, str]) -> str:
        """Fingerprint of all that changes a draw or an estimate: the declaration, the data, the code of plugins, the version of the streams."""
        content = {key: value for key, value in self.model_dump(mode="json").items() if key not in NAMES_ONLY}
        whole = {"scenario": content, "data": dict(sorted(checksums.items())), "streams": STREAM_VERSION, "plugins": plugin_sources(self)}
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:12]  # the order of named items matters to draws


def patterns_name(draft: Draft, part: str, noun: str) -> Iterator[Problem]:
    """Primary ones and patterns name items of a part: analyses, or syntheses."""
    known = draft.parts[part]
    for name in draft.parts.get("primary", ()):
        if name not in known and not draft.lost(part, name):
            yield Problem("primary", f"no {noun} called {name!r}{did_you_mean(name, known)}")
    for pattern, declared in draft.parts.get("patterns", {}).items():
        for name in declared.names:
            if name not in known and not draft.lost(part, name):
                yield Problem(f"patterns.{pattern}", f"no {noun} called {name!r}{did_you_mean(name, known)}")


def sources_name_fields(draft: Draft, fields: Mapping[str, Any]) -> Iterator[Problem]:
    """A source belongs to a field, or to a table of fields, that there is."""
    for path in draft.parts.get("sources", {}):
        place: Any = draft.parts
        for step, part in enumerate(path.split(".")):
            known = _items_of(place)
            if part not in known:
                broken = step == 0 and part in fields
                if not broken and not (step == 1 and draft.lost(path.split(".")[0], part)):
                    yield Problem(f"sources.{path!r}", f"there is no field {part!r} there{did_you_mean(part, known)}")
                break
            place = known[part]


def _items_of(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Component):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return {str(i): item for i, item in enumerate(value)}
    return value if isinstance(value, Mapping) else {}
