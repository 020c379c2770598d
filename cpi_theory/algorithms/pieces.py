"""What plans are made of: keyed draws, failures that can be parents, and relative advantages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, group_advantages
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Group, Prompt, Rollout


def from_start(prompt: Prompt, key: Key, purpose: str, count: int) -> Draw:
    """Ask for `count` rollouts from the prompt's start, keyed by what they are for."""
    return Draw(prompt.start, key.child(purpose).integers(count))


def relative_group(
    rollouts: Sequence[Rollout],
    prompt: Prompt,
    normalization: Normalization = "std",
    parent: Rollout | None = None,
    step: int | None = None,
) -> Group:
    """Group rollouts of one state with the advantages that they have among themselves.

    Args:
        rollouts: from one state.
        prompt: that they belong to.
        normalization: see :data:`~cpi_theory.algorithms.advantages.Normalization`.
        parent: the rollout that was reset, None for rollouts from the prompt's start.
        step: the index of its step that was reset to.

    Raises:
        InvalidInput: if there is no rollout or a reward is not finite.
    """
    advantages = group_advantages([r.reward for r in rollouts], normalization)
    return Group.of(rollouts, advantages, prompt.id, parent, step)


def may_be_parent(rollout: Rollout) -> bool:
    """Tell whether a rollout can be reset: it failed, and has a step to reset to."""
    return rollout.failed and len(rollout) > 0


def draw_index(probabilities: NDArray[np.float64], key: Key) -> int:
    """Draw an index by inverse distribution function; rounding never picks probability 0.

    Args:
        probabilities: shape (n,), not all zero; they need not sum to one.
        key: of the draw.
    """
    return key.index(probabilities)
