"""``cpi-resets train``: GRPO, RRPO, SRPO and Frontier train a language model.

Tables of the run: ``curves`` (one row per world, method, seed and point; see
:func:`experiments.train.engines.training_curve`), and what is made of them: ``bands``, ``pairs``,
``groups``, ``collections``, ``reach``, ``finals`` and ``localization``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key
from experiments import curve_statistics as shared
from experiments.config import named_values
from experiments.methods import LANGUAGE_METHODS
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.runs.sweep import Execution, sweep
from experiments.train import summary
from experiments.train.engines import training_curve
from experiments.train.spec import Checkpoints, Engine, TrainBudget, TrainSpec, TrlOptions
from experiments.worlds.language import TINY_NAME, LanguageWorld, choose
from llm.models.load import ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.training.losses import LossSettings
from llm.training.optimizer import OptimizerSettings


@dataclass(frozen=True)
class TrainConfig:
    """Training runs of language models with GRPO, RRPO, SRPO and Frontier.

    Attributes:
        name: folder of the run below the output folder.
        worlds: names of worlds: natural, sparse, early (chains of arithmetic with hard steps as
            they come, four of them, three early ones), or names from `more`.
        methods: GRPO, RRPO, SRPO, ORACLE (SRPO with the exact step checker as localiser) and
            Frontier.
        seeds: runs per world and method; bands and differences are over them.
        seeds_by_world: another number for some worlds, in configuration files only.
        seed: of all randomness.
        model: what is trained, the warm-started tiny model by default.
        optimizer, loss: the same for all methods.
        budget: how long runs are.
        sampler: what samples: transformers, or vllm beside the model that is trained.
        engine: what takes the updates: lean, a bare loop for models as small as the tiny one, or
            trl, for real ones; both give the same curves up to rounding.
        trl: of that engine.
        checkpoint_every: updates between checkpoints, from which an interrupted run goes on, in the
            folder `models` of the run, with the best and the last model; 0: none.
        resamples: bootstrap resamples.
        more: further worlds, in configuration files only.
    """

    name: str = "train"
    worlds: tuple[str, ...] = ("sparse",)
    methods: tuple[str, ...] = tuple(LANGUAGE_METHODS)
    seeds: int = 2
    seeds_by_world: Annotated[dict[str, int], tyro.conf.Suppress] = field(default_factory=dict)
    seed: int = 0
    model: ModelSettings = field(default_factory=lambda: ModelSettings(TINY_NAME))
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(rate=3e-4))
    loss: LossSettings = field(default_factory=LossSettings)
    budget: TrainBudget = field(default_factory=TrainBudget)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    engine: Engine = "lean"
    trl: TrlOptions = field(default_factory=TrlOptions)
    checkpoint_every: int = 0
    resamples: int = 1000
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, minimum=2)
        for name, count in self.seeds_by_world.items():
            named_values("seeds_by_world", (name,), dict.fromkeys(self.worlds))
            check_count(f"seeds_by_world.{name}", count, minimum=2)
        check_count("seed", self.seed, minimum=0)
        check_count("resamples", self.resamples)
        check_count("checkpoint_every", self.checkpoint_every, minimum=0)
        named_values("methods", self.methods, LANGUAGE_METHODS)
        choose("worlds", self.worlds, self.more)

    def specs(self) -> list[TrainSpec]:
        """One per world, seed and method: what is compared in pairs is finished together."""
        return [
            TrainSpec(
                world,
                method,
                self.model,
                self.optimizer,
                self.loss,
                self.budget,
                seed,
                self.sampler,
                self.engine,
                self.trl,
            )
            for world in choose("worlds", self.worlds, self.more)
            for seed in range(
                self.seed, self.seed + self.seeds_by_world.get(world.name, self.seeds)
            )
            for method in named_values("methods", self.methods, LANGUAGE_METHODS)
        ]


def run(config: TrainConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run all trainings, summarise them and print who is ahead of whom; 0 when done."""
    record = Run.open(output, config.name, config, config.seed)
    with record.timed("train"):
        task = functools.partial(
            training_curve, checkpoints=_checkpoints(config, record, execution)
        )
        rows = sweep(task, config.specs(), record, "curves", execution, console)
        tables = summarise(rows, record, config.resamples, Key.of(config.seed))
    print_tables(tables, console)
    console.print(f"records: {record.directory}")
    return 0


def _checkpoints(config: TrainConfig, record: Run, execution: Execution) -> Checkpoints | None:
    """Where runs are stored while they are under way.

    Raises:
        InvalidInput: on a cluster, whose workers need not see this disk.
    """
    if not config.checkpoint_every:
        return None
    if execution.cluster is not None:
        remedy = "leave it at 0 on a cluster, or train on this machine"
        problem = "workers of a cluster do not share a disk"
        raise InvalidInput("checkpoint_every", config.checkpoint_every, problem, remedy)
    return Checkpoints((record.directory / "models").resolve(), config.checkpoint_every)


def summarise(rows: Sequence[Row], record: Run, resamples: int, key: Key) -> dict[str, list[Row]]:
    """All tables made of the curves, stored."""
    curves = shared.gather(rows)
    each = list(curves.values())
    parts: dict[str, Callable[[], list[Row]]] = {
        "bands": lambda: shared.bands(each, summary.AXES, resamples, key),
        "pairs": lambda: shared.pairs(curves, summary.AXES, summary.CONTRASTS),
        "groups": lambda: shared.groups(each),
        "collections": lambda: shared.collections(each, summary.TOTALS),
        "reach": lambda: shared.reach(curves, summary.AXES),
        "finals": lambda: summary.finals(curves),
        "localization": lambda: summary.localization(each),
    }
    return {table: record.once(table, compute) for table, compute in parts.items()}


def print_tables(tables: dict[str, list[Row]], console: Console) -> None:
    """Who is ahead of whom, and pass rates before and after."""
    console.print("\nDifference of mean pass over the run, paired by seed (bold: it is shown)")
    table = Table("world", "compared", "per rollout", "per token", "seeds", box=None)
    rows: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in tables["pairs"]:
        rows.setdefault((row["world"], row["first"], row["second"]), {})[row["axis"]] = row
    for (world, first, second), axes in rows.items():
        cells = [shared.difference_text(axes[axis]) for axis in summary.AXES]
        table.add_row(world, f"{first} - {second}", *cells, str(axes["rollouts"]["seeds"]))
    console.print(table)
    console.print("\nPass rate on held-out problems before and after, mean over seeds")
    table = Table("world", "method", "sampled", "greedy", box=None)
    for row in [r for r in tables["finals"] if r["measure"] == "sampled"]:
        labels = (row["world"], row["method"])
        greedy = next(
            r
            for r in tables["finals"]
            if r["measure"] == "greedy" and (r["world"], r["method"]) == labels
        )
        cells = [f"{r['before']:.3f} -> {r['after']:.3f}" for r in (row, greedy)]
        table.add_row(*labels, *cells)
    console.print(table)
