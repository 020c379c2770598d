"""Kept rollouts on disk: a compressed file of records for each update."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cpi_theory.checks import InvalidInput
from experiments.errors import CorruptFile, only_read
from experiments.runs.files import Row, atomic_write, parse_rows, read_bytes, rows_as_bytes

FOLDER = "rollouts"
"""Its name in the folder of a training."""

_NAME = re.compile(r"(\d+)\.jsonl\.gz")


def write_visits(folder: Path, update: int, rows: Sequence[Row]) -> Path:
    """Store the records of an update, whole or not at all; the same records give the same bytes.

    Args:
        folder: of the training.
        update: which.
        rows: see :func:`experiments.rollouts.visits.visit_row`.

    Raises:
        CannotWrite: disk full, no permission, ...
    """
    path = folder / FOLDER / f"{update:06d}.jsonl.gz"
    atomic_write(path, gzip.compress(rows_as_bytes(rows), mtime=0))
    return path


def visit_files(folder: Path) -> list[tuple[int, Path]]:
    """The files of a training that are there, with the update that each is of, in order."""
    named = [(m, path) for path in folder.glob(f"{FOLDER}/*") if (m := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in named)


def read_visits(
    folder: Path, damaged: Callable[[InvalidInput], None] | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield the records of a training with the update that each is of, in order.

    Args:
        folder: of the training.
        damaged: told of each file that cannot be read, which is left out as a whole; by default
            such a file is an error.

    Raises:
        CorruptFile: a file cannot be inflated, or holds no records.
        InvalidInput: a file may not be read.
    """
    for update, path in visit_files(folder):
        try:
            rows = _rows(path)
        except InvalidInput as error:
            if damaged is None:
                raise
            damaged(error)
            continue
        for row in rows:
            yield update, row


def _rows(path: Path) -> list[Row]:
    with only_read():  # training goes on without them, and whoever reads them has not made them
        return _inflated(path, read_bytes(path))


def _inflated(path: Path, packed: bytes) -> list[Row]:
    if not packed:  # which gzip takes for nothing packed
        raise CorruptFile(path, "is empty")
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptFile(path, f"cannot be inflated ({error})") from error
    return parse_rows(path, data)
