"""Run the plans of many prompts on an engine that is never waited for as a whole.

In lock-step every prompt waits for the longest rollout of all prompts, once per phase. Here each
goes on as soon as its own rollouts are done, beside the stragglers of others. Every draw hangs on
its prompt's key, so that the groups are those of :func:`~cpi_theory.algorithms.collecting.collect`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cpi_theory.algorithms.collecting import KINDS, Batcher, Running, begin
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Demonstrate,
    Draw,
    FailedLocalization,
    Localization,
    Localize,
    NameSteps,
    Revise,
    Rollout,
    ScoreSteps,
    Simulator,
    State,
    Stream,
    can_stream,
)


def stream(
    algorithm: Algorithm,
    simulator: Simulator,
    starts: Sequence[State],
    key: Key | int | np.random.Generator,
    prompts: Sequence[int] | None = None,
) -> Collection:
    """Collect groups from each start state, no prompt waiting for another.

    Args:
        algorithm: its plans say what is drawn.
        simulator: the world under its current policy; it must be able to stream.
        starts: one start state per prompt.
        key: of this iteration; what is drawn for a prompt depends on it and on the prompt's id.
        prompts: ids of the prompts, by default 0, 1, ...

    Returns:
        What :func:`~cpi_theory.algorithms.collecting.collect` returns, to the digit.

    Raises:
        InvalidInput: if prompt ids repeat or do not match the starts in number, a plan wants
            what the simulator cannot do, streaming included, or is no generator that returns
            groups.
    """
    if not can_stream(simulator):
        problem, remedy = "it has no method stream", "give it one, or use collect"
        raise InvalidInput("simulator", type(simulator).__name__, problem, remedy)
    batcher = Batcher(simulator)
    running = begin(algorithm, batcher, starts, Key.of(key), prompts)
    with contextlib.closing(simulator.stream()) as engine:
        flow = _Flow(engine, batcher)
        for plan in running:
            flow.advance(plan)
        while flow.waiting:
            flow.serve()
    return batcher.collection([group for plan in running for group in plan.groups])


@dataclass(slots=True)
class _Open:
    """A wish of a plan that the engine works on.

    Attributes:
        plan: whose it is.
        index: its place among the plan's wishes.
        known: what its reset policy has asked so far was answered by.
    """

    plan: Running
    index: int
    known: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _Flow:
    """Plans under way and what each waits for, by the engine's tickets."""

    engine: Stream
    batcher: Batcher
    waiting: dict[int, _Open] = field(default_factory=dict)

    def advance(self, plan: Running) -> None:
        """Have the wishes of a plan granted, none of which was submitted yet, until it waits."""
        while not plan.done:
            # A list: wishes get their answers while they are gone through.
            for index in list(plan.open(KINDS)):
                self._grant(_Open(plan, index))
            if plan.waits:
                return
            plan.go_on()

    def serve(self) -> None:
        """Take what the engine has done, and let the plans go on that waited for nothing else.

        Raises:
            InvalidInput: if the engine has done nothing, and so would be asked forever.
        """
        done = self.engine.finished()
        if not done:
            problem = f"nothing is done, and {len(self.waiting)} requests are open"
            remedy = "have finished work until something is"
            raise InvalidInput("stream", type(self.engine).__name__, problem, remedy)
        # Once each: several wishes of a plan may be done together.
        plans = dict.fromkeys(self._take(ticket, answer) for ticket, answer in done)
        for plan in plans:
            if not plan.waits:
                plan.go_on()
                self.advance(plan)

    def _take(self, ticket: int, answer: Sequence[Any]) -> Running:
        one = self.waiting.pop(ticket)
        wish = one.plan.wishes[one.index]
        if isinstance(wish, Draw):
            cuts = [wish.steps] * len(wish.keys)
            one.plan.answers[one.index] = self.batcher.take(answer, cuts)
        else:
            one.known.append(list(answer))
            self._grant(one)
        return one.plan

    def _grant(self, one: _Open) -> None:
        """Answer a wish, or submit what it takes to answer it."""
        wish = one.plan.wishes[one.index]
        request: Draw | Localize | None = None
        answer: Any = None
        if isinstance(wish, Draw):
            request = wish
        elif isinstance(wish, NameSteps):
            # Asked anew whenever more is known: a reset policy draws nothing but from its keys, so
            # that it asks the same again and gets further.
            try:
                (answer,) = self.batcher.answer([wish], _Known(self.batcher.simulator, one.known))
            except _Asked as asked:
                request = asked.request
        elif isinstance(wish, Revise | ScoreSteps | Demonstrate):
            (answer,) = self.batcher.answer([wish])
        # A barrier shares calls, of which there are none here: it is granted at once.
        if request is None:
            one.plan.answers[one.index] = answer
        else:
            self.waiting[self.engine.submit(request)] = one


class _Asked(Exception):
    """A reset policy asks what is not known yet."""

    def __init__(self, request: Localize) -> None:
        super().__init__(request)
        self.request = request


class _Known:
    """A simulator whose first errors are those that a stream has named so far.

    A question beyond them is raised as :class:`_Asked`.
    """

    def __init__(self, simulator: Simulator, known: Sequence[list[Any]]) -> None:
        self.simulator, self._left = simulator, iter(known)

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        return self.simulator.rollout(states, keys)

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        if not rollouts:
            return self.simulator.locate_first_error(rollouts, keys)
        answers = next(self._left, None)
        if answers is None:
            raise _Asked(Localize(rollouts, keys))
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulator, name)
