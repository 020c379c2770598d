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

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.bootstrap import paired_difference
from experiments.console import give
from experiments.documents.numbers import interval_text
from experiments.execution.derived import Compute, derive
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.frontier.cells import frontier_cell
from experiments.frontier.config import FrontierConfig
from experiments.frontier.report import verdicts
from experiments.frontier.summary import BASELINES, goals, rank_rule
from experiments.runs.files import Row
from experiments.runs.store import Run


def run(config: FrontierConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run the grid, print who is ahead and whether the goals are met; 0 when done."""
    record = Run.open(output, config.name, config, config.seed, free=("seeds",))
    with record.lock(), record.timed("frontier"):
        taken = taken_from(config, output)
        if taken:
            record.once("beside", lambda: taken, (), taken)
        means = sweep(frontier_cell, config.specs(), record, "means", execution, console)
        means = [*taken, *means]
        parts: dict[str, Compute] = {
            "cells": lambda: summarise(means),
            "goals": lambda: goals(means),
        }
        tables = derive(record, parts, ("means", "beside") if taken else ("means",), console)
        record.once("rule", rank_rule)
    give(console, tables)
    show(tables["cells"], tables["goals"], console)
    console.print(f"records: {record.directory}")
    return 0


def taken_from(config: FrontierConfig, output: Path) -> list[Row]:
    """The means of baselines and Frontier that are taken from another run, see `beside`.

    Raises:
        InvalidInput: if that run had other seeds, another budget or drift, or lacks a cell.
    """
    if not config.beside:
        return []
    other = Run.existing(output, config.beside)
    wanted = {
        (world, method, accuracy)
        for world in config.worlds
        for method in (*BASELINES, "Frontier")
        if method not in config.methods
        for accuracy in ((None,) if method == "GRPO" else config.accuracies)
    }
    same = ["seed", "seeds", "rate", "prompts", "updates"]
    if any(method != "GRPO" for _, method, _ in wanted):
        same.append("last_accuracy")
    for name in same:
        stored, ours = other.config.get(name), getattr(config, name)
        if stored != ours:
            problem = f"has {name} = {stored}, this run {ours}"
            raise InvalidInput("beside", config.beside, problem, "give both the same")
    rows = [r for r in other.read("means") if _cell(r) in wanted]
    missing = wanted - {_cell(r) for r in rows}
    if missing:
        problem = f"lacks {min(missing, key=str)}"
        raise InvalidInput("beside", config.beside, problem, "run it with these worlds and methods")
    return rows


def _cell(row: Row) -> tuple[str, str, float | None]:
    return row["world"], row["method"], row["accuracy"]


def summarise(means: Sequence[Row]) -> list[Row]:
    """The rows of ``means`` with `mean`, `lower` and `upper` over seeds instead of the seeds'.

    What adaptive methods believed is left to ``means``.
    """
    rows = []
    for row in means:
        interval = paired_difference(row["means"], np.zeros(len(row["means"])))
        rest = {n: value for n, value in row.items() if n not in ("means", "believed")}
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
