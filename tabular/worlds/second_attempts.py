"""MDPs in which a problem may be attempted again, knowing what became of the first attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import InvalidInput
from tabular.mdp.mdp import FiniteHorizonMDP


@dataclass(frozen=True, eq=False, repr=False)
class SecondAttempts(FiniteHorizonMDP):
    """An MDP beside copies of itself, in which second attempts take place.

    With S states in the original, state s + c S is state s of copy c: of a first attempt (c = 0), a
    second one after a failure (c = 1), or after a success (c = 2). No step leads from one copy to
    another, and observations differ, so that a policy may act otherwise in a second attempt. What
    it knows of the first is whether it failed, and no more: that is what a verifier tells, and
    much less than a text that holds the attempt itself.

    Attributes:
        copies: how many there are.
    """

    copies: int = 3

    def __post_init__(self) -> None:
        FiniteHorizonMDP.__post_init__(self)
        if self.states % self.copies:
            problem = f"does not divide {self.states} states"
            raise InvalidInput("copies", self.copies, problem, "use second_attempts(mdp)")


def second_attempts(mdp: FiniteHorizonMDP) -> SecondAttempts:
    """Put copies for second attempts beside an MDP; rollouts start in the first one.

    Args:
        mdp: dense or sparse, with S states.

    Returns:
        An MDP of 3 S states.
    """
    copies, count = 3, mdp.observation_count
    observations = [mdp.observations + c * count for c in range(copies)]
    return SecondAttempts(
        transitions=_blocks(mdp, copies),
        rewards=np.concatenate([mdp.rewards] * copies, axis=-2),
        start=np.concatenate([mdp.start, *[0 * mdp.start] * (copies - 1)]),
        horizon=mdp.horizon,
        reward_bound=mdp.reward_bound,
        terminal=np.concatenate([mdp.terminal] * copies),
        observations=np.concatenate(observations, axis=-1),
        name=mdp.name,
        scaling=mdp.scaling,
        copies=copies,
    )


def in_all_copies(table: NDArray[Any], copies: int) -> NDArray[Any]:
    """Repeat a table of each state, shape (..., S, A), for every copy, (..., copies S, A)."""
    return np.concatenate([table] * copies, axis=-2)


def _blocks(mdp: FiniteHorizonMDP, copies: int) -> Any:
    if mdp.sparse:
        layers = [mdp.transitions] if mdp.stationary else list(mdp.transitions)
        blocks = [sparse.block_diag([layer] * copies, format="csr") for layer in layers]
        return blocks[0] if mdp.stationary else blocks
    size, dense = mdp.states, mdp.transitions
    whole = np.zeros((*dense.shape[:-3], copies * size, mdp.actions, copies * size), dense.dtype)
    if mdp.exact:
        whole = whole + 0 * mdp.reward_bound
    for c in range(copies):
        own = slice(c * size, (c + 1) * size)
        whole[..., own, :, own] = dense
    return whole
