"""Reset to the first error that the world names in its own failures (SRPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cpi_theory.checks import check_count
from cpi_theory.randomness import Keys
from cpi_theory.resets.weights import EMPTY, Weights, one_hot
from cpi_theory.seam import (
    FailedLocalization,
    Localization,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    Simulator,
)


@dataclass(frozen=True, slots=True)
class FirstErrorReset(ResetPolicy):
    """Reset to just before the first error that the world names in a failed rollout (SRPO).

    A rollout whose first error the world cannot name is refused with the world's own reason;
    no step is ever put in its place.

    Attributes:
        offset: how many steps earlier to reset, never before the rollout's own start.

    Source: arXiv 2605.25507.
    """

    localizes: ClassVar[bool] = True

    offset: int = 0

    def __post_init__(self) -> None:
        check_count("offset", self.offset, minimum=0)

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Put weight 1 on the named step less `offset`, 0 elsewhere, or the world's refusal."""
        # An empty rollout has no step to name; the others keep their own keys.
        asked = [i for i, r in enumerate(rollouts) if len(r)]
        answers = simulator.locate_first_error([rollouts[i] for i in asked], keys[asked])
        weights: list[Weights | Refusal] = [EMPTY] * len(rollouts)
        for i, answer in zip(asked, answers, strict=True):
            weights[i] = self._weights(len(rollouts[i]), answer)
        return weights

    def _weights(self, steps: int, answer: Localization | FailedLocalization) -> Weights | Refusal:
        if isinstance(answer, Refusal):
            return answer
        # A world that breaks law 3 of the seam is refused: clipping would reset to a step nobody
        # named.
        if not 0 <= answer.step < steps:
            return Refusal(Reason.OUT_OF_RANGE)
        return one_hot(steps, max(answer.step - self.offset, 0))
