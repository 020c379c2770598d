"""Combination locks: right actions in a row, or back to the start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import check_choice, check_count, check_probability
from cpi_theory.randomness import Key
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.worlds.problem import Problem


def combination_lock(
    length: int,
    actions: int = 2,
    horizon: int | None = None,
    *,
    wrong: str = "dead",
    right_probability: float | None = None,
    seed: int | Key = 0,
) -> Problem:
    """Make a lock that opens after `length` right actions in a row.

    States 0..length-1 are positions, state `length` is open, state `length + 1` dead; the last
    two are terminal. Each position has one right action. The last of them pays 1.

    Args:
        length: right actions needed.
        actions: actions per position, at least 2.
        horizon: steps per rollout, by default `length`.
        wrong: where a wrong action leads: "dead", "start" or "back" (one position).
        right_probability: base policy's chance of the right action; None draws all alike.
        seed: of the code.

    Raises:
        InvalidInput: if a parameter is out of range.
    """
    check_count("length", length)
    check_count("actions", actions, 2)
    horizon = length if horizon is None else horizon
    check_count("horizon", horizon)
    chance = 1 / actions if right_probability is None else right_probability
    check_probability("right_probability", chance)
    code = Key.of(seed).child("combination lock").generator().integers(actions, size=length)
    positions = np.arange(length)
    moves = np.zeros((length + 2, actions, length + 2))
    # Every action is a mistake at first; the right one is overwritten in the next line.
    moves[positions, :, _after_mistake(wrong, length)] = 1.0
    moves[positions, code] = np.eye(length + 2)[positions + 1]
    moves[[length, length + 1], :, [length, length + 1]] = 1.0
    rewards = np.zeros((length + 2, actions))
    rewards[length - 1, code[-1]] = 1.0
    mdp = FiniteHorizonMDP(
        moves,
        rewards,
        np.eye(length + 2)[0],
        horizon,
        terminal=np.arange(length + 2) >= length,
        name=f"combination lock {length}",
    )
    # Where rollouts end, any distribution will do.
    policy = np.full((length + 2, actions), 1 / actions)
    policy[:length] = (1 - chance) / (actions - 1)
    policy[positions, code] = chance
    return Problem(mdp, as_policy(mdp, policy))


def _after_mistake(wrong: str, length: int) -> NDArray[np.int64]:
    """The state that a mistake at each position leads to."""
    positions = np.arange(length)
    choices = {"dead": positions * 0 + length + 1, "start": positions * 0, "back": positions - 1}
    check_choice("wrong", wrong, tuple(choices))
    return np.maximum(choices[wrong], 0)
