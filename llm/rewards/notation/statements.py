"""What a box can state: a value, a list, an interval, an equation, words."""

from __future__ import annotations

from dataclasses import dataclass

from llm.rewards.notation.trees import Tree


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, with its unit, base or modulus if one is given."""

    tree: Tree
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Text without mathematics."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Text and mathematics in turn."""

    parts: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Items in brackets, in order: a point, a tuple, an interval."""

    opener: str
    items: tuple[Statement, ...]
    closer: str


@dataclass(frozen=True, slots=True)
class Braces:
    """A set by its elements."""

    items: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """A set by a condition on its elements."""

    element: Statement
    condition: Statement


@dataclass(frozen=True, slots=True)
class Several:
    """Items without brackets, with commas, "and" or "or" between them."""

    items: tuple[Statement, ...]
    joiner: str = ","


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with signs between them, one fewer."""

    sides: tuple[Statement, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """A union, intersection or difference of sets."""

    sign: str
    left: Statement
    right: Statement


@dataclass(frozen=True, slots=True)
class Ratio:
    """3:2, or a time of day."""

    terms: tuple[Tree, ...]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Cases:
    """Rows of a definition by cases."""

    rows: tuple[tuple[Statement, ...], ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The letter of an option, and what it stands for."""

    letter: str
    content: Statement


Statement = (
    Value
    | Words
    | Phrase
    | Row
    | Braces
    | Builder
    | Several
    | Relation
    | Combined
    | Ratio
    | Cases
    | Labelled
)


def items_of(statement: Statement) -> tuple[Statement, ...]:
    """Return the items of a list, or the statement as a list of one."""
    return statement.items if isinstance(statement, Several) else (statement,)
