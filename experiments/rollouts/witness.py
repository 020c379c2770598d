"""What an algorithm saw while it collected: every rollout, where it began, which steps were named.

Groups hold what is learned from. A plan sees more: rollouts that only searched for a parent, what
a reset policy said of each, and why there was no reset.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Draw,
    NameSteps,
    Plan,
    Prompt,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    State,
    learned,
    recalling,
    scheduled,
)


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What a reset policy said of a rollout.

    Attributes:
        reset: the policy.
        rollout: what it was asked about.
        answer: the probability of each step, shape (len(rollout),), or a refusal.
    """

    reset: ResetPolicy
    rollout: Rollout
    answer: NDArray[Any] | Refusal


@dataclass(slots=True, eq=False)
class Seen:
    """What the plan of one prompt saw.

    Attributes:
        prompt: which.
        drawn: rollouts in the order in which they came, each with the state that it was asked from.
        named: what was said of which rollouts.
        refused: why the plan did without a parent, once for each that is missing.
    """

    prompt: Prompt
    drawn: list[tuple[Rollout, State]] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    refused: list[Reason] = field(default_factory=list)

    def note(self, wanted: Any, answers: Any) -> None:
        """Take down one wish with its answer, or several with theirs."""
        several = isinstance(wanted, Sequence)
        for wish, answer in zip(wanted, answers, strict=True) if several else [(wanted, answers)]:
            if isinstance(wish, Draw):
                self.drawn += [(rollout, wish.state) for rollout in answer]
            elif isinstance(wish, NameSteps):
                said = zip(wish.rollouts, answer, strict=True)
                self.named += [Named(wish.reset, rollout, one) for rollout, one in said]
            elif isinstance(wish, Refusal):
                self.refused.append(wish.reason)


@dataclass(frozen=True, eq=False)
class Witnessed:
    """An algorithm whose plans are those of another one, with a look at what they see.

    What is drawn, and in which order, is the same. All else is asked of the other one.

    Attributes:
        algorithm: the other one.
        seen: of each prompt, by its id; those of the collection that is under way, or of the last.
    """

    algorithm: Algorithm
    seen: dict[int, Seen] = field(default_factory=dict)

    @property
    def rows_per_prompt(self) -> int:
        """Most samples of a prompt that are learned from."""
        return self.algorithm.rows_per_prompt

    def at(self, progress: float) -> Witnessed:
        """The algorithm as it is when a share of all updates is done, looked at as before."""
        return dataclasses.replace(self, algorithm=scheduled(self.algorithm, progress))

    def after(self, collection: Collection) -> Witnessed:
        """The algorithm as it is after a collection of its own, looked at as before."""
        return dataclasses.replace(self, algorithm=learned(self.algorithm, collection))

    def recall(self, memory: dict[str, Any]) -> Witnessed:
        """The algorithm with a memory that it has left, looked at as before."""
        return dataclasses.replace(self, algorithm=recalling(self.algorithm, memory))

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """See :class:`cpi_theory.seam.Algorithm`."""
        seen = self.seen[prompt.id] = Seen(prompt)
        return _watched(self.algorithm.plan(prompt, key), seen)

    def __getattr__(self, name: str) -> Any:
        # Engines ask some algorithms for more than the protocol has. Names with underscores are
        # Python's own, asked also of a value that is not yet filled.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.algorithm, name)


def _watched(plan: Plan, seen: Seen) -> Plan:
    answers = None
    while True:
        try:
            wanted = plan.send(answers)
        except StopIteration as end:
            groups: Sequence[Any] = end.value
            return groups
        answers = yield wanted
        seen.note(wanted, answers)
