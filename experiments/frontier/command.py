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
from experiments.execution.memory import check_rows, check_runs, machine_memory
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
    check_sizes(config, machine_memory())
    taken = taken_from(config, output)  # before there is a folder: that run may be another one
    record = Run.open(output, config.name, config, config.seed)
    with record.lock(), record.timed("frontier"):
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


def check_sizes(config: FrontierConfig, memory: float | None) -> None:
    """Refuse more curves, or rollouts of an update, than a machine can hold.

    Args:
        config: the settings.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting.
    """
    check_runs(config.seeds, len(config.worlds) * len(config.methods), memory)
    budget = config.budget()
    records = config.seeds * (1 + budget.updates // budget.every)
    check_rows("seeds", config.seeds, records, "records of the curves of a cell", memory)
    check_rows("prompts", config.prompts, 8 * config.prompts, "rollouts", memory)


def taken_from(config: FrontierConfig, output: Path) -> list[Row]:
    """The means of baselines and Frontier that are taken from another run, see `beside`.

    Raises:
        InvalidInput: if that run had other seeds, another budget or drift, or lacks a cell.
    """
    if not config.beside:
        return []
    if not (output / config.beside / "run.json").is_file():
        remedy = f"give the name of a run of frontier in {output}"
        raise InvalidInput("beside", config.beside, "no such run", remedy)
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
    rivals = list(dict.fromkeys(row["method"] for row in compared))
    value = {(r["world"], r["method"], r["accuracy"]): r["mean"] for r in cells}
    gaps = {(r["world"], r["method"], r["accuracy"]): r for r in compared}
    base = {row["world"]: row["base_pass"] for row in cells}
    less = f", and {', '.join(rivals)} less the better of GRPO and SRPO" if rivals else ""
    console.print(f"\nMean J over the curve{less}")
    differences = [f"{rival}, difference" for rival in rivals]
    table = Table("world", "base", "acc", *methods, *differences, box=None)
    asked = [row for row in cells if row["accuracy"] is not None] or cells
    for world, accuracy in dict.fromkeys((row["world"], row["accuracy"]) for row in asked):
        places = [(world, m, None if m == "GRPO" else accuracy) for m in methods]
        numbers = [f"{value[place]:.3f}" if place in value else "" for place in places]
        own = [gaps.get((world, rival, accuracy)) for rival in rivals]
        texts = ["" if gap is None else interval_text(gap, "difference", "+.3f") for gap in own]
        label = "" if accuracy is None else f"{accuracy:g}"
        table.add_row(world, f"{base[world]:.4f}", label, *numbers, *texts)
    console.print(table)
    for sentence in verdicts(compared):
        console.print(sentence)
