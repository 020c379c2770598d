"""Pages that need no other program: an index of all prompts, and their rollouts in packed parts.

A part holds the records of some prompts as JSON, gzip and base64, and is unpacked by the browser
when one of them is looked at. In a page of one file parts stand in script elements that no browser
runs; in a folder each is a script that hands over its text, since pages from disk may load scripts
and no data.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from experiments.explore.series import Source, Summary, left_out
from experiments.runs.files import Row, atomic_write

PAGE = "explore.html"
"""Its name in the folder of a run."""

PARTS = "explore-data"
"""The folder of parts beside a page that is not one file."""

_PART = 100_000
"""Characters of JSON, about: unpacked in a few milliseconds."""


@dataclass(slots=True)
class Packed:
    """What a page holds.

    Attributes:
        index: what the list shows; a column per field of :class:`Summary`, and which series,
            update and prompt each is, and in which part.
        parts: the records, packed.
        rollouts: how many there are.
        left_out: whether there were more.
        counts: of each series how many `updates`, `prompts` (once for each update), `groups` and
            `rollouts` are shown.
        damaged: files that are left out, and why.
    """

    index: Row
    parts: list[str] = field(default_factory=list)
    rollouts: int = 0
    left_out: bool = False
    counts: list[Row] = field(default_factory=list)
    damaged: tuple[str, ...] = ()

    @property
    def prompts(self) -> int:
        """How many there are, once for each update."""
        return len(self.index["columns"]["prompt"])


def pack(source: Source, title: str, most: int, part: int = _PART) -> Packed:
    """Pack what a run has to show.

    Args:
        source: of the run.
        title: of the page.
        most: rollouts at most; the first prompt is shown whatever it holds.
        part: characters of JSON after which the next part begins.
    """
    packed, open_part = Packed({}), _Part()
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    names: list[Row] = []
    shown: list[tuple[int, int | None, int, int]] = []
    for number, update, visit in _numbered(source, names):
        if packed.rollouts and packed.rollouts + len(visit["rollouts"]) > most:
            packed.left_out = True
            break
        packed.rollouts += len(visit["rollouts"])
        place: Row = {"series": number, "update": update, "prompt": visit["prompt"]}
        place |= {"part": len(packed.parts), "at": len(open_part.rows)}
        for name, value in (place | asdict(Summary.of(visit, source.cut_off))).items():
            columns[name].append(value)
        shown.append((number, update, len(visit["groups"]), len(visit["rollouts"])))
        if open_part.add(visit) > part:
            packed.parts.append(open_part.packed())
            open_part = _Part()
    if open_part.rows:
        packed.parts.append(open_part.packed())
    packed.damaged = tuple(map(left_out, source.damaged))
    packed.counts = [_counts([one for one in shown if one[0] == n]) for n in range(len(names))]
    notes = (*source.notes, *(f"Left out: {text}." for text in packed.damaged))
    about: Row = {"title": title, "kind": source.kind, "unit": source.unit, "notes": notes}
    about |= {"rollouts": packed.rollouts, "left_out": packed.left_out}
    packed.index = about | {"series": names, "columns": columns}
    return packed


_COLUMNS = ("series", "update", "prompt", "part", "at", *Summary.__dataclass_fields__)


def _counts(shown: list[tuple[int, int | None, int, int]]) -> Row:
    """What is shown of a series; its prompts by update, number of groups and of rollouts."""
    updates = {update for _, update, _, _ in shown} - {None}
    groups = sum(count for _, _, count, _ in shown)
    rollouts = sum(count for *_, count in shown)
    return {
        "updates": len(updates),
        "prompts": len(shown),
        "groups": groups,
        "rollouts": rollouts,
    }


def _numbered(source: Source, names: list[Row]) -> Iterator[tuple[int, int | None, Row]]:
    """Every record with its series, which is named when its first one comes."""
    for number, series in enumerate(source.series):
        about = {"name": series.name, "world": series.world, "method": series.method}
        names.append(about | {"seed": series.seed})
        for update, visit in series.visits:
            yield number, update, visit


@dataclass(slots=True)
class _Part:
    rows: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, visit: Row) -> int:
        """Take a record; returns how large the part is now."""
        self.rows.append(_json(visit))
        self.size += len(self.rows[-1])
        return self.size

    def packed(self) -> str:
        return _squeezed(f"[{','.join(self.rows)}]")


def _json(value: Any) -> str:
    # Half of a character that a model has begun is no UTF-8, but JSON can escape it.
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _squeezed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def write_file(packed: Packed, path: Path) -> list[Path]:
    """Store a page of one file; returns it.

    Raises:
        CannotWrite: disk full, no permission, ...
    """
    parts = "\n".join(
        f'<script type="text/plain" id="part-{i}">{part}</script>'
        for i, part in enumerate(packed.parts)
    )
    atomic_write(path, _page(packed, parts, f"'sha256-{_digest(_static('explore.js'))}'").encode())
    return [path]


def write_folder(packed: Packed, folder: Path) -> list[Path]:
    """Store a page with its parts beside it; returns the page, then these.

    Raises:
        CannotWrite: disk full, no permission, ...
    """
    parts = [folder / PARTS / f"part-{i}.js" for i in range(len(packed.parts))]
    for i, (path, part) in enumerate(zip(parts, packed.parts, strict=True)):
        atomic_write(path, f'explorePart({i}, "{part}");\n'.encode())
    hashed = f"'sha256-{_digest(_static('explore.js'))}' file: http: https:"
    page = _page(packed, "", hashed)
    atomic_write(folder / PAGE, page.encode())
    return [folder / PAGE, *parts]


def _page(packed: Packed, parts: str, scripts: str) -> str:
    """The page; it runs the explorer's own script alone, whatever a model has written."""
    values = {
        "TITLE": html.escape(str(packed.index["title"])),
        "SCRIPTS": scripts,
        "STYLE": _static("explore.css"),
        "INDEX": _squeezed(_json(packed.index)),
        "PARTS": parts,
        "SCRIPT": _static("explore.js"),
    }
    page = _static("explore.html")
    for name, value in values.items():
        page = page.replace(f"<!--{name}-->", value)
    return page


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _static(name: str) -> str:
    return (resources.files("experiments.explore") / "static" / name).read_text("utf-8")
