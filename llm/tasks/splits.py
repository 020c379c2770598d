"""Procedural problems: which split a question belongs to, and drawing distinct ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from cpi_theory.checks import InvalidInput, check_choice
from llm.task import Problem

SPLITS = ("train", "test")

ATTEMPTS = 20_000
"""Draws in a row without a new question after which a task counts as exhausted."""

_TEST_ONE_IN = 5
"""About one question in so many is for testing."""


def check_split(split: str) -> None:
    """Refuse a split that there is not.

    Raises:
        InvalidInput: naming those there are.
    """
    check_choice("split", split, SPLITS)


def split_of(question: str) -> str:
    """Return the split that a question belongs to, by a hash of its text."""
    # The person keeps this hash apart from the ids of problems, which are of the same texts.
    digest = hashlib.blake2b(question.encode(), digest_size=8, person=b"split").digest()
    return SPLITS[int.from_bytes(digest, "little") % _TEST_ONE_IN == 0]


def problem_id(question: str) -> str:
    """Return an id that hangs on the text of a question alone."""
    return hashlib.blake2b(question.encode(), digest_size=8).hexdigest()


def distinct(
    questions: Iterator[str], count: int, problem: Callable[[str], Problem]
) -> list[Problem]:
    """Return the problems of the first distinct questions of a stream.

    Args:
        questions: without end, repeats included.
        count: how many.
        problem: makes the problem of a question.

    Raises:
        InvalidInput: if no new question comes for a long time.
    """
    found: dict[str, Problem] = {}
    repeats = 0
    while len(found) < count:
        question = next(questions)
        repeats = repeats + 1 if question in found else 0
        if repeats > ATTEMPTS:
            remedy = "ask for fewer or for longer ones"
            raise InvalidInput("count", count, f"only {len(found)} questions found", remedy)
        if question not in found:
            found[question] = problem(question)
    return list(found.values())
