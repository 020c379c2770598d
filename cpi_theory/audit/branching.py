"""Everything that can happen in a run, listed by running it again along each branch of chance.

A generator cannot be copied, so a run is replayed from its start: the choices that chance has made
are followed up to the last one, which now takes its next option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cpi_theory.audit.forest import Forest
from cpi_theory.checks import Exact
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Rollout, State

Option = TypeVar("Option")
Result = TypeVar("Result")


class TooMany(Exception):
    """There are more branches than were to be listed."""


class Branch:
    """The choices of chance in one run: `path` first, then the first option each time.

    Attributes:
        path: index of the option of each choice.
        sizes: how many options each had.
        probability: of the options that were taken, all of them together.
    """

    def __init__(self, path: Sequence[int] = ()) -> None:
        self.path = list(path)
        self.sizes: list[int] = []
        self.probability: Exact = Fraction(1)

    def choose(self, options: Sequence[tuple[Exact, Option]]) -> Option:
        """Take one of the options, (probability, what), none of which has probability 0."""
        place = len(self.sizes)
        if place == len(self.path):
            self.path.append(0)
        self.sizes.append(len(options))
        probability, option = options[self.path[place]]
        self.probability = self.probability * probability
        return option

    def next_path(self) -> list[int] | None:
        """The path of the branch after this one; None if it was the last."""
        for place in reversed(range(len(self.sizes))):
            if self.path[place] + 1 < self.sizes[place]:
                return [*self.path[:place], self.path[place] + 1]
        return None


def every_run(run: Callable[[Branch], Result], most: int) -> Iterator[tuple[Exact, Result]]:
    """Run along every branch; yields (probability, result), and the probabilities sum to one.

    Args:
        run: depends on what its branch chooses and on nothing else.
        most: branches to list.

    Raises:
        TooMany: once there are more; nothing can be concluded from those that were listed.
    """
    path: list[int] | None = []
    count = 0
    while path is not None:
        count += 1
        if count > most:
            raise TooMany
        branch = Branch(path)
        result = run(branch)
        yield branch.probability, result
        path = branch.next_path()


@dataclass(frozen=True)
class BranchingWorld:
    """A forest whose rollouts and first errors a branch chooses, whatever their keys."""

    forest: Forest
    branch: Branch

    def rollout(self, states: Sequence[State], keys: Keys) -> list[Rollout]:  # noqa: ARG002
        """One of the possible rollouts from each state."""
        return [self.branch.choose(self.forest.outcomes(s)) for s in states]

    def rollout_cut(
        self,
        states: Sequence[State],
        keys: Keys,  # noqa: ARG002
        steps: Sequence[int | None],
    ) -> list[Rollout]:
        """One of the possible rollouts from each state, cut after so many steps."""
        return [
            self.branch.choose(self.forest.outcomes(s, n))
            for s, n in zip(states, steps, strict=True)
        ]

    def locate_first_error(
        self,
        rollouts: Sequence[Rollout],
        keys: Keys,  # noqa: ARG002
    ) -> list[Localization | FailedLocalization]:
        """One of the possible answers about each rollout."""
        return [self.branch.choose(self.forest.answers(rollout)) for rollout in rollouts]

    def step_logprobs(self, rollouts: Sequence[Rollout]) -> list[NDArray[np.float64]]:
        """Log-probabilities of steps, which chance has no part in."""
        return self.forest.step_logprobs(rollouts)

    def demonstrate(self, states: Sequence[State], keys: Keys) -> list[Rollout]:  # noqa: ARG002
        """One of the rollouts of the best policy from each state."""
        return [self.branch.choose(self.forest.solutions(s)) for s in states]


@dataclass(frozen=True)
class BranchingKey(Key):
    """A key whose draws of an index a branch chooses; its integers are those of the plain key."""

    branch: Any = None

    def child(self, *parts: int | str) -> Key:
        """Return the stream below this one, of the same branch."""
        return BranchingKey(Key(self.path).child(*parts).path, self.branch)

    def index(self, probabilities: NDArray[np.float64]) -> int:
        """Choose an index that has weight."""
        # Floats are fractions, too, and these are normalised without rounding: 1/3 is a third.
        weights = [Fraction(float(weight)) for weight in probabilities]
        options = [(w / sum(weights), i) for i, w in enumerate(weights) if w > 0]
        return self.branch.choose(options)  # type: ignore[no-any-return]
