"""A world that is ready for measurements: a simulator and its start states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cpi_theory.seam import Simulator, State


@dataclass(frozen=True)
class PreparedWorld:
    """A simulator with one start state per prompt, as `diagnose` takes it.

    Attributes:
        label: in records and figures.
        simulator: the world under its policy.
        starts: one start state per prompt, drawn independently.
        reference: names the first errors that deviations are measured from, if anything does.
        reward_bound: R_max, in reward units.
        most_steps: that a rollout can have.
        most_tokens: that it can have; where there are none each step stands for one.
        most_reply: tokens of a localisation.
        spent: how many tokens were generated until now; None: there are none.
    """

    label: str
    simulator: Simulator
    starts: Sequence[State]
    reference: Simulator | None = None
    reward_bound: float = 1.0
    most_steps: int = 1
    most_tokens: int = 1
    most_reply: int = 0
    spent: Callable[[], int] | None = None

    def tokens(self) -> int | None:
        """Return how many tokens were generated until now, if they are counted."""
        return None if self.spent is None else self.spent()
