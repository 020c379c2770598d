"""Picking rows out of tables of records; rows are dicts as the result files hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]


FORMER_NAMES: Mapping[str, str] = {"expected_signal": "lesson"}
"""Columns that records of older versions hold under another name."""


class MissingRows(ValueError):
    """Records lack rows that a figure or a sentence cannot do without; its text says which."""


def need(rows: Iterable[Row], what: str) -> list[Row]:
    """The rows, at least one.

    Args:
        rows: chosen ones.
        what: they are, in words.

    Raises:
        MissingRows: if there is none.
    """
    found = list(rows)
    if not found:
        raise MissingRows(f"its records hold no {what}")
    return found


def one(rows: Iterable[Row], **wanted: Any) -> Row:
    """The first row whose named fields have the wanted values.

    Raises:
        MissingRows: if there is none.
    """
    values = ", ".join(f"{name} {value}" for name, value in wanted.items())
    return need(select(rows, **wanted), f"row with {values}" if values else "row")[0]


def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """Rows whose named fields have the wanted values; a row without the field is left out."""
    return [r for r in rows if all(k in r and r[k] == v for k, v in wanted.items())]


def column(rows: Iterable[Row], field: str) -> list[Any]:
    """Values of a field, row by row, which older records may hold under its former name."""
    former = FORMER_NAMES.get(field, field)
    return [r[field] if field in r else r[former] for r in rows]


def distinct(rows: Iterable[Row], field: str) -> list[Any]:
    """Values of a field in order of first appearance."""
    return list(dict.fromkeys(r[field] for r in rows))


def sorted_by(rows: Sequence[Row], *fields: str) -> list[Row]:
    """Rows in ascending order of the fields."""
    return sorted(rows, key=lambda r: tuple(r[f] for f in fields))
