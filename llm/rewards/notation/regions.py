"""Sets of numbers, however they are written: intervals, inequalities, unions, conditions."""

from __future__ import annotations

from dataclasses import dataclass

from llm.rewards.notation.statements import (
    Braces,
    Builder,
    Combined,
    Relation,
    Row,
    Several,
    Statement,
    Value,
)
from llm.rewards.notation.trees import CONSTANTS, Node, Symbol, Tree, negative, node

INFINITY = Symbol("\\infty")
MINUS_INFINITY = negative(INFINITY)
REALS = Symbol("\\mathbb{R}")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_COMBINED = {"\\cup": "union", "\\cap": "intersection", "\\setminus": "difference"}
_JOINED = {"or": "union", "and": "intersection"}


@dataclass(frozen=True, slots=True)
class Region:
    """A set of numbers.

    Attributes:
        tree: of unions, intersections, differences, intervals ("interval(]", by its brackets),
            finite sets, and number sets by their symbols.
        name: the variable that lies in it, None if it was not named.
    """

    tree: Tree
    name: Symbol | None = None


def region_of(statement: Statement) -> Region | None:
    """Return the set of numbers that a statement describes, None if it describes something else."""
    match statement:
        case Row("(" | "[" as opener, (Value(low, ""), Value(high, "")), closer):
            return Region(node(f"interval{opener}{closer}", low, high))
        case Braces(items):
            # Sets of points, words or lengths are no sets of numbers.
            values = [item.tree for item in items if isinstance(item, Value) and not item.unit]
            return Region(Node("finite", tuple(values))) if len(values) == len(items) else None
        case Value(Symbol(name) as numbers, "") if name.startswith("\\mathbb"):
            return Region(numbers)
        case Combined(sign, left, right):
            return _combined(_COMBINED[sign], (left, right))
        case Several(items, "or" | "and" as joiner) if all(isinstance(i, Relation) for i in items):
            return _combined(_JOINED[joiner], items)
        case Builder(element, condition):
            return _built(element, region_of(condition))
        case Relation():
            return _solved(statement)
    return None


def _combined(head: str, statements: tuple[Statement, ...]) -> Region | None:
    regions = [region_of(statement) for statement in statements]
    known = [region for region in regions if region is not None]
    names = {region.name for region in known if region.name is not None}
    if len(known) < len(regions) or len(names) > 1:
        return None
    return Region(Node(head, tuple(region.tree for region in known)), next(iter(names), None))


def _built(element: Statement, condition: Region | None) -> Region | None:
    r"""{x | x > 3} and {x \in R | x > 3}."""
    if condition is None:
        return None
    match element:
        case Value(Symbol() as name, "") if condition.name == name:
            return Region(condition.tree)
        case Relation((Value(Symbol() as name, ""), within), ("\\in",)) if condition.name == name:
            outer = region_of(within)
            return outer and Region(node("intersection", outer.tree, condition.tree))
    return None


def _solved(relation: Relation) -> Region | None:
    """The values of the variable that stands alone on a side."""
    match relation:
        case Relation((Value(Symbol() as name, ""), other), ("\\in" | "\\notin" as sign,)):
            inner = region_of(other)
            if inner is None:
                return None
            outside = node("difference", REALS, inner.tree)
            return Region(inner.tree if sign == "\\in" else outside, name)
        case Relation((Value(low, ""), Value(Symbol() as name, ""), Value(high, "")), signs):
            return _between(low, name, high, signs)
        case Relation((Value(Symbol() as name, ""), Value(bound, "")), (sign,)):
            return _half(name, sign, bound)
        case Relation((Value(bound, ""), Value(Symbol() as name, "")), (sign,)):
            return _half(name, _MIRRORED.get(sign, sign), bound)
    return None


def _between(low: Tree, name: Symbol, high: Tree, signs: tuple[str, ...]) -> Region | None:
    """The solutions of low < x < high, or of high > x > low."""
    if {">", ">="}.issuperset(signs):
        low, high, signs = high, low, tuple(_MIRRORED[sign] for sign in reversed(signs))
    if not {"<", "<="}.issuperset(signs):
        return None
    opener, closer = ("[" if signs[0] == "<=" else "("), ("]" if signs[1] == "<=" else ")")
    return Region(node(f"interval{opener}{closer}", low, high), name)


def _half(name: Symbol, sign: str, bound: Tree) -> Region | None:
    """The solutions of one inequality."""
    # e < 3 says something of a constant, and describes no set.
    if sign not in _MIRRORED or name.name in CONSTANTS:
        return None
    match sign:
        case "<" | "<=":
            tree: Tree = node("interval(]" if sign == "<=" else "interval()", MINUS_INFINITY, bound)
        case ">" | ">=":
            tree = node("interval[)" if sign == ">=" else "interval()", bound, INFINITY)
        case "=":
            tree = node("finite", bound)
        case _:
            tree = node("difference", REALS, node("finite", bound))
    return Region(tree, name)
