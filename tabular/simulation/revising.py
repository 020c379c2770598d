"""A finite MDP whose problems can be attempted again, see :mod:`tabular.worlds.second_attempts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Keys
from cpi_theory.seam import Rollout
from tabular.sampling.rollouts import TabularState
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.second_attempts import SecondAttempts


class RevisingTabular(TabularSimulator):
    """A tabular simulator as a :class:`~cpi_theory.seam.RevisingSimulator`.

    Its MDP is made by :func:`~tabular.worlds.second_attempts.second_attempts`.
    """

    mdp: SecondAttempts

    def __init__(self, mdp: SecondAttempts, *arguments: Any, **options: Any) -> None:
        """Set up the world; arguments are those of :class:`TabularSimulator`.

        Raises:
            InvalidInput: if the MDP has no copies for second attempts.
        """
        if not isinstance(mdp, SecondAttempts):
            remedy = "give second_attempts(mdp)"
            raise InvalidInput("mdp", mdp, "has no copies for second attempts", remedy)
        super().__init__(mdp, *arguments, **options)

    def revise(self, rollouts: Sequence[Rollout], keys: Keys) -> list[TabularState]:
        """Return where each rollout started, in the copy for what became of it.

        A second attempt of a second attempt stands where the second one did, if it ended alike.
        """
        del keys  # what a verifier says is not drawn
        size = self.mdp.states // self.mdp.copies
        states = []
        for rollout in rollouts:
            if not len(rollout):
                remedy = "revise rollouts that hold a step"
                raise InvalidInput("rollouts", rollout, "an empty one has no start", remedy)
            first: Any = rollout.states[0]
            layer, state = first
            states.append((layer, int(state) % size + size * (1 if rollout.failed else 2)))
        return states

    def second_value(self) -> float:
        """Return J of second attempts: their expected return, after the policy's own first ones.

        Exact where returns are 0 or `reward_bound`, so that a first attempt's chance of success is
        its value divided by that bound.
        """
        size, values = self.mdp.states // self.mdp.copies, self.evaluation.values[0]
        first, failed, right = (values[c * size : (c + 1) * size] for c in range(3))
        chance = first / self.mdp.reward_bound
        second = chance * right + (1 - chance) * failed
        return float(np.asarray(self.mdp.start[:size] @ second))
