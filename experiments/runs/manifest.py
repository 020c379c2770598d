"""What every stored file of a run was made of: inputs, code and a checksum, in ``manifest.json``.

A file is only as good as what it was made of. The manifest lets a command tell a table that it may
keep from one that must be made again, and a reader tell what was written from what is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments.errors import CorruptFile, StaleTable
from experiments.runs.files import Row, read_bytes, read_object, write_object

NAME = "manifest.json"


@dataclass(frozen=True)
class Origin:
    """What a file is made of.

    Attributes:
        code: digest of the code.
        inputs: digest of settings, seed and of the files that settings name.
        tables: checksums of the tables that it was computed from, by name; those of the same run
            have plain names, those of others "run/table".
    """

    code: str
    inputs: str
    tables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of the run in a folder; a run without one was made before there were any.

    It is an object with an entry per file: its checksum and :class:`Origin`. While a file is being
    replaced, its entry holds that of the new content too, as "next", and the content tells which of
    the two it is: wherever a process is killed or a disk is full, no file has a wrong entry.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Where it is stored."""
        return self.folder / NAME

    def entries(self) -> dict[str, Row]:
        """What is known of each file, by its path in the folder.

        Raises:
            CorruptFile: if the manifest is damaged.
        """
        if not self.path.exists():
            return {}
        entries = read_object(self.path)
        for name, entry in entries.items():
            if not isinstance(entry, dict) or {"sha256", "code", "inputs", "tables"} - set(entry):
                raise CorruptFile(self.path, f"says nothing readable of {name}")
        return entries

    @contextlib.contextmanager
    def replacing(self, name: str, data: bytes, origin: Origin) -> Iterator[None]:
        """Guard the block that puts `data` in the place of a file."""
        entry = {"sha256": checksum(data), **asdict(origin)}
        before = self._entry(name)
        if before is None:
            self._store(name, entry)
        elif before != entry:
            self._store(name, {**before, "next": entry})
        yield
        self._store(name, entry)

    def _store(self, name: str, entry: Row) -> None:
        entries = self.entries()
        if entries.get(name) != entry:
            write_object(self.path, {**entries, name: entry})

    def _entry(self, name: str) -> Row | None:
        """What is known of the content that a file has now; None: it is not there, or damaged."""
        path = self.folder / name
        return self._known(name, read_bytes(path)) if path.is_file() else None

    def _known(self, name: str, data: bytes) -> Row | None:
        """The entry of this content; None: it is not what was written.

        Of a file without an entry nothing is known but its checksum.
        """
        sha, entry = checksum(data), self.entries().get(name)
        if entry is None:
            return {"sha256": sha, "code": None, "inputs": None, "tables": {}}
        for one in (entry, entry.get("next", {})):
            if one.get("sha256") == sha:
                return {key: value for key, value in one.items() if key != "next"}
        return None

    def forget(self, names: Iterable[str]) -> None:
        """Drop files that are no more."""
        gone, entries = set(names), self.entries()
        if gone & entries.keys():
            write_object(self.path, {n: e for n, e in entries.items() if n not in gone})

    def holds(self, name: str, origin: Origin) -> bool:
        """Whether the file is there, whole, and made of the same."""
        entry = self._entry(name)
        if entry is None or entry != {"sha256": entry["sha256"], **asdict(origin)}:
            return False
        self._store(name, entry)  # where a kill left two
        return True

    def check(self, name: str, data: bytes) -> None:
        """Refuse content that is not what was written, or that was made of what has changed since.

        Raises:
            CorruptFile: it, or a table that it was made of, has another checksum than when it was
                written.
            StaleTable: a table that it was made of is another one now.
        """
        entry = self._known(name, data)
        if entry is None:
            raise CorruptFile(self.folder / name, "does not match its checksum")
        for table, before in entry["tables"].items():
            path = self.folder / f"{table}.jsonl"
            if path.exists() and checksum(source := read_bytes(path)) != before:
                if self._known(path.name, source) is None:
                    raise CorruptFile(path, "does not match its checksum")
                problem = f"was made of another {table}.jsonl than is there now"
                remedy = f"run the command that made {self.folder.name} again"
                raise StaleTable("file", self.folder / name, problem, remedy)


def checksum(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
