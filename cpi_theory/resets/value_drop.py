"""Reset to where the value fell most, by fresh rollouts: what a localiser is meant to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.resets.weights import EMPTY, Weights, one_hot
from cpi_theory.seam import Refusal, ResetPolicy, Rollout, Simulator


@dataclass(frozen=True, slots=True)
class ValueDropReset(ResetPolicy):
    r"""Reset to just before the step over which a cheap estimate of the value drops most.

    Formula: :math:`\arg\max_t \hat V(s_t) - \hat V(s_{t+1})`, with :math:`\hat V` the mean reward
    of `continuations` fresh rollouts from a state, and the reward in place of the last value. With
    many of them it names the step of the most negative advantage A(s, a) that was taken; with one
    or two it is mostly noise, and the first of equal drops is taken.

    It asks nobody. Cost: K T rollouts for a rollout of T steps, which are counted with all others
    and learned from by nobody. Needs terminal rewards.
    """

    draws: ClassVar[bool] = True

    continuations: int = 4

    def __post_init__(self) -> None:
        check_count("continuations", self.continuations)

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Put weight 1 on the step of the largest drop; an empty rollout is refused."""
        states = [state for r in rollouts for state in r.states for _ in range(self.continuations)]
        drawn = [
            Key.of(int(key)).child("value drop").integers(len(r) * self.continuations)
            for r, key in zip(rollouts, keys, strict=True)
        ]
        if not states:
            return [EMPTY for _ in rollouts]
        rewards = np.array([r.reward for r in simulator.rollout(states, np.concatenate(drawn))])
        values = iter(rewards.reshape(-1, self.continuations).mean(axis=1))
        return [self._weights(r, [next(values) for _ in r.states]) for r in rollouts]

    def _weights(self, rollout: Rollout, values: Sequence[float]) -> Weights | Refusal:
        if not len(rollout):
            return EMPTY
        return one_hot(len(rollout), int(np.argmin(np.diff([*values, rollout.reward]))))
