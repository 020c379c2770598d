"""Tables that follow from other tables of a run: made once, and again when those change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.execution.progress import progress
from experiments.runs.files import Row
from experiments.runs.store import Run

Compute = Callable[[], Sequence[Mapping[str, Any]]]


def derive(
    run: Run, parts: Mapping[str, Compute], tables: Sequence[str], console: Console | None = None
) -> dict[str, list[Row]]:
    """Rows of each part's table, stored in `run`.

    Args:
        run: where they are stored.
        parts: by name what computes them.
        tables: the tables of the run that they follow from.
        console: where to show how far it is.
    """
    found = {}
    with progress(console, "summaries", len(parts)) as advance:
        for table, compute in parts.items():
            found[table] = run.once(table, compute, tables)
            advance(1)
    return found
