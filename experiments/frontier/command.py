"""``cpi-resets frontier``: frontier resets against GRPO and SRPO, from good localisers to bad ones.

Tables of the run: ``means`` (one row per world, method and accuracy: the mean of J over the curve,
one entry per seed), ``cells`` (their mean with an interval), ``goals`` (every other method against
the better of GRPO and SRPO, paired by seed, and what was aimed at) and ``rule`` (what theory
expects of each depth rank). GRPO does not ask the localiser, so it runs once per world, with
accuracy null.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cpi_theory.statistics.bootstrap import paired_difference
from experiments.console import give
from experiments.documents.numbers import interval_text
from experiments.execution.derived import Compute, derive
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.frontier.cells import frontier_cell
from experiments.frontier.config import FrontierConfig
from experiments.frontier.report import verdicts
from experiments.frontier.summary import goals, rank_rule
from experiments.runs.files import Row
from experiments.runs.store import Run


def run(config: FrontierConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run the grid, print who is ahead and whether the goals are met; 0 when done."""
    record = Run.open(output, config.name, config, config.seed)
    with record.lock(), record.timed("frontier"):
        means = sweep(frontier_cell, config.specs(), record, "means", execution, console)
        parts: dict[str, Compute] = {
            "cells": lambda: summarise(means),
            "goals": lambda: goals(means),
        }
        tables = derive(record, parts, ("means",), console)
        record.once("rule", rank_rule)
    give(console, tables)
    show(tables["cells"], tables["goals"], console)
    console.print(f"records: {record.directory}")
    return 0


def summarise(means: Sequence[Row]) -> list[Row]:
    """The rows of ``means`` with `mean`, `lower` and `upper` over seeds instead of the seeds'."""
    rows = []
    for row in means:
        interval = paired_difference(row["means"], np.zeros(len(row["means"])))
        rest = {name: value for name, value in row.items() if name != "means"}
        over = {"mean": interval.estimate, "lower": interval.lower, "upper": interval.upper}
        rows.append(rest | over | {"seeds": len(row["means"])})
    return rows


def show(cells: Sequence[Row], compared: Sequence[Row], console: Console) -> None:
    """Print the means of every method and the verdicts."""
    methods = list(dict.fromkeys(row["method"] for row in cells))
    value = {(r["world"], r["method"], r["accuracy"]): r["mean"] for r in cells}
    gaps = {(r["world"], r["accuracy"]): r for r in compared if r["method"] == "Frontier"}
    console.print("\nMean J over the curve, and Frontier less the better of GRPO and SRPO")
    table = Table("world", "base", "acc", *methods, "difference", box=None)
    for (world, accuracy), gap in gaps.items():
        means = [value[world, m, None if m == "GRPO" else accuracy] for m in methods]
        text = interval_text(gap, "difference", "+.3f")
        numbers = [f"{mean:.3f}" for mean in means]
        table.add_row(world, f"{gap['base_pass']:.4f}", f"{accuracy:g}", *numbers, text)
    console.print(table)
    for sentence in verdicts(compared):
        console.print(sentence)
