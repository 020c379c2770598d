"""Settings of ``cpi-resets anatomy``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from cpi_theory.checks import check_count
from cpi_theory.statistics.bootstrap import check_resamples
from experiments.anatomy.spec import AnatomySpec
from experiments.execution.threads import Kind
from experiments.worlds.language import LanguageWorld, choose
from llm.models.settings import TINY_NAME, ModelSettings
from llm.training.settings import LossSettings


@dataclass(frozen=True)
class AnatomyConfig:
    """Resets of a language model's failures: named, random and exact steps, beside controls.

    Attributes:
        name: folder of the run below the output folder.
        worlds: names of worlds: natural, sparse, early, or names from `more`; a collection of the
            first is shown as a tree.
        model: who solves and localises, the warm-started tiny model by default.
        loss: whose gradient the tree shows.
        prompts: held-out problems per world.
        rollouts: of each, in which failures are looked for.
        parents: most failures of a problem that are reset.
        suffixes: from each reset state.
        temperature: of all rollouts.
        seed: of all randomness.
        resamples: bootstrap resamples.
        more: further worlds, in configuration files only.
    """

    name: str = "anatomy"
    worlds: tuple[str, ...] = ("natural", "sparse", "early")
    model: ModelSettings = field(default_factory=lambda: ModelSettings(TINY_NAME))
    loss: LossSettings = field(default_factory=LossSettings)
    prompts: int = 100
    rollouts: int = 4
    parents: int = 1
    suffixes: int = 4
    temperature: float = 1.0
    seed: int = 0
    resamples: int = 1000
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_count("seed", self.seed, minimum=0)
        check_resamples("resamples", self.resamples)
        self.specs()

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        return "tiny" if self.model.path == TINY_NAME else "model"

    def specs(self) -> list[AnatomySpec]:
        """One per world."""
        return [
            AnatomySpec(
                world,
                self.model,
                self.prompts,
                self.rollouts,
                self.parents,
                self.suffixes,
                self.temperature,
                self.seed,
            )
            for world in choose("worlds", self.worlds, self.more)
        ]
