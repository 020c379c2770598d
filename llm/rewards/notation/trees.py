"""Expressions as trees: what the readers build, and what the algebra compares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

ROUNDED = 10
"""Significant digits from which a decimal is taken for a rounded value too."""

LARGEST = 200_000
"""Bits of a number that is worked out exactly; with more it stays a calculation."""


@dataclass(frozen=True, slots=True)
class Number:
    """A numeral.

    Attributes:
        value: exactly what is written.
        step: of a decimal, the unit in its last place; of other numerals 0.
    """

    value: Fraction
    step: Fraction = field(default=Fraction(0), compare=False)

    @property
    def is_rounded(self) -> bool:
        """Whether this is a decimal of so many digits that it may stand for what rounds to it."""
        # |value| >= 10^9 steps: ten digits from the first that is not 0.
        return bool(0 < self.step * 10 ** (ROUNDED - 1) <= abs(self.value))


@dataclass(frozen=True, slots=True)
class Symbol:
    r"""A variable or a constant, such as "x_1", "e", "\pi"."""

    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """An operation or a function, applied to its parts."""

    head: str
    parts: tuple[Tree, ...]


Tree = Number | Symbol | Node

CONSTANTS = frozenset(("e", "i", "\\pi", "\\infty"))
"""Symbols that are no variables."""


def node(head: str, *parts: Tree) -> Node:
    """Return the operation `head` on some parts."""
    return Node(head, parts)


PI = Symbol("\\pi")


def contains(tree: Tree, part: Tree) -> bool:
    """Return whether a tree has a part somewhere in it."""
    if tree == part:
        return True
    return isinstance(tree, Node) and any(contains(one, part) for one in tree.parts)


def negative(tree: Tree) -> Tree:
    """Return minus a tree."""
    if isinstance(tree, Number):
        return Number(-tree.value, tree.step)
    return node("neg", tree)


def rational(tree: Tree) -> Fraction | None:
    """Return the exact value of a tree of numerals.

    None if it has none, or one of too many digits.
    """
    if isinstance(tree, Number):
        return tree.value
    if isinstance(tree, Symbol):
        return None
    values = [rational(part) for part in tree.parts]
    known = [value for value in values if value is not None]
    return _calculated(tree.head, known) if len(known) == len(values) else None


def _calculated(head: str, values: list[Fraction]) -> Fraction | None:
    """The exact value of an operation on values; None if it has none, or too many digits."""
    match head, values:
        case "+", _:
            return sum(values, Fraction(0))
        # A product has at most the bits of all its factors.
        case "*", _ if sum(map(_bits, values)) < LARGEST:
            return math.prod(values, start=Fraction(1))
        case "neg", [value]:
            return -value
        case "pct", [value]:
            return value / 100
        case "/", [over, under] if under:
            return over / under
        case "^", [base, exponent] if exponent.denominator == 1:
            return _power(base, exponent.numerator)
        # 5000! has 54,000 bits; the algebra goes no further either.
        case "!", [value] if value.denominator == 1 and 0 <= value <= 5000:
            return Fraction(math.factorial(value.numerator))
    return None


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _power(base: Fraction, exponent: int) -> Fraction | None:
    # 0^0 and 0^{-1} are not for arithmetic to decide.
    if abs(exponent) * _bits(base) > LARGEST or (base == 0 and exponent <= 0):
        return None
    return base**exponent


def is_numeral(tree: Tree) -> bool:
    r"""Return whether a tree is how one writes a number: 3, -2.5, 3/4, 2\cdot 10^3, 50%, 45°."""
    if isinstance(tree, Number):
        return True
    if isinstance(tree, Symbol):
        return False
    match tree.head, tree.parts:
        case (("neg" | "pct" | "deg"), (part,)):
            return is_numeral(part)
        case "/", (Number(), Number()):
            return True
        case "*", (Number(), Node("^", (Number(Fraction(numerator=10, denominator=1)), power))):
            return is_numeral(power)
        case "^", (Number(Fraction(numerator=10, denominator=1)), power):
            return is_numeral(power)
    return False


def is_carried_out(tree: Tree) -> bool:
    """Return whether no sum, product or remainder is left to be worked out in a tree.

    Powers, roots and functions of numerals are taken for names of numbers, as 2^100 is.
    """
    if not isinstance(tree, Node) or is_numeral(tree):
        return True
    # 3 + 4 is no answer where 7 is asked for.
    return tree.head not in ("+", "*", "bmod") and all(map(is_carried_out, tree.parts))
