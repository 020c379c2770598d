"""Language models as worlds that `diagnose` can look at."""

from __future__ import annotations

from cpi_theory.randomness import Key
from experiments.diagnose_worlds import Site
from experiments.language_worlds import open_world
from experiments.train_worlds import LanguageWorld
from llm.models.load import ModelSettings


def open_model(
    world: LanguageWorld, settings: ModelSettings, prompts: int, key: Key, temperature: float = 1.0
) -> Site:
    """A model on held-out problems; where the task has a step checker, deviations are from it.

    Args:
        world: task and format.
        settings: the model.
        prompts: number of problems, one start state each.
        key: of the problems.
        temperature: of rollouts.

    Raises:
        InvalidInput: whatever model and task refuse.
    """
    opened = open_world(world, settings, temperature)
    problems = opened.problems("test", prompts, key.child("problems"))
    starts = opened.simulator.start_states(problems)
    reference = None if opened.oracle is None else opened.with_localizer(opened.oracle)
    return Site(world.name, opened.simulator, starts, reference)
