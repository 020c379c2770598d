"""``cpi-resets learn``: learning curves of every algorithm on tabular worlds.

Tables of the run: ``curves`` (one row per world, method, seed and point; see
:func:`experiments.learn.curves.learning_curve`), and what :mod:`experiments.curve_statistics` makes
of them: ``bands``, ``pairs``, ``groups``, ``collections`` and ``reach`` for the group methods, and
``conservative`` (bands too) for conservative policy iteration, which needs far more rollouts and is
therefore not drawn in the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key
from experiments import curve_statistics as summary
from experiments.curve_statistics import Curves
from experiments.learn.curves import Budget, CurveSpec, learning_curve
from experiments.methods import TABULAR_METHODS, ConservativeMethod, GroupMethod, TabularMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.runs.sweep import Execution, sweep
from experiments.worlds.tabular import World, choose
from tabular.learning.optimizers import Adam, Sgd

_GROUP_METHODS = ("GRPO", "RRPO", "SRPO", "SRPO-70", "SRPO-40")
_CONSERVATIVE = ("CPI-RR", "CPI-CARO")
_EXACT = tuple(f"{name}, exact" for name in _CONSERVATIVE)


@dataclass(frozen=True)
class LearnConfig:
    """Learning curves of GRPO, RRPO, SRPO and conservative policy iteration on tabular worlds.

    Attributes:
        name: folder of the run below the output folder.
        worlds: names of worlds: tree-natural, tree-sparse, tree-early, tree-rare,
            tree-recoverable, lock, frozen-lake, frozen-lake-dry, frozen-lake-8x8, taxi,
            cliff-walking, or names from `more`.
        methods: run in every world: GRPO, RRPO, SRPO, SRPO-70 and SRPO-40 (localiser right with
            probability .7, .4), Frontier, Frontier-70, CPI-RR, CPI-CARO, and the latter two with
            ", exact".
        sampled_worlds: in which of them CPI-RR and CPI-CARO run from samples, which takes many.
        seeds: curves per world and method; bands and differences are over them.
        seed: of all randomness.
        optimizer: of the group methods: "adam" or "sgd".
        rate: its learning rate, the same for all of them.
        budget: how long curves are.
        resamples: bootstrap resamples.
        more: further worlds, in configuration files only.
    """

    name: str = "learn"
    worlds: tuple[str, ...] = ("tree-natural", "tree-sparse", "tree-early", "lock", "frozen-lake")
    methods: tuple[str, ...] = _GROUP_METHODS + _EXACT
    sampled_worlds: tuple[str, ...] = ("tree-natural",)
    seeds: int = 20
    seed: int = 0
    optimizer: Literal["adam", "sgd"] = "adam"
    rate: float = 0.2
    budget: Budget = field(default_factory=Budget)
    resamples: int = 1000
    more: Annotated[tuple[World, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, minimum=2)
        check_count("resamples", self.resamples)
        for i, name in enumerate(self.methods):
            if name not in TABULAR_METHODS:
                remedy = f"choose among {', '.join(TABULAR_METHODS)}"
                raise InvalidInput(f"methods[{i}]", name, "unknown", remedy)
        choose("worlds", self.worlds, self.more)
        choose("sampled_worlds", self.sampled_worlds, self.more)
        self.make_optimizer()

    def make_optimizer(self) -> Adam | Sgd:
        """The optimiser of the group methods."""
        return Adam(self.rate) if self.optimizer == "adam" else Sgd(self.rate)

    def methods_in(self, world: World) -> list[TabularMethod]:
        """What runs in a world."""
        sampled = _CONSERVATIVE if world.name in self.sampled_worlds else ()
        return [TABULAR_METHODS[name] for name in dict.fromkeys(self.methods + sampled)]

    def specs(self) -> list[CurveSpec]:
        """One per world, method and seed."""
        optimizer = self.make_optimizer()
        return [
            CurveSpec(world, method, optimizer, self.budget, seed)
            for world in choose("worlds", self.worlds, self.more)
            for method in self.methods_in(world)
            for seed in range(self.seed, self.seed + self.seeds)
        ]


def run(config: LearnConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run all curves, summarise them and print who is ahead of whom; 0 when done."""
    record = Run.open(output, config.name, config, config.seed)
    with record.timed("learn"):
        rows = sweep(learning_curve, config.specs(), record, "curves", execution, console)
        tables = _summarise(config, rows, record)
    _print(tables["pairs"], tables["reach"], console)
    console.print(f"records: {record.directory}")
    return 0


def _summarise(config: LearnConfig, rows: Sequence[Row], record: Run) -> dict[str, list[Row]]:
    curves = summary.gather(rows)
    learners = _of_kind(curves, GroupMethod)
    groups = list(learners.values())
    key = Key.of(config.seed)
    parts: dict[str, Callable[[], list[Row]]] = {
        "bands": lambda: summary.bands(groups, summary.AXES, config.resamples, key),
        "pairs": lambda: summary.pairs(learners),
        "groups": lambda: summary.groups(groups),
        "collections": lambda: summary.collections(groups),
        "reach": lambda: summary.reach(learners),
        "conservative": lambda: _conservative_bands(config, curves, key),
    }
    return {table: record.once(table, compute) for table, compute in parts.items()}


def _of_kind(curves: dict[tuple[str, str], Curves], kind: type) -> dict[tuple[str, str], Curves]:
    return {k: one for k, one in curves.items() if isinstance(TABULAR_METHODS[one.method], kind)}


def _conservative_bands(
    config: LearnConfig, curves: dict[tuple[str, str], Curves], key: Key
) -> list[Row]:
    """Along rollouts and steps, and along iterations where nothing is sampled."""
    kind = _of_kind(curves, ConservativeMethod).values()
    exact = [one for one in kind if one.method in _EXACT]
    sampled = [one for one in kind if one.method not in _EXACT]
    updates = float(config.budget.exact_updates)
    return [
        *summary.bands(exact, ("update",), config.resamples, key, updates),
        *summary.bands(sampled, summary.AXES, config.resamples, key),
    ]


def _print(pairs: Sequence[Row], reach: Sequence[Row], console: Console) -> None:
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
