"""``cpi-resets learn``: learning curves of every algorithm on tabular worlds.

Tables of the run: ``curves`` (one row per world, method, seed and point; see
:func:`experiments.learn.curves.learning_curve`), and what :mod:`experiments.curve_statistics` makes
of them: ``bands``, ``pairs``, ``groups``, ``collections``, ``reach`` and ``speedups`` for the group
methods, and ``conservative`` (bands too) for conservative policy iteration, which needs far more
rollouts and is therefore not drawn in the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.randomness import Key
from experiments import curve_statistics as summary
from experiments.console import give
from experiments.curve_statistics import Curves
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_rows, check_runs, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.learn.config import _EXACT, LearnConfig
from experiments.learn.curves import learning_curve
from experiments.methods import FAMILY, TABULAR_METHODS, ConservativeMethod, GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.tabular import build_world, choose


def run(config: LearnConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run all curves, summarise them and print who is ahead of whom; 0 when done."""
    check_sizes(config, machine_memory())
    for world in config.more:  # what is wrong with one is refused before anything is stored
        build_world(world, Key.of(config.seed))
    record = Run.open(output, config.name, config, config.seed, free=("seeds", "resamples"))
    with record.lock(), record.timed("learn"):
        rows = sweep(learning_curve, config.specs(), record, "curves", execution, console)
        parts = summaries(rows, config.resamples, Key.of(config.seed), config.budget.exact_updates)
        tables = derive(record, parts, ("curves",), console)
    give(console, tables)
    _print(tables, console)
    console.print(f"records: {record.directory}")
    return 0


def check_sizes(config: LearnConfig, memory: float | None) -> None:
    """Refuse more runs, rollouts at a time, or records of a run, than a machine can hold.

    Args:
        config: the settings.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting.
    """
    cells = sum(len(config.methods_in(w)) for w in choose("worlds", config.worlds, config.more))
    check_runs(config.seeds, cells, memory)
    budget = config.budget
    asked = {
        "prompts": (8 * budget.prompts, "rollouts of an update"),
        "updates": (budget.updates // budget.every, "records of a curve"),
        "trials": (budget.trials, "trials of an iteration"),
        "exact_updates": (budget.exact_updates // budget.exact_every, "records of a curve"),
    }
    for name, (rows, what) in asked.items():
        check_rows(f"budget.{name}", getattr(budget, name), rows, what, memory)


def summaries(
    rows: Sequence[Row], resamples: int, key: Key, exact_updates: int
) -> dict[str, Compute]:
    """What makes each table that follows from the curves."""
    curves = summary.gather(rows)
    learners = _of_kind(curves, GroupMethod)
    groups = list(learners.values())
    return {
        "bands": lambda: summary.bands(groups, summary.AXES, resamples, key),
        "pairs": lambda: summary.pairs(learners, contrasts=_contrasts(_names(learners))),
        "groups": lambda: summary.groups(groups),
        "collections": lambda: summary.collections(groups),
        "reach": lambda: summary.reach(learners),
        "speedups": lambda: summary.speedups(learners),
        "conservative": lambda: _conservative_bands(curves, resamples, key, exact_updates),
    }


def _names(curves: Mapping[tuple[str, str], Curves]) -> list[str]:
    return list(dict.fromkeys(method for _, method in curves))


def _contrasts(methods: Sequence[str]) -> list[tuple[str, str]]:
    """The known pairs, and each of the family beside GRPO and SRPO; else all beside the first."""
    family = [name for name in methods if name in FAMILY]
    known = (*summary.CONTRASTS, *((n, other) for n in family for other in ("GRPO", "SRPO")))
    both = [pair for pair in known if set(pair) <= set(methods)]
    return both or [(name, methods[0]) for name in methods[1:]]


def _of_kind(curves: dict[tuple[str, str], Curves], kind: type) -> dict[tuple[str, str], Curves]:
    return {k: one for k, one in curves.items() if isinstance(TABULAR_METHODS[one.method], kind)}


def _conservative_bands(
    curves: dict[tuple[str, str], Curves], resamples: int, key: Key, exact_updates: int
) -> list[Row]:
    """Along rollouts and steps, and along iterations where nothing is sampled."""
    kind = _of_kind(curves, ConservativeMethod).values()
    exact = [one for one in kind if one.method in _EXACT]
    sampled = [one for one in kind if one.method not in _EXACT]
    return [
        *summary.bands(exact, ("update",), resamples, key, float(exact_updates)),
        *summary.bands(sampled, summary.AXES, resamples, key),
    ]


def _print(tables: Mapping[str, Sequence[Row]], console: Console) -> None:
    if tables["pairs"]:
        _print_pairs(tables["pairs"], console)
    for sentence in summary.idle_verdicts(tables["collections"]):
        console.print(sentence, markup=False)
    if tables["reach"]:
        _print_reach(tables["reach"], console)


def _print_pairs(pairs: Sequence[Row], console: Console) -> None:
    console.print("\nDifference of mean J over the curve, paired by seed (bold: it is shown)")
    table = Table("world", "compared", "per rollout", "per step", box=None)
    contrasts: dict[tuple[str, str, str], dict[str, str]] = {
        (r["world"], r["first"], r["second"]): {} for r in pairs
    }
    for row in pairs:
        contrasts[row["world"], row["first"], row["second"]][row["axis"]] = summary.difference_text(
            row
        )
    for (world, first, second), by_axis in contrasts.items():
        table.add_row(world, f"{first} - {second}", by_axis["rollouts"], by_axis["steps"])
    console.print(table)


def _print_reach(reach: Sequence[Row], console: Console) -> None:
    console.print("\nRollouts until half of what can be gained is gained, median over seeds")
    methods = list(dict.fromkeys(row["method"] for row in reach))
    table = Table("world", "J", *methods, box=None)
    for world, level in dict.fromkeys((row["world"], row["level"]) for row in reach):
        cells = [_half_way(reach, world, method) for method in methods]
        table.add_row(world, f"{level:.2f}", *cells)
    console.print(table)


def _half_way(reach: Sequence[Row], world: str, method: str) -> str:
    labels = (world, method, "rollouts")
    for row in reach:
        if (row["world"], row["method"], row["axis"]) == labels and row["median"] is not None:
            return f"{row['median']:.0f}"
    return "-"
