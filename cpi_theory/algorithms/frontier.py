"""Frontier resets: restart from the furthest point that failed rollouts demonstrably reached.

The first half of a prompt's rollouts decides what the other half is for. If it holds a success, the
other half completes it to one ordinary group: plain GRPO. If all of it failed, the world names the
first error of *every* failure in one batch, one of them becomes the parent, and the other half are
suffixes from just before its named step; or fresh rollouts, where the answers are too unreliable
for any parent to be worth it. Which, is decided in :mod:`cpi_theory.algorithms.parent_choice`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.parent_choice import (
    FirstErrorModel,
    best_rank,
    deepest,
    parent_signals,
)
from cpi_theory.algorithms.pieces import draw_index, relative_group
from cpi_theory.checks import InvalidInput, check_count, choose_among
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import Draw, NameSteps, Plan, Prompt, Refusal, ResetPolicy, Rollout

_Rule = Literal["posterior", "rank", "uniform"]

FrontierParent = _Rule | int


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
        parent: which failure to reset: "posterior", the one with the largest expected signal given
            all named steps; "rank", the depth rank that is best at this accuracy; "uniform", any of
            them alike, as SRPO does; a number r, the r-th deepest named step whatever the accuracy.
            The words may prefer fresh rollouts.
        keep_parent: whether the parent's own continuation joins the suffix group, and leaves the
            base group. It is free, and known to have failed. Only for worlds whose rewards are
            terminal; see :meth:`~cpi_theory.seam.Rollout.cut`.
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
        # A group of one teaches nothing, and a parent that is kept leaves the base group.
        check_count("base", self.base, minimum=3 if self.keep_parent else 2)
        check_count("rollouts", self.rollouts, minimum=self.base + (1 if self.keep_parent else 2))
        if not isinstance(self.reset, ResetPolicy):
            raise InvalidInput(
                "reset", self.reset, "not a reset policy", "give e.g. FirstErrorReset()"
            )
        if isinstance(self.parent, str):
            if self.parent not in get_args(_Rule):
                remedy = f"{choose_among(self.parent, get_args(_Rule))}, or a depth rank"
                raise InvalidInput("parent", self.parent, "unknown", remedy)
        else:
            check_count("parent", self.parent)
        check_normalization(self.normalization)

    @property
    def rows_per_prompt(self) -> int:
        """All rollouts are learned from; a parent that is kept changes its group."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """Decide after the first half what the rest of the rollouts is for.

        A prompt without a reset gives one group of `rollouts`; one with a reset its base group,
        whose rewards are all failures, and the suffix group.
        """
        keys = key.child("base").integers(self.rollouts)  # GRPO's own
        base = yield Draw(prompt.start, keys[: self.base])
        named: dict[int, int] = {}
        if all(rollout.failed for rollout in base):
            locating = key.child("locate").integers(len(base))
            answers = yield NameSteps(self.reset, base, locating)
            named = {
                n: _drawn(answer, key, n)
                for n, answer in enumerate(answers)
                if not isinstance(answer, Refusal)
            }
        number = self._choose(named, base, key.child("parent"))
        answered = tuple((step, len(base[n])) for n, step in named.items())
        if number is None:
            # The other keys of the same request, which makes these the very rollouts of GRPO.
            rest = yield Draw(prompt.start, keys[self.base :])
            group = relative_group([*base, *rest], prompt, self.normalization)
            return [replace(group, named=answered)]
        chosen, step = base[number], named[number]
        suffix_keys = key.child("suffix", number).integers(self.rollouts - self.base)
        rest = yield Draw(chosen.states[step], suffix_keys)
        if self.keep_parent:
            # Moved and not copied, so that no rollout is learned from twice.
            base = base[:number] + base[number + 1 :]
            rest = [*rest, chosen.cut(step)]
        return [
            replace(relative_group(base, prompt, self.normalization), named=answered),
            relative_group(rest, prompt, self.normalization, chosen, step),
        ]

    def _choose(self, named: Mapping[int, int], base: Sequence[Rollout], key: Key) -> int | None:
        """Number of the parent; None where the rest is better spent from the start."""
        if not named:
            return None
        steps = [(step, len(base[n])) for n, step in named.items()]
        chosen = self._best(steps, len(base), key)
        return None if chosen is None else list(named)[chosen]

    def _best(self, steps: Sequence[tuple[int, int]], failures: int, key: Key) -> int | None:
        """Index of the best (named step, length), None for fresh rollouts."""
        rest = self.rollouts - self.base
        if self.parent == "posterior" or self.parent == "uniform":
            signals = parent_signals(self.model, tuple(steps), failures, rest, self.keep_parent)
            if self.parent == "uniform":
                drawn = draw_index(np.ones(len(steps)), key)
                return drawn if signals[drawn + 1] > signals[0] else None
            # Entry 0 is fresh rollouts; argmax takes the first of equals, hence no reset on a tie.
            best = int(np.argmax(signals))
            return best - 1 if best else None
        rank = self.parent
        if rank == "rank":
            # The rank rule is made for one length: the longest rollout stands for all.
            longest = max(length for _, length in steps)
            rank = best_rank(self.model, longest, len(steps), rest, self.keep_parent)
        # Rank 0 is `best_rank`'s word for fresh rollouts.
        return deepest([step for step, _ in steps], rank) if rank else None


def _drawn(answer: NDArray[np.float64], key: Key, number: int) -> int:
    """The step of the number-th failure; nothing is drawn where one step has all the weight."""
    (possible,) = np.nonzero(answer)
    if len(possible) == 1:
        return int(possible[0])
    return draw_index(answer, key.child("step", number))
