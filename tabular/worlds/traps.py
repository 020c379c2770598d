"""Traps: the MDPs on which the sharp improvement bounds T1s and T8 are attained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from cpi_theory.checks import Exact, check_count, check_in_range
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import deterministic_policy
from tabular.mdp.text import describe, pretty_lines
from tabular.mdp.validation import Array
from tabular.worlds.problem import same_kind, zeros


@dataclass(frozen=True, eq=False, repr=False)
class Trap:
    """An extremal world with its base policy and the candidate that makes the bound tight.

    Attributes:
        mdp: the world.
        policy: the base policy, shape (H, S, A), or (S, A) of a discounted trap.
        candidate: like `policy`.
    """

    mdp: FiniteHorizonMDP | DiscountedMDP
    policy: Shaped[np.ndarray, "*layers S A"]
    candidate: Shaped[np.ndarray, "*layers S A"]

    def __repr__(self) -> str:
        return describe(self.mdp, "Trap", {}, {"pi": self.policy, "pi'": self.candidate})

    _repr_pretty_ = pretty_lines


def two_state_trap(horizon: int, gain: Exact, loss: Exact) -> Trap:
    """Make the world that attains T1s for every horizon and step size.

    The policy always takes action 0. In state 0 that stays; action 1 pays `gain` and leads to
    state 1 for good, where action 1 pays `loss` and action 0 nothing. The candidate always takes
    action 1. Every reward is shifted by -loss, so that returns are not negative; advantages and
    gains do not feel it. With loss = 0 and the improvable set as reset weight the same world
    attains T3.

    Args:
        horizon: H.
        gain: M >= 0, in reward units.
        loss: m <= 0, in reward units.

    Returns:
        The trap, exact if `gain` or `loss` is a fraction.

    Raises:
        InvalidInput: if a sign is wrong.

    Source: docs/theory.md, T1s (the instance that attains it).
    """
    check_count("horizon", horizon)
    gain, loss = same_kind(gain, loss)
    # The largest return: the shift -loss in each step, and the gain once.
    bound = gain - horizon * loss
    mdp = FiniteHorizonMDP(
        *_trap_tables(gain, loss), horizon, reward_bound=bound if bound > 0 else 1, name="trap"
    )
    return _with_candidate(mdp)


def discounted_trap(discount: Exact, gain: Exact, loss: Exact) -> Trap:
    """Make a discounted :func:`two_state_trap`, which attains the sharp form of T8.

    Raises:
        InvalidInput: if a sign is wrong or `discount` is outside [0, 1).

    Source: docs/theory.md, T8; the trap of T1s without a horizon.
    """
    check_in_range("discount", discount, 0, 1)
    gain, loss, discount = same_kind(gain, loss, discount)
    bound = gain - loss / (1 - discount) if discount < 1 else gain
    tables = _trap_tables(gain, loss)
    return _with_candidate(DiscountedMDP(*tables, discount, bound if bound > 0 else 1, "trap"))


def _trap_tables(gain: Exact, loss: Exact) -> tuple[Array, Array, Array]:
    check_in_range("gain", gain, 0, float("inf"))
    check_in_range("loss", loss, float("-inf"), 0)
    moves, rewards, start = zeros((2, 2, 2), gain), zeros((2, 2), gain), zeros(2, gain)
    moves[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1]] = 1
    rewards[:] = -loss
    rewards[0, 1] += gain
    rewards[1, 1] += loss
    start[0] = 1
    return moves, rewards, start


def _with_candidate(mdp: FiniteHorizonMDP | DiscountedMDP) -> Trap:
    return Trap(mdp, deterministic_policy(mdp, [0, 0]), deterministic_policy(mdp, [1, 1]))
