"""What a relation names and what it gives as its value: x = 5, f(x) = 2x, (x, y) = (1, 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llm.rewards.notation import vocabulary as known
from llm.rewards.notation.statements import Relation, Row, Several, Statement, Value, Words
from llm.rewards.notation.trees import CONSTANTS, Node, Number, Symbol, Tree


@dataclass(frozen=True, slots=True)
class Assigned:
    """A chain of equal sides.

    Attributes:
        name: what is found, None if it has no name.
        sides: what it is, written in one or more ways.
        signs: between the sides.
    """

    name: Statement | None
    sides: tuple[Statement, ...]
    signs: tuple[str, ...] = ()


def assigned(
    statement: Statement, is_name: Callable[[Statement], bool] | None = None
) -> Assigned | None:
    """Return what a statement gives a value to, and the value; None for inequalities.

    Args:
        statement: a relation, such as x = 5, or a value alone, which has no name.
        is_name: tells which sides are names; by default letters, f(x), lines such as AB, and words.
    """
    is_name = is_name or _is_name
    if not isinstance(statement, Relation):
        return Assigned(None, (statement,))
    sides, signs = statement.sides, statement.signs
    if not {"=", "~", "\\equiv", "\\in"}.issuperset(signs):
        return None
    if is_name(sides[0]):
        return Assigned(sides[0], sides[1:], signs[1:])
    if {"\\equiv", "\\in"}.intersection(signs):
        return None
    # The name may stand behind: 5 = x.
    match sides:
        case value, Value(Symbol(), "") as name if is_name(name):
            return Assigned(name, (value,))
    return Assigned(None, sides, signs)


def _is_name(side: Statement) -> bool:
    """Whether a side only names what is found: x, f(x), AB, area."""
    match side:
        case Words(words):
            return known.NO_UNITS.isdisjoint(words) or words[-1] in ("answer", "solution")
        case Value(Symbol(name), ""):
            return name not in CONSTANTS and not name.startswith("\\mathbb")
        case Value(Node("apply"), ""):
            return True
        case Value(Node("*", parts), ""):  # a line through two points
            return all(isinstance(part, Symbol) and part.name.isupper() for part in parts)
    return False


def names_a_quantity(side: Statement) -> bool:
    """Return whether a side names what is found: x + y in x + y = 5, not 2x in 2x = 5."""
    return _is_name(side) or (isinstance(side, Value) and _has_variables_only(side.tree))


def _has_variables_only(tree: Tree) -> bool:
    match tree:
        case Number():
            return False
        case Symbol():
            return _is_name(Value(tree))
    return all(map(_has_variables_only, tree.parts))


def same_name(one: Statement | None, other: Statement | None) -> bool:
    """Return whether two things have one name, where both have any.

    Words may say the same otherwise.
    """
    if one is None or other is None:
        return False
    return one == other or isinstance(one, Words) or isinstance(other, Words)


def spread_out(statement: Statement) -> Statement:
    """Return (x, y) = (1, 2) as x = 1, y = 2."""
    match statement:
        case Relation((Row(_, names, _), Row(_, values, _)), ("=",)) if len(names) == len(values):
            pairs = zip(names, values, strict=True)
            return Several(tuple(Relation(pair, ("=",)) for pair in pairs))
    return statement


def as_point(several: Several) -> Row | None:
    """Return x = 1, y = 2 as (1, 2), in the order of the names."""
    found: dict[str, Statement] = {}
    for item in several.items:
        match item:
            case Relation((Value(Symbol(name), ""), value), ("=",)):
                found[name] = value
    # One item gives nothing a value, or two give one to the same name.
    if len(found) < len(several.items):
        return None
    return Row("(", tuple(found[name] for name in sorted(found)), ")")
