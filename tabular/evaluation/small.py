"""Evaluation of small dense worlds without numba: the sums of its kernels in numpy, bit for bit.

Loading numba takes longer than a few evaluations of a small world do. Both ways add the terms of
each sum in their order and round after each operation, so that it does not matter who did it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from tabular.mdp.validation import TOLERANCE, Array


@dataclass
class Patience:
    """How many layers may still be evaluated without numba: no more than loading it would take.

    Attributes:
        layers: that many; each takes about 25 us.
    """

    layers: int = 4000

    def allows(self, layers: int) -> bool:
        """Whether so many more layers are worth waiting for; never if numba is loaded already."""
        if "numba" in sys.modules or layers > self.layers:
            return False
        self.layers -= layers
        return True


PATIENCE = Patience()


def ordered_sum(terms: Array) -> Array:
    """Add along the first axis, one term after the other, as no sum of numpy promises."""
    return np.asarray(np.add.accumulate(terms, axis=0)[-1])


def backward(
    columns: Array, rewards: Array, policy: Array, values: Array, q_values: Array, advantages: Array
) -> int:
    """Do what `kernels.small_backward` does."""
    horizon, states, actions = policy.shape
    bad = 0
    for h in reversed(range(horizon)):
        table = columns[h if len(columns) > 1 else 0]
        ahead = ordered_sum(table * values[h + 1][:, None]).reshape(states, actions)
        q_values[h] = ahead + rewards[h if len(rewards) > 1 else 0]
        values[h] = ordered_sum((policy[h] * q_values[h]).T)
        advantages[h] = q_values[h] - values[h][:, None]
        off = np.abs(ordered_sum(policy[h].T) - 1.0)
        fine = (off <= TOLERANCE) & (policy[h] >= 0.0).all(axis=1)
        bad += int(np.count_nonzero(~fine))
    return bad


def forward(transitions: Array, policy: Array, visits: Array) -> None:
    """Do what `kernels.small_forward` does."""
    states = visits.shape[1]
    for h in range(len(policy) - 1):
        rows = transitions[h if len(transitions) > 1 else 0].reshape(-1, states)
        mass = (visits[h][:, None] * policy[h]).reshape(-1)
        visits[h + 1] = ordered_sum(mass[:, None] * rows)
