"""``cpi-resets frontier``: frontier resets against GRPO and SRPO, from good localisers to bad ones.

Tables of the run: ``means`` (one row per world, method and accuracy: the mean of J over the curve,
one entry per seed), ``cells`` (their mean with an interval), ``goals`` (every other method against
the better of GRPO and SRPO, paired by seed, and what was aimed at) and ``rule`` (what theory
expects of each depth rank). GRPO does not ask the localiser, so it runs once per world, with
accuracy null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count, check_probability
from cpi_theory.statistics.bootstrap import paired_difference
from experiments.frontier.report import BASELINES, goals, rank_rule, verdicts
from experiments.frontier.worlds import TREES
from experiments.learn.curves import Budget, CurveSpec, learning_curve
from experiments.methods import ALGORITHMS, GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.runs.sweep import Execution, sweep
from experiments.worlds.tabular import TreeWorld
from tabular.learning.optimizers import Adam


@dataclass(frozen=True)
class FrontierConfig:
    """Frontier resets against GRPO and SRPO over localiser accuracies and base pass rates.

    Attributes:
        name: folder of the run below the output folder.
        worlds: reasoning trees: "one hard", "two hard", "eight mild", "three early",
            "long, twelve mild", "four hard", "five hard", "long, fourteen mild", "long, ten hard".
        methods: GRPO, SRPO and any of Frontier, "Frontier, rank" (the rank rule), "Frontier, plain"
            (the parent's own continuation is left out), "Frontier, told 0.7" (whatever the
            accuracy), and "deepest", "second", "third" (that depth rank, whatever the accuracy).
        accuracies: probabilities that the localiser names the first error; else a uniform step.
        seeds: curves per world, method and accuracy; differences are paired by seed.
        seed: the first of them.
        rate: learning rate of Adam, the same for all.
        prompts: start states per update, 8 rollouts each.
        updates: per curve.
    """

    name: str = "frontier"
    worlds: tuple[str, ...] = tuple(TREES)
    methods: tuple[str, ...] = ("GRPO", "SRPO", "deepest", "Frontier")
    accuracies: tuple[float, ...] = (1.0, 0.9, 0.7, 0.4, 0.1)
    seeds: int = 20
    seed: int = 0
    rate: float = 0.03
    prompts: int = 4
    updates: int = 150

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, minimum=2)
        check_count("seed", self.seed, minimum=0)
        for i, accuracy in enumerate(self.accuracies):
            check_probability(f"accuracies[{i}]", accuracy)
        _check_names("worlds", self.worlds, TREES)
        _check_names("methods", self.methods, ALGORITHMS)
        for name in (*BASELINES, "Frontier"):
            if name not in self.methods:
                problem = f"{name} is missing"
                raise InvalidInput("methods", self.methods, problem, f"add {name!r}")
        Adam(self.rate)
        self.budget()

    def budget(self) -> Budget:
        """Length of a curve; it is recorded about thirty times."""
        return Budget(prompts=self.prompts, updates=self.updates, every=max(1, self.updates // 30))

    def specs(self) -> list[CellSpec]:
        """One per world, method and accuracy."""
        seeds = tuple(range(self.seed, self.seed + self.seeds))
        return [
            CellSpec(TREES[world], method, accuracy, Adam(self.rate), self.budget(), seeds)
            for world in self.worlds
            for method in self.methods
            for accuracy in ((None,) if method == "GRPO" else self.accuracies)
        ]


def _check_names(field: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    for i, name in enumerate(names):
        if name not in known:
            remedy = f"choose among {', '.join(map(repr, known))}"
            raise InvalidInput(f"{field}[{i}]", name, "unknown", remedy)
        if name in names[:i]:
            raise InvalidInput(f"{field}[{i}]", name, "given twice", "name it once")


@dataclass(frozen=True)
class CellSpec:
    """One method in one world with one localiser, from several seeds.

    Attributes:
        world, optimizer, budget: see there.
        method: a name in `ALGORITHMS`.
        accuracy: of the localiser; None for a method that does not ask it.
        seeds: of the curves.
    """

    world: TreeWorld
    method: str
    accuracy: float | None
    optimizer: Adam
    budget: Budget
    seeds: tuple[int, ...]


def frontier_cell(spec: CellSpec) -> list[Row]:
    """The row of ``means`` for `spec`.

    Columns: `world`, `method`, `accuracy`, `base_pass` (J before any update, mean over seeds),
    `means` (per seed the mean of J over the curve), `rollouts`, `steps` and `localizations` per
    curve, `informative` (share of groups whose rewards differ).
    """
    accuracy = 1.0 if spec.accuracy is None else spec.accuracy
    method = GroupMethod(spec.method, ALGORITHMS[spec.method](accuracy), accuracy)
    curves = [
        learning_curve(CurveSpec(spec.world, method, spec.optimizer, spec.budget, seed))
        for seed in spec.seeds
    ]
    points = [row for curve in curves for row in curve]
    made = sum(row["groups"] for row in points)
    last = {n: float(np.mean([curve[-1][n] for curve in curves])) for n in _TOTALS}
    return [
        {
            "world": spec.world.name,
            "method": spec.method,
            "accuracy": spec.accuracy,
            "base_pass": float(np.mean([curve[0]["value"] for curve in curves])),
            "means": [_mean_value(curve) for curve in curves],
            **last,
            "informative": sum(row["informative"] for row in points) / made,
        }
    ]


_TOTALS = ("rollouts", "steps", "localizations")


def _mean_value(curve: Sequence[Row]) -> float:
    """Mean of J over the curve, along rollouts."""
    x, y = ([row[name] for row in curve] for name in ("rollouts", "value"))
    return float(np.trapezoid(y, x) / x[-1])


def run(config: FrontierConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run the grid, print who is ahead and whether the goals are met; 0 when done."""
    record = Run.open(output, config.name, config, config.seed)
    with record.timed("frontier"):
        means = sweep(frontier_cell, config.specs(), record, "means", execution, console)
        cells = record.write("cells", summarise(means))
        compared = record.write("goals", goals(means))
        record.write("rule", rank_rule())
    show(cells, compared, console)
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
        text = rf"{gap['difference']:+.3f} \[{gap['lower']:+.3f}, {gap['upper']:+.3f}]"
        numbers = [f"{mean:.3f}" for mean in means]
        table.add_row(world, f"{gap['base_pass']:.4f}", f"{accuracy:g}", *numbers, text)
    console.print(table)
    for sentence in verdicts(compared):
        console.print(sentence)
