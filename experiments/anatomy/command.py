"""``cpi-resets anatomy``: what resets of a language model's own failures are worth, untrained.

Tables of the run: ``resets`` (one row per parent and kind of reset; see
:func:`experiments.anatomy.samples.reset_rows`), ``tree`` (see
:func:`experiments.anatomy.tree.tree_rows`), and what :mod:`experiments.anatomy.summary` makes of
them: ``accuracy``, ``deviations``, ``corrections``, ``gaps``, ``passk`` and ``signals``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.randomness import Key
from experiments.anatomy import summary
from experiments.anatomy.config import AnatomyConfig
from experiments.anatomy.samples import reset_rows
from experiments.anatomy.tree import TreeSpec, tree_rows
from experiments.console import give
from experiments.curve_statistics import difference_text
from experiments.documents.numbers import interval_text
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_rows, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.files import Row
from experiments.runs.store import Run


def run(config: AnatomyConfig, output: Path, execution: Execution, console: Console) -> int:
    """Draw and reset failures, summarise them and print what came out; 0 when done."""
    check_rows("prompts", config.prompts, config.prompts, "prompts", machine_memory())
    record = Run.open(output, config.name, config, config.seed)
    specs = config.specs()
    for spec in specs:
        spec.world.task()  # refuses what is wrong with it before anything is stored
    with record.lock(), record.timed("anatomy"):
        rows = sweep(reset_rows, specs, record, "resets", execution, console)
        trees = [TreeSpec(specs[0], config.loss)]
        tree = sweep(tree_rows, trees, record, "tree", execution, console)
        parts = summaries(rows, tree, config.resamples, Key.of(config.seed))
        tables = derive(record, parts, ("resets", "tree"), console)
    give(console, tables)
    print_tables(tables, console)
    console.print(f"records: {record.directory}")
    return 0


def summaries(
    rows: Sequence[Row], tree: Sequence[Row], resamples: int, key: Key
) -> dict[str, Compute]:
    """What makes each table that follows from the resets and the tree."""
    return {
        "accuracy": lambda: summary.accuracy(rows),
        "deviations": lambda: summary.deviations(rows),
        "corrections": lambda: summary.corrections(rows),
        "gaps": lambda: summary.gaps(rows, resamples, key),
        "passk": lambda: summary.passk(rows),
        "signals": lambda: summary.signals(tree, resamples, key),
    }


def print_tables(tables: dict[str, list[Row]], console: Console) -> None:
    """How precise localisation is, and what resets correct."""
    console.print("\nSteps named, against the first error (95 % intervals over prompts)")
    table = Table("world", "step", "exact", "within one", "late", "refused", box=None)
    for world, kind in dict.fromkeys((r["world"], r["kind"]) for r in tables["accuracy"]):
        found = [r for r in tables["accuracy"] if (r["world"], r["kind"]) == (world, kind)]
        table.add_row(world, kind, *(interval_text(r, "estimate", ".3f") for r in found))
    console.print(table)
    console.print("\nSuffixes that succeed")
    table = Table("world", "reset", "rate", "resets", box=None)
    for row in [r for r in tables["corrections"] if r["deviation"] is None]:
        table.add_row(
            row["world"], row["kind"], interval_text(row, "rate", ".3f"), str(row["resets"])
        )
    console.print(table)
    console.print("\nDifferences (bold: the interval excludes 0)")
    table = Table("world", "compared", "difference", box=None)
    for row in tables["gaps"]:
        compared = f"{row['first']} - {row['second']}"
        table.add_row(row["world"], compared, difference_text(row))
    console.print(table)
