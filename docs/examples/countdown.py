"""Countdown on the seam: combine numbers until one is left; it is right if that is the target.

A state is the tuple of numbers that are left, with the target; an action takes two of them and an
operation. First errors are found by search: the first action after which the target is out of
reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations

import numpy as np

from cpi_theory import Ending, FailedLocalization, Keys, Localization, Reason, Rollout

State = tuple[int, tuple[int, ...]]
Action = tuple[int, int, str]


def actions_of(state: State) -> list[Action]:
    """What can be done: any two numbers, added, multiplied, or subtracted (larger less smaller)."""
    _, numbers = state
    pairs = sorted({tuple(sorted(pair, reverse=True)) for pair in combinations(numbers, 2)})
    return [(a, b, sign) for a, b in pairs for sign in "+*-"]


def after(state: State, action: Action) -> State:
    """The state that an action leads to."""
    target, numbers = state
    a, b, sign = action
    left = list(numbers)
    left.remove(a)
    left.remove(b)
    result = {"+": a + b, "*": a * b, "-": a - b}[sign]
    return target, tuple(sorted((*left, result)))


@cache
def solvable(state: State) -> bool:
    """Whether the target can still be reached."""
    target, numbers = state
    if len(numbers) == 1:
        return numbers[0] == target
    return any(solvable(after(state, action)) for action in actions_of(state))


class Countdown:
    """The puzzle under a policy that takes a random action, or with `skill` a solvable one."""

    def __init__(self, skill: float = 0.5) -> None:
        self.skill = skill

    def rollout(self, states: Sequence[State], keys: Keys) -> list[Rollout]:
        """One continuation of the policy from each state."""
        return [self._one(state, int(key)) for state, key in zip(states, keys, strict=True)]

    def _one(self, state: State, key: int) -> Rollout:
        states, actions = [], []
        while len(state[1]) > 1:
            rng = np.random.default_rng([key, len(state[1])])
            choices = actions_of(state)
            good = [a for a in choices if solvable(after(state, a))]
            pool = good if good and rng.random() < self.skill else choices
            states.append(state)
            actions.append(pool[int(rng.integers(len(pool)))])
            state = after(state, actions[-1])
        right = state[1][0] == state[0]
        return Rollout(states, actions, float(right), not right, Ending.TERMINAL)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """The first action that puts the target out of reach."""
        del keys  # nothing is drawn
        return [self._locate(rollout) for rollout in rollouts]

    def _locate(self, rollout: Rollout) -> Localization | FailedLocalization:
        if not rollout.failed:
            return FailedLocalization(Reason.NOT_FAILED)
        for i, (state, action) in enumerate(zip(rollout.states, rollout.actions, strict=True)):
            if solvable(state) and not solvable(after(state, action)):
                return Localization(i)
        return FailedLocalization(Reason.NO_ERROR)


STARTS: list[State] = [(24, (1, 3, 4, 6)), (10, (2, 3, 4, 5)), (36, (2, 3, 6, 7))]

if __name__ == "__main__":
    from cpi_theory import SRPO, DiagnosisSettings, collect, diagnose

    print(dict(collect(SRPO(), Countdown(), STARTS, key=0).refusals))
    found = diagnose(Countdown(), STARTS * 20, key=0, settings=DiagnosisSettings(tau=0.1))
    print("share of improvable states", found.coverage)
    print("precision of the search", found.localizer.precision)
