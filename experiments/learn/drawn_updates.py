"""Updates of a method at the base policy of a tabular world, one for each of many prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from cpi_theory.algorithms.collecting import collect
from cpi_theory.randomness import Key
from cpi_theory.seam import Group, scheduled
from experiments.learn.curves import begin_learning
from experiments.methods import HALF_WAY, GroupMethod
from experiments.worlds.tabular import SeededWorld, World


@dataclass(frozen=True, eq=False)
class DrawnUpdates:
    """What a method would learn from each prompt, before anything is learned.

    Attributes:
        updates: gradients of the groups of each prompt, a sparse array of shape
            (prompts, parameters); prompts are independent, and an update of several is their sum.
        rollouts, steps: generated for a prompt, on average.
        gradient: of J, exactly, shape (parameters,).
    """

    updates: Any
    rollouts: float
    steps: float
    gradient: NDArray[np.float64]

    @property
    def cosine(self) -> float | None:
        """Of the mean update and the gradient of J; None where one is nothing."""
        mean = np.asarray(self.updates.mean(axis=0)).ravel()
        sizes = float(np.linalg.norm(mean)) * float(np.linalg.norm(self.gradient))
        return float(mean @ self.gradient) / sizes if sizes else None


def drawn_updates(
    world: World, method: GroupMethod, seeded: SeededWorld, prompts: int, key: Key
) -> DrawnUpdates:
    """Draw an update of a method for each of so many prompts, which are those of any method.

    Args:
        world: the world.
        method: one with a gradient; with a schedule, as it is half-way.
        seeded: the world's instance, with its base policy.
        prompts: start states, drawn from the world's own.
        key: of these, and of all that is drawn from them.

    Raises:
        Unable: the method asks what the world cannot do.
    """
    simulator, policy = begin_learning(world, method, seeded)
    starts = simulator.start_states(prompts, key.child("starts"))
    algorithm = scheduled(method.algorithm, HALF_WAY)
    collection = collect(algorithm, simulator, starts, key.child("collect"))
    groups: list[list[Group]] = [[] for _ in starts]
    for group in collection:
        groups[group.prompt].append(group)
    rows = [csr_array(policy.gradient(own, policy).reshape(1, -1)) for own in groups]
    return DrawnUpdates(
        vstack(rows, format="csr"),
        collection.generated_rollouts / prompts,
        collection.generated_steps / prompts,
        policy.gradient_of_return().ravel(),
    )
