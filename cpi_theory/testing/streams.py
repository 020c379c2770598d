"""A stream over any world, whose requests are done in whatever order a script says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import (
    Draw,
    FailedLocalization,
    Localization,
    Localize,
    Rollout,
    Simulator,
    State,
    can_cut,
)

Choose = Callable[[int], int]
"""How many requests are under way -> which of them is done next, 0-based in order of submission."""


def out_of_order(simulator: Simulator, choose: Choose, slots: int = 1 << 30) -> OutOfOrder:
    """Return the world as one that streams.

    Args:
        simulator: does all the work.
        choose: which request is done next.
        slots: most requests under way; the others wait in order of submission.
    """
    return OutOfOrder(simulator, choose, slots)


def drawn(key: Key) -> Choose:
    """Return a choice at random, any request being as likely as another."""
    rng = key.generator()
    return lambda count: int(rng.integers(count))


class OutOfOrder:
    """A world that streams, one request at a time being done, out of a number of slots.

    Attributes:
        simulator: the world; it does all the work, with its own methods.
        slots: most requests under way; the others wait in order of submission.
        choose: which is done next.
        order: tickets in the order in which they were done, over all streams.
    """

    def __init__(self, simulator: Simulator, choose: Choose, slots: int) -> None:
        self.simulator, self.choose, self.slots = simulator, choose, slots
        self.order: list[int] = []

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return the world's rollouts."""
        return self.simulator.rollout(states, keys)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Return the world's answers."""
        return self.simulator.locate_first_error(rollouts, keys)

    def stream(self) -> Script:
        """Begin an empty stream."""
        return Script(self)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the world can do."""
        return getattr(self.simulator, name)


class Script:
    """The stream of a world that is done out of order."""

    def __init__(self, world: OutOfOrder) -> None:
        self._world = world
        self._open: dict[int, Draw | Localize] = {}
        self._submitted = 0

    def submit(self, request: Draw | Localize) -> int:
        """Take a request; see :class:`~cpi_theory.seam.Stream`."""
        self._submitted += 1
        self._open[self._submitted] = request
        return self._submitted

    def finished(self) -> list[tuple[int, Sequence[Any]]]:
        """Do the one request that is chosen among those under way."""
        under_way = list(self._open)[: self._world.slots]
        if not under_way:
            return []
        ticket = under_way[self._world.choose(len(under_way))]
        self._world.order.append(ticket)
        return [(ticket, self._answer(self._open.pop(ticket)))]

    def close(self) -> None:
        """Drop what is not done."""
        self._open.clear()

    def _answer(self, request: Draw | Localize) -> Sequence[Any]:
        world = self._world.simulator
        if isinstance(request, Localize):
            return world.locate_first_error(request.rollouts, request.keys)
        states = [request.state] * len(request.keys)
        keys = np.asarray(request.keys)
        if request.steps is not None and can_cut(world):
            return world.rollout_cut(states, keys, [request.steps] * len(states))
        return world.rollout(states, keys)
