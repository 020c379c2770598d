"""Reset to where the policy was least sure: what costs nothing and asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.checks import InvalidInput, check_in_range
from cpi_theory.randomness import Keys
from cpi_theory.resets.weights import EMPTY, Weights
from cpi_theory.seam import Refusal, ResetPolicy, Rollout, Simulator, can_score


@dataclass(frozen=True, slots=True)
class UnsureReset(ResetPolicy):
    r"""Reset to the steps that were least likely when they were taken.

    Formula: :math:`w_t = (-\ln p_t / \max_u (-\ln p_u))^{sharpness}`; `sharpness` 0 is a uniform
    step, a large one the least likely step alone. :math:`-\ln p_t` is the entropy of the policy at
    a step, estimated from the one step that it took. It says where the policy might have gone
    another way, not where it was wrong: the cheap rival of localisers that read.

    A rollout of steps that were all certain names none. Needs a world that knows how likely its
    steps were (:class:`~cpi_theory.seam.ScoringSimulator`).

    Source: after ARPO, arXiv 2507.19849, and APPO, arXiv 2606.12384, which fork where entropy is
    high.
    """

    sharpness: float = 8.0

    def __post_init__(self) -> None:
        check_in_range("sharpness", self.sharpness, 0, 1000)

    def step_weights(
        self, rollouts: Sequence[Rollout], simulator: Simulator, keys: Keys
    ) -> list[Weights | Refusal]:
        """Weigh each step by how unlikely it was; an empty rollout is refused.

        Raises:
            InvalidInput: if the simulator does not know how likely its steps were.
        """
        if not can_score(simulator):
            remedy = "use UniformReset(), or a world with step_logprobs"
            raise InvalidInput("reset", self, "this world cannot score its steps", remedy)
        scores = simulator.step_logprobs(rollouts) if len(rollouts) else []
        return [self._weights(-each) if len(each) else EMPTY for each in scores]

    def _weights(self, surprise: Weights) -> Weights:
        most = float(surprise.max())
        return (
            np.clip(surprise / most, 0, 1) ** self.sharpness
            if most > 0
            else np.zeros_like(surprise)
        )
