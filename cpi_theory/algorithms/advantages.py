"""Group-relative advantages: what a rollout is worth beside the others from the same state."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_choice

Normalization = Literal["std", "none", "leave-one-out"]
"""How a group's rewards G_1..G_k become advantages:

- "std": (G_i - mean) / population standard deviation (GRPO and the paper);
- "none": G_i - mean (Dr. GRPO, arXiv 2503.20783: no reweighting of prompts by difficulty);
- "leave-one-out": G_i - mean of the others (RLOO, arXiv 2402.14740: an unbiased baseline).
"""

# Far above the rounding of a mean (1e-16) and far below what one other outcome among k does to the
# deviation of rewards 0 and 1: sqrt(k - 1) / k, more than 0.03 up to k = 1,000.
CONSTANT = 1e-6
"""A group whose standard deviation is below this, in reward units, counts as constant."""


def check_normalization(normalization: str) -> None:
    """Refuse an unknown normalisation by name."""
    check_choice("normalization", normalization, get_args(Normalization))


def group_advantages(
    rewards: ArrayLike, normalization: Normalization = "std", constant: float = CONSTANT
) -> NDArray[np.float64]:
    """Compute advantages within each group, every group on its own.

    Two of four right gives +-1, one of four +1.732 / -0.577 under "std". A constant group, or a
    group of one, teaches nothing and gets exact zeros: its rounding error is not blown up to +-1.

    Args:
        rewards: shape (..., k), the last axis being one group of k rollouts.
        normalization: see :data:`Normalization`.
        constant: standard deviation below which a group counts as constant, in reward units.

    Returns:
        Shape (..., k); unitless under "std", else in reward units.

    Raises:
        InvalidInput: if a reward is not finite, a group is empty or the name is unknown.

    Source: arXiv 2605.25507 (population standard deviation, no epsilon).
    """
    check_normalization(normalization)
    g = np.asarray(rewards, dtype=np.float64)
    if g.ndim == 0 or g.shape[-1] == 0:
        raise InvalidInput("rewards", g.shape, "no rollouts in a group", "give at least one")
    if not np.isfinite(g).all():
        raise InvalidInput("rewards", rewards, "not finite", "repair the reward function")
    # In two passes: mean(G^2) - mean(G)^2 cancels where rewards are large and alike.
    deviation = g - g.mean(axis=-1, keepdims=True)
    std = np.sqrt((deviation**2).mean(axis=-1, keepdims=True))
    # Zeros for a constant group whatever the normalisation: what is left of it is rounding.
    return np.where(std < constant, 0.0, deviation * _scale(std, g.shape[-1], normalization))


def _scale(std: NDArray[np.float64], k: int, normalization: Normalization) -> NDArray[np.float64]:
    if normalization == "std":
        # The 1 stands in where the caller puts zeros, so that nothing is divided by 0.
        return 1 / np.where(std > 0, std, 1.0)
    # G_i - mean of the others = k / (k - 1) (G_i - mean of all).
    return np.full_like(std, k / max(k - 1, 1) if normalization == "leave-one-out" else 1.0)
