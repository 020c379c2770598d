"""Group-relative optimisation with resets: RRPO, SRPO and the sampling layouts of the paper.

A base group starts where the prompt does; suffix groups start at reset states of failed rollouts.
RRPO and SRPO differ in the reset policy alone.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.pieces import draw_index, from_start, may_be_parent, relative_group
from cpi_theory.checks import InvalidInput, check_choice, check_count
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import (
    Barrier,
    Draw,
    Group,
    NameSteps,
    Plan,
    Prompt,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
)

ParentRule = Literal["uniform", "published"]

OnRefusal = Literal["drop", "uniform", "fresh"]


@dataclass(frozen=True, slots=True)
class ResetGRPO:
    """A base group from the start and suffix groups from reset states of failed rollouts.

    `ResetGRPO(UniformReset())` is RRPO and `ResetGRPO(FirstErrorReset())` is SRPO. Every group is
    normalised on its own, and a suffix group consists of suffixes only: what precedes the reset
    state is no part of any of its rollouts.

    The parent rule "uniform" draws a fixed base group and resets failures of it, drawn uniformly
    and kept in the group: base rollouts are plain rollouts of the policy, with success rate p. The
    "published" rule draws one rollout after the other until the base group is full and `parents`
    failures are found, takes the first failures out as parents and gives up after `attempts`
    rollouts: with 4 base rollouts and one parent their success rate is (5 p - p^5) / 4 before the
    cap, and 9 to 16 rollouts are generated for 8 used.

    A parent that is missing is made up for with `suffix` more rollouts from the start, which join
    the base group; so the number of rollouts from the policy does not depend on luck. The size of
    the group does: where all n = `base` succeed it has m = `suffix` more, and with leave-one-out,
    outcomes 0 and 1 and success rate p its expected update is larger by n m (1 - p) p^(n - 1) /
    (n + m - 1) times the gradient of the start's value, so easy prompts count for a little more.

    Attributes:
        reset: where in a failed rollout to reset to.
        base: rollouts from the start, in which parents are looked for.
        suffix: rollouts from each reset state.
        parents: number of reset states per prompt.
        parent: "uniform", of a base group of plain rollouts, or "published", the paper's release.
        on_refusal: when the reset policy names no step of a parent: "drop" that suffix group, reset
            to a "uniform" step of it, or draw `suffix` more "fresh" rollouts from the start. Each
            case is counted under its reason; there is no silent default step.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.
        train_base: whether the base rollouts form a group; False only searches parents in them.
        attempts: most rollouts that the published rule draws in search of parents.
        failures_only: whether only failures are reset; False resets any rollout, the control that
            says what the choice of failures does. Reset policies that name errors refuse others.
        train_prefix: whether what a parent kept is learned from too, with the advantage of each of
            its suffixes: the paper's ablation without a mask, in worlds with terminal rewards. Such
            samples start where the prompt does.

    Raises:
        InvalidInput: naming the field that fits no layout.

    Source: arXiv 2605.25507.
    """

    reset: ResetPolicy
    base: int = 4
    suffix: int = 4
    parents: int = 1
    parent: ParentRule = "uniform"
    on_refusal: OnRefusal = "drop"
    normalization: Normalization = "std"
    train_base: bool = True
    attempts: int = 12
    failures_only: bool = field(default=True, metadata={"later": True})
    # Left out of stored settings at its default, as it came later.
    train_prefix: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        if not isinstance(self.reset, ResetPolicy):
            raise InvalidInput(
                "reset", self.reset, "not a reset policy", "give e.g. UniformReset()"
            )
        check_count("base", self.base, minimum=0)
        check_count("suffix", self.suffix, minimum=2)
        check_count("parents", self.parents)
        check_normalization(self.normalization)
        check_choice("parent", self.parent, get_args(ParentRule))
        check_choice("on_refusal", self.on_refusal, get_args(OnRefusal))
        if self.base == 1 and self.train_base:
            raise InvalidInput("base", 1, "a group of one teaches nothing", "choose 0 or >= 2")
        (self._check_uniform if self.parent == "uniform" else self._check_published)()

    def _check_uniform(self) -> None:
        if self.base < self.parents:
            raise InvalidInput(
                "base",
                self.base,
                f"too few rollouts to find {self.parents} parents in",
                'draw more (train_base=False if only to search) or take parent="published"',
            )

    def _check_published(self) -> None:
        check_count("attempts", self.attempts, minimum=self.base + self.parents)
        if not self.train_base:
            raise InvalidInput(
                "train_base", False, "the published rule trains its base group", "choose base=0"
            )

    @classmethod
    def layout(cls, name: str, reset: ResetPolicy, rollouts: int = 8, **options: Any) -> ResetGRPO:
        """Make one of the paper's sampling layouts of `rollouts` trained rollouts per prompt.

        "RxS" resets R parents with S suffixes each and leaves the rest to the base group: "1x4" is
        4 base and 4 suffix rollouts, "2x4" and "1x8" have suffix groups alone. Without a base group
        the uniform parent rule looks for parents in rollouts that are drawn but not trained on.

        Raises:
            InvalidInput: if `rollouts` does not fit the layout.
        """
        match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name)
        if match is None:
            raise InvalidInput("layout", name, "not of the form RxS", 'choose e.g. "1x4"')
        parents, suffix = int(match[1]), int(match[2])
        base = rollouts - parents * suffix
        if base < 0 or base == 1:
            raise InvalidInput(
                "rollouts",
                rollouts,
                f"{name} takes {parents * suffix} suffix rollouts and a base group of 0 or >= 2",
                f"choose {parents * suffix} or at least {parents * suffix + 2}",
            )
        if base == 0 and options.get("parent", "uniform") == "uniform":
            options = {"train_base": False, **options}
            base = max(4, parents)
        return cls(reset, base=base, suffix=suffix, parents=parents, **options)

    @property
    def rows_per_prompt(self) -> int:
        """The base group, unless it only searches parents, and all suffixes."""
        return self.parents * self.suffix + (self.base if self.train_base else 0)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """Draw a base group, reset failures of it; see :class:`~cpi_theory.seam.Algorithm`."""
        search = self._uniform_parents if self.parent == "uniform" else self._published_parents
        base, parents, why_fewer = yield from search(prompt, key)
        missing = self.parents - len(parents)
        yield [Refusal(why_fewer)] * missing
        resets = yield from self._choose_steps(parents, key)
        if self.on_refusal == "fresh":
            missing = self.parents - len(resets)
        # Without a base group, what the search has drawn already stands for some of them.
        fresh = missing * self.suffix - (0 if self.base else len(base))
        *suffixes, others = yield [
            *(
                Draw(parents[n].states[step], key.child("suffix", n).integers(self.suffix))
                for n, step in resets.items()
            ),
            from_start(prompt, key, "fresh", fresh),
        ]
        started = [*base, *others]
        groups = [relative_group(started, prompt, self.normalization)] if started else []
        for (n, step), rollouts in zip(resets.items(), suffixes, strict=True):
            groups.append(self._suffix_group(rollouts, prompt, parents[n], step))
        return groups

    def _suffix_group(
        self, rollouts: Sequence[Rollout], prompt: Prompt, parent: Rollout, step: int
    ) -> Group:
        if not self.train_prefix:
            return relative_group(rollouts, prompt, self.normalization, parent, step)
        whole = [rollout.behind(parent, step) for rollout in rollouts]
        return relative_group(whole, prompt, self.normalization)

    def _uniform_parents(self, prompt: Prompt, key: Key) -> _Search:
        """A fixed base group and failures of it, drawn uniformly."""
        rollouts = yield from_start(prompt, key, "base", self.base)
        failures = [r for r in rollouts if self._may_be_parent(r)]
        # Sorting keys of their own puts the failures into a uniformly random order.
        order = np.argsort(key.child("parent").integers(len(failures)))
        parents = [failures[i] for i in order[: self.parents]]
        return rollouts if self.train_base else [], parents, _why_fewer(rollouts)

    def _published_parents(self, prompt: Prompt, key: Key) -> _Search:
        """One rollout after the other until there are enough of both kinds, or `attempts`.

        A rollout fills at most one place, so as many as there are open places are certainly needed
        and are drawn in one round.
        """
        keys = key.child("base").integers(self.attempts)
        seen: list[Rollout] = []
        base: list[Rollout] = []
        parents: list[Rollout] = []
        while len(seen) < self.attempts:
            places = self.base - len(base) + self.parents - len(parents)
            if not places:
                break
            drawn = yield Draw(prompt.start, keys[len(seen) :][:places])
            seen += drawn
            for rollout in drawn:
                if len(parents) < self.parents and self._may_be_parent(rollout):
                    parents.append(rollout)
                elif len(base) < self.base:
                    base.append(rollout)
        if len(parents) < self.parents:  # one plain group instead, of what was drawn if need be
            parents = []
            base = base if self.base else seen[: self.parents * self.suffix]
        yield Barrier()  # one localisation call for all prompts, however long they searched
        return base, parents, _why_fewer(seen)

    def _may_be_parent(self, rollout: Rollout) -> bool:
        return may_be_parent(rollout) if self.failures_only else len(rollout) > 0

    def _choose_steps(
        self, parents: Sequence[Rollout], key: Key
    ) -> Generator[NameSteps, list[NDArray[np.float64] | Refusal], dict[int, int]]:
        """The step that each parent is reset to, by its number, where there is one."""
        # A key for each number: what parent 0 draws does not depend on whether there is a parent 1.
        keys = [key.child("locate", n).integers(1)[0] for n in range(len(parents))]
        answers = yield NameSteps(self.reset, parents, np.array(keys, np.uint64))
        steps = {}
        for n, answer in enumerate(answers):
            if isinstance(answer, Refusal) and self.on_refusal == "uniform":
                answer = np.ones(len(parents[n]))
            if not isinstance(answer, Refusal):
                steps[n] = draw_index(answer, key.child("step", n))
        return steps


_Search = Generator[Draw | Barrier, Any, tuple[list[Rollout], list[Rollout], Reason]]
"""Base rollouts, parents, and why there are fewer of those than wanted."""


def _why_fewer(seen: Sequence[Rollout]) -> Reason:
    """A failure without steps cannot be reset."""
    return Reason.EMPTY if any(r.failed and not len(r) for r in seen) else Reason.NOT_FAILED


def RRPO(**options: Any) -> ResetGRPO:
    """Make `ResetGRPO(UniformReset(), ...)`: random resets.

    Source: arXiv 2605.25507.
    """
    return ResetGRPO(UniformReset(), **options)


def SRPO(**options: Any) -> ResetGRPO:
    """Make `ResetGRPO(FirstErrorReset(), ...)`: resets to the first error that the world names.

    Source: arXiv 2605.25507.
    """
    return ResetGRPO(FirstErrorReset(), **options)
