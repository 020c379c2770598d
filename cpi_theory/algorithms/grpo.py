"""GRPO: one group of rollouts from each start state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.pieces import from_start, relative_group
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.seam import Plan, Prompt


@dataclass(frozen=True, slots=True)
class GRPO:
    """One group of rollouts from each start state.

    Attributes:
        rollouts: group size, at least 2.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Source: Shao et al. (2024), arXiv 2402.03300.
    """

    rollouts: int = 8
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts are learned from."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """Draw the group; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        return [relative_group(rollouts, prompt, self.normalization)]


def DrGRPO(**options: Any) -> GRPO:
    """Make `GRPO(normalization="none", ...)`: the reward less the group's mean.

    It estimates A(s, a) up to the factor (n - 1) / n, whatever a prompt's difficulty; GRPO divides
    by the standard deviation, which gives prompts with rare successes or rare failures more weight.
    The constant length of its loss is a setting of the loss, ``aggregation = "constant"``.

    Source: Liu et al. (2025), arXiv 2503.20783.
    """
    return GRPO(**{"normalization": "none"} | options)


def RLOO(**options: Any) -> GRPO:
    """Make `GRPO(normalization="leave-one-out", ...)`: the reward less the mean of the others.

    The baseline does not depend on the rollout, so that the gradient is unbiased.

    Source: Ahmadian et al. (2024), arXiv 2402.14740.
    """
    return GRPO(**{"normalization": "leave-one-out"} | options)
