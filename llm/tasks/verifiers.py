"""Single-turn task sets of the package verifiers: their prompts, judged by their own rewards.

A system prompt of the task set comes before its question. Tools, several turns, containers and
judges that are models are refused: rollouts here are one text by one model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cpi_theory.checks import InvalidInput, check_positive
from llm.data.problems import split_problems
from llm.rewards.function_process import CallFailed, shared_process
from llm.rewards.scorers import ONCE_MENDED, scorer_version
from llm.task import NO_REFERENCE, SCORED, Problem, Verdict
from llm.tasks.dataset import DatasetTask


@dataclass(frozen=True)
class TaskSet:
    """A task set of verifiers, which is loaded and judges in a process of its own.

    Attributes:
        name: "module:Class", a ``verifiers.v1.Taskset``.
        arguments: fields of its configuration.
        seconds: how long loading it and judging a text may take.

    Source: Brown (2025), https://github.com/PrimeIntellect-ai/verifiers (the package).
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    seconds: float = 60.0
    # As of a scorer: a process that holds another state of the file is not shared.
    _version: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)
        object.__setattr__(self, "_version", scorer_version(self.name))

    def check(self) -> None:
        """Load the task set.

        Raises:
            InvalidInput: whatever is wrong with it.
        """
        _ = self.problems

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Its tasks in their order, each with its system prompt before its question.

        Raises:
            InvalidInput: if there are none, they cannot be loaded, or one is not of a single turn.
        """
        try:
            rows = self._ask("problems")
        except CallFailed as failure:
            raise self._failed("loading", None, str(failure)) from failure
        if not rows:
            raise InvalidInput("verifiers task set", self.name, "holds no task", "give it some")
        problems = []
        for row in rows:
            question = "\n\n".join(filter(None, (row["system"], row["question"])))
            problems.append(Problem(row["id"], question, row["answer"] or NO_REFERENCE, SCORED))
        return tuple(problems)

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge a text by the sum of the weighted rewards of its task; `answer` is only reported.

        Raises:
            InvalidInput: if a reward raises or takes too long, or they do not sum to a number from
                0 to 1.
        """
        try:
            reward = self._ask("score", number=self._numbers[problem.id], text=text)
        except CallFailed as failure:
            raise self._failed(problem.called, text, str(failure)) from failure
        if not 0 <= reward <= 1:  # NaN is in no order
            raise self._failed(problem.called, text, f"rewards sum to {reward:g}")
        return Verdict(float(reward), answer)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {problem.id: number for number, problem in enumerate(self.problems)}

    def _failed(self, what: str, value: object, problem: str) -> InvalidInput:
        return InvalidInput(
            f"{what} of verifiers task set {self.name}",
            value,
            problem,
            "have its rewards sum to a number from 0 to 1 for every text within "
            f"{self.seconds:g} seconds (reward_seconds); {ONCE_MENDED}",
        )

    def _ask(self, request: str, **more: Any) -> Any:
        worker = "llm.tasks.verifiers_worker:answer"
        call = shared_process(worker, self.seconds, version=self._version)
        settings = json.dumps(dict(self.arguments), sort_keys=True)
        return call(request=request, taskset=self.name, settings=settings, **more)


def load_task_set(taskset: TaskSet, test_share: float = 0.2, **wording: Any) -> DatasetTask:
    """Load the tasks of a task set, split by a hash of their questions.

    Args:
        taskset: which one.
        test_share: share of its tasks that is held out.
        wording: template and delimiter of :class:`~llm.tasks.dataset.DatasetTask`.

    Raises:
        InvalidInput: whatever is wrong with the task set, or if a question comes twice.
    """
    train, test = split_problems(taskset.problems, test_share)
    return DatasetTask(tuple(train), tuple(test), scorer=taskset, **wording)
