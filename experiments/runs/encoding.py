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
    differ in a class alone (one reset policy or another) differ in JSON too. A field that was
    renamed keeps the name "stored" of its metadata, so that stored results keep their digests.

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
        fields = {stored_name(f): plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {_key(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Fraction | PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be stored in a result file: {value!r}")


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
