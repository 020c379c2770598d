"""Programming problems, judged by tests in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

from cpi_theory.checks import InvalidInput, check_choice
from llm.data.overlap import check_apart, check_tests_held_out
from llm.data.prepared import read_manifest, read_split
from llm.prompts import Prompt, shipped
from llm.rewards.sandbox.cases import CodeTests, read_tests
from llm.rewards.sandbox.judge import Judgement
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.pool import JudgePool, shared_pool
from llm.task import Problem, Verdict
from llm.tasks.dataset import draw
from llm.text.answers import CodeBlock

Scoring = Literal["all passed", "fraction passed", "format"]
"""What a program earns: 1 if all tests pass, the share that passes, or 1 for being in the format
that is asked for, whatever it does: the control that tells learning to program from learning to
write a block of code."""

Evaluation = Literal["test", "held-out tests"]
"""What is evaluated: problems that are not for training, or training problems by the tests that
give no rewards."""

FORMAT = CodeBlock()


@dataclass(frozen=True, slots=True)
class CodeTask:
    """A task over programming problems, whose answers are tests of programs.

    Attributes:
        train: problems to learn from; see :class:`llm.tasks.dataset.DatasetTask`.
        test: problems held out.
        template: wording with placeholders question and delimiter; it has to ask for the format
            that is scored, a fenced block.
        delimiter: what the model is asked to end thoughts with; it is taken out of programs.
        scoring: what a program earns.
        limits: of programs.
        workers: programs that are judged at a time; None: one per core.
    """

    train: tuple[Problem, ...]
    test: tuple[Problem, ...] = ()
    template: Prompt = field(default_factory=lambda: asking("End every step with {{delimiter}}."))
    delimiter: str = "</thought>"
    scoring: Scoring = "all passed"
    limits: Limits = field(default_factory=Limits)
    workers: int | None = None

    def __post_init__(self) -> None:
        check_choice("scoring", self.scoring, ("all passed", "fraction passed", "format"))
        for problem in (*self.train, *self.test):
            tests_of(problem)
        self.template.check({"question"}, {"delimiter"})
        if self.scoring != "format":
            self.pool()  # refused here and not at the first rollout

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Draw distinct problems of a split; a longer list begins with the shorter one.

        Raises:
            InvalidInput: if there is no such split or it holds fewer problems.
        """
        return draw({"train": self.train, "test": self.test}, split, count, seed)

    def prompt(self, problem: Problem) -> str:
        """Return the whole text that the model continues."""
        return self.template.fill_some(question=problem.question, delimiter=self.delimiter)

    def begin(self, problem: Problem, text: str) -> Future[Judgement] | None:
        """Have a finished text judged while others are written; see :class:`llm.task.JudgesAhead`.

        Args:
            problem: what was asked.
            text: the whole solution.

        Returns:
            Its judgement to come; None where nothing has to be run.
        """
        program = self.program(text)
        if program is None or self.scoring == "format":
            return None
        return self.pool().submit(program, tests_of(problem))

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge the program in a text's last whole block of code; without one the reward is 0."""
        program = self.program(text)
        if program is None:
            return Verdict(0.0, None)
        if self.scoring == "format":
            return Verdict(1.0, program)
        found = self.judgement(problem, text)
        return Verdict(
            found.all_passed if self.scoring == "all passed" else found.fraction, program
        )

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """See :class:`llm.task.AnswerJudge`; the program is read out of the whole text."""
        del answer  # a rule of answers may have kept delimiters in it
        return self.verify(problem, text)

    def judgement(self, problem: Problem, text: str) -> Judgement:
        """Return how many tests the program in a text passes: none if there is no program."""
        judging = self.begin(problem, text)
        return Judgement(0, 1, {"no program": 1}) if judging is None else judging.result()

    def program(self, text: str) -> str | None:
        """Return the program in a text, delimiters of thoughts taken out; None without one."""
        return FORMAT.read(text.replace(self.delimiter, "") if self.delimiter else text)

    def pool(self) -> JudgePool:
        """Return what runs the programs.

        Raises:
            InvalidInput: programs cannot be run in a sandbox here.
        """
        return shared_pool(self.limits, self.workers)


@cache
def _read(answer: str) -> CodeTests:
    return read_tests(answer)


def tests_of(problem: Problem) -> CodeTests:
    """Return the tests of a problem.

    Raises:
        InvalidInput: naming the problem, if its answer holds none.
    """
    try:
        return _read(problem.answer)
    except InvalidInput as error:
        place = f"{problem.called}, tests"
        raise InvalidInput(place, error.value, error.problem, error.remedy) from error


def asking(steps: str) -> Prompt:
    """Return the package's words for a step-by-step solution that ends in a block of code.

    Args:
        steps: how steps end.
    """
    text = shipped("solve_steps").fill(question="{{question}}", steps=steps, answer=FORMAT.asked())
    return Prompt("solve_steps", text)


def _check_programs(folder: Path, split: str, problems: Sequence[Problem]) -> None:
    """Refuse a prepared benchmark whose problems are judged by their answers."""
    for problem in problems[:1]:
        try:
            tests_of(problem)
        except InvalidInput as error:
            what = (
                f"holds no programming problems: {problem.id!r} has the answer "
                f"{problem.answer[:40]!r}, and neither tests nor an entry point"
            )
            remedy = (
                f'use type = "DatasetWorld" with source = "{folder / split}.parquet", or prepare a '
                "benchmark of programs (cpi-resets data list)"
            )
            raise InvalidInput("folder", folder, what, remedy) from error


def load_code(
    folder: Path,
    evaluation: Evaluation = "test",
    template: Prompt | None = None,
    delimiter: str = "</thought>",
    scoring: Scoring = "all passed",
    limits: Limits | None = None,
    workers: int | None = None,
) -> CodeTask:
    """Load a prepared benchmark of programs.

    Args:
        folder: what :func:`llm.data.prepare.prepare` wrote.
        evaluation: what the test problems of the task are.
        template: see :class:`CodeTask`; None: the package's words.
        delimiter: of thoughts.
        scoring: what a program earns.
        limits: of programs.
        workers: programs that are judged at a time.

    Raises:
        InvalidInput: the folder is not a prepared benchmark of programs; a training problem is
            among those for testing; no tests were held out; no sandbox is to be had.
    """
    check_choice("evaluation", evaluation, ("test", "held-out tests"))
    there = read_manifest(folder)["splits"]
    train = read_split(folder, "train") if "train" in there else None
    learned = () if train is None else train.problems
    test = read_split(folder, "test").problems if train is None or evaluation == "test" else ()
    _check_programs(folder, "test" if train is None else "train", learned or test)
    if evaluation == "test":
        check_apart(learned, test)
    elif train is None or not train.held_out:
        problem, remedy = "no tests were held out there", "evaluate on the test split"
        raise InvalidInput("evaluation", evaluation, problem, remedy)
    else:
        held_out = train.held_out
        test = tuple(
            replace(p, id=f"{p.id}-held-out", answer=held_out[p.id].as_text()) for p in learned
        )
        check_tests_held_out({p.id: tests_of(p) for p in learned}, held_out)
    return CodeTask(
        learned,
        test,
        template or asking(f"End every step with {delimiter}." if delimiter else ""),
        delimiter,
        scoring,
        limits or Limits(),
        workers,
    )
