"""Judging finished texts against reference answers."""

from __future__ import annotations

import re
from collections.abc import Callable

from cpi_theory.checks import InvalidInput
from llm.rewards.answers import bare, boxed, letter
from llm.rewards.mathematics import shared_judge
from llm.task import Verdict

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_CALCULATION = re.compile(
    r"[0-9)}]\s*(?:[-+*·×÷]|\\cdot|\\div|\\times(?!\s*10\s*\^))\s*[-+0-9(\\{]|[0-9)]\s*\("
)
"""Operations on numbers, such as 2 * 3 or 2 (3), but neither 3 / 4 nor 2 \\times 10^3."""
_LONGEST = 1000


def verify(kind: str, answer: str, text: str) -> Verdict:
    """Judge a finished text.

    The answer is read by :mod:`llm.rewards.answers` from the last whole box; without one the reward
    is 0.

    - "math": equal by math-verify (fractions, decimals, percentages, sets, intervals, LaTeX). Where
      the reference is a number, a calculation that was not carried out is no answer, so copying
      the question earns nothing. Neither is anything of more than 1000 characters.
    - "choice": the same letter.
    - "exact": the same text but for case, blanks and a text command around it.

    Args:
        kind: one of :data:`KINDS`.
        answer: the reference.
        text: all that was written, prompt excluded.

    Raises:
        InvalidInput: if there is no such kind, or the reference of a choice is no letter.
    """
    check_kind(kind)
    return _JUDGES[kind](answer, text)


def check_reference(kind: str, answer: str) -> None:
    """Refuse a reference answer that no text could match.

    Raises:
        InvalidInput: if there is no such kind, the reference of a choice is no letter, or the
            reference cannot be the content of a box.
    """
    check_kind(kind)
    if kind == "choice":
        _choice(answer, "")
    if boxed(f"\\boxed{{{answer}}}") != answer.strip():
        raise InvalidInput(
            "answer",
            answer,
            "cannot stand in a box",
            "balance its braces, and take off its own box",
        )


def check_kind(kind: str) -> None:
    """Refuse a kind of answer that there is not.

    Raises:
        InvalidInput: naming those there are.
    """
    if kind not in _JUDGES:
        raise InvalidInput("kind", kind, "no such kind of answer", f"choose one of {KINDS}")


def _math(answer: str, text: str) -> Verdict:
    found = boxed(text)
    return Verdict(float(found is not None and same_mathematics(answer, found)), found)


def same_mathematics(reference: str, found: str) -> bool:
    """Whether two contents of boxes mean the same; see :func:`verify`, kind "math"."""
    reference, found = bare(reference), bare(found)
    if len(found) > _LONGEST:
        return False
    if reference == found:
        return True
    if _INTEGER.fullmatch(reference) and _INTEGER.fullmatch(found):
        return int(reference) == int(found)
    if _NUMBER.fullmatch(reference) and _CALCULATION.search(found.rpartition("=")[2]):
        return False
    return shared_judge().equal(reference, found)


def _choice(answer: str, text: str) -> Verdict:
    reference = letter(f"\\boxed{{{answer}}}")
    if reference is None:
        raise InvalidInput("answer", answer, "not the letter of a choice", "give one such as B")
    found = letter(text)
    return Verdict(float(found == reference), found)


def _exact(answer: str, text: str) -> Verdict:
    found = boxed(text)
    same = found is not None and bare(found).casefold() == bare(answer).casefold()
    return Verdict(float(same), found)


_JUDGES: dict[str, Callable[[str, str], Verdict]] = {
    "math": _math,
    "choice": _choice,
    "exact": _exact,
}
KINDS = tuple(_JUDGES)
"""Kinds of answers."""
