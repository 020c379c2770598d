"""Frontier resets: restart from the furthest point that failed rollouts demonstrably reached.

The first half of a prompt's rollouts decides what the other half is for. If it holds a success, the
other half completes it to one ordinary group: plain GRPO. If all of it failed, the world names the
first error of *every* failure in one batch, one of them becomes the parent, and the other half are
suffixes from just before its named step; or fresh rollouts, where the answers are too unreliable
for any parent to be worth it. Which, is decided in :mod:`cpi_theory.algorithms.parent_choice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.collecting import Account, Request, Task, draw_index, group, tasks
from cpi_theory.algorithms.parent_choice import FirstErrorModel, best_rank, deepest, parent_lessons
from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import Collection, Group, Refusal, ResetPolicy, Rollout, Simulator, State

FrontierParent = Literal["posterior", "rank"] | int


@dataclass(frozen=True, slots=True)
class FrontierGRPO:
    """GRPO that resets to the frontier of a prompt where its first half of rollouts all failed.

    Exactly `rollouts` are drawn per prompt, whatever happens, in at most two batched calls with one
    localisation call between them. Where it does not reset it draws the very rollouts of
    ``GRPO(rollouts)``, so the two differ only by what resets do.

    Attributes:
        model: what is believed of the world's answers, their accuracy above all, and of prompts.
        rollouts: per prompt.
        base: how many of them are drawn from the start before it is decided what the rest is for.
        parent: which failure to reset: "posterior", the one with the largest expected lesson given
            all named steps; "rank", the depth rank that is best at this accuracy; a number r, the
            r-th deepest named step whatever the accuracy. The first two may prefer fresh rollouts.
        keep_parent: whether the parent's own continuation joins the suffix group, and leaves the
            base group. It is free, and known to have failed. Only for worlds whose rewards are
            terminal; see :meth:`~cpi_theory.seam.Rollout.tail`.
        reset: names the steps; a policy that gives several of them weight has one drawn.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.

    Raises:
        InvalidInput: naming the field that fits no layout.
    """

    model: FirstErrorModel = field(default_factory=FirstErrorModel)
    rollouts: int = 8
    base: int = 4
    parent: FrontierParent = "posterior"
    keep_parent: bool = False
    reset: ResetPolicy = field(default_factory=FirstErrorReset)
    normalization: Normalization = "std"

    def __post_init__(self) -> None:
        check_count("base", self.base, minimum=3 if self.keep_parent else 2)
        check_count("rollouts", self.rollouts, minimum=self.base + (1 if self.keep_parent else 2))
        if not isinstance(self.reset, ResetPolicy):
            raise InvalidInput(
                "reset", self.reset, "not a reset policy", "give e.g. FirstErrorReset()"
            )
        if isinstance(self.parent, str):
            if self.parent not in ("posterior", "rank"):
                raise InvalidInput(
                    "parent", self.parent, "unknown", "choose 'posterior', 'rank' or a depth rank"
                )
        else:
            check_count("parent", self.parent)
        check_normalization(self.normalization)

    def collect(
        self,
        simulator: Simulator,
        starts: Sequence[State],
        rng: Key | int | np.random.Generator,
        prompts: Sequence[int] | None = None,
    ) -> Collection:
        """The groups of each start state; see :class:`~cpi_theory.seam.Algorithm`.

        A prompt without a reset gives one group of `rollouts`; one with a reset its base group,
        whose rewards are all failures, and the suffix group.

        Raises:
            InvalidInput: if prompt ids repeat or do not match the starts in number.
        """
        account = Account(simulator)
        searches = [_Search(task, self._keys(task)) for task in tasks(starts, rng, prompts)]
        drawn = account.draw([Request(s.task.start, s.keys[: self.base]) for s in searches])
        for search, rollouts in zip(searches, drawn, strict=True):
            search.base = rollouts
        self._name_steps(account, [s for s in searches if all(r.failed for r in s.base)])
        for search in searches:
            search.parent = self._choose(search)
        drawn = account.draw([self._rest(search) for search in searches])
        groups = [self._groups(s, rest) for s, rest in zip(searches, drawn, strict=True)]
        return account.collection([g for of_prompt in groups for g in of_prompt])

    def _keys(self, task: Task) -> Keys:
        return task.key.child("base").integers(self.rollouts)  # GRPO's own

    def _name_steps(self, account: Account, failed: Sequence[_Search]) -> None:
        """Have a step of every failure named, all of them in one call; refusals are counted."""
        asked = [(search, number) for search in failed for number in range(len(search.base))]
        if not asked:
            return
        answers = self.reset.step_probabilities(
            [search.base[number] for search, number in asked],
            account.simulator,
            np.concatenate([s.task.key.child("locate").integers(len(s.base)) for s in failed]),
        )
        account.localizations += len(asked) if self.reset.localizes else 0
        for (search, number), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Refusal):
                account.refusals[answer.reason] += 1
            else:
                step = _drawn(answer, search.task.key, number)
                search.named.append(_Named(number, search.base[number], step))

    def _choose(self, search: _Search) -> _Named | None:
        """The parent, or None where the rest is better spent from the start."""
        if not search.named:
            return None
        if self.parent == "posterior":
            return self._most_promising(search)
        rank = self.parent if isinstance(self.parent, int) else self._rank(search)
        index = deepest([named.step for named in search.named], rank) if rank else None
        return None if index is None else search.named[index]

    def _most_promising(self, search: _Search) -> _Named | None:
        steps = tuple((named.step, len(named.rollout)) for named in search.named)
        lessons = parent_lessons(
            self.model, steps, self.base, self.rollouts - self.base, self.keep_parent
        )
        best = int(np.argmax(lessons))
        return search.named[best - 1] if best else None

    def _rank(self, search: _Search) -> int:
        length = max(len(named.rollout) for named in search.named)
        count = self.rollouts - self.base
        return best_rank(self.model, length, len(search.named), count, self.keep_parent)

    def _rest(self, search: _Search) -> Request:
        parent = search.parent
        if parent is None:
            return Request(search.task.start, search.keys[self.base :])
        key = search.task.key.child("suffix", parent.number)
        return Request(parent.rollout.states[parent.step], key.integers(self.rollouts - self.base))

    def _groups(self, search: _Search, rest: list[Rollout]) -> list[Group]:
        prompt, parent, base = search.task.prompt, search.parent, search.base
        if parent is None:
            return [group([*base, *rest], prompt, self.normalization)]
        if self.keep_parent:
            base = base[: parent.number] + base[parent.number + 1 :]
            rest = [*rest, parent.rollout.tail(parent.step)]
        return [
            group(base, prompt, self.normalization),
            group(rest, prompt, self.normalization, parent.rollout, parent.step),
        ]


def _drawn(answer: NDArray[np.float64], key: Key, number: int) -> int:
    """The step of the number-th failure; nothing is drawn where one step has all the weight."""
    (possible,) = np.nonzero(answer)
    if len(possible) == 1:
        return int(possible[0])
    return draw_index(answer, key.child("step", number))


@dataclass(frozen=True, slots=True)
class _Named:
    """A failure with the step that the world named."""

    number: int
    rollout: Rollout
    step: int


@dataclass(slots=True, eq=False)
class _Search:
    """What is known of one prompt so far."""

    task: Task
    keys: Keys
    base: list[Rollout] = field(default_factory=list)
    named: list[_Named] = field(default_factory=list)
    parent: _Named | None = None
