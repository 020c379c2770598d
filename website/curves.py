"""Learning curves that are stored in docs/records, of one method beside GRPO."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from paper_figs.figures.learning import curves_figure
from paper_figs.rows import distinct, select
from paper_figs.style import render
from website.links import ROOT

RECORDS = ROOT / "docs" / "records"
BESIDE = "GRPO"
"""The method that every other one is shown beside."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """Curves of a method in one stored run.

    Attributes:
        run: its folder.
        methods: names of the method there, and :data:`BESIDE` first where it is there.
        bands, pairs: rows of these tables, of these methods.
    """

    run: str
    methods: tuple[str, ...]
    bands: tuple[Row, ...]
    pairs: tuple[Row, ...]


@cache
def table(path: Path) -> tuple[Row, ...]:
    """The rows of a table; none if it does not exist."""
    if not path.exists():
        return ()
    return tuple(json.loads(line) for line in path.read_text().splitlines())


def of(names: Sequence[str], records: Path = RECORDS) -> list[Found]:
    """Every stored run with curves of a method.

    Args:
        names: of the method.
        records: folder of runs.
    """
    return [
        found
        for folder in sorted(path.parent for path in records.glob("*/bands.jsonl"))
        if (found := _found(folder, names)) is not None
    ]


def _found(folder: Path, names: Sequence[str]) -> Found | None:
    bands = [r for r in table(folder / "bands.jsonl") if {"axis", "method", "value"} <= set(r)]
    there = [name for name in distinct(bands, "method") if name in names]
    if not there:
        return None
    beside = [BESIDE] if BESIDE not in there and select(bands, method=BESIDE) else []
    methods = (*beside, *there)
    pairs = [r for r in table(folder / "pairs.jsonl") if {r["first"], r["second"]} & set(there)]
    return Found(
        folder.name, methods, tuple(r for r in bands if r["method"] in methods), tuple(pairs)
    )


def figures(slug: str, found: Sequence[Found]) -> Iterator[tuple[str, str]]:
    """Name and SVG of the curves of each run."""
    for one in found:
        figure = curves_figure(one.bands, one.methods, "pass rate or J")
        yield f"{slug}-{one.run}.svg", render(figure, "svg").decode()


def text(slug: str, found: Sequence[Found]) -> list[str]:
    """Lines of a page: the curves, and differences with their intervals."""
    if not found:
        return ["## Its curve", "", "No stored run holds one yet: the commands above make one.", ""]
    lines = ["## Its curve", ""]
    for one in found:
        lines += [
            f"From [docs/records/{one.run}](/docs/records/{one.run}): interquartile mean over "
            "seeds, with 95 % bands.",
            "",
            f"![Learning curves of {' and '.join(one.methods)}]({slug}-{one.run}.svg)",
            "",
            *_differences(one),
        ]
    return lines


def _differences(one: Found) -> list[str]:
    if not one.pairs:
        return []
    rows = [
        f"| {r['world']} | {r['first']} - {r['second']} | per {r['axis'].removesuffix('s')} "
        f"| {r['seeds']} | {interval(r)} |"
        for r in one.pairs
    ]
    return [
        "Differences of the mean over the run, paired by seed, 95 % intervals; bold where 0 is "
        "excluded:",
        "",
        "| world | difference | along | seeds | |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def interval(row: Row, digits: int = 3) -> str:
    """A difference with its interval, bold where 0 is excluded."""
    if row["lower"] is None:  # one seed
        return f"{row['difference']:+.{digits}f}"
    low, high = row["lower"], row["upper"]
    said = f"{row['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"**{said}**" if low > 0 or high < 0 else said
