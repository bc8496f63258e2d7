"""A scenario as the text of a file that reads back as the same scenario."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from simtrials.engine.declared import Declared

INLINE_WIDTH = 88


def scenario_toml(scenario: Declared) -> str:
    """Every value of the scenario as TOML, those at their default included, so that nothing hangs on the version that reads it."""
    return "\n".join(_table(values_of(scenario), "")).lstrip("\n") + "\n"


def values_of(component: BaseModel) -> dict[str, Any]:
    """A component as plain tables, without what is not given."""
    found = {}
    for name, field in type(component).model_fields.items():
        value = _plain(getattr(component, name))
        empty_by_default = value in ({}, []) and value == _plain(field.get_default(call_default_factory=True))
        if value is not None and not empty_by_default:
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return values_of(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _table(values: Mapping[str, Any], path: str) -> Iterator[str]:
    """The lines of a table: its own values first, then the tables below it."""
    below = _below(values, path)
    for key, value in values.items():
        if key not in below:
            yield from _pair(key, value)
    for key, value in below.items():
        place = f"{path}.{_key(key)}" if path else _key(key)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(value, list) or not _only_tables(item, place):
                yield from ("", f"[[{place}]]" if isinstance(value, list) else f"[{place}]")
            yield from _table(item, place)


def _below(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The values that are written as tables of their own. Where one is, all tables beside it are, for the order of named items matters."""
    below = {key: value for key, value in values.items() if _needs_header(key, value, path)}
    beside = {key: value for key, value in values.items() if isinstance(value, Mapping) or key in below}
    return beside if any(isinstance(value, Mapping) for value in below.values()) else below


def _only_tables(values: Mapping[str, Any], path: str) -> bool:
    """Whether a table has nothing to say itself, so that its header can be left out."""
    return bool(values) and len(_below(values, path)) == len(values)


def _needs_header(key: str, value: Any, path: str) -> bool:
    """Whether a value is a table of its own: at the top, or too long for one line."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return not path
    return isinstance(value, Mapping) and (path.count(".") < 1 or len(f"{_key(key)} = {_value(value)}") > INLINE_WIDTH)


def _pair(key: str, value: Any) -> Iterator[str]:
    line = f"{_key(key)} = {_value(value)}"
    if len(line) <= INLINE_WIDTH or not (isinstance(value, list) and value and isinstance(value[0], list)):
        yield line
        return
    yield f"{_key(key)} = ["
    yield from (f"    {_value(row)}," for row in value)
    yield "]"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    """A basic string; JSON escapes are those of TOML but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}" if value else "{}"
    raise TypeError(f"{type(value).__name__} cannot be written as TOML")
