"""The tables behind the figures, as comma-separated values inside the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from experiments.runs.encoding import canonical
from experiments.runs.files import Row

# Characters that need no escape in a data address; spaces and quotes do.
_PLAIN = ",.:;()|=+*!~-_/"


@dataclass(frozen=True)
class DataFile:
    """A table that is offered for download.

    Attributes:
        name: such as "train/bands".
        rows: how many.
        address: the table as a data address; "": it is too large to lie in the page.
    """

    name: str
    rows: int
    address: str

    @property
    def anchor(self) -> str:
        """Its identifier in the page."""
        return f"data-{self.name.replace('/', '.')}"

    @property
    def file(self) -> str:
        """The name that it is stored under."""
        return f"{self.name.replace('/', '-')}.csv"

    @property
    def source(self) -> str:
        """Where its records are, relative to the report."""
        return f"../{self.name}.jsonl"


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as comma-separated values: every column that any row has, lists and objects as JSON."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    return canonical(value) if isinstance(value, list | dict) else value


def embedded(tables: Sequence[tuple[str, Sequence[Row]]], room: int) -> tuple[DataFile, ...]:
    """Tables for the page, in their order: the smallest ones first, as long as there is room.

    Args:
        tables: names and rows.
        room: bytes that their addresses may take together.
    """
    addresses = {name: _address(rows) for name, rows in tables}
    kept: set[str] = set()
    for name in sorted(addresses, key=lambda name: len(addresses[name])):
        room -= len(addresses[name])
        if room < 0:
            break
        kept.add(name)
    return tuple(
        DataFile(name, len(rows), addresses[name] if name in kept else "") for name, rows in tables
    )


def _address(rows: Sequence[Row]) -> str:
    return f"data:text/csv;charset=utf-8,{quote(as_csv(rows), safe=_PLAIN)}"
