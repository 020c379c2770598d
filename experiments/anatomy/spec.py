"""What the resets of one world depend on, as a value that needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from experiments.worlds.language import LanguageWorld
from llm.models.settings import ModelSettings
from llm.models.temperature import check_temperature


@dataclass(frozen=True)
class AnatomySpec:
    """What the resets of one world depend on.

    Attributes:
        world, model: what solves which problems.
        prompts: held-out problems.
        rollouts: of each, in which failures are looked for.
        parents: most failures of a problem that are reset.
        suffixes: from each reset state.
        temperature: of all rollouts.
        seed: of everything drawn.
    """

    world: LanguageWorld
    model: ModelSettings
    prompts: int = 100
    rollouts: int = 4
    parents: int = 1
    suffixes: int = 4
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("prompts", self.prompts, minimum=2)
        for name in ("rollouts", "parents", "suffixes"):
            check_count(name, getattr(self, name))
        check_temperature("temperature", self.temperature, greedy=False)

    @property
    def key(self) -> Key:
        """The key of everything that is drawn in this world."""
        return Key.of(self.seed).child("anatomy", self.world.name)
