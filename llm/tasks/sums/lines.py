r"""Lines of a worked sum: reading and writing one, and which of several is the first wrong one.

A sum is a collection of signed terms: 47 + 82 - 15 is 47, 82 and -15. A line such as
``82 - 15 = 67`` takes two of them away and puts their sum in their place, so that after one line
per operation a single term is left, the answer. Terms may be taken in any order, and with both
signs turned: where -15 and -20 are left, ``15 + 20 = 35`` is right and leaves -35.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Terms = tuple[int, ...]
"""Signed terms of a sum, in any order."""

# Python refuses to read integers of thousands of digits, and no right line holds more than these.
_INTEGER = r"(-?[0-9]{1,18})"
_LINE = re.compile(
    rf"{_INTEGER} ?([+-]) ?{_INTEGER} ?= ?(?:\\boxed\{{ ?{_INTEGER} ?\}}|{_INTEGER})"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One operation with its result.

    Attributes:
        left, right: what is added or subtracted, as written.
        sign: + or -.
        result: what is stated to come out.
        boxed: whether the result is given as the answer.
    """

    left: int
    sign: str
    right: int
    result: int
    boxed: bool = False

    @property
    def text(self) -> str:
        """The line as it is written."""
        result = f"\\boxed{{{self.result}}}" if self.boxed else str(self.result)
        return f"{self.left} {self.sign} {self.right} = {result}"

    @property
    def right_result(self) -> int:
        """What comes out of the operation."""
        return self.left + self.right if self.sign == "+" else self.left - self.right

    def applied(self, terms: Terms) -> Iterator[Terms]:
        """Yield what is left of some terms after this line, ascending, once per way to read it.

        Args:
            terms: before it. Nothing is yielded if the line takes what is not there, or if its
                result is wrong.
        """
        if self.result != self.right_result:
            return
        second = self.right if self.sign == "+" else -self.right
        for turn in (1, -1):
            rest = list(terms)
            if turn * self.left in rest:
                rest.remove(turn * self.left)
                if turn * second in rest:
                    rest.remove(turn * second)
                    yield tuple(sorted([*rest, turn * self.result]))


def read_line(text: str) -> Line | None:
    """Return the operation that a line writes; None if it is anything else.

    One blank may stand or be missing around each sign; numbers have no leading zeros.
    """
    found = _LINE.fullmatch(text.strip())
    if found is None:
        return None
    left, sign, right, boxed, plain = found.groups()
    numbers = [left, right, plain if boxed is None else boxed]
    if any(str(int(number)) != number for number in numbers):  # 007, or -0
        return None
    return Line(int(left), sign, int(right), int(numbers[2]), boxed is not None)


def combine(first: int, second: int, boxed: bool = False) -> Line:
    """Return the right line that adds two signed terms.

    Args:
        first: is written as it is, with its own sign.
        second: is added or, if it is negative, subtracted.
        boxed: whether the result is the answer.
    """
    sign = "-" if second < 0 else "+"
    return Line(first, sign, abs(second), first + second, boxed)


def first_wrong(terms: Terms, texts: Sequence[str]) -> int | None:
    """Return the 0-based index of the first line that no right solution goes on with.

    A line is right if it can be read, takes two terms that are left, in one of the ways in which
    the lines before it can be read, and states what comes out; the answer is boxed in the line
    that leaves one term, and there alone. A line after that is wrong.

    Args:
        terms: of the sum, at least two.
        texts: lines, in order; there may be fewer than the sum has operations.
    """
    ways = {tuple(sorted(terms))}
    for i, text in enumerate(texts):
        line, last = read_line(text), len(terms) - i == 2
        if line is None or line.boxed != last:
            return i
        ways = {left for way in ways for left in line.applied(way)}
        # In the last line a result with its sign turned is not the answer.
        if last:
            ways &= {(line.result,)}
        if not ways:
            return i
    return None
