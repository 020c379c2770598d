"""Judging finished texts against reference answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cpi_theory.checks import InvalidInput, choose_among
from llm.rewards.answers import bare, boxed, letter_in
from llm.rewards.equality import Comparison, NeedsAlgebra, by_arithmetic
from llm.rewards.mathematics import shared_judge
from llm.rewards.notation.reader import read
from llm.rewards.notation.tokens import Unreadable
from llm.task import Verdict

LONGEST = 1000
"""Characters of a mathematical answer; what is longer is not looked at."""


def verify(kind: str, answer: str | Sequence[str], text: str) -> Verdict:
    """Judge a finished text.

    The answer is read by :mod:`llm.rewards.answers` from the last whole box; without one the reward
    is 0.

    - "math": both are read whole by :mod:`llm.rewards.notation` and say the same: numbers, mixed
      numbers and percentages, expressions, lists and sets, points and intervals, equations and
      inequalities, words. Values are compared exactly; only a decimal of ten digits or more also
      stands for what rounds to it. A unit, a variable's name or an option's letter may be left out,
      but not be another one. Where the reference is a number, a calculation that was not carried
      out is no answer, so copying the question earns nothing. Neither is anything of more than
      1000 characters, or what takes four seconds to compare.
    - "choice": the same letter.
    - "exact": the same text but for case, blanks and a text command around it.

    Args:
        kind: one of :data:`KINDS`.
        answer: the reference, or several of which each is right.
        text: all that was written, prompt excluded.

    Raises:
        InvalidInput: if there is no such kind, or the reference of a choice is no letter.

    Source: Hendrycks et al. (2021), arXiv 2103.03874 (answers in a box).
    """
    return judge(kind, answer, boxed(text))


def judge(kind: str, answer: str | Sequence[str], found: str | None) -> Verdict:
    """Judge an answer that was read out of a text, as :func:`verify` judges the last box.

    Args:
        kind: one of :data:`KINDS`.
        answer: the reference, or several of which each is right.
        found: the answer; None: there was none, which is never right.

    Raises:
        InvalidInput: if there is no such kind, or the reference of a choice is no letter.
    """
    check_kind(kind)
    references = [answer] if isinstance(answer, str) else answer
    verdicts = [_JUDGES[kind](reference, found) for reference in references]
    # The first right one, or the first of all: max keeps the earliest of equals.
    return max(verdicts, key=lambda verdict: verdict.reward)


def check_reference(kind: str, answer: str) -> None:
    """Refuse a reference answer that no text could match, or that is not wholly understood.

    Raises:
        InvalidInput: if there is no such kind, the reference of a choice is no letter, the
            reference cannot be the content of a box, or mathematics cannot be read.
    """
    check_kind(kind)
    if kind == "choice":
        _choice(answer, None)
    # What does not come back out of a box, no text could answer: an open brace, a box of its own.
    if boxed(f"\\boxed{{{answer}}}") != answer.strip():
        raise InvalidInput(
            "answer",
            answer,
            "cannot stand in a box",
            "balance its braces, and take off its own box",
        )
    if kind == "math":
        _check_readable(answer)


def _check_readable(answer: str) -> None:
    remedy = "write it in other words, leave the record out, or compare its text: kind 'exact'"
    if len(answer) > LONGEST:
        raise InvalidInput("answer", answer, f"longer than {LONGEST} characters", remedy)
    try:
        read(answer)
    except Unreadable as error:
        raise InvalidInput(
            "answer", answer, f"cannot be read as mathematics: {error}", remedy
        ) from error


def check_kind(kind: str) -> None:
    """Refuse a kind of answer that there is not.

    Raises:
        InvalidInput: naming those there are.
    """
    if kind not in _JUDGES:
        raise InvalidInput("kind", kind, "no such kind of answer", choose_among(kind, KINDS))


def _math(answer: str, found: str | None) -> Verdict:
    return Verdict(float(found is not None and same_mathematics(answer, found)), found)


def same_mathematics(reference: str, found: str) -> bool:
    """Return whether two contents of boxes mean the same; see :func:`verify`, kind "math".

    What numerals and notation decide is decided here, the rest by the shared judge.
    """
    reference, found = reference.strip(), found.strip()
    if max(len(reference), len(found)) > LONGEST:
        return False
    # The same text is the same answer, even where it cannot be read.
    if reference == found:
        return True
    compare = Comparison(by_arithmetic).same
    try:
        return any(compare(one, other) for one in read(reference) for other in read(found))
    except Unreadable:
        return False
    except NeedsAlgebra:
        # All in the worker, from the texts on: it can be ended, whatever it is at.
        return shared_judge().equal(reference, found)


def _choice(answer: str, found: str | None) -> Verdict:
    # The reference is read as an answer would be.
    reference = letter_in(answer)
    if reference is None:
        raise InvalidInput("answer", answer, "not the letter of a choice", "give one such as B")
    chosen = None if found is None else letter_in(found)
    return Verdict(float(chosen == reference), chosen)


def _exact(answer: str, found: str | None) -> Verdict:
    same = found is not None and bare(found).casefold() == bare(answer).casefold()
    return Verdict(float(same), found)


_JUDGES: dict[str, Callable[[str, str | None], Verdict]] = {
    "math": _math,
    "choice": _choice,
    "exact": _exact,
}
KINDS = tuple(_JUDGES)
"""Kinds of answers."""
