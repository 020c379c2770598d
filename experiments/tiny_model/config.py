"""Settings of ``cpi-resets tiny-model``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from cpi_theory.checks import check_count
from experiments.config import named_values
from experiments.execution.threads import Kind
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask
from llm.training.warm_start import WarmStart


@dataclass(frozen=True)
class TinyModelConfig:
    """Train a tiny model on imperfect demonstrations and on localising errors.

    Attributes:
        name: folder of the run below the output folder.
        recipe: how it is trained.
        regimes: kinds of questions it is measured on: natural, sparse, early.
        problems: held-out problems per regime.
        every: steps between two stored states.
        into: also save model and measurements in this folder.
    """

    name: str = "tiny-model"
    recipe: WarmStart = field(default_factory=WarmStart)
    regimes: tuple[str, ...] = ("natural", "sparse", "early")
    problems: int = 400
    every: int = 100
    into: Path | None = None

    def __post_init__(self) -> None:
        check_count("problems", self.problems)
        check_count("every", self.every)
        named_values("regimes", self.regimes, REGIMES)
        for name in self.regimes:
            self.task(name)

    @property
    def computes(self) -> Kind:
        """One thread, with which the weights come out to the digit."""
        return "tiny"

    def task(self, regime: str) -> ArithmeticTask:
        """The questions of a regime, with the recipe's facts and length."""
        hard = REGIMES[regime]
        return replace(
            self.recipe.demonstrations.task,
            hard_steps=hard.hard_steps,
            hard_within=hard.hard_within,
        )
