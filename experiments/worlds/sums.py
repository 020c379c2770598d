"""The world of sums in plain English, for any pretrained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.worlds.writing import Writing
from llm.prompts import shipped
from llm.tasks.sums.task import SumsTask
from llm.text.boundaries import Line
from llm.text.thoughts import ThoughtFormat


def sums_writing() -> Writing:
    """How sums are written: the question alone, a line a thought, and a short question for errors.

    A model is taught the format by examples, so no prompt has to ask for it.
    """
    return Writing(
        boundary=Line(),
        prompt="{{question}}",
        # Lines of five numbers of three digits, a digit a token, fit in twice.
        max_tokens=160,
        # The general prompt is many times as long as question and solution.
        localization_prompt=shipped("locate_sums").text,
        localization_temperature=0.0,
        localization_tokens=24,
    )


@dataclass(frozen=True)
class SumsWorld:
    """Sums in plain English, solved one operation a line, with an exact step checker.

    Attributes:
        name: in records and figures.
        numbers: in a sum; a solution has one line less.
        digits: of each number.
        minus: chance that a number after the first is subtracted.
        writing: how the model is asked, writes and localises; where it is given, as a whole.
    """

    name: str
    numbers: int = 3
    digits: int = 2
    minus: float = 0.5
    writing: Writing = field(default_factory=sums_writing)

    def __post_init__(self) -> None:
        self.task()

    def task(self) -> SumsTask:
        """The questions."""
        return SumsTask(self.numbers, self.digits, self.minus, self.writing.template())

    @property
    def success(self) -> float:
        """A sum is right or wrong."""
        return 1.0

    def form(self) -> ThoughtFormat:
        """Format of solutions: a line a thought."""
        return self.writing.form()


# A solution of these takes 25 to 35 tokens; with more room a looping one holds up its whole batch.
_SHORT = replace(sums_writing(), max_tokens=64)

SUMS: Mapping[str, SumsWorld] = {
    "sums": SumsWorld("sums"),
    "sums-easy": SumsWorld("sums-easy", digits=1),
    "sums-four": SumsWorld("sums-four", numbers=4, digits=1, writing=_SHORT),
    "sums-six": SumsWorld("sums-six", numbers=6, digits=1, writing=_SHORT),
    "sums-hard": SumsWorld("sums-hard", numbers=5),
}
"""The worlds of sums that commands know by name."""
