"""A world that is ready for measurements: a simulator and its start states."""

from __future__ import annotations

from collections.abc import Sequence
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
    """

    label: str
    simulator: Simulator
    starts: Sequence[State]
    reference: Simulator | None = None
    reward_bound: float = 1.0
