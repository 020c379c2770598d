"""Settings as the text of a TOML file, defaults left out."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

from experiments.runs.encoding import plain


def as_toml(config: Any) -> str:
    """The text that :func:`experiments.config.load_config` reads as `config`.

    Args:
        config: a dataclass of settings.
    """
    return "\n".join(_table(changed(config), ())).strip() + "\n"


def changed(value: Any, tagged: bool = False) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as nested plain values.

    Args:
        value: a dataclass.
        tagged: whether another class could stand in its place, so that its own has to be named.
    """
    hints = typing.get_type_hints(type(value))
    found: dict[str, Any] = {"type": type(value).__name__} if tagged else {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if not _is_default(field, part):
            found[field.name] = _plain(part, _choices(hints[field.name]) > 1)
    return found


def _is_default(field: dataclasses.Field[Any], part: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(part == field.default)
    if field.default_factory is not dataclasses.MISSING:
        return bool(part == field.default_factory())
    return False


def _choices(hint: Any) -> int:
    """How many dataclasses a field allows."""
    if dataclasses.is_dataclass(hint):
        return 1
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, typing.Annotated):
        return sum(map(_choices, typing.get_args(hint)))
    return 0


def _plain(value: Any, tagged: bool) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # An empty table says nothing to a reader: one that is there for its defaults shows them.
        return changed(value, tagged) or _whole(value)
    if isinstance(value, list | tuple):
        return [_plain(item, tagged) for item in value]
    return plain(value)


def _whole(value: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(value, f.name), False) for f in dataclasses.fields(value)}


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Lines of a table: its own values first, as TOML wants it, then the tables in it."""
    lines = [f"{key} = {_value(v)}" for key, v in values.items() if not _is_table(v)]
    for key, value in values.items():
        if not _is_table(value):
            continue
        name = ".".join((*path, key))
        for item in value if isinstance(value, list) else [value]:
            heading = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            lines += ["", heading, *_table(item, (*path, key))]
    return lines


def _is_table(value: Any) -> bool:
    """Whether it has a heading of its own: small tables stand in a line."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) and (len(value) > 3 or any(map(_is_table, value.values())))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_value(v)}" for key, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # JSON writes texts, numbers and truth values as TOML does; there is no null among settings.
    return json.dumps(value, ensure_ascii=False)
