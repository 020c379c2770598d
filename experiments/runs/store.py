"""Runs on disk: a folder per run with its configuration, where it was made, and its records.

``<root>/<name>/run.json`` says how a run was made; every table of records is one JSONL file beside
it. Durations go to ``timings.jsonl``, so that everything else is the same bytes however often a run
was interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from experiments.errors import CannotWrite, CorruptFile
from experiments.runs.encoding import canonical, plain
from experiments.runs.files import (
    TEMPORARY,
    Row,
    atomic_write,
    parse_rows,
    read_bytes,
    read_rows,
    rows_as_bytes,
)
from experiments.runs.provenance import environment

_FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder.

    Attributes:
        directory: ``<root>/<name>``.
        config: the configuration as stored, JSON data.
        seed: the seed of all randomness in it.
    """

    directory: Path
    config: Any
    seed: int

    @classmethod
    def open(cls, root: Path | str, name: str, config: object, seed: int) -> Run:
        """Start the run `name` below `root`, or continue it when it has the same configuration.

        Args:
            root: folder of related runs, such as ``results``.
            name: letters, digits, ``.``, ``_`` and ``-``.
            config: a frozen dataclass (or JSON data): all that decides the results.
            seed: seed of all randomness.

        Raises:
            InvalidInput: a name that is not one, or a run of that name made with another
                configuration or seed.
            CorruptFile, CannotWrite: the folder's own file is damaged or cannot be stored.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput("name", name, "not a folder name", "use letters, digits, . _ -")
        run = cls(Path(root) / name, plain(config), seed)
        _describe(run, name)
        return run

    @classmethod
    def existing(cls, root: Path | str, name: str) -> Run:
        """The run `name` below `root`, for reading.

        Raises:
            InvalidInput: if there is none.
            CorruptFile: if its description is damaged.
        """
        directory = Path(root) / name
        stored = _stored_description(directory / "run.json")
        return cls(directory, stored["config"], stored["seed"])

    def path(self, table: str) -> Path:
        """File of a table."""
        if not _NAME.fullmatch(table):
            raise InvalidInput("table", table, "not a file name", "use letters, digits, . _ -")
        return self.directory / f"{table}.jsonl"

    def has(self, table: str) -> bool:
        """Whether the table is there; since writes are atomic, it is then complete."""
        return self.path(table).exists()

    def tables(self) -> tuple[str, ...]:
        """Names of the tables stored so far."""
        return tuple(sorted(p.stem for p in self.directory.glob("*.jsonl") if p != self._timings))

    def read(self, table: str) -> list[Row]:
        """Rows of a table, as :meth:`write` was given them up to JSON (tuples as lists).

        Raises:
            InvalidInput: if the table is not there.
            CorruptFile: naming file and line.
        """
        return read_rows(self.path(table))

    def write(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Store a table, replacing it as a whole, and return it as :meth:`read` would.

        Raises:
            CannotWrite: the old table, if any, is untouched.
            TypeError: for a value that JSON cannot hold.
        """
        data = rows_as_bytes(rows)
        self.write_file(f"{table}.jsonl", data)
        return parse_rows(self.path(table), data)

    def once(self, table: str, compute: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Row]:
        """The table as stored, or else computed, stored and returned: finished work stays."""
        return self.read(table) if self.has(table) else self.write(table, compute())

    def write_file(self, name: str, data: bytes) -> Path:
        """Store any file (a figure, a report) atomically; unchanged content is left alone."""
        path = self.directory / name
        if not (path.is_file() and path.read_bytes() == data):
            atomic_write(path, data)
        return path

    @property
    def _timings(self) -> Path:
        return self.directory / "timings.jsonl"

    def log_time(self, label: str, seconds: float, points: Sequence[float] = ()) -> None:
        """Note how long something took, in wall-clock seconds, apart from the records.

        Args:
            label: what took so long.
            seconds: how long.
            points: how much of it had passed at each of its records, if it has some.
        """
        row: Row = {"label": label, "seconds": round(seconds, 6)}
        if points:
            row["points"] = [round(point, 6) for point in points]
        try:
            with open(self._timings, "ab") as file:
                file.write(rows_as_bytes([row]))
        except OSError as error:
            raise CannotWrite(self._timings, error) from error

    @contextlib.contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Log the wall-clock time of the block that this guards, when it ends well."""
        start = time.perf_counter()
        yield
        self.log_time(label, time.perf_counter() - start)

    def timings(self) -> list[Row]:
        """What :meth:`log_time` noted; a last row cut off by a kill is left out."""
        if not self._timings.exists():
            return []
        whole, _, _ = read_bytes(self._timings).rpartition(b"\n")
        return parse_rows(self._timings, whole + b"\n") if whole else []

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from working on this run; a killed process keeps no lock.

        Raises:
            InvalidInput: if another process holds it.
        """
        handle = _open_lock(self.directory / ".lock")
        try:
            _take(handle, self.directory)
            self._remove_leftovers()
            yield
        finally:
            os.close(handle)

    def _remove_leftovers(self) -> None:
        """Delete what a killed process was writing; called with the lock held only."""
        for leftover in self.directory.rglob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _take(handle: int, directory: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InvalidInput(
            "output",
            directory,
            "another process is working on this run",
            "wait for it to end or choose another --output",
        ) from error


def _describe(run: Run, name: str) -> None:
    """Write run.json, or check the stored one and add this environment to it if it is new."""
    path = run.directory / "run.json"
    here = environment()
    if not path.exists():
        _store_description(path, name, run, [here])
        return
    stored = _stored_description(path)
    _check_same(path, stored, run)
    if here not in stored["environments"]:
        _store_description(path, name, run, [*stored["environments"], here])


def _store_description(path: Path, name: str, run: Run, environments: list[Row]) -> None:
    description = {
        "format": _FORMAT,
        "name": name,
        "config": run.config,
        "seed": run.seed,
        "environments": environments,
    }
    text = json.dumps(plain(description), indent=1, sort_keys=True, ensure_ascii=False)
    atomic_write(path, (text + "\n").encode())


def _stored_description(path: Path) -> Row:
    try:
        stored = json.loads(read_bytes(path))
    except ValueError as error:
        raise CorruptFile(path, f"is not valid JSON ({error})") from error
    missing = {"format", "config", "seed", "environments"} - set(stored)
    if missing:
        raise CorruptFile(path, f"lacks {', '.join(sorted(missing))}")
    if stored["format"] != _FORMAT:
        raise InvalidInput(
            "format", stored["format"], f"{path} is of another version", "choose another --output"
        )
    return stored


def _check_same(path: Path, stored: Row, run: Run) -> None:
    old = _flatten("config", stored["config"]) | {"seed": stored["seed"]}
    new = _flatten("config", run.config) | {"seed": run.seed}
    for field in sorted(old.keys() | new.keys()):
        before, now = old.get(field), new.get(field)
        if canonical(before) != canonical(now):
            raise InvalidInput(
                field,
                now,
                f"the run in {path.parent} was made with {before!r}",
                "choose another --output, or delete that folder to start over",
            )


def _flatten(prefix: str, value: Any) -> dict[str, Any]:
    """Nested JSON objects as one level with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, sub in value.items() for k, v in _flatten(f"{prefix}.{key}", sub).items()}
