"""The fields of a kind in words: meaning, range or permitted words, default; tables within it below."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from simtrials.core.check import Component
from simtrials.core.registry import SLOT

WIDTH = 100
Schema = Mapping[str, Any]


def field_lines(kind: type[Component]) -> Iterator[str]:
    """One entry per field, indented by how deep it lies."""
    schema = kind.model_json_schema()
    yield from _of_table(schema, schema.get("$defs", {}), 6)


def _of_table(table: Schema, definitions: Schema, indent: int) -> Iterator[str]:
    for name, given in table.get("properties", {}).items():
        if name == "kind":
            continue
        field = _resolved(given, definitions)
        parts = [str(given.get("description") or field.get("description") or ""), *(part for part in (_range(field), _default(given)) if part)]
        parts += ["required"] if name in table.get("required", ()) else []
        yield from _entry(name, "; ".join(part for part in parts if part), indent)
        for below in _tables(field, definitions):
            yield from _of_table(below, definitions, indent + 4)


def _entry(name: str, words: str, indent: int) -> list[str]:
    start = " " * indent + f"{name:<20} "
    return textwrap.wrap(words, WIDTH, initial_indent=start, subsequent_indent=" " * (indent + 21), break_on_hyphens=False) or [start.rstrip()]


def _resolved(field: Schema, definitions: Schema) -> Schema:
    """A field without the alternative of being left out, and without references."""
    if "$ref" in field:
        return _resolved(definitions[field["$ref"].rpartition("/")[2]], definitions)
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    return _resolved(choices[0], definitions) if len(choices) == 1 else field


def _tables(field: Schema, definitions: Schema) -> Iterator[Schema]:
    """Tables that a field may hold; kinds of another slot are listed there."""
    for choice in field.get("anyOf", [field]):
        found = _resolved(choice, definitions)
        if found.get("type") == "array":
            found = _resolved(found.get("items", {}), definitions)
        if "properties" in found:
            yield found


def _range(field: Schema) -> str:
    """Permitted words, or the range of a number, or of each number of a list."""
    if "enum" in field:
        return " or ".join(str(word) for word in field["enum"])
    if SLOT in field:
        return f"a kind of {field[SLOT]}"
    named = field.get("additionalProperties")
    if isinstance(named, Mapping):
        return f"kinds of {named[SLOT]} by name" if SLOT in named else _range(named)
    if "anyOf" in field:
        return "; or ".join(dict.fromkeys(words for choice in field["anyOf"] if (words := _range(choice))))
    if field.get("type") == "array":
        each = _range(field["items"]) if isinstance(field.get("items"), Mapping) else ""
        return f"each {each}" if each else ""
    low, high = (_end(field, inclusive, exclusive) for inclusive, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")))
    if low and high:
        return f"{low[0]} to {high[0]}" + (", the ends excluded" if low[1] and high[1] else "")
    if low:
        return f"greater than {low[0]}" if low[1] else f"at least {low[0]}"
    return "" if not high else f"less than {high[0]}" if high[1] else f"at most {high[0]}"


def _end(field: Schema, inclusive: str, exclusive: str) -> tuple[str, bool] | None:
    if inclusive in field:
        return f"{field[inclusive]:g}", False
    return (f"{field[exclusive]:g}", True) if exclusive in field else None


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None or value in ({}, []):
        return ""
    shown = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"default {shown}" if len(shown) <= 60 else ""
