"""One formula for several values: what stands for what with plus-or-minus signs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from llm.rewards.notation.statements import Relation, Several, Statement, Value
from llm.rewards.notation.tokens import Unreadable
from llm.rewards.notation.trees import Node, Tree, negative

MOST = 3
"""Double signs in a formula; each doubles what it stands for."""


def spelled_out(statement: Value | Relation) -> Statement:
    r"""Return the statement, or where it has \pm the several that it stands for.

    With \mp in it all its signs go together; else each \pm is free.

    Raises:
        Unreadable: if there are too many.
    """
    sides = statement.sides if isinstance(statement, Relation) else (statement,)
    heads = [head for side in sides if isinstance(side, Value) for head in _heads(side.tree)]
    count = heads.count("pm")
    if "mp" in heads:
        # a \pm b \mp c is a + b - c or a - b + c.
        choices = [(1,) * len(heads), (-1,) * len(heads)]
    elif count > MOST:
        raise Unreadable(f"more than {MOST} double signs")
    else:
        # \pm a \pm b is any of four values.
        choices = list(product((1, -1), repeat=count))
    if choices == [()]:
        return statement
    return Several(tuple(_with_signs(statement, iter(choice)) for choice in choices))


def _heads(tree: Tree) -> list[str]:
    """The double signs in a tree, in the order in which they are chosen."""
    if not isinstance(tree, Node):
        return []
    own = [tree.head] if tree.head in ("pm", "mp") else []
    return own + [head for part in tree.parts for head in _heads(part)]


def _with_signs(statement: Statement, signs: Iterator[int]) -> Statement:
    match statement:
        case Value(tree, unit):
            return Value(_chosen(tree, signs), unit)
        case Relation(sides, between):
            return Relation(tuple(_with_signs(side, signs) for side in sides), between)
    return statement


def _chosen(tree: Tree, signs: Iterator[int]) -> Tree:
    if not isinstance(tree, Node):
        return tree
    if tree.head not in ("pm", "mp"):
        return Node(tree.head, tuple(_chosen(part, signs) for part in tree.parts))
    is_plus = (next(signs) > 0) == (tree.head == "pm")
    inner = _chosen(tree.parts[0], signs)
    return inner if is_plus else negative(inner)
