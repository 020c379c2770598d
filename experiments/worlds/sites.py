"""Worlds that `diagnose` can look at, whoever built them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cpi_theory.seam import Simulator, State


@dataclass(frozen=True)
class Site:
    """A world that can be diagnosed; the one thing that a front end has to build.

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
