"""Settings of ``cpi-resets train``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from cpi_theory.checks import check_count
from cpi_theory.statistics.bootstrap import check_resamples
from experiments.config import named_value
from experiments.execution.threads import Kind
from experiments.methods import TRAINED, MethodVariant, choose_methods
from experiments.train.spec import (
    Engine,
    KeptRollouts,
    Rehearsal,
    TrainBudget,
    TrainSpec,
    TrlOptions,
)
from experiments.worlds.language import LanguageWorld, choose
from llm.models.settings import TINY_NAME, ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.training.settings import LossSettings, OptimizerSettings


@dataclass(frozen=True)
class TrainConfig:
    """Training runs of language models with GRPO, RRPO, SRPO and Frontier.

    Attributes:
        name: folder of the run below the output folder.
        worlds: names of worlds: natural, sparse, early (chains of arithmetic with hard steps as
            they come, four of them, three early ones), or names from `more`.
        methods: GRPO, RRPO, SRPO, ORACLE (SRPO with the exact step checker as localiser), Frontier
            and EntropyReset (resets to the first thought in which the model was unsure); the family
            of credit methods, such as VinePPO, VPPO or SCoRe, which docs/methods.md lists; or names
            from `more_methods`.
        seeds: runs per world and method; bands and differences are over them, and one has none.
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
            folder `models` of the run, where the best and the last model stay; 0: none. By default
            every tenth update, and none on a cluster; those of other code are then replaced once
            there are new ones, and refused where a number is given.
        rollouts: which rollouts are stored for `explore`: by default those of eight prompts at
            every evaluation, of the first seed.
        rehearsal: localisations that are learned beside the groups, so that a localiser that shares
            the policy's weights does not get worse; none by default.
        resamples: bootstrap resamples.
        more: further worlds, in configuration files only.
        more_methods: further methods, in configuration files only: group sizes, layouts and rules
            of your own.
    """

    name: str = "train"
    worlds: tuple[str, ...] = ("sparse",)
    methods: tuple[str, ...] = TRAINED
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
    checkpoint_every: int | None = None
    resamples: int = 1000
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()
    # Left out of stored settings where there are none, as all fields that came later.
    more_methods: Annotated[tuple[MethodVariant, ...], tyro.conf.Suppress] = field(
        default=(), metadata={"later": True}
    )
    rollouts: KeptRollouts = field(default_factory=KeptRollouts, metadata={"later": True})
    rehearsal: Rehearsal = field(default_factory=Rehearsal, metadata={"later": True})

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds)
        for name, count in self.seeds_by_world.items():
            named_value("seeds_by_world", name, dict.fromkeys(self.worlds))
            check_count(f"seeds_by_world.{name}", count)
        check_count("seed", self.seed, minimum=0)
        check_resamples("resamples", self.resamples)
        if self.checkpoint_every is not None:
            check_count("checkpoint_every", self.checkpoint_every, minimum=0)
        choose_methods("methods", self.methods, self.more_methods)
        choose("worlds", self.worlds, self.more)

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        return "tiny" if self.model.path == TINY_NAME else "model"

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
                self.rollouts if seed < self.seed + self.rollouts.seeds else None,
                self.rehearsal,
            )
            for world in choose("worlds", self.worlds, self.more)
            for seed in range(
                self.seed, self.seed + self.seeds_by_world.get(world.name, self.seeds)
            )
            for method in choose_methods("methods", self.methods, self.more_methods)
        ]
