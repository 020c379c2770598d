"""Settings of ``cpi-resets warm-start``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from cpi_theory.checks import InvalidInput, check_count, check_probability
from experiments.execution.threads import Kind
from experiments.runs.fingerprint import points_to
from experiments.worlds.language import LanguageWorld, choose_one
from llm.models.settings import ModelSettings
from llm.training.supervised import SupervisedSettings

NO_MODEL = "none"
"""Stands in help texts for a model that has to be named."""


@dataclass(frozen=True)
class WarmStartConfig:
    """Teach a pretrained model the format of a task, and to localise if asked for, by examples.

    Attributes:
        name: folder of the run below the output folder.
        model: what is taught, to be named: a folder in Hugging Face format, or a name on the hub;
            all weights, or adapters that are merged into them at the end.
        world: whose examples are taken and on whose held-out problems the model is measured: sums,
            sums-hard, or a name from `more`; None: examples are from `data`, nothing is measured.
        data: a JSON lines file of examples, prompt and completion or messages, instead of those
            that the task writes.
        localization: share of the task's examples that teach to name the first error of a faulty
            solution.
        recipe: how it is taught.
        held_out: problems that it is measured on afterwards; 0: none.
        held_out_before: of these the first so many are those that it is measured on before, when
            its replies are long.
        every: updates between two checkpoints, from which an interrupted run goes on.
        seed: of examples, their order, adapters and measurements.
        into: also save the model in this folder.
        more: further worlds, in configuration files only.
    """

    name: str = "warm-start"
    model: ModelSettings = field(default_factory=lambda: ModelSettings(NO_MODEL))
    world: str | None = "sums"
    data: str | None = None
    localization: float = 0.0
    recipe: SupervisedSettings = field(default_factory=SupervisedSettings)
    held_out: int = 64
    held_out_before: int = 16
    every: int = 20
    seed: int = 0
    into: Path | None = None
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_probability("localization", self.localization)
        for name in ("held_out", "held_out_before", "seed"):
            check_count(name, getattr(self, name), minimum=0)
        check_count("every", self.every)
        if self.world is not None:
            choose_one("world", self.world, self.more)
        elif self.data is None:
            raise InvalidInput("world", None, "no examples either", "name a world, or give data")
        if self.data is not None and self.localization:
            remedy = 'mark examples of it in the file, "skill": "locate", and leave this at 0'
            raise InvalidInput("localization", self.localization, "data is given", remedy)
        if self.model.precision != "float32" and self.model.lora is None:
            remedy = "take float32, or adapters (model.lora)"
            raise InvalidInput("model.precision", self.model.precision, "loses small steps", remedy)

    @property
    def computes(self) -> Kind:
        """Threads pay for pretrained models."""
        return "model"

    @property
    def measured(self) -> tuple[int, int]:
        """Problems before and after; none without a world."""
        if self.world is None:
            return 0, 0
        return min(self.held_out, self.held_out_before), self.held_out

    def language_world(self) -> LanguageWorld | None:
        """The world itself, None without one."""
        if self.world is None:
            return None
        return choose_one("world", self.world, self.more)


@points_to.register
def _(config: WarmStartConfig) -> dict[str, Path]:
    return {} if config.data is None else {config.data: Path(config.data)}
