"""Runs on disk: a folder per run with its configuration, where it was made, and its records.

``<root>/<name>/run.json`` says how a run was made; every table of records is one JSONL file beside
it, and ``manifest.json`` says what each was made of. Durations go to ``timings.jsonl``, so that
everything else is the same bytes however often a run was interrupted. Nothing is written before
there is something to store.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cpi_theory.checks import InvalidInput
from cpi_theory.files import TEMPORARY
from experiments.errors import CannotWrite, CorruptFile, MissingTable, only_read
from experiments.runs import manifest
from experiments.runs.claims import STAMP
from experiments.runs.encoding import canonical, digest, plain
from experiments.runs.files import (
    Row,
    atomic_write,
    parse_rows,
    read_bytes,
    read_object,
    rows_as_bytes,
    write_object,
)
from experiments.runs.fingerprint import fingerprint
from experiments.runs.manifest import Manifest, Origin
from experiments.runs.provenance import code_digest, environment

_FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_DESCRIPTION, _TIMINGS, _LOCK = "run.json", "timings.jsonl", ".lock"

_IGNORE = ".gitignore"

# Files that are about a run and hold nothing of what came out.
_ABOUT = {_DESCRIPTION, _TIMINGS, _LOCK, _IGNORE, STAMP, manifest.NAME}


@dataclass(slots=True)
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
    _source: object = field(default=None, compare=False, repr=False)
    _replace: bool = field(default=False, compare=False, repr=False)
    _free: tuple[str, ...] = field(default=(), compare=False, repr=False)
    _described: bool = field(default=False, compare=False, repr=False)
    _only_read: bool = field(default=False, compare=False, repr=False)

    @classmethod
    def open(
        cls,
        root: Path | str,
        name: str,
        config: object,
        seed: int,
        replace: bool = False,
        free: Sequence[str] = (),
    ) -> Run:
        """Start the run `name` below `root`, or continue it when it has the same configuration.

        Nothing is written yet.

        Args:
            root: folder of related runs, such as ``results``.
            name: letters, digits, ``.``, ``_`` and ``-``.
            config: a frozen dataclass (or JSON data): all that decides the results.
            seed: seed of all randomness.
            replace: whether a run with other values of the same configuration is no obstacle, as
                all in it is made anew.
            free: settings that may be others than those of the stored run, as they decide how many
                parts it has, or what is made of these, and nothing in any of them: what is there of
                them is kept.

        Raises:
            InvalidInput: a name that is not one, or a run of that name that was made with another
                configuration or seed and holds records.
            CorruptFile: the folder's own file is damaged.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput("name", name, "not a folder name", "use letters, digits, . _ -")
        run = cls(Path(root) / name, plain(config), seed, config, replace, tuple(free))
        run._check_description()
        return run

    @classmethod
    def existing(cls, root: Path | str, name: str) -> Run:
        """The run `name` below `root`, for reading.

        Raises:
            InvalidInput: if there is none.
            CorruptFile: if its description is damaged.
        """
        directory = Path(root) / name
        with only_read():
            stored = _stored_description(directory / _DESCRIPTION)
        return cls(directory, stored["config"], stored["seed"], _only_read=True)

    def path(self, table: str) -> Path:
        """File of a table.

        Raises:
            InvalidInput: for a name that would leave the folder.
        """
        if not _NAME.fullmatch(table):
            raise InvalidInput("table", table, "not a file name", "use letters, digits, . _ -")
        return self.directory / f"{table}.jsonl"

    def has(self, table: str) -> bool:
        """Whether the table is there; since writes are atomic, it is then complete."""
        return self.path(table).exists()

    def has_records(self) -> bool:
        """Whether anything that came out of it is stored."""
        return any(
            path.name not in _ABOUT and not path.name.endswith(TEMPORARY) for path in self._files()
        )

    def _files(self) -> Iterator[Path]:
        return (path for path in self.directory.rglob("*") if path.is_file())

    def tables(self) -> tuple[str, ...]:
        """Names of the tables stored so far."""
        return tuple(sorted(p.stem for p in self.directory.glob("*.jsonl") if p != self._timings))

    def read(self, table: str) -> list[Row]:
        """Rows of a table, as :meth:`write` was given them up to JSON (tuples as lists).

        Raises:
            MissingTable: if it is not there.
            CorruptFile: naming file and line, or a checksum that is not that of the content.
            StaleTable: a table that it was made of has changed since.
        """
        path = self.path(table)
        if not path.exists():
            problem = "cannot be read (No such file or directory)"
            raise MissingTable("file", path, problem, "run what makes it first")
        data = read_bytes(path)
        with only_read() if self._only_read else contextlib.nullcontext():
            self.manifest.check(path.name, data)
            return parse_rows(path, data)

    def environments(self) -> list[Row]:
        """Where it was made: versions, commit and hardware, those of the last writer last."""
        found: list[Row] = _stored_description(self.directory / _DESCRIPTION)["environments"]
        return found

    def made_by_other_code(self) -> bool:
        """Whether some of its tables are known to come from other code than this."""
        names = {self.path(table).name for table in self.tables()}
        entries = self.manifest.entries()
        known = {entries[name]["code"] for name in names & entries.keys()} - {None}
        return bool(known - {code_digest()})

    def made_by_this_code(self) -> bool:
        """Whether all of its tables are known to come from this very code."""
        names, entries = {self.path(table).name for table in self.tables()}, self.manifest.entries()
        return names <= entries.keys() and {entries[n]["code"] for n in names} <= {code_digest()}

    @property
    def manifest(self) -> Manifest:
        """What its files were made of."""
        return Manifest(self.directory)

    def origin(self, tables: Sequence[str] = (), inputs: object = None) -> Origin:
        """What a file is made of that follows from some tables of this run.

        Args:
            tables: their names.
            inputs: anything else beside the configuration and the seed. Of the files that it or
                the configuration names the content counts.
        """
        about = {
            "config": self.config,
            "seed": self.seed,
            "more": plain(inputs),
            "files": fingerprint([self._source, inputs]),
        }
        return Origin(code_digest(), digest(about), {name: self.checksum(name) for name in tables})

    def checksum(self, table: str) -> str:
        """Checksum of a stored table."""
        return manifest.checksum(read_bytes(self.path(table)))

    def write(
        self,
        table: str,
        rows: Sequence[Mapping[str, Any]],
        tables: Sequence[str] = (),
        inputs: object = None,
    ) -> list[Row]:
        """Store a table, replacing it as a whole, and return it as :meth:`read` would.

        Args:
            table: its name.
            rows: its rows.
            tables: the tables of this run that it follows from.
            inputs: see :meth:`origin`.

        Raises:
            CannotWrite: the old table, if any, is untouched.
            TypeError: for a value that JSON cannot hold.
        """
        data = rows_as_bytes(rows)
        self.write_file(self.path(table).name, data, self.origin(tables, inputs))
        return parse_rows(self.path(table), data)

    def once(
        self,
        table: str,
        compute: Callable[[], Sequence[Mapping[str, Any]]],
        tables: Sequence[str] = (),
        inputs: object = None,
    ) -> list[Row]:
        """The table as stored if it was made of the same, or else computed and stored.

        The same: the same configuration and seed, code, `tables` and `inputs`, with the same
        content of the files that these name.
        """
        if self.manifest.holds(self.path(table).name, self.origin(tables, inputs)):
            return self.read(table)
        return self.write(table, compute(), tables, inputs)

    def outdated(self, table: str) -> bool:
        """Whether the table is stored, and of another configuration, code or data than now."""
        return self.has(table) and not self.manifest.holds(self.path(table).name, self.origin())

    def write_file(self, name: str, data: bytes, origin: Origin | None = None) -> Path:
        """Store any file (a figure, a report) atomically, and what it is made of.

        Unchanged content is left alone.

        Args:
            name: path below the run's folder.
            data: its content.
            origin: what it was made of, by default the configuration alone.
        """
        self._describe()
        with self.manifest.replacing(name, data, origin or self.origin()):
            return self._put(name, data)

    def keep_private(self) -> None:
        """Have git ignore the run, as its records hold what may not be passed on.

        Raises:
            CannotWrite: disk full, no permission, ...
        """
        ignore_all(self.directory)

    @property
    def private(self) -> bool:
        """Whether its records hold what may not be passed on."""
        return (self.directory / _IGNORE).is_file()

    def write_part(self, name: str, data: bytes) -> Path:
        """Store a file that says itself what it was made of, as shards do."""
        self._describe()
        return self._put(name, data)

    def _put(self, name: str, data: bytes) -> Path:
        path = self.directory / name
        if not (path.is_file() and path.read_bytes() == data):
            atomic_write(path, data)
        return path

    def remove(self, table: str) -> None:
        """Delete a table, if it is there."""
        self.path(table).unlink(missing_ok=True)
        self.manifest.forget([self.path(table).name])

    def keep_only(self, folder: str, names: Collection[str]) -> None:
        """Delete what an earlier making left in a folder of this run and this one did not make."""
        files = (path for path in (self.directory / folder).glob("*") if path.is_file())
        stale = [path for path in files if path.name not in names]
        for path in stale:
            path.unlink(missing_ok=True)
        self.manifest.forget(f"{folder}/{path.name}" for path in stale)

    @property
    def _timings(self) -> Path:
        return self.directory / _TIMINGS

    def log_time(self, label: str, seconds: float, points: Sequence[float] = ()) -> None:
        """Note how long something took, in wall-clock seconds, apart from the records.

        Args:
            label: what took so long.
            seconds: how long.
            points: how much of it had passed at each of its records, if it has some.

        Raises:
            CannotWrite: disk full, no permission, ...
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

        It may be taken again by who holds it.

        Raises:
            InvalidInput: if another process holds it, or has meanwhile made the run with another
                configuration.
            CannotWrite: there is no place for the lock.
        """
        lock = _take(self.directory)
        try:
            if not self._described:
                self._check_description()
            self._remove_leftovers()
            yield
        except BaseException:
            if lock.lock_counter == 1:
                self._remove_empty()
            raise
        finally:
            lock.release()

    def _remove_empty(self) -> None:
        """Delete a folder in which a command ended before it stored anything.

        Called with the lock held. Who opens the file of the lock at that moment finds it taken, or
        unlinked, upon which filelock opens it anew.
        """
        with contextlib.suppress(OSError):  # the command's own error is the one to tell
            # A description and a manifest remain of a table that was stored and taken back. What
            # git is to ignore may be the user's own word.
            if {path.name for path in self._files()} <= _ABOUT - {_IGNORE}:
                shutil.rmtree(self.directory)

    def _remove_leftovers(self) -> None:
        """Delete what a killed process was writing; called with the lock held only."""
        for leftover in self.directory.rglob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)

    def _check_description(self) -> None:
        """Refuse a folder that holds records of another configuration or seed."""
        path = self.directory / _DESCRIPTION
        if not path.exists() or not self.has_records():
            return
        stored = _stored_description(path)
        if not self._replace:
            _check_same(path, stored, self)
        elif _kind(stored["config"]) != _kind(self.config):
            problem = "the folder holds records of another command"
            raise InvalidInput("name", self.directory.name, problem, "choose another --name")

    def _describe(self) -> None:
        """Write run.json before the first record, or add this environment to it if it is new."""
        if self._described:
            return
        path, here = self.directory / _DESCRIPTION, environment()
        environments = [here]
        if path.exists() and not any(_differences(_stored_description(path), self)):
            known = _stored_description(path)["environments"]
            environments = known if here in known else [*known, here]
        description = {
            "format": _FORMAT,
            "name": self.directory.name,
            "config": self.config,
            "seed": self.seed,
            "environments": environments,
        }
        if not path.exists() or read_object(path) != plain(description):
            write_object(path, description)
        self._described = True


def ignore_all(folder: Path) -> None:
    """Have git ignore a folder and all in it, unless the folder says itself what is ignored.

    Raises:
        CannotWrite: disk full, no permission, ...
    """
    path = folder / _IGNORE
    if not path.exists():
        atomic_write(path, b"*\n")


def _take(directory: Path) -> FileLock:
    """The lock of a run's folder, which may be held by this process already."""
    lock = FileLock(directory / _LOCK, is_singleton=True)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InvalidInput(
            "output",
            directory,
            "another process is working on this run",
            "wait for it to end or choose another --output",
        ) from error
    except OSError as error:
        raise CannotWrite(directory / _LOCK, error) from error
    return lock


def _kind(config: object) -> object:
    kind = config.get("type") if isinstance(config, dict) else None
    return _FORMER_KINDS.get(str(kind), kind)


_FORMER_KINDS = {"FiguresConfig": "ReportConfig"}


def _stored_description(path: Path) -> Row:
    stored = read_object(path)
    missing = {"format", "config", "seed", "environments"} - set(stored)
    if missing:
        raise CorruptFile(path, f"lacks {', '.join(sorted(missing))}")
    if stored["format"] != _FORMAT:
        raise InvalidInput(
            "format", stored["format"], f"{path} is of another version", "choose another --output"
        )
    return stored


def _check_same(path: Path, stored: Row, run: Run) -> None:
    differences = list(_differences(stored, run))
    if not differences:
        return
    name, before, now = differences[0]
    more = [other for other, *_ in differences[1:]]
    others = f", and {', '.join(more[:_LISTED])} differ{'s' * (len(more) == 1)}" if more else ""
    if len(more) > _LISTED:
        others = f", and {len(more)} more settings differ"
    raise InvalidInput(
        name,
        now,
        f"the run in {path.parent} was made with {before!r}{others}",
        "choose another --name or --output, or delete that folder to start over",
    )


_LISTED = 4
"""Further settings that differ, which a message lists by name."""


def _differences(stored: Row, run: Run) -> Iterator[tuple[str, Any, Any]]:
    """Settings of a run, but for the free ones, that are not as stored: name, before and now."""
    old = {"seed": stored["seed"]} | _flatten("", stored["config"])
    new = {"seed": run.seed} | _flatten("", run.config)
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name), new.get(name)
        setting = re.split(r"[.\[]", name)[0]
        if setting not in run._free and canonical(before) != canonical(now):
            yield name, before, now


def _flatten(prefix: str, value: Any) -> dict[str, Any]:
    """Nested JSON objects as one level with dotted names; those of a list by name or place."""
    if isinstance(value, dict) and value:
        nested = {f"{prefix}.{key}" if prefix else key: sub for key, sub in value.items()}
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        nested = {f"{prefix}[{_title(one, at)}]": one for at, one in enumerate(value)}
        if len(nested) < len(value):  # two of one name
            nested = {f"{prefix}[{at}]": one for at, one in enumerate(value)}
    else:
        return {prefix: value}
    return {k: v for name, sub in nested.items() for k, v in _flatten(name, sub).items()}


def _title(value: Any, place: int) -> str:
    return str(value.get("name", place) if isinstance(value, dict) else place)
