"""Reset policies that look at nothing: the start, or any step alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.randomness import Keys
from cpi_theory.resets.weights import EMPTY, Weights, one_hot
from cpi_theory.seam import Refusal, ResetPolicy, Rollout, Simulator


@dataclass(frozen=True, slots=True)
class StartReset(ResetPolicy):
    """No reset: every rollout starts again where it began (w = 1 at its first step alone)."""

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Put weight 1 on the first step, 0 elsewhere; an empty rollout is refused."""
        return [one_hot(len(r), 0) if len(r) else EMPTY for r in rollouts]


@dataclass(frozen=True, slots=True)
class UniformReset(ResetPolicy):
    """Random resets: every step of the rollout alike.

    Applied to every rollout, as conservative policy iteration does (CPI-RR), it has the reset
    weight w = 1. RRPO applies it to failures alone, so that where it resets to is another law: see
    `tabular.reset_state_law`.

    Source: arXiv 2605.25507.
    """

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Put weight 1 on each step; an empty rollout is refused."""
        return [np.ones(len(r)) if len(r) else EMPTY for r in rollouts]
