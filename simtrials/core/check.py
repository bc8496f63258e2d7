"""What a declaration may hold: the base class of components, and number types that say their range and unit when it is not kept."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from simtrials.core.errors import Problem, did_you_mean

T = TypeVar("T")
Many = Annotated[tuple[T, ...], Strict(False)]


class Component(BaseModel):
    """A declared part of a scenario: frozen, strict, without unknown fields; a value that can be compared and copied."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True)


@dataclass(frozen=True)
class Within:
    """Range of a number, for an annotated type; the error names range, unit and what was found."""

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.low) and math.isinf(self.high):
            return "must be a finite number"
        if math.isinf(self.high):
            return f"must be {'greater than' if self.open_low else 'at least'} {self.low:g}{unit}"
        if math.isinf(self.low):
            return f"must be {'less than' if self.open_high else 'at most'} {self.high:g}{unit}"
        return f"must be in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}{unit}"

    def _check(self, value: Any) -> Any:
        if not math.isfinite(value):
            raise PydanticCustomError("range", "must be a finite number, got {found}", {"found": f"{value:g}"})
        if not self.holds(value):
            raise PydanticCustomError("range", "{must}, got {found}", {"must": str(self), "found": f"{value:g}"})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        json_schema = dict(handler(schema))
        if math.isfinite(self.low):
            json_schema["exclusiveMinimum" if self.open_low else "minimum"] = self.low
        if math.isfinite(self.high):
            json_schema["exclusiveMaximum" if self.open_high else "maximum"] = self.high
        return json_schema


Finite = Annotated[float, Within()]
Positive = Annotated[float, Within(low=0, open_low=True)]
NonNegative = Annotated[float, Within(low=0)]
Probability = Annotated[float, Within(low=0, high=1)]
OpenProbability = Annotated[float, Within(low=0, high=1, open_low=True, open_high=True)]
Correlation = Annotated[float, Within(low=-1, high=1)]
Weeks = Annotated[float, Within(low=0, unit="weeks")]
PositiveWeeks = Annotated[float, Within(low=0, unit="weeks", open_low=True)]
Concentration = Annotated[float, Within(low=0, high=300, unit="mg/L", open_low=True)]
Count = Annotated[int, Within(low=1)]


def path_of(location: Iterable[int | str]) -> str:
    """The location of an error as it would be written: ``endpoints.madrs.weeks[2]``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else str(part)
    return path


def problems_of(error: ValidationError, prefix: tuple[int | str, ...] = (), fields: Iterable[str] = ()) -> list[Problem]:
    """Every fault that pydantic found, as places and plain sentences; `fields` are the names an unknown one may have meant."""
    return [Problem(path_of((*prefix, *place)), str(sentence)) for *place, sentence in told(error, fields)]


def told(error: ValidationError, fields: Iterable[str] = ()) -> list[tuple[Any, ...]]:
    """Place and sentence of each fault; of a field that may be one thing or another, the faults of what was meant."""
    found = error.errors(include_url=False)
    places = [tuple(part for part in one["loc"] if not _ALTERNATIVE.match(str(part))) for one in found]
    wanted: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one, place in zip(found, places, strict=True):
        if one["type"] in _EXPECTED and place != one["loc"]:
            wanted.setdefault(place, {})[_EXPECTED[one["type"]]] = one["input"]
    lines: list[tuple[Any, ...]] = []
    for one, place in zip(found, places, strict=True):
        if place not in wanted or one["type"] not in _EXPECTED:
            lines.append((*place, sentence_of(one, fields)))
    for place, kinds in wanted.items():
        if not any(line[: len(place)] == place for line in lines):
            lines.append((*place, f"expected {' or '.join(kinds)}, got {shown(next(iter(kinds.values())))}"))
    return lines


_ALTERNATIVE = re.compile(r"(function-(after|before|wrap|plain)|dict|list|tuple|union|literal|nullable)\[")
"""How pydantic calls an alternative of a field in the place of a fault; no name of a field begins so."""


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in square brackets",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def sentence_of(found: ErrorDetails, fields: Iterable[str] = ()) -> str:
    """What must hold and what was found, in words, for one fault that pydantic reports."""
    kind, value = found["type"], found["input"]
    if kind == "missing":
        return "is missing"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {shown(value)}"
    if kind == "extra_forbidden":
        return "is not known here" + did_you_mean(str(found["loc"][-1]), fields)
    if kind == "literal_error":
        return f"must be {found['ctx']['expected']}, got {shown(value)}"
    if kind in ("too_long", "too_short"):
        most = kind == "too_long"
        limit, items = found["ctx"]["max_length" if most else "min_length"], found["ctx"]["actual_length"]
        return f"must have at {'most' if most else 'least'} {limit} item{'s' if limit != 1 else ''}, got {items}"
    if kind == "string_pattern_mismatch":
        return f"may have letters, digits, '_', '-' and '.', and starts with a letter or a digit, got {shown(value)}"
    return found["msg"]


def shown(value: Any) -> str:
    """A value of a file as an error shows it: short, and quoted when it is text."""
    if isinstance(value, Mapping):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def faults(found: Iterable[tuple[Any, ...]]) -> ValidationError:
    """A validation error with a place, one or more parts, and a sentence for each fault."""
    lines = [InitErrorDetails(type=fault(sentence), loc=tuple(place), input=None) for *place, sentence in found]
    return ValidationError.from_exception_data("component", lines)


@dataclass(frozen=True)
class OneOrOther:
    """A value that is either simple or, when it is a table or a list, of another type; only the faults of the one meant are told."""

    simple: Any
    other: Any

    def _validate(self, value: Any) -> Any:
        meant = self.other if isinstance(value, (Mapping, list, tuple, BaseModel)) else self.simple
        adapter = TypeAdapter(meant)
        try:
            return adapter.validate_python(value, strict=not isinstance(value, (list, tuple)))
        except ValidationError as error:
            fields = getattr(meant, "model_fields", ())
            raise faults(told(error, fields)) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        shown_as = core_schema.union_schema([handler.generate_schema(self.simple), handler.generate_schema(self.other)])
        return core_schema.no_info_plain_validator_function(
            self._validate,
            json_schema_input_schema=shown_as,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain),
        )

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [TypeAdapter(kind).json_schema() for kind in (self.simple, self.other)]}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def fault(sentence: str) -> PydanticCustomError:
    """An error that a validator raises: the sentence is shown as it is."""
    return PydanticCustomError("fault", "{sentence}", {"sentence": sentence})
