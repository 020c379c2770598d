"""Refusing bad input: one exception that names the field, the value and the remedy."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from fractions import Fraction
from numbers import Real
from pathlib import PurePath

Exact = float | Fraction
"""A number that may be exact: every improvement bound computes on either."""


class InvalidInput(ValueError):
    """A user's mistake: says which field holds which value, what is wrong and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        super().__init__(f"{field} = {_short(value)}: {problem}; {remedy}")
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled by its message alone, which would not rebuild the four arguments.
        return (type(self), (self.field, self.value, self.problem, self.remedy))


class Unable(InvalidInput):
    """A world cannot do what an algorithm asks of it."""


def _short(value: object, limit: int = 120) -> str:
    if isinstance(value, PurePath):
        return str(value)  # a path is of use only when it is whole
    text = " ".join(repr(value).split())  # arrays are shown over several lines
    return text if len(text) <= limit else text[: limit - 3] + "..."


def check_in_range(field: str, value: Exact, low: Exact, high: Exact) -> None:
    """Refuse a number that is not finite or lies outside [low, high].

    Raises:
        InvalidInput: naming `field` and the admissible interval.
    """
    if not isinstance(value, Real) or not math.isfinite(value) or not low <= value <= high:
        raise InvalidInput(field, value, f"not a number in [{low}, {high}]", "choose one inside")


def check_probability(field: str, value: Exact) -> None:
    """Refuse a number outside [0, 1]."""
    check_in_range(field, value, 0, 1)


def check_positive(field: str, value: Exact) -> None:
    """Refuse a number that is not finite and strictly positive."""
    if not isinstance(value, Real) or not math.isfinite(value) or not value > 0:
        raise InvalidInput(field, value, "not a positive number", "choose one above 0")


def check_count(field: str, value: int, minimum: int = 1) -> None:
    """Refuse anything but an integer of at least `minimum`."""
    # `__index__` admits numpy's integers and refuses floats, whole ones too.
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < minimum:
        raise InvalidInput(
            field, value, f"not an integer >= {minimum}", f"choose {minimum} or more"
        )


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a text that is none of `choices`, naming the nearest and all of them."""
    if value not in choices:
        raise InvalidInput(field, value, "unknown", choose_among(value, choices))


def nearest(value: object, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one is most like, capitals aside; None if it is like none."""
    # Of names that differ in capitals alone the last one stands for all: any of them is near.
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(str(value).casefold(), folded, n=1)
    return folded[near[0]] if near else None


def choose_among(value: object, known: Iterable[str]) -> str:
    """A remedy for a name that is not known: the nearest one, and all there are."""
    names = tuple(known)
    near = nearest(value, names)
    hint = "" if near is None else f"did you mean {near!r}? "
    return f"{hint}choose one of {', '.join(map(repr, names))}"
