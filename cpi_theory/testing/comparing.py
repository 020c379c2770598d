"""Comparing rollouts of any world: states that hash, actions of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Keys
from cpi_theory.seam import (
    FailedLocalization,
    Group,
    Localization,
    Rollout,
    Simulator,
    State,
)


def law(holds: bool, statement: str, *shown: object) -> None:
    """Raise an `AssertionError` with the law and what broke it."""
    if not holds:
        details = "; ".join(repr(value) for value in shown)
        raise AssertionError(f"{statement}: {details}" if shown else statement)


def check_world(make: Any, starts: Any) -> None:
    """Refuse what is no maker of worlds, or no list of start states.

    Raises:
        InvalidInput: naming the argument.
    """
    if not callable(make):
        remedy = "give a function, or a class, that makes the world afresh"
        raise InvalidInput("make", make, "cannot be called", remedy)
    if not isinstance(starts, Sequence) or not starts:
        raise InvalidInput("starts", starts, "no list of start states", "give at least one")


def same(one: Any, other: Any) -> bool:
    """Tell whether two states, actions or tables are equal, arrays entry by entry."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_rollout(one: Rollout | None, other: Rollout | None) -> bool:
    """Tell whether two rollouts are equal in all that the seam knows of them."""
    if one is None or other is None:
        return one is other
    rewards = (one.reward, other.reward)
    return (
        same(list(one.states), list(other.states))
        and same(list(one.actions), list(other.actions))
        and (rewards[0] == rewards[1] or all(map(math.isnan, rewards)))
        and (one.failed, one.ended, one.last) == (other.failed, other.ended, other.last)
    )


def same_group(one: Group, other: Group) -> bool:
    """Tell whether two groups hold equal samples with equal credit."""
    return (
        (one.prompt, one.step, len(one.samples)) == (other.prompt, other.step, len(other.samples))
        and same_rollout(one.parent, other.parent)
        and all(
            same_rollout(a.rollout, b.rollout)
            and same(a.advantages, b.advantages)
            and a.context == b.context
            for a, b in zip(one.samples, other.samples, strict=True)
        )
    )


class Watched:
    """A simulator that keeps what passes through it; it does no more than the seam asks.

    Attributes:
        simulator: the world.
        drawn: every rollout.
        asked: the state and the key that each was drawn with.
        located: how many rollouts it was asked to localise.
        shown: states of second attempts and demonstrations.
        calls: names of the calls in their order.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.drawn: list[Rollout] = []
        self.asked: list[tuple[State, int]] = []
        self.located = 0
        self.shown: list[State] = []
        self.calls: list[str] = []

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return the world's rollouts."""
        self.calls.append("rollout")
        self._note(states, keys)
        rollouts = self.simulator.rollout(states, keys)
        self.drawn.extend(rollouts)
        return rollouts

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Return the world's answers."""
        self.calls.append("locate")
        self.located += len(rollouts)
        return self.simulator.locate_first_error(rollouts, keys)

    def _note(self, states: Sequence[State], keys: Keys) -> None:
        self.asked.extend(zip(states, map(int, keys), strict=True))

    def __getattr__(self, name: str) -> Any:
        """Whatever else the world can do; what it cuts, revises and shows is kept too."""
        found = getattr(self.simulator, name)
        if name in ("revise", "demonstrate"):
            return self._showing(found)
        return self._keeping(found) if name == "rollout_cut" else found

    def _showing(self, asked: Callable[..., Sequence[Any]]) -> Any:
        def shown(*arguments: Any) -> Sequence[Any]:
            answers = asked(*arguments)
            for one in answers:
                self.shown.extend(one.states if isinstance(one, Rollout) else [one])
            return answers

        return shown

    def _keeping(self, rollout_cut: Callable[..., Sequence[Rollout]]) -> Any:
        def kept(states: Sequence[State], keys: Keys, *cuts: Any) -> Sequence[Rollout]:
            self.calls.append("rollout")
            self._note(states, keys)
            rollouts = rollout_cut(states, keys, *cuts)
            self.drawn.extend(rollouts)
            return rollouts

        return kept
