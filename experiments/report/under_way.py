"""Runs that are under way: what they have finished so far, read while they work.

Nothing here takes a run's lock or writes into its folder. A sweep stores every finished
specification as a shard; tables of learning curves are made of those that are there.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cpi_theory.randomness import Key
from experiments.execution.derived import Compute
from experiments.execution.sweep import stored_shards
from experiments.explore.page import PAGE
from experiments.report.runs import Shown
from experiments.runs.encoding import canonical
from experiments.runs.files import Row
from experiments.runs.manifest import checksum
from experiments.runs.store import Run

_CURVES = "curves"

_RESAMPLES = 100
"""For bands that are drawn again in a minute."""


class PartialRun(Run):
    """A run some tables of which are made of what it has finished so far."""

    __slots__ = ("_parts",)
    _parts: dict[str, list[Row]]

    @classmethod
    def of(cls, run: Run, parts: Mapping[str, Compute]) -> PartialRun:
        """The run with these tables where it has none yet."""
        partial = cls(run.directory, run.config, run.seed)
        partial._parts = {
            table: [dict(row) for row in compute()]
            for table, compute in parts.items()
            if not run.has(table)
        }
        return partial

    def has(self, table: str) -> bool:
        """Whether the table is there, stored or made of what is finished."""
        return table in self._parts or Run.has(self, table)

    def tables(self) -> tuple[str, ...]:
        """Names of all tables that can be read."""
        return tuple(sorted({*self._parts, *Run.tables(self)}))

    def read(self, table: str) -> list[Row]:
        """Rows of a table; see :meth:`Run.read`."""
        return self._parts[table] if table in self._parts else Run.read(self, table)

    def checksum(self, table: str) -> str:
        """Checksum of a table."""
        if table in self._parts:
            return checksum(canonical(self._parts[table]).encode())
        return Run.checksum(self, table)


def with_partial_tables(shown: Sequence[Shown]) -> list[Shown]:
    """The same runs; those whose curves are under way with tables of the finished ones."""
    return [_partial(one) for one in shown]


def _partial(one: Shown) -> Shown:
    if one.family.kind not in _SUMMARIES or one.run.has(_CURVES):
        return one
    rows = complete_seeds(stored_shards(one.run, _CURVES))
    if not rows:
        return one
    return replace(one, run=PartialRun.of(one.run, _summaries(one, rows)))


_SUMMARIES = {"learn": "experiments.learn.command", "train": "experiments.train.command"}


def _summaries(one: Shown, rows: Sequence[Row]) -> dict[str, Compute]:
    """What makes the tables of a run of curves; only now is loaded what that takes."""
    command = importlib.import_module(_SUMMARIES[one.family.kind])
    exact = [one.run.config["budget"]["exact_updates"]] if one.family.kind == "learn" else []
    key = Key.of(one.run.seed)
    found: dict[str, Compute] = command.summaries(rows, _RESAMPLES, key, *exact)
    return found


def complete_seeds(rows: Sequence[Row]) -> list[Row]:
    """Rows of the seeds that every method of their world has finished, in order of seeds.

    Methods are compared on equal seeds, and which ones are finished is a matter of chance.
    """
    finished: dict[str, dict[str, set[int]]] = {}
    for row in rows:
        finished.setdefault(row["world"], {}).setdefault(row["method"], set()).add(row["seed"])
    shared = {world: set.intersection(*methods.values()) for world, methods in finished.items()}
    kept = [row for row in rows if row["seed"] in shared[row["world"]]]
    return sorted(kept, key=lambda row: (row["world"], row["seed"]))


def progress_lines(output: Path, shown: Sequence[Shown]) -> Iterator[str]:
    """A sentence on each run that is not finished, and on each training that is under way."""
    for one in shown:
        for folder in sorted((one.run.directory / "shards").glob("*/")):
            if not Run.has(one.run, folder.name):
                count = len(list(folder.glob("*.jsonl")))
                verb = "is" if count == 1 else "are"
                yield f"{one.name}: {count} of its {folder.name} {verb} finished so far."
    for log in sorted(output.glob("*/models/*/log.jsonl")):
        last = _last_row(log)
        if last is not None and not (log.parent / "finished.json").exists():
            yield _training(log, last)


def _training(log: Path, last: Row) -> str:
    text = f"{log.parents[2].name}, {log.parent.name}: update {last['update']}"
    text += f", mean reward {last['reward']:.3f}, {last['tokens']:,} tokens"
    left = last.get("seconds_left")
    return f"{text}, about {left / 60:.0f} min left." if left is not None else f"{text}."


def _last_row(path: Path) -> Row | None:
    """The last whole line of a log that somebody is writing."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    if not whole:
        return None
    row: Row = json.loads(whole.rpartition(b"\n")[2])
    return row


def state_of(output: Path, report: str) -> frozenset[tuple[str, int, int]]:
    """What changes whenever a run below the output folder has stored something.

    Args:
        output: the folder.
        report: the folder below it that is the report's own.
    """
    patterns = ("*/*.json*", "*/shards/*/*.jsonl", "*/models/*/log.jsonl", f"*/{PAGE}")
    found = set()
    for path in (path for pattern in patterns for path in output.glob(pattern)):
        if path.relative_to(output).parts[0] != report:
            about = path.stat()
            found.add((str(path), about.st_mtime_ns, about.st_size))
    return frozenset(found)
