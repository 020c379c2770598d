"""Kept rollouts on disk: a compressed file of records for each update."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.errors import CorruptFile
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


def read_visits(folder: Path) -> Iterator[tuple[int, Row]]:
    """Yield the records of a training with the update that each is of, in order.

    Raises:
        CorruptFile: one cannot be inflated, or holds no records.
    """
    named = [(m, path) for path in folder.glob(f"{FOLDER}/*") if (m := _NAME.fullmatch(path.name))]
    for match, path in sorted(named, key=lambda one: int(one[0][1])):
        try:
            data = gzip.decompress(read_bytes(path))
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptFile(path, f"cannot be inflated ({error})") from error
        for row in parse_rows(path, data):
            yield int(match[1]), row
