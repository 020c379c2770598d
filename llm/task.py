"""What a language model is asked: problems with verifiable answers, and who verifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard, runtime_checkable

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key

NO_REFERENCE = "(any that the scorer accepts)"
"""The answer of a problem that is judged by a scorer and has no reference."""


SCORED = "scored"
"""The kind of problems that a scorer judges: answers are not compared."""


_SHOWN = 60
"""Characters of a question that a message shows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its reference answer.

    Attributes:
        id: distinguishes the problems of a run; records are joined by it.
        question: the text that the model is shown, without instructions.
        answer: the reference answer, never shown unless a localiser is allowed to see it.
        kind: how answers are compared, see :mod:`llm.rewards.verify`: "math", "choice" or "exact";
            or :data:`SCORED`, by a scorer of the task's own.
        alternatives: further answers that are right too, each by itself.
        place: where it was read, such as "questions.jsonl, line 3", for messages; empty: nobody
            knows, or it was made.
    """

    id: str
    question: str
    answer: str
    kind: str = "math"
    alternatives: tuple[str, ...] = ()
    place: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("id", "question", "answer"):
            self._check_text(name, getattr(self, name))
        for alternative in self.alternatives:
            self._check_text("alternatives", alternative)

    def _check_text(self, name: str, text: str) -> None:
        if not text.strip():
            raise InvalidInput(f"problem {self.id!r}.{name}", text, "empty", "give a text")

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers that are right, the reference first."""
        return (self.answer, *self.alternatives)

    @property
    def called(self) -> str:
        """The problem in a message: an id may be a hash, which stands in no file."""
        words = " ".join(self.question.split())
        shown = words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."
        where = f", {self.place}" if self.place else ""
        return f"problem {self.id!r} ({shown!r}{where})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of a finished text.

    Attributes:
        reward: outcome reward in [0, 1].
        answer: the answer that was found in the text, None if there is none.
    """

    reward: float
    answer: str | None


@runtime_checkable
class Task(Protocol):
    """A source of problems with the words around them and a verifier."""

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Return distinct problems of a split; splits share no problem.

        Args:
            split: "train" or "test".
            count: how many.
            seed: of the draw; the same seed gives the same problems.

        Raises:
            InvalidInput: for an unknown split, or if it has too few problems.
        """
        ...

    def prompt(self, problem: Problem) -> str:
        """Return the whole text that the model continues."""
        ...

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge the text of a finished rollout; the caller scores truncated ones 0.

        Args:
            problem: what was asked.
            text: the whole solution, kept thoughts included and the prompt excluded.
        """
        ...


@runtime_checkable
class AnswerJudge(Protocol):
    """A task that judges an answer, wherever in the text it stood.

    Its texts may give their answers otherwise than in a box, see :mod:`llm.text.answers`; whoever
    knows how reads them. Of a task that is none, `verify` alone decides.
    """

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge the answer of a finished rollout.

        Args:
            problem: what was asked.
            answer: what was read as the answer, None if there is none.
            text: the whole solution, as `verify` is given it.
        """
        ...


class Judging(Protocol):
    """A judgement under way."""

    def done(self) -> bool:
        """Tell whether it is there."""
        ...


@runtime_checkable
class JudgesAhead(Protocol):
    """A task whose judgements take time and are begun while other rollouts are still written."""

    def begin(self, problem: Problem, text: str) -> Judging | None:
        """Begin to judge a finished text, for which `verify` or `judge` will be asked later.

        Args:
            problem: what was asked.
            text: the whole solution, as `verify` is given it.

        Returns:
            The judgement under way; None if there is nothing to wait for.
        """
        ...


@runtime_checkable
class StepChecker(Protocol):
    """A task that knows exactly where a chain of thoughts first goes wrong."""

    def first_error(self, problem: Problem, thoughts: Sequence[str]) -> int | None:
        """Return the 0-based index of the first wrong thought; None if every thought is right.

        Args:
            problem: what was asked.
            thoughts: texts of the whole solution's thoughts in order, without delimiters.
        """
        ...


@runtime_checkable
class Demonstrator(Protocol):
    """A task that can write solutions itself, right and wrong ones, for a model to learn from."""

    def demonstration(self, problem: Problem, key: Key) -> str:
        """Return a right solution as the model is to write it, with all boundaries of thoughts.

        Args:
            problem: what is asked.
            key: of the draw, where there are several.
        """
        ...

    def faulty(self, problem: Problem, key: Key) -> str:
        """Return a solution in the same format that goes wrong somewhere.

        Args:
            problem: what is asked.
            key: of what goes wrong, and where.
        """
        ...

    def in_format(self, problem: Problem, thoughts: Sequence[str]) -> bool:
        """Return whether a solution, right or wrong, is written as demonstrations are.

        Args:
            problem: what is asked.
            thoughts: texts of the whole solution's thoughts in order, without delimiters.
        """
        ...


# Asked by attribute, as in cpi_theory.seam: from Python 3.12 on `isinstance` of a protocol does not
# see what a wrapper passes on through `__getattr__`.


def judges_answers(task: object) -> TypeGuard[AnswerJudge]:
    """Tell whether a task, or what it wraps, is an :class:`AnswerJudge`."""
    return hasattr(task, "judge")


def judges_ahead(task: object) -> TypeGuard[JudgesAhead]:
    """Tell whether a task, or what it wraps, is one that :class:`JudgesAhead`."""
    return hasattr(task, "begin")


def checks_steps(task: object) -> TypeGuard[StepChecker]:
    """Tell whether a task, or what it wraps, is a :class:`StepChecker`."""
    return hasattr(task, "first_error")


def demonstrates(task: object) -> TypeGuard[Demonstrator]:
    """Tell whether a task, or what it wraps, is a :class:`Demonstrator`."""
    return all(hasattr(task, name) for name in ("demonstration", "faulty", "in_format"))
