"""Questions about trees that arithmetic cannot answer, decided with sympy.

Two expressions are equal if they agree, to forty digits, at all of a few points where both are
defined. Unlike simplification this ends, and it knows no list of identities. Decimals are exact.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import sympy
from sympy.core.evalf import PrecisionExhausted

from llm.rewards.equality import NeedsAlgebra, by_arithmetic
from llm.rewards.notation.trees import Node, Number, Tree
from llm.rewards.sympy_trees import Converter, set_of

DIGITS = 80
"""Digits that are worked with, where it takes so many, to tell how far apart two numbers are."""

MANY_DIGITS = 250
"""The same to tell a very small number from 0."""

AGREEMENT = sympy.Rational(1, 10**40)
"""Relative difference up to which values agree."""

AGREEMENT_OF_INTEGRALS = sympy.Rational(1, 10**12)
"""The same where something is integrated numerically."""

ROUNDS = 12
"""Points at which expressions are compared."""

ENOUGH = 3
"""Points at which both have to be defined."""

_NO_NUMBERS = (sympy.nan, sympy.zoo, sympy.oo, sympy.Sum, sympy.Product)
"""What a value has in it at a point where it is not defined, such as half-way between terms."""

FAILURES = (
    ArithmeticError,
    LookupError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What sympy raises for expressions that it can do nothing with."""


def decide(question: str, one: Tree, other: Tree) -> bool:
    """Answer a question of :data:`llm.rewards.equality.Decide`; no, if it cannot be answered.

    Args:
        question: which.
        one: an expression or a set of numbers.
        other: what it is compared with.

    Source: Schwartz (1980), doi:10.1145/322217.322225 (identities tested at points).
    """
    try:
        return by_arithmetic(question, one, other)
    except NeedsAlgebra:
        pass
    try:
        if question == "region":
            return _same_region(one, other)
        if question == "near":
            return _near(one, other)
        # The same base on both sides: \log 100 is 2 with base 10, \log 2 is \ln 2 with base e.
        bases = (sympy.E, sympy.Integer(10)) if _has_log(one) or _has_log(other) else (sympy.E,)
        return any(
            COMPARISONS[question](*(Converter(base).convert(tree) for tree in (one, other)))
            for base in bases
        )
    except FAILURES:
        return False


def _has_log(tree: Tree) -> bool:
    """Whether there is a logarithm without its base: some write it for e, some for 10."""
    if not isinstance(tree, Node):
        return False
    return (tree.head == "log" and len(tree.parts) == 1) or any(map(_has_log, tree.parts))


# Comparing.


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, sympy.MatrixBase) or isinstance(other, sympy.MatrixBase):
        return one.shape == other.shape and all(map(_equal, one, other))
    # What has no value, such as 1/0, equals nothing that is written otherwise.
    if one.has(sympy.nan, sympy.zoo) or other.has(sympy.nan, sympy.zoo):
        return False
    if one == other:
        return True
    # Infinity equals itself, which was asked above, and has no digits to compare.
    if one.has(sympy.oo, -sympy.oo) or other.has(sympy.oo, -sympy.oo):
        return False
    # One point of difference decides; for equality there have to be enough where both are defined.
    agreed = 0
    for pair in _values(one, other):
        if not _agree(*pair):
            return False
        agreed += 1
    return agreed >= _enough(one, other)


def _near(one: Tree, decimal: Tree) -> bool:
    assert isinstance(decimal, Number)
    gap = Converter(sympy.E).convert(one) - Converter(sympy.E).convert(decimal)
    # A whole number has no step; within 1 of it is near.
    return bool(abs(sympy.N(gap, 15, maxn=DIGITS)) < (float(decimal.step) or 1))


def _multiple(one: Any, other: Any) -> bool:
    """Whether other / one is the same number everywhere."""
    pairs = list(_values(one, other))
    first, second = next(((a, b) for a, b in pairs if not _agree(a, sympy.S.Zero)), (0, 0))
    return (
        len(pairs) >= _enough(one, other)
        and first != 0
        and not _agree(second, sympy.S.Zero)
        # By products, for at some points `one` may be 0.
        and all(_agree(first * b, second * a) for a, b in pairs)
    )


def _positive_multiple(one: Any, other: Any) -> bool:
    return _multiple(one, other) and all(
        bool(sympy.N(a * b, 15, maxn=DIGITS) >= 0) for a, b in _values(one, other)
    )


COMPARISONS = {
    "equal": _equal,
    "multiple": _multiple,
    "positive multiple": _positive_multiple,
}


def _enough(one: Any, other: Any) -> int:
    return ENOUGH if one.free_symbols | other.free_symbols else 1


def _values(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """The values of two expressions at the points where both have one."""
    names = sorted(one.free_symbols | other.free_symbols, key=str)
    if not names:
        yield one, other
        return
    for number in range(ROUNDS):
        point = dict(zip(names, _point(number, len(names)), strict=True))
        if _defined(one, point) and _defined(other, point):
            values = _value(one, point), _value(other, point)
            if not any(value.has(*_NO_NUMBERS) for value in values):
                yield values


def _value(expression: Any, point: dict[Any, Any]) -> Any:
    """The value at a point; sums from one whole number to another are worked out."""
    value = expression.xreplace(point)
    series = value.atoms(sympy.Sum, sympy.Product)
    ends = [end for one in series for _, *limits in one.limits for end in limits]
    return value.doit() if series and all(end.is_Integer for end in ends) else value


def _point(number: int, count: int) -> list[sympy.Rational]:
    """Positive fractions, small ones, some of both signs, and whole numbers, in turn."""
    draw = random.Random(number)  # the same points each time, so that a verdict can be repeated
    kind, turn = number % 4, number // 4
    values = [draw.randint(1, (60, 20, 60, 10)[kind]) for _ in range(count)]
    if kind == 3:
        return [sympy.Integer(value + 1) for value in values]
    signs = [-1 if kind == 2 and (place + turn) % 2 == 0 else 1 for place in range(count)]
    # An odd number over 46 is never whole: whole numbers are left to their own turn.
    return [sympy.Rational(s * (2 * v + 1), 46) for s, v in zip(signs, values, strict=True)]


def _defined(expression: Any, point: dict[Any, Any]) -> bool:
    """Whether all roots and logarithms of real numbers are real there; i makes all complex."""
    return expression.has(sympy.I) or all(
        _is_real(part.func, *(argument.xreplace(point) for argument in part.args))
        for part in sympy.preorder_traversal(expression)
    )


def _is_real(function: Any, *arguments: Any) -> bool:
    """Whether a function of real numbers is real; one of an index is taken to be."""
    if any(argument.free_symbols for argument in arguments):
        return True
    first, *rest = arguments or (sympy.S.Zero,)
    if function is sympy.Pow:
        return bool(rest[0].is_integer or first.is_nonnegative)
    if function is sympy.log:
        return bool(first.is_positive)
    if function in (sympy.asin, sympy.acos):
        return bool(abs(sympy.N(first)) <= 1)
    return True


def _agree(one: Any, other: Any) -> bool:
    """Whether two constants are equal as far as can be told."""
    gap = one - other
    # Rationals are exact: however close they are, they are equal or not.
    if gap == 0 or gap.is_Rational:
        return bool(gap == 0)
    integrated = gap.has(sympy.Integral, sympy.Limit)
    size = max(abs(sympy.N(value, 15)) for value in (one, other))
    distance = abs(sympy.N(gap, 15, maxn=DIGITS))
    if distance <= size * (AGREEMENT_OF_INTEGRALS if integrated else AGREEMENT):
        return True
    # Where both are nearly 0 a relative difference says nothing.
    return bool(size < AGREEMENT and _vanishes(gap))


def _vanishes(gap: Any) -> bool:
    """Whether a number that looks very small is 0: if so, none of its digits can be had."""
    try:
        gap.evalf(5, maxn=MANY_DIGITS, strict=True)
    except PrecisionExhausted:
        return True
    return False


def _same_region(one: Tree, other: Tree) -> bool:
    """Equal part by part, or as sets."""
    if isinstance(one, Node) and isinstance(other, Node) and one.head == other.head:
        question = "region" if one.head in ("union", "intersection", "difference") else "equal"
        if len(one.parts) == len(other.parts) and all(
            decide(question, *pair) for pair in zip(one.parts, other.parts, strict=True)
        ):
            return True
    first, second = set_of(one), set_of(other)
    return bool(first == second or first.symmetric_difference(second) == sympy.S.EmptySet)
