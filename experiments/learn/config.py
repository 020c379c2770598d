"""Settings of ``cpi-resets learn``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from cpi_theory.checks import check_count
from cpi_theory.statistics.bootstrap import check_resamples
from experiments.config import check_new_names, named_values
from experiments.learn.curves import Budget, CurveSpec
from experiments.methods import TABULAR_METHODS, TabularMethod
from experiments.worlds.tabular import WORLDS, World, choose
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
            ", exact"; and the family of credit methods, such as VinePPO, TreeRL or SCoRe, which
            docs/methods.md lists.
        sampled_worlds: in which of them CPI-RR and CPI-CARO run from samples, which takes many.
        seeds: curves per world and method; bands and differences are over them.
        seed: of all randomness.
        optimizer: of the group methods: "adam" or "sgd".
        rate: its learning rate, the same for all of them.
        budget: how long curves are.
        resamples: bootstrap resamples.
        more: further worlds, such as a `FileWorld` with an MDP of your own, in configuration files
            only.
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
        check_resamples("resamples", self.resamples)
        named_values("methods", self.methods, TABULAR_METHODS)
        check_new_names("more", [world.name for world in self.more], WORLDS)
        choose("worlds", self.worlds, self.more)
        if self.sampled_worlds:
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
