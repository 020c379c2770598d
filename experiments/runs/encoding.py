"""Values as canonical JSON: the same value gives the same bytes on every run and machine."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:
    """`value` as JSON data: arrays as lists, fractions as "a/b", enums by value.

    Dataclasses become objects that carry their class as "type", so that two configurations that
    differ in a class alone (one reset policy or another) differ in JSON too.

    Three kinds of metadata let stored results keep their digests: a field that was renamed keeps
    the name "stored"; one that was added "later" is left out at its default; and the fields of a
    value that once stood beside it are "flat", as they were.

    Raises:
        TypeError: for what has no such form, naming its class.
    """
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **_plain_fields(value)}
    if isinstance(value, Mapping):
        return {_key(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Fraction | PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be stored in a result file: {value!r}")


def _plain_fields(value: Any) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if field.metadata.get("flat"):
            stored |= _plain_fields(part)
        elif not (field.metadata.get("later") and part == _default(field)):
            stored[stored_name(field)] = plain(part)
    return stored


def _default(field: dataclasses.Field[Any]) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def stored_name(field: dataclasses.Field[Any]) -> str:
    """The name of a field in stored settings."""
    return str(field.metadata.get("stored", field.name))


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"keys of stored objects are text, not {type(key).__name__}: {key!r}")


def canonical(value: Any) -> str:
    """One line of JSON with sorted keys; floats as their shortest exact decimal.

    Infinite and undefined floats are written as Python's json does (Infinity, NaN).
    """
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(", ", ": "))


def digest(value: Any) -> str:
    """Hexadecimal name of a value: equal values and only they share it."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
