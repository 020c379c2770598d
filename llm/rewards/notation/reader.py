r"""From the content of a box to what it states.

A text is read from its first to its last token or it is :class:`Unreadable`; there is no part of it
that would be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import groupby, product

from llm.rewards.notation import vocabulary as known
from llm.rewards.notation.double_signs import spelled_out
from llm.rewards.notation.expressions import read_expression
from llm.rewards.notation.statements import (
    Braces,
    Builder,
    Cases,
    Combined,
    Labelled,
    Phrase,
    Ratio,
    Relation,
    Row,
    Several,
    Statement,
    Value,
    Words,
    items_of,
)
from llm.rewards.notation.surroundings import Cut, base, label, ordinal, temperature, unit
from llm.rewards.notation.token_lists import (
    is_enclosed,
    split,
    text_of,
    without_braces,
    without_start,
    without_stop,
)
from llm.rewards.notation.tokens import (
    RELATIONS,
    SET_SIGNS,
    Token,
    Unreadable,
    check_brackets,
    is_ambiguous,
    tokenize,
)
from llm.rewards.notation.trees import Number, Symbol, Tree, node


@lru_cache(maxsize=1024)  # a reference is read again for every answer to it
def read(text: str) -> tuple[Statement, ...]:
    """Read what a text states: one reading, or several where its notation is ambiguous.

    Raises:
        Unreadable: if some of it is not understood.
    """
    powers_of_ten = (True, False) if is_ambiguous(text) else (True,)
    tight_products = (False, True) if "/" in text else (False,)
    try:
        # Each way to read it: an answer is right if one of its readings is one of the reference's.
        readings = [
            _Reader(tight).labelled(tokenize(text, scientific))
            for scientific, tight in product(powers_of_ten, tight_products)
        ]
    except RecursionError as error:
        raise Unreadable("too many parts inside each other") from error
    return tuple(dict.fromkeys(readings))


class _Reader:
    """Reads statements.

    Attributes:
        tight: see :func:`llm.rewards.notation.expressions.read_expression`.
    """

    def __init__(self, tight: bool) -> None:
        self.tight = tight

    def tree(self, tokens: Sequence[Token]) -> Tree:
        return read_expression(tokens, self.tight)

    # Lists.

    def labelled(self, tokens: list[Token]) -> Statement:
        """Read a whole text, perhaps with the letter of an option before it."""
        length, letter = label(tokens)
        # Behind the label: the bracket of "A) 5" closes nothing.
        check_brackets(tokens[length:])
        content = self.whole(without_start(tokens[length:]))
        return Labelled(letter, content) if letter else content

    def whole(self, tokens: list[Token]) -> Statement:
        """Read a list or an item."""
        tokens = without_braces(without_stop(tokens))
        # The sign that binds least comes first: "x = 1, y = 2; x = 3, y = 4" is two systems.
        for joiners in ((";",), ("or",), (",", "and")):
            parts, signs = split(tokens, joiners)
            if len(parts) > 1:
                return self.several(parts, signs)
        return self.item(tokens)

    def several(self, parts: list[list[Token]], signs: list[str]) -> Several:
        """Read the items of a list; lists in it are its own items too, unless they are systems."""
        for i in range(len(signs) - 1, 0, -1):
            if not parts[i] and signs[i - 1 : i + 1] == [",", "and"]:  # one sign, not two
                del parts[i], signs[i - 1]
        items = [self.whole(part) for part in parts]
        flat = [one for item in items for one in items_of(item)]
        is_system = signs[0] in (";", "or") and any(isinstance(one, Relation) for one in flat)
        joiner = signs[-1] if signs[-1] in ("or", "and") else ","
        return Several(_named_alike(tuple(items if is_system else flat)), joiner)

    def item(self, tokens: list[Token]) -> Statement:
        """Read anything but a list without brackets."""
        # Mathematics first: units and names are words too, and only what is left over is a phrase.
        try:
            return self.relation(tokens)
        except Unreadable:
            if any(token.kind == "word" for token in tokens):
                return self.phrase(tokens)
            raise

    def phrase(self, tokens: list[Token]) -> Phrase:
        """Read text and mathematics in turn."""
        parts = [
            self.relation(without_stop(list(part)))
            for _, part in groupby(tokens, key=lambda token: token.kind == "word")
        ]
        return Phrase(tuple(parts))

    # Relations and sets.

    def relation(self, tokens: list[Token]) -> Statement:
        """Read sides and the signs between them, or a single side."""
        check_brackets(tokens)
        sides, signs = split(tokens, RELATIONS)
        if len(sides) == 1:
            return self.side(tokens)
        first = _named_by_condition(sides[0]) or self.side(sides[0])
        return spelled_out(Relation((first, *map(self.side, sides[1:])), tuple(signs)))

    def side(self, tokens: list[Token]) -> Statement:
        """Read words, or sets and the signs between them."""
        tokens = without_braces(tokens)
        if tokens and all(token.kind == "word" or token.is_mark("...") for token in tokens):
            return _text(tuple(token.text for token in tokens))
        parts, signs = split(tokens, SET_SIGNS)
        if tokens[:1] and tokens[0].text.startswith("\\mathbb"):
            # \mathbb{R} - \{0\} takes elements out, as \setminus does.
            sets, minus = split(tokens, ("-",))
            parts, signs = (sets, ["\\setminus"]) if len(minus) == 1 else (parts, signs)
        combined, *more = map(self.operand, parts)
        for sign, one in zip(signs, more, strict=True):
            combined = Combined(sign, combined, one)
        return combined

    def operand(self, tokens: list[Token]) -> Statement:
        """Read a set, a tuple, a ratio or a value."""
        if not tokens:
            raise Unreadable("nothing where something should stand")
        return self.bracketed(tokens) or self.ratio(tokens) or self.value(tokens)

    def bracketed(self, tokens: list[Token]) -> Statement | None:
        """Read what brackets around everything hold; None if they only group."""
        opener, inner, closer = tokens[0], tokens[1:-1], tokens[-1]
        if opener.is_mark("\\emptyset") and len(tokens) == 1:
            return Braces(())
        if not is_enclosed(tokens):
            return None
        if opener.is_mark("\\{"):
            return self.set(inner)
        if opener.is_mark("\\begin"):
            return self.cases(tokens[2:-2]) if tokens[1].text == "cases" else None
        parts, _ = split(inner, (",",))
        # Round and square brackets around one value only group.
        if opener.is_mark("\\langle") or (opener.is_mark("(", "[") and len(parts) > 1):
            return Row(opener.text, tuple(map(self.item, parts)), closer.text)
        return None

    def set(self, inner: list[Token]) -> Statement:
        """Read the elements of a set, or the condition on them."""
        if not inner:
            return Braces(())
        for sign in (":", "|"):
            parts, _ = split(inner, (sign,))
            # An even number of parts has an odd number of bars: one is not of an absolute value.
            if len(parts) > 1 and (sign == ":" or len(parts) % 2 == 0):
                condition = inner[len(parts[0]) + 1 :]
                return Builder(self.relation(parts[0]), self.whole(condition))
        return Braces(items_of(self.whole(inner)))

    def cases(self, inner: list[Token]) -> Statement:
        """Read rows of cells; a system of equations is a list of them."""
        rows = [
            tuple(self.whole(cell) for cell in split(row, ("&",))[0])
            for row in split(inner, ("\\\\",))[0]
            if row
        ]
        if all(len(row) == 1 and isinstance(row[0], Relation) for row in rows):
            return Several(tuple(row[0] for row in rows))
        return Cases(tuple(rows))

    # Values.

    def ratio(self, tokens: list[Token]) -> Ratio | None:
        """Read 2:3, or a time of day."""
        terms, _ = split(tokens, (":",))
        if len(terms) == 1:
            return None
        length, name = unit(terms[-1]) or (len(terms[-1]), "")
        return Ratio(tuple(map(self.tree, (*terms[:-1], terms[-1][:length]))), name)

    def value(self, tokens: list[Token]) -> Statement:
        """Read an expression with the unit, base or modulus before or after it."""
        if tokens[0].is_mark(*known.CURRENCIES):
            return self.with_unit(tokens[1:], known.CURRENCIES[tokens[0].text])
        if tokens[-1].is_mark(*known.CURRENCIES):
            return self.with_unit(tokens[:-1], known.CURRENCIES[tokens[-1].text])
        for cut in (self.modulus, base, temperature, ordinal, unit):
            if found := cut(tokens):
                length, name = found
                return self.with_unit(tokens[:length], name)
        return spelled_out(Value(self.tree(tokens)))

    def modulus(self, tokens: Sequence[Token]) -> Cut | None:
        r"""Read 3 \pmod 7, 3 (mod 7)."""
        place = next((i for i, token in enumerate(tokens) if token.is_mark("mod")), 0)
        if not place:
            return None
        rest = list(tokens[place + 1 :])
        if tokens[place - 1].is_mark("(") and rest and rest[-1].is_mark(")"):
            place, rest = place - 1, rest[:-1]
        number = self.tree(rest)
        return place, f"mod {number.value if isinstance(number, Number) else text_of(rest)}"

    def with_unit(self, tokens: list[Token], name: str) -> Statement:
        """Read a value with its unit, which may be a factor too: percent, degree, million."""
        if found := unit(tokens):  # "$5 million"
            length, scale = found
            tokens, name = tokens[:length], f"{scale} {name}"
        tree = self.tree(tokens)
        scale, _, rest = name.partition(" ")
        if scale in known.SCALES:
            tree, name = _times(tree, known.SCALES[scale]), rest
        if name in known.FACTORS:
            tree, name = node(known.FACTORS[name], tree), ""
        return spelled_out(Value(tree, name))


def _text(words: tuple[str, ...]) -> Statement:
    """Text, or the number or set that it names."""
    # As a word it would equal itself.
    if "nan" in map(str.lower, words):
        raise Unreadable("not a number")
    if words in known.SETS:
        name = known.SETS[words]
        return Braces(()) if name == "\\emptyset" else Value(Symbol(name))
    if len(words) == 1 and words[0] in known.NUMBERS:
        return Value(Number(Fraction(known.NUMBERS[words[0]])))
    return Words(words)


def _times(tree: Tree, factor: int) -> Tree:
    if isinstance(tree, Number):
        return Number(tree.value * factor, tree.step * factor)
    return node("*", tree, Number(Fraction(factor)))


def _named_alike(items: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """x = 1, 2 says x = 1, x = 2."""
    first, *rest = items
    if not isinstance(first, Relation) or first.signs != ("=",):
        return items
    if any(isinstance(one, Relation | Phrase | Words) for one in rest):
        return items
    return (first, *(Relation((first.sides[0], one), first.signs) for one in rest))


def _named_by_condition(tokens: Sequence[Token]) -> Value | None:
    """P(X = 2), which names a number although it is no expression."""
    if len(tokens) < 5 or tokens[0].kind != "symbol" or not is_enclosed(tokens[1:]):
        return None
    is_condition = any(token.is_mark(*RELATIONS, *SET_SIGNS, "|") for token in tokens)
    return Value(Symbol(text_of(tokens))) if is_condition else None
