r"""Procedural tasks of the package reasoning-gym, judged by the package's own scorers.

Questions are made, not stored: there are as many as the task has, and a difficulty is chosen by the
task's parameters or by the levels of its curriculum.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cpi_theory.checks import InvalidInput, check_count, check_positive
from cpi_theory.randomness import Key
from llm.data.problems import normalized_question
from llm.prompts import Prompt, shipped
from llm.rewards.answers import bare, boxed
from llm.rewards.function_process import CallFailed, FunctionProcess, shared_process
from llm.task import NO_REFERENCE, Problem, Verdict
from llm.tasks.splits import check_split

BLOCK = 500
"""Questions of one seed of the package, which makes some of them together."""

SPLITS = ("train", "test")

_TEST_ONE_IN = 3
"""About one question in so many is for testing."""

_BLOCKS = 2**31 // BLOCK
"""Of questions; some of the package's generators take seeds of 32 bits alone."""

_REPEATS = 2 * BLOCK
"""Questions in a row without a new one after which a task counts as exhausted."""

_MEMORY = 4 << 30
"""Bytes of address space of the process that makes questions and judges answers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReasoningGymTask:
    """Questions of one task of reasoning-gym; implements ``Task`` of :mod:`llm.task`.

    Attributes:
        name: of the task, such as "chain_sum".
        parameters: fields of the task's configuration in the package, its defaults for others;
            they come before levels.
        level: of the whole curriculum, from 0; None: the package's defaults.
        levels: of single attributes of the curriculum, on top of `level`.
        template: wording with placeholders question and delimiter.
        delimiter: what the model is asked to end thoughts with.
        seconds: how long making a question and judging an answer may take.

    Source: Stojanovski et al. (2025), arXiv 2505.24760 (the package).
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    level: int | None = None
    levels: Mapping[str, int] = field(default_factory=dict, hash=False)
    template: Prompt = field(default_factory=lambda: shipped("solve"))
    delimiter: str = "</thought>"
    seconds: float = 20.0

    def __post_init__(self) -> None:
        if self.level is not None:
            check_count("level", self.level, minimum=0)
        check_positive("seconds", self.seconds)
        # A trial: a template without its placeholders is refused here, not at the first rollout.
        self.template.check({"question"}, {"delimiter"})
        try:
            self._ask("check")
        except CallFailed as failure:
            raise self._unmade("its first question", failure) from failure

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Draw distinct problems of a split; a longer list begins with the shorter one.

        Whether a question is for training or for testing is decided by its text, so splits share
        none, whatever the seeds. Questions whose reference could not be read out of a text again
        are left out.

        Raises:
            InvalidInput: for an unknown split, if the task has too few questions, or if the package
                fails at making one.
        """
        check_split(split)
        check_count("count", count, minimum=0)
        found: dict[str, Problem] = {}
        numbers = self._numbers(split, seed)
        repeats = 0
        while len(found) < count:
            if repeats >= _REPEATS:
                raise InvalidInput(
                    "count",
                    count,
                    f"only {len(found)} questions of {self.name} found for the {split} split",
                    "ask for fewer, or change its parameters or level",
                )
            problem = self._problem(next(numbers))
            question = normalized_question(problem.question)
            new = question not in found and split_of(question) == split and _answerable(problem)
            repeats = 0 if new else repeats + 1
            if new:
                found[question] = problem
        return list(found.values())

    def _numbers(self, split: str, seed: int) -> Iterator[int]:
        """Numbers of questions without end, whole blocks in random order."""
        rng = Key.of(seed).child("reasoning-gym", self.name, split).generator()
        while True:
            first = BLOCK * int(rng.integers(_BLOCKS))
            yield from range(first, first + BLOCK)

    def _problem(self, number: int) -> Problem:
        try:
            question, answer = self._ask("item", number=number)
        except CallFailed as failure:
            raise self._unmade(f"question {number}", failure) from failure
        reference = NO_REFERENCE if answer is None else str(answer)
        return Problem(f"{self.name}-{number}", question, reference, "scored")

    def _unmade(self, what: str, failure: CallFailed) -> InvalidInput:
        return InvalidInput(
            "task_name",
            self.name,
            f"{what} could not be made with the parameters {dict(self.parameters)}: {failure}",
            "change its parameters or level, give it more seconds, or choose another task",
        )

    def prompt(self, problem: Problem) -> str:
        """Return the whole text that the model continues."""
        return self.template.fill_some(question=problem.question, delimiter=self.delimiter)

    def verify(self, problem: Problem, text: str) -> Verdict:
        r"""Judge a text by the content of its last whole ``\boxed{...}``; see :meth:`judge`."""
        return self.judge(problem, boxed(text), text)

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge an answer by the package's scorer; see :class:`llm.task.AnswerJudge`.

        The answer is also tried without dollar signs and a text command around it. An answer on
        which the scorer fails or takes too long is worth 0, and logged: the answer is the model's,
        and there is nothing that a user could mend.

        Raises:
            InvalidInput: if the problem is none of this task.
        """
        del text  # the answer alone counts
        if answer is None:
            return Verdict(0.0, None)
        number = self._number(problem)
        tried = dict.fromkeys((answer, bare(answer)))
        return Verdict(max(self._score(number, one) for one in tried), answer)

    def _score(self, number: int, answer: str) -> float:
        try:
            # Some scores are a rounding error above 1.
            return min(float(self._ask("score", number=number, text=answer)), 1.0)
        except CallFailed as failure:
            _log.warning(
                "%s, question %d: the scorer %s on %.80r", self.name, number, failure, answer
            )
            return 0.0

    def _number(self, problem: Problem) -> int:
        name, _, number = problem.id.rpartition("-")
        if name != self.name or not number.isdecimal():
            remedy = "take problems from this task"
            raise InvalidInput("problem", problem.id, f"not of {self.name}", remedy)
        return int(number)

    @cached_property
    def _settings(self) -> str:
        given = {"parameters": self.parameters, "level": self.level, "levels": self.levels}
        return json.dumps(given, sort_keys=True)

    def _ask(self, request: str, **more: Any) -> Any:
        call = _process(self.seconds)
        return call(request=request, task=self.name, settings=self._settings, **more)


def _process(seconds: float) -> FunctionProcess:
    # Without a fixed order of sets a question would change from process to process.
    environment = (("PYTHONHASHSEED", "0"),)
    return shared_process("llm.tasks.reasoning_gym_worker:answer", seconds, _MEMORY, environment)


def split_of(question: str) -> str:
    """Return the split that a question belongs to, by a hash of its text.

    Args:
        question: its words, blanks between them made single.
    """
    digest = hashlib.blake2b(question.encode(), digest_size=8, person=b"split").digest()
    return SPLITS[int.from_bytes(digest, "little") % _TEST_ONE_IN == 0]


def _answerable(problem: Problem) -> bool:
    """Whether the reference comes back out of a box: one with an open brace does not."""
    return boxed(f"\\boxed{{{problem.answer}}}") == problem.answer.strip()
