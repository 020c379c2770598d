"""Worlds of the package reasoning-gym: procedural tasks with scorers and curricula."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cpi_theory.checks import check_count, check_positive
from experiments.worlds.writing import LATER, Writing, check_success

if TYPE_CHECKING:
    from llm.task import Task
    from llm.text.thoughts import ThoughtFormat


@dataclass(frozen=True)
class ReasoningGymWorld:
    """A procedural task of reasoning-gym, for any instruction-tuned model.

    Attributes:
        name: in records and figures.
        task_name: of the task in the package, such as "chain_sum".
        parameters: fields of the task's configuration, the package's defaults for others; they come
            before levels.
        level: of the whole curriculum, from 0; None: the package's defaults.
        levels: of single attributes of the curriculum, on top of `level`.
        reward_seconds: how long making a question and judging an answer may take.
        writing: how the model is asked, writes and localises; its fields stand beside those of the
            world.
        success: a rollout fails if its reward is below this; in (0, 1].
    """

    name: str
    task_name: str
    # Compared but not hashed: worlds are keys of dictionaries, and tables have no hash.
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    level: int | None = None
    levels: dict[str, int] = field(default_factory=dict, hash=False)
    reward_seconds: float = 20.0
    writing: Writing = field(default_factory=Writing, metadata={"flat": True})
    success: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_success(self.success)
        if self.level is not None:
            check_count("level", self.level, minimum=0)
        check_positive("reward_seconds", self.reward_seconds)

    def task(self) -> Task:
        """The questions."""
        from llm.tasks.reasoning_gym import ReasoningGymTask

        return ReasoningGymTask(
            self.task_name,
            self.parameters,
            self.level,
            self.levels,
            self.writing.template(),
            self.writing.delimiter,
            self.reward_seconds,
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.writing.form()
