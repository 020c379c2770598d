"""Records of files (JSONL, parquet, Arrow) and data sets, with where each came from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        source: file or data set.
        unit: what it is counted in, "line" or "row".
        position: 1-based.
        values: field -> value.
    """

    source: str
    unit: str
    position: int
    values: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.source}, {self.unit} {self.position}"

    def text(self, name: str) -> str:
        """Return the text in a field, blanks around it removed; numbers are written out.

        Args:
            name: of the field; dots lead into nested records and lists.

        Raises:
            InvalidInput: if it is not there, empty, or neither a text nor a finite number.
        """
        value = self._value(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        # True and False are integers in Python, but no answers that are numbers.
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return str(value)
        raise self._refusal(name, value)

    def texts(self, name: str) -> dict[str, str]:
        """Return the texts of a list in a field, or a field as a list of one, by their names.

        Raises:
            InvalidInput: if one of them is unusable or there is none, see :meth:`text`.
        """
        value = self._value(name)
        if not isinstance(value, list):
            return {name: self.text(name)}
        if not value:
            raise self._refusal(name, value)
        return {part: self.text(part) for part in (f"{name}.{i}" for i in range(len(value)))}

    def as_text(self, name: str) -> dict[str, str]:
        """Return what a field holds as one text by its name; what is no text as JSON.

        Raises:
            InvalidInput: if it is not there, empty, or JSON cannot hold it.
        """
        value = self._value(name)
        if not isinstance(value, list | dict) or not value:
            return {name: self.text(name)}
        try:
            return {name: json.dumps(value)}
        except TypeError as error:
            raise self._refusal(name, value) from error

    def _refusal(self, name: str, value: Any) -> InvalidInput:
        if value is None or value == [] or (isinstance(value, str) and not value.strip()):
            problem = "empty"
        elif isinstance(value, float):
            problem = "not a finite number"
        else:
            problem = "neither a text nor a number"
        return InvalidInput(
            f"{self.place}, field {name}", value, problem, "give one, or leave the record out"
        )

    def _value(self, name: str) -> Any:
        value: Any = self.values
        for part in name.split("."):
            value = self._inside(value, part, name)
        return value

    def _inside(self, value: Any, part: str, name: str) -> Any:
        if isinstance(value, Mapping) and part in value:
            return value[part]
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            return value[int(part)]
        there = sorted(value) if isinstance(value, Mapping) else type(value).__name__
        raise InvalidInput(
            f"{self.place}, field {name}", there, f"no {part!r} there", "name one of its fields"
        )


def read_records(source: str, field: str = "source") -> Iterator[Record]:
    """Yield the records of a source in their order.

    Args:
        source: a file ending in ".jsonl", ".parquet" or ".arrow"; or, read by the `datasets`
            library, a directory or the name of a data set, such as "openai/gsm8k:main@train", where
            the configuration and the split may be left out.
        field: the setting that names it, for messages.

    Raises:
        InvalidInput: if it is not there or cannot be read, with the line where there is one.
    """
    path = Path(source)
    if path.suffix in _FILES:
        if not path.is_file():
            raise InvalidInput(field, path, "no such file", "give the path of one that exists")
        yield from _FILES[path.suffix](path, field)
    elif path.is_file():
        raise InvalidInput(field, path, "not a kind of file that is read", f"use {set(_FILES)}")
    else:
        yield from _read_dataset(source, field)


def _read_jsonl(path: Path, _field: str) -> Iterator[Record]:
    # As bytes: lines of a text would also end at U+2028 and the like, which JSON may hold.
    for position, raw in enumerate(path.read_bytes().splitlines(), 1):
        if not raw.strip():
            continue
        try:
            values = json.loads(raw)
        except ValueError as error:  # of JSON or of UTF-8
            raise InvalidInput(
                f"{path}, line {position}", raw, f"not JSON: {error}", "correct the line"
            ) from error
        if not isinstance(values, dict):
            raise InvalidInput(
                f"{path}, line {position}", values, "not a JSON object", "write {field: value, ...}"
            )
        yield Record(str(path), "line", position, values)


def _read_parquet(path: Path, field: str) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        raise InvalidInput(
            field, path, f"not a parquet file: {error}", "write the file again"
        ) from error
    for position, values in enumerate(table.to_pylist(), 1):
        yield Record(str(path), "row", position, values)


def _read_arrow(path: Path, field: str) -> Iterator[Record]:
    """Records of an Arrow file, of either format: `datasets` writes streams."""
    import pyarrow
    from pyarrow import ipc

    try:
        with pyarrow.memory_map(str(path)) as file:
            try:
                table = ipc.open_stream(file).read_all()
            except pyarrow.ArrowInvalid:
                file.seek(0)
                table = ipc.open_file(file).read_all()
            rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(
            field, path, f"not an Arrow file: {error}", "write the file again"
        ) from error
    for position, values in enumerate(rows, 1):
        yield Record(str(path), "row", position, values)


_FILES = {".jsonl": _read_jsonl, ".parquet": _read_parquet, ".arrow": _read_arrow}
READABLE = frozenset(_FILES)
"""Endings of the files that are read."""


def _read_dataset(source: str, field: str) -> Iterator[Record]:
    """Rows of a directory or a data set of the hub, by the `datasets` library."""
    import datasets

    name, _, split = source.partition("@")
    name, _, configuration = name.partition(":")
    try:
        table = datasets.load_dataset(name, configuration or None, split=split or "train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        # There is no network, data set, configuration or split, or a file is broken.
        raise InvalidInput(
            field,
            source,
            f"cannot be loaded as a data set: {error}",
            "give a .jsonl, .parquet or .arrow file, or name[:configuration][@split] of a data set",
        ) from error
    for position, values in enumerate(table, 1):
        yield Record(source, "row", position, values)
