"""A declared component as a block of TOML that can be pasted into a scenario file."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 100
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def block(path: Sequence[str], table: Mapping[str, Any]) -> str:
    """The table under its header, tables within it after it."""
    return "\n".join(_lines(path, table)) + "\n"


def _lines(path: Sequence[str], table: Mapping[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) or _inline(key, value)}
    if plain:
        yield f"[{'.'.join(_key(part) for part in path)}]"
        for key, value in plain.items():
            yield from _entry(key, value)
    for key, value in table.items():
        if key not in plain:
            if plain or key != next(iter(table)):
                yield ""
            yield from _lines([*path, key], value)


def _inline(key: str, table: Mapping[str, Any]) -> bool:
    """Whether a table of numbers fits on one line."""
    return all(isinstance(value, float) for value in table.values()) and len(f"{_key(key)} = {_value(table)}") <= WIDTH


def _entry(key: str, value: Any) -> Iterator[str]:
    line = f"{_key(key)} = {_value(value)}"
    if not isinstance(value, list) or (len(line) <= WIDTH and not any(isinstance(item, list) for item in value)):
        yield line
        return
    yield f"{_key(key)} = ["
    if isinstance(value[0], list):
        yield from (f"    {_value(row)}," for row in value)
    else:
        yield from _wrapped([_value(item) for item in value])
    yield "]"


def _wrapped(items: Sequence[str]) -> Iterator[str]:
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            yield line
            line = "   "
        line += f" {item},"
    yield line


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {_value(item)}' for name, item in value.items())} }}"
    return repr(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> str:
    """A sentence as comment lines, wrapped."""
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return "\n".join([*lines, line])
