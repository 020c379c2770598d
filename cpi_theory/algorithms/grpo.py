"""GRPO: one group of rollouts from each start state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.collecting import Account, from_start, group, tasks
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection, Simulator, State


@dataclass(frozen=True, slots=True)
class GRPO:
    """One group of rollouts from each start state.

    Attributes:
        rollouts: group size, at least 2.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.
    """

    rollouts: int = 8
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_normalization(self.normalization)

    def collect(
        self,
        simulator: Simulator,
        starts: Sequence[State],
        rng: Key | int | np.random.Generator,
        prompts: Sequence[int] | None = None,
    ) -> Collection:
        """One group per start state in one batched call; see :class:`~cpi_theory.seam.Algorithm`.

        Raises:
            InvalidInput: if prompt ids repeat or do not match the starts in number.
        """
        todo = tasks(starts, rng, prompts)
        account = Account(simulator)
        drawn = account.draw([from_start(task, "base", self.rollouts) for task in todo])
        return account.collection(
            [group(r, t.prompt, self.normalization) for t, r in zip(todo, drawn, strict=True)]
        )
