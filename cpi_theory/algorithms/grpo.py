"""GRPO: one group of rollouts from each start state."""

from __future__ import annotations

from dataclasses import dataclass

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
