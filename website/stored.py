"""Rows that are stored below docs/, and tables of Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from website.links import ROOT

DOCS = ROOT / "docs"
Row = dict[str, Any]


def read(path: str) -> list[Row]:
    """The rows of a file below docs/."""
    return [json.loads(line) for line in (DOCS / path).read_text().splitlines()]


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in cells)
