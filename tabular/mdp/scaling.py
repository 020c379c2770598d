"""Shifting and scaling rewards until every return-to-go lies in [0, reward_bound]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import check_count, check_in_range, check_positive
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP, RewardScaling
from tabular.mdp.validation import (
    Array,
    as_numbers,
    canonical_transitions,
    check_finite,
    return_range,
)


def rescale(
    transitions: Any,
    rewards: ArrayLike,
    start: ArrayLike,
    horizon: int,
    *,
    reward_bound: float = 1.0,
    terminal: ArrayLike | None = None,
    observations: ArrayLike | None = None,
    name: str = "",
) -> FiniteHorizonMDP:
    """Shift and scale rewards into the standing assumption of the bounds.

    The shift is the least constant per step, at least 0, that makes every return-to-go of every
    policy non-negative; the scale then brings the largest one down to `reward_bound`. Neither
    happens without need. A constant per step and a positive factor change no comparison of
    policies. A shift is paid in terminal states too, which are then terminal no longer.

    Args:
        transitions: dense (H, S, A, S) or (S, A, S), scipy sparse (S * A, S), or H sparse ones.
        rewards: expected rewards in any units, shape (H, S, A) or (S, A).
        start: distribution of the first state, shape (S,).
        horizon: number of layers H.
        reward_bound: R_max of the result.
        terminal: bool (S,), absorbing states without reward; None means none.
        observations: int (H, S) or (S,); None gives every (h, s) its own.
        name: human-readable label.

    Returns:
        The MDP; its `scaling` maps values back.

    Raises:
        InvalidInput: if a table is malformed.
    """
    check_count("horizon", horizon)
    check_positive("reward_bound", reward_bound)
    table = as_numbers("rewards", rewards, exact=False)
    kernels = canonical_transitions(transitions, table, horizon, exact=False)
    check_finite("rewards", table, ("h", "s", "a")[-table.ndim :])
    lowest, highest = return_range(kernels, table, horizon)
    # Steps left, by which a shift of one raises a return-to-go.
    left = np.arange(horizon, 0, -1.0)[:, None]
    # A shift of c raises a return-to-go by c * left: the least c that lifts all of them to 0.
    shift = max(0.0, float((-lowest / left).max()))
    scale = _scale(float((highest + shift * left).max()), reward_bound)
    return FiniteHorizonMDP(
        kernels,
        _shifted(table, shift, scale),
        start,  # type: ignore[arg-type]
        horizon,
        reward_bound,
        terminal=None if shift > 0 else terminal,
        observations=observations,
        name=name,
        scaling=RewardScaling(shift, scale, horizon),
    )


def rescale_discounted(
    transitions: Any,
    rewards: ArrayLike,
    start: ArrayLike,
    discount: float,
    *,
    reward_bound: float = 1.0,
    name: str = "",
) -> DiscountedMDP:
    """Shift and scale rewards of a discounted MDP so that values lie in [0, reward_bound].

    Rewards are raised until none is negative and then scaled until the largest is at most
    (1 - discount) * reward_bound; neither without need.

    Returns:
        The MDP; its `scaling` maps values back.

    Raises:
        InvalidInput: if a table is malformed.
    """
    check_in_range("discount", discount, 0, 1)
    check_positive("reward_bound", reward_bound)
    table = as_numbers("rewards", rewards, exact=False)
    check_finite("rewards", table, ("s", "a"))
    shift = max(0.0, -float(table.min()))
    steps = 1 / (1 - discount) if discount < 1 else np.inf
    scale = _scale((float(table.max()) + shift) * steps, reward_bound)
    shifted = _shifted(table, shift, scale)
    return DiscountedMDP(
        transitions,
        shifted,
        start,  # type: ignore[arg-type]
        discount,
        reward_bound,
        name,
        RewardScaling(shift, scale, steps),
    )


def _scale(most: float, bound: float) -> float:
    """Factor that brings the largest value down to `bound`, if it is above."""
    return bound / most if most > bound else 1.0


def _shifted(rewards: Array, shift: float, scale: float) -> Array:
    return rewards if shift == 0 and scale == 1 else scale * (rewards + shift)
