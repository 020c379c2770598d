"""What may stand around a value without being part of it: an option's letter, a unit, a base."""

from __future__ import annotations

from collections.abc import Sequence

from llm.rewards.notation import vocabulary as known
from llm.rewards.notation.tokens import RELATIONS, SET_SIGNS, Token

LONGEST_UNIT = 5
"""Words and signs in a unit; more are a sentence."""

_OPERATORS = (*"+-*/^_'!,;", "or", "and", *RELATIONS, *SET_SIGNS)

Cut = tuple[int, str]
"""How many tokens are the value, and what stands behind it."""


def label(tokens: Sequence[Token]) -> tuple[int, str]:
    """Read an option's letter at the front, as in "(A) 5" or "B. 7", and its number of tokens."""
    bracketed = bool(tokens) and tokens[0].is_mark("(")
    length = 2 + bracketed
    if len(tokens) < length + 1:
        return 0, ""
    letter, stop, follower = tokens[length - 2 : length + 1]
    if letter.text not in known.OPTIONS or not stop.is_mark(*(")" if bracketed else ").:")):
        return 0, ""
    # A blank tells "B. 7" from a decimal or product; "(A)5" needs none.
    apart = follower.spaced or (bracketed and follower.kind == "number")
    after = tokens[length + 1 :]
    # (A) -5 is an option with its value, (A) - 5 a difference.
    is_negative = follower.is_mark("-") and bool(after) and not after[0].spaced
    if not apart or (follower.is_mark(*_OPERATORS) and not is_negative):
        return 0, ""
    return length, letter.text


def base(tokens: Sequence[Token]) -> Cut | None:
    """Read the base of a numeral, 1011_2."""
    if len(tokens) < 3 or tokens[0].kind != "number" or not tokens[1].is_mark("_"):
        return None
    inside = [token for token in tokens[2:] if not token.is_mark(*"{}()")]
    if len(inside) != 1 or inside[0].kind not in ("number", "word"):
        return None
    return 1, f"base {known.NUMBERS.get(inside[0].text, inside[0].text)}"


def ordinal(tokens: Sequence[Token]) -> Cut | None:
    r"""Read 98^\text{th}."""
    texts = [token.text for token in tokens]
    for length, end in ((2, texts[-2:]), (4, texts[-4:])):
        if end[:1] == ["^"] and len(tokens) > length and not known.ORDINALS.isdisjoint(end):
            return len(tokens) - length, ""
    return None


def temperature(tokens: Sequence[Token]) -> Cut | None:
    r"""Read 20^\circ C."""
    *before, scale = (token.text for token in tokens)
    if scale in ("C", "F"):
        for degree in (["\\degree"], ["^", "\\circ"], ["^", "{", "\\circ", "}"]):
            if before[-len(degree) :] == degree and len(before) > len(degree):
                return len(before) - len(degree), f"degree {scale}"
    return None


def unit(tokens: Sequence[Token]) -> Cut | None:
    """Read the words behind a value, if they can name a unit or what is counted.

    Returns:
        How many tokens are the value, and the unit by its standard name, such as "km / h"; None if
        the words cannot be one.
    """
    start = next((i for i, token in enumerate(tokens) if token.kind == "word"), 0)
    if not start or len(tokens) - start > 2 * LONGEST_UNIT:
        return None
    names = _Names(tokens[start:])
    return (start, " ".join(names.found)) if names.read() else None


class _Names:
    """Reads names with exponents and with signs between them, such as cm^2, km/h, square feet."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.rest = list(tokens)
        self.found: list[str] = []

    def read(self) -> bool:
        """Return whether all is a unit; its names are `found` then."""
        # A unit neither begins nor ends with a sign, and has no two in a row.
        after_sign = True
        while self.rest:
            token = self.rest.pop(0)
            is_sign = token.is_mark("/", "*") or token.text == "per"
            if is_sign and after_sign:
                return False
            if is_sign:
                self.found.append("*" if token.is_mark("*") else "/")
            elif not self._name(token):
                return False
            after_sign = is_sign
        return not after_sign and len(self.found) <= LONGEST_UNIT

    def _name(self, token: Token) -> bool:
        """Take a name with its power; whether it is one."""
        power = known.POWERS.get(token.text)
        if power is not None and self.rest:
            token = self.rest.pop(0)
        if token.kind != "word" or token.text in known.NO_UNITS:
            return False
        name, exponent = _singular(token.text), self._exponent() or power
        if name:
            self.found.append(f"{name}^{exponent}" if exponent else name)
        return True

    def _exponent(self) -> str:
        for pattern in (["^", "number"], ["^", "{", "number", "}"], ["^", "{", "-", "number", "}"]):
            ahead = self.rest[: len(pattern)]
            if [t.kind if t.kind == "number" else t.text for t in ahead] == pattern:
                del self.rest[: len(pattern)]
                return "".join(token.text for token in ahead).strip("^{}")
        return ""


def _singular(word: str) -> str:
    for name in (word, word.removesuffix("s")):
        if name in known.NO_MEANING:
            return ""
        if name in known.UNITS:
            return known.UNITS[name]
    # Short words and those on -ss are no plurals: gas, glass.
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
