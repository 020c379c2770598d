"""Files of a run: written whole or not at all, tables of records as JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from cpi_theory.files import written_whole
from experiments.errors import CannotWrite, CorruptFile
from experiments.runs.encoding import canonical, plain

Row = dict[str, Any]


def atomic_write(path: Path, data: bytes) -> None:
    """Store `data` at `path` whole or not at all, durable once this returns.

    Raises:
        CannotWrite: disk full, no permission, ...; what was at `path` before is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise CannotWrite(path, error) from error


def read_bytes(path: Path) -> bytes:
    """Content of a stored file.

    Raises:
        InvalidInput: if it is not there or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            "file", path, f"cannot be read ({error.strerror})", "run what makes it first"
        ) from error


def read_object(path: Path) -> Row:
    """The JSON object in a file.

    Raises:
        InvalidInput: if it is not there or cannot be read.
        CorruptFile: if it holds anything else.
    """
    data = read_bytes(path)
    try:
        value = json.loads(data)
    except ValueError as error:
        raise CorruptFile(path, f"is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise CorruptFile(path, "holds no JSON object")
    return value


def write_object(path: Path, value: Mapping[str, Any]) -> None:
    """Store a JSON object, a field per line, whole or not at all.

    Raises:
        CannotWrite: what was at `path` before is untouched.
    """
    text = json.dumps(plain(value), indent=1, sort_keys=True, ensure_ascii=False)
    atomic_write(path, (text + "\n").encode())


def parse_rows(path: Path, data: bytes, first_line: int = 1) -> list[Row]:
    """Rows in the JSONL text `data`, which starts at line `first_line` of `path`.

    Raises:
        CorruptFile: naming the line that is cut off, or that holds no JSON object.
    """
    lines = data.split(b"\n")
    if lines.pop():
        raise CorruptFile(path, "is cut off in the middle of a row", first_line + len(lines))
    return [_row(path, first_line + i, line) for i, line in enumerate(lines)]


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorruptFile(path, f"is not valid JSON ({error})", number) from error
    if not isinstance(row, dict):
        raise CorruptFile(path, "holds no JSON object", number)
    return row


def rows_as_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """JSONL text of `rows`."""
    return "".join(canonical(row) + "\n" for row in rows).encode()


def cut_log(path: Path, field: str, last: int) -> list[Row]:
    """Drop from a log, a JSON object per line, what comes after `last`, and what a kill cut off.

    Args:
        path: of the log; one that is not there is empty.
        field: of its objects, a number that grows.
        last: the largest that stays.

    Returns:
        What stays.
    """
    if not path.exists():
        return []
    whole, _, _ = read_bytes(path).rpartition(b"\n")
    rows = parse_rows(path, whole + b"\n") if whole else []
    kept = [row for row in rows if row[field] <= last]
    atomic_write(path, rows_as_bytes(kept))
    return kept
