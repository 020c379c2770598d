"""Demonstrations that a tiny model is warm-started from: imperfect chains, and where they go wrong.

A sequence holds a question, a chain and, behind ``<locate>``, the trace that finds the chain's
first error: both skills are learnt in one forward pass. In some sequences the chain is there to be
localised only: its first error stands anywhere, and nothing is learnt from writing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import check_probability
from cpi_theory.randomness import Key
from llm.models.tiny import EOS
from llm.tasks.arithmetic.facts import Integers, Slips, write
from llm.tasks.arithmetic.locating import opening, trace
from llm.tasks.arithmetic.task import FILLERS, ArithmeticTask, Exercise, thought

IGNORED = -100
"""Target of a position that nothing is learnt from."""


@dataclass(frozen=True)
class Demonstrations:
    """Where batches of training sequences come from.

    Attributes:
        task: questions of its training split are demonstrated, with its slips.
        localize_only: share of sequences that only localisation is learnt from.
        faultless: share of these without any error.
        habitual: chance that the first error of the others, where it falls on a hard fact, is the
            habitual value of that fact; any other wrong value is as likely as the next.
    """

    task: ArithmeticTask = field(default_factory=ArithmeticTask)
    localize_only: float = 1 / 3
    faultless: float = 0.1
    habitual: float = 0.5

    def __post_init__(self) -> None:
        for name in ("localize_only", "faultless", "habitual"):
            check_probability(name, getattr(self, name))

    def of_length(self, horizon: int) -> Demonstrations:
        """Return the same with chains of another length, in which hard steps are as they come.

        Args:
            horizon: operations per chain, from 1 to what the task allows.
        """
        # Nothing is copied where nothing changes: the tables of laws are computed once per value.
        if horizon == self.task.horizon:
            return self
        task = replace(self.task, horizon=horizon, hard_steps=None, hard_within=None)
        return replace(self, task=task)

    @cached_property
    def _exact(self) -> Any:
        return self.task.facts.laws(Slips(right=1, habit=0, slip=0))

    @cached_property
    def _noisy(self) -> Any:
        return self.task.facts.laws(self.task.slips)

    @cached_property
    def _wrong(self) -> Any:
        return self.task.facts.laws(Slips(right=0, habit=self.habitual, slip=1))

    def draw(self, exercises: Sequence[Exercise], key: Key) -> list[Demonstration]:
        """Draw a demonstration of each exercise; all must be equally long.

        Args:
            exercises: n of them, each with H operations.
            key: the whole randomness of the draw.

        Returns:
            n demonstrations, each with H stated values and H fillers.
        """
        if not exercises:
            return []
        # One stream for all, in this order: another order makes other demonstrations of a key.
        rng = key.generator()
        index = {o: i for i, o in enumerate(self.task.operations)}
        operations = np.array([[index[o] for o in e.operations] for e in exercises])
        starts = np.array([e.start for e in exercises])
        only = rng.random(len(starts)) < self.localize_only
        values = np.where(
            only[:, None],
            self._with_placed_error(operations, starts, rng),
            write(self._noisy, operations, starts, rng),
        )
        fillers = rng.integers(len(FILLERS), size=values.shape)
        return [
            Demonstration(
                exercise,
                tuple(exercise.values(self.task.modulus)),
                tuple(stated.tolist()),
                tuple(FILLERS[i] for i in words),
                not unlearnt,
            )
            for exercise, stated, words, unlearnt in zip(
                exercises, values, fillers, only, strict=True
            )
        ]

    def _with_placed_error(
        self, operations: Integers, starts: Integers, rng: np.random.Generator
    ) -> Integers:
        """Values stated by chains whose first error stands at a uniform step, or nowhere."""
        count, horizon = operations.shape
        anywhere = rng.integers(horizon, size=count)
        # `horizon` is behind the last step: no error.
        place = np.where(rng.random(count) < self.faultless, horizon, anywhere)
        values = np.empty((count, horizon), dtype=np.int64)
        now = starts
        for h in range(horizon):
            step = operations[:, h : h + 1]
            options = [
                write(laws, step, now, rng)[:, 0]
                for laws in (self._exact, self._wrong, self._noisy)
            ]
            # Exact before the place, wrong at it, and with the writer's own slips after it.
            chosen: Integers = np.choose(np.sign(h - place) + 1, options)
            values[:, h] = now = chosen
        return values


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One sequence to learn from.

    Attributes:
        exercise: what is asked.
        right: the right value after each step.
        stated: the values of the chain.
        fillers: the first word of each of its thoughts.
        solves: whether writing the chain is learnt, or localising its error alone.
    """

    exercise: Exercise
    right: tuple[int, ...]
    stated: tuple[int, ...]
    fillers: tuple[str, ...]
    solves: bool

    @property
    def parts(self) -> tuple[str, str, str]:
        """Question, chain, and trace behind its sign."""
        operations = self.exercise.operations
        last = len(operations) - 1
        chain = [
            thought(filler, i, operation, value, i == last)
            for i, (filler, operation, value) in enumerate(
                zip(self.fillers, operations, self.stated, strict=True)
            )
        ]
        found = trace(operations, self.right, self.stated)
        return f"Q {self.exercise.text}", " ".join(chain), f"{opening(self.exercise)} {found}"


def as_tensors(
    demonstrations: Sequence[Demonstration], vocabulary: dict[str, int]
) -> tuple[Tensor, Tensor]:
    """Return the input ids and targets of n sequences, padded on the right.

    ``targets[i, t]`` is what position t is to predict, or :data:`IGNORED`. After an answer that is
    the end of the sequence, also where a request to localise follows in the input.

    Args:
        demonstrations: n of them, at least one.
        vocabulary: id of each word.

    Returns:
        Input ids and targets, both int64, shape (n, longest).
    """
    rows = [_row(one, vocabulary) for one in demonstrations]
    longest = max(len(ids) for ids, _ in rows)
    # Any id can fill up on the right: no token before it sees it, and its targets are ignored.
    inputs = torch.full((len(rows), longest), vocabulary[EOS])
    targets = torch.full((len(rows), longest), IGNORED)
    for i, (ids, wanted) in enumerate(rows):
        inputs[i, : len(ids)] = torch.tensor(ids)
        targets[i, : len(wanted)] = torch.tensor(wanted)
    return inputs, targets


def _row(one: Demonstration, vocabulary: dict[str, int]) -> tuple[list[int], list[int]]:
    question, chain, reply = ([vocabulary[w] for w in part.split()] for part in one.parts)
    end = [vocabulary[EOS]]
    # Targets are one place ahead: the last word of the question predicts the first of the chain.
    silent = [IGNORED] * (len(question) - 1)
    writes = chain + end if one.solves else [IGNORED] * (len(chain) + 1)
    return question + chain + reply, silent + writes + reply[1:] + end
