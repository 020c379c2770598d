"""Run the plans of many prompts in lock-step, in few batched calls, and count what they cost.

Every draw hangs on its prompt's key, so which plans run side by side changes nothing but the
number of calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, Unable
from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Algorithm,
    Barrier,
    Collection,
    Demonstrate,
    Draw,
    FailedLocalization,
    Group,
    Localization,
    NameSteps,
    Plan,
    Prompt,
    Reason,
    Refusal,
    ResetPolicy,
    Revise,
    Rollout,
    ScoreSteps,
    Simulator,
    State,
    Wish,
    can_cut,
    can_demonstrate,
    can_revise,
    can_score,
)


def collect(
    algorithm: Algorithm,
    simulator: Simulator,
    starts: Sequence[State],
    key: Key | int | np.random.Generator,
    prompts: Sequence[int] | None = None,
) -> Collection:
    """Collect groups from each start state with as few calls as the slowest prompt needs.

    All steps that plans want named are named in one call per reset policy; when no plan waits for
    any, all rollouts that are wanted are drawn in one call, and so on.

    Args:
        algorithm: its plans say what is drawn.
        simulator: the world under its current policy.
        starts: one start state per prompt.
        key: of this iteration; what is drawn for a prompt depends on it and on the prompt's id.
        prompts: ids of the prompts, by default 0, 1, ...

    Raises:
        InvalidInput: if prompt ids repeat or do not match the starts in number, a plan wants
            what the simulator cannot do, or is no generator that returns groups.
    """
    address, batcher = Key.of(key), Batcher(simulator)
    running = begin(algorithm, batcher, starts, address, prompts)
    # A plan that is not done has an open wish, so every round brings some plan forward.
    while any(not plan.done for plan in running):
        _serve(running, batcher)
    # In the order of the prompts, whichever plan ended first.
    return batcher.collection([group for plan in running for group in plan.groups])


def begin(
    algorithm: Algorithm,
    batcher: Batcher,
    starts: Sequence[State],
    key: Key,
    prompts: Sequence[int] | None = None,
) -> list[Running]:
    """Begin the plan of each prompt, up to its first wish; arguments are those of :func:`collect`.

    Raises:
        InvalidInput: if prompt ids repeat or do not match the starts in number, or a plan is no
            generator that returns groups.
    """
    if isinstance(algorithm, type):
        remedy = f"make a value of it: {algorithm.__name__}(...)"
        raise InvalidInput("algorithm", algorithm, "a class and no algorithm", remedy)
    return [
        Running(algorithm.plan(prompt, key.child(prompt.id)), batcher)
        for prompt in _prompts(starts, prompts)
    ]


def _prompts(starts: Sequence[State], ids: Sequence[int] | None) -> list[Prompt]:
    known = list(range(len(starts)) if ids is None else ids)
    if len(known) != len(starts):
        raise InvalidInput("prompts", len(known), f"{len(starts)} starts", "give one id per start")
    if len(set(known)) != len(known):
        twice = [i for i, n in Counter(known).items() if n > 1]
        raise InvalidInput(
            "prompts", twice, "ids given twice would share their random numbers", "number them"
        )
    return [Prompt(int(i), start) for i, start in zip(known, starts, strict=True)]


def _serve(running: Sequence[Running], batcher: Batcher) -> None:
    """Grant what comes first: what is asked about rollouts, then rollouts, then barriers.

    Naming comes first because the prompts that need none can then share the call for rollouts with
    those that do.
    """
    order: tuple[tuple[tuple[type, ...], Callable[[list[Any]], Sequence[Any]]], ...] = (
        (ASKED, batcher.answer),
        ((Draw,), batcher.draw_all),
        ((Barrier,), lambda wishes: [None] * len(wishes)),
    )
    for kinds, grant in order:
        open_ones = [(plan, i) for plan in running for i in plan.open(kinds)]
        if open_ones:
            wishes = [plan.wishes[i] for plan, i in open_ones]
            for (plan, i), answer in zip(open_ones, grant(wishes), strict=True):
                plan.answers[i] = answer
            # Once each, in order: a plan may have had several open wishes.
            for plan in dict.fromkeys(plan for plan, _ in open_ones):
                plan.go_on()
            return


ASKED = (NameSteps, Revise, ScoreSteps, Demonstrate)
"""Wishes that a simulator answers without sampling rollouts of its policy."""

KINDS = (Draw, *ASKED, Barrier)
"""Wishes that take a call."""

_OPEN = object()
"""In place of an answer that is not there yet."""


@dataclass(slots=True, eq=False)
class Running:
    """A plan under way.

    Attributes:
        plan: the generator.
        batcher: where refusals of its own are counted.
        wishes: what it waits for.
        answers: of each wish, or `_OPEN`.
        groups: what it returned, once it is done.
        done: whether it has returned.
    """

    plan: Plan
    batcher: Batcher
    wishes: list[Wish] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    groups: Sequence[Group] = ()
    done: bool = False
    _several: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.plan, Generator):
            remedy = "yield wishes and return groups"
            raise InvalidInput("plan", self.plan, "not a generator", remedy)
        # Runs the generator up to its first wish.
        self._send(None)

    def open(self, kinds: tuple[type, ...]) -> Iterator[int]:
        """List the indices of the wishes of these kinds that have no answer yet."""
        for i, (wish, answer) in enumerate(zip(self.wishes, self.answers, strict=True)):
            if answer is _OPEN and isinstance(wish, kinds):
                yield i

    @property
    def waits(self) -> bool:
        """Whether any wish has no answer yet."""
        return any(answer is _OPEN for answer in self.answers)

    def go_on(self) -> None:
        """Send the answers once all of them are there."""
        if not self.waits:
            self._send(self.answers if self._several else self.answers[0])

    def _send(self, answers: Any) -> None:
        try:
            wanted = self.plan.send(answers)
        except StopIteration as end:
            self.wishes, self.answers, self.groups, self.done = [], [], _groups(end.value), True
            return
        self._several = isinstance(wanted, Sequence)
        self.wishes = list(wanted) if isinstance(wanted, Sequence) else [wanted]
        self.answers = [self._at_once(wish) for wish in self.wishes]
        # None of the wishes may cost a call (refusals, empty draws): then no round is waited for.
        self.go_on()

    def _at_once(self, wish: Wish) -> Any:
        """The answer of a wish that costs no call."""
        if isinstance(wish, Refusal):
            self.batcher.refusals[wish.reason] += 1
            return None
        if not isinstance(wish, KINDS):
            remedy = f"yield {', '.join(k.__name__ for k in KINDS)} or Refusal, or a list of these"
            raise InvalidInput("wish", wish, "not one that a plan may have", remedy)
        return [] if isinstance(wish, Draw) and not len(wish.keys) else _OPEN


def _groups(returned: Any) -> Sequence[Group]:
    if not isinstance(returned, Sequence) or not all(isinstance(g, Group) for g in returned):
        remedy = "end the plan with `return [group, ...]`, an empty list where there is none"
        raise InvalidInput("groups of a plan", returned, "not a list of Group objects", remedy)
    return returned


class Batcher:
    """Asks a simulator in batches and keeps count of what that costs.

    Attributes:
        simulator: who is asked.
        refusals: why no step was named, counted.
        rollouts, steps: drawn so far, and the actions sampled in them.
        localizations: rollouts that the world was asked to localise.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.refusals: Counter[Reason] = Counter()
        self.rollouts = self.steps = self.localizations = 0

    def draw_all(self, wishes: Sequence[Draw]) -> list[list[Rollout]]:
        """Draw the rollouts of each wish, all in one call (none if nothing is wanted).

        Raises:
            InvalidInput: if the simulator returns more or fewer rollouts than states.
        """
        states = [wish.state for wish in wishes for _ in range(len(wish.keys))]
        if not states:
            return [[] for _ in wishes]
        cuts = [wish.steps for wish in wishes for _ in range(len(wish.keys))]
        drawn = self._rollouts(states, np.concatenate([wish.keys for wish in wishes]), cuts)
        stream = iter(drawn)
        return [[next(stream) for _ in range(len(wish.keys))] for wish in wishes]

    def _rollouts(
        self, states: list[State], keys: NDArray[np.uint64], cuts: list[int | None]
    ) -> list[Rollout]:
        cutting = any(steps is not None for steps in cuts)
        if cutting and can_cut(self.simulator):
            return self.take(self.simulator.rollout_cut(states, keys, cuts), cuts)
        return self.take(self.simulator.rollout(states, keys), cuts)

    def take(self, drawn: Sequence[Rollout], cuts: Sequence[int | None]) -> list[Rollout]:
        """Count rollouts that were drawn, and cut those that a world could not cut itself.

        Args:
            drawn: whatever a simulator returned.
            cuts: after how many steps each was to be cut; None: not at all.

        Raises:
            InvalidInput: if there are more or fewer rollouts than asked for.
        """
        if len(drawn) != len(cuts):
            raise InvalidInput(
                "rollouts", len(drawn), f"{len(cuts)} states given", "return one for each"
            )
        # A world that cannot cut runs to the end; what is cut off here was generated all the same
        # and is counted.
        self.rollouts += len(drawn)
        self.steps += sum(map(len, drawn))
        return [
            r if steps is None or len(r) <= steps else r.cut(0, steps)
            for r, steps in zip(drawn, cuts, strict=True)
        ]

    def answer(
        self,
        wishes: Sequence[NameSteps | Revise | ScoreSteps | Demonstrate],
        world: Simulator | None = None,
    ) -> list[Any]:
        """Name steps, a call per reset policy, find states of second attempts, and so on.

        Args:
            wishes: any number.
            world: what reset policies are given instead of the simulator.
        """
        asked = self.simulator if world is None else world
        answers: list[Any] = [None] * len(wishes)
        # Reset policies are frozen values: equal ones of different plans share a call.
        named: dict[ResetPolicy, list[int]] = {}
        for i, wish in enumerate(wishes):
            if isinstance(wish, NameSteps):
                named.setdefault(wish.reset, []).append(i)
        revised = [i for i, wish in enumerate(wishes) if isinstance(wish, Revise)]
        for reset, indices in named.items():
            self._fill(answers, wishes, indices, lambda r, k, p=reset: self._name(p, asked, r, k))
        self._fill(answers, wishes, revised, self._revise)
        for i, wish in enumerate(wishes):
            if isinstance(wish, ScoreSteps):
                answers[i] = self._score(wish)
            elif isinstance(wish, Demonstrate):
                answers[i] = self._demonstrate(wish)
        return answers

    def _fill(
        self, answers: list[Any], wishes: Sequence[Any], indices: Sequence[int], ask: Any
    ) -> None:
        """Put together what several wishes ask about, and take the answers apart."""
        for i in indices:
            # Keys of all plans go into one array: one too many would shift those of later prompts.
            found, wanted = len(wishes[i].keys), len(wishes[i].rollouts)
            if found != wanted:
                raise InvalidInput("keys", found, f"{wanted} rollouts", "give one key per rollout")
        rollouts = [rollout for i in indices for rollout in wishes[i].rollouts]
        given = iter(
            ask(rollouts, np.concatenate([wishes[i].keys for i in indices])) if rollouts else []
        )
        for i in indices:
            answers[i] = [next(given) for _ in wishes[i].rollouts]

    def _name(
        self,
        reset: ResetPolicy,
        world: Simulator,
        rollouts: list[Rollout],
        keys: NDArray[np.uint64],
    ) -> list[NDArray[np.float64] | Refusal]:
        counting = _Counting(world, self) if reset.draws else world
        answers = reset.step_probabilities(rollouts, counting, keys)
        self.localizations += len(rollouts) if reset.localizes else 0
        self.refusals.update(a.reason for a in answers if isinstance(a, Refusal))
        return answers

    def _revise(self, rollouts: list[Rollout], keys: NDArray[np.uint64]) -> Sequence[State]:
        if not can_revise(self.simulator):
            raise self._unable("revise rollouts", "revise")
        return self.simulator.revise(rollouts, keys)

    def _score(self, wish: ScoreSteps) -> list[NDArray[np.float64]]:
        if not can_score(self.simulator):
            raise self._unable("tell how likely steps were", "step_logprobs")
        return self.simulator.step_logprobs(wish.rollouts) if wish.rollouts else []

    def _demonstrate(self, wish: Demonstrate) -> Sequence[Rollout]:
        if not can_demonstrate(self.simulator):
            raise self._unable("show how it is done", "demonstrate")
        return self.simulator.demonstrate([wish.state] * len(wish.keys), wish.keys)

    def _unable(self, what: str, method: str) -> Unable:
        problem = f"{type(self.simulator).__name__} cannot {what}"
        remedy = f"give it a method {method}, or choose another algorithm"
        return Unable("simulator", self.simulator, problem, remedy)

    def collection(self, groups: Sequence[Group]) -> Collection:
        """Return the groups, with what they cost so far."""
        return Collection(
            tuple(groups),
            self.rollouts,
            self.steps,
            self.refusals,
            self.localizations,
            getattr(self.simulator, "policy_version", None),
        )


class _Counting:
    """A simulator as reset policies see it: rollouts that they draw are counted."""

    def __init__(self, simulator: Simulator, batcher: Batcher) -> None:
        self._simulator, self._batcher = simulator, batcher

    def rollout(self, states: Sequence[State], keys: NDArray[np.uint64]) -> Sequence[Rollout]:
        drawn = self._simulator.rollout(states, keys)
        return self._batcher.take(drawn, [None] * len(states))

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: NDArray[np.uint64]
    ) -> list[Localization | FailedLocalization]:
        return self._simulator.locate_first_error(rollouts, keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulator, name)
