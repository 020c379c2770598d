"""Worlds of the package verifiers: single-turn task sets with their own rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_theory.checks import check_positive, check_probability
from experiments.runs.fingerprint import points_to
from experiments.runs.imported import named_sources
from experiments.worlds.writing import LATER, Writing, check_success
from llm.rewards.scorers import scorer_source

if TYPE_CHECKING:
    from llm.task import Task
    from llm.text.thoughts import ThoughtFormat


@dataclass(frozen=True)
class VerifiersWorld:
    """A single-turn task set of verifiers, for any instruction-tuned model.

    Attributes:
        name: in records and figures.
        taskset: "module:Class", a ``verifiers.v1.Taskset``.
        arguments: fields of its configuration.
        test_share: share of its tasks that is held out.
        reward_seconds: how long loading it and judging a text may take.
        writing: how the model is asked, writes and localises; its fields stand beside those of the
            world.
        success: a rollout fails if its reward is below this; in (0, 1].
    """

    name: str
    taskset: str
    # Compared but not hashed: worlds are keys of dictionaries, and tables have no hash.
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    test_share: float = 0.2
    reward_seconds: float = 60.0
    writing: Writing = field(default_factory=Writing, metadata={"flat": True})
    success: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_success(self.success)
        check_probability("test_share", self.test_share)
        check_positive("reward_seconds", self.reward_seconds)

    def task(self) -> Task:
        """The questions."""
        from llm.tasks.verifiers import TaskSet, load_task_set

        taskset = TaskSet(self.taskset, self.arguments, self.reward_seconds)
        return load_task_set(
            taskset,
            self.test_share,
            template=self.writing.template(),
            delimiter=self.writing.delimiter,
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.writing.form()


@points_to.register
def _(world: VerifiersWorld) -> Mapping[str, Path]:
    return named_sources(world.taskset, scorer_source(world.taskset))
