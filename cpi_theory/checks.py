"""Refusing bad input: one exception that names the field, the value and the remedy."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Iterable
from fractions import Fraction
from numbers import Real
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

Exact = float | Fraction
"""A number that may be exact: every improvement bound computes on either."""

ANYBODYS = (Exception, SystemExit)
"""What anybody's code may raise: sys.exit, too, which would end a command with the code's own."""

_FEW = 12
"""Names that a message lists although one of them is near to what was given."""


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


def nearest(value: object, known: Iterable[object]) -> str | None:
    """The known name that a mistyped one is most like, capitals aside; None if it is like none."""
    # Of names that differ in capitals alone the last one stands for all: any of them is near.
    folded = {name.casefold(): name for name in known if isinstance(name, str)}
    near = difflib.get_close_matches(
        str(value).casefold() if value is not None else "", folded, n=1
    )
    return folded[near[0]] if near else None


def choose_among(value: object, known: Iterable[object]) -> str:
    """A remedy for a name that is not known: the nearest one, and all there are.

    A long list beside a near name would hide it, and is left out.
    """
    names = tuple(known)
    near = nearest(value, names)
    if near is None:
        return f"choose one of {', '.join(map(repr, names))}"
    hint = f"did you mean {near!r}?"
    if len(names) > _FEW:
        return hint
    return f"{hint} choose one of {', '.join(map(repr, names))}"


def import_named(field: str, target: str) -> Any:
    """What "module:name" stands for.

    Args:
        field: the setting that holds it, for messages.
        target: looked for where Python finds modules.

    Raises:
        InvalidInput: the module is not there or cannot be imported, or has nothing of that name.
    """
    where, _, name = target.partition(":")
    try:
        module = importlib.import_module(where)
    except ANYBODYS as error:
        raise not_importable(field, target, error) from error
    return attribute_of(field, target, module, name)


def not_importable(field: str, target: str, error: BaseException) -> InvalidInput:
    """That the module of "module:name" raises `error` when it is imported."""
    problem = f"cannot be imported: {type(error).__name__}: {error}"
    return InvalidInput(field, target, problem, "mend it, or install what it needs")


def attribute_of(field: str, target: str, module: ModuleType, name: str) -> Any:
    """The attribute of that name.

    Args:
        field: the setting that holds `target`, for messages.
        target: "module:name", as it was given.
        module: the module.
        name: the name.

    Raises:
        InvalidInput: there is none, naming the nearest and what the module has of its own.
    """
    if name and hasattr(module, name):
        return getattr(module, name)
    own = [one for one in vars(module) if not one.startswith("_") and _is_own(module, one)]
    where = target.rpartition(":")[0]
    remedy = choose_among(name, own) if own else f"define {name or 'something'} there"
    problem = f"{where} has no {name}" if name else "names nothing behind the colon"
    raise InvalidInput(field, target, problem, remedy)


def _is_own(module: ModuleType, name: str) -> bool:
    """Whether a module defines what it holds under a name, and has not imported it."""
    value = getattr(module, name)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return value.__module__ == module.__name__
    return not isinstance(value, ModuleType) and name != "annotations"  # of __future__
