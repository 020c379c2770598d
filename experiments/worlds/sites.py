"""Language models as worlds that `diagnose` can look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cpi_theory.randomness import Key
from cpi_theory.seam import Simulator, State
from experiments.worlds.language import LanguageWorld
from experiments.worlds.open_world import open_world
from llm.models.settings import ModelSettings


@dataclass(frozen=True)
class Site:
    """A world that can be diagnosed; the one thing that a front end has to build.

    Attributes:
        label: in records and figures.
        simulator: the world under its policy.
        starts: one start state per prompt, drawn independently.
        reference: names the first errors that deviations are measured from, if anything does.
        reward_bound: R_max, in reward units.
    """

    label: str
    simulator: Simulator
    starts: Sequence[State]
    reference: Simulator | None = None
    reward_bound: float = 1.0


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
