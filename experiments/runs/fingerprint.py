"""Content of the files and folders that a setting names: data sets, model folders.

Two settings with the same path are not the same setting if the file has changed. Whoever stores
results therefore stores, beside the settings, a fingerprint of what they point to.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@functools.singledispatch
def points_to(_value: object) -> Mapping[str, Path]:
    """Files and folders that a value itself names, each under the name that it has in settings.

    Classes that hold paths register their own; by default there are none. The values inside it are
    asked by :func:`fingerprint`.
    """
    return {}


def fingerprint(value: object) -> dict[str, str]:
    """Digests of every file and folder that `value` and the values inside it name.

    Names for which nothing is on this disk (models and data sets on a hub) have no digest: they are
    not checked.
    """
    return {
        name: _content(path)
        for inner in _walk(value)
        for name, path in points_to(inner).items()
        if path.exists()
    }


def _walk(value: object) -> Iterator[object]:
    yield value
    parts: Iterator[Any] = iter(())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, field.name) for field in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        parts = iter(value.values())
    elif isinstance(value, list | tuple):
        parts = iter(value)
    for part in parts:
        yield from _walk(part)


def _content(path: Path) -> str:
    """Digest of a file, or of the names and contents of all files in a folder."""
    if path.is_file():
        return _of_file(path)
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{_of_file(file)}\n".encode())
    return total.hexdigest()


# Seconds after which a file that is written again has another time.
_SETTLED = 2.0


def _of_file(path: Path) -> str:
    # Sizes and times only spare the work of reading gigabytes again within one process, and say
    # nothing of a file that was written just now.
    state = path.stat()
    if time.time() - state.st_mtime < _SETTLED:
        return _digest(path)
    return _known_digest(path.resolve(), state.st_size, state.st_mtime_ns, state.st_ino)


@functools.lru_cache(maxsize=4096)
def _known_digest(path: Path, *_state: int) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
