"""Run every benchmark and write the table: ``python -m benchmarks [--quick] [--output DIR]``.

Each module runs in a process of its own, so that none is slowed by what another left behind, and
prints one JSON object per row. The table names the machine, because only ratios inside one row
carry over to another one, and the conditions: whether the machine was quiet when it began, and
which matrix kernels the contestants ran.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.runs.provenance import environment

TABLES = {
    "tabular": ("bench_startup", "bench_evaluation", "bench_rollouts"),
    "llm": ("bench_llm", "bench_learning"),
}
"""Name of each table and what it is made of."""

MODULES = tuple(module for modules in TABLES.values() for module in modules)
Row = dict[str, Any]


def conditions() -> Row:
    """What `benchmarks.conditions` finds, from a process that loads what contestants load."""
    command = [sys.executable, "-m", "benchmarks.conditions"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Row = json.loads(done.stdout)
    if not found["quiet"].startswith("yes"):
        print(f"quiet: {found['quiet']}", file=sys.stderr)
    return found


def measure(module: str, quick: bool) -> list[Row]:
    """The rows of one module, from a process of its own; its other output passes through."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def as_markdown(rows: list[Row], about: Row) -> str:
    """The table that is committed: what was measured, against what, and whether the goal is met."""
    lines = [
        "# Measured speed",
        "",
        "Written by `make bench`. Every row is one interleaved run that first checked that all",
        "contestants give the same result; quote the ratios, not the milliseconds.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        "| workload | size | compared | ours | theirs | ratio | goal | met |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        rate = row.get("unit", "ms")
        cells = (
            row["workload"],
            row["size"],
            row["row"],
            f"{row['ours']:.4g} {rate}",
            f"{row['theirs']:.4g} {rate}",
            f"{row['ratio']:.2f}",
            f"{row['goal']:g}",
            "yes" if row["met"] else "**no**",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _flat(about: Row) -> Row:
    """One line per heading of the description of this machine."""
    return {
        name: ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        for name, value in about.items()
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only, nothing written")
    parser.add_argument("--only", choices=MODULES, action="append", help="some modules only")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements"))
    options = parser.parse_args()
    for name, modules in TABLES.items():
        chosen = [m for m in modules if m in (options.only or MODULES)]
        found = conditions() if chosen else {}
        rows = [row for module in chosen for row in measure(module, options.quick)]
        if rows:
            report(name, rows, found, None if options.quick else options.output)
    return 0


def report(name: str, rows: list[Row], found: Row, folder: Path | None) -> None:
    """Print a table and write it and its rows, unless there is no folder."""
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        **_flat(environment()),
        **_more(name),
        **_flat(found),
    }
    table = as_markdown(rows, about)
    Console(highlight=False).print(table, markup=False, soft_wrap=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(table)
        lines = [json.dumps(row, sort_keys=True) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join([*lines, ""]))


def _more(name: str) -> Row:
    """Versions of what the language models run on."""
    if name != "llm":
        return {}
    found = {package: metadata.version(package) for package in ("torch", "transformers")}
    return _flat({"language models": found})


if __name__ == "__main__":
    sys.exit(main())
