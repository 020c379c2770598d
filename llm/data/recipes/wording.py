"""How questions are put together from columns: options, and what kind of answer is asked for."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Sequence

from cpi_theory.checks import InvalidInput
from llm.data.records import Record
from llm.rewards.verify import check_reference
from llm.task import Problem


def with_options(question: str, options: Sequence[str]) -> str:
    """Return a question with its options below it, a letter and a full stop before each.

    Raises:
        InvalidInput: if there are fewer than two or more than letters.
    """
    if not 2 <= len(options) <= len(string.ascii_uppercase):
        raise InvalidInput("options", options, "not two to 26", "leave the record out")
    lines = [
        f"{letter}. {option.strip()}"
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    ]
    return "\n".join([question.strip(), "", *lines])


def choice(mark: str, question: str, options: Sequence[str], index: int) -> Problem:
    """Return a problem with lettered options.

    Args:
        mark: the id.
        question: without the options.
        options: their texts.
        index: 0-based, of the right one.

    Raises:
        InvalidInput: if there is no such option.
    """
    if not 0 <= index < len(options):
        raise InvalidInput("answer", index, "not one of the options", "leave the record out")
    letter = string.ascii_uppercase[index]
    return Problem(mark, with_options(question, options), letter, "choice")


def mixed(mark: str, right: str, wrong: Sequence[str]) -> tuple[list[str], int]:
    """Return options in an order that hangs on the problem's id alone, and the right one's index.

    Args:
        mark: the id.
        right: the right option.
        wrong: the others.
    """

    def rank(option: str) -> str:
        return hashlib.blake2b(f"{mark}\0{option}".encode(), digest_size=8).hexdigest()

    options = sorted([right, *wrong], key=rank)
    return options, options.index(right)


def texts(record: Record, field: str) -> list[str]:
    """Return the texts of a list in a field."""
    return list(record.texts(field).values())


def checked(problem: Problem, place: str) -> Problem:
    """Return a problem once its answers can be compared; an error says where it stands.

    Raises:
        InvalidInput: naming the record's place.
    """
    try:
        for answer in problem.answers:
            check_reference(problem.kind, answer)
    except InvalidInput as error:
        raise InvalidInput(f"{place}, answer", error.value, error.problem, error.remedy) from error
    return problem
