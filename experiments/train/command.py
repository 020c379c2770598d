"""``cpi-resets train``: GRPO, RRPO, SRPO and Frontier train a language model.

Tables of the run: ``curves`` (one row per world, method, seed and point; see
:func:`experiments.train.engines.training_curve`), and what is made of them: ``bands``, ``pairs``,
``groups``, ``collections``, ``reach``, ``speedups``, ``finals`` and ``localization``; and
``model``, one row on what was trained.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments import curve_statistics as shared
from experiments.console import give
from experiments.documents.numbers import interval_text
from experiments.documents.words import counted
from experiments.execution.derived import Compute, derive
from experiments.execution.memory import check_runs, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.train import summary
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.report import taught_verdict, unlearned_verdicts
from experiments.train.spec import (
    Checkpoints,
    TrainSpec,
    check_demonstrations,
    check_localizer,
    check_size,
    training_set,
)
from experiments.worlds.counts import check_enough
from experiments.worlds.language import choose

_CHECKPOINT_EVERY = 10


def run(config: TrainConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run all trainings, summarise them and print who is ahead of whom; 0 when done."""
    free = ("seeds", "seeds_by_world", "resamples")
    check_sizes(config, None if execution.cluster else machine_memory())
    check_tasks(config)
    record = Run.open(output, config.name, config, config.seed, free=free)
    console.print(_announcement(config.specs()), markup=False)
    with record.lock(), record.timed("train"):
        task = functools.partial(
            training_curve, checkpoints=_checkpoints(config, record, execution)
        )
        rows = sweep(task, config.specs(), record, "curves", execution, console)
        parts = summaries(rows, config, Key.of(config.seed))
        tables = derive(record, parts, ("curves",), console)
        taught = record.once("model", lambda: [_model(config)], inputs=config.model)
    give(console, tables)
    print_tables(tables, console)
    console.print(taught_verdict(taught[0]))
    console.print(f"records: {record.directory}")
    return 0


def _announcement(specs: Sequence[TrainSpec]) -> str:
    """What all runs take together, those included that are stored already."""
    learned = evaluated = 0
    for spec in specs:
        budget = spec.budget
        learned += budget.updates * budget.prompts * spec.method.algorithm.rows_per_prompt
        evaluated += (1 + math.ceil(budget.updates / budget.every)) * budget.held_out
    limited = " (fewer where `budget.tokens` ends them)" if specs[0].budget.tokens else ""
    return (
        f"{counted(len(specs), 'training')} of {counted(specs[0].budget.updates, 'update')}: "
        f"about {learned:,} rollouts to learn from{limited}, {evaluated:,} to evaluate"
    )


def _model(config: TrainConfig) -> Row:
    """What was trained, and whether its own folder says that it was taught to localise."""
    from llm.models.taught import localization_taught

    return {"path": config.model.path, "localization_taught": localization_taught(config.model)}


def _checkpoints(config: TrainConfig, record: Run, execution: Execution) -> Checkpoints | None:
    """Where runs are stored while they are under way.

    Raises:
        InvalidInput: on a cluster, whose workers need not see this disk.
    """
    every = config.checkpoint_every
    if every == 0 or (every is None and execution.cluster is not None):
        return None
    if execution.cluster is not None:
        remedy = "leave it at 0 on a cluster, or train on this machine"
        problem = "workers of a cluster do not share a disk"
        raise InvalidInput("checkpoint_every", every, problem, remedy)
    folder = (record.directory / "models").resolve()
    return Checkpoints(folder, every or _CHECKPOINT_EVERY, replace=every is None)


def check_sizes(config: TrainConfig, memory: float | None) -> None:
    """Refuse more runs, or rollouts at a time, than a machine can hold.

    Args:
        config: the settings.
        memory: of the machine that trains, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting.
    """
    by_world = {f"seeds_by_world.{world}": n for world, n in config.seeds_by_world.items()}
    for name, seeds in {"seeds": config.seeds, **by_world}.items():
        check_runs(seeds, len(config.methods), memory, name)
    for spec in config.specs():
        check_size(spec, memory)


def check_tasks(config: TrainConfig) -> None:
    """Refuse tasks that cannot be read or that a method cannot work on, before anything is stored.

    Raises:
        InvalidInput: whatever a task refuses, one without the step checker that a method asks, or
            without a fixed set of problems where they are to come in epochs.
    """
    tasks = {world: world.task() for world in choose("worlds", config.worlds, config.more)}
    for spec in config.specs():
        check_localizer(spec, tasks[spec.world])
        check_demonstrations(spec, tasks[spec.world])
        if spec.budget.order == "epochs":
            training_set(spec.budget, tasks[spec.world])
    for task in tasks.values():
        check_enough("budget.prompts", task, "train", config.budget.prompts)
        check_enough("budget.held_out", task, "test", config.budget.held_out)


def summaries(rows: Sequence[Row], config: TrainConfig, key: Key) -> dict[str, Compute]:
    """What makes each table that follows from the curves."""
    curves = shared.gather(rows)
    each = list(curves.values())
    return {
        "bands": lambda: shared.bands(each, summary.AXES, config.resamples, key),
        "pairs": lambda: shared.pairs(
            curves,
            summary.AXES,
            summary.contrasts(one.method for one in each),
            config.budget.held_out,
        ),
        "groups": lambda: shared.groups(each),
        "collections": lambda: shared.collections(each, summary.TOTALS),
        "reach": lambda: shared.reach(curves, summary.AXES),
        "speedups": lambda: shared.speedups(
            curves, ("update", *summary.AXES), summary.contrasts(one.method for one in each)
        ),
        "finals": lambda: summary.finals(curves, config.budget.held_out),
        "localization": lambda: summary.localization(each),
    }


def print_tables(tables: dict[str, list[Row]], console: Console) -> None:
    """Who is ahead of whom, and pass rates before and after."""
    for sentence in shared.single_verdicts(tables["finals"]):
        console.print(sentence, markup=False)
    if tables["pairs"]:
        _print_pairs(tables["pairs"], console)
    for sentence in unlearned_verdicts(tables["collections"]):
        console.print(sentence, markup=False)
    console.print(
        "\nPass rate on held-out problems before and after, mean over seeds. Each evaluation "
        "draws new texts,\nso rates differ by chance as well: the interval of the gain is over "
        "seeds, of one seed that of the texts."
    )
    table = Table("world", "method", "sampled", "gain", "greedy", box=None)
    for row in [r for r in tables["finals"] if r["measure"] == "sampled"]:
        labels = (row["world"], row["method"])
        greedy = next(
            r
            for r in tables["finals"]
            if r["measure"] == "greedy" and (r["world"], r["method"]) == labels
        )
        sampled, certain = (f"{r['before']:.3f} -> {r['after']:.3f}" for r in (row, greedy))
        table.add_row(*labels, sampled, interval_text(row, "gain", "+.3f"), certain)
    console.print(table)
    for sentence in summary.reward_verdicts(tables["finals"]):
        console.print(sentence, markup=False)


def _print_pairs(pairs: Sequence[Row], console: Console) -> None:
    console.print("\nDifference of mean pass over the run, paired by seed (bold: it is shown)")
    table = Table("world", "compared", "per rollout", "per token", "seeds", box=None)
    rows: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in pairs:
        rows.setdefault((row["world"], row["first"], row["second"]), {})[row["axis"]] = row
    for (world, first, second), axes in rows.items():
        cells = [shared.difference_text(axes[axis]) for axis in summary.AXES]
        table.add_row(world, f"{first} - {second}", *cells, str(axes["rollouts"]["seeds"]))
    console.print(table)
