"""How many problems are asked for, by the option that says so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cpi_theory.checks import InvalidInput
from llm.task import Task


@contextlib.contextmanager
def asked_by(option: str) -> Iterator[None]:
    """Name the option of a command where a task in this block refuses to draw so many problems.

    Args:
        option: that says how many.

    Raises:
        InvalidInput: what the task refused, of that option.
    """
    try:
        yield
    except InvalidInput as error:
        if error.field != "count":  # how tasks call the number of problems
            raise
        raise InvalidInput(option, error.value, error.problem, error.remedy) from error


def check_enough(option: str, task: Task, split: str, count: int) -> None:
    """Refuse more problems than a task holds, if it holds a fixed set; nothing is drawn.

    Args:
        option: that says how many.
        task: of the problems; others draw theirs without end.
        split: train or test.
        count: how many are wanted at once.

    Raises:
        InvalidInput: naming the option.
    """
    pool = getattr(task, split, None)
    if isinstance(pool, tuple) and count > len(pool):
        problem = f"the {split} split holds {len(pool)} problems"
        raise InvalidInput(option, count, problem, "ask for fewer")
