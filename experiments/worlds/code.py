"""Worlds of programming problems, judged by tests in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cpi_theory.checks import InvalidInput, check_choice, check_count
from experiments.runs.fingerprint import points_to
from experiments.worlds.writing import Writing, check_success
from llm.rewards.sandbox.limits import Limits
from llm.text.answers import CodeBlock

if TYPE_CHECKING:
    from llm.task import Task
    from llm.text.thoughts import ThoughtFormat


def _as_code() -> Writing:
    return Writing(answer=CodeBlock())


@dataclass(frozen=True)
class CodeWorld:
    """Programming problems of a prepared benchmark, for any instruction-tuned model.

    Attributes:
        name: in records and figures.
        folder: of the benchmark, as ``cpi-resets data prepare`` writes it.
        evaluation: what is held out: "test", other problems; or "held-out tests", tests of the
            training problems that give no rewards.
        scoring: what a program earns: "all passed", 1 or 0; "fraction passed", the share of its
            tests; "format", 1 for any program in a block of code, a control.
        limits: of programs.
        judges: programs that are judged at a time; None: one per core.
        writing: how the model is asked, writes and localises; its fields may also stand beside
            those of the world. Solutions end with a block of code.
        success: a rollout fails if its reward is below this; in (0, 1].
    """

    name: str
    folder: str
    evaluation: str = "test"
    scoring: str = "all passed"
    limits: Limits = field(default_factory=Limits)
    judges: int | None = None
    writing: Writing = field(default_factory=_as_code, metadata={"flat": True})
    success: float = 1.0

    def __post_init__(self) -> None:
        check_success(self.success)
        check_choice("evaluation", self.evaluation, ("test", "held-out tests"))
        check_choice("scoring", self.scoring, ("all passed", "fraction passed", "format"))
        if self.judges is not None:
            check_count("judges", self.judges)
        if not isinstance(self.writing.answer, CodeBlock):
            raise InvalidInput(
                "writing.answer",
                self.writing.answer,
                "programs are read out of a block of code",
                'set answer = { type = "CodeBlock" }, or leave it out',
            )

    def task(self) -> Task:
        """The problems, in words that ask for the format that is scored."""
        from llm.tasks.code import load_code

        return load_code(
            Path(self.folder).expanduser(),
            self.evaluation,  # type: ignore[arg-type]
            self.writing.template(),
            self.writing.delimiter,
            self.scoring,  # type: ignore[arg-type]
            self.limits,
            self.judges,
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.writing.form()


@points_to.register
def _(world: CodeWorld) -> Mapping[str, Path]:
    return {world.folder: Path(world.folder).expanduser()}
