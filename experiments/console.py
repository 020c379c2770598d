"""Where commands print, and what they hand over to machines.

A command prints tables and sentences on its console and hands the rows behind them over with
:func:`give`. With ``--json`` nothing of the former is shown: a :class:`JsonConsole` gathers both
for one JSON document, which is written when the command has ended.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from experiments.runs.encoding import plain

_READABLE = 20
"""Characters of a cell that a column may have to itself before its text is wrapped."""


class CommandConsole(Console):
    """The console of a command.

    A table that is too wide for it is shown row by row, and a reader of the output who has left is
    an error.
    """

    def on_broken_pipe(self) -> None:
        """Pass on the error that is being handled; rich would end the process with code 1."""
        raise

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, but tables that are too wide row by row."""
        fitted = [self._fitted(one) if isinstance(one, Table) else one for one in objects]
        super().print(*fitted, **options)

    def _fitted(self, table: Table) -> Table | Text:
        return table if _readable_width(table, self) <= self.width else _row_by_row(table)


def _readable_width(table: Table, console: Console) -> int:
    """The least width at which no cell is broken that need not be."""
    natural = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return natural - sum(_spare(_texts(column.cells)) for column in table.columns)


def _spare(cells: Sequence[Text]) -> int:
    """By how much a column may be narrower than its longest cell: long texts may be wrapped."""
    longest = max((cell.cell_len for cell in cells), default=0)
    word = max((Text(w).cell_len for cell in cells for w in cell.plain.split()), default=0)
    return max(longest - max(word, _READABLE), 0)


def _texts(cells: Any) -> list[Text]:
    return [one if isinstance(one, Text) else Text.from_markup(str(one)) for one in cells]


def _row_by_row(table: Table) -> Text:
    """Each row as a block: its first cell, then a line for every other cell that says something."""
    headings = [text.plain for text in _texts(column.header for column in table.columns)]
    rows = zip(*(_texts(column.cells) for column in table.columns), strict=True)
    width = max(map(len, headings))
    lines = [] if table.title is None else [*_texts([table.title])]
    for first, *others in rows:
        lines.append(first)
        for heading, cell in zip(headings[1:], others, strict=True):
            if cell.plain:
                lines.append(Text(f"  {heading:<{width}}  ").append_text(cell))
    return Text("\n").join(lines)


class JsonConsole(CommandConsole):
    """Shows nothing, and keeps what a command says and gives, for a document at its end.

    Attributes:
        data: by name what was given.
        said: lines of text that were printed, tables aside.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True, quiet=True)
        self.data: dict[str, Any] = {}
        self.said: list[str] = []
        self._part: tuple[str, ...] = ()

    def print(self, *objects: Any, **options: Any) -> None:
        """Keep the texts among what is to be printed."""
        texts = [one for one in objects if isinstance(one, str | Text | int | float)]
        if not texts:
            return
        markup = options.get("markup", True)
        line = " ".join(_words(one) if markup else str(one) for one in texts)
        self.said += [part for part in line.splitlines() if part.strip()]

    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep what a command gives, below the part of the work that is under way."""
        place = self.data
        for name in self._part:
            place = place.setdefault(name, {})
        place.update(values)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Keep what is given meanwhile below a name."""
        self._part = (*self._part, name)
        try:
            yield
        finally:
            self._part = self._part[:-1]

    def document(self, command: str, exit_code: int, error: Mapping[str, Any] | None) -> str:
        """All of it as one JSON object; numbers that JSON has no word for are null."""
        found: dict[str, Any] = {"command": command, "exit_code": exit_code}
        if error is not None:
            found["error"] = error
        return json.dumps(
            _finite(plain(found | {"data": self.data, "said": self.said})),
            indent=1,
            allow_nan=False,
        )


def _words(text: object) -> str:
    return text.plain if isinstance(text, Text) else Text.from_markup(str(text)).plain


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def give(console: Console, values: Mapping[str, Any]) -> None:
    """Hand over what a command has found to who reads its output as JSON; nothing is shown.

    Args:
        console: of the command.
        values: by name rows of a table, or anything else that records can hold.
    """
    if isinstance(console, JsonConsole):
        console.keep(values)


def part(console: Console, name: str) -> contextlib.AbstractContextManager[None]:
    """What is given meanwhile belongs to a part of the work: a command that another one runs."""
    return console.part(name) if isinstance(console, JsonConsole) else contextlib.nullcontext()
