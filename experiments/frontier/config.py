"""Settings of ``cpi-resets frontier``."""

from __future__ import annotations

from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput, check_count, check_probability
from experiments.config import check_given_once, named_values
from experiments.frontier.summary import BASELINES
from experiments.frontier.worlds import TREES
from experiments.learn.curves import Budget
from experiments.methods import ALGORITHMS
from experiments.worlds.tabular import TreeWorld
from tabular.learning.optimizers import Adam


@dataclass(frozen=True)
class FrontierConfig:
    """Frontier resets against GRPO and SRPO over localiser accuracies and base pass rates.

    Attributes:
        name: folder of the run below the output folder.
        worlds: reasoning trees: "one hard", "two hard", "eight mild", "three early",
            "long, twelve mild", "four hard", "five hard", "long, fourteen mild", "long, ten hard".
        methods: GRPO, SRPO and Frontier, required unless `beside` has their curves, and any of
            "Frontier, rank" (the rank rule), "Frontier, plain" (the parent's own continuation is
            left out), "Frontier, told 0.7" (whatever the accuracy), "Adaptive Frontier" and
            "Adaptive SRPO" (told nothing), and "deepest", "second", "third" (that depth rank,
            whatever the accuracy).
        accuracies: probabilities that the localiser names the first error; else a uniform step.
        last_accuracy: to which each of them drifts, linearly in the updates; None: they stay.
            Methods that are told the accuracy are told the first one.
        seeds: curves per world, method and accuracy; differences are paired by seed.
        seed: the first of them.
        rate: learning rate of Adam, the same for all.
        prompts: start states per update, 8 rollouts each.
        updates: per curve.
        beside: a run in the same output folder with the same seeds and budget, whose curves of
            GRPO, SRPO and Frontier are taken instead of being drawn again.
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
    last_accuracy: float | None = field(default=None, metadata={"later": True})
    beside: str = field(default="", metadata={"later": True})

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds, minimum=2)
        check_count("seed", self.seed, minimum=0)
        if not self.accuracies:
            raise InvalidInput("accuracies", (), "empty", "give at least one")
        for i, accuracy in enumerate(self.accuracies):
            check_probability(f"accuracies[{i}]", accuracy)
        check_given_once("accuracies", self.accuracies)
        if self.last_accuracy is not None:
            check_probability("last_accuracy", self.last_accuracy)
        named_values("worlds", self.worlds, TREES)
        named_values("methods", self.methods, ALGORITHMS)
        for name in (*BASELINES, "Frontier"):
            if name not in self.methods and not self.beside:
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
            CellSpec(TREES[world], method, accuracy, Adam(self.rate), self.budget(), seeds, last)
            for world in self.worlds
            for method in self.methods
            for accuracy, last in (
                [(None, None)]
                if method == "GRPO"
                else [(accuracy, self.last_accuracy) for accuracy in self.accuracies]
            )
        ]


@dataclass(frozen=True)
class CellSpec:
    """One method in one world with one localiser, from several seeds.

    Attributes:
        world, optimizer, budget: see there.
        method: a name in `ALGORITHMS`.
        accuracy: of the localiser; None for a method that does not ask it.
        seeds: of the curves.
        last_accuracy: to which it drifts; None: it stays.
    """

    world: TreeWorld
    method: str
    accuracy: float | None
    optimizer: Adam
    budget: Budget
    seeds: tuple[int, ...]
    last_accuracy: float | None = field(default=None, metadata={"later": True})
