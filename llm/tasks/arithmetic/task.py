r"""Chains of modular arithmetic: a task with an exact step checker and a known first error.

The model is shown ``Q 1: +2 2: *3 start 11 ;`` and writes one thought per operation, the step's
label, the operation and the new running value behind a filler word, and the answer in the last::

    then 1: +2 13 </thought> so 2: *3 16 \boxed{16}

The modulus is prime and no operation multiplies by 0: every step can be undone, so an error never
heals by itself, and slips are such that two do not cancel (see :mod:`llm.tasks.arithmetic.facts`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cpi_theory.checks import InvalidInput, check_count, check_in_range
from cpi_theory.randomness import Key
from llm.task import Problem, Verdict
from llm.tasks.arithmetic.facts import FactTable, Slips, apply
from llm.tasks.splits import ATTEMPTS, check_split, distinct, problem_id, split_of
from llm.text.answers import boxed_span
from llm.text.thoughts import ThoughtFormat

DELIMITER = "</thought>"
FILLERS = ("then", "so", "next", "now", "thus", "and")
MAX_HORIZON = 20
OPERATIONS = ("+1", "+2", "+3", "+4", "-1", "-2", "-3", "-4", "*2", "*3", "*4")


@dataclass(frozen=True, slots=True)
class Exercise:
    """What a question asks: the value to start from and the operations in order."""

    start: int
    operations: tuple[str, ...]

    @property
    def text(self) -> str:
        """The question."""
        steps = " ".join(f"{label(i)} {o}" for i, o in enumerate(self.operations))
        return f"{steps} start {self.start} ;"

    def values(self, modulus: int) -> list[int]:
        """Return the right running value after each operation.

        Args:
            modulus: all values are taken modulo it.

        Returns:
            One value per operation, in order.
        """
        values, now = [], self.start
        for operation in self.operations:
            now = apply(operation, now, modulus)
            values.append(now)
        return values


@functools.lru_cache(maxsize=65_536)
def parse_question(question: str) -> Exercise:
    """Return the exercise of a question.

    Raises:
        InvalidInput: if the text is no question of this task.
    """
    words = question.split()
    # Labels and operations take turns, up to the last three words, "start 11 ;".
    operations = tuple(words[1:-3:2])
    try:
        exercise = Exercise(int(words[-2]), operations)
    except (ValueError, IndexError):
        raise _no_question(question) from None
    # Written out again it is the same text, so labels and signs need no check of their own.
    if exercise.text != " ".join(words) or not operations:
        raise _no_question(question)
    return exercise


def _no_question(question: str) -> InvalidInput:
    return InvalidInput(
        "question", question, "not a chain of operations", "write '1: +2 start 3 ;'"
    )


def label(step: int) -> str:
    """Return how the 0-based step is numbered in texts."""
    return f"{step + 1}:"


def boxed(value: int) -> str:
    """Return an answer as it is written."""
    return f"\\boxed{{{value}}}"


def thought(filler: str, step: int, operation: str, value: int, last: bool) -> str:
    """Return the text of one thought; the last one carries the answer and needs no delimiter.

    Args:
        filler: the word in front, of :data:`FILLERS`.
        step: 0-based; texts number steps from 1.
        operation: of the question, in that step.
        value: the running value after it.
        last: whether the answer follows in a box.
    """
    end = boxed(value) if last else DELIMITER
    return f"{filler} {label(step)} {operation} {value} {end}"


@dataclass(frozen=True)
class ArithmeticTask:
    """Questions of one kind; implements ``Task`` and ``StepChecker`` of :mod:`llm.task`.

    Attributes:
        horizon: operations per question H, the number of thoughts of a solution.
        modulus: a prime from 5 on; values are 0 to modulus - 1.
        operations: what questions are made of.
        hard_share: share of all facts (operation, value) that are hard.
        hard_steps: how many steps of the right solution ask for a hard fact; None: as it comes,
            a share `hard_share` of them on average.
        hard_within: these steps lie among the first so many; None: anywhere.
        fact_seed: which facts are hard, and their habitual wrong values.
        slips: how demonstrations get facts wrong.
    """

    horizon: int = 10
    modulus: int = 23
    operations: tuple[str, ...] = OPERATIONS
    hard_share: float = 0.2
    hard_steps: int | None = None
    hard_within: int | None = None
    fact_seed: int = 0
    slips: Slips = field(default_factory=Slips)

    def __post_init__(self) -> None:
        check_count("modulus", self.modulus, minimum=5)
        if any(self.modulus % k == 0 for k in range(2, self.modulus)):
            remedy = "choose a prime: else multiplications can undo an error"
            raise InvalidInput("modulus", self.modulus, "not a prime", remedy)
        check_count("horizon", self.horizon)
        # A localisation may name step H in a box, and only values below the modulus have words for
        # that.
        check_in_range("horizon", self.horizon, 1, min(MAX_HORIZON, self.modulus - 1))
        check_in_range("hard_share", self.hard_share, 0, 1)
        check_count("fact_seed", self.fact_seed, minimum=0)
        if not self.operations:
            raise InvalidInput("operations", self.operations, "empty", "name some, such as +2")
        for i, operation in enumerate(self.operations):
            self._check_operation(f"operations[{i}]", operation)
        self._check_hard()

    def _check_operation(self, field: str, operation: str) -> None:
        sign, digits = operation[:1], operation[1:]
        known = sign in ("+", "-", "*") and digits.isdigit() and str(int(digits)) == digits
        if not known or int(digits) % self.modulus == 0:
            raise InvalidInput(
                field, operation, "not an operation that can be undone", "write it as +2, -2 or *2"
            )

    def _check_hard(self) -> None:
        if self.hard_steps is None:
            if self.hard_within is not None:
                raise InvalidInput(
                    "hard_within", self.hard_within, "hard_steps is not set", "say how many"
                )
            return
        room = self.horizon if self.hard_within is None else self.hard_within
        check_count("hard_within", room)
        check_in_range("hard_within", room, 1, self.horizon)
        check_count("hard_steps", self.hard_steps, minimum=0)
        check_in_range("hard_steps", self.hard_steps, 0, room)

    @property
    def form(self) -> ThoughtFormat:
        """The format of solutions: H thoughts, with some room for thoughts that are malformed."""
        # A right thought takes five tokens, the answer's included.
        return ThoughtFormat(DELIMITER, self.horizon, 6 * self.horizon)

    @cached_property
    def facts(self) -> FactTable:
        """The facts and which of them are hard."""
        key = Key.of(self.fact_seed).child("arithmetic facts")
        return FactTable.draw(self.operations, self.modulus, self.hard_share, key)

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Draw distinct problems of a split; a longer list begins with the shorter one.

        Whether a question is for training or for testing is decided by its text, so splits share
        none, whatever the seeds and the other parameters.

        Raises:
            InvalidInput: for an unknown split, or if the task has too few questions.
        """
        check_count("count", count, minimum=0)
        stream = self.exercises(split, Key.of(seed).child("arithmetic", split))
        return distinct((exercise.text for exercise in stream), count, self._problem)

    def exercises(self, split: str, key: Key) -> Iterator[Exercise]:
        """Yield exercises of a split without end, repeats included.

        Raises:
            InvalidInput: for an unknown split, or if none can be found.
        """
        check_split(split)
        rng, misses = key.generator(), 0
        while misses < ATTEMPTS:
            exercise = self._draw(rng)
            if exercise is not None and split_of(exercise.text) == split:
                misses = 0
                yield exercise
            else:
                misses += 1
        raise InvalidInput(
            "hard_steps", self.hard_steps, "no such question found", "change hard_share"
        )

    def _draw(self, rng: np.random.Generator) -> Exercise | None:
        """A random exercise with the wanted hard steps; None if the draw leads nowhere."""
        start = int(rng.integers(self.modulus))
        if self.hard_steps is None:
            chosen = rng.integers(len(self.operations), size=self.horizon).tolist()
            return Exercise(start, tuple(self.operations[i] for i in chosen))
        room = self.horizon if self.hard_within is None else self.hard_within
        # A random walk that picks, step by step, among the operations whose fact is hard or easy as
        # wanted; where there is none, the whole draw is given up.
        places = set(rng.permutation(room)[: self.hard_steps].tolist())
        chosen, now = [], start
        for h in range(self.horizon):
            choices = np.flatnonzero(self.facts.hard[:, now] == (h in places))
            if not len(choices):
                return None
            chosen.append(int(choices[rng.integers(len(choices))]))
            now = int(self.facts.answers[chosen[-1], now])
        return Exercise(start, tuple(self.operations[i] for i in chosen))

    def _problem(self, question: str) -> Problem:
        answer = parse_question(question).values(self.modulus)[-1]
        return Problem(problem_id(question), question, str(answer), "exact")

    def prompt(self, problem: Problem) -> str:
        """Return the question with its sign in front."""
        return f"Q {problem.question}"

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge a text: 1 for the right value in its last whole box, else 0."""
        span = boxed_span(text)
        if span is None:
            return Verdict(0.0, None)
        answer = text[slice(*span)].strip()
        return Verdict(float(answer == problem.answer), answer)

    def solution(self, problem: Problem) -> list[str]:
        """Return the right thoughts, each with the first filler word.

        Raises:
            InvalidInput: if the question is no chain of operations.
        """
        exercise = parse_question(problem.question)
        values, last = exercise.values(self.modulus), len(exercise.operations) - 1
        return [
            thought(FILLERS[0], i, o, v, i == last)
            for i, (o, v) in enumerate(zip(exercise.operations, values, strict=True))
        ]

    def demonstration(self, problem: Problem, key: Key) -> str:
        """Return the right solution as the model writes it; there is one, up to filler words."""
        fillers = key.generator().choice(FILLERS, self.horizon)
        thoughts = (text.split(" ", 1)[1] for text in self.solution(problem))
        return " ".join(f"{word} {rest}" for word, rest in zip(fillers, thoughts, strict=False))

    @property
    def revision(self) -> str:
        """Words that ask for a second attempt: the question again, as there are no others."""
        return "Q {{question}}"

    def first_error(self, problem: Problem, thoughts: Sequence[str]) -> int | None:
        """Return the 0-based index of the first thought that is not the right continuation.

        A thought is right if it is one filler word with the step's label, operation and value,
        and the answer in the last step and only there. Its delimiter may be missing.
        """
        right = self.solution(problem)
        for i, text in enumerate(thoughts):
            # A thought too many is an error too.
            if i >= len(right) or _content(text) != _content(right[i]):
                return i
        return None

    def hard_places(self, problem: Problem) -> tuple[int, ...]:
        """Return the 0-based steps of the right solution that ask for a hard fact, ascending.

        Raises:
            InvalidInput: if the question is no chain of operations.
        """
        exercise = parse_question(problem.question)
        operations = np.array([[self.operations.index(o) for o in exercise.operations]])
        hard = self.facts.hard_on_path(operations, np.array([exercise.start]))
        return tuple(np.flatnonzero(hard[0]).tolist())


def _content(text: str) -> list[str] | None:
    """The words of a thought without filler and delimiter; None if it has no filler in front."""
    words = text.split()
    if words[-1:] == [DELIMITER]:
        words.pop()
    return words[1:] if words and words[0] in FILLERS else None


REGIMES: Mapping[str, ArithmeticTask] = {
    "natural": ArithmeticTask(),
    "sparse": ArithmeticTask(hard_steps=4),
    "early": ArithmeticTask(hard_steps=3, hard_within=5),
}
"""Hard steps as they come; four, so that success is rare; three, all of them early."""
