"""Group-relative optimisation with resets: RRPO, SRPO and the sampling layouts of the paper.

A base group starts where the prompt does; suffix groups start at reset states of failed rollouts.
RRPO and SRPO differ in the reset policy alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.collecting import (
    Account,
    Request,
    Task,
    draw_index,
    from_start,
    group,
    tasks,
)
from cpi_theory.checks import InvalidInput, check_choice, check_count
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import (
    Collection,
    Group,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    Simulator,
    State,
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
    the base group; so the number of rollouts from the policy does not depend on luck.

    Attributes:
        reset: where in a failed rollout to reset to.
        base: rollouts from the start, in which parents are looked for.
        suffix: rollouts from each reset state.
        parents: number of reset states per prompt.
        parent: "uniform" (unbiased) or "published" (the paper's release).
        on_refusal: when the reset policy names no step of a parent: "drop" that suffix group, reset
            to a "uniform" step of it, or draw `suffix` more "fresh" rollouts from the start. Each
            case is counted under its reason; there is no silent default step.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.
        train_base: whether the base rollouts form a group; False only searches parents in them.
        attempts: most rollouts that the published rule draws in search of parents.

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
        """The paper's sampling layouts of `rollouts` trained rollouts per prompt.

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

    def collect(
        self,
        simulator: Simulator,
        starts: Sequence[State],
        rng: Key | int | np.random.Generator,
        prompts: Sequence[int] | None = None,
    ) -> Collection:
        """The groups of each start state; see :class:`~cpi_theory.seam.Algorithm`.

        At most one call for the base rollouts (the published rule: one per round), one localisation
        call and one call for all suffixes and fresh rollouts.

        Raises:
            InvalidInput: if prompt ids repeat or do not match the starts in number.
        """
        account = Account(simulator)
        draw = self._draw_uniform if self.parent == "uniform" else self._draw_published
        searches = draw(account, tasks(starts, rng, prompts))
        self._choose_steps(account, searches)
        return account.collection(self._groups(account, searches))

    def _draw_uniform(self, account: Account, todo: list[Task]) -> list[_Search]:
        drawn = account.draw([from_start(task, "base", self.base) for task in todo])
        return [self._pick(task, rollouts) for task, rollouts in zip(todo, drawn, strict=True)]

    def _pick(self, task: Task, rollouts: list[Rollout]) -> _Search:
        failures = [r for r in rollouts if _may_be_parent(r)]
        order = np.argsort(task.key.child("parent").integers(len(failures)))
        parents = [failures[i] for i in order[: self.parents]]
        return _Search(task, rollouts if self.train_base else [], parents, seen=rollouts)

    def _draw_published(self, account: Account, todo: list[Task]) -> list[_Search]:
        """Rounds that draw no rollout which the sequential rule would not have drawn.

        A rollout fills at most one place, so as many as there are open places are certainly needed.
        """
        searches = [_Search(task, [], []) for task in todo]
        while pending := [search for search in searches if self._wanted(search)]:
            drawn = account.draw([self._next(search) for search in pending])
            for search, rollouts in zip(pending, drawn, strict=True):
                for rollout in rollouts:
                    self._sort_in(search, rollout)
        for search in searches:
            if len(search.parents) < self.parents:
                self._give_up(search)
        return searches

    def _wanted(self, search: _Search) -> int:
        places = self.base - len(search.base) + self.parents - len(search.parents)
        return min(places, self.attempts - len(search.seen))

    def _next(self, search: _Search) -> Request:
        drawn = len(search.seen)
        request = from_start(search.task, "base", self.attempts)
        return Request(request.state, request.keys[drawn : drawn + self._wanted(search)])

    def _sort_in(self, search: _Search, rollout: Rollout) -> None:
        search.seen.append(rollout)
        if len(search.parents) < self.parents and _may_be_parent(rollout):
            search.parents.append(rollout)
        elif len(search.base) < self.base:
            search.base.append(rollout)

    def _give_up(self, search: _Search) -> None:
        """One plain group instead; without a base group it reuses what the search drew."""
        search.parents.clear()
        if self.base == 0:
            search.base.extend(search.seen[: self.parents * self.suffix])

    def _choose_steps(self, account: Account, searches: list[_Search]) -> None:
        """Ask the reset policy about all parents at once and draw a step for each."""
        for search in searches:
            search.resets.extend(_Reset(search, n, p) for n, p in enumerate(search.parents))
            if lacking := self.parents - len(search.parents):
                account.refusals[search.why_none()] += lacking
        asked = [reset for search in searches for reset in search.resets]
        if not asked:
            return
        answers = self.reset.step_probabilities(
            [reset.parent for reset in asked],
            account.simulator,
            np.array([reset.key("locate").integers(1)[0] for reset in asked]),
        )
        account.localizations += len(asked) if self.reset.localizes else 0
        for reset, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Refusal):
                account.refusals[answer.reason] += 1
            reset.step = self._step(reset, answer)

    def _step(self, reset: _Reset, answer: NDArray[np.float64] | Refusal) -> int | None:
        if isinstance(answer, Refusal):
            if self.on_refusal != "uniform":
                return None
            answer = np.ones(len(reset.parent))
        return draw_index(answer, reset.key("step"))

    def _groups(self, account: Account, searches: list[_Search]) -> list[Group]:
        """Draw the suffixes and the fresh rollouts in one call and form every group."""
        found = [(r, r.step) for search in searches for r in search.resets if r.step is not None]
        requests = [
            Request(reset.parent.states[step], reset.key("suffix").integers(self.suffix))
            for reset, step in found
        ]
        requests += [from_start(s.task, "fresh", self._lacking(s)) for s in searches]
        drawn = iter(account.draw(requests))
        suffixes: dict[_Search, list[Group]] = {search: [] for search in searches}
        for reset, step in found:
            suffixes[reset.search].append(
                group(next(drawn), reset.prompt, self.normalization, reset.parent, step)
            )
        groups: list[Group] = []
        for search in searches:
            if started := search.base + next(drawn):
                groups.append(group(started, search.task.prompt, self.normalization))
            groups.extend(suffixes[search])
        return groups

    def _lacking(self, search: _Search) -> int:
        """Rollouts from the start in place of the suffix groups that this prompt goes without."""
        lacking = self.parents - len(search.parents)
        if self.on_refusal == "fresh":
            lacking += sum(reset.step is None for reset in search.resets)
        reused = len(search.base) if self.base == 0 else 0
        return lacking * self.suffix - reused


def RRPO(**options: Any) -> ResetGRPO:
    """Random resets: `ResetGRPO(UniformReset(), ...)`."""
    return ResetGRPO(UniformReset(), **options)


def SRPO(**options: Any) -> ResetGRPO:
    """Resets to the first error that the world names: `ResetGRPO(FirstErrorReset(), ...)`."""
    return ResetGRPO(FirstErrorReset(), **options)


@dataclass(slots=True, eq=False)
class _Search:
    """What the rollouts from the start of one prompt gave."""

    task: Task
    base: list[Rollout]
    parents: list[Rollout]
    resets: list[_Reset] = field(default_factory=list)
    seen: list[Rollout] = field(default_factory=list)

    def why_none(self) -> Reason:
        """Why there are too few parents: a failure without steps cannot be one."""
        empty = any(r.failed and not len(r) for r in self.seen)
        return Reason.EMPTY if empty else Reason.NOT_FAILED


@dataclass(slots=True, eq=False)
class _Reset:
    """One parent of a prompt and the step that it is reset to, if any."""

    search: _Search
    number: int
    parent: Rollout
    step: int | None = None

    @property
    def prompt(self) -> int:
        return self.search.task.prompt

    def key(self, purpose: str) -> Key:
        return self.search.task.key.child(purpose, self.number)


def _may_be_parent(rollout: Rollout) -> bool:
    return rollout.failed and len(rollout) > 0
